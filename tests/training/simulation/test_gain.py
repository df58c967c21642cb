"""A gain."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.audio import level_db
from training.prepare.simulation.chance import generator
from training.prepare.simulation.gain import LEVEL_DB, Gain, GainRange, draw


@pytest.mark.parametrize("recorded_at", [1e-3, 0.1, 0.5])
def test_a_sound_is_so_many_decibels_from_the_level_of_all_however_loud_it_was_recorded(recorded_at):
    audio = generator(1, "a", "b").normal(0, recorded_at, 16_000).astype(np.float32)
    quiet = np.zeros(32_000, np.float32)
    out = Gain(-6.0).apply(np.concatenate([quiet, audio, quiet]), 16_000)
    assert level_db(out[32_000:48_000]) == pytest.approx(LEVEL_DB - 6, abs=0.01)
    assert out.dtype == np.float32


def test_silence_stays_silence():
    assert not Gain(6.0).apply(np.zeros(100, np.float32), 16_000).any()


def test_what_is_drawn_lies_in_its_range():
    rng = generator(1, "a", "gain")
    assert all(abs(draw(rng, GainRange()).db) <= 6 for _ in range(100))
