"""Many sources at once: a sound that goes round, and when each of them has its next block."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from streamd import shipped
from streamd.capture.recording import read_recording

Pcm = NDArray[np.int16]


class Sounds:
    """The shipped recording again and again, each source somewhere else in it."""

    def __init__(self, n_sources: int, sample_rate: int, n_samples: int, seed: int) -> None:
        """Prepare blocks of n_samples at a rate in Hz."""
        pieces = list(read_recording(shipped.demo_file("demo.flac"), sample_rate))
        whole = np.concatenate([to_int16(piece) for piece in pieces])
        self._length = len(whole)
        self._audio = np.resize(whole, self._length + n_samples)  # no block needs to be put together
        self._n_samples = n_samples
        self._begins = np.random.default_rng(seed).integers(0, self._length, n_sources).tolist()

    def block(self, source: int, number: int) -> Pcm:
        """Return a block of a source, (n_samples,), a view; blocks are numbered from 0 on."""
        begin = (self._begins[source] + number * self._n_samples) % self._length
        return self._audio[begin : begin + self._n_samples]


def to_int16(samples: NDArray[np.int16] | NDArray[np.float32]) -> Pcm:
    """Return samples as a microphone gives them."""
    if samples.dtype == np.int16:
        return np.asarray(samples, np.int16)
    return (np.clip(samples, -1, 1) * 32767).astype(np.int16)


def turns(n: int, period_seconds: float, begin: float, seed: int) -> Iterator[tuple[int, int, float]]:
    """Yield (who, number, when) for ever, in the order of time: n of them in turn, each at a random phase of a period.

    begin: the monotonic time at which a period begins.
    """
    phases = np.random.default_rng(seed).random(n) * period_seconds
    order = np.argsort(phases)
    line = list(zip(order.tolist(), phases[order].tolist(), strict=True))
    number = 0
    while True:
        for who, phase in line:
            yield who, number, begin + phase + (number + 1) * period_seconds
        number += 1


def sleep_until(when: float) -> float:
    """Sleep until a monotonic time, and return how late it is then, in seconds."""
    wait = when - time.monotonic()
    if wait > 0:
        time.sleep(wait)
    return time.monotonic() - when
