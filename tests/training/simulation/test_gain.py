"""A gain."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.audio import level_db
from training.prepare.simulation.chance import generator
from training.prepare.simulation.gain import Gain, GainRange, draw


def test_the_level_changes_by_so_many_decibels():
    audio = generator(1, "a", "b").normal(0, 0.1, 1000).astype(np.float32)
    out = Gain(-6.0).apply(audio, 16_000)
    assert level_db(out) - level_db(audio) == pytest.approx(-6, abs=1e-4)
    assert out.dtype == np.float32


def test_what_is_drawn_lies_in_its_range():
    rng = generator(1, "a", "gain")
    assert all(abs(draw(rng, GainRange()).db) <= 6 for _ in range(100))
