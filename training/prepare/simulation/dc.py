"""A constant offset, as cheap converters add it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.audio import Audio
from training.prepare.simulation.chance import Range


@dataclass(frozen=True)
class Dc:
    """An offset."""

    offset: float
    """Relative to full scale."""

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,) with the offset."""
        return audio + np.float32(self.offset)


@dataclass(frozen=True)
class DcRange:
    """What an offset is drawn from."""

    offset: Range = Range(-0.02, 0.02)
    """Up to -34 dB: cheap USB sound cards without a high-pass. A log-mel from 50 Hz on should not see it."""


def draw(rng: np.random.Generator, range_: DcRange) -> Dc:
    """Return an offset."""
    return Dc(range_.offset.draw(rng))
