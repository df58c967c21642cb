"""Babble: several people talk at once, made of given speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.prepare.simulation.audio import Audio, around, at_unit_level, one_of, to_gain
from training.prepare.simulation.chance import Range
from training.prepare.simulation.convolve import convolved


@dataclass(frozen=True)
class Talker:
    """One voice of a babble."""

    begin: float
    """Where in the given speech this one begins, as a fraction of its length (0…1)."""
    gain_db: float
    place: float
    """Which of the given places this one talks from, as a fraction of their number (0…1)."""


@dataclass(frozen=True)
class Babble:
    """Several talkers, each from another point of the same speech on."""

    talkers: tuple[Talker, ...]

    def make(self, n_samples: int, speech: Audio, places: Sequence[Audio] = ()) -> Audio:
        """Return babble (n_samples,) at an RMS of 1.

        speech: recordings in a row without long pauses, at the sample rate of the babble; it is played around.
        places: impulse responses of places in the room, (n_samples,) each; each talker is heard from one of them,
        as no two people stand in one spot. None: dry.
        """
        babble = np.zeros(n_samples, np.float32)
        for talker in self.talkers:
            voice = around(speech, talker.begin, n_samples)
            if places:
                voice = convolved(voice, one_of(places, talker.place))
            # All as loud as each other first: recordings are not.
            babble += to_gain(talker.gain_db) * at_unit_level(voice)
        return at_unit_level(babble)


@dataclass(frozen=True)
class BabbleRange:
    """What babble is drawn from."""

    n_talkers: Range = Range(3, 12)
    """With one or two, words can be understood and it is speech; beyond a dozen it is speech-shaped noise."""
    gain_db: Range = Range(-6.0, 0.0)
    """A talker at twice the distance is 6 dB quieter."""


def draw(rng: np.random.Generator, range_: BabbleRange) -> Babble:
    """Return a babble."""
    n_talkers = int(rng.integers(int(range_.n_talkers.low), int(range_.n_talkers.high) + 1))
    return Babble(
        tuple(Talker(float(rng.uniform()), range_.gain_db.draw(rng), float(rng.uniform())) for _ in range(n_talkers))
    )
