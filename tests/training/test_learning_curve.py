"""Learning curves of fits whose truth is known, and of fits that show nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")

from training.expect.heard import Heard
from training.expect.learning_curve import LEAST_GROUPS, Point, judged, learning_curve, order_of_groups
from training.prepare.clips import Clip

HELD_OUT = tuple(f"test {i // 10}" for i in range(300))


def clips(n_groups: int, labels: tuple[str, ...] = ("knock",)) -> list[Clip]:
    found = [
        Clip(Path(f"{label} {group}.wav"), label, None, None, f"machine {group}", None)
        for group in range(n_groups)
        for label in labels
    ]
    return [*found, Clip(Path("place.wav"), None, None, None, "place", None)]


def heard(missed: float, seed: int = 0) -> Heard:
    return Heard(tuple((np.random.default_rng(seed).random(300) >= missed).tolist()), HELD_OUT)


def test_a_fit_gets_a_quarter_half_and_all_of_the_groups_each_holding_the_smaller_and_all_background():
    given: list[set[str]] = []

    def fit(part: list[Clip]) -> Heard:
        assert any(clip.label is None for clip in part)
        given.append({clip.source for clip in part if clip.label is not None})
        return heard(0.3)

    curve = learning_curve(clips(20), fit)
    assert [len(groups) for groups in given] == [5, 10, 20]
    assert given[0] < given[1] < given[2]
    assert [point.n_groups for point in curve.points] == [5, 10, 20]
    assert [n for n, _, _ in curve.as_reported()] == [5, 10, 20]


def test_what_is_known_of_the_fit_on_all_groups_is_not_fitted_again():
    n_fits = []
    known = heard(0.1)
    curve = learning_curve(clips(8), lambda part: n_fits.append(part) or heard(0.2), known=known)
    assert len(n_fits) == 2
    assert curve.points[-1].heard is known


def test_every_part_has_every_label_or_is_left_out():
    mixed = [*clips(12, ("knock",)), *[Clip(Path(f"{i}.wav"), "rattle", None, None, f"fan {i}", None) for i in (1, 2)]]
    order = order_of_groups(mixed, 0)
    assert len(set(order)) == 14
    assert sum(name.startswith("fan") for name in order[:3]) >= 1
    parts: list[set[str | None]] = []
    learning_curve(mixed, lambda part: parts.append({clip.label for clip in part}) or heard(0.3))
    assert all({"knock", "rattle"} <= labels for labels in parts)


def test_a_power_law_is_found_with_its_worth_in_a_sentence():
    # The missed part is 0.8 · n ** -0.5: with 20 groups 18 %, with 40 it would be 13 %.
    points = [Point(n, heard(0.8 * n**-0.5)) for n in (5, 10, 20)]
    curve = judged(points)
    assert curve.worth == pytest.approx(0.052, abs=0.03)
    low, high = curve.worth_interval
    assert 0 < low < curve.worth < high
    assert "doubling the groups is worth about +" in curve.sentence
    assert "if it goes on as it did" in curve.sentence


def test_the_same_recall_everywhere_is_no_worth():
    curve = judged([Point(n, heard(0.3, seed=n)) for n in (5, 10, 20)])
    assert curve.worth is None
    assert "is not known" in curve.sentence
    assert "worth about" not in curve.sentence


def test_few_held_out_groups_allow_no_sentence_on_doubling():
    def few(missed: int) -> Heard:
        return Heard((*[False] * missed, *[True] * (12 - missed)), tuple(f"g{i % 3}" for i in range(12)))

    curve = judged([Point(5, few(5)), Point(10, few(4)), Point(20, few(3))])
    assert (curve.worth, curve.worth_interval) == (None, None)
    assert "can't tell the two apart" in curve.sentence


def test_one_held_out_group_says_nothing_of_others():
    one = Heard((True, False, True), ("g",) * 3)
    assert "nothing can be said of others" in judged([Point(5, one), Point(10, one)]).sentence


def test_a_curve_that_falls_is_called_that():
    curve = judged([Point(n, heard(missed)) for n, missed in ((5, 0.1), (10, 0.4), (20, 0.7))])
    assert curve.worth is None
    assert "made it worse" in curve.sentence


def test_too_few_groups_are_refused():
    with pytest.raises(ValueError, match=f"needs at least {LEAST_GROUPS}"):
        learning_curve(clips(LEAST_GROUPS - 1), lambda part: heard(0.3))
