"""Noise with a given spectrum: white, pink, brown, or with the average spectrum of speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from training.prepare.simulation.audio import Audio, at_unit_level
from training.prepare.simulation.chance import Range, draw_seed

Gains = Callable[[NDArray[np.floating]], NDArray[np.floating]]
"""Amplitudes at frequencies in Hz, both (n_bins,)."""

LOWEST_HZ = 20.0
"""Below it coloured noise is flat: brown noise would otherwise be drift that no microphone hears."""

SPEECH_HZ: tuple[float, ...] = (63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000)
SPEECH_HZ += (1250, 1600, 2000, 2500, 3150, 4000, 5000, 6300, 8000, 10000, 12500, 16000)
"""Middles of third-octave bands."""
SPEECH_DB: tuple[float, ...] = (38.6, 43.5, 54.4, 57.7, 56.8, 60.2, 60.3, 59.0, 62.1, 62.1, 60.5, 56.8, 53.7)
SPEECH_DB += (53.0, 52.0, 48.7, 48.1, 46.8, 45.6, 44.5, 44.3, 43.7, 43.4, 41.3, 40.7)
"""Levels in those bands of men's and women's speech at 70 dB, over 12 languages (Byrne and others, JASA 96, 1994)."""


@dataclass(frozen=True)
class ColouredNoise:
    """Noise whose power falls as 1 / frequency ** exponent."""

    exponent: float
    """0: white. 1: pink, 3 dB an octave. 2: brown, 6 dB an octave."""
    seed: int

    def make(self, n_samples: int, sample_rate: int) -> Audio:
        """Return noise (n_samples,) at an RMS of 1."""

        def gains(hz: NDArray[np.floating]) -> NDArray[np.floating]:
            return np.asarray(np.maximum(hz, LOWEST_HZ) ** (-self.exponent / 2))

        return _shaped(gains, n_samples, sample_rate, self.seed)


@dataclass(frozen=True)
class SpeechShapedNoise:
    """Noise with the long-term spectrum of speech: a crowd too large to hear a voice in."""

    tilt_db: float
    """Decibels an octave on top of the average spectrum, pivoting at 1 kHz: crowds differ."""
    seed: int

    def make(self, n_samples: int, sample_rate: int) -> Audio:
        """Return noise (n_samples,) at an RMS of 1."""
        middles = np.asarray(SPEECH_HZ, np.float64)
        density_db = np.asarray(SPEECH_DB) - 10 * np.log10(middles)  # a third-octave is as wide as its middle is high

        def gains(hz: NDArray[np.floating]) -> NDArray[np.floating]:
            octaves = np.log2(np.clip(hz, middles[0], middles[-1]))
            db = np.interp(octaves, np.log2(middles), density_db) + self.tilt_db * (octaves - np.log2(1000))
            return np.asarray(10 ** (db / 20))

        return _shaped(gains, n_samples, sample_rate, self.seed)


@dataclass(frozen=True)
class NoiseRange:
    """What noise is drawn from."""

    exponents: Sequence[float] = (0.0, 1.0, 2.0)
    """White is electronics and rain, pink is most places, brown is wind and traffic heard indoors."""
    tilt_db: Range = Range(-2.0, 2.0)
    """About what lies between the languages and sexes of Byrne and others in the middle of the spectrum."""


def draw_coloured(rng: np.random.Generator, range_: NoiseRange) -> ColouredNoise:
    """Return noise of one of the colours."""
    return ColouredNoise(float(rng.choice(range_.exponents)), draw_seed(rng))


def draw_speech_shaped(rng: np.random.Generator, range_: NoiseRange) -> SpeechShapedNoise:
    """Return noise with about the spectrum of speech."""
    return SpeechShapedNoise(range_.tilt_db.draw(rng), draw_seed(rng))


def _shaped(gains: Gains, n_samples: int, sample_rate: int, seed: int) -> Audio:
    # The transform is fast at few lengths only; the rest is cut off.
    n_fft = fft.next_fast_len(n_samples, real=True)
    white = np.random.default_rng(seed).standard_normal(n_fft, np.float32)
    hz = fft.rfftfreq(n_fft, 1 / sample_rate).astype(np.float32)  # powers of float32 take a third of the time
    spectrum = fft.rfft(white) * gains(hz).astype(np.float32)
    return at_unit_level(fft.irfft(spectrum, n_fft)[:n_samples])
