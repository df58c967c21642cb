"""The talk's representations are what they are called, and the same network tells which of them is worth its cost."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

import torch

from streamd.logmel import LogMelSpec, log_mel
from training.process.compare import Row, compare, table
from training.process.cqt import cqt
from training.process.examples import Example
from training.process.probe import Score
from training.process.representations import NARROW_RATE, representations

SPEC = LogMelSpec()


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks are slower on two threads than on one, where others work beside them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


RATE = SPEC.sample_rate


def noise(seed: int = 0, n_samples: int = RATE) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, n_samples).astype(np.float32)


def test_the_constant_q_transform_is_that_of_librosa():
    librosa = pytest.importorskip("librosa")
    time = np.arange(2 * RATE) / RATE
    audio = noise(n_samples=2 * RATE) + np.sin(2 * np.pi * (200 + 900 * time) * time).astype(np.float32)
    hz = 125 * 2 ** (np.arange(48) / 9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa's own
        found = librosa.cqt(
            audio, sr=RATE, hop_length=512, fmin=125, n_bins=48, bins_per_octave=9, scale=False, tuning=0.0,
            pad_mode="constant",
        )  # fmt: skip
    # Unscaled, each of its bands is as many times larger as its kernel is long; its kernels are 4 % longer than ours.
    theirs = (np.abs(found) / librosa.filters.wavelet_lengths(freqs=hz, sr=RATE)[0][:, None]).T
    ours = cqt(audio, RATE, 512, 125, 48, 9)
    assert ours.shape == theirs.shape
    loud = theirs > 0.02
    assert loud.sum() > 300
    assert np.abs(20 * np.log10(ours[loud] / theirs[loud])).mean() < 0.8
    assert np.corrcoef(ours[loud], theirs[loud])[0, 1] > 0.998


@pytest.mark.parametrize("band", [0, 20, 47])
def test_a_sine_is_heard_in_its_own_band_at_half_its_amplitude(band):
    hz = 125 * 2 ** (band / 9)
    sine = np.sin(2 * np.pi * hz * np.arange(2 * RATE) / RATE).astype(np.float32)
    middle = cqt(sine, RATE, 160, 125, 48, 9)[100]
    assert middle.argmax() == band
    assert middle[band] == pytest.approx(0.5, rel=0.01)


def test_a_band_above_half_the_rate_is_refused():
    with pytest.raises(ValueError, match="expected less than 8000"):
        cqt(noise(), RATE, 160, 125, 80, 9)


def test_each_representation_has_the_size_that_it_says_and_the_frames_of_the_log_mel():
    for one in representations(SPEC):
        frames = one.make(noise())
        assert frames.shape[1] == one.n_features, one.name
        assert frames.dtype == np.float32, one.name
        assert len(frames) / one.frames_per_second == pytest.approx(1.0, abs=0.04), one.name
        assert np.isfinite(frames).all(), one.name


def test_the_log_mel_is_the_one_that_the_network_gets_and_the_others_are_made_from_the_same_spectrum():
    made = {one.name: one.make(noise()) for one in representations(SPEC)}
    assert np.array_equal(made["mel, dB"], log_mel(noise(), SPEC))
    assert np.allclose(20 * np.log10(made["mel, linear"]), made["mel, dB"], atol=1e-3)
    assert np.allclose(20 * np.log10(made["STFT, linear"]), made["STFT, dB"], atol=1e-3)
    low = made["mel, dB, bands below 4 kHz"]
    assert np.array_equal(low, made["mel, dB"][:, : low.shape[1]])


def test_a_tone_above_the_narrow_rate_is_only_in_what_is_not_narrowed():
    tone = 0.1 * np.sin(2 * np.pi * 6000 * np.arange(RATE) / RATE).astype(np.float32)
    for one in representations(SPEC):
        if one.name.startswith("mel, dB"):
            loudest = one.make(tone).max(axis=1).mean()
            narrow = "resampled" in one.name or "below" in one.name
            assert (loudest < -35) == narrow, one.name
    assert {one.name for one in representations(LogMelSpec(sample_rate=NARROW_RATE, fmax=4000))}.isdisjoint(
        {"mel, dB, resampled to 8 kHz"}
    )


def examples(n_groups: int = 6) -> list[Example]:
    """Return clips whose label is where a sweep begins: up or down, told by order in time alone."""
    time = np.arange(RATE // 2) / RATE
    found = []
    for i in range(8 * n_groups):
        up = np.sin(2 * np.pi * (500 + 1500 * time) * time)
        sweep = 0.3 * (up if i % 2 else up[::-1]).astype(np.float32)
        found.append(Example("up" if i % 2 else "down", str(i // 2 % n_groups), sweep + 0.05 * noise(i, RATE // 2)))
    return found


def test_what_is_told_by_order_in_time_is_learnt_and_each_row_says_what_it_costs(monkeypatch):
    only = [one for one in representations(SPEC) if one.name in ("mel, dB", "MFCC")]
    monkeypatch.setattr("training.process.compare.representations", lambda spec: only)
    rows = list(compare(examples(), SPEC))
    assert [row.name for row in rows] == ["mel, dB", "MFCC"]
    assert rows[0].score.accuracy > 0.9
    assert rows[0].numbers_per_second == 6400
    assert rows[1].numbers_per_second == 2000
    assert all(row.milliseconds > 0 and row.fit_seconds > 0 for row in rows)
    again = next(iter(compare(examples(), SPEC)))
    assert again.score == rows[0].score, "chance comes from the seed"


def test_what_can_not_be_left_out_can_not_be_compared():
    with pytest.raises(ValueError, match="expected two groups of two kinds"):
        next(iter(compare(examples(1), SPEC)))


def test_the_table_has_a_line_a_row_as_it_comes():
    def rows():
        yield Row("mel, dB", 6400, 0.7, 10.0, Score(0.75, (0.6, 0.9)))
        raise AssertionError("asked for more than was told")

    lines = table(rows(), 0.5)
    next(lines)
    assert next(lines).split() == ["mel,", "dB", "6,400", "0.7", "10.0", "75%", "60%", "to", "90%"]
