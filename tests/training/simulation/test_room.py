"""Rooms by impulse responses whose delay and decay are known."""

from __future__ import annotations

import numpy as np
import pytest

from training.prepare.simulation.chance import generator
from training.prepare.simulation.room import RoomRange, draw, places_around, reverberation_seconds, room_of

SAMPLE_RATE = 16_000


def decaying(rt60_seconds, direct_sample=160, seed=0):
    """A direct path, and 20 ms later a tail of noise that falls by 60 dB in the given time."""
    n = round(1.3 * rt60_seconds * SAMPLE_RATE)
    tail = np.random.default_rng(seed).standard_normal(n) * 10 ** (-3 * np.arange(n) / (rt60_seconds * SAMPLE_RATE))
    response = np.zeros(direct_sample + 320 + n)
    response[direct_sample] = 1
    response[direct_sample + 320 :] = 0.1 * tail
    return response.astype(np.float32)


@pytest.mark.parametrize("rt60_seconds", [0.2, 0.5, 1.2])
def test_the_reverberation_time_is_measured(rt60_seconds):
    found = np.mean([reverberation_seconds(decaying(rt60_seconds, seed=seed)[480:], SAMPLE_RATE) for seed in range(5)])
    assert found == pytest.approx(rt60_seconds, rel=0.05)


def test_a_response_without_decay_has_no_reverberation_time():
    assert np.isnan(reverberation_seconds(np.array([0, 1, 0, 0], np.float32), SAMPLE_RATE))


def test_the_direct_path_has_level_one_and_its_delay_is_known():
    room = room_of("hall", 0.02 * decaying(0.5), SAMPLE_RATE)
    assert room.direct_sample == 160
    assert room.response[160] == pytest.approx(1, rel=1e-5)
    click = np.zeros(20_000, np.float32)
    click[5000] = 0.5
    heard = room.apply(click, SAMPLE_RATE)
    assert len(heard) == len(click)
    assert int(np.argmax(np.abs(heard))) == 5000 + room.direct_sample
    assert heard[5160] == pytest.approx(0.5, rel=1e-4)
    np.testing.assert_allclose(heard[5000:7000], 0.5 * room.response[:2000], atol=1e-6)


def test_a_direct_path_between_two_samples_keeps_its_energy():
    between = np.sinc(np.arange(-40, 360) - 0.5).astype(np.float32)
    room = room_of("close", between, SAMPLE_RATE)
    assert np.sum(room.response.astype(np.float64) ** 2) == pytest.approx(1, abs=0.02)


def test_a_silent_response_and_another_rate_are_refused():
    with pytest.raises(ValueError, match="cave is silent"):
        room_of("cave", np.zeros(10, np.float32), SAMPLE_RATE)
    with pytest.raises(ValueError, match="at 16000 Hz, the audio at 8000"):
        room_of("hall", decaying(0.2), SAMPLE_RATE).apply(np.zeros(10, np.float32), 8000)


def test_the_other_places_of_a_hall_are_around_a_room():
    one, two = (room_of(f"hall {i}", decaying(0.2, seed=i), SAMPLE_RATE, "hall") for i in range(2))
    alone = room_of("cell", decaying(0.3), SAMPLE_RATE)
    rooms = [one, two, alone]
    assert [id(place) for place in places_around(one, rooms)] == [id(two.response)]
    assert [id(place) for place in places_around(alone, rooms)] == [id(alone.response)]
    assert places_around(None, rooms) == []


def test_all_rooms_are_drawn_and_one_item_in_five_is_dry():
    rooms = [room_of(str(i), decaying(0.2), SAMPLE_RATE) for i in range(4)]
    rng = generator(1, "a", "room")
    drawn = [draw(rng, RoomRange(), rooms) for _ in range(1000)]
    assert {one.name for one in drawn if one} == {"0", "1", "2", "3"}
    assert sum(one is None for one in drawn) / 1000 == pytest.approx(0.2, abs=0.04)
    assert draw(rng, RoomRange(), []) is None
