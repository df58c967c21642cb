"""The states of a stream model's sources: one row of float32 a source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Rows:
    """State rows side by side, so that those of one batch are gathered and scattered at once."""

    def __init__(self, initial_row: NDArray[np.float32]) -> None:
        """Take the row of a source that has heard nothing, shape (n_state,)."""
        self._initial = initial_row
        self._states = np.zeros((0, len(initial_row)), np.float32)

    def join(self) -> int:
        """Add a fresh row and return its index."""
        self._states = np.concatenate([self._states, self._initial[None]])
        return len(self._states) - 1

    def reset(self, row: int) -> None:
        """Make a row forget what it has heard."""
        self._states[row] = self._initial

    def gather(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return a copy of some rows, shape (n, n_state)."""
        return self._states[rows]

    def scatter(self, rows: NDArray[np.intp], states: NDArray[np.float32]) -> None:
        """Store what a run made of these rows, shape (n, n_state)."""
        self._states[rows] = states
