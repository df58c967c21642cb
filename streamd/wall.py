"""The wall clock of a host, seen from its monotonic clock: is it set, was it set meanwhile, did the host sleep.

Nothing is decided by wall time; it only dates what is told. A step of it is no loss, but who reads the times must know.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime

from streamd.events import ClockReport

EARLIEST = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""This version did not exist before: a clock that says less is not set, as on a board without a battery that has just
booted into 1970."""
STEP_SECONDS = 0.05
"""What time servers correct by a jump is more; what they correct little by little is less between two looks …"""
FASTEST_SLEW = 0.1
"""… and at most this part of the time between them."""
UNBROKEN_SECONDS = 0.002
"""Clocks that were read further apart than this tell nothing: the process was interrupted between them."""
TELL_SECONDS = 1.0
"""An agent that has something new to say in every message is told of no more often than this."""
_TRIES = 5
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)
"""Linux's clock that goes on while the host sleeps; its monotonic clock stands still."""


class WallClock:
    """Watches the wall clock of this host; `look` every second or more often."""

    def __init__(self) -> None:
        self.n_changes = 0
        """Steps, suspends, and changes of whether it is set."""
        self._n_steps = self._n_suspends = 0
        self._last_step_seconds = self._suspended_seconds = 0.0
        self._looked_at, self._offset, self._asleep = _read()
        self._is_set = self._is_set_now()

    def look(self) -> float:
        """Return wall time less monotonic time, in seconds; note what has happened to it."""
        looked_at, offset, asleep = _read()
        slept = asleep - self._asleep
        if slept > STEP_SECONDS:
            self._n_suspends += 1
            self._suspended_seconds += slept
        # What the host slept moves wall time against monotonic time, and is no step.
        step = offset - self._offset - slept
        is_step = abs(step) > STEP_SECONDS + FASTEST_SLEW * (looked_at - self._looked_at)
        if is_step:
            self._n_steps += 1
            self._last_step_seconds = step
        self._looked_at, self._offset, self._asleep = looked_at, offset, asleep
        was_set, self._is_set = self._is_set, self._is_set_now()
        self.n_changes += (slept > STEP_SECONDS) + is_step + (was_set != self._is_set)
        return offset

    def report(self, drift_ppm: float | None = None) -> ClockReport:
        """Return what was seen so far, with what is known of a sound card's clock."""
        return ClockReport(
            offset_seconds=round(self._offset, 6),
            drift_ppm=None if drift_ppm is None else round(drift_ppm, 1),
            is_set=self._is_set,
            n_steps=self._n_steps,
            last_step_seconds=round(self._last_step_seconds, 3),
            n_suspends=self._n_suspends,
            suspended_seconds=round(self._suspended_seconds, 3),
        )

    def _is_set_now(self) -> bool:
        return self._looked_at + self._offset >= EARLIEST


class ClockNews:
    """What happens to the clock of an agent's host, by its reports."""

    def __init__(self) -> None:
        self._told: ClockReport | None = None
        self._told_at = -math.inf

    def hear(self, now: ClockReport) -> str:
        """Return in words what has happened since it was told last, or ""; too soon after that a later one tells it."""
        if self._told is not None and time.monotonic() - self._told_at < TELL_SECONDS:
            return ""
        before, self._told = self._told, now
        if changed := change_in_words(before, now):
            self._told_at = time.monotonic()
        return changed


def boot_seconds() -> float:
    """Return the seconds of a clock that nobody sets; where there is such a one, it goes on while the host sleeps."""
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


def _read() -> tuple[float, float, float]:
    """Return monotonic time, wall time less it, and how long the host has slept since it booted, in seconds."""
    for _ in range(_TRIES):
        before = time.monotonic()
        wall = time.time()
        boot = boot_seconds()
        after = time.monotonic()
        if after - before < UNBROKEN_SECONDS:
            break
    return before, wall - before, max(0.0, boot - before)


def unset_in_words(report: ClockReport | None) -> list[str]:
    """Return what to say of a source whose host's clock is not set; nothing where it is."""
    if report is None or report.is_set:
        return []
    return ["the clock of its host is not set: times are wrong until it is, samples and seconds are right"]


def change_in_words(before: ClockReport | None, now: ClockReport) -> str:
    """Return what has happened to a host's clock between two reports of one take, or ""."""
    if before is None:
        return ""
    parts = []
    if now.n_suspends > before.n_suspends:
        parts.append(f"its host slept for {now.suspended_seconds - before.suspended_seconds:.1f} s")
    if now.n_steps > before.n_steps:
        way = "forward" if now.last_step_seconds > 0 else "back"
        parts.append(f"the clock of its host was set {way} by {abs(now.last_step_seconds):.1f} s")
    elif now.is_set != before.is_set:
        parts.append(f"the clock of its host {'is set' if now.is_set else 'is not set any more'}")
    return "; ".join(parts)
