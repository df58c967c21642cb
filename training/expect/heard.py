"""Which held-out sounds were heard: the one outcome that conditions, fits and stages are compared by.

Compared are the same sounds, heard or missed twice, so an interval is one of their differences: narrower than what two
intervals side by side would allow.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from streamd.manifest import Manifest
from training.expect.det import det, joined
from training.expect.intervals import LEVEL, N_RESAMPLES, bootstrap_recall
from training.expect.play import Played

Interval = tuple[float, float]


@dataclass(frozen=True)
class Heard:
    """Held-out sounds, in an order that stays the same."""

    heard: tuple[bool, ...]
    """For each sound, whether it was."""
    groups: tuple[str, ...]
    """The group of each sound."""

    def __post_init__(self) -> None:
        if not self.heard or len(self.heard) != len(self.groups):
            raise ValueError(f"{len(self.heard)} sounds and {len(self.groups)} groups; expected some, and as many")

    @property
    def recall(self) -> float:
        """Part of the sounds that was heard."""
        return sum(self.heard) / len(self.heard)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(set(self.groups))

    def interval(self) -> Interval | None:
        """Return the 95 % interval of the recall, by group; None with fewer than two groups: nothing can be said."""
        return bootstrap_recall(self.heard, self.groups) if self.n_groups > 1 else None


def heard_in(played: Sequence[Played], manifest: Manifest) -> Heard:
    """Return which sounds of played streams a model heard at its own thresholds, all its labels in a row.

    Sounds count as they are labelled, so that they are the same whatever min_silence a model has: of several that lie
    so close that its decision makes one event of them, all are heard or none.

    Raises:
        ValueError: there is no sound in them.
    """
    heard: list[bool] = []
    groups: list[str] = []
    for label in manifest.labels:
        spec = manifest.decision_of(label)
        outcomes = iter(det(played, manifest, label, [spec.onset_threshold])[0].heard)
        for one in played:
            sounds = [sound for sound in one.stream.sounds if sound.label == label]
            decided = joined(sounds, spec.min_silence_seconds)
            was_heard = [next(outcomes) for _ in decided]
            onsets = [sound.onset_seconds for sound in decided]
            heard += [was_heard[bisect_right(onsets, sound.onset_seconds) - 1] for sound in sounds]
            groups += [one.group] * len(sounds)
    return Heard(tuple(heard), tuple(groups))


def difference(first: Heard, second: Heard, seed: int = 0) -> Interval | None:
    """Return the 95 % interval of the recall of the first minus that of the second; None with fewer than two groups.

    Groups are drawn anew as in intervals.bootstrap_recall, each with both of its outcomes. Few groups make percentiles
    too narrow, and sounds that were heard or missed both times make them vanish: so the interval also holds that of
    Bonett and Price for paired proportions (J. Educ. Behav. Stat. 37, 2012), over the sounds, or over the groups where
    no sound changed.

    Raises:
        ValueError: they are not of the same sounds.
    """
    if first.groups != second.groups:
        raise ValueError(
            f"{len(first.heard)} and {len(second.heard)} sounds of other groups; only outcomes of the same sounds, in"
            " one order, can be compared"
        )
    names, which = np.unique(np.asarray(first.groups), return_inverse=True)
    if len(names) < 2:
        return None
    change = np.asarray(first.heard, np.int64) - np.asarray(second.heard, np.int64)
    n_won, n_lost = int((change > 0).sum()), int((change < 0).sum())
    low, high = _bonett_price(n_won, n_lost, len(change) if n_won + n_lost else len(names))
    n_sounds, gained = np.bincount(which), np.bincount(which, weights=change)
    drawn = np.random.default_rng(seed).integers(len(names), size=(N_RESAMPLES, len(names)))
    differences = gained[drawn].sum(axis=1) / n_sounds[drawn].sum(axis=1)
    least, most = np.percentile(differences, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return min(low, float(least)), max(high, float(most))


def _bonett_price(n_won: int, n_lost: int, n: int) -> Interval:
    won, lost = (n_won + 1) / (n + 2), (n_lost + 1) / (n + 2)
    half = float(norm.ppf((1 + LEVEL) / 2)) * math.sqrt((won + lost - (won - lost) ** 2) / (n + 2))
    return max(-1.0, won - lost - half), min(1.0, won - lost + half)
