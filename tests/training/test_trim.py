"""The sound inside a clip is found where it was put."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from training.prepare.trim import Trim, find_sound

ACCURACY_SECONDS = 0.016 + 0.02
"""A frame and the margin."""


def noise(seconds: float, sample_rate: int, level_db: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 10 ** (level_db / 20), round(seconds * sample_rate))


def placed(sample_rate: int, onset: float, seconds: float, after: float, level_db: float, floor_db: float):
    """A buzz of a level in noise of another, as float32 samples (n_samples,)."""
    clip = noise(onset + seconds + after, sample_rate, floor_db)
    start, n = round(onset * sample_rate), round(seconds * sample_rate)
    buzz = np.sign(np.sin(2 * np.pi * 300 * np.arange(n) / sample_rate)) * 10 ** (level_db / 20)
    clip[start : start + n] += buzz[: len(clip) - start]
    return clip.astype(np.float32)


@given(
    sample_rate=st.sampled_from([8000, 16_000, 22_050, 44_100]),
    onset=st.floats(0.2, 1.5),
    seconds=st.floats(0.05, 0.6),
    after=st.floats(0.2, 1.5),
    snr_db=st.floats(16, 60),
    floor_db=st.floats(-80, -30),
)
def test_a_sound_is_found_to_a_frame_and_the_margin_and_never_cut(sample_rate, onset, seconds, after, snr_db, floor_db):
    level_db = min(floor_db + snr_db, -3.0)
    assume(level_db > -65)  # below, it is as good as silent
    found = find_sound(placed(sample_rate, onset, seconds, after, level_db, floor_db), sample_rate)
    assert found.verdict == "found"
    assert onset - ACCURACY_SECONDS - 1e-3 <= found.onset_sample / sample_rate <= onset + 1e-3
    end = onset + seconds
    assert end - 1e-3 <= found.offset_sample / sample_rate <= end + ACCURACY_SECONDS + 1e-3
    assert found.floor_db == pytest.approx(floor_db, abs=1.5)
    assert found.n_sounds == 1


def test_gain_moves_nothing():
    samples = placed(16_000, 0.5, 0.3, 0.5, -10, -50)
    spans = {
        (found.onset_sample, found.offset_sample)
        for gain in (1.0, 0.5, 0.1, 0.02)
        for found in [find_sound(samples * np.float32(gain), 16_000)]
    }
    assert len(spans) == 1


def test_a_constant_offset_is_neither_sound_nor_floor():
    samples = placed(16_000, 0.5, 0.3, 0.5, -10, -50)
    shifted = samples + np.float32(0.2)
    assert find_sound(shifted, 16_000).onset_sample == find_sound(samples, 16_000).onset_sample


def test_a_decay_in_digital_silence_ends_thirty_decibels_down():
    decay = 10 ** (-60 * np.arange(16_000) / 16_000 / 20) * noise(1.0, 16_000, -10)  # 60 dB a second
    samples = np.concatenate([np.zeros(8000), decay, np.zeros(8000)]).astype(np.float32)
    found = find_sound(samples, 16_000)
    assert found.onset_sample / 16_000 == pytest.approx(0.5, abs=ACCURACY_SECONDS)
    assert found.offset_sample / 16_000 == pytest.approx(0.5 + 30 / 60, abs=0.05)


@pytest.mark.parametrize("seconds", [0.2, 0.35, 1.0, 2.0])
@pytest.mark.parametrize("fall_db", [6, 12, 18, 25])
def test_a_sound_that_was_cut_tightly_loses_nothing(seconds, fall_db):
    n = round(seconds * 16_000)
    decay = (10 ** (-fall_db * np.arange(n) / n / 20) * noise(seconds, 16_000, -10)).astype(np.float32)
    found = find_sound(decay, 16_000)
    assert (found.verdict, found.onset_sample, found.offset_sample) == ("fills the clip", 0, n)
    assert found.floor_db is None


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_a_sound_is_found_in_rumble_as_in_hiss(exponent):
    rng = np.random.default_rng(5)
    hz = np.maximum(np.fft.rfftfreq(48_000, 1 / 16_000), 20)
    floor = np.fft.irfft(np.fft.rfft(rng.standard_normal(48_000)) * hz**-exponent, 48_000)
    samples = placed(16_000, 1.2, 0.5, 1.3, -20, -120) + np.float32(0.01) * floor / floor.std()
    found = find_sound(samples.astype(np.float32), 16_000)
    assert found.onset_sample / 16_000 == pytest.approx(1.2, abs=ACCURACY_SECONDS)
    assert found.offset_sample / 16_000 == pytest.approx(1.7, abs=ACCURACY_SECONDS)


@pytest.mark.parametrize(("level_db", "verdict"), [(-20.0, "fills the clip"), (-75.0, "silent")])
def test_steady_noise_alone_fills_its_clip_unless_it_is_silence(level_db, verdict):
    samples = noise(2.0, 16_000, level_db).astype(np.float32)
    found = find_sound(samples, 16_000)
    assert (found.verdict, found.onset_sample, found.offset_sample) == (verdict, 0, len(samples))


def test_two_beeps_are_one_sound_or_two_by_the_gap_between_them():
    for gap, n_sounds in ((0.15, 1), (0.6, 2)):
        beeps = [placed(16_000, 0.5, 0.2, 0.0, -10, -60), placed(16_000, gap, 0.2, 0.5, -10, -60)]
        found = find_sound(np.concatenate(beeps), 16_000)
        assert found.n_sounds == n_sounds
        assert found.offset_sample / 16_000 == pytest.approx(0.9 + gap, abs=ACCURACY_SECONDS + 1e-3)


def test_what_is_found_can_be_adjusted():
    samples = placed(16_000, 0.5, 0.3, 0.5, -30, -50)
    assert find_sound(samples, 16_000, Trim(above_floor_db=25)).verdict == "fills the clip"
    kept = find_sound(samples, 16_000, Trim(margin_seconds=0.2))
    assert kept.onset_sample / 16_000 == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("n_samples", [1, 3, 255, 256, 300])
def test_the_shortest_clips_are_whole(n_samples):
    found = find_sound(np.full(n_samples, 0.1, np.float32) * np.resize([1, -1], n_samples), 16_000)
    assert (found.onset_sample, found.offset_sample) == (0, n_samples)
