"""The SNR that was asked for, measured on the mix."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.chance import generator
from training.prepare.simulation.mix import Mix, MixRange, draw
from training.prepare.simulation.noise import ColouredNoise

SAMPLE_RATE = 16_000


@pytest.fixture(scope="module")
def wet():
    """Half a second of noise in ten seconds of silence: its active part is known."""
    audio = np.zeros(10 * SAMPLE_RATE, np.float32)
    audio[48_000:56_000] = 0.05 * ColouredNoise(0, 9).make(8000, SAMPLE_RATE)
    return audio


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
@pytest.mark.parametrize("exponent", [0, 2])
def test_the_mix_has_the_snr_over_the_active_samples(snr_db, exponent, wet):
    noise = 3 * ColouredNoise(exponent, 1).make(len(wet), SAMPLE_RATE)
    mixed = Mix(snr_db).apply(wet, SAMPLE_RATE, noise).astype(np.float64)
    added = mixed - wet
    found = 10 * np.log10(np.mean(wet[48_000:56_000].astype(np.float64) ** 2) / np.mean(added**2))
    assert found == pytest.approx(snr_db, abs=0.01)


def test_silence_around_the_sound_changes_no_snr(wet):
    noise = ColouredNoise(1, 1).make(len(wet), SAMPLE_RATE)
    whole = Mix(5.0).alpha(wet, SAMPLE_RATE, noise)
    assert Mix(5.0).alpha(wet[40_000:64_000], SAMPLE_RATE, noise) == pytest.approx(whole, rel=1e-6)


def test_without_a_sound_the_noise_stays_as_it_is():
    noise = ColouredNoise(1, 1).make(5000, SAMPLE_RATE)
    assert np.array_equal(Mix(-5.0).apply(np.zeros(5000, np.float32), SAMPLE_RATE, noise), noise)


def test_noise_of_another_length_is_refused(wet):
    with pytest.raises(ValueError, match="5 samples of noise for 160000 of sound"):
        Mix(0.0).apply(wet, SAMPLE_RATE, np.ones(5, np.float32))


def test_one_item_in_ten_is_clean_and_the_others_cover_the_range():
    rng = generator(1, "a", "mix")
    drawn = [draw(rng, MixRange()) for _ in range(2000)]
    assert sum(one is None for one in drawn) / 2000 == pytest.approx(0.1, abs=0.02)
    ratios = [one.snr_db for one in drawn if one]
    assert -5 <= min(ratios) < -4.9
    assert 19.9 < max(ratios) <= 20
