"""From the channels of an input to the one that is heard; a channel without a signal is noticed on the way.

The daemon gets the mean of all channels, in which half a dead microphone is only 6 dB quieter: it has to be seen here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamd.blocks import MAX_DEAD_CHANNELS
from streamd.capture.audio import mono

LOOK_SECONDS = 1.0
"""One read in so long is looked at."""
DEAD_LOOKS = 20
"""A channel is dead after so many looks in a row at which it was flat and another was not …"""
ALIVE_LOOKS = 5
"""… and alive again after so many at which it was not flat."""
FLAT_RANGE = 1.5 / 32768
"""Lowest and highest sample of a channel that carries nothing: they differ by one step of 16 bits at most."""


class Channels:
    """Mixes the channels of one input, and knows which of them are dead."""

    def __init__(self, sample_rate: int) -> None:
        """Prepare for samples at this rate, in Hz."""
        self.dead: tuple[int, ...] = ()
        """Channels without a signal while another has one, counted from 1; the first MAX_DEAD_CHANNELS of them."""
        self._look_samples = round(LOOK_SECONDS * sample_rate)
        self._n_unseen = self._look_samples
        self._n_flat: NDArray[np.int64] = np.zeros(0, np.int64)
        self._n_alive: NDArray[np.int64] = np.zeros(0, np.int64)

    def mix(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean of all channels, shape (n_samples,), of samples in [-1, 1), shape (n_samples, n_channels)."""
        if samples.shape[1] > 1:
            self._n_unseen += len(samples)
            if self._n_unseen >= self._look_samples and len(samples) > 1:
                self._n_unseen = 0
                self._look(samples)
        return mono(samples)

    def _look(self, samples: NDArray[np.float32]) -> None:
        if not len(self._n_flat):
            self._n_flat, self._n_alive = np.zeros((2, samples.shape[1]), np.int64)
        is_flat = np.ptp(samples, axis=0) <= FLAT_RANGE
        if is_flat.all():
            return  # silence tells nothing of one channel
        self._n_flat = np.where(is_flat, self._n_flat + 1, 0)
        self._n_alive = np.where(is_flat, 0, self._n_alive + 1)
        were = np.isin(np.arange(1, len(is_flat) + 1), self.dead)
        are = np.where(were, self._n_alive < ALIVE_LOOKS, self._n_flat >= DEAD_LOOKS)
        self.dead = tuple((np.nonzero(are)[0] + 1).tolist()[:MAX_DEAD_CHANNELS])
