"""Microphones: five kinds, and how one specimen differs from the next.

The curves were designed after what such devices commonly do, not measured on any: no recorded microphone
response comes in a package that could be used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.prepare.simulation.audio import Audio
from training.prepare.simulation.chance import Range
from training.prepare.simulation.response import Response

KINDS = {
    # A measuring microphone and its high-pass against rumble.
    "flat": Response(low_hz=20, low_order=2),
    # The band of a telephone line, 300 to 3400 Hz, and the rise to 3 kHz that handsets have for the sake of consonants.
    "phone": Response(300, 4, 3400, 6, hz=(300, 1000, 2000, 3000), db=(-2, 0, 2, 4)),
    # Behind a hole in a case: little bass, a resonance of the hole, a notch above it.
    "laptop": Response(
        150, 2, 14_000, 2, hz=(200, 500, 1000, 2500, 4000, 6000, 8000, 12_000), db=(-3, 0, 0, 2, 4, 1, -3, -2)
    ),
    # An electret capsule for a few cents: its coupling capacitor below, its membrane's resonance on top.
    "electret": Response(80, 1, 12_000, 2, hz=(100, 1000, 3000, 6000, 9000), db=(0, 0, 1, 3, 5)),
    # Across the room, turned away, behind things: everything short-waved is lost.
    "far": Response(60, 1, 9000, 1, hz=(500, 2000, 4000, 8000), db=(0, -2, -5, -10)),
}


@dataclass(frozen=True)
class Microphone:
    """One specimen."""

    kind: str
    response: Response

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,) as this microphone gives it."""
        return self.response.apply(audio, sample_rate)


@dataclass(frozen=True)
class MicrophoneRange:
    """What a microphone is drawn from."""

    kinds: Sequence[str] = tuple(KINDS)
    """All are as likely. Evaluation keeps at least one that training never draws."""
    spread_db: float = 1.5
    """Standard deviation of a specimen at each point of its curve: data sheets of capsules allow ±3 dB."""
    edge_octaves: Range = Range(-0.25, 0.25)
    """By how far an edge lies elsewhere: capacitors of ±20 % make about that."""


def draw(rng: np.random.Generator, range_: MicrophoneRange) -> Microphone:
    """Return a specimen of one of the kinds."""
    kind = str(rng.choice(range_.kinds))
    mean = KINDS[kind]
    response = replace(
        mean,
        low_hz=mean.low_hz * 2 ** range_.edge_octaves.draw(rng),
        high_hz=mean.high_hz * 2 ** range_.edge_octaves.draw(rng),
        db=tuple(float(db + rng.normal(0, range_.spread_db)) for db in mean.db),
    )
    return Microphone(kind, response)
