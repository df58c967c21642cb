"""Cars that pass: noise that comes, is loudest, and goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.audio import Audio, at_unit_level
from training.prepare.simulation.chance import Range, draw_seed
from training.prepare.simulation.noise import ColouredNoise

NEAR_SECONDS = 8.0
"""So long before a scene begins, or after it ends, a car may be closest and still be heard in it."""


@dataclass(frozen=True)
class Passing:
    """Cars on a straight road, all as loud as one another; no engine can be told, only tyres and wind.

    The power of each is that of a point at its distance, 1 / (d² + (v·t)²). Doppler shift is left out: at
    60 km/h it is 5 %, which no band of noise shows.
    """

    a_minute: float
    """How many on average; there is always one."""
    metres: float
    """From the microphone to the road."""
    metres_a_second: float
    """How fast they are."""
    exponent: float
    """Colour of the noise: power falls as 1 / frequency ** exponent."""
    seed: int
    """Of times and noise."""

    def make(self, n_samples: int, sample_rate: int) -> Audio:
        """Return cars passing by (n_samples,) at an RMS of 1."""
        rng = np.random.default_rng(self.seed)
        seconds = np.arange(n_samples) / sample_rate
        span = n_samples / sample_rate + 2 * NEAR_SECONDS
        n_cars = max(1, int(rng.poisson(self.a_minute / 60 * span)))
        power = np.zeros(n_samples)
        for closest in rng.uniform(-NEAR_SECONDS, span - NEAR_SECONDS, n_cars):
            power += 1 / (self.metres**2 + (self.metres_a_second * (seconds - closest)) ** 2)
        noise = ColouredNoise(self.exponent, draw_seed(rng)).make(n_samples, sample_rate)
        return at_unit_level(noise * np.sqrt(power))


@dataclass(frozen=True)
class PassingRange:
    """What passing cars are drawn from."""

    a_minute: Range = Range(2.0, 20.0)
    """A side street to a main road."""
    metres: Range = Range(3.0, 30.0)
    """The kerb to a balcony."""
    metres_a_second: Range = Range(6.0, 16.0)
    """20 to 60 km/h: a town."""
    exponent: Range = Range(0.5, 1.5)
    """Around pink: tyres hiss, engines rumble."""


def draw(rng: np.random.Generator, range_: PassingRange) -> Passing:
    """Return the cars of one street."""
    return Passing(
        range_.a_minute.draw(rng),
        range_.metres.draw(rng),
        range_.metres_a_second.draw(rng),
        range_.exponent.draw(rng),
        draw_seed(rng),
    )
