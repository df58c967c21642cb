"""The highest number of sources that holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from streamd.bench.measure import Result

FIRST = 16
MOST = 1 << 14
"""Nobody has more, and a daemon knows each by its name."""
CLOSE = 1.08
"""The limit is known once what holds and what doesn't are this near to each other."""

Measure = Callable[[int], Result]


def highest(measure: Measure, first: int = FIRST) -> list[Result]:
    """Double the number of sources until it doesn't hold, then halve what lies between; return every measurement.

    A number that does not hold is tried once more: others use the machine too.
    """
    results: list[Result] = []

    def holds(n_sources: int) -> bool:
        for _ in range(2):
            results.append(measure(n_sources))
            if results[-1].holds:
                return True
        return False

    low, high = 0, first
    while high <= MOST and holds(high):
        low, high = high, 2 * high
    while low and high / low > CLOSE and high - low > 1 and high <= MOST:
        middle = round(math.sqrt(low * high))
        if holds(middle):
            low = middle
        else:
            high = middle
    return results


def best(results: Sequence[Result]) -> Result | None:
    """Return the measurement of the most sources that held; None if none did."""
    held = [result for result in results if result.holds]
    return max(held, key=lambda result: result.n_sources, default=None)


def is_load_the_limit(results: Sequence[Result]) -> bool:
    """Whether it was the load that could not keep up where more sources no longer held."""
    most = best(results)
    beyond = [one for one in results if most is None or one.n_sources > most.n_sources]
    return bool(beyond) and all(one.is_load_late for one in beyond)
