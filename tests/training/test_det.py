"""Streams with tones at known places, played through tiny models: what is heard, when, and what is a false alarm."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("onnx")
pytest.importorskip("scipy")

from streamd.detector import Detector
from streamd.model import Model
from streamd.override import DecisionOverride
from tests import tiny_models
from tests.tiny_models import SAMPLE_RATE
from tests.training.tone_streams import HIGH, LOW, loud, stream
from training.expect.det import THRESHOLDS, Point, choose, choose_and_report, det, halves, joined
from training.expect.event_match import Sound, collar, score, total
from training.expect.play import LabelledStream, Played, play

KINDS = [("window", "log_mel"), ("stream", "log_mel"), ("window", "samples"), ("stream", "samples")]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Model]:
    folder: Path = tmp_path_factory.mktemp("models")
    return {(kind, which): Model(tiny_models.build(folder, kind, which), "cpu") for kind, which in KINDS}


@pytest.fixture
def model(models: dict[tuple[str, str], Model]) -> Model:
    return models["stream", "log_mel"]


@pytest.mark.parametrize("which", KINDS)
def test_events_of_played_streams_are_those_of_the_detector_and_lie_where_the_tones_are(models, which):
    model = models[which]
    one = stream("room", 70, [*loud(3), *loud(2, HIGH), (LOW, 59.9, 60.4, 0.5)])  # across two blocks, too
    [played] = play(model, [one])
    detector = Detector(model)
    detector.start("room")
    detector.push("room", one.samples)
    hops = list(detector.step())
    np.testing.assert_array_equal(played.posteriors, [hop.posteriors for hop in hops])
    np.testing.assert_array_equal(played.end_seconds, [hop.end_sample / SAMPLE_RATE for hop in hops])
    found = [detection for hop in hops for detection in hop.detections] + detector.flush()
    offsets = [d for d in found if d.offset_sample is not None]
    assert sorted((e.label, e.onset_seconds, e.offset_seconds) for e in played.events) == sorted(
        (d.label, d.onset_sample / SAMPLE_RATE, d.offset_sample / SAMPLE_RATE) for d in offsets
    )
    assert total(score(one.sounds, played.events, collar(model.manifest.hop_seconds)).values()).f1 == 1.0
    assert all(0 < e.published_seconds - e.onset_seconds < 0.25 for e in played.events)


@pytest.mark.parametrize("which", KINDS)
@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.9])
def test_every_threshold_hears_what_the_detector_hears_with_it_configured(models, which, threshold):
    model = models[which]
    one = stream("room", 20, loud(4, LOW, 0.16) + loud(5)[4:], [(LOW, 15, 15.5, 0.12), (LOW, 17, 17.5, 0.5)])
    [point] = det(play(model, [one]), model.manifest, LOW, [threshold])
    spec = DecisionOverride({"onset_threshold": threshold}, "here").apply(model.manifest.decision_of(LOW))
    detector = Detector(model, {LOW: spec})
    detector.start("room")
    detector.push("room", one.samples)
    events = [(d, hop.end_sample) for hop in detector.step() for d in hop.detections if d.offset_sample is None]
    near = collar(model.manifest.hop_seconds)
    delays: list[float | None] = [None] * len(one.sounds)
    n_false = 0
    for detection, end in events:
        at = detection.onset_sample / SAMPLE_RATE
        until = at + model.manifest.onset_delay / SAMPLE_RATE
        on = [i for i, s in enumerate(one.sounds) if s.onset_seconds - near <= until and at <= s.offset_seconds + near]
        n_false += not on
        for i in on:
            first = delays[i] if delays[i] is not None else end / SAMPLE_RATE - one.sounds[i].onset_seconds
            delays[i] = first
    assert point.delays_seconds == pytest.approx(delays)
    assert point.n_false_alarms == n_false
    assert any(point.heard)


def test_recall_and_false_alarms_fall_as_the_threshold_rises_over_tones_of_rising_level(model):
    levels = [0.06, 0.08, 0.1, 0.13, 0.17, 0.22, 0.4, 0.9]
    tones = [(LOW, 2.0 * i + 1, 2.0 * i + 1.5, level) for i, level in enumerate(levels)]
    strange = [(LOW, onset + 20, offset + 20, level) for _, onset, offset, level in tones]
    points = det(play(model, [stream("room", 40, tones, strange)]), model.manifest, LOW)
    recalls = [point.recall for point in points]
    alarms = [point.n_false_alarms for point in points]
    assert recalls == sorted(recalls, reverse=True)
    assert alarms == sorted(alarms, reverse=True)
    assert (recalls[0], alarms[0]) == (1.0, 8)
    assert recalls[THRESHOLDS.index(0.95)] == 1 / 8
    # A louder tone passes a threshold earlier.
    assert all(a.delay_seconds(50) <= 0.3 for a in points if any(a.heard))


def test_the_delay_counts_to_publication_so_hops_that_confirm_add_to_it(model):
    [one] = play(model, [stream("room", 20, loud(8))])
    slow = msgspec.structs.replace(
        model.manifest, decision=msgspec.structs.replace(model.manifest.decision, n_confirm=5)
    )
    [quick], [late] = det([one], model.manifest, LOW, [0.6]), det([one], slow, LOW, [0.6])
    assert quick.recall == late.recall == 1.0
    more = np.subtract(late.delays_seconds, quick.delays_seconds)
    assert more == pytest.approx(4 * model.manifest.hop_seconds)
    assert late.delay_seconds() - quick.delay_seconds() == pytest.approx(4 * model.manifest.hop_seconds)


def by_hand(sounds: list[tuple[float, float]], high: list[float], name: str = "room") -> Played:
    """A stream as if played with hops of 0.04 s: Low tone is certain at hops that end at these times, else absent."""
    ends = np.round(np.arange(1, 501) * 0.04, 6)
    posteriors = np.zeros((len(ends), 3), np.float32)
    posteriors[[int(np.argmin(np.abs(ends - at))) for at in high], 0] = 1.0
    labelled = tuple(Sound(LOW, onset, offset) for onset, offset in sounds)
    return Played(LabelledStream(name, np.zeros(0, np.int16), labelled), posteriors, ends, ())


@pytest.mark.parametrize(
    ("end", "delay"), [(4.76, None), (4.84, -0.16), (5.12, 0.12), (5.4, 0.4), (6.56, 1.56), (6.68, None)]
)
def test_an_event_began_at_most_the_onset_delay_before_its_hop_and_within_the_collar_it_is_the_sound(end, delay):
    facts = tiny_models.manifest("stream", "log_mel", onset_delay=3200)  # 0.4 s
    [found] = det([by_hand([(5.0, 6.0)], [end])], facts, LOW, [0.6])
    assert found.delays_seconds == pytest.approx((delay,))
    assert found.n_false_alarms == (delay is None)
    assert found.hours * 3600 == pytest.approx(20 - 1.4 - 0.4, abs=0.08)


def test_sounds_that_are_heard_much_sooner_than_the_median_are_heard_and_alarm_nobody():
    facts = tiny_models.manifest("stream", "log_mel", onset_delay=4800)  # 0.6 s
    sounds = [(1.0 + 3 * i, 2.0 + 3 * i) for i in range(6)]
    late = [0.04, 0.6, 0.04, 0.6, 0.6, 0.04]
    [found] = det([by_hand(sounds, [on + d for (on, _), d in zip(sounds, late, strict=True)])], facts, LOW, [0.6])
    assert found.n_false_alarms == 0
    assert found.delays_seconds == pytest.approx(late)


def test_of_two_sounds_around_an_event_it_is_the_one_that_began_while_it_may_have_begun():
    facts = tiny_models.manifest("stream", "log_mel", onset_delay=4800)  # 0.6 s
    for end, heard in [(4.64, (True, False)), (5.08, (False, True)), (5.6, (False, True))]:
        [found] = det([by_hand([(4.0, 4.4), (5.0, 6.0)], [end])], facts, LOW, [0.6])
        assert found.heard == heard


def test_a_second_event_on_a_sound_is_neither_a_false_alarm_nor_its_delay():
    facts = tiny_models.manifest("stream", "log_mel", onset_delay=0)
    [found] = det([by_hand([(5.0, 6.0)], [5.12, 5.6])], facts, LOW, [0.6])
    assert found.delays_seconds == pytest.approx((0.12,))
    assert found.n_false_alarms == 0


def test_where_two_sounds_could_be_meant_it_is_the_one_whose_onset_is_nearer():
    facts = tiny_models.manifest("stream", "log_mel", onset_delay=0)
    for end, heard in [(5.04, (True, False)), (5.16, (False, True))]:
        [found] = det([by_hand([(5.0, 5.1), (5.2, 5.4)], [end])], facts, LOW, [0.6])
        assert found.heard == heard


def test_background_goes_to_the_half_that_has_less_audio_whatever_sounds_it_has():
    played = [by_hand([(1, 2)] * 3, [], name="many"), by_hand([(1, 2)], [], name="few")]
    played += [by_hand([], [], name=f"background-{i}") for i in range(4)]
    assert [len(half) for half in halves(played, LOW)] == [3, 3]


def test_hours_are_those_in_which_an_event_would_be_a_false_alarm(model):
    facts = model.manifest
    background, full = play(model, [stream("background", 60, []), stream("full", 60, [(LOW, 0, 60, 0.5)])])
    warm = (facts.first_score_samples - facts.hop_samples) / SAMPLE_RATE
    [point] = det([background], facts, LOW, [0.6])
    assert point.hours * 3600 == pytest.approx(60 - warm, abs=facts.hop_seconds)
    assert (point.recall, point.n_false_alarms) == (None, 0)
    assert point.alarms().startswith("No false alarm in 0.0166 h: at most 181 an hour")
    [point] = det([full], facts, LOW, [0.6])
    assert (point.hours, point.recall) == (0.0, 1.0)
    # Nor can an event of another label be one there.
    assert det([full], facts, HIGH, [0.6])[0].hours == 0.0


def test_an_event_on_a_sound_of_another_label_is_a_confusion_not_a_false_alarm(model):
    facts = model.manifest
    sounds = [(HIGH, 3.0, 3.5), (LOW, 8.0, 8.5)]
    tones = [(LOW, onset, offset, 0.5) for _, onset, offset in [*sounds, (LOW, 13.0, 13.5)]]
    heard = stream("room", 20, tones)
    labelled = replace(heard, sounds=tuple(Sound(*one) for one in sounds))
    [point] = det(play(model, [labelled]), facts, LOW, [0.6])
    assert (point.heard, point.n_confused, point.n_false_alarms) == ((True,), 1, 1)
    assert point.n_gained == 0


def test_a_threshold_is_chosen_that_hears_much_without_taking_much_for_it():
    def point(threshold: float, n_heard: int, n_confused: int) -> Point:
        delays = tuple(0.1 if i < n_heard else None for i in range(10))
        return Point(threshold, delays, ("a",) * 10, 0, 10.0, n_confused)

    points = [point(0.2, 10, 9), point(0.5, 8, 2), point(0.8, 5, 0), point(0.9, 0, 0)]
    assert choose(points, 0.5) == points[1]
    # Of labels that are always taken for another the best is still told: it hears more than nothing.
    assert choose([point(0.2, 4, 9), point(0.5, 2, 3), point(0.9, 0, 0)], 0.5) == point(0.5, 2, 3)


def test_an_event_that_never_ends_hears_one_sound_and_not_all(model):
    hum = [(LOW, 0.0, 20.0, 0.3)]
    [point] = det(play(model, [stream("room", 20, loud(6), hum)]), model.manifest, LOW, [0.3])
    assert sum(point.heard) <= 1


def test_sounds_that_the_decision_joins_into_one_event_are_one_sound(model):
    beeps = [(LOW, 1.0, 1.2, 0.5), (LOW, 1.23, 1.5, 0.5), (LOW, 5.0, 5.4, 0.5)]
    [point] = det(play(model, [stream("room", 8, beeps)]), model.manifest, LOW, [0.6])
    assert point.heard == (True, True)


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 5)), max_size=8), st.floats(0, 3))
def test_joined_sounds_cover_all_and_lie_apart(times, gap):
    sounds = [Sound(LOW, onset, onset + length) for onset, length in times]
    found = joined(sounds, gap)
    assert all(b.onset_seconds - a.offset_seconds >= gap for a, b in pairwise(found))
    assert all(
        any(f.onset_seconds <= s.onset_seconds and s.offset_seconds <= f.offset_seconds for f in found) for s in sounds
    )
    assert joined(found, gap) == found


def point(threshold: float, n_heard: int, n_false_alarms: int) -> Point:
    delays = tuple(0.1 if i < n_heard else None for i in range(10))
    return Point(threshold, delays, ("a",) * 10, n_false_alarms, 2.0)


def test_the_point_of_best_recall_within_the_budget_is_chosen_in_the_middle_of_its_equals():
    points = [point(0.1, 10, 30), point(0.2, 9, 1), point(0.3, 9, 4), point(0.4, 8, 1), point(0.5, 8, 1)]
    points += [point(0.6, 8, 0), point(0.7, 7, 0)]
    assert choose(points, 0.5).threshold == 0.5  # 0.2 keeps the budget by luck: 0.3 above it doesn't
    assert choose(points, 2.0).threshold == 0.3
    assert choose(points, 20.0).threshold == 0.1
    assert choose(points[:1], 0.5) is None
    assert choose([*points[:1], point(0.9, 0, 0)], 0.5) is None  # deaf is no choice


def test_a_threshold_is_chosen_on_some_groups_and_reported_on_others(model):
    def room(name: str, group: str, level: float) -> LabelledStream:
        return stream(name, 30, loud(5, LOW, level), [(LOW, 20, 20.5, 0.1), (LOW, 25, 25.5, 0.09)], group)

    rooms = [room(f"{group}-{i}", group, 0.3 + 0.01 * i) for group in "abcd" for i in range(2)]
    played = play(model, [*rooms, *(stream(f"background-{i}", 20, []) for i in range(4))])
    choosing, reporting = halves(played, LOW)
    assert {one.group for one in choosing}.isdisjoint(one.group for one in reporting)
    assert len(choosing) + len(reporting) == len(played)
    assert len(choosing) == len(reporting) == 6
    chosen = choose_and_report(played, model.manifest, LOW, alarms_per_hour=1.0)
    assert set(chosen.chosen_on.groups).isdisjoint(chosen.reported_on.groups)
    # Above the unlabelled faint tones, below the labelled ones.
    assert chosen.chosen_on.n_false_alarms == chosen.reported_on.n_false_alarms == 0
    assert chosen.chosen_on.recall == chosen.reported_on.recall == 1.0
    assert chosen.reported_on.threshold == chosen.threshold
    assert chosen.reported_on.recall_interval()[0] < 0.5  # twenty sounds, but two groups
    assert "to promise 1 an hour takes" in chosen.reported_on.alarms(1.0)


def test_no_threshold_is_chosen_where_none_that_keeps_the_budget_hears_anything(model):
    rooms = [stream(n, 10, [(LOW, 1, 2, 0.3)], [(LOW, 4, 4.5, 1.0), (LOW, 6, 6.5, 1.0)], n) for n in "ab"]
    assert choose_and_report(play(model, rooms), model.manifest, LOW, alarms_per_hour=0.5) is None


def test_what_cannot_be_measured_is_refused_in_one_line(model):
    one = stream("room", 5, loud(1), group="kit")
    with pytest.raises(ValueError, match=r"sounds of Low tone are in 1 group\(s\)"):
        halves(play(model, [one, replace(one, name="again")]), LOW)
    with pytest.raises(ValueError, match="several streams are called room"):
        play(model, [one, one])
    with pytest.raises(ValueError, match="sounds are labelled Whistle; tiny-stream-log_mel has Low tone"):
        play(model, [replace(one, sounds=(Sound("Whistle", 0, 1),))])
    full = [stream(name, 5, [(LOW, 0, 5, 0.5)], group=name) for name in "ab"]
    with pytest.raises(ValueError, match="no audio without Low tone"):
        choose_and_report(play(model, full), model.manifest, LOW, 0.5)


def test_a_stream_shorter_than_the_warm_up_gives_nothing_and_stops_nothing(model):
    [short] = play(model, [stream("short", 0.05, [(LOW, 0, 0.05, 0.5)])])
    assert isinstance(short, Played)
    assert (short.posteriors.shape, short.events) == ((0, 3), ())
    [point] = det([short], model.manifest, LOW, [0.5])
    assert (point.recall, point.hours) == (0.0, 0.0)
    assert point.alarms() == "False alarms were not measured: there was no audio without the sound."
