"""The frequency response of a loudspeaker or a microphone, as a short causal filter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from training.prepare.simulation.audio import Audio
from training.prepare.simulation.convolve import convolved

FLOOR_DB = -80.0
"""Nothing is filtered out further: it would need an endless filter, and noise fills it up anyway."""
FILTER_SECONDS = 0.125
"""Length of the filter: a lower edge at 20 Hz rings for about that long."""


@dataclass(frozen=True)
class Response:
    """A band with edges, and a curve inside of it."""

    low_hz: float = 0.0
    """Lower edge, 3 dB down; 0: none."""
    low_order: int = 1
    """Below the edge it falls by 6 dB an octave times this (a Butterworth high-pass)."""
    high_hz: float = np.inf
    """Upper edge, 3 dB down."""
    high_order: int = 1
    hz: tuple[float, ...] = ()
    """Rising frequencies at which the curve is given; straight lines over log frequency between, level outside."""
    db: tuple[float, ...] = ()
    """The curve at those frequencies."""

    def decibels(self, hz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the response at frequencies (n,) in Hz, not below FLOOR_DB."""
        hz = np.maximum(hz, 1e-3)
        db = -10 * np.log10(1 + (self.low_hz / hz) ** (2 * self.low_order))
        db -= 10 * np.log10(1 + (hz / self.high_hz) ** (2 * self.high_order))
        if self.hz:
            db += np.interp(np.log(hz), np.log(self.hz), self.db)
        return np.asarray(np.maximum(db, FLOOR_DB))

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,) after the response, without a delay of its own."""
        return convolved(audio, self._taps(sample_rate))

    def _taps(self, sample_rate: int) -> Audio:
        """Return the minimum-phase filter (n_taps,): membranes and circuits can't answer before they are asked.

        The phase follows from the logarithm of the magnitude by folding its cepstrum
        (Oppenheim and Schafer, Discrete-Time Signal Processing, 12).
        """
        n_taps = round(FILTER_SECONDS * sample_rate)
        n_fft = fft.next_fast_len(8 * n_taps, real=True)
        n_fft += n_fft % 2
        magnitude = self.decibels(fft.rfftfreq(n_fft, 1 / sample_rate)) * np.log(10) / 20
        cepstrum = fft.irfft(magnitude, n_fft)
        cepstrum[1 : n_fft // 2] *= 2
        cepstrum[n_fft // 2 + 1 :] = 0
        taps = fft.irfft(np.exp(fft.rfft(cepstrum)), n_fft)[:n_taps]
        fade = n_taps // 4
        taps[-fade:] *= np.cos(np.linspace(0, np.pi / 2, fade)) ** 2
        return np.asarray(taps, np.float32)
