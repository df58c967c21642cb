"""When somebody speaks in a dry recording: the rule that labels training and test alike, on a grid of 10 ms."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
GRID_SAMPLES = 160
"""10 ms."""
DEPTH_DB = 30.0
"""Speech is what lies within this much of the loud frames, those of the 95th percentile."""
PERCENTILE = 95.0
LONGEST_GAP_SECONDS = 0.2
"""Shorter pauses belong to the speech: stops, and breaths between words."""


def active(samples: NDArray[np.int16] | NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return for each 10 ms of a dry recording (n_samples,) whether there is speech; a rest is left out."""
    n_frames = len(samples) // GRID_SAMPLES
    frames = samples[: n_frames * GRID_SAMPLES].reshape(n_frames, GRID_SAMPLES).astype(np.float64)
    power = np.mean(frames**2, axis=1)
    if not power.any():
        return np.zeros(n_frames, np.bool_)
    loud = float(np.percentile(power, PERCENTILE)) or float(power.max())
    found: NDArray[np.bool_] = power >= loud * 10 ** (-DEPTH_DB / 10)
    gap = round(LONGEST_GAP_SECONDS * SAMPLE_RATE / GRID_SAMPLES)
    where = np.flatnonzero(found)
    for before, after in pairwise(where):
        if 1 < after - before <= gap:
            found[before:after] = True
    return found


def stretches(samples: NDArray[np.int16] | NDArray[np.float32]) -> list[tuple[float, float]]:
    """Return onset and offset, in seconds, of each stretch of speech in a dry recording (n_samples,)."""
    seconds = GRID_SAMPLES / SAMPLE_RATE
    return [(begin * seconds, end * seconds) for begin, end in spans(active(samples))]


def spans(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first frame, and the first behind it, of each stretch of speech on a grid (n_frames,)."""
    edges = np.diff(active.astype(np.int8), prepend=0, append=0)
    begins, ends = np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist()
    return list(zip(begins, ends, strict=True))
