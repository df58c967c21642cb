"""Two agents that speak for one source: the last hello counts, and whoever was heard before it may send on in vain."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from streamd.blocks import Block, Hello, block_take

UNDERWAY_SECONDS = 3.0
"""Blocks of a take that was replaced may be on their way for so long. What comes later shows that its agent was not
started again, nor connected again, but is another one."""


@dataclass(eq=False)
class Displaced:
    """Who was heard when another hello came."""

    hello: Hello
    _since: float = field(default_factory=time.monotonic)
    _is_told: bool = False

    def words(self, block: Block, heard: Hello) -> str:
        """Return what is to be said at a block that is not of the take that is heard: once something, else nothing."""
        if self._is_told or block.take != block_take(self.hello.take, block.sample_rate):
            return ""
        if time.monotonic() - self._since < UNDERWAY_SECONDS:
            return ""
        self._is_told = True
        return (
            f"two agents speak for it: {heard.device} on {heard.host} is heard, and {self.hello.device} on "
            f"{self.hello.host}, which was heard before, sends in vain; stop one, or give it a name of its own"
        )
