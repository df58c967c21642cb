"""Events are paired with labelled sounds as sed_eval pairs them, and as well as trying every pairing does."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy")

from training.expect.event_match import Scores, Sound, collar, confusion, match, score, total

LABELS = ("Dog", "Cat", "Bell")
SCENES = 30
# What sed_eval 0.2.1 (EventBasedMetrics, event_matching_type="optimal", percentage_of_length=0.2) counts as true
# positives in scene(0), scene(1), …; its collar is 0.2 s in even scenes and 0.36 s in odd ones.
SED_EVAL = [
    11,
    19,
    12,
    21,
    3,
    18,
    7,
    17,
    7,
    17,
    10,
    20,
    12,
    16,
    7,
    19,
    8,
    25,
    9,
    18,
    10,
    19,
    8,
    21,
    10,
    12,
    8,
    20,
    7,
    19,
]
SED_EVAL_ONSETS = [
    19,
    28,
    25,
    26,
    13,
    28,
    19,
    27,
    18,
    25,
    22,
    26,
    21,
    25,
    13,
    30,
    13,
    30,
    16,
    30,
    22,
    26,
    20,
    27,
    18,
    27,
    18,
    30,
    15,
    26,
]


def scene(seed: int) -> tuple[list[Sound], list[Sound]]:
    """Crowded labels, and events near them, missing, surplus and of the wrong label."""
    chance = random.Random(seed)  # the same numbers in every Python since 3.2
    sounds, events = [], []
    for _ in range(40):
        onset, length = chance.uniform(0, 12), chance.uniform(0.1, 3)
        sounds.append(Sound(LABELS[int(3 * chance.random())], onset, onset + length))
    for sound in sounds:
        label = sound.label if chance.random() < 0.8 else LABELS[int(3 * chance.random())]
        begin = sound.onset_seconds + chance.uniform(-0.5, 0.5)
        events.append(Sound(label, begin, max(begin, sound.offset_seconds + chance.uniform(-0.6, 0.6))))
    return sounds, events[4:] + events[20:24]


def counts(offset_share: float | None) -> list[int]:
    collars = [0.36 if seed % 2 else 0.2 for seed in range(SCENES)]
    return [total(score(*scene(seed), collars[seed], offset_share).values()).n_matched for seed in range(SCENES)]


@pytest.mark.parametrize(("offset_share", "theirs"), [(0.2, SED_EVAL), (None, SED_EVAL_ONSETS)])
def test_as_many_events_are_right_as_sed_eval_says(offset_share, theirs):
    assert counts(offset_share) == theirs


def every_pairing(sounds: list[Sound], events: list[Sound], collar_seconds: float) -> tuple[int, float]:
    """Most pairs and least distance, found by trying all pairings."""
    few, many = sorted((sounds, events), key=len)
    best = (0, 0.0)
    for order in permutations(range(len(many)), len(few)):
        away = [abs(few[i].onset_seconds - many[j].onset_seconds) for i, j in enumerate(order)]
        near = [one for one in away if one <= collar_seconds + 1e-9]
        best = max(best, (len(near), -sum(near)))
    return best[0], -best[1]


def some(labels: tuple[str, ...], most: int) -> st.SearchStrategy[list[Sound]]:
    times = st.integers(0, 12).map(lambda n: n / 10)
    sound = st.builds(
        lambda label, onset, length: Sound(label, onset, onset + length), st.sampled_from(labels), times, times
    )
    return st.lists(sound, max_size=most)


@given(some(("Dog",), 5), some(("Dog",), 5))
def test_no_other_pairing_has_more_pairs_or_nearer_ones(sounds, events):
    pairs = match(sounds, events, 0.2, None)
    away = [abs(sounds[i].onset_seconds - events[j].onset_seconds) for i, j in pairs]
    most, least = every_pairing(sounds, events, 0.2)
    assert len(pairs) == most
    assert sum(away) == pytest.approx(least)


@given(some(LABELS, 8), some(LABELS, 8), st.randoms(use_true_random=False))
def test_the_order_of_events_changes_no_count(sounds, events, chance):
    before = score(sounds, events, 0.2), confusion(sounds, events, 0.2)
    chance.shuffle(sounds)
    chance.shuffle(events)
    assert (score(sounds, events, 0.2), confusion(sounds, events, 0.2)) == before


@given(some(LABELS, 8), some(LABELS, 8), st.sampled_from([0.0, 0.1, 0.2, 0.5]))
def test_every_sound_and_every_event_is_counted_once_and_a_wider_collar_loses_none(sounds, events, collar_seconds):
    counted = total(score(sounds, events, collar_seconds).values())
    assert (counted.n_sounds, counted.n_events) == (len(sounds), len(events))
    assert counted.n_matched <= min(len(sounds), len(events))
    assert counted.n_matched <= total(score(sounds, events, collar_seconds + 0.1).values()).n_matched
    assert counted.n_matched <= total(score(sounds, events, collar_seconds, None).values()).n_matched
    found = confusion(sounds, events, collar_seconds)
    assert sum(n for (label, _), n in found.items() if label) == len(sounds)
    assert sum(n for (_, label), n in found.items() if label) == len(events)
    assert all(n > 0 for n in found.values())


@given(some(LABELS, 8))
def test_events_that_are_the_labels_are_all_right(sounds):
    counted = total(score(sounds, sounds, 0.2).values())
    assert counted == Scores(len(sounds), len(sounds), len(sounds))
    assert all(label == heard for label, heard in confusion(sounds, sounds, 0.2))


def test_an_event_just_on_the_collar_is_right_and_one_beyond_is_not():
    # In floats 0.7 + 0.2 is less than 0.9, and 0.8 − 0.2 more than 0.6.
    assert match([Sound("Dog", 0.7, 1.7)], [Sound("Dog", 0.9, 1.9)], 0.2) == [(0, 0)]
    assert match([Sound("Dog", 0.8, 1.8)], [Sound("Dog", 0.6, 1.6)], 0.2) == [(0, 0)]
    dog = [Sound("Dog", 0.3, 1.3)]
    assert match(dog, [Sound("Dog", 0.501, 1.3)], 0.2) == []
    assert match(dog, [Sound("Dog", 0.3, 1.501)], 0.2) == []


def test_the_offset_of_a_long_sound_may_be_wrong_by_a_fifth_of_its_length():
    hoover = [Sound("Vacuum cleaner", 0, 10)]
    assert match(hoover, [Sound("Vacuum cleaner", 0, 11.9)], 0.2) == [(0, 0)]
    assert match(hoover, [Sound("Vacuum cleaner", 0, 12.1)], 0.2) == []
    assert match(hoover, [Sound("Vacuum cleaner", 0, 12.1)], 0.2, None) == [(0, 0)]


@pytest.mark.parametrize(("hop_seconds", "seconds"), [(0.08, 0.2), (0.24, 0.36)])
def test_the_collar_is_never_finer_than_the_grid_of_decisions(hop_seconds, seconds):
    assert collar(hop_seconds) == pytest.approx(seconds)


def test_a_confusion_names_what_was_heard_instead():
    sounds = [Sound("Dog", 1, 2), Sound("Dog", 5, 6), Sound("Cat", 9, 10)]
    events = [Sound("Dog", 1.1, 4), Sound("Cat", 5.1, 6), Sound("Cat", 1.1, 2), Sound("Bell", 20, 21)]
    assert confusion(sounds, events, 0.2) == {
        ("Dog", "Dog"): 1,
        ("Dog", "Cat"): 1,
        ("Cat", None): 1,
        (None, "Cat"): 1,
        (None, "Bell"): 1,
    }


def test_scores_of_streams_add_up_and_a_quotient_of_nothing_is_none():
    both = total([Scores(4, 2, 2), Scores(4, 8, 3)])
    assert both == Scores(8, 10, 5)
    assert (both.precision, both.recall, both.f1) == (0.5, 0.625, pytest.approx(5 / 9))
    nothing = total([])
    assert (nothing.precision, nothing.recall, nothing.f1) == (None, None, None)
    assert (Scores(3, 0, 0).precision, Scores(3, 0, 0).recall, Scores(3, 0, 0).f1) == (None, 0.0, 0.0)


def test_hours_of_crowded_audio_are_paired_in_a_moment():
    sounds = [Sound("Dog", i / 2, i / 2 + 0.3) for i in range(20_000)]
    assert len(match(sounds, [Sound("Dog", s.onset_seconds + 0.1, s.offset_seconds) for s in sounds], 0.2)) == 20_000
