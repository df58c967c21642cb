"""What all effects share: the type of audio, levels, and audio of a wanted length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]
"""(n_samples,), one channel, full scale at 1."""


def to_gain(db: float) -> float:
    """Return the factor of an amplitude that a number of decibels stands for."""
    return float(10 ** (db / 20))


def rms(audio: NDArray[np.floating]) -> float:
    """Return the root of the mean square; 0 for no samples."""
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) if len(audio) else 0.0


def level_db(audio: NDArray[np.floating]) -> float:
    """Return the RMS level relative to 1; a full-scale square wave has 0 dB, silence minus infinity."""
    with np.errstate(divide="ignore"):
        return float(20 * np.log10(rms(audio)))


def at_unit_level(audio: NDArray[np.floating]) -> Audio:
    """Return audio at an RMS of 1; silence stays silence."""
    level = rms(audio)
    return (audio / level if level > 0 else audio).astype(np.float32)


def around(audio: NDArray[np.floating], begin: float, n_samples: int) -> Audio:
    """Return `n_samples` of a recording from a fraction (0…1) of it on, around its end as often as it takes."""
    if not len(audio):
        raise ValueError("a recording without samples can't be repeated; leave it out")
    first = audio[int(begin * len(audio)) % len(audio) :][:n_samples]
    again = np.resize(audio, n_samples - len(first))
    return np.concatenate([first, again], dtype=np.float32)


def one_of(recordings: Sequence[Audio], which: float) -> Audio:
    """Return one of several recordings: the one at a fraction (0…1) of their number."""
    return recordings[min(int(which * len(recordings)), len(recordings) - 1)]


class Effect(Protocol):
    """What was drawn for one stage, ready to be applied."""

    def apply(self, audio: Audio, sample_rate: int, /) -> Audio:
        """Return audio after the stage; it is given float32 (n_samples,) and never changed in place."""
        ...
