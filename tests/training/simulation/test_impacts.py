"""Impacts: blows, as many as are given, that ring where they are given and die away."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.audio import rms
from training.prepare.simulation.chance import generator
from training.prepare.simulation.impacts import CLINKS, STEPS, THUDS, Impacts, draw

RATE = 16_000


def test_a_blow_dies_away_as_fast_as_given():
    audio = Impacts(0.0, 2000, 3000, 0.02, seed=1).make(RATE, RATE)
    begin = int(np.flatnonzero(audio)[0])
    loud, later = (rms(audio[begin + at : begin + at + 160]) for at in (0, 640))  # 40 ms apart: two decays
    assert 20 * np.log10(loud / later) == pytest.approx(2 * 8.69, abs=4)
    assert not audio[:begin].any()
    assert not audio[begin + 2400 :].any()


def test_its_partials_lie_in_their_band_and_under_half_the_sample_rate():
    for rate in (RATE, 8000):
        audio = Impacts(5.0, 1500, 7000, 0.05, seed=2).make(4 * rate, rate)
        power = np.abs(np.fft.rfft(audio)) ** 2
        hz = np.fft.rfftfreq(len(audio), 1 / rate)
        assert power[(hz > 1300) & (hz < min(7300, 0.47 * rate))].sum() / power.sum() > 0.97


def test_there_are_as_many_as_given_and_always_one():
    n_begun = 0
    for seed in range(20):
        audio = Impacts(2.0, 1000, 5000, 0.002, seed).make(10 * RATE, RATE)
        loud = np.flatnonzero(np.abs(audio) > 0)
        n_begun += 1 + np.count_nonzero(np.diff(loud) > 30)
    assert n_begun / 200 == pytest.approx(2.0, abs=0.3)
    assert Impacts(0.0, 1000, 5000, 0.002, 0).make(RATE, RATE).any()


@pytest.mark.parametrize("range_", [CLINKS, THUDS, STEPS])
def test_what_is_drawn_lies_in_its_range_and_has_a_level_of_one(range_):
    rng = generator(1, "a", "impacts")
    for _ in range(20):
        drawn = draw(rng, range_)
        assert range_.a_second.low <= drawn.a_second <= range_.a_second.high
        assert range_.decay_seconds.low <= drawn.decay_seconds <= range_.decay_seconds.high
        assert rms(drawn.make(RATE, RATE)) == pytest.approx(1, abs=1e-4)
    assert np.array_equal(drawn.make(RATE, RATE), drawn.make(RATE, RATE))
