"""Babble against what makes it one: the spectrum of its speech, and a texture that many voices smooth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import welch
from scipy.stats import kurtosis

from tests.training.voice import voice
from training.prepare.simulation.babble import Babble, BabbleRange, Talker, draw
from training.prepare.simulation.chance import generator

SAMPLE_RATE = 16_000


@pytest.fixture(scope="module")
def speech():
    return voice(60).astype(np.float32) / 32768


def test_one_talker_is_the_speech_itself_from_the_point_drawn(speech):
    n = len(speech)
    audio = Babble((Talker(0.75, -20.0, 0.0),)).make(n, speech)
    expected = np.concatenate([speech[n * 3 // 4 :], speech[: n * 3 // 4]])
    np.testing.assert_allclose(audio, expected / np.sqrt(np.mean(expected.astype(np.float64) ** 2)), atol=1e-5)


def test_the_more_talkers_the_more_it_is_noise(speech):
    rng = generator(1, "a", "babble")
    talkers = tuple(Talker(float(rng.uniform()), 0.0, 0.0) for _ in range(64))
    peaky = [kurtosis(Babble(talkers[:n]).make(len(speech), speech)) for n in (1, 4, 64)]
    assert peaky[0] > peaky[1] > peaky[2]
    assert abs(peaky[2]) < 0.5  # 0 is Gaussian


def test_it_has_the_spectrum_of_its_speech(speech):
    rng = generator(1, "a", "babble")
    babble = draw(rng, BabbleRange()).make(len(speech), speech)
    powers = [welch(one, SAMPLE_RATE, nperseg=512)[1][4:] for one in (speech, babble)]
    difference = 10 * np.log10(powers[1] / powers[0])
    assert np.std(difference) < 1.0


def test_a_talker_is_heard_from_a_place_of_its_own(speech):
    n = len(speech)
    echo = np.zeros(3201, np.float32)
    echo[[0, 3200]] = 1, 0.5
    later = np.zeros(8001, np.float32)
    later[8000] = 1
    [first, second] = [Babble((Talker(0.0, 0.0, place),)).make(n, speech, [echo, later]) for place in (0.1, 0.9)]
    dry = Babble((Talker(0.0, 0.0, 0.0),)).make(n, speech)
    np.testing.assert_allclose(second[8000:] / np.std(second[8000:]), dry[:-8000] / np.std(dry[:-8000]), atol=1e-3)
    wet = dry.copy()
    wet[3200:] += 0.5 * dry[:-3200]
    np.testing.assert_allclose(first, wet / np.sqrt(np.mean(wet.astype(np.float64) ** 2)), atol=1e-4)


def test_the_number_of_talkers_reaches_both_ends():
    rng = generator(1, "a", "babble")
    assert {len(draw(rng, BabbleRange()).talkers) for _ in range(300)} == set(range(3, 13))


def test_speech_without_samples_is_refused():
    with pytest.raises(ValueError, match="without samples"):
        Babble((Talker(0.0, 0.0, 0.0),)).make(10, np.zeros(0, np.float32))
