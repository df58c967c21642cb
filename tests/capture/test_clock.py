"""The fit of samples against the monotonic clock."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.capture.clock import WINDOW_SECONDS, CaptureClock, clock_id, wall_offset

RATE = 16_000


@given(
    jitter=st.lists(st.floats(0, 0.3), min_size=20, max_size=200),
    n_samples=st.integers(160, 16_000),
    drift_ppm=st.floats(-200, 200),
    start=st.floats(0, 1e7),
)
def test_a_date_is_late_by_no_more_than_the_least_delay_of_the_last_seconds(
    jitter: list[float], n_samples: int, drift_ppm: float, start: float
) -> None:
    clock = CaptureClock(RATE)
    true_rate = RATE * (1 + drift_ppm * 1e-6)
    delays: list[tuple[float, float]] = []
    for delay in jitter:
        captured = start + (clock.position + n_samples) / true_rate
        clock.heard(n_samples, captured + delay)
        delays.append((captured, delay))
        least = min(each for at, each in delays if at > captured - WINDOW_SECONDS + 1)
        error = clock.monotonic(clock.position) - captured
        drifted = 2 * abs(drift_ppm) * 1e-6 * (WINDOW_SECONDS + 2) + 1e-6
        assert -drifted <= error <= least + drifted


def test_deliveries_on_a_grid_of_50_ms_are_dated_evenly() -> None:
    clock = CaptureClock(RATE)
    dates = []
    for block in range(1, 200):
        captured = block * 0.08
        clock.heard(1280, -(-captured // 0.05) * 0.05)
        dates.append(clock.monotonic(clock.position) - captured)
    assert max(dates[10:]) - min(dates[10:]) < 1e-6


def test_a_stall_is_not_a_gap() -> None:
    clock = CaptureClock(RATE)
    for second in range(1, 6):
        clock.heard(RATE, second + 0.01)
    before = clock.monotonic(clock.position)
    clock.heard(RATE, 9.0)  # what waited comes at once
    clock.heard(3 * RATE, 9.01)
    assert clock.monotonic(clock.position) - before == pytest.approx(4, abs=1e-6)
    assert clock.n_missing(9.01) == 0


def test_lost_samples_are_missed_until_they_are_counted() -> None:
    clock = CaptureClock(RATE)
    assert clock.n_missing(100.0) == 0, "nothing is missing before the first"
    for second in range(1, 6):
        clock.heard(RATE, float(second))
    assert clock.n_missing(7.5) == 2.5 * RATE
    clock.lost(int(2.5 * RATE))
    clock.heard(RATE, 8.5)
    assert clock.n_missing(8.5) == 0
    assert clock.monotonic(clock.position) == pytest.approx(8.5)


def test_the_fit_forgets_what_lies_behind_its_window() -> None:
    clock = CaptureClock(RATE)
    clock.heard(RATE, 1.0)
    for second in range(2, 14):
        clock.heard(RATE, second + 0.2)  # the sound system now takes 0.2 s more
    assert clock.monotonic(clock.position) == pytest.approx(13.2)


@pytest.mark.parametrize(("pause", "block"), [(0.5, 0.1), (3.0, 0.1), (3.0, 0.25), (9.0, 0.064)])
def test_an_input_that_pauses_and_goes_on_without_what_it_missed_has_lost_it(pause: float, block: float) -> None:
    clock, chance = CaptureClock(RATE), np.random.default_rng(5)
    n_samples, now, n_lost, late = round(block * RATE), 1000.0, 0, 0.0
    for i in range(round(40 / block)):
        now += block + pause * (i == round(12 / block))
        lost = clock.heard(n_samples, now + chance.uniform(0, 0.03))
        n_lost += lost
        late += block * (now - clock.monotonic(clock.position) > 0.3)
    assert n_lost / RATE == pytest.approx(pause, abs=0.05)
    assert late <= 0.8, "from then on it is dated right"
    assert clock.monotonic(clock.position) == pytest.approx(now, abs=0.05)


@pytest.mark.parametrize("pace", [1.3, 5.0])
def test_an_input_that_catches_up_has_lost_nothing(pace: float) -> None:
    clock, now = CaptureClock(RATE), 1000.0
    for i in range(600):
        behind = clock.position and max(0.0, now - 1000.0 - clock.position / RATE)
        now += 4.0 if i == 100 else 0.1 / pace if behind > 0.1 else 0.1
        assert clock.heard(RATE // 10, now) == 0
    assert clock.monotonic(clock.position) == pytest.approx(now, abs=0.2)


@pytest.mark.parametrize(
    ("pace", "silence"), [(0.5, 0.0), (0.5, 2.0), (0.85, 0.0), (0.85, 0.5), (0.85, 2.0), (0.95, 0.0)]
)
@pytest.mark.parametrize("block", [0.02, 0.1])
def test_a_slow_link_that_catches_up_has_lost_nothing(pace: float, block: float, silence: float) -> None:
    clock, chance = CaptureClock(RATE), np.random.default_rng(11)
    slow, now, was_slow = range(round(3 / block), round((3 + 7 * pace) / block)), 1000.0, False
    for i in range(round(20 / block)):
        if i in slow:
            now += block / pace + (0 if was_slow else silence)
        now, was_slow = max(now, 1000.0 + i * block), i in slow
        assert clock.heard(round(block * RATE), now + chance.uniform(0, 0.005)) == 0, f"after {i * block:.2f} s"


@pytest.mark.parametrize("seconds", [6.0, 60.0])
def test_what_a_program_leaves_out_bit_by_bit_is_told_as_lost(seconds: float) -> None:
    clock, chance = CaptureClock(RATE), np.random.default_rng(13)
    n_lost = n_left_out = n_hidden = 0
    for i in range(round((seconds + 20) / 0.064)):
        if 3.0 <= i * 0.064 < 3.0 + seconds and i % 8 == 0:
            n_left_out += 1024
            continue
        n_lost += clock.heard(1024, 1000.0 + i * 0.064 + chance.uniform(0, 0.01))
        n_hidden = max(n_hidden, n_left_out - n_lost)
    assert n_left_out - 0.3 * RATE <= n_lost <= n_left_out + 0.05 * RATE
    assert n_hidden <= (0.3 + (10 + 3) / 8) * RATE, "it is not told at the end alone"


def test_lumps_of_two_seconds_some_of_them_late_are_no_pauses() -> None:
    clock, chance = CaptureClock(RATE), np.random.default_rng(7)
    for lump in range(100):
        at = 2.0 * lump + chance.uniform(0, 0.8)
        assert [clock.heard(RATE // 4, at + 0.001 * i) for i in range(8)] == [0] * 8


def test_the_wall_clock_is_told_apart_from_the_monotonic_one() -> None:
    assert wall_offset() == pytest.approx(time.time() - time.monotonic(), abs=0.01)
    assert clock_id() == clock_id() != ""


@pytest.mark.parametrize("ppm", [-80.0, 0.0, 35.0])
def test_a_sound_card_that_is_too_fast_or_too_slow_is_measured(ppm: float) -> None:
    clock = CaptureClock(RATE)
    chance = np.random.default_rng(3)
    block, n_samples = 0.1 / (1 + ppm / 1e6), RATE // 10
    for i in range(1, 6000):
        if i == 2990:
            assert clock.drift_ppm() is None, "jitter would be told as drift"
        clock.heard(n_samples, i * block + chance.exponential(0.004))
    assert clock.drift_ppm() == pytest.approx(ppm, abs=1.0)
    clock.lost(1000)
    assert clock.drift_ppm() is None
