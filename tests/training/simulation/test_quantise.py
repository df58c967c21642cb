"""16 bits, as the capture agent makes them."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.audio import level_db
from training.prepare.simulation.chance import generator
from training.prepare.simulation.quantise import Quantise


def test_samples_are_whole_steps_and_rounding_makes_the_noise_it_must():
    audio = generator(1, "a", "b").uniform(-0.5, 0.5, 100_000).astype(np.float32)
    out = Quantise().apply(audio, 16_000)
    steps = out.astype(np.float64) * 32_768
    assert np.array_equal(steps, np.rint(steps))
    assert level_db(out - audio) == pytest.approx(20 * np.log10(1 / 32_768 / np.sqrt(12)), abs=0.1)


def test_what_is_too_loud_is_clipped_at_full_scale():
    out = Quantise().apply(np.array([1.5, -1.5, 1.0], np.float32), 16_000)
    assert out.tolist() == [32_767 / 32_768, -1.0, 32_767 / 32_768]


def test_a_second_time_changes_nothing():
    once = Quantise().apply(np.linspace(-1, 1, 10_001).astype(np.float32), 16_000)
    assert np.array_equal(Quantise().apply(once, 16_000), once)
