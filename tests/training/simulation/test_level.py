"""The level at the microphone, measured where it sounds."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.chance import Range, generator
from training.prepare.simulation.level import Level, LevelRange, draw


def test_the_sounding_part_has_the_level_asked_for():
    audio = np.zeros(32_000, np.float32)
    audio[8000:16_000] = np.where(np.arange(8000) % 2, 0.3, -0.3)
    louder = Level(-20.0).apply(audio, 16_000)
    assert np.abs(louder).max() == pytest.approx(0.1, rel=1e-5)
    assert louder.dtype == np.float32


def test_silence_stays_silence():
    assert not Level(-20.0).apply(np.zeros(100, np.float32), 16_000).any()


def test_what_is_drawn_lies_in_its_range():
    rng = generator(1, "a", "level")
    drawn = [draw(rng, LevelRange(Range(-30.0, -20.0))).db for _ in range(200)]
    assert all(-30 <= db <= -20 for db in drawn)
    assert min(drawn) < -29
    assert max(drawn) > -21
