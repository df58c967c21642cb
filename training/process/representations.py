"""What a network could be given of the audio: the talk's candidates, each at the same frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.fft import dct

from streamd.logmel import LogMelSpec, log_mel, tables
from training.process.cqt import cqt

N_MFCC = 20
"""Coefficients: the smooth part of a spectrum of 64 bands; speech recognition took 13, for vowels."""
NARROW_RATE = 8000
"""What a telephone has: half of the default."""
BANDS_PER_OCTAVE = 9
"""Seven octaves below 8 kHz then have 63 bands, as many as the log-mel."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Representation:
    """One way to look at audio."""

    name: str
    make: Callable[[Floats], Floats]
    """Samples (n_samples,) at the spec's rate → frames (n_frames, n_features)."""
    n_features: int
    frames_per_second: float

    @property
    def numbers_per_second(self) -> float:
        """How much a network has to take in."""
        return self.n_features * self.frames_per_second


def representations(spec: LogMelSpec) -> list[Representation]:
    """Return what is compared around a log-mel in decibels: the same frames and floor, seen otherwise.

    Narrowed twice: by resampling everything to NARROW_RATE, with as many bands as before, and by leaving out the bands
    that this rate can't hold.
    """
    rate = spec.sample_rate
    narrow_fmax = NARROW_RATE / 2
    resampled = msgspec.structs.replace(
        spec,
        sample_rate=NARROW_RATE,
        n_fft=max(16, spec.n_fft * NARROW_RATE // rate),
        win_length=max(16, spec.win_length * NARROW_RATE // rate),
        hop_length=max(1, spec.hop_length * NARROW_RATE // rate),
        n_mels=spec.n_mels // 2,
        fmax=narrow_fmax,
    )
    n_low = int(np.count_nonzero(_highest_hz(spec) <= narrow_fmax))
    lowest = max(spec.fmin, 62.5)
    n_bands = int(np.floor(BANDS_PER_OCTAVE * np.log2(0.95 * spec.fmax / lowest)))

    def constant_q(samples: Floats) -> Floats:
        return _decibels(cqt(samples, rate, spec.hop_length, lowest, n_bands, BANDS_PER_OCTAVE), spec)

    def narrowed(samples: Floats) -> Floats:
        return log_mel(np.asarray(soxr.resample(samples, rate, NARROW_RATE), np.float32), resampled)

    n_bins = spec.n_fft // 2 + 1
    made: list[tuple[str, Callable[[Floats], Floats], int]] = [
        ("waveform", lambda samples: frames_of(samples, spec), spec.win_length),
        ("STFT, linear", lambda samples: stft(samples, spec), n_bins),
        ("STFT, dB", lambda samples: _decibels(stft(samples, spec), spec), n_bins),
        ("mel, linear", lambda samples: np.sqrt(stft(samples, spec) ** 2 @ tables(spec).mel), spec.n_mels),
        ("mel, dB", lambda samples: log_mel(samples, spec), spec.n_mels),
        ("CQT, dB", constant_q, n_bands),
        ("MFCC", lambda samples: mfcc(samples, spec), min(N_MFCC, spec.n_mels)),
    ]
    if rate > NARROW_RATE:
        made += [
            (f"mel, dB, resampled to {NARROW_RATE / 1000:g} kHz", narrowed, resampled.n_mels),
            (f"mel, dB, bands below {narrow_fmax / 1000:g} kHz", lambda x: log_mel(x, spec)[:, :n_low], n_low),
        ]
    return [Representation(name, make, n, rate / spec.hop_length) for name, make, n in made]


def frames_of(samples: Floats, spec: LogMelSpec) -> Floats:
    """Return the samples of each frame as they are, (n_frames, win_length)."""
    return np.lib.stride_tricks.sliding_window_view(samples, spec.win_length)[:: spec.hop_length]


def stft(samples: Floats, spec: LogMelSpec) -> Floats:
    """Return the magnitudes of each frame's spectrum, (n_frames, n_fft // 2 + 1)."""
    return np.abs(np.fft.rfft(frames_of(samples, spec) * tables(spec).window, spec.n_fft)).astype(np.float32)


def mfcc(samples: Floats, spec: LogMelSpec) -> Floats:
    """Return the first N_MFCC coefficients of the cosine transform of each log-mel frame, (n_frames, N_MFCC)."""
    return np.asarray(dct(log_mel(samples, spec), axis=1, norm="ortho")[:, :N_MFCC], np.float32)


def _decibels(magnitudes: Floats, spec: LogMelSpec) -> Floats:
    """Return decibels above the spec's floor."""
    return 20 * np.log10(np.maximum(magnitudes, np.float32(np.sqrt(spec.floor or 1e-7))))


def _highest_hz(spec: LogMelSpec) -> NDArray[np.float64]:
    """Return where each mel band ends, (n_mels,)."""
    passes = tables(spec).mel > 0
    last = len(passes) - 1 - passes[::-1].argmax(axis=0)
    highest: NDArray[np.float64] = (last + 1) * spec.sample_rate / spec.n_fft
    return highest
