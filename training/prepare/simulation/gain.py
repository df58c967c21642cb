"""The loudness of one sound against the others of its scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.audio import Audio, to_gain
from training.prepare.simulation.chance import Range


@dataclass(frozen=True)
class Gain:
    """A factor."""

    db: float

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,) louder or quieter."""
        return audio * np.float32(to_gain(self.db))


@dataclass(frozen=True)
class GainRange:
    """What a gain is drawn from."""

    db: Range = Range(-6.0, 6.0)
    """One thing does not sound equally loud twice; how loud all of it arrives is drawn elsewhere, as the level."""


def draw(rng: np.random.Generator, range_: GainRange) -> Gain:
    """Return a gain."""
    return Gain(range_.db.draw(rng))
