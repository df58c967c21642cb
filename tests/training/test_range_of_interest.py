"""The range of interest, on made sounds whose information lies where we put it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streamd.errors import DataError
from training.process.range_of_interest import N_BANDS, range_of_interest, suggested_rate

Floats = NDArray[np.float32]


def within(rng: np.random.Generator, n_samples: int, rate: int, low_hz: float, high_hz: float, level: float) -> Floats:
    """Noise between two frequencies."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    hz = np.fft.rfftfreq(n_samples, 1 / rate)
    spectrum[(hz < low_hz) | (hz > high_hz)] = 0
    audio = np.fft.irfft(spectrum, n_samples)
    return (level * audio / audio.std()).astype(np.float32)


def rooms(rng: np.random.Generator, n_clips: int, n_samples: int) -> list[Floats]:
    """White noise, from one clip to the next up to 10 dB louder or quieter."""
    levels = 0.01 * 10 ** rng.uniform(-0.5, 0.5, n_clips)
    return [(level * rng.standard_normal(n_samples)).astype(np.float32) for level in levels]


def sounds(rng: np.random.Generator, rate: int, low_hz: float, high_hz: float, n_clips: int = 30) -> list[Floats]:
    """Half a second of noise between two frequencies, in front of a room's."""
    n = rate // 2
    return [room + within(rng, n, rate, low_hz, high_hz, 0.02) for room in rooms(rng, n_clips, n)]


# What is suggested may be up to a third of an octave too wide on either side, and never too narrow.
@pytest.mark.parametrize(
    ("rate", "low_hz", "high_hz", "suggested"),
    [
        (48_000, 500, 2_000, 8_000),
        (48_000, 2_000, 4_000, 16_000),
        (48_000, 9_000, 12_000, 32_000),
        (44_100, 15_000, 20_000, 48_000),
        (16_000, 2_000, 4_000, 16_000),
    ],
)
def test_a_known_band_is_found_between_a_label_and_its_background(rate, low_hz, high_hz, suggested):
    rng = np.random.default_rng(0)
    background = [np.concatenate(rooms(rng, 20, rate // 2)) for _ in range(3)]
    found = range_of_interest({"fault": sounds(rng, rate, low_hz, high_hz), None: background}, rate)
    assert 0.7 * low_hz - 50 <= found.fmin <= low_hz
    assert high_hz <= found.fmax <= 1.26 * high_hz
    assert found.sample_rate == suggested
    inside = (found.low_hz >= low_hz) & (found.high_hz <= high_hz)
    assert found.auc["fault", None][inside].min() > 0.9
    assert found.carries[inside].all()


def test_two_labels_are_compared_with_each_other_and_what_they_share_does_not_count():
    rng = np.random.default_rng(1)
    low = [a + within(rng, 8_000, 16_000, 3_000, 6_000, 0.05) for a in sounds(rng, 16_000, 500, 1_000)]
    both = [a + within(rng, 8_000, 16_000, 3_000, 6_000, 0.05) for a in rooms(rng, 30, 8_000)]
    found = range_of_interest({"low": low, "both": both}, 16_000)
    assert list(found.auc) == [("both", "low")]
    assert found.auc["both", "low"][(found.low_hz > 500) & (found.high_hz < 1_000)].max() < 0.1
    assert found.fmin <= 500
    assert 1_000 <= found.fmax <= 1_300
    assert found.sample_rate == 8_000


def test_the_range_holds_what_any_two_need():
    rng = np.random.default_rng(2)
    audio = {"hum": sounds(rng, 48_000, 200, 400), "hiss": sounds(rng, 48_000, 6_000, 8_000)}
    found = range_of_interest({**audio, None: rooms(rng, 30, 24_000)}, 48_000)
    assert set(found.auc) == {("hiss", "hum"), ("hiss", None), ("hum", None)}
    assert found.fmin <= 200
    assert 8_000 <= found.fmax <= 10_000


def test_a_recorders_hiss_far_under_the_sound_is_no_information():
    rng = np.random.default_rng(3)
    near = [
        within(rng, 24_000, 48_000, 1_000, 2_000, 0.1) + within(rng, 24_000, 48_000, 50, 24_000, 1e-4)
        for _ in range(30)
    ]
    silent = [within(rng, 24_000, 48_000, 50, 24_000, 1e-5) for _ in range(30)]
    found = range_of_interest({"near": near, None: silent}, 48_000)
    assert found.auc["near", None].min() == 1, "every band alone would tell them apart"
    assert found.fmax <= 2_500


def test_where_nothing_differs_nothing_carries_and_the_range_is_the_whole():
    n_wrong = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = range_of_interest({"a": rooms(rng, 20, 8_000), None: rooms(rng, 20, 8_000)}, 16_000)
        n_wrong += bool(found.carries.any())
    assert n_wrong <= 2, "one of twenty is allowed"
    assert (found.fmin, found.fmax, found.sample_rate) == (50, 8_000, 16_000)


def test_a_handful_of_clips_proves_nothing():
    rng = np.random.default_rng(0)
    found = range_of_interest({"a": sounds(rng, 16_000, 500, 900, n_clips=3), None: rooms(rng, 3, 8_000)}, 16_000)
    assert not found.carries.any()


def test_the_chance_is_that_of_counting_pairs():
    rng = np.random.default_rng(5)
    loud, quiet = rng.uniform(0.1, 1, 7), rng.uniform(0.05, 0.6, 9)
    noise = rng.standard_normal(8_000)
    found = range_of_interest(
        {"a": [(g * noise).astype(np.float32) for g in loud], "b": [(g * noise).astype(np.float32) for g in quiet]},
        16_000,
    )
    counted = np.mean(loud[:, None] > quiet[None, :])
    np.testing.assert_allclose(found.auc["a", "b"], np.full(N_BANDS, counted))


@pytest.mark.parametrize(
    ("fmax", "rate", "suggested"),
    [
        (3_600, 48_000, 8_000),
        (3_700, 48_000, 16_000),
        (8_000, 48_000, 32_000),
        (8_000, 16_000, 16_000),
        (11_025, 22_050, 32_000),
        (21_000, 44_100, 48_000),
        (40_000, 96_000, 48_000),
    ],
)
def test_the_rate_holds_the_range_and_never_more_than_the_audio_has(fmax, rate, suggested):
    assert suggested_rate(fmax, rate) == suggested


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ({}, "0 labels"),
        ({"a": [np.zeros(8_000, np.float32)]}, "no background"),
        ({None: [np.zeros(8_000, np.float32)]}, "0 labels"),
        ({"a": [], None: [np.zeros(8_000, np.float32)]}, "label a has no clip of"),
        ({"a": [np.zeros(8_000, np.float32)], None: [np.zeros(9, np.float32)]}, "background has no clip of"),
    ],
)
def test_nothing_to_compare_is_said_in_one_line(audio, message):
    with pytest.raises(DataError, match=message):
        range_of_interest(audio, 16_000)
