"""What a microphone and its amplifier hiss by themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.audio import Audio, to_gain
from training.prepare.simulation.chance import Range, draw_seed


@dataclass(frozen=True)
class SelfNoise:
    """White noise, always there."""

    level_db: float
    """RMS relative to full scale."""
    seed: int

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,) with the noise in it."""
        hiss = np.random.default_rng(self.seed).standard_normal(len(audio), np.float32)
        return audio + np.float32(to_gain(self.level_db)) * hiss


@dataclass(frozen=True)
class SelfNoiseRange:
    """What self-noise is drawn from."""

    level_db: Range = Range(-90.0, -55.0)
    """From a good MEMS microphone (65 dB below 94 dB SPL, which is some 26 dB below its full scale) to an electret
    on a sound card with its gain turned up. The lower end lies at the rounding of 16 bits."""


def draw(rng: np.random.Generator, range_: SelfNoiseRange) -> SelfNoise:
    """Return the noise of one microphone."""
    return SelfNoise(range_.level_db.draw(rng), draw_seed(rng))
