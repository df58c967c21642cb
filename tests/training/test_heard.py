"""Recalls compared on the same sounds: what may be said of a difference."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("scipy")

from tests import tiny_models
from training.expect.event_match import Sound
from training.expect.heard import Heard, difference, heard_in
from training.expect.play import LabelledStream, Played

GROUPS = tuple(f"kit {i // 5}" for i in range(60))


def heard(share: float, seed: int = 0) -> Heard:
    return Heard(tuple((np.random.default_rng(seed).random(60) < share).tolist()), GROUPS)


def test_a_recall_of_one_group_has_no_interval_and_of_several_holds_the_recall():
    one = heard(0.7)
    low, high = one.interval()
    assert low < one.recall < high
    assert Heard((True, False), ("kit", "kit")).interval() is None
    assert difference(Heard((True,), ("kit",)), Heard((False,), ("kit",))) is None


def test_sounds_are_the_same_ones_whatever_silence_ends_an_event():
    facts = tiny_models.manifest("stream", "log_mel", onset_delay=0)
    ends = np.round(np.arange(1, 501) * 0.04, 6)
    labelled = [(1.0, 1.4), (1.8, 2.2), (6.0, 6.4), (6.8, 7.2), (12.0, 12.4)]
    rooms = []
    for name, sounding in [("a", [(1.0, 1.4), (6.8, 7.2)]), ("b", [(12.0, 12.4)])]:
        posteriors = np.zeros((500, 3), np.float32)
        for onset, offset in sounding:
            posteriors[(ends > onset) & (ends <= offset), 0] = 1.0
        sounds = tuple(Sound("Low tone", *times) for times in labelled)
        rooms.append(Played(LabelledStream(name, np.zeros(0, np.int16), sounds), posteriors, ends, ()))
    found = {}
    for seconds in (0.1, 0.5):
        spec = msgspec.structs.replace(facts.decision, min_silence_seconds=seconds)
        found[seconds] = heard_in(rooms, msgspec.structs.replace(facts, decision=spec, label_decisions={}))
    assert found[0.1].groups == found[0.5].groups == ("a",) * 5 + ("b",) * 5
    assert found[0.1].heard == (True, False, False, True, False, *[False] * 4, True)
    # Two that are one event are heard together.
    assert found[0.5].heard == (True, True, True, True, False, *[False] * 4, True)
    assert difference(found[0.5], found[0.1]) is not None


def test_outcomes_of_other_sounds_are_not_compared():
    with pytest.raises(ValueError, match="only outcomes of the same sounds"):
        difference(heard(0.5), Heard((True, False), ("a", "b")))


def test_the_same_outcome_twice_differs_by_nothing_and_yet_not_surely():
    low, high = difference(heard(0.5), heard(0.5))
    assert low < 0 < high
    assert low == pytest.approx(-high)
    # Twelve groups that never changed say less than sixty sounds would.
    assert high > 0.1


def test_a_large_difference_is_one_and_its_interval_mirrors_when_the_two_change_places():
    many, few = heard(0.95), heard(0.3, seed=1)
    low, high = difference(many, few)
    assert 0 < low < many.recall - few.recall < high
    assert difference(few, many) == pytest.approx((-high, -low), abs=0.02)


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    n_held, n_trials = 0, 150
    for _ in range(n_trials):
        # Groups differ: some kits are easy, others hard; the second fit hears 0.15 less of each.
        easy = np.repeat(rng.uniform(0.4, 0.9, 12), 5)
        first, second = (tuple((rng.random(60) < easy - less).tolist()) for less in (0.0, 0.15))
        low, high = difference(Heard(first, GROUPS), Heard(second, GROUPS))
        n_held += low <= 0.15 <= high
    assert n_held / n_trials > 0.92
