"""Soft clipping: an amplifier that runs out of voltage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.audio import Audio
from training.prepare.simulation.chance import Range


@dataclass(frozen=True)
class Clipping:
    """Straight up to a knee, then bent towards a ceiling that is never passed."""

    ceiling: float
    """Greatest amplitude that comes out."""
    knee: float
    """Where the bend begins, as a fraction of the ceiling (0…1); 1 clips hard."""

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,) clipped; its slope has no jump, where the knee is below 1."""
        straight = self.ceiling * self.knee
        bend = self.ceiling - straight
        amplitude = np.abs(audio)
        if bend == 0:
            return np.clip(audio, -self.ceiling, self.ceiling).astype(np.float32)
        over = np.maximum(amplitude - straight, 0)
        return (np.sign(audio) * (np.minimum(amplitude, straight) + bend * np.tanh(over / bend))).astype(np.float32)


@dataclass(frozen=True)
class ClippingRange:
    """What clipping is drawn from."""

    ceiling: Range = Range(0.5, 1.0)
    """Many amplifiers in front of a converter give up before the converter does; 6 dB is a poor match."""
    knee: Range = Range(0.5, 1.0)
    """A tube-like bend to an operational amplifier's corner."""


def draw(rng: np.random.Generator, range_: ClippingRange) -> Clipping:
    """Return an amplifier."""
    return Clipping(range_.ceiling.draw(rng), range_.knee.draw(rng))
