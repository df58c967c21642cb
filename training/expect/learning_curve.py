"""What more groups would be worth: recall on the same held-out sounds, trained on a quarter, half and all of them.

Groups are counted, not clips: one recording of another machine teaches what a hundred of the same one don't.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.expect.heard import Heard, Interval, difference
from training.expect.intervals import LEVEL, N_RESAMPLES
from training.prepare.clips import Clip
from training.prepare.simulation.chance import generator

SHARES = (0.25, 0.5, 1.0)
"""Doublings: a power law is a straight line over them, and three points are the fewest that can contradict it."""
LEAST_GROUPS = 4
"""With fewer, a quarter is none."""

Fit = Callable[[Sequence[Clip]], Heard]
"""Trains on clips and returns which of the held-out sounds the finished model hears at thresholds for its budget: the
same sounds in the same order on every call, and as many steps."""


@dataclass(frozen=True)
class Point:
    """One fit."""

    n_groups: int
    heard: Heard


@dataclass(frozen=True)
class LearningCurve:
    """All of them, and what they allow to say."""

    points: tuple[Point, ...]
    """From few groups to many."""
    worth: float | None
    """Recall that a doubling of all groups would add, by the power law; None where it can't be told."""
    worth_interval: Interval | None
    sentence: str

    def as_reported(self) -> list[tuple[int, float, Interval | None]]:
        """Return groups, recall and its interval, as report.json has them."""
        return [(one.n_groups, one.heard.recall, one.heard.interval()) for one in self.points]


def learning_curve(
    clips: Sequence[Clip], fit: Fit, seed: int = 0, shares: Sequence[float] = SHARES, known: Heard | None = None
) -> LearningCurve:
    """Fit on parts of the training groups and say what a doubling would be worth.

    Args:
        clips: of training, each with its group as source; background clips are in every part.
        fit: see Fit.
        seed: of the order of groups; a larger part holds all of the smaller ones.
        shares: parts of the groups, rising to 1.
        known: what the fit on all of them gave, where it was made already.

    Raises:
        ValueError: there are fewer than LEAST_GROUPS groups with sounds.
    """
    order = order_of_groups(clips, seed)
    if len(order) < LEAST_GROUPS:
        raise ValueError(f"{len(order)} groups; a learning curve needs at least {LEAST_GROUPS} to train on")
    n_labels = len({clip.label for clip in clips} - {None})
    points = []
    for n_groups in sorted({max(1, round(share * len(order))) for share in shares}):
        kept = {*order[:n_groups], None}
        part = [clip for clip in clips if clip.label is None or clip.source in kept]
        if len({clip.label for clip in part} - {None}) < n_labels:
            continue  # a label without a clip isn't worse learned, but not at all
        is_whole = n_groups == len(order)
        points.append(Point(n_groups, known if known is not None and is_whole else fit(part)))
    return judged(points)


def order_of_groups(clips: Sequence[Clip], seed: int) -> list[str]:
    """Return the groups that have sounds in an order of chance, but such that all labels come early."""
    labels_of: dict[str, set[str]] = {}
    for clip in clips:
        if clip.label is not None:
            labels_of.setdefault(clip.source or str(clip.path), set()).add(clip.label)
    names = sorted(labels_of)
    generator(seed, "learning curve", "groups").shuffle(names)
    order: list[str] = []
    there: set[str] = set()
    while names:
        # The first of those that add most labels; among equals chance has decided.
        best = max(names, key=lambda name: len(labels_of[name] - there))
        names.remove(best)
        order.append(best)
        there |= labels_of[best]
        if there == set().union(*labels_of.values()):
            there = set()
    return order


def judged(points: Sequence[Point]) -> LearningCurve:
    """Return the curve of finished fits, and what a doubling is worth where the intervals allow to say so.

    Missed sounds fall as a power of the groups (Hestness and others, arXiv 1712.00409): a straight line through the
    logarithms. It is drawn through held-out groups drawn anew, the same ones for every fit. One fit a point leaves out
    by how much two fits differ, so a worth is only told if, besides, all the groups are surely better than the fewest.
    """
    ordered = tuple(sorted(points, key=lambda one: one.n_groups))
    told = LearningCurve(ordered, None, None, "")
    if len({one.n_groups for one in ordered}) < 2:
        return _with(
            told, "What more groups would be worth can't be told: there are too few to train on parts of them."
        )
    first, last = ordered[0], ordered[-1]
    rise = difference(last.heard, first.heard)
    few, many = (f"{_percent(one.heard.recall)} of the sounds with {one.n_groups}" for one in (first, last))
    curve = f"{few} groups, {many}"
    if rise is None:
        return _with(told, f"{curve}; all held-out sounds are of one group, so nothing can be said of others.")
    if rise[0] <= 0 <= rise[1]:
        return _with(
            told,
            f"{curve}: so many held-out groups can't tell the two apart (difference {_signed(rise[0])} to"
            f" {_signed(rise[1])}), and what more groups would be worth is not known.",
        )
    if rise[1] < 0:
        return _with(
            told, f"{curve}: more groups made it worse. Look at what the later ones hold, and at their labels."
        )
    worth, interval = _worth(ordered)
    if interval[0] <= 0:
        return _with(
            told,
            f"{curve}: more groups did help; by how much another doubling would, these fits don't tell"
            f" ({_signed(interval[0])} to {_signed(interval[1])}).",
        )
    return LearningCurve(
        ordered,
        worth,
        interval,
        f"{curve}: doubling the groups is worth about {_signed(worth)} of the sounds"
        f" (95 % interval {_signed(interval[0])} to {_signed(interval[1])}), if it goes on as it did.",
    )


def _worth(points: Sequence[Point]) -> tuple[float, Interval]:
    """Return what a doubling adds to the recall, and its interval over held-out groups drawn anew."""
    groups = points[-1].heard.groups
    names, which = np.unique(np.asarray(groups), return_inverse=True)
    n_sounds = np.bincount(which)
    n_missed = np.array([np.bincount(which, weights=~np.asarray(one.heard.heard)) for one in points])
    drawn = np.random.default_rng(0).integers(len(names), size=(N_RESAMPLES, len(names)))
    drawn = np.vstack([np.arange(len(names)), drawn])
    n_drawn = n_sounds[drawn].sum(axis=1)
    # Half a sound missed stands for none: its logarithm is known, and the next sound could have been missed.
    missed = np.maximum(n_missed[:, drawn].sum(axis=2), 0.5) / n_drawn
    gains = _gain(np.log([one.n_groups for one in points]), missed)
    low, high = np.percentile(gains[1:], [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(gains[0]), (float(low), float(high))


def _gain(logs: NDArray[np.float64], missed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much the missed part (n_points, n_draws) falls when the last point doubles, (n_draws,)."""
    centred = logs - logs.mean()
    slopes = centred @ np.log(missed) / (centred @ centred)
    last = np.exp(np.log(missed).mean(axis=0) + slopes * centred[-1])
    return np.asarray(last * (1 - np.exp(slopes * math.log(2))))


def _with(curve: LearningCurve, sentence: str) -> LearningCurve:
    return LearningCurve(curve.points, None, None, sentence)


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"


def _signed(part: float) -> str:
    return f"{100 * part:+.0f} %"
