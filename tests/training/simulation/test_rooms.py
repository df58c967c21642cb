"""Banks of rooms: the same from the same seed, read again from disk, and from recordings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamd.errors import DataError
from training.prepare.clips import Clip
from training.prepare.simulation import scene
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.recipe import DRY
from training.prepare.simulation.room import RoomRange, places_around
from training.prepare.simulation.rooms import compute_rooms, draw_bank, recorded_rooms
from training.prepare.simulation.shoebox import METHODS, Shoebox, ShoeboxRange

SAMPLE_RATE = 16_000
BOXES = draw_bank(5, 4, ShoeboxRange())


def assert_same(rooms, others):
    for room, other in zip(rooms, others, strict=True):
        np.testing.assert_array_equal(room.response, other.response)
        assert (room.name, room.hall, room.direct_sample) == (other.name, other.hall, other.direct_sample)
        assert room.rt60_seconds == other.rt60_seconds


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bank_bit_for_bit(method, tmp_path):
    first = compute_rooms(draw_bank(5, 4, ShoeboxRange()), SAMPLE_RATE, method, tmp_path / "one")
    assert_same(first, compute_rooms(BOXES, SAMPLE_RATE, method, tmp_path / "another"))
    assert draw_bank(6, 4, ShoeboxRange()) != BOXES
    assert draw_bank(5, 6, ShoeboxRange())[:4] == BOXES


@pytest.mark.parametrize("method", METHODS)
def test_a_room_has_its_direct_path_at_level_one_its_measured_time_and_its_hall(method, tmp_path):
    rooms = compute_rooms(BOXES, SAMPLE_RATE, method, tmp_path)
    assert len(rooms) == len({room.name for room in rooms}) == 8
    for i, room in enumerate(rooms):
        box, place = BOXES[i // 2], i % 2
        assert room.direct_sample == round(box.distance(place) / 343 * SAMPLE_RATE)
        assert (room.method, room.distance_m) == (method, box.distance(place))
        around = room.response[max(0, room.direct_sample - 40) : room.direct_sample + 41]
        assert np.sum(around.astype(np.float64) ** 2) == pytest.approx(1, rel=1e-4)
        assert room.rt60_seconds == pytest.approx(box.expected_rt60, rel=0.45)
        assert [noise is rooms[i ^ 1].response for noise in places_around(room, rooms)] == [True]


def count_computed(monkeypatch):
    """Return a list that grows with each box that is computed and not read."""
    computed = []

    def noise(box, sample_rate):
        computed.append(box)
        return Shoebox.noise(box, sample_rate)

    monkeypatch.setitem(METHODS, "noise", noise)
    return computed


def test_a_kept_bank_is_read_and_not_computed(tmp_path, monkeypatch):
    computed = count_computed(monkeypatch)
    first = compute_rooms(BOXES, SAMPLE_RATE, "noise", tmp_path)
    assert computed == BOXES
    assert_same(first, compute_rooms(BOXES, SAMPLE_RATE, "noise", tmp_path))
    assert computed == BOXES
    assert {file.suffix for file in tmp_path.iterdir()} == {".npz"}


def test_another_rate_method_or_box_is_another_file(tmp_path):
    compute_rooms(BOXES[:1], SAMPLE_RATE, "noise", tmp_path)
    compute_rooms(BOXES[:1], 8000, "noise", tmp_path)
    compute_rooms(BOXES[:1], 8000, "hybrid", tmp_path)
    compute_rooms(BOXES[1:2], 8000, "hybrid", tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "no zip"])
def test_a_damaged_file_is_made_anew(damage, tmp_path, monkeypatch):
    first = compute_rooms(BOXES, SAMPLE_RATE, "noise", tmp_path)
    file = sorted(tmp_path.iterdir())[0]
    whole = file.read_bytes()
    middle = len(whole) // 2
    broken = {
        "cut": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "empty": b"",
        "no zip": b"RIFF" * 100,
    }
    file.write_bytes(broken[damage])
    computed = count_computed(monkeypatch)
    assert_same(first, compute_rooms(BOXES, SAMPLE_RATE, "noise", tmp_path))
    assert len(computed) == 1
    computed.clear()
    assert_same(first, compute_rooms(BOXES, SAMPLE_RATE, "noise", tmp_path))
    assert not computed


def decaying(sample_rate, direct_sample, rt60_seconds=0.3):
    """A recording of a hall: the direct path, and noise that falls by 60 dB in the given time."""
    n = round(rt60_seconds * sample_rate)
    tail = np.random.default_rng(0).standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    return np.concatenate([np.zeros(direct_sample), [0.5], 0.05 * tail]).astype(np.float32)


def test_recorded_responses_are_rooms_at_the_wanted_rate_in_the_halls_of_their_folders(tmp_path):
    (tmp_path / "kitchen").mkdir()
    soundfile.write(tmp_path / "kitchen/sink.wav", decaying(48_000, 480), 48_000)
    soundfile.write(tmp_path / "kitchen/door.WAV", decaying(16_000, 320), 16_000)
    other_channel = np.roll(decaying(16_000, 100), 50)
    soundfile.write(tmp_path / "attic.flac", np.stack([decaying(16_000, 100), other_channel], 1), 16_000)
    (tmp_path / "licence.txt").write_text("free")
    rooms = recorded_rooms(tmp_path, SAMPLE_RATE)
    assert [(room.name, room.hall, room.direct_sample) for room in rooms] == [
        ("attic.flac", "attic.flac", 100),
        ("kitchen/door.WAV", "kitchen", 320),
        ("kitchen/sink.wav", "kitchen", 160),
    ]
    for room in rooms:
        assert room.sample_rate == SAMPLE_RATE
        assert room.rt60_seconds == pytest.approx(0.3, rel=0.1)


def test_a_folder_without_responses_and_a_file_that_is_none_are_named(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}: found no impulse responses"):
        recorded_rooms(tmp_path, SAMPLE_RATE)
    (tmp_path / "hall.wav").write_bytes(b"no audio")
    with pytest.raises(DataError, match=r"hall.wav: can't be read"):
        recorded_rooms(tmp_path, SAMPLE_RATE)
    soundfile.write(tmp_path / "hall.wav", np.zeros(100), SAMPLE_RATE)
    with pytest.raises(DataError, match=r"the impulse response hall.wav is silent"):
        recorded_rooms(tmp_path, SAMPLE_RATE)


@pytest.mark.parametrize("method", METHODS)
def test_in_a_scene_the_label_begins_where_the_direct_path_is_heard(method, tmp_path):
    rooms = compute_rooms(BOXES, SAMPLE_RATE, method, tmp_path)
    click = np.zeros(800, np.float32)
    click[0] = 0.5
    sound = Sound(Clip(Path("click.wav"), "click", None, None, None, None), click)
    recipe = replace(DRY, seconds=2.0, room=RoomRange(dry=0.0))
    for room in rooms:
        heard = scene.make(recipe, Material(SAMPLE_RATE, [sound], [room]), 0, "item")
        onset = heard.labels[0].onset_sample
        dry = scene.make(replace(recipe, room=None), Material(SAMPLE_RATE, [sound]), 0, "item")
        assert onset == dry.labels[0].onset_sample + room.direct_sample
        around = np.abs(heard.audio[onset - 8 : onset + 9])
        assert abs(int(np.argmax(around)) - 8) <= 1
        assert around.max() > 0.2
