"""Named counters of one daemon: parts count, `status` and metrics only read."""

from __future__ import annotations

from collections import Counter


class Counters:
    """Whole numbers that only grow, by dotted name, such as "blocks.wrong_take"."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str, n: int = 1) -> None:
        """Count n more of name; 0 makes it known before anything happened."""
        self._counts[name] += n

    def read(self) -> dict[str, int]:
        """Return every counter that was ever touched, sorted by name."""
        return dict(sorted(self._counts.items()))
