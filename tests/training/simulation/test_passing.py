"""Passing cars: noise that swells and falls as the distance says."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.audio import rms
from training.prepare.simulation.chance import generator
from training.prepare.simulation.passing import Passing, PassingRange, draw

RATE = 16_000


def test_a_car_falls_by_6_db_where_it_is_twice_as_far_away():
    # White, so that a tenth of a second has a level; the one car is closest where it is loudest.
    for seed in range(20):
        audio = Passing(0.0, 10.0, 10.0, 0.0, seed).make(30 * RATE, RATE)
        smooth = np.convolve(np.mean(audio.reshape(-1, RATE // 10) ** 2, axis=1), np.full(5, 0.2), "same")
        closest = int(np.argmax(smooth))
        if 50 < closest < 250:
            break
    twice = np.sqrt(3)  # seconds at 10 m/s until 20 m away
    sides = (closest - round(10 * twice), closest + round(10 * twice))
    falls = [10 * np.log10(smooth[closest] / smooth[at]) for at in sides]
    assert falls == pytest.approx([6.0, 6.0], abs=1.0)


def test_more_cars_make_it_steadier():
    def swing(a_minute):
        audio = Passing(a_minute, 5.0, 12.0, 1.0, seed=1).make(20 * RATE, RATE)
        levels = [rms(one) for one in audio.reshape(20, -1)]
        return np.std(levels)

    assert swing(100) < 0.5 * swing(3)


def test_what_is_drawn_has_a_level_of_one_and_is_made_again():
    rng = generator(1, "a", "passing")
    for _ in range(20):
        drawn = draw(rng, PassingRange())
        assert 3 <= drawn.metres <= 30
        assert rms(drawn.make(RATE, RATE)) == pytest.approx(1, abs=1e-4)
    assert np.array_equal(drawn.make(RATE, RATE), drawn.make(RATE, RATE))
