"""From the native rate of an input to the rate that is wanted, as a stream (soxr), and to 16-bit PCM."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

QUALITY = "HQ"
"""soxr's 20-bit quality: flat to 0.91 of the lower Nyquist frequency. It holds back up to 0.1 s of audio."""


class Resampler:
    """Takes float32 samples of any length, gives int16 samples; how they are cut changes no bit."""

    def __init__(self, native_rate: int, sample_rate: int) -> None:
        self.n_held = 0
        """Samples at the new rate that were pushed and are still to come."""
        self.most_held = 0
        """The most that n_held ever was."""
        self._native_rate, self._sample_rate = native_rate, sample_rate
        self._n_pushed = self._n_given = 0
        self._stream = None
        if native_rate != sample_rate:
            import soxr

            self._stream = soxr.ResampleStream(native_rate, sample_rate, 1, dtype="float32", quality=QUALITY)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.int16]:
        """Return what can be told so far, after samples of shape (n_samples,) at the native rate."""
        if self._stream is None:
            return to_pcm(samples)
        given = self._stream.resample_chunk(samples)
        self._n_pushed += len(samples)
        self._n_given += len(given)
        self.n_held = max(0, self._n_pushed * self._sample_rate // self._native_rate - self._n_given)
        self.most_held = max(self.most_held, self.n_held)
        return to_pcm(given)

    def finish(self) -> NDArray[np.int16]:
        """Return what was held back; nothing may be pushed after that."""
        nothing = np.zeros(0, np.float32)
        return to_pcm(self._stream.resample_chunk(nothing, last=True) if self._stream else nothing)


def to_pcm(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return samples in [-1, 1) as 16-bit PCM, rounded to the nearest; louder ones are clipped."""
    pcm: NDArray[np.int16] = np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype(np.int16)
    return pcm


def from_pcm(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return 16-bit PCM as samples in [-1, 1); `to_pcm` gives the same PCM back."""
    return np.multiply(samples, np.float32(1 / 32768), dtype=np.float32)
