"""Hum: the mains and its harmonics, as a transformer, a motor or a bad cable gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.audio import Audio, at_unit_level, to_gain
from training.prepare.simulation.chance import Range


@dataclass(frozen=True)
class Hum:
    """A tone and its harmonics; those above half the sample rate are left out."""

    mains_hz: float
    levels_db: tuple[float, ...]
    """Of the first harmonic, the second and so on, relative to one another."""
    phases: tuple[float, ...]
    """Of each harmonic at the first sample, in radians."""

    def make(self, n_samples: int, sample_rate: int) -> Audio:
        """Return hum (n_samples,) at an RMS of 1."""
        # Whole turns are taken off in float64: what is left is exact enough for float32, which is ten times as fast.
        angle = (2 * np.pi * (self.mains_hz / sample_rate * np.arange(n_samples) % 1)).astype(np.float32)
        turning = np.cos(angle) + np.complex64(1j) * np.sin(angle)
        hum = np.zeros(n_samples, np.float32)
        harmonic = np.ones(n_samples, np.complex64)
        for k, (db, phase) in enumerate(zip(self.levels_db, self.phases, strict=True), 1):
            if k * self.mains_hz >= sample_rate / 2:
                break
            harmonic *= turning
            hum += np.float32(to_gain(db) * np.cos(phase)) * harmonic.imag
            hum += np.float32(to_gain(db) * np.sin(phase)) * harmonic.real
        return at_unit_level(hum)


@dataclass(frozen=True)
class HumRange:
    """What hum is drawn from."""

    mains_hz: Sequence[float] = (50.0, 60.0)
    """The mains of the world."""
    off_hz: Range = Range(-0.1, 0.1)
    """How far a power grid strays in daily operation."""
    n_harmonics: int = 12
    """To 600 or 720 Hz: what is above drowns in everything else."""
    fall_db: Range = Range(2.0, 6.0)
    """By which a harmonic is weaker than the one before: a buzzing rectifier to a humming transformer."""
    spread_db: float = 6.0
    """Standard deviation of a harmonic around that fall: in hum odd or even ones often stand out."""


def draw(rng: np.random.Generator, range_: HumRange) -> Hum:
    """Return hum of one device."""
    mains_hz = float(rng.choice(range_.mains_hz)) + range_.off_hz.draw(rng)
    fall_db = range_.fall_db.draw(rng)
    levels_db = -fall_db * np.arange(range_.n_harmonics) + rng.normal(0, range_.spread_db, range_.n_harmonics)
    phases = rng.uniform(0, 2 * np.pi, range_.n_harmonics)
    return Hum(mains_hz, tuple(levels_db.tolist()), tuple(phases.tolist()))
