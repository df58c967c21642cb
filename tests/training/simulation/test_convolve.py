"""Convolution in blocks is convolution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import fftconvolve

from training.prepare.simulation.convolve import convolved


@pytest.mark.parametrize("n_audio", [1, 100, 8192, 30_001, 160_000])
@pytest.mark.parametrize("n_response", [1, 2, 2000, 8193, 30_000])
def test_blocks_of_any_number_give_the_convolution(n_audio, n_response):
    rng = np.random.default_rng(0)
    audio = rng.standard_normal(n_audio).astype(np.float32)
    response = (rng.standard_normal(n_response) * np.exp(-np.arange(n_response) / 500)).astype(np.float32)
    expected = fftconvolve(audio.astype(np.float64), response)[:n_audio]
    found = convolved(audio, response)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_no_audio_stays_none():
    assert convolved(np.zeros(0, np.float32), np.ones(3, np.float32)).shape == (0,)
