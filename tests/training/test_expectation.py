"""The chapter's numbers against streams of which every outcome is known beforehand."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("onnx")
pytest.importorskip("scipy")

from streamd.model import Model
from tests import tiny_models
from tests.tiny_models import SAMPLE_RATE
from tests.training.tone_streams import HIGH, LOW, MIDDLE, loud, stream
from training.expect import report
from training.expect.expectation import GENERATED, PlayedSetting, Setting, chapter, expect
from training.expect.outcomes import outcomes_of
from training.expect.play import play


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    # The delays of this model, as stream_delays measures them on tones of this level.
    folder: Path = tmp_path_factory.mktemp("models")
    return Model(tiny_models.build(folder, "stream", "log_mel", onset_delay=800, offset_delay=300), "cpu")


def told(model: Model, *settings: Setting) -> report.ExpectChapter:
    return expect(model, settings, alarms_per_hour=0.5, thresholds="as they are", disjoint="nothing shared")


@pytest.fixture(scope="module")
def streams():
    """Heard are 4 + 2; missed is a faint one; taken for another is one; false alarms are 2 and 1."""
    mixed = [*loud(4), (LOW, 11, 11.5, 0.01), (HIGH, 13, 13.5, 0.5)]
    # What is labelled High tone at 15 s sounds as Middle tone.
    one = stream("one", 30, mixed, [(LOW, 20, 20.5, 0.9), (LOW, 22, 22.5, 0.3), (MIDDLE, 15, 15.5, 0.5)], "kit a")
    strange = stream("strange", 1, [(HIGH, 0.1, 0.6, 0.5)]).sounds[0]
    wrong = type(strange)(HIGH, 15.0, 15.5, clip="wrong.wav")
    one = type(one)(one.name, one.samples, (*one.sounds, wrong), one.group)
    return [one, stream("two", 20, loud(1, HIGH), [(MIDDLE, 10, 10.5, 0.5)], "kit b")]


def test_every_count_is_what_was_put_in(model: Model, streams):
    found = told(model, Setting("recordings", "real", "given", streams))
    [condition] = found.conditions
    assert (condition.name, condition.kind, condition.background, condition.n_streams) == (
        "recordings",
        "real",
        "given",
        2,
    )
    assert condition.hours == pytest.approx(50 / 3600)
    assert condition.collar_seconds == 0.2
    assert condition.confusion == [
        (HIGH, HIGH, 2),
        (HIGH, MIDDLE, 1),
        (LOW, LOW, 4),
        (LOW, None, 1),
        (None, LOW, 2),
        (None, MIDDLE, 1),
    ]
    low, middle, high = condition.labels
    assert (low.n_sounds, low.n_groups, low.n_heard, low.recall) == (5, 1, 4, 0.8)
    assert low.recall_interval is None
    assert (low.n_false_alarms, low.f1) == (2, pytest.approx(2 * 4 / (5 + 6)))
    assert low.alarms.startswith("2 false alarms in")
    assert low.threshold == 0.6
    assert 0 < low.delay_seconds[0] <= low.delay_seconds[1] < 0.3
    assert [(point.recall, point.n_false_alarms) for point in low.det if point.threshold == 0.6] == [(0.8, 2)]
    assert (middle.n_sounds, middle.recall, middle.f1) == (0, None, 0.0)
    assert (middle.n_false_alarms, middle.n_confused) == (1, 1)
    assert (high.n_groups, high.n_heard, high.n_false_alarms) == (2, 2, 0)
    assert high.recall_interval[0] < 2 / 3 < high.recall_interval[1]
    assert sum(n for _, _, n in condition.calibration) > 3000
    assert all(0 <= mean <= 1 and 0 <= share <= 1 for mean, share, _ in condition.calibration)
    assert (found.onset_delay_seconds, found.offset_delay_seconds) == (0.1, 0.0375)
    assert (found.alarms_per_hour, found.thresholds, found.disjoint) == (0.5, "as they are", "nothing shared")


def test_each_worst_error_can_be_heard_with_a_second_around_it(model: Model, streams):
    found = told(model, Setting("recordings", "real", "given", streams))
    assert [(error.kind, error.label, error.taken_for) for error in found.errors] == [
        ("false alarm", LOW, None),
        ("confused", HIGH, MIDDLE),
        ("missed", LOW, None),
        ("false alarm", found.errors[3].label, None),
        ("false alarm", found.errors[4].label, None),
    ]
    alarm, confused, missed = found.errors[:3]
    assert (alarm.stream, alarm.clip) == ("one", None)
    assert alarm.seconds == pytest.approx(20, abs=0.1)
    assert alarm.score > 0.9
    assert (confused.seconds, confused.clip) == (15.0, "wrong.wav")
    assert (missed.seconds, missed.clip) == (11.0, "one at 11")
    assert missed.score < 0.05
    heard, rate = soundfile.read(io.BytesIO(missed.flac), dtype="int16")
    assert rate == SAMPLE_RATE
    original = streams[0].samples[10 * SAMPLE_RATE : round(12.5 * SAMPLE_RATE)]
    np.testing.assert_allclose(heard / 32768, original, atol=1 / 32768)
    assert len(told(model, Setting("many", "real", "given", [stream("many", 101, loud(50, LOW, 0.01))])).errors) == 20


def test_real_conditions_come_first_and_are_never_merged_with_simulated_ones(model: Model, streams):
    first, second = streams
    found = told(
        model,
        Setting("unseen scenes", "simulated", "generated", [first]),
        Setting("nothing", "real", "given", []),
        Setting("recordings", "real", "given", [second]),
    )
    assert [one.name for one in found.conditions] == ["recordings", "unseen scenes"]
    assert [one.labels[0].n_sounds for one in found.conditions] == [0, 5]
    assert all(label.alarms.startswith(GENERATED) for label in found.conditions[1].labels)
    assert not any(label.alarms.startswith(GENERATED) for label in found.conditions[0].labels)


def test_only_labels_that_the_streams_are_labelled_with_are_told_of(model: Model, streams):
    setting = PlayedSetting("recordings", "real", "given", play(model, streams))
    found = chapter([setting], model.manifest, alarms_per_hour=0.5, thresholds="", disjoint="", labels=[LOW])
    assert [label.label for label in found.conditions[0].labels] == [LOW]
    assert found.conditions[0].confusion == [(LOW, LOW, 4), (LOW, None, 1), (None, LOW, 2)]


def test_the_chapter_can_be_written_and_read_again(model: Model, streams, tmp_path: Path):
    found = told(model, Setting("recordings", "real", "given", streams))
    whole = report.Report(
        model="tiny",
        model_sha256=model.sha256,
        licence="Apache-2.0",
        created_at="2026-01-01T00:00:00Z",
        command="",
        seconds=1.0,
        versions={},
        sources=[],
        prepare=None,
        process=None,
        design=None,
        expect=found,
        left_out=[],
    )
    report.write(whole, tmp_path / "report.json")
    assert report.read(tmp_path / "report.json") == whole


def test_a_second_event_on_a_sound_is_no_outcome(model: Model):
    sound = stream("room", 10, [(LOW, 2, 3, 0.5), (LOW, 3.3, 4.5, 0.5)])
    [played] = play(model, [type(sound)("room", sound.samples, (type(sound.sounds[0])(LOW, 2.0, 4.5),))])
    assert len(played.events) == 2
    assert [one.kind for one in outcomes_of(played, model.manifest, [LOW])] == ["heard"]
