"""Faster and higher, or slower and lower: another size of the same thing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from training.prepare.simulation.audio import Audio
from training.prepare.simulation.chance import Range


@dataclass(frozen=True)
class Speed:
    """Plays a recording at another speed, as a tape does (Ko and others, Interspeech 2015)."""

    factor: float
    """2: twice as fast, an octave higher, half as long."""

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (about n_samples / factor,)."""
        return np.asarray(soxr.resample(audio, self.factor * sample_rate, sample_rate), np.float32)


@dataclass(frozen=True)
class SpeedRange:
    """What a speed is drawn from."""

    factor: Range = Range(0.9, 1.1)
    """The ±10 % of Ko and others: the next voice or machine of its kind, not another kind."""


def draw(rng: np.random.Generator, range_: SpeedRange) -> Speed:
    """Return a speed."""
    return Speed(range_.factor.draw(rng))
