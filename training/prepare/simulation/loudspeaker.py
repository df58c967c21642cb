"""A loudspeaker: where the sound to be heard comes out of a device, such as a television or an alarm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.chance import Range
from training.prepare.simulation.response import Response


@dataclass(frozen=True)
class LoudspeakerRange:
    """What the band of a loudspeaker is drawn from."""

    low_hz: Range = Range(80.0, 500.0)
    """A small hi-fi box to a telephone's."""
    high_hz: Range = Range(6000.0, 18_000.0)
    """A radio's wide-band cone to a tweeter."""


def draw(rng: np.random.Generator, range_: LoudspeakerRange) -> Response:
    """Return the response of a closed box: 12 dB an octave below its resonance, 6 dB above what its cone follows."""
    return Response(range_.low_hz.draw(rng), 2, range_.high_hz.draw(rng), 1)
