"""Higher or lower, and no longer or shorter for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import correlate

from training.prepare.simulation.audio import Audio
from training.prepare.simulation.chance import Range
from training.prepare.simulation.speed import Speed

WINDOW_SECONDS = 0.03
"""Holds two periods of a low voice (70 Hz); longer ones smear a stroke."""
SEARCH_SECONDS = 0.008
"""Each way: a period of 70 Hz lies within."""


@dataclass(frozen=True)
class Pitch:
    """Stretches time and then plays it faster."""

    semitones: float

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,), as long as before."""
        factor = 2 ** (self.semitones / 12)
        shifted = Speed(factor).apply(stretched(audio, factor, sample_rate), sample_rate)
        out = np.zeros(len(audio), np.float32)
        n = min(len(audio), len(shifted))
        out[:n] = shifted[:n]
        return out


@dataclass(frozen=True)
class PitchRange:
    """What a shift is drawn from."""

    semitones: Range = Range(-1.0, 1.0)
    """A shift of several semitones turns one drum into another, and labels into errors."""


def draw(rng: np.random.Generator, range_: PitchRange) -> Pitch:
    """Return a shift."""
    return Pitch(range_.semitones.draw(rng))


def stretched(audio: Audio, factor: float, sample_rate: int) -> Audio:
    """Return audio `factor` times as long at the same pitch: (round(factor · n_samples),).

    Windows are taken from the recording at one pace and laid down at another. Each is moved a little, to where it
    continues the one before it best (WSOLA: Verhelst and Roelands, ICASSP 1993).
    """
    hop = round(WINDOW_SECONDS * sample_rate / 2)
    window = np.hanning(2 * hop + 1)[:-1]  # periodic: two that overlap by half add up to 1
    search = round(SEARCH_SECONDS * sample_rate)
    n_out = round(factor * len(audio))
    n_windows = -(-n_out // hop) + 1
    # Before and behind the recording there is silence, as far as a window or its continuation may reach.
    margin = 3 * hop + search
    recording = np.zeros(2 * margin + len(audio) + round(2 * hop / factor) + hop)
    recording[margin : margin + len(audio)] = audio
    out = np.zeros((n_windows + 1) * hop)
    continued = None
    for k in range(n_windows):
        begin = margin + round((k - 1) * hop / factor)
        if continued is not None:
            region = recording[begin - search : begin + search + 2 * hop]
            begin += _most_alike(region, recording[continued : continued + 2 * hop]) - search
        out[k * hop : (k + 2) * hop] += window * recording[begin : begin + 2 * hop]
        continued = begin + hop
    return out[hop : hop + n_out].astype(np.float32)


def _most_alike(region: NDArray[np.float64], wanted: NDArray[np.float64]) -> int:
    """Return where in a region (n,) the stretch begins that is most like the wanted one, apart from its level."""
    energy = np.cumsum(np.concatenate([[0.0], region**2]))
    energy = np.maximum(energy[len(wanted) :] - energy[: -len(wanted)], 1e-12)
    return int(np.argmax(correlate(region, wanted, "valid", method="fft") / np.sqrt(energy)))
