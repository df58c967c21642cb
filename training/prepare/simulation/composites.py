"""Whole places made of single noises: a home, a café, a street.

No real place was recorded for them: recordings of places that could be used here come in no package. They are what one
would list with closed eyes, at levels that leave each part audible; a user's own recordings are better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from training.prepare.simulation import babble, hum, impacts, noise, passing
from training.prepare.simulation.audio import Audio, at_unit_level, to_gain
from training.prepare.simulation.babble import Babble, BabbleRange
from training.prepare.simulation.chance import Range, draw_seed
from training.prepare.simulation.hum import Hum, HumRange
from training.prepare.simulation.impacts import CLINKS, STEPS, THUDS, Impacts, ImpactsRange
from training.prepare.simulation.noise import ColouredNoise, NoiseRange, SpeechShapedNoise
from training.prepare.simulation.passing import Passing, PassingRange

Place = Literal["home", "cafe", "street"]
PINK, BROWN = 1.0, 2.0


@dataclass(frozen=True)
class Layer:
    """One noise of a place."""

    noise: ColouredNoise | SpeechShapedNoise | Hum | Babble | Impacts | Passing
    gain_db: float
    """Its RMS, relative to the other layers'."""


@dataclass(frozen=True)
class Composite:
    """Several noises at once."""

    layers: tuple[Layer, ...]

    def make(self, n_samples: int, sample_rate: int, speech: Audio, places: Sequence[Audio] = ()) -> Audio:
        """Return the noise of the place (n_samples,) at an RMS of 1.

        speech, places: as `Babble.make` takes them.
        """
        audio = np.zeros(n_samples, np.float32)
        for layer in self.layers:
            if isinstance(layer.noise, Babble):
                part = layer.noise.make(n_samples, speech, places)
            else:
                part = layer.noise.make(n_samples, sample_rate)
            audio += np.float32(to_gain(layer.gain_db)) * part
        return at_unit_level(audio)


@dataclass(frozen=True)
class CompositeRange:
    """What places are drawn from."""

    under_db: Range = Range(-15.0, 0.0)
    """Of a steady layer under the one that gives the place its name."""
    impacts_db: Range = Range(-20.0, -6.0)
    """Of blows, by RMS: they are short, so that at -6 dB each stands far above all else, as cups do."""
    babble: BabbleRange = BabbleRange()
    hum: HumRange = HumRange()
    shaped: NoiseRange = NoiseRange()
    passing: PassingRange = PassingRange()


def draw(rng: np.random.Generator, range_: CompositeRange, place: Place, has_speech: bool) -> Composite:
    """Return one place of a kind."""

    def under(one: ColouredNoise | SpeechShapedNoise | Hum) -> Layer:
        return Layer(one, range_.under_db.draw(rng))

    def blows(kind: ImpactsRange) -> Layer:
        return Layer(impacts.draw(rng, kind), range_.impacts_db.draw(rng))

    match place:
        case "home":
            # Ventilation and pipes, a refrigerator, a television next door; doors and dishes now and then.
            air = Layer(ColouredNoise(float(rng.uniform(PINK, BROWN)), draw_seed(rng)), 0.0)
            television = under(noise.draw_speech_shaped(rng, range_.shaped))
            return Composite((air, under(hum.draw(rng, range_.hum)), television, blows(THUDS), blows(CLINKS)))
        case "cafe":
            # Guests, or what many of them add up to where there is no speech; dishes; the machine.
            guests = babble.draw(rng, range_.babble) if has_speech else noise.draw_speech_shaped(rng, range_.shaped)
            machine = under(ColouredNoise(float(rng.uniform(0.0, PINK)), draw_seed(rng)))
            return Composite((Layer(guests, 0.0), blows(CLINKS), blows(THUDS), machine))
        case "street":
            # The town far away; cars; somebody walks by.
            town = under(ColouredNoise(float(rng.uniform(PINK, BROWN)), draw_seed(rng)))
            return Composite((Layer(passing.draw(rng, range_.passing), 0.0), town, blows(STEPS)))
