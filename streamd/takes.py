"""A take as the daemon sees it: how far it was heard, what was shed of it, and when its samples were captured."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from streamd.blocks import LONGEST_BLOCK_SECONDS, Block, Want
from streamd.report import TakeClock

DELAY_SECONDS = 60
"""Audio in which the least delay is looked for: two hosts' clocks drift apart, and one may stand still for a while."""
DRIFT_SECONDS = 0.012
"""How far they may have drifted apart in that time where it can't be seen: 200 millionths, above what crystals do."""


@dataclass(eq=False)
class Take:
    """One unbroken capture at one sample rate."""

    name: str
    sample_rate: int
    is_first: bool = True
    """Of the takes side by side the one whose samples and level are told."""
    position: int = 0
    """The next sample that no model has heard of."""
    shed_end: int | None = None
    """Where the audio ends that was dropped as too old since the last block that was heard, if any was."""
    most_samples: int = 1 << 62
    """A longer block is refused: no agent may hold up the others by what it has heard at once."""
    began: bool = False
    anchor: Block | None = None
    """Header of the newest block that was heard: it dates samples."""
    scored_sample: int | None = None
    """The first sample after the newest one that was scored."""
    delays: deque[tuple[int, float]] = field(default_factory=deque)
    """(second of the take, least delay of its blocks), oldest first."""

    clock_stood_still: bool = False
    """The agent's host slept, and its clock with it: the delays before tell nothing of those that come."""
    late_since: float | None = None
    """Since when every block has come too late, on our clock, though nothing else waited here."""

    def arrived(self, end_sample: int, delay: float, is_behind: bool) -> None:
        """Note how long after its last sample a block arrived: our monotonic clock less the agent's, in seconds.

        is_behind: some of it may be how long it waited here, which tells nothing of the two clocks.
        """
        if self.clock_stood_still:
            self.delays.clear()
            self.clock_stood_still, self.late_since = False, None
        elif is_behind and self.delays:
            delay = min(delay, self.least_delay() + DRIFT_SECONDS)
        second = end_sample // self.sample_rate
        if self.delays and self.delays[-1][0] == second:
            delay = min(delay, self.delays.pop()[1])
        self.delays.append((second, delay))
        while self.delays[0][0] < second - DELAY_SECONDS:
            self.delays.popleft()

    def stays_late(self, now: float, seconds: float, is_behind: bool) -> bool:
        """Note that a block came too late; tell whether all have for longer than this.

        What stays is a step of the agent's clock, or of its way to us; but not while we are behind, which explains it.
        """
        if is_behind:
            self.late_since = None
            return False
        if self.late_since is None:
            self.late_since = now
        return now - self.late_since > seconds

    def least_delay(self) -> float:
        """Return the smallest difference of the two clocks in the last minute of audio, in seconds."""
        return min(delay for _, delay in self.delays)

    def monotonic(self, sample: int) -> float:
        """Time of a sample on the agent's monotonic clock."""
        if self.anchor is None:
            return 0.0
        return self.anchor.monotonic + (sample - self.anchor.first_sample) / self.sample_rate

    def clock(self) -> TakeClock:
        """The wall clock of the take."""
        if self.anchor is None:
            return TakeClock(self.name, self.sample_rate, 0, time.time())
        return TakeClock(self.name, self.sample_rate, self.anchor.first_sample, self.anchor.captured_at)


def take_of(want: Want, *, is_first: bool) -> Take:
    """Return the take that begins with a want."""
    longest = max(want.n_samples, round(LONGEST_BLOCK_SECONDS * want.sample_rate))
    return Take(want.block_take, want.sample_rate, is_first, most_samples=longest)
