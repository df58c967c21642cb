from __future__ import annotations

import time
from itertools import islice

import numpy as np

from streamd import shipped
from streamd.bench.pace import Sounds, sleep_until, to_int16, turns
from streamd.capture.recording import read_recording


def test_everybody_has_a_turn_in_every_period_and_always_at_the_same_phase() -> None:
    found = list(islice(turns(50, 0.2, 100.0, seed=1), 150))
    times = [when for _, _, when in found]
    assert times == sorted(times)
    by_who = {who: [when for each, _, when in found if each == who] for who in range(50)}
    for whens in by_who.values():
        np.testing.assert_allclose(np.diff(whens), 0.2)
        assert 100.2 <= whens[0] < 100.4
    assert [number for _, number, _ in found] == [0] * 50 + [1] * 50 + [2] * 50
    assert found == list(islice(turns(50, 0.2, 100.0, seed=1), 150))
    assert found != list(islice(turns(50, 0.2, 100.0, seed=2), 150))


def test_blocks_of_a_source_follow_each_other_through_the_recording_and_round() -> None:
    whole = np.concatenate([to_int16(piece) for piece in read_recording(shipped.demo_file("demo.flac"), 8_000)])
    n = 2_500
    sounds = Sounds(3, 8_000, n, seed=0)
    heard = np.concatenate([sounds.block(1, number) for number in range(2 * len(whole) // n)])
    begin = np.tile(whole, 2).tobytes().find(heard[: len(whole)].tobytes()) // whole.itemsize
    assert begin >= 0
    np.testing.assert_array_equal(heard, np.resize(np.roll(whole, -begin), len(heard)))
    assert not np.array_equal(sounds.block(0, 0), sounds.block(1, 0))


def test_full_scale_does_not_turn_over() -> None:
    np.testing.assert_array_equal(
        to_int16(np.array([-1.5, -1, 0, 1, 1.5], np.float32)), [-32767, -32767, 0, 32767, 32767]
    )


def test_who_is_late_does_not_sleep_and_knows_it() -> None:
    began = time.monotonic()
    assert sleep_until(began - 1) >= 1
    assert sleep_until(began + 0.01) >= 0
    assert time.monotonic() >= began + 0.01
