"""Area under the ROC curve of detectors on one cell of streams, and how sure a difference is: bootstrap by stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_BINS = 4096
"""Scores are binned at their own quantiles: finer than any detector's scores differ by chance."""
N_RESAMPLES = 1000

Floats = NDArray[np.float64]


def on_grid(ends: Floats, posteriors: Floats, lag_seconds: float, n_frames: int) -> Floats:
    """Return the score of each 10 ms (n_frames,): that of the last hop that had ended `lag_seconds` after its middle.

    Args:
        ends: up to where each hop had heard, in seconds, rising (n_hops,).
        posteriors: (n_hops,)
        lag_seconds: how late a detector may be.
        n_frames: of the grid.

    Returns:
        Scores; nan where no hop had ended.
    """
    times = (np.arange(n_frames) + 0.5) / 100 + lag_seconds
    last = np.searchsorted(ends, times, "right") - 1
    return np.where(last >= 0, posteriors[np.maximum(last, 0)], np.nan)


@dataclass(frozen=True)
class Counts:
    """How many frames of each stream have which score: all that an AUC needs; (n_streams, N_BINS) each."""

    speech: Floats
    other: Floats

    @classmethod
    def of(cls, scores: Floats, active: NDArray[np.bool_], judged: NDArray[np.bool_]) -> Counts:
        """Count scores (n_streams, n_frames) where they are judged."""
        edges = np.unique(np.quantile(scores[judged], np.linspace(0, 1, N_BINS)))
        bins = np.searchsorted(edges, scores, "right")
        speech, other = np.zeros((2, len(scores), len(edges) + 1))
        for row in range(len(scores)):
            for counts, wanted in ((speech, active), (other, ~active)):
                here = bins[row][judged[row] & wanted[row]]
                counts[row] = np.bincount(here, minlength=len(edges) + 1)
        return cls(speech, other)

    def auc(self, weights: Floats | None = None) -> Floats:
        """Return the AUC over all streams, or for rows of weights (n, n_streams) of the streams: (n,)."""
        rows = np.ones((1, len(self.speech))) if weights is None else weights
        speech, other = rows @ self.speech, rows @ self.other
        # Pairs in which the speech has the higher score, and half of those with the same.
        below = np.cumsum(other, axis=1) - other / 2
        found: Floats = np.sum(speech * below, axis=1) / (speech.sum(axis=1) * other.sum(axis=1))
        return found


def resamples(n_streams: int, seed: int = 0) -> Floats:
    """Return how often each stream is drawn in each resample (N_RESAMPLES, n_streams)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_streams, np.full(n_streams, 1 / n_streams), N_RESAMPLES).astype(np.float64)


def interval(values: Floats) -> tuple[float, float]:
    """Return where the middle 95 % of values lie."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
