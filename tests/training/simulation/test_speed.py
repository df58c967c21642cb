"""Speed: pitch and length change together."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.chance import generator
from training.prepare.simulation.speed import Speed, SpeedRange, draw

SAMPLE_RATE = 16_000


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1, 1.9])
def test_a_tone_becomes_higher_and_shorter_by_the_factor(factor):
    n = np.arange(2 * SAMPLE_RATE)
    tone = np.sin(2 * np.pi * 1000 * n / SAMPLE_RATE).astype(np.float32)
    out = Speed(factor).apply(tone, SAMPLE_RATE)
    assert len(out) == pytest.approx(len(tone) / factor, abs=1.01)
    wanted = np.sin(2 * np.pi * 1000 * factor * np.arange(len(out)) / SAMPLE_RATE)
    inner = slice(1000, -1000)
    np.testing.assert_allclose(out[inner], wanted[inner], atol=2e-3)


def test_what_would_pass_half_the_sample_rate_is_gone_not_folded_back():
    n = np.arange(SAMPLE_RATE)
    out = Speed(1.5).apply(np.sin(2 * np.pi * 7000 * n / SAMPLE_RATE).astype(np.float32), SAMPLE_RATE)
    assert np.abs(out[500:-500]).max() < 1e-3


def test_what_is_drawn_lies_in_its_range():
    rng = generator(1, "a", "speed")
    assert all(0.9 <= draw(rng, SpeedRange()).factor <= 1.1 for _ in range(100))
