"""What waits to be sent, and the rule by which live audio is dropped if the daemon doesn't take it."""

from __future__ import annotations

from collections import deque

from msgspec.structs import replace

from streamd.blocks import Bye, encode, encode_block
from streamd.capture.stream import Cut

MOST_SECONDS = 2.0
"""Live audio that waits here at most; when there is more, the older half goes, in one run."""


class Outbox:
    """Messages in the order in which they are sent."""

    def __init__(self, *, live: bool) -> None:
        """What is not live is never dropped: whoever fills the outbox waits."""
        self._live = live
        self._waiting: deque[Cut | Bye] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message: Cut | Bye) -> None:
        """Put a message behind the others."""
        self._waiting.append(message)
        if self._live and isinstance(message, Cut):
            self._shed(message)

    def first(self) -> list[bytes]:
        """Return the frames of the message that is sent next."""
        message = self._waiting[0]
        return [encode(message)] if isinstance(message, Bye) else encode_block(message.header, message.pcm)

    def drop_first(self) -> None:
        """Forget the message that `first` returned: it is sent."""
        self._waiting.popleft()

    def clear(self) -> None:
        """Forget all messages: there is nobody to whom they mean anything."""
        self._waiting.clear()

    def _shed(self, newest: Cut) -> None:
        """Drop the older half of a take's blocks if they are too many; the next one says how much is lost."""
        take, sample_rate = newest.header.take, newest.header.sample_rate
        blocks = [one for one in self._waiting if isinstance(one, Cut) and one.header.take == take]
        n_samples = sum(len(one.pcm) for one in blocks)
        if n_samples <= MOST_SECONDS * sample_rate:
            return
        n_kept, dropped = n_samples, list[Cut]()
        while n_kept > MOST_SECONDS / 2 * sample_rate and len(dropped) < len(blocks) - 1:
            dropped.append(blocks[len(dropped)])
            n_kept -= len(dropped[-1].pcm)
        heir = blocks[len(dropped)]
        n_lost = sum(one.header.n_lost + len(one.pcm) for one in dropped) + heir.header.n_lost
        flags = dict.fromkeys(flag for one in [*dropped, heir] for flag in one.header.flags)
        flags.pop("agent_queue", None)
        told = replace(heir.header, n_lost=n_lost, flags=("agent_queue", *flags))
        gone = {id(one) for one in dropped}
        kept = (one for one in self._waiting if id(one) not in gone)
        self._waiting = deque(Cut(told, one.pcm) if one is heir else one for one in kept)
