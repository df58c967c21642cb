"""Arrays with a row for each source, and room for more."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


def grown(array: NDArray[Number], n_rows: int) -> NDArray[Number]:
    """Return the array with room for n_rows at least: where it has none, a copy twice as long, new rows zero."""
    if n_rows <= len(array):
        return array
    room = np.zeros((max(n_rows, 2 * len(array)), *array.shape[1:]), array.dtype)
    room[: len(array)] = array
    return room
