"""Hum: tones where the mains has them, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.chance import generator
from training.prepare.simulation.hum import Hum, HumRange, draw

SAMPLE_RATE = 16_000


def levels_db(audio, frequencies):
    t = np.arange(len(audio)) / SAMPLE_RATE
    return [20 * np.log10(2 * abs(np.mean(audio * np.exp(-2j * np.pi * hz * t)))) for hz in frequencies]


def test_the_harmonics_have_the_levels_given():
    audio = Hum(50.0, (0.0, -10.0, -3.0), (0.1, 2.0, 4.0)).make(SAMPLE_RATE, SAMPLE_RATE)
    found = np.array(levels_db(audio, (50, 100, 150)))
    assert found - found[0] == pytest.approx([0, -10, -3], abs=0.01)
    assert np.sqrt(np.mean(audio.astype(np.float64) ** 2)) == pytest.approx(1, abs=1e-5)


def test_there_is_nothing_between_the_harmonics():
    audio = Hum(60.0, (0.0, -6.0), (0.0, 1.0)).make(SAMPLE_RATE, SAMPLE_RATE)
    assert max(levels_db(audio, (30, 90, 180, 1000, 7000))) < -90


def test_harmonics_above_half_the_sample_rate_do_not_fold_back():
    audio = Hum(3000.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)).make(SAMPLE_RATE, SAMPLE_RATE)
    assert levels_db(audio, (7000,))[0] < -90


def test_what_is_drawn_lies_in_its_range():
    rng = generator(1, "a", "hum")
    drawn = [draw(rng, HumRange()) for _ in range(100)]
    assert {round(one.mains_hz / 10) for one in drawn} == {5, 6}
    assert all(abs(one.mains_hz - round(one.mains_hz / 10) * 10) <= 0.1 for one in drawn)
    assert all(len(one.levels_db) == len(one.phases) == 12 for one in drawn)
