"""When a sample was captured: the sample count is the clock, and here it is read in seconds.

Samples are fitted against the monotonic clock, and apart from that the monotonic clock is compared
with wall time, so that a step of the wall clock never looks like lost audio.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from pathlib import Path

import numpy as np

from streamd.capture.lateness import Lateness

WINDOW_SECONDS = 10.0
"""Deliveries that the fit looks back on. A sound card 100 ppm off moves it by a millisecond in that time."""
DRIFT_SECONDS = 600
"""Seconds that the drift is fitted to."""
LEAST_DRIFT_SECONDS = 300
"""Before, the wandering of a sound system would be told as drift: PulseAudio's delay moves by some milliseconds in a
minute, which would be tens of millionths."""


def clock_id() -> str:
    """Return what is the same for all processes that share one monotonic clock."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return socket.gethostname()


def wall_offset() -> float:
    """Return wall time less monotonic time, in seconds, as they are now."""
    return time.time() - time.monotonic()


class CaptureClock:
    """Counts the samples of an input and dates them on the monotonic clock.

    Audio is handed over late, never early: after the last sample of a delivery was captured, by a delay
    that jitters. The fit is therefore the lower envelope, the least of (delivery - position / rate) over
    the last seconds; what remains in it is the least delay of the sound system.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.position = 0
        """Samples so far, lost ones included."""
        self._least: deque[tuple[int, float]] = deque()
        """(second, least offset among its deliveries), oldest first."""
        self._offset = 0.0
        self._seconds: deque[tuple[int, float]] = deque(maxlen=DRIFT_SECONDS)
        """The same of the seconds that are over, for the drift."""
        self._lateness = Lateness()

    def heard(self, n_samples: int, monotonic: float) -> int:
        """Count samples, the last of which was handed over at a time of the monotonic clock.

        Returns:
            How many were lost before them, which are counted too: by an input that paused and went on without them.
        """
        offset = monotonic - (self.position + n_samples) / self.sample_rate
        n_lost = 0
        if loss := self._lateness.heard(offset, self._offset if self._least else offset, monotonic):
            n_lost = round(loss.seconds * self.sample_rate)
            self.lost(n_lost)
            offset -= n_lost / self.sample_rate
            self._fit(loss.fit, monotonic)  # which the window may have forgotten
        self.position += n_samples
        self._fit(offset, monotonic)
        return n_lost

    def _fit(self, offset: float, monotonic: float) -> None:
        second = int(monotonic)
        if self._least and self._least[-1][0] == second:
            self._least[-1] = (second, min(offset, self._least[-1][1]))
        else:
            if self._least:
                self._seconds.append(self._least[-1])
            self._least.append((second, offset))
            while self._least[0][0] < second - WINDOW_SECONDS:
                self._least.popleft()
        self._offset = min(least for _, least in self._least)

    def lost(self, n_samples: int) -> None:
        """Count samples that were captured and never handed over."""
        self.position += n_samples
        self._seconds.clear()  # their number is an estimate, and a step in what the drift is fitted to

    def drift_ppm(self) -> float | None:
        """Return how much faster than its rate says this input counts, in millionths; None before that can be told."""
        if len(self._seconds) < LEAST_DRIFT_SECONDS:
            return None
        seconds, offsets = np.array(self._seconds).T
        seconds -= seconds.mean()
        return float(-1e6 * (seconds @ offsets) / (seconds @ seconds))

    def n_missing(self, monotonic: float) -> int:
        """Return how many samples more than were counted should have been captured by now; never negative."""
        return max(0, round((monotonic - self._offset) * self.sample_rate) - self.position) if self._least else 0

    def monotonic(self, sample: float) -> float:
        """Return when a sample, or a point between two, was captured, in seconds of the monotonic clock."""
        return self._offset + sample / self.sample_rate
