"""Impacts: cups that are set down, cupboards that are closed, steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.audio import Audio, at_unit_level, to_gain
from training.prepare.simulation.chance import Range, draw_seed

N_PARTIALS = 5
"""A struck thing rings at many frequencies; beyond a handful nobody hears the difference in a mix."""
SPREAD_DB = 6.0
"""Standard deviation of one blow's strength: no two are alike."""
LENGTH = 7
"""Of a blow, in times of its decay: 60 dB."""


@dataclass(frozen=True)
class Impacts:
    """Blows at times that know nothing of one another, each a few partials that die away."""

    a_second: float
    """How many on average; there is always one."""
    low_hz: float
    high_hz: float
    """The partials lie between, evenly over log frequency."""
    decay_seconds: float
    """In which a partial falls to 1/e."""
    seed: int
    """Of times, strengths and partials."""

    def make(self, n_samples: int, sample_rate: int) -> Audio:
        """Return impacts (n_samples,) at an RMS of 1."""
        rng = np.random.default_rng(self.seed)
        n_blows = max(1, int(rng.poisson(self.a_second * n_samples / sample_rate)))
        seconds = np.arange(round(LENGTH * self.decay_seconds * sample_rate), dtype=np.float32) / np.float32(
            sample_rate
        )
        decay = np.exp(-seconds / self.decay_seconds)
        high_hz = min(self.high_hz, 0.45 * sample_rate)
        audio = np.zeros(n_samples + len(seconds))
        for _ in range(n_blows):
            hz = high_hz * (self.low_hz / high_hz) ** rng.uniform(0, 1, N_PARTIALS)
            phases = rng.uniform(0, 2 * np.pi, N_PARTIALS)
            angles = np.outer(2 * np.pi * hz, seconds) + phases[:, None]
            blow = np.sin(angles, dtype=np.float32, casting="same_kind").sum(axis=0) * decay
            begin = int(rng.integers(n_samples))
            audio[begin : begin + len(blow)] += to_gain(rng.normal(0, SPREAD_DB)) * blow
        return at_unit_level(audio[:n_samples])


@dataclass(frozen=True)
class ImpactsRange:
    """What impacts are drawn from."""

    a_second: Range
    low_hz: float
    high_hz: float
    decay_seconds: Range


CLINKS = ImpactsRange(Range(0.3, 2.0), 1500.0, 7000.0, Range(0.01, 0.06))
"""Glass, china and cutlery: small and hard, so high and short; from a quiet table to a full counter."""
THUDS = ImpactsRange(Range(0.1, 1.0), 60.0, 400.0, Range(0.02, 0.08))
"""Doors, drawers and feet on a floor: large and damped."""
STEPS = ImpactsRange(Range(1.0, 2.5), 150.0, 2000.0, Range(0.005, 0.02))
"""Shoes on stone: people walk about two steps a second."""


def draw(rng: np.random.Generator, range_: ImpactsRange) -> Impacts:
    """Return impacts of one kind of thing."""
    rate, decay = range_.a_second.draw(rng), range_.decay_seconds.draw(rng)
    return Impacts(rate, range_.low_hz, range_.high_hz, decay, draw_seed(rng))
