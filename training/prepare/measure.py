"""What can be measured on one recording: how long, how wide, how loud, how clean."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from training.prepare.audio import SILENCE_DB, read_audio
from training.prepare.decay import decay_seconds
from training.prepare.trim import Found, Trim, find_sound

MOST_SECONDS = 600.0
"""Of a recording are measured: ten minutes of background tell what an hour would, in the memory of a small machine."""

BANDWIDTH_DB = 70.0
"""What lies further below the loudest band is not there: the resamplers in use leave less, and no network is given
more (the log-mel's range is 70 dB where a clip peaks at full scale)."""

_BAND_SECONDS = 0.032
_LOWEST_CUTOFF_HZ = 3000.0
"""Of a telephone. Below, sounds end steeply by themselves."""
_CLIFF_DB = 20.0
"""From just below an edge to just above it; a slope of 24 dB an octave, which is steep, falls by 6 dB there."""
_N_FLAT = 3
"""Samples of one value at the extreme that are taken for clipping; two happen at the top of a slow wave."""
_FULL_SCALE = 0.9995
_LEAST_CLIPPED = 0.05
"""A recording that is quieter may stand flat because 16 bits have few steps there."""


@dataclass(frozen=True)
class Measured:
    """One recording, mixed down to mono."""

    duration_seconds: float
    sample_rate: int
    bandwidth_hz: float
    """Above it nothing is within BANDWIDTH_DB of the loudest band; sample_rate / 2 at most."""
    cutoff_hz: float | None
    """Where the spectrum ends in a cliff, as one that was recorded at a lower rate does; None without one."""
    clipped_share: float
    """Of all samples, those that stand at the extreme for three in a row or more."""
    dc: float
    """Mean of the samples, -1 to 1."""
    loudness_db: float
    """Root mean square of the sound's span, without the mean, in dB of full scale."""
    snr_db: float | None
    """That loudness above the clip's own floor; None where the clip shows no floor."""
    decay_seconds: float | None
    """In which its sound falls by 60 dB: a bound on the reverberation in it; None where it can't be told."""
    digest: str
    """SHA-256 of rate and samples (16 bit): equal audio has equal digests, whatever its file format."""
    found: Found


def measure(path: Path, trim: Trim | None = None) -> Measured:
    """Measure a recording, or its first MOST_SECONDS; `trim` says how its sound is told from its floor.

    Raises:
        RecordingError: it can't be read.
    """
    samples, sample_rate = read_audio(path, MOST_SECONDS)
    found = find_sound(samples, sample_rate, trim)
    span = samples[found.onset_sample : found.offset_sample].astype(np.float64)
    loudness = 10 * np.log10(max(float(span.var()), 10 ** (SILENCE_DB / 10)))
    pcm = np.rint(samples * np.float32(32768)).astype("<i4").tobytes()
    return Measured(
        duration_seconds=float(soundfile.info(path).duration),
        sample_rate=sample_rate,
        bandwidth_hz=bandwidth_hz(samples, sample_rate),
        cutoff_hz=cutoff_hz(samples, sample_rate),
        clipped_share=clipped_share(samples),
        dc=float(samples.mean(dtype=np.float64)),
        loudness_db=float(loudness),
        snr_db=None if found.floor_db is None or found.verdict == "silent" else float(loudness - found.floor_db),
        decay_seconds=decay_seconds(samples, sample_rate, found),
        digest=hashlib.sha256(f"{sample_rate}:".encode() + pcm).hexdigest(),
        found=found,
    )


def bandwidth_hz(samples: NDArray[np.float32], sample_rate: int) -> float:
    """Return the frequency above which samples (n_samples,) hold nothing; 0 for silence."""
    levels = _spectrum_db(samples, sample_rate)
    if levels.max() <= SILENCE_DB:
        return 0.0
    there = np.flatnonzero(levels >= levels.max() - BANDWIDTH_DB)
    return float(min(int(there[-1]) + 1, len(levels) - 1) * sample_rate / round(_BAND_SECONDS * sample_rate))


def cutoff_hz(samples: NDArray[np.float32], sample_rate: int) -> float | None:
    """Return where the spectrum of samples (n_samples,) falls off a cliff and stays down; None if it does nowhere.

    So ends what was recorded at a lower rate and blown up, or coded. A dull sound has no cliff, but a slope.
    """
    levels = _spectrum_db(samples, sample_rate)
    if levels.max() <= SILENCE_DB:
        return None
    n_bins = len(levels)
    sums = np.concatenate([[0.0], np.cumsum(levels)])
    bin_hz = sample_rate / round(_BAND_SECONDS * sample_rate)
    edges = np.arange(round(_LOWEST_CUTOFF_HZ / bin_hz), int(n_bins / 1.15))
    if not len(edges):
        return None

    def mean_between(low: float, high: float) -> NDArray[np.float64]:
        """Return the mean level from low to high times the frequency of each edge."""
        first, last = np.floor(low * edges).astype(int), np.ceil(high * edges).astype(int)
        means: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
        return means

    above = mean_between(1.03, 1.15)
    falls = mean_between(0.85, 0.97) - above
    steepest = int(np.argmax(falls))
    comes_back = (above[steepest:] > above[steepest] + _CLIFF_DB / 2).any()
    return float(edges[steepest] * bin_hz) if falls[steepest] >= _CLIFF_DB and not comes_back else None


def _spectrum_db(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """Return the mean power spectrum of samples (n_samples,) in bins of 31 Hz, in dB of full scale, (n_bins,)."""
    n = round(_BAND_SECONDS * sample_rate)
    padded = np.pad(samples, (0, max(0, n - len(samples))))
    # Blackman-Harris: a Hann window's own leakage would hide the cliff that is looked for.
    x = 2 * np.pi * np.arange(n) / n
    window = 0.35875 - 0.48829 * np.cos(x) + 0.14128 * np.cos(2 * x) - 0.01168 * np.cos(3 * x)
    power = np.zeros(n // 2 + 1)
    starts = range(0, len(padded) - n + 1, n // 2)
    for start in starts:
        frame = padded[start : start + n].astype(np.float64)
        power += np.abs(np.fft.rfft((frame - frame.mean()) * window)) ** 2
    return 10 * np.log10(np.maximum(power * 2 / (len(starts) * n * np.sum(window**2)), 1e-16))


def clipped_share(samples: NDArray[np.float32]) -> float:
    """Return the share of samples (n_samples,) that stand flat at full scale, or at the clip's own extremes."""
    highest, lowest = float(samples.max()), float(samples.min())
    if highest == lowest or max(highest, -lowest) < _LEAST_CLIPPED:
        return 0.0
    n_clipped = 0
    for flat in (samples >= min(highest, _FULL_SCALE), samples <= max(lowest, -_FULL_SCALE)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(np.int8), [0]])))
        runs = edges[1::2] - edges[::2]
        n_clipped += int(runs[runs >= _N_FLAT].sum())
    return n_clipped / len(samples)
