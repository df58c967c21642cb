"""What was played and is decided anew is what would have been played with those decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

pytest.importorskip("onnx")
pytest.importorskip("scipy")

from streamd.decision import DecisionSpec
from streamd.model import Model
from streamd.replay import replay
from tests import tiny_models
from tests.tiny_models import SAMPLE_RATE
from tests.training.tone_streams import HIGH, LOW, loud, stream
from training.expect.play import decide, play


@pytest.mark.parametrize("kind", ["window", "stream"])
@pytest.mark.parametrize("which", ["log_mel", "samples"])
def test_decided_anew_gives_the_events_of_a_model_with_those_decisions_and_delays(tmp_path: Path, kind, which):
    before = Model(tiny_models.build(tmp_path, kind, which), "cpu")
    spec = DecisionSpec(onset_threshold=0.3, offset_threshold=0.2, n_confirm=3, smoothing_seconds=0.12)
    changes = {"decision": spec, "label_decisions": {HIGH: DecisionSpec()}, "onset_delay": 900, "offset_delay": 1300}
    (tmp_path / "other").mkdir()
    after = Model(tiny_models.build(tmp_path / "other", kind, which, **changes), "cpu")
    # Over two blocks; one tone sounds when the stream ends.
    streams = [stream("long", 70, [*loud(20), *loud(9, HIGH), (LOW, 69, 70, 0.5)]), stream("short", 3, loud(1))]
    streams += [stream("too short", 0.05, [])]
    played = decide(play(before, streams), after.manifest)
    for found, expected in zip(played, play(after, streams), strict=True):
        assert found.events == expected.events
        assert [event.peak for event in found.events] == [event.peak for event in expected.events]
        np.testing.assert_array_equal(found.posteriors, expected.posteriors)
        np.testing.assert_array_equal(found.end_seconds, expected.end_seconds)
    assert len(played[0].events) == 30
    assert all(event.peak >= 0.3 for event in played[0].events)


def test_streams_side_by_side_give_the_events_that_replay_gives_of_each_alone(tmp_path: Path):
    model = Model(tiny_models.build(tmp_path, "stream", "log_mel"), "cpu")
    streams = [stream(f"room {i}", 5 + 3 * i, [*loud(2 + i), *loud(i, HIGH, 0.2)]) for i in range(5)]
    streams = [replace(one, samples=np.rint(one.samples * 32767).astype(np.int16)) for one in streams]
    for one, played in zip(streams, play(model, streams), strict=True):
        soundfile.write(tmp_path / "one.wav", one.samples, SAMPLE_RATE, subtype="PCM_16")
        events = replay([tmp_path / "one.wav"], model, start=datetime(2026, 1, 1, tzinfo=UTC))
        offsets = [event for event in events if event.phase == "offset"]
        expected = [(e.label, e.onset_seconds, e.offset_seconds, e.peak) for e in offsets]
        found = [(e.label, e.onset_seconds, e.offset_seconds, e.peak) for e in played.events]
        assert [each[:3] for each in sorted(found)] == [each[:3] for each in sorted(expected)]
        assert [each[3] for each in sorted(found)] == pytest.approx([each[3] for each in sorted(expected)], abs=1e-6)
        assert len(found) >= 2


def test_what_a_model_of_another_warm_up_played_keeps_its_times_when_it_is_decided_anew(tmp_path: Path):
    model = Model(tiny_models.build(tmp_path, "stream", "log_mel"), "cpu")
    played = play(model, [stream("room", 20, loud(5)), stream("too short", 0.05, [])])
    facts = model.manifest
    longer = msgspec.structs.replace(facts, warmup_frames=facts.warmup_frames + 16 * facts.hop_frames)
    cut = replace(played[0], posteriors=played[0].posteriors[9:], end_seconds=played[0].end_seconds[9:])
    for before, after in zip([*played, cut], decide([*played, cut], longer), strict=True):
        assert after.events == played[before.stream.name == "too short"].events
        np.testing.assert_array_equal(after.end_seconds, before.end_seconds)
        np.testing.assert_array_equal(after.posteriors, before.posteriors)
    assert len(played[0].events) == 5


def test_decisions_of_the_same_manifest_change_nothing(tmp_path: Path):
    model = Model(tiny_models.build(tmp_path, "stream", "log_mel"), "cpu")
    played = play(model, [stream("room", 20, loud(5))])
    assert [one.events for one in decide(played, model.manifest)] == [one.events for one in played]
    slow = msgspec.structs.replace(model.manifest, decision=DecisionSpec(n_confirm=40))
    assert decide(played, slow)[0].events == ()
