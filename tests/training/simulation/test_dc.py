"""An offset."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.chance import generator
from training.prepare.simulation.dc import Dc, DcRange, draw


def test_the_mean_moves_by_the_offset_and_nothing_else_does():
    audio = generator(1, "a", "b").normal(0, 0.1, 10_000).astype(np.float32)
    out = Dc(-0.01).apply(audio, 16_000)
    assert out.dtype == np.float32
    assert out.mean() - audio.mean() == pytest.approx(-0.01, abs=1e-6)
    assert out.std() == pytest.approx(audio.std(), rel=1e-5)


def test_what_is_drawn_lies_in_its_range():
    rng = generator(1, "a", "dc")
    assert all(abs(draw(rng, DcRange()).offset) <= 0.02 for _ in range(100))
