"""Drop-outs: moments in which a driver or a radio link gave nothing, and silence was filled in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.audio import Audio
from training.prepare.simulation.chance import Range


@dataclass(frozen=True)
class Dropouts:
    """Holes of silence; nothing moves in time."""

    holes: tuple[tuple[float, float], ...]
    """Where each begins and ends, in seconds from the first sample."""

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,) with the holes in it."""
        out = audio.copy()
        for begin, end in self.holes:
            out[round(begin * sample_rate) : round(end * sample_rate)] = 0
        return out


@dataclass(frozen=True)
class DropoutsRange:
    """What drop-outs are drawn from."""

    on: float = 0.05
    """Fraction of items with any: a link is either good or bad. The daemon hears of losses in its own pipe and starts
    again after them; these are the ones that a driver hides."""
    a_minute: Range = Range(5.0, 60.0)
    """On a bad link; their number follows a Poisson distribution."""
    seconds: Range = Range(0.002, 0.04)
    """From one USB transfer of 2 ms to two lost packets of 20 ms."""


def draw(rng: np.random.Generator, range_: DropoutsRange, seconds: float) -> Dropouts | None:
    """Return the drop-outs of audio that lasts for some seconds; None on a good link."""
    is_on = rng.uniform() < range_.on
    n_holes = int(rng.poisson(range_.a_minute.draw(rng) * seconds / 60))
    begins = np.sort(rng.uniform(0, seconds, n_holes)).tolist()
    holes = tuple((begin, begin + range_.seconds.draw(rng)) for begin in begins)
    return Dropouts(holes) if is_on else None
