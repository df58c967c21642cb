"""What the client says of messages that it misses. It never was on the wire, so it is no part of the contract."""

from __future__ import annotations

import msgspec


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Events and states of a source that were published and did not arrive."""

    source: str
    run: str
    """The life of the daemon they were published in."""
    first_seq: int
    last_seq: int
    """Inclusive."""

    @property
    def n_missing(self) -> int:
        """How many messages are missing."""
        return self.last_seq - self.first_seq + 1
