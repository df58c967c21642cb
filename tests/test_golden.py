"""The golden signal: the same for ever, heard in every band, and like what networks are taught."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.golden import golden_signal
from streamd.logmel import LogMelSpec, log_mel


@pytest.mark.parametrize(
    ("seed", "digest"),
    [
        (0, "7839b315a227d63e"),
        (1, "da455814e31efe03"),
        (20, "389f10245074066e"),
        (41, "472eae7c62f0794c"),
        (42, "87dc5e05b2d1f718"),
        (1_000_003, "4156e93b35ffb82a"),
    ],
)
def test_the_golden_signal_is_the_same_for_ever(seed: int, digest: str) -> None:
    """Other samples would refuse every model that was ever exported."""
    signal = golden_signal(seed, 50_000)
    assert signal.dtype == np.int16
    assert hashlib.sha256(signal.astype("<i2").tobytes()).hexdigest()[:16] == digest


@given(seed=st.integers(0, 10**6), n_samples=st.integers(0, 3_000))
def test_a_longer_golden_signal_begins_like_a_shorter_one(seed: int, n_samples: int) -> None:
    np.testing.assert_array_equal(golden_signal(seed, n_samples), golden_signal(seed, 3_000)[:n_samples])


def each_of_the_first_seeds(check: Callable[[int], bool]) -> list[int]:
    """The seeds, of those an exporter tries, that fail the check."""
    return [seed for seed in range(42) if not check(seed)]


def test_strokes_are_of_unlike_pitch_and_die_away() -> None:
    """What a network for knocks answers to: something begins, at some pitch, and ends."""
    spec = LogMelSpec()
    loudest = set()
    for seed in range(42, 142):
        frames = log_mel(golden_signal(seed, 9_000), spec)
        loudest.add(int(frames[:20].mean(axis=0).argmax()))
        assert frames[:10].max() > frames[-10:].max() + 6, seed
    assert len(loudest) > spec.n_mels / 3


def test_the_golden_signal_moves_through_the_spectrum() -> None:
    """Every band up to a third of the rate is at some time the loudest: no two can be swapped unnoticed."""
    spec = LogMelSpec(fmin=300, fmax=5_000, n_mels=16)

    def sweeps(seed: int) -> bool:
        return set(log_mel(golden_signal(seed, 33_000), spec).argmax(axis=1)) == set(range(spec.n_mels))

    assert each_of_the_first_seeds(sweeps) == []


def test_the_golden_signal_leaves_nothing_at_the_floor_and_does_not_clip() -> None:
    def is_fair(seed: int) -> bool:
        signal = golden_signal(seed, 16_000)
        frames = log_mel(signal, LogMelSpec())
        return float(np.mean(frames < -69)) < 1e-3 and int(np.abs(signal.astype(int)).max()) < 32_000

    assert each_of_the_first_seeds(is_fair) == []
