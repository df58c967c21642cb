"""Decisions are chosen on tuning streams for a budget of false alarms, and stand in the model file afterwards."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

pytest.importorskip("scipy")
pytest.importorskip("torch")

from streamd.decision import DecisionSpec
from streamd.errors import ModelError, UsageError
from streamd.model import Model
from tests import tiny_models
from tests.tiny_models import SAMPLE_RATE
from tests.training.tone_streams import HIGH, LOW, MIDDLE, loud, stream
from training.expect.budget import check_budget
from training.expect.delays import Delays
from training.expect.event_match import Sound
from training.expect.intervals import poisson_bound
from training.expect.play import LabelledStream, Played, play
from training.expect.rewrite import with_decisions
from training.expect.thresholds import choose_decisions, hours_to_prove, in_halves, most_alarms, tune


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny_models.build(tmp_path, "stream", "log_mel", onset_delay=0, offset_delay=0)


def by_hand(seed: int, values: np.ndarray, sounds: list[tuple[float, float]], group: str = "a") -> Played:
    """Hops of 0.04 s with these posteriors of Low tone, faint noise in them."""
    facts = tiny_models.manifest("stream", "log_mel")
    posteriors = np.zeros((len(values), 3), np.float32)
    posteriors[:, 0] = np.clip(values + np.random.default_rng(seed).uniform(0, 0.01, len(values)), 0, 1)
    ends = (facts.first_score_samples + np.arange(len(values)) * facts.hop_samples) / SAMPLE_RATE
    labelled = tuple(Sound(LOW, onset, offset) for onset, offset in sounds)
    return Played(LabelledStream(f"{group}-{seed}", np.zeros(0, np.int16), labelled, group), posteriors, ends, ())


def spans(n_hops: int, level: float, found: list[tuple[float, float]]) -> np.ndarray:
    """Posteriors of a level while these spans of seconds last, else 0."""
    ends = (np.arange(n_hops) * 0.04) + 0.24
    values = np.zeros(n_hops)
    for begin, end in found:
        values[(ends >= begin - 1e-9) & (ends < end - 1e-9)] = level
    return values


@pytest.mark.parametrize("hours", [0.1, 5.9, 6.0, 20.0, 100.0])
def test_the_bound_of_as_many_alarms_as_are_allowed_keeps_the_budget_and_one_more_does_not(hours):
    n = most_alarms(hours, 0.5)
    assert poisson_bound(n + 1, hours) > 0.5
    assert n == 0 or poisson_bound(n, hours) <= 0.5
    assert hours_to_prove(0.5) == pytest.approx(6, abs=0.01)


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_that_no_hours_could_show_is_refused(budget):
    with pytest.raises(UsageError, match="expected a number above 0"):
        check_budget(budget)


def test_a_threshold_lies_between_tones_that_are_labelled_and_fainter_ones_that_are_not(file: Path):
    rooms = [
        stream(f"room {i}", 41, loud(10, LOW, 0.1), [(LOW, 2.0 * j + 21, 2.0 * j + 21.5, 0.05) for j in range(10)])
        for i in range(2)
    ]
    model = Model(file, "cpu")
    before = play(model, rooms)
    tuned = tune(file, before, model.manifest, 0.5)
    model = Model(file, "cpu")  # verified: it gives its golden answer
    assert model.manifest == tuned.manifest
    [choice] = [one for one in tuned.choices if one.label == LOW]
    assert choice.keeps_budget
    assert choice.chosen_on.n_false_alarms == 0
    assert choice.chosen_on.recall == 1.0
    assert choice.decision.n_confirm == 1
    assert choice.decision.offset_threshold < choice.decision.onset_threshold
    after = play(model, rooms)
    events = [event for one in after for event in one.events]
    assert len(events) == 20
    assert all(event.onset_seconds < 21 for event in events)
    # The delays were measured with what was chosen: events lie on the tones.
    late = [event.onset_seconds - round(event.onset_seconds) for event in events]
    assert abs(np.median(late)) <= model.manifest.hop_seconds
    assert not any(one.events for one in before)


def test_labels_that_cannot_be_chosen_for_keep_their_decision_and_it_is_said(file: Path):
    model = Model(file, "cpu")
    # What is labelled Middle tone is not heard at all; a louder Low tone is no sound.
    streams = [
        stream("a", 20, [*loud(5), (MIDDLE, 12, 13, 0.0001)], [(LOW, 15, 15.5, 0.9), (LOW, 17, 17.5, 0.9)]),
        stream("b", 20, [(MIDDLE, 2, 3, 0.0001)]),
    ]
    tuned = choose_decisions(play(model, streams), model.manifest, 0.5)
    by_label = {choice.label: choice for choice in tuned.choices}
    assert by_label[MIDDLE].chosen_on is None
    assert by_label[MIDDLE].decision.onset_threshold == model.manifest.decision.onset_threshold
    assert by_label[LOW].chosen_on.n_false_alarms > 0
    said = tuned.sentence(0.5, "two streams", "others")
    assert "No threshold keeps that for Low tone: taken was what alarmed least of those that hear half" in said
    assert "Not chosen for Middle tone: none of its sounds was heard there." in said
    assert "takes 6 h without the sound and without an alarm; there were fewer" in said


def test_a_label_without_any_sound_gets_the_lowest_threshold_that_is_quiet_on_what_was_played():
    facts = tiny_models.manifest("stream", "log_mel", onset_delay=0, offset_delay=0)
    for level, threshold, said in [
        (0.0, 0.5, "no sound of Low tone: the lowest threshold from 0.5 on that gave no false alarm was taken"),
        (0.72, 0.75, "no sound of Low tone: the lowest threshold from 0.5 on that gave no false alarm was taken"),
        (1.0, 0.9999, "no sound of Low tone, and every threshold gave a false alarm: the highest was taken"),
    ]:
        played = [by_hand(0, spans(500, level, [(5, 6), (12, 13)]), [])]
        tuned = choose_decisions(played, facts, 0.5, [LOW])
        [choice] = tuned.choices
        assert choice.decision.onset_threshold == tuned.manifest.decision_of(LOW).onset_threshold == threshold
        assert choice.chosen_on is None
        assert choice.keeps_budget == (level < 1)
        assert said in tuned.sentence(0.5, "negatives", "others")


def test_hops_that_confirm_are_asked_for_where_only_they_tell_sounds_from_clicks():
    facts = tiny_models.manifest("stream", "log_mel", onset_delay=0, offset_delay=0)
    sounds = [(2.0 + 3 * i, 2.6 + 3 * i) for i in range(10)]
    clicks = [(3.6 + 3 * i, 3.68 + 3 * i) for i in range(10)]  # two hops, as sure as a sound
    played = [by_hand(i, spans(900, 0.9, [*sounds, *clicks]), sounds, f"group {i}") for i in range(2)]
    tuned = choose_decisions(played, facts, 0.5, [LOW])
    [choice] = tuned.choices
    assert (choice.chosen_on.recall, choice.chosen_on.n_false_alarms) == (1.0, 0)
    assert choice.decision.n_confirm == 3 or choice.decision.smoothing_seconds > 0
    calm = [by_hand(i, spans(900, 0.9, sounds), sounds, f"group {i}") for i in range(2)]
    [choice] = choose_decisions(calm, facts, 0.5, [LOW]).choices
    assert (choice.decision.n_confirm, choice.decision.smoothing_seconds) == (1, 0.0)


def test_silence_that_ends_a_sound_is_longer_where_sounds_have_pauses():
    facts = tiny_models.manifest("stream", "log_mel", onset_delay=0, offset_delay=0)
    sounds = [(2.0 + 5 * i, 4.0 + 5 * i) for i in range(6)]
    beeps = [(onset + j * 0.8, onset + j * 0.8 + 0.4) for onset, _ in sounds for j in range(3)]
    played = [by_hand(i, spans(900, 0.9, beeps), sounds, f"group {i}") for i in range(2)]
    [choice] = choose_decisions(played, facts, 0.5, [LOW]).choices
    assert choice.decision.min_silence_seconds == 0.5
    plain = [by_hand(i, spans(900, 0.9, sounds), sounds, f"group {i}") for i in range(2)]
    [choice] = choose_decisions(plain, facts, 0.5, [LOW]).choices
    assert choice.decision.min_silence_seconds == facts.decision.min_silence_seconds


def test_without_any_stream_nothing_is_chosen():
    facts = tiny_models.manifest("stream", "log_mel")
    tuned = choose_decisions([], facts)
    assert all(choice.chosen_on is None for choice in tuned.choices)
    assert (tuned.delays, tuned.manifest.onset_delay) == (None, facts.onset_delay)


def test_a_model_file_is_rewritten_whole_or_not_at_all(file: Path):
    before = file.read_bytes()
    spec = DecisionSpec(onset_threshold=0.9)
    late = Delays.of([100, 200, 300], [400, 500, 600], 4, SAMPLE_RATE)
    facts = with_decisions(file, {HIGH: spec}, late, {"recall": 1.0})
    model = Model(file, "cpu")
    assert model.manifest == facts
    assert model.manifest.decision_of(HIGH) == spec
    assert (facts.onset_delay, facts.offset_delay, facts.expected) == (200, 500, {"recall": 1.0})
    assert onnx.load(file).graph == onnx.load_from_string(before).graph
    assert with_decisions(file) == facts
    again = file.read_bytes()
    with pytest.raises(ValueError, match="Whistle"):
        with_decisions(file, {"Whistle": spec})
    assert hashlib.sha256(file.read_bytes()).digest() == hashlib.sha256(again).digest()
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_a_model_that_does_not_give_its_golden_answer_is_not_rewritten(file: Path):
    model = Model(file, "cpu")
    golden = msgspec.structs.replace(model.manifest.golden, seed=3)
    tiny_models.write(file, msgspec.structs.replace(model.manifest, golden=golden), onnx.load(file))
    broken = file.read_bytes()
    with pytest.raises(ModelError, match="golden answer"):
        with_decisions(file, {HIGH: DecisionSpec()})
    assert file.read_bytes() == broken


def one(name: str, group: str, seconds: int, **n_sounds: int) -> Played:
    """So many hops of nothing, with sounds."""
    labels = [label.replace("_", " ") for label, n in n_sounds.items() for _ in range(n)]
    sounds = tuple(Sound(label, i, i + 0.5) for i, label in enumerate(labels))
    stream = LabelledStream(name, np.zeros(0, np.int16), sounds, group)
    return Played(stream, np.zeros((seconds, 3), np.float32), np.arange(seconds, dtype=np.float64), ())


def test_pieces_of_one_background_recording_are_shared_by_both_halves():
    played = [one(f"kit {i}", f"kit {i}", 30, Low_tone=5) for i in range(4)]
    # Of four lessons, each tested on its own piece.
    played += [one("places/street.wav", "street", 100) for _ in range(4)]
    # What a group's own recording has besides its sounds stays with it.
    played += [one("kit 0 at rest", "kit 0", 10)]
    halves = in_halves(played)
    assert [sum(each.group == "street" for each in half) for half in halves] == [2, 2]
    assert [len({each.group for each in half if each.stream.sounds}) for half in halves] == [2, 2]
    assert sorted(sum(each.group == "kit 0" for each in half) for half in halves) == [0, 2]


def test_halves_cut_no_group_and_share_every_label_and_the_background():
    played = [one(f"low {i}", f"kit {i}", 30, Low_tone=5) for i in range(4)]
    played += [one(f"high {i}", f"kit {i}", 30, High_tone=3) for i in range(2)]
    played += [one(f"place {i}", f"place {i}", 100) for i in range(4)]
    halves = in_halves(played)
    assert sorted(each.stream.name for half in halves for each in half) == sorted(each.stream.name for each in played)
    groups = [{each.group for each in half} for half in halves]
    assert groups[0].isdisjoint(groups[1])
    counts = [Counter(sound.label for each in half for sound in each.stream.sounds) for half in halves]
    assert counts[0] == counts[1] == {LOW: 10, HIGH: 3}
    assert [sum(len(each.posteriors) for each in half) for half in halves] == [290, 290]
    assert in_halves(list(reversed(played)))[0][0].group == halves[0][0].group
    assert in_halves([]) == ([], [])


def test_where_no_threshold_keeps_the_budget_one_is_taken_that_hears_half_of_what_can_be_heard():
    facts = tiny_models.manifest("stream", "log_mel", onset_delay=0, offset_delay=0)
    sounds = [(2.0 + 3 * i, 2.6 + 3 * i) for i in range(10)]
    # One sound is as sure as the strange ones at the end, all others are at 0.7, as some more strange ones are.
    heard = spans(1500, 0.7, sounds[1:]) + spans(1500, 0.9995, sounds[:1])
    strange = spans(1500, 0.9995, [(36, 36.5), (42, 42.5)]) + spans(1500, 0.6, [(50, 50.5)])
    played = [by_hand(i, heard + strange, sounds, f"group {i}") for i in range(2)]
    [choice] = choose_decisions(played, facts, 0.5, [LOW]).choices
    assert not choice.keeps_budget
    assert 0.6 < choice.decision.onset_threshold <= 0.7
    assert sum(choice.chosen_on.heard) == 20
