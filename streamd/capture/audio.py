"""What the agent asks of a microphone, a recording and a command alike."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from streamd.capture.clock import CaptureClock

LONGEST_READ_SECONDS = 0.25
"""No read waits longer: the agent must hear signals and the daemon's answers."""


class Piece(NamedTuple):
    """What one read brings."""

    samples: NDArray[np.float32]
    """Mono, in [-1, 1), shape (n_samples,)."""
    n_lost: int = 0
    """Samples that were lost right before these."""
    dead_channels: tuple[int, ...] = ()
    """Channels without a signal while another has one, counted from 1 (channels.py)."""


class AudioInput(Protocol):
    """A source of audio that is open."""

    device: str
    """What is captured, in words."""
    live: bool
    """True if audio arrives whether it is fetched or not."""
    can_wait: bool
    """True if nothing is captured before the first read."""
    clock: CaptureClock
    """Counts and dates the samples, at their native rate."""

    def read(self, n_samples: int) -> Piece | None:
        """Return the next samples, at most n_samples of them; None if there is nothing yet.

        Raises:
            EndOfAudio: a recording is over.
            DeviceError: the microphone or the command is gone.
            RecordingError: the recording is damaged.
        """

    def close(self) -> None:
        """Let go of it."""


class EndOfAudio(Exception):  # noqa: N818 - it is no error
    """There is no more; all is well."""


def mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of the channels of samples, shape (n_samples, n_channels)."""
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
