"""Delays measured on streams are the ones that put events where the tones are."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("scipy")

from streamd.model import Model
from tests import tiny_models
from tests.tiny_models import SAMPLE_RATE
from tests.training.tone_streams import HIGH, LOW, loud, stream
from training.expect.event_match import Sound
from training.expect.play import LabelledStream, Played, decide, play
from training.expect.stream_delays import believable_delays, measured_delays, rough_onset_delay


def by_hand(sounds: list[tuple[float, float]], high: list[tuple[float, float]], level: float = 1.0) -> Played:
    """Hops of 0.04 s that a model's detector would have; Low tone's posterior is high at those that end in a span."""
    facts = tiny_models.manifest("stream", "log_mel")
    ends = (facts.first_score_samples + np.arange(500) * facts.hop_samples) / SAMPLE_RATE
    posteriors = np.zeros((500, 3), np.float32)
    for begin, end in high:
        posteriors[(ends > begin - 1e-6) & (ends < end + 1e-6), 0] = level
    labelled = tuple(Sound(LOW, onset, offset) for onset, offset in sounds)
    return Played(LabelledStream("room", np.zeros(0, np.int16), labelled), posteriors, ends, ())


def test_delays_are_medians_of_how_late_the_bare_decision_is():
    facts = tiny_models.manifest("stream", "log_mel", onset_delay=77, offset_delay=99)
    one = by_hand([(2.0, 3.0), (5.0, 6.0), (8.0, 9.0), (12.0, 13.0)], [(2.2, 3.4), (5.4, 6.48), (8.12, 9.6)])
    found = measured_delays([one], facts)
    assert (found.n_heard, found.n_placed) == (3, 4)
    assert (found.onset, found.offset) == (round(0.2 * SAMPLE_RATE), round(0.48 * SAMPLE_RATE))
    assert found.as_expected()["onset_delay_seconds_quartiles"] == [0.16, 0.3]


def test_what_runs_on_into_the_next_sound_tells_nothing_of_delays():
    facts = tiny_models.manifest("stream", "log_mel")
    assert measured_delays([by_hand([(2.0, 3.0), (3.5, 4.0)], [(2.2, 3.9)])], facts) is None
    assert measured_delays([by_hand([(2.0, 3.0)], [])], facts) is None


def test_with_the_delays_that_were_measured_events_lie_where_the_tones_are(tmp_path: Path):
    model = Model(tiny_models.build(tmp_path, "stream", "log_mel"), "cpu")
    played = play(model, [stream("room", 41, [*loud(20), *loud(10, HIGH)])])
    found = measured_delays(played, model.manifest)
    facts = msgspec.structs.replace(model.manifest, onset_delay=found.onset, offset_delay=found.offset)
    late = [
        (event.onset_seconds - round(event.onset_seconds), event.offset_seconds - round(event.offset_seconds - 0.5))
        for event in decide(played, facts)[0].events
    ]
    assert len(late) == 30
    assert np.median(late, axis=0) == pytest.approx([0, 0.5], abs=model.manifest.hop_seconds)


def test_a_rough_delay_needs_no_threshold():
    facts = tiny_models.manifest("stream", "log_mel")
    faint = by_hand([(2.0, 3.0), (5.0, 6.0), (8.0, 9.0)], [(2.2, 3.4), (5.4, 6.4), (8.2, 9.6)], level=0.07)
    assert rough_onset_delay([faint], facts) == pytest.approx(0.2 * SAMPLE_RATE, abs=1)
    assert rough_onset_delay([by_hand([(2.0, 3.0)], [])], facts) == 0
    assert rough_onset_delay([], facts) == 0


def test_where_thresholds_hear_too_few_sounds_for_a_median_looser_ones_are_measured():
    facts = tiny_models.manifest("stream", "log_mel")
    sounds = [(2.0 + 1.5 * i, 2.6 + 1.5 * i) for i in range(10)]
    sure = by_hand(sounds[:1], [(2.4, 2.8)], level=0.9)
    faint = by_hand(sounds[1:], [(onset + 0.12, offset + 0.12) for onset, offset in sounds[1:]], level=0.3)
    assert measured_delays([sure, faint], facts).n_heard == 1
    found = believable_delays([sure, faint], facts)
    assert (found.n_heard, found.onset) == (10, pytest.approx(0.12 * SAMPLE_RATE, abs=0.04 * SAMPLE_RATE))
    heard = by_hand(sounds, [(onset + 0.12, offset + 0.12) for onset, offset in sounds], level=0.9)
    assert believable_delays([heard], facts) == measured_delays([heard], facts)
    assert believable_delays([by_hand(sounds, [])], facts) is None
