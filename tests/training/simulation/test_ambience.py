"""Noise of every kind, made of what the material has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training.voice import voice
from training.prepare.simulation.ambience import KINDS, Ambience, AmbienceRange, Recorded, draw
from training.prepare.simulation.audio import rms
from training.prepare.simulation.chance import generator
from training.prepare.simulation.material import Material
from training.prepare.simulation.noise import ColouredNoise

SAMPLE_RATE = 16_000


@pytest.fixture(scope="module")
def material():
    backgrounds = [np.linspace(0.1, 0.2, 1000, dtype=np.float32), np.linspace(-0.3, -0.2, 70, dtype=np.float32)]
    return Material(SAMPLE_RATE, speech=voice(5).astype(np.float32) / 32_768, backgrounds=backgrounds)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_its_noise_at_a_level_of_one(kind, material):
    drawn = draw(generator(1, "a", "ambience"), AmbienceRange(kinds=(kind,)), material)
    audio = drawn.make(20_000, material)
    assert audio.shape == (20_000,)
    assert audio.dtype == np.float32
    assert rms(audio) == pytest.approx(1, abs=1e-4)


def test_all_kinds_are_drawn_but_those_the_material_lacks(material):
    def kinds(of):
        rng = generator(1, "a", "ambience")
        return {type(draw(rng, AmbienceRange(), of).noise).__name__ for _ in range(100)}

    always = {"ColouredNoise", "SpeechShapedNoise", "Hum", "Composite"}
    assert kinds(material) == always | {"Babble", "Recorded"}
    assert kinds(replace(material, backgrounds=())) == always | {"Babble"}
    assert kinds(Material(SAMPLE_RATE)) == always


def test_kinds_that_cannot_be_made_are_named(material):
    with pytest.raises(ValueError, match="no noise can be made of kind babble; add speech"):
        draw(generator(1, "a", "ambience"), AmbienceRange(kinds=("babble",)), Material(SAMPLE_RATE))


def test_a_recording_is_played_from_the_point_drawn_and_around_its_end(material):
    audio = Ambience(Recorded(0.0, 0.5)).make(1000, material)
    recording = material.backgrounds[0]
    expected = np.concatenate([recording[500:], recording[:500]])
    np.testing.assert_allclose(audio, expected / rms(expected), rtol=1e-5)
    assert Ambience(Recorded(0.99, 0.0)).make(5, material)[0] < 0


def test_noise_from_a_point_is_coloured_by_its_place_and_there_from_the_first_sample(material):
    response = np.zeros(801, np.float32)
    response[[0, 800]] = 1
    noise = ColouredNoise(0, 1)
    audio = Ambience(noise, place=0.5).make(160_000, material, [response])
    at_the_echo = np.mean(audio[:-800] * audio[800:])
    assert at_the_echo == pytest.approx(0.5, abs=0.02)  # noise and its echo, equally strong
    assert rms(audio[:800]) == pytest.approx(1, abs=0.1)
    assert np.array_equal(Ambience(noise, place=0.5).make(1000, material), noise.make(1000, SAMPLE_RATE))


def test_about_half_of_the_coloured_noise_comes_from_a_point(material):
    rng = generator(1, "a", "ambience")
    drawn = [draw(rng, AmbienceRange(kinds=("coloured",)), material) for _ in range(500)]
    assert sum(one.place is not None for one in drawn) / 500 == pytest.approx(0.5, abs=0.08)
