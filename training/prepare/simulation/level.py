"""How loud it all arrives at the microphone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.activity import active_rms
from training.prepare.simulation.audio import Audio, to_gain
from training.prepare.simulation.chance import Range


@dataclass(frozen=True)
class Level:
    """Distance, loudness and the input gain, in one number."""

    db: float
    """RMS over the active samples after it, relative to 1."""

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,) at that level; silence stays silence."""
        found = active_rms(audio, sample_rate)
        return audio * np.float32(to_gain(self.db) / found) if found > 0 else audio


@dataclass(frozen=True)
class LevelRange:
    """What a level is drawn from."""

    db: Range = Range(-50.0, -9.0)
    """From across a large room to as close as people record: of sixty bass drums most are above -15 dB, a fifth above
    -9. Sounds with a crest factor above 9 dB then reach full scale now and then, as they do in life."""


def draw(rng: np.random.Generator, range_: LevelRange) -> Level:
    """Return a level."""
    return Level(range_.db.draw(rng))
