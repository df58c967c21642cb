"""How late hops were decided: a histogram, cheap enough to be filled at every hop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from streamd.requests import LagReport

LEAST_SECONDS = 1e-4
"""Lower end of the second bin; the first has all that is less."""
BINS_A_DECADE = 40
"""A bin is 6 % wide: so exact are the percentiles."""
N_BINS = 6 * BINS_A_DECADE
"""Up to 100 s; the last bin has all that is more."""
_SCALE = BINS_A_DECADE / math.log(10)


class Lags:
    """Seconds from the capture of a hop's last sample to its decision, counted in logarithmic bins."""

    def __init__(self) -> None:
        self._counts = [0] * N_BINS
        self._max_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count a hop."""
        i = int(math.log(seconds / LEAST_SECONDS) * _SCALE) + 1 if seconds >= LEAST_SECONDS else 0
        self._counts[i if i < N_BINS else -1] += 1
        if seconds > self._max_seconds:
            self._max_seconds = seconds

    def report(self) -> LagReport:
        """Return what was counted so far."""
        return summary(self._counts, self._max_seconds)


def since(before: LagReport, now: LagReport) -> LagReport:
    """Return what was counted between two reports of one histogram; its maximum is known to a bin."""
    counts = list(now.counts)
    for i, n in enumerate(before.counts):
        counts[i] -= n
    return summary(counts, now.max_seconds or 0.0)


def summary(counts: Sequence[int], max_seconds: float) -> LagReport:
    """Return the report of a histogram; no lag was above max_seconds, and percentiles are upper ends of their bins."""
    used = [i + 1 for i, n in enumerate(counts) if n]
    kept = list(counts[: used[-1]]) if used else []
    most = min(max_seconds, _upper(len(kept) - 1)) if 0 < len(kept) < N_BINS else max_seconds
    return LagReport(
        n=sum(kept),
        p50_seconds=_percentile(kept, 0.50, most),
        p99_seconds=_percentile(kept, 0.99, most),
        max_seconds=most if kept else None,
        counts=kept,
    )


def _percentile(counts: Sequence[int], share: float, most: float) -> float | None:
    wanted = share * sum(counts)
    for i, n in enumerate(accumulate(counts)):
        if n >= wanted and n:
            return min(most, _upper(i)) if i < N_BINS - 1 else most
    return None


def _upper(i: int) -> float:
    return float(LEAST_SECONDS * 10 ** (i / BINS_A_DECADE))
