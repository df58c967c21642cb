"""Places: made of their parts at the levels drawn, and each unlike the others."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from training.prepare.simulation.audio import rms, to_gain
from training.prepare.simulation.babble import Babble
from training.prepare.simulation.chance import generator
from training.prepare.simulation.composites import Composite, CompositeRange, Layer, Place, draw
from training.prepare.simulation.noise import ColouredNoise, SpeechShapedNoise

RATE = 16_000
SPEECH = np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32)
NONE = np.zeros(0, np.float32)


def test_layers_are_added_at_their_gains():
    white, pink = ColouredNoise(0, 1), ColouredNoise(1, 2)
    audio = Composite((Layer(white, 0.0), Layer(pink, -6.0))).make(RATE, RATE, NONE)
    expected = white.make(RATE, RATE) + to_gain(-6) * pink.make(RATE, RATE)
    np.testing.assert_allclose(audio, expected / rms(expected), atol=1e-5)


@pytest.mark.parametrize("place", get_args(Place))
@pytest.mark.parametrize("speech", [SPEECH, NONE], ids=["speech", "none"])
def test_every_place_can_be_made_at_a_level_of_one_with_speech_and_without(place, speech):
    for item in range(5):
        drawn = draw(generator(1, str(item), "ambience"), CompositeRange(), place, bool(len(speech)))
        audio = drawn.make(2 * RATE, RATE, speech)
        assert audio.dtype == np.float32
        assert rms(audio) == pytest.approx(1, abs=1e-4)
        assert np.array_equal(audio, drawn.make(2 * RATE, RATE, speech))


def test_in_a_cafe_there_are_voices_where_there_is_speech():
    def guests(has_speech):
        return type(draw(generator(1, "a", "ambience"), CompositeRange(), "cafe", has_speech).layers[0].noise)

    assert guests(True) is Babble
    assert guests(False) is SpeechShapedNoise


def test_places_sound_unlike_one_another():
    def bright_share(place):
        shares = []
        for item in range(20):
            drawn = draw(generator(1, str(item), "ambience"), CompositeRange(), place, False)
            power = np.abs(np.fft.rfft(drawn.make(2 * RATE, RATE, NONE))) ** 2
            shares.append(power[len(power) // 4 :].sum() / power.sum())  # above 2 kHz
        return np.median(shares)

    assert bright_share("cafe") > 2 * bright_share("home")
