"""Audio of a source that was lost: counted, and told as a gap."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Literal

from streamd.blocks import Block, Hello
from streamd.counters import Counters
from streamd.events import AudioGap, EndReason
from streamd.takes import Take

log = logging.getLogger("streamd")

LossReason = Literal["agent_queue", "microphone", "lag", "transport", "agent"]


@dataclass(eq=False)
class Losses:
    """What one source has lost in this run."""

    source: str
    counters: Counters
    n_samples: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """By reason."""
    _before: tuple[Take, Hello, EndReason] | None = None
    """The last take, whose it was and why it ended: what lies between it and the next was lost."""

    def gap(self, take: Take, n_samples: int, reason: LossReason) -> AudioGap:
        """Count samples that were lost behind the last that was heard of a take, and return what is told of them."""
        seconds = n_samples / take.sample_rate
        words = reason.replace("_", " ")
        log.warning("%s: lost %.2f s of audio (%s) at %d", self.source, seconds, words, take.position)
        self.n_samples += n_samples
        self.seconds[reason] = round(self.seconds.get(reason, 0.0) + seconds, 6)
        self.counters.add(f"lost_samples.{reason}", n_samples)
        return AudioGap(take=take.name, first_sample=take.position, n_samples=n_samples, seconds=seconds, reason=reason)

    def take_ended(self, take: Take | None, hello: Hello | None, reason: EndReason) -> None:
        """Remember a take of which something was heard, if there was one, until the next begins."""
        if reason not in ("device", "reload"):
            self._before = None
        elif take is not None and hello is not None:
            self._before = take, hello, reason

    def forget_recording(self) -> None:
        """What is not live is read by another agent from now on: the last take of it is compared with none."""
        if self._before is not None and not self._before[1].live:
            self._before = None

    def before(self, hello: Hello, header: Block) -> AudioGap | None:
        """Return what was lost between the last take and the first block of this one, if that can be told.

        Both must be live, on one clock. A recording that is played as fast as it is heard is dated by its samples, from
        when its agent began to read it, so of one agent that begins another take it can be told as well.
        """
        before, self._before = self._before, None
        if before is None:
            return None
        last, was, reason = before
        if was.clock_id != hello.clock_id or was.live != hello.live or not (hello.live or reason == "reload"):
            return None
        n_lost = round((header.monotonic - last.monotonic(last.position)) * last.sample_rate)
        return self.gap(last, n_lost, "agent") if n_lost > 0 else None
