"""What else is to be heard in a scene: one kind of noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from training.prepare.simulation import babble, hum, noise
from training.prepare.simulation.audio import Audio, around, at_unit_level
from training.prepare.simulation.babble import Babble, BabbleRange
from training.prepare.simulation.hum import Hum, HumRange
from training.prepare.simulation.material import Material
from training.prepare.simulation.noise import ColouredNoise, NoiseRange, SpeechShapedNoise

Kind = Literal["coloured", "speech-shaped", "hum", "babble", "recorded"]
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

    noise: ColouredNoise | SpeechShapedNoise | Hum | Babble | Recorded

    def make(self, n_samples: int, material: Material) -> Audio:
        """Return noise (n_samples,) at an RMS of 1."""
        if isinstance(self.noise, Babble):
            places = [room.response for room in material.rooms]
            return self.noise.make(n_samples, material.speech, places)
        if isinstance(self.noise, Recorded):
            n = len(material.backgrounds)
            recording = material.backgrounds[min(int(self.noise.recording * n), n - 1)]
            return at_unit_level(around(recording, self.noise.begin, n_samples))
        return self.noise.make(n_samples, material.sample_rate)


@dataclass(frozen=True)
class AmbienceRange:
    """What noise is drawn from."""

    kinds: Sequence[Kind] = KINDS
    """As likely as one another, where the material has what they are made of. Evaluation keeps one that training
    never draws."""
    coloured: NoiseRange = NoiseRange()
    hum: HumRange = HumRange()
    babble: BabbleRange = BabbleRange()


def draw(rng: np.random.Generator, range_: AmbienceRange, material: Material) -> Ambience:
    """Return one kind of noise that the material allows; ValueError if it allows none."""
    missing = {"babble": not len(material.speech), "recorded": not material.backgrounds}
    kinds = [kind for kind in range_.kinds if not missing.get(kind)]
    if not kinds:
        raise ValueError(
            f"no noise can be made of kind {', '.join(range_.kinds)}; add speech or backgrounds, or a kind"
        )
    match kinds[int(rng.integers(len(kinds)))]:
        case "coloured":
            return Ambience(noise.draw_coloured(rng, range_.coloured))
        case "speech-shaped":
            return Ambience(noise.draw_speech_shaped(rng, range_.coloured))
        case "hum":
            return Ambience(hum.draw(rng, range_.hum))
        case "babble":
            return Ambience(babble.draw(rng, range_.babble))
        case "recorded":
            return Ambience(Recorded(float(rng.uniform()), float(rng.uniform())))
