"""The loudness of one sound against the others of its scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.activity import active_rms
from training.prepare.simulation.audio import Audio, to_gain
from training.prepare.simulation.chance import Range

LEVEL_DB = -26.0
"""RMS over the active samples, relative to 1, of a sound with a gain of 0 dB: the active speech level that is usual on
lines (ITU-T P.56), so that crests of 20 dB stay below full scale where no stage `level` follows."""


@dataclass(frozen=True)
class Gain:
    """A gain against the level that all sounds are brought to.

    How loud a clip was recorded says how far somebody stood and how a knob was turned. Left as it is, the noise of a
    scene has its ratio to the loudest sound, and a clip recorded 30 dB below is labelled where nobody can hear it.
    """

    db: float

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,) at LEVEL_DB and the gain; silence stays silence."""
        found = active_rms(audio, sample_rate)
        return audio * np.float32(to_gain(LEVEL_DB + self.db) / found) if found > 0 else audio


@dataclass(frozen=True)
class GainRange:
    """What a gain is drawn from."""

    db: Range = Range(-6.0, 6.0)
    """One thing does not sound equally loud twice; how loud all of it arrives is drawn elsewhere, as the level."""


def draw(rng: np.random.Generator, range_: GainRange) -> Gain:
    """Return a gain."""
    return Gain(range_.db.draw(rng))
