"""Samples that wait until a hop of a source is whole."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from streamd.grown import grown
from streamd.logmel import INT16_SCALE

Samples = NDArray[np.int16] | NDArray[np.float32]


class Pending:
    """For each row, the part of a hop that is there, and what came beyond it: nothing is lost or looked at twice."""

    def __init__(self, n_samples: int) -> None:
        """Prepare for hops of n_samples; no rows yet."""
        self._n_samples = n_samples
        self._hops = np.zeros((0, n_samples), np.float32)
        self._n: list[int] = []
        self._later: list[deque[Samples]] = []

    def join(self) -> None:
        """Add an empty row."""
        self._hops = grown(self._hops, len(self._n) + 1)
        self._n.append(0)
        self._later.append(deque())

    def clear(self, row: int) -> None:
        """Forget what a row holds."""
        self._n[row] = 0
        self._later[row].clear()

    def push(self, row: int, samples: Samples) -> None:
        """Add samples (n,): int16, or float32 in [-1, 1). The caller may use its array again."""
        if self._later[row]:
            self._later[row].append(samples.copy())
            return
        taken = self._fill(row, samples)
        if taken < len(samples):
            self._later[row].append(samples[taken:].copy())

    def is_whole(self, row: int) -> bool:
        """Whether the next hop is there."""
        return self._n[row] == self._n_samples

    def hops(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return a copy of the whole hop of each of these rows, (n, n_samples), which stays until `drop`."""
        hops: NDArray[np.float32] = self._hops[rows]
        return hops

    def drop(self, rows: NDArray[np.intp]) -> None:
        """Begin the next hop of each of these rows: the whole one was heard."""
        for row in rows.tolist():
            self._n[row] = 0
            later = self._later[row]
            while later and not self.is_whole(row):
                samples = later.popleft()
                n = self._fill(row, samples)
                if n < len(samples):
                    later.appendleft(samples[n:])

    def _fill(self, row: int, samples: Samples) -> int:
        """Return how many samples found room."""
        begin = self._n[row]
        end = min(begin + len(samples), self._n_samples)
        place = self._hops[row, begin:end]
        if samples.dtype == np.int16:
            np.multiply(samples[: end - begin], INT16_SCALE, out=place)
        else:
            place[:] = samples[: end - begin]
        self._n[row] = end
        return end - begin
