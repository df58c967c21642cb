"""Range of interest: which band carries the information, and which sample rate is enough for it.

What lies outside is redundant: it costs time, and a network can learn a recorder's hiss from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from streamd.errors import DataError
from streamd.logmel import LogMelSpec, log_mel, tables

RATES = (8_000, 16_000, 32_000, 48_000)
"""Sample rates that are suggested: those that microphones and resamplers do well."""

N_BANDS = 40
"""Bands that are compared: at 16 to 48 kHz a fifth to a third of an octave wide, above 1 kHz."""

LOWEST_HZ = 50.0
"""Under this lie DC, wind and handling."""

RESAMPLER_ROOM = 1.1
"""A resampler's filter needs a tenth between the highest frequency of interest and half the sample rate."""

AUDIBLE_DB = 40.0
"""What lies farther under a label's strongest band is gone as soon as a room is not silent."""

ENOUGH = 0.5
"""A band counts if it separates at least half as well as the best one does for the same two."""

SIGNIFICANCE = 0.05
"""Chance that a band of noise counts in any comparison at all."""


@dataclass(frozen=True)
class RangeOfInterest:
    """Where the information lies, and what that asks for."""

    low_hz: NDArray[np.float64]
    """Shape (N_BANDS,): where each band begins; neighbours overlap by half, as mel filters do."""
    high_hz: NDArray[np.float64]
    """Shape (N_BANDS,): where each band ends."""
    auc: dict[tuple[str, str | None], NDArray[np.float64]]
    """For every two labels, and every label with the background (None), shape (N_BANDS,): the chance that a clip
    of the first is louder in the band than one of the second. 0.5 says nothing, 0 and 1 say everything."""
    carries: NDArray[np.bool]
    """Shape (N_BANDS,): whether the band carries information for any two. If none does for any (too few
    clips, or what tells them apart is not level), the range is the whole."""
    fmin: float
    """Suggested lowest frequency in Hz, rounded down to tens."""
    fmax: float
    """Suggested highest frequency in Hz, rounded up to hundreds; at most half the suggested sample rate."""
    sample_rate: int
    """The smallest of RATES that holds fmax; none higher than the audio's own asks for."""


def range_of_interest(audio: Mapping[str | None, Sequence[NDArray[np.float32]]], sample_rate: int) -> RangeOfInterest:
    """Compare the level of bands between labels, and between each label and the background.

    A clip's level is its mean power in time: clips should be trimmed to their sound. Background is cut into
    pieces as long as the median clip. What one band adds to another is not asked, nor what lies in the course
    of time: the range is where a difference can be seen at all, and rather a little too wide.

    Args:
        audio: for every label its clips, float32 in [-1, 1), all at `sample_rate`; under None the background.
        sample_rate: the highest rate at which all of it holds true audio.

    Raises:
        DataError: nothing to compare, or only clips shorter than a frame.
    """
    labels = sorted(label for label in audio if label is not None)
    kinds: list[str | None] = [*labels, *([None] if None in audio else [])]
    if len(kinds) < 2 or not labels:
        raise DataError(
            f"{len(labels)} labels and no background; expected two labels, or one and background to compare"
        )
    spec = whole_range(sample_rate)
    length = int(np.median([len(clip) for label in labels for clip in audio[label]] or [0]))
    levels: dict[str | None, NDArray[np.float64]] = {}
    for kind in kinds:
        pieces = [piece for clip in audio[kind] for piece in (cut_up(clip, length) if kind is None else [clip])]
        long_enough = [piece for piece in pieces if len(piece) >= spec.win_length]
        if not long_enough:
            name = "background" if kind is None else f"label {kind}"
            raise DataError(f"{name} has no clip of {spec.win_length / sample_rate:.3f} s or more; add longer ones")
        levels[kind] = np.array([level_db(piece, spec) for piece in long_enough])

    auc = {(first, second): areas(levels[first], levels[second]) for first, second in pairs(kinds)}
    least_z = NormalDist().inv_cdf(1 - SIGNIFICANCE / (2 * N_BANDS * len(auc)))
    carries = np.zeros(N_BANDS, np.bool)
    for (first, second), chance in auc.items():
        separation = np.abs(chance - 0.5)
        n, m = len(levels[first]), len(levels[second])
        least = least_z * np.sqrt((n + m + 1) / (12 * n * m))  # Mann and Whitney (1947): spread if nothing differs
        audible = _audible(levels[first]) | (_audible(levels[second]) if second is not None else False)
        significant = audible & (separation > least)
        if significant.any():
            carries |= significant & (separation >= ENOUGH * separation[significant].max())
    low_hz, high_hz = band_edges(spec)
    of_interest = carries if carries.any() else np.ones(N_BANDS, np.bool)
    fmin = max(LOWEST_HZ, float(np.floor(low_hz[of_interest].min() / 10) * 10))
    fmax = min(float(np.ceil(high_hz[of_interest].max() / 100) * 100), sample_rate / 2)
    suggested = suggested_rate(fmax, sample_rate)
    return RangeOfInterest(low_hz, high_hz, auc, carries, fmin, min(fmax, suggested / 2), suggested)


def suggested_rate(fmax: float, sample_rate: int) -> int:
    """Return the smallest of RATES that is at least 2·fmax·1.1, but none that holds more than the audio has."""
    enough = [rate for rate in RATES if rate >= 2 * fmax * RESAMPLER_ROOM or rate >= sample_rate]
    return enough[0] if enough else RATES[-1]


def whole_range(sample_rate: int) -> LogMelSpec:
    """Return a spec that looks at everything: frames of about 32 ms, every 10 ms."""
    n_fft = 1 << round(np.log2(0.032 * sample_rate))
    return LogMelSpec(
        sample_rate=sample_rate,
        n_fft=n_fft,
        win_length=n_fft,
        hop_length=sample_rate // 100,
        n_mels=N_BANDS,
        fmin=LOWEST_HZ,
        fmax=sample_rate / 2,
        floor=1e-12,  # all 16 bits and more: here a floor would hide differences, not noise
    )


def cut_up(recording: NDArray[np.float32], length: int) -> list[NDArray[np.float32]]:
    """Return a recording (n_samples,) in pieces of a length, without what is left; the whole of a shorter one."""
    return [recording[begin : begin + length] for begin in range(0, max(1, len(recording) - length + 1), length)]


def pairs(kinds: Sequence[str | None]) -> list[tuple[str, str | None]]:
    """Return every two labels, and every label with the background (None)."""
    return [(first, second) for first, second in combinations(kinds, 2) if first is not None]


def level_db(clip: NDArray[np.float32], spec: LogMelSpec) -> NDArray[np.float64]:
    """Return the mean power in time of a clip in each band, shape (n_mels,), decibels.

    The spec's logarithm is in decibels.
    """
    power = np.power(10.0, log_mel(clip, spec).astype(np.float64) / 10)
    decibels: NDArray[np.float64] = 10 * np.log10(power.mean(axis=0))
    return decibels


def _audible(levels: NDArray[np.float64]) -> NDArray[np.bool]:
    """Return in which bands the typical clip of (n_clips, N_BANDS) has something to hear."""
    typical = np.median(levels, axis=0)
    return np.asarray(typical >= typical.max() - AUDIBLE_DB)


def areas(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each band, the chance that a row of the first is above one of the second; ties are half."""
    chance = np.zeros(first.shape[1])
    for band, (column, other) in enumerate(zip(first.T, np.sort(second, axis=0).T, strict=True)):
        below = np.searchsorted(other, column, "left") + np.searchsorted(other, column, "right")
        chance[band] = below.mean() / (2 * len(other))
    return chance


def band_edges(spec: LogMelSpec) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return between which bins of the FFT each of the spec's filters lies, in Hz."""
    passes = tables(spec).mel > 0
    hz = np.arange(len(passes)) * spec.sample_rate / spec.n_fft
    first, last = passes.argmax(axis=0), len(passes) - 1 - passes[::-1].argmax(axis=0)
    return hz[np.maximum(first - 1, 0)], hz[np.minimum(last + 1, len(passes) - 1)]
