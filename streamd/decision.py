"""When posteriors become a sound: smoothing, hysteresis, confirmation, silence, refractory time.

One code for the daemon, for replay and for training's evaluation. It works on arrays over
(row, label), a row being a source; Python looks at single cells only where a sound begins or ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

_IDLE, _CANDIDATE, _ACTIVE = 0, 1, 2


class DecisionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How the posteriors of one label become events. Seconds become hops once, rounded up.

    Raises:
        ValueError: a threshold outside 0..1, offset above onset, a negative duration.
    """

    smoothing_seconds: float = 0.0
    """The score is the mean of the posteriors of this long; at least one hop."""
    onset_threshold: float = 0.5
    """Score at or above which a sound begins (0..1)."""
    n_confirm: int = 1
    """The onset is published once this many hops in a row were at or above onset_threshold."""
    offset_threshold: float = 0.35
    """Score below which it fades (0..1); never above onset_threshold."""
    min_silence_seconds: float = 0.5
    """The sound is over after this long without a score at or above offset_threshold."""
    refractory_seconds: float = 0.0
    """No new onset begins for this long after the hop that published an offset."""

    def __post_init__(self) -> None:
        for name in ("onset_threshold", "offset_threshold"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ValueError(f"{name} is {value}; expected a number above 0 and at most 1")
        if self.offset_threshold > self.onset_threshold:
            raise ValueError(
                f"offset_threshold {self.offset_threshold} is above onset_threshold {self.onset_threshold}; "
                "a sound would end before it begins"
            )
        if not 1 <= self.n_confirm <= 10_000:
            raise ValueError(f"n_confirm is {self.n_confirm}; expected a whole number from 1 to 10000")
        # Posteriors are kept for as long as they are smoothed: a model file must not ask for a machine's memory.
        for name, most in (("smoothing_seconds", 60), ("min_silence_seconds", 3600), ("refractory_seconds", 86_400)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise ValueError(f"{name} is {value}; expected seconds from 0 to {most}")


@dataclass(frozen=True, slots=True)
class Edge:
    """A sound that begins or ends in one row."""

    row: int
    label: int
    """Index of the label in the order of the specs."""
    is_onset: bool
    hop: int
    """Onset: the first candidate hop. Offset: the last hop at or above offset_threshold.
    Hops count from the row's last reset."""
    score: float
    """Score at the hop that decided."""
    peak: float
    """Highest score since the first candidate hop."""


def hops(seconds: float, hop_seconds: float) -> int:
    """Return how many hops last at least `seconds`; exact multiples are not rounded up by an epsilon."""
    return math.ceil(seconds / hop_seconds - 1e-9)


class Decision:
    """The state machines of every (row, label).

    idle → candidate at the first hop with score ≥ onset_threshold outside the refractory time;
    candidate → idle when score < offset_threshold, unseen from outside;
    candidate → active, an onset, when the last n_confirm hops were all ≥ onset_threshold;
    active → idle, an offset, after min_silence_seconds without a hop ≥ offset_threshold.
    """

    def __init__(self, specs: Sequence[DecisionSpec], hop_seconds: float) -> None:
        """Prepare for labels with these specs, in this order, decided every hop_seconds; no rows yet."""

        def in_hops(name: str, least: int) -> NDArray[np.int64]:
            return np.array([max(least, hops(getattr(spec, name), hop_seconds)) for spec in specs], np.int64)

        self.specs = tuple(specs)
        self._n_smoothing = in_hops("smoothing_seconds", 1)
        self._n_silence = in_hops("min_silence_seconds", 1)
        self._n_refractory = in_hops("refractory_seconds", 0)
        self._n_confirm = np.array([spec.n_confirm for spec in specs], np.int64)
        self._onset_threshold = np.array([spec.onset_threshold for spec in specs], np.float64)
        self._offset_threshold = np.array([spec.offset_threshold for spec in specs], np.float64)
        self._max_smoothing = int(self._n_smoothing.max(initial=1))
        self._allocate(0)

    def _allocate(self, n_rows: int) -> None:
        shape = (n_rows, len(self.specs))
        self._hop = np.zeros(n_rows, np.int64)
        self._past = np.zeros((self._max_smoothing, *shape), np.float32)  # posteriors, by hop modulo length
        self._busy = np.zeros(n_rows, np.bool_)  # is any label of the row in a state that a quiet hop changes?
        self._phase = np.zeros(shape, np.int8)
        self._n_high = np.zeros(shape, np.int64)
        self._n_low = np.zeros(shape, np.int64)
        self._first = np.zeros(shape, np.int64)
        self._last = np.zeros(shape, np.int64)
        self._blocked = np.zeros(shape, np.int64)
        self._peak = np.zeros(shape, np.float64)

    def add_row(self) -> int:
        """Add a row and return its index."""
        n_rows = len(self._hop)
        for name in ("_hop", "_busy", "_phase", "_n_high", "_n_low", "_first", "_last", "_blocked", "_peak"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros((1, *old.shape[1:]), old.dtype)]))
        row = np.zeros((self._max_smoothing, 1, len(self.specs)), np.float32)
        self._past = np.concatenate([self._past, row], axis=1)
        return n_rows

    def step(self, rows: NDArray[np.intp], posteriors: NDArray[np.float32]) -> tuple[NDArray[np.float64], list[Edge]]:
        """Decide one hop of some rows.

        Args:
            rows: distinct row indices, shape (n,).
            posteriors: their posteriors, shape (n, n_labels), 0..1.

        Returns:
            The scores, shape (n, n_labels), and what began or ended.
        """
        hop = self._hop[rows]
        self._past[hop % self._max_smoothing, rows] = posteriors
        score = self._smooth(rows, hop)
        self._hop[rows] = hop + 1
        audible = score >= self._offset_threshold
        if not (audible.any() or self._busy[rows].any()):
            return score, []  # nothing sounds: most hops of most days
        high = score >= self._onset_threshold
        phase = self._phase[rows]
        blocked = self._blocked[rows]

        begins = (phase == _IDLE) & high & (blocked == 0)
        fades = (phase == _CANDIDATE) & ~audible
        phase[begins] = _CANDIDATE
        phase[fades] = _IDLE

        n_high = np.where(high, self._n_high[rows] + 1, 0)
        n_low = np.where(audible, 0, self._n_low[rows] + 1)
        first = np.where(begins, hop[:, None], self._first[rows])
        last = np.where(audible, hop[:, None], self._last[rows])
        peak = np.where(begins, score, np.maximum(self._peak[rows], score))
        onset = (phase == _CANDIDATE) & (n_high >= self._n_confirm)
        offset = (phase == _ACTIVE) & (n_low >= self._n_silence)
        phase[onset] = _ACTIVE
        phase[offset] = _IDLE

        self._phase[rows] = phase
        self._n_high[rows] = n_high
        self._n_low[rows] = n_low
        self._first[rows] = first
        self._last[rows] = last
        self._peak[rows] = peak
        blocked = np.where(offset, self._n_refractory, np.maximum(blocked - 1, 0))
        self._blocked[rows] = blocked
        self._busy[rows] = ((phase != _IDLE) | (n_high > 0) | (blocked > 0)).any(axis=1)
        edges = [
            Edge(
                int(rows[i]),
                int(label),
                bool(onset[i, label]),
                int(first[i, label] if onset[i, label] else last[i, label]),
                float(score[i, label]),
                float(peak[i, label]),
            )
            for i, label in zip(*np.nonzero(onset | offset), strict=True)
        ]
        return score, edges

    def _smooth(self, rows: NDArray[np.intp], hop: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean of the last n_smoothing posteriors (fewer right after a reset): float64, oldest first."""
        if self._max_smoothing == 1:
            latest: NDArray[np.float64] = self._past[0, rows].astype(np.float64)
            return latest
        count = np.minimum(self._n_smoothing, hop[:, None] + 1)
        total = np.zeros(count.shape, np.float64)
        for age in range(self._max_smoothing - 1, -1, -1):
            total += np.where(age < count, self._past[(hop - age) % self._max_smoothing, rows], 0)
        mean: NDArray[np.float64] = total / count
        return mean

    def forget(self, row: int) -> None:
        """Make a row as new, for another source."""
        self.reset(row)
        self._blocked[row] = 0
        self._busy[row] = False

    def reset(self, row: int) -> list[Edge]:
        """Begin anew after a gap; return an offset for every active label of the row.

        Candidates are dropped and smoothing is cleared. The refractory time goes on where it was: it
        counts hops, and a gap has none.
        """
        last_hop = self._hop[row] - 1
        edges = []
        for label in np.nonzero(self._phase[row] == _ACTIVE)[0]:
            score = self._smooth(np.array([row]), np.array([last_hop]))[0, label]
            edges.append(
                Edge(row, int(label), False, int(self._last[row, label]), float(score), float(self._peak[row, label]))
            )
        self._hop[row] = 0
        for array in (self._phase, self._n_high, self._n_low):
            array[row] = 0
        return edges
