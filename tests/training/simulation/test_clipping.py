"""Soft clipping: its curve, and what is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.prepare.simulation.chance import generator
from training.prepare.simulation.clipping import Clipping, ClippingRange, draw

RAMP = np.linspace(-3, 3, 6001).astype(np.float32)


def test_below_the_knee_nothing_changes():
    audio = RAMP[np.abs(RAMP) <= 0.4]
    np.testing.assert_allclose(Clipping(0.8, 0.5).apply(audio, 16_000), audio, atol=1e-7)


@given(ceiling=st.floats(0.1, 1), knee=st.floats(0, 1))
def test_louder_is_never_quieter_and_the_ceiling_is_never_passed(ceiling, knee):
    out = Clipping(ceiling, knee).apply(RAMP, 16_000)
    assert np.all(np.diff(out) >= -1e-6)
    assert np.abs(out).max() <= ceiling * (1 + 1e-6)
    np.testing.assert_allclose(out, -out[::-1], atol=1e-6)


def test_the_slope_has_no_jump_at_a_soft_knee():
    out = Clipping(1.0, 0.5).apply(RAMP, 16_000).astype(np.float64)
    assert np.abs(np.diff(out, 2)).max() < 1e-5
    assert out[-1] == pytest.approx(1, abs=1e-3)


def test_a_knee_at_the_ceiling_clips_hard():
    assert np.array_equal(Clipping(0.5, 1.0).apply(RAMP, 16_000), np.clip(RAMP, -0.5, 0.5))


def test_what_is_drawn_lies_in_its_range():
    rng = generator(1, "a", "clipping")
    drawn = [draw(rng, ClippingRange()) for _ in range(100)]
    assert all(0.5 <= one.ceiling <= 1 and 0.5 <= one.knee <= 1 for one in drawn)
