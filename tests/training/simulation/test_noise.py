"""Noise against the slopes its colour stands for, and against Byrne's table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import welch

from training.prepare.simulation.chance import generator
from training.prepare.simulation.noise import (
    SPEECH_DB,
    SPEECH_HZ,
    ColouredNoise,
    NoiseRange,
    SpeechShapedNoise,
    draw_coloured,
    draw_speech_shaped,
)

SAMPLE_RATE = 16_000
MINUTE = 60 * SAMPLE_RATE


def slope_db_per_octave(audio, low_hz, high_hz):
    hz, power = welch(audio.astype(np.float64), SAMPLE_RATE, nperseg=8192)
    inside = (hz >= low_hz) & (hz <= high_hz)
    return np.polyfit(np.log2(hz[inside]), 10 * np.log10(power[inside]), 1)[0]


@pytest.mark.parametrize(("exponent", "slope"), [(0, 0.0), (1, -3.01), (2, -6.02)])
def test_white_pink_and_brown_fall_by_0_3_and_6_db_an_octave(exponent, slope):
    audio = ColouredNoise(exponent, seed=1).make(MINUTE, SAMPLE_RATE)
    assert slope_db_per_octave(audio, 40, 7900) == pytest.approx(slope, abs=0.1)


def test_brown_noise_has_no_drift_below_what_is_heard():
    audio = ColouredNoise(2, seed=1).make(MINUTE, SAMPLE_RATE)
    hz, power = welch(audio.astype(np.float64), SAMPLE_RATE, nperseg=65_536)
    assert np.ptp(10 * np.log10(power[(hz > 1) & (hz < 15)])) < 8  # a fall of 6 dB an octave would be 23 dB


def test_speech_shaped_noise_has_the_third_octave_levels_of_byrne():
    audio = SpeechShapedNoise(0.0, seed=1).make(MINUTE, SAMPLE_RATE)
    hz, power = welch(audio.astype(np.float64), SAMPLE_RATE, nperseg=16_384)
    wanted, found = [], []
    for middle, db in zip(SPEECH_HZ, SPEECH_DB, strict=True):
        if 100 <= middle <= 6300:
            wanted.append(db)
            found.append(10 * np.log10(power[(hz >= middle * 2 ** (-1 / 6)) & (hz < middle * 2 ** (1 / 6))].sum()))
    difference = np.array(found) - wanted
    assert np.abs(difference - difference.mean()).max() < 1.5


def test_a_tilt_turns_the_spectrum_by_so_many_db_an_octave():
    flat, tilted = (SpeechShapedNoise(tilt, seed=1).make(MINUTE, SAMPLE_RATE) for tilt in (0.0, 2.0))
    before, after = (slope_db_per_octave(audio, 100, 7900) for audio in (flat, tilted))
    assert after - before == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("n_samples", [1, 4799, 160_001])
def test_noise_has_the_length_asked_for_and_a_level_of_one(n_samples):
    for noise in (ColouredNoise(1, 3), SpeechShapedNoise(0.0, 3)):
        audio = noise.make(n_samples, SAMPLE_RATE)
        assert audio.shape == (n_samples,)
        assert audio.dtype == np.float32
        assert np.sqrt(np.mean(audio.astype(np.float64) ** 2)) == pytest.approx(1, abs=1e-5)


def test_what_was_drawn_is_made_again_bit_for_bit():
    for draw in (draw_coloured, draw_speech_shaped):
        one, two = (draw(generator(1, "a", "noise"), NoiseRange()) for _ in range(2))
        assert one == two
        assert np.array_equal(one.make(5000, SAMPLE_RATE), two.make(5000, SAMPLE_RATE))


def test_every_colour_is_drawn():
    rng = generator(1, "a", "noise")
    assert {draw_coloured(rng, NoiseRange()).exponent for _ in range(50)} == {0.0, 1.0, 2.0}
