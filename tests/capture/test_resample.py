"""Resampling as a stream, against soxr on the whole clip and against tones."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamd.capture.resample import Resampler, from_pcm, to_pcm

RATES = [8_000, 16_000, 22_050, 44_100, 48_000, 96_000]


def resample(samples: NDArray[np.float32], native_rate: int, sample_rate: int, cuts: list[int]) -> NDArray[np.int16]:
    """Resample in pieces that end at the cuts."""
    resampler = Resampler(native_rate, sample_rate)
    parts = [resampler.push(piece) for piece in np.split(samples, cuts)]
    return np.concatenate([*parts, resampler.finish()])


@pytest.mark.parametrize("native_rate", RATES)
@pytest.mark.parametrize("sample_rate", [16_000, 32_000])
def test_the_stream_is_the_whole_clip(native_rate: int, sample_rate: int) -> None:
    samples = (np.random.default_rng(1).standard_normal(2 * native_rate) * 0.1).astype(np.float32)
    whole = soxr.resample(samples, native_rate, sample_rate, quality="HQ")
    cuts = list(range(0, len(samples), 441))
    np.testing.assert_array_equal(resample(samples, native_rate, sample_rate, cuts), to_pcm(whole))


@given(st.lists(st.integers(0, 9_600), max_size=20).map(sorted), st.sampled_from([8_000, 44_100, 48_000]))
def test_how_it_is_cut_changes_no_bit(cuts: list[int], native_rate: int) -> None:
    samples = (np.random.default_rng(2).standard_normal(9_600) * 0.2).astype(np.float32)
    whole = resample(samples, native_rate, 16_000, [])
    np.testing.assert_array_equal(resample(samples, native_rate, 16_000, cuts), whole)


@pytest.mark.parametrize("native_rate", RATES)
def test_a_tone_keeps_its_pitch_place_and_level(native_rate: int) -> None:
    tone = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(2 * native_rate) / native_rate)).astype(np.float32)
    heard = resample(tone, native_rate, 16_000, [100])[4_000:-4_000] / 32768
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(4_000, 28_000) / 16_000)
    np.testing.assert_allclose(heard, expected, atol=1e-4)


def test_what_lies_above_half_the_rate_is_gone() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 10_000 * np.arange(96_000) / 48_000)).astype(np.float32)
    assert np.abs(resample(tone, 48_000, 16_000, [])[4_000:-4_000]).max() <= 1


def test_pcm_goes_through_unchanged_and_loud_samples_are_clipped() -> None:
    every = np.arange(-32768, 32768).astype(np.int16)
    np.testing.assert_array_equal(resample(from_pcm(every), 16_000, 16_000, [7]), every)
    loud = np.array([-2, -1, 1, 2, 0.4 / 32768, 0.6 / 32768], np.float32)
    np.testing.assert_array_equal(to_pcm(loud), [-32768, -32768, 32767, 32767, 0, 1])
