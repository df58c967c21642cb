"""What else is to be heard in a scene: one kind of noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from training.prepare.simulation import babble, composites, hum, noise
from training.prepare.simulation.audio import Audio, around, at_unit_level, one_of
from training.prepare.simulation.babble import Babble, BabbleRange
from training.prepare.simulation.composites import Composite, CompositeRange
from training.prepare.simulation.convolve import convolved
from training.prepare.simulation.hum import Hum, HumRange
from training.prepare.simulation.material import Material
from training.prepare.simulation.noise import ColouredNoise, NoiseRange, SpeechShapedNoise

Kind = Literal["coloured", "speech-shaped", "hum", "babble", "home", "cafe", "street", "recorded"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Recorded:
    """A stretch of one of the recordings of places; unconvolved, as it holds its own room."""

    recording: float
    """Which one, as a fraction of their number (0…1)."""
    begin: float
    """From where on, as a fraction of its length (0…1)."""


@dataclass(frozen=True)
class Ambience:
    """Noise of one kind."""

    noise: ColouredNoise | SpeechShapedNoise | Hum | Babble | Composite | Recorded
    place: float | None = None
    """Which place noise from one point comes from, as a fraction of their number (0…1); None: from all around."""

    def make(self, n_samples: int, material: Material, places: Sequence[Audio] = ()) -> Audio:
        """Return noise (n_samples,) at an RMS of 1.

        places: impulse responses of other places in the room of the sound; none: out of doors, or close by.
        """
        if isinstance(self.noise, Babble):
            return self.noise.make(n_samples, material.speech, places)
        if isinstance(self.noise, Composite):
            return self.noise.make(n_samples, material.sample_rate, material.speech, places)
        if isinstance(self.noise, Recorded):
            recording = one_of(material.backgrounds, self.noise.recording)
            return at_unit_level(around(recording, self.noise.begin, n_samples))
        if self.place is None or not places:
            return self.noise.make(n_samples, material.sample_rate)
        response = one_of(places, self.place)
        # Longer by the response: when the scene begins the noise has long been in the room.
        dry = self.noise.make(n_samples + len(response) - 1, material.sample_rate)
        return at_unit_level(convolved(dry, response)[len(response) - 1 :])


@dataclass(frozen=True)
class AmbienceRange:
    """What noise is drawn from."""

    kinds: Sequence[Kind] = KINDS
    """As likely as one another, where the material has what they are made of. Evaluation keeps one that training
    never draws."""
    coloured: NoiseRange = NoiseRange()
    hum: HumRange = HumRange()
    babble: BabbleRange = BabbleRange()
    composites: CompositeRange = CompositeRange()
    from_a_point: float = 0.5
    """Fraction of coloured noise that comes from one place, as of a fan or a tap, and not from all around."""


def draw(rng: np.random.Generator, range_: AmbienceRange, material: Material) -> Ambience:
    """Return one kind of noise that the material allows; ValueError if it allows none."""
    missing = {"babble": not len(material.speech), "recorded": not material.backgrounds}
    kinds = [kind for kind in range_.kinds if not missing.get(kind)]
    if not kinds:
        raise ValueError(
            f"no noise can be made of kind {', '.join(range_.kinds)}; add speech or backgrounds, or a kind"
        )
    match chosen := kinds[int(rng.integers(len(kinds)))]:
        case "coloured":
            coloured, place = noise.draw_coloured(rng, range_.coloured), float(rng.uniform())
            return Ambience(coloured, place if rng.uniform() < range_.from_a_point else None)
        case "speech-shaped":
            return Ambience(noise.draw_speech_shaped(rng, range_.coloured))
        case "hum":
            return Ambience(hum.draw(rng, range_.hum))
        case "babble":
            return Ambience(babble.draw(rng, range_.babble))
        case "home" | "cafe" | "street":
            return Ambience(composites.draw(rng, range_.composites, chosen, bool(len(material.speech))))
        case "recorded":
            return Ambience(Recorded(float(rng.uniform()), float(rng.uniform())))
