"""Self-noise: white, at its level, under everything."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.audio import level_db
from training.prepare.simulation.chance import generator
from training.prepare.simulation.self_noise import SelfNoise, SelfNoiseRange, draw


def test_silence_has_the_level_of_the_noise():
    out = SelfNoise(-60.0, 1).apply(np.zeros(160_000, np.float32), 16_000)
    assert level_db(out) == pytest.approx(-60, abs=0.05)
    assert out.dtype == np.float32


def test_it_is_added_and_the_same_again():
    audio = np.full(1000, 0.25, np.float32)
    noise = SelfNoise(-60.0, 1).apply(np.zeros(1000, np.float32), 16_000)
    np.testing.assert_allclose(SelfNoise(-60.0, 1).apply(audio, 16_000) - audio, noise, atol=1e-7)


def test_what_is_drawn_lies_in_its_range():
    rng = generator(1, "a", "self-noise")
    drawn = [draw(rng, SelfNoiseRange()) for _ in range(100)]
    assert all(-90 <= one.level_db <= -55 for one in drawn)
    assert len({one.seed for one in drawn}) == 100
