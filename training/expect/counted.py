"""False alarms that were counted, and in how much audio: what a model's manifest says of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from training.expect.intervals import poisson_interval


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """So many events in so many hours without what they claim."""

    hours: float
    n_events: int

    @classmethod
    def all_of(cls, parts: Iterable[Counted]) -> Counted:
        """Return what was counted in several pieces of audio together."""
        parts = list(parts)
        return cls(hours=sum(one.hours for one in parts), n_events=sum(one.n_events for one in parts))

    def as_expected(self) -> dict[str, Any]:
        """Return what a manifest says: hours, events, and the exact 95 % interval of the rate in 1/h."""
        low, high = poisson_interval(self.n_events, self.hours)
        return {
            "hours": round(self.hours, 2),
            "n_events": self.n_events,
            "per_hour_interval_95": [round(low, 2), round(high, 2)],
        }
