"""Intervals against scipy's and against what they promise: to hold the truth as often as they say."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

stats = pytest.importorskip("scipy.stats")

from training.expect.intervals import (  # noqa: E402
    alarms_per_hour,
    bootstrap_recall,
    poisson_bound,
    poisson_interval,
    wilson_interval,
)


@pytest.mark.parametrize(("count", "hours", "interval"), [(0, 6.0, (0.0, 0.615)), (5, 10.0, (0.162, 1.167))])
def test_a_rate_comes_with_its_exact_poisson_interval(count, hours, interval):
    # Limits of the Poisson distribution for 0 and 5 events: 0 to 3.689, 1.623 to 11.668 (Garwood 1936).
    assert poisson_interval(count, hours) == pytest.approx(interval, abs=1e-3)


@pytest.mark.parametrize("mean", [0.1, 0.7, 2.0, 3.0, 8.0, 40.0])
def test_intervals_and_bounds_of_a_rate_hold_the_truth_at_least_as_often_as_they_say(mean):
    hours = 4.0
    counts = np.arange(200)
    chance = stats.poisson.pmf(counts, mean)
    limits = np.array([poisson_interval(int(count), hours) for count in counts])
    bounds = np.array([poisson_bound(int(count), hours) for count in counts])
    assert chance[(limits[:, 0] <= mean / hours) & (mean / hours <= limits[:, 1])].sum() >= 0.95
    assert chance[mean / hours <= bounds].sum() >= 0.95


def test_no_alarm_in_t_hours_bounds_the_rate_at_3_over_t():
    assert poisson_bound(0, 6.0) == pytest.approx(0.5, rel=2e-3)
    assert poisson_bound(0, 6.0) <= 0.5


@given(st.integers(1, 200), st.floats(0, 1))
def test_the_interval_of_a_proportion_is_wilsons(of, share):
    count = round(share * of)
    theirs = stats.binomtest(count, of).proportion_ci(0.95, method="wilson")
    assert wilson_interval(count, of) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def groups_of(random: np.random.Generator, n_groups: int, n_sounds: int) -> tuple[list[bool], list[str]]:
    """Sounds of groups that are each heard with a chance of their own; 0.75 on average, from 0.4 to 1."""
    chances = np.repeat(random.beta(6, 2, n_groups), n_sounds)
    return (random.random(len(chances)) < chances).tolist(), np.repeat(np.arange(n_groups), n_sounds).astype(
        str
    ).tolist()


@pytest.mark.parametrize(("n_groups", "n_sounds"), [(12, 20), (25, 4)])
def test_a_bootstrap_by_group_holds_the_recall_of_groups_to_come(n_groups, n_sounds):
    random = np.random.default_rng(1)
    n_held, n_held_by_sound, n_trials = 0, 0, 300
    for trial in range(n_trials):
        heard, groups = groups_of(random, n_groups, n_sounds)
        low, high = bootstrap_recall(heard, groups, seed=trial)
        n_held += low <= 0.75 <= high
        low, high = wilson_interval(sum(heard), len(heard))
        n_held_by_sound += low <= 0.75 <= high
    assert n_held >= 0.88 * n_trials
    if n_sounds == 20:
        assert n_held_by_sound < 0.8 * n_trials  # what an interval that forgets the groups comes to


@pytest.mark.parametrize("n_groups", [2, 3, 5])
def test_a_bootstrap_of_few_groups_never_says_more_than_wilson_does(n_groups):
    random = np.random.default_rng(2)
    for trial in range(50):
        heard, groups = groups_of(random, n_groups, 6)
        low, high = bootstrap_recall(heard, groups, seed=trial)
        least, most = wilson_interval(sum(heard), len(heard))
        assert 0 <= low <= least <= sum(heard) / len(heard) <= most <= high <= 1


def test_forty_sounds_of_four_recordings_all_heard_say_no_more_than_four():
    groups = [str(i % 4) for i in range(40)]
    assert bootstrap_recall([True] * 40, groups) == wilson_interval(4, 4)
    assert bootstrap_recall([False] * 40, groups) == wilson_interval(0, 4)


def test_one_group_tells_nothing_of_others():
    with pytest.raises(ValueError, match="all sounds are of kit-1"):
        bootstrap_recall([True, False], ["kit-1", "kit-1"])
    with pytest.raises(ValueError, match="0 sounds and 0 groups"):
        bootstrap_recall([], [])
    with pytest.raises(ValueError, match="2 sounds and 1 groups"):
        bootstrap_recall([True, False], ["kit-1"])


@pytest.mark.parametrize(
    ("count", "hours", "promise", "sentence"),
    [
        (0, 0.0, 0.5, "False alarms were not measured: there was no audio without the sound."),
        (0, 2.0, None, "No false alarm in 2 h: at most 1.5 an hour, at 95 %."),
        (0, 6.0, 0.5, "No false alarm in 6 h: at most 0.50 an hour, at 95 %; 0.5 an hour is kept."),
        (
            0,
            2.0,
            0.5,
            "No false alarm in 2 h: at most 1.5 an hour, at 95 %; to promise 0.5 an hour takes 4.0 h more without one.",
        ),
        (3, 6.0, None, "3 false alarms in 6 h: 0.50 an hour, 95 % interval 0.10 to 1.5."),
        (
            1,
            6.0,
            0.5,
            (
                "1 false alarm in 6 h: 0.17 an hour, 95 % interval 0.0042 to 0.93; "
                "to promise 0.5 an hour takes 3.5 h more without one."
            ),
        ),
        (
            50,
            10.0,
            0.5,
            "50 false alarms in 10 h: 5.0 an hour, 95 % interval 3.7 to 6.6; 0.5 an hour is not kept.",
        ),
    ],
)
def test_alarms_per_hour_are_stated_only_as_far_as_the_hours_allow(count, hours, promise, sentence):
    assert alarms_per_hour(count, hours, promise) == sentence


@given(st.integers(0, 400), st.floats(1e-3, 1e4), st.none() | st.floats(0.01, 50))
@example(0, 1e4, None)
@example(1, 1e4, 0.5)
def test_no_sentence_ever_says_0_an_hour_nor_promises_more_than_the_bound(count, hours, promise):
    sentence = alarms_per_hour(count, hours, promise)
    assert not re.search(r"(?<![\d.])0(\.0*)? an hour", sentence)
    assert not re.search(r"\de[+-]", sentence.partition(" h: ")[2].partition(";")[0])
    assert sentence.endswith("is kept.") == (promise is not None and poisson_bound(count, hours) <= promise)
    if count == 0:
        stated = float(re.search(r"at most ([\d.]+) an hour", sentence)[1])
        assert poisson_bound(0, hours) <= stated * (1 + 1e-6) <= 1.11 * poisson_bound(0, hours)
    missing = re.search(r"takes ([\d.]+) h more", sentence)
    if missing:
        assert alarms_per_hour(count, hours + float(missing[1]) + 1e-6, promise).endswith("is kept.")
