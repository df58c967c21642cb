"""Automatic gain control: where it settles, and how fast it gets there."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.agc import Agc, AgcRange, draw
from training.prepare.simulation.chance import generator

SAMPLE_RATE = 16_000
AGC = Agc(target_db=-20.0, most_gain_db=18.0, attack_seconds=0.05, release_seconds=0.5)


def square(seconds, db):
    n = round(seconds * SAMPLE_RATE)
    return (10 ** (db / 20) * np.where(np.arange(n) % 2, 1, -1)).astype(np.float32)


def level_at(audio, seconds):
    return 20 * np.log10(np.abs(audio[round(seconds * SAMPLE_RATE)]))


@pytest.mark.parametrize(("before", "after"), [(-30, -20), (-10, -20), (-60, -42), (0, -18)])
def test_it_settles_at_the_target_or_as_near_as_its_gain_allows(before, after):
    assert level_at(AGC.apply(square(5, before), SAMPLE_RATE), 4.9) == pytest.approx(after, abs=0.1)


@pytest.mark.parametrize(("db", "time_constant"), [(-10, 0.05), (-30, 0.5)])
def test_after_one_time_constant_63_percent_of_the_way_is_done(db, time_constant):
    out = AGC.apply(square(5, db), SAMPLE_RATE)
    moved = abs(level_at(out, time_constant) - db)
    assert moved == pytest.approx(10 * (1 - np.exp(-1)), abs=0.7)


def test_the_gain_does_not_jump():
    audio = np.concatenate([square(1, -50), square(1, -10)])
    gain = AGC.apply(audio, SAMPLE_RATE) / audio
    assert np.abs(np.diff(20 * np.log10(gain))).max() < 0.1


def test_silence_stays_silence():
    assert not AGC.apply(np.zeros(20_001, np.float32), SAMPLE_RATE).any()


def test_about_three_items_in_ten_have_one():
    rng = generator(1, "a", "agc")
    assert sum(draw(rng, AgcRange()) is not None for _ in range(1000)) / 1000 == pytest.approx(0.3, abs=0.05)
