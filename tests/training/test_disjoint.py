"""Leaks under another name, in another format, or as a part of a longer recording: all of them are found."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("scipy")

from streamd.errors import DataError
from training.expect.disjoint import contents_of_clips, contents_of_material, digests, disjoint
from training.prepare.clips import Clip
from training.prepare.simulation.material import Material
from training.prepare.simulation.room import room_of

RATE = 16_000


def noise(seed: int, seconds: float = 1.0) -> np.ndarray:
    """Samples as 16 bits have them, so that a WAV and a FLAC file hold just these."""
    samples = np.random.default_rng(seed).normal(0, 3000, round(seconds * RATE))
    return (np.rint(samples) / 32768).astype(np.float32)


def clip(path: Path, samples: np.ndarray, label: str | None = "Knock", **times: float) -> Clip:
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return Clip(path, label, times.get("onset"), times.get("offset"), None, None)


def test_a_clip_under_another_name_and_in_another_format_is_found(tmp_path):
    training = [clip(tmp_path / f"{i}.wav", noise(i)) for i in range(5)]
    fine = [clip(tmp_path / f"other {i}.wav", noise(100 + i)) for i in range(3)]
    copy = clip(tmp_path / "never seen before.flac", noise(3))
    with pytest.raises(DataError) as error:
        disjoint(contents_of_clips(training), contents_of_clips([*fine, copy]))
    assert "3.wav (clip)" in str(error.value)
    assert "never seen before.flac (clip)" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_shares_nothing_is_told_in_a_sentence(tmp_path):
    training = [clip(tmp_path / "a.wav", noise(1)), clip(tmp_path / "b.wav", noise(2), None)]
    test = [clip(tmp_path / "c.wav", noise(3))]
    assert disjoint(contents_of_clips(training), contents_of_clips(test)) == (
        "Compared by content, 1 background and 1 clip that training drew from and 1 clip played here share nothing."
    )


@pytest.mark.parametrize("begin", [0.0, 0.123, 7.7])
def test_a_stretch_of_a_training_recording_is_found_wherever_it_begins(tmp_path, begin):
    long = noise(1, 10)
    stretch = long[round(begin * RATE) : round((begin + 1.5) * RATE)]
    training = contents_of_clips([clip(tmp_path / "hour.flac", long, None)])
    with pytest.raises(DataError, match=r"hour\.flac"):
        disjoint(training, contents_of_clips([clip(tmp_path / "cut.wav", stretch)]))


def test_two_pieces_of_one_recording_are_two_things(tmp_path):
    whole = clip(tmp_path / "hour.wav", noise(1, 10), None)
    first, second = replace(whole, offset_seconds=4.0), replace(whole, onset_seconds=6.0)
    disjoint(contents_of_clips([first]), contents_of_clips([second]))
    with pytest.raises(DataError):
        disjoint(contents_of_clips([first]), contents_of_clips([replace(second, onset_seconds=3.0)]))


def test_silence_around_a_sound_and_a_constant_offset_make_no_other_content():
    silence = np.zeros(1000, np.float32)
    assert digests(noise(1)) & digests(np.concatenate([silence, noise(1), silence]))
    assert digests(noise(1)) & digests(noise(1) + np.float32(64 / 32768))


def test_chunks_do_not_depend_on_how_a_long_recording_is_gone_through(monkeypatch):
    expected = digests(noise(1, 5))
    monkeypatch.setattr("training.expect.disjoint._BLOCK_SAMPLES", 1000)
    assert digests(noise(1, 5)) == expected
    assert len(expected) > 30


def test_a_recording_longer_than_the_memory_is_gone_through_in_blocks_and_once(tmp_path, monkeypatch):
    monkeypatch.setattr("training.expect.disjoint._BLOCK_SAMPLES", 4096)
    samples = noise(1, 60)
    whole = clip(tmp_path / "hour.flac", samples, None)
    pieces = [replace(whole, label="Knock", onset_seconds=at, offset_seconds=at + 2.0) for at in (1.0, 2.5, 40.0)]
    tracemalloc.start()
    found = [*contents_of_clips([pieces[0], whole, *pieces[1:]])]
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most_bytes < samples.nbytes / 2
    assert [one.seconds for one in found] == [2.0, 60.0, 2.0, 2.0]
    for one, piece in zip(found, [pieces[0], None, *pieces[1:]], strict=True):
        begin = 0 if piece is None else round(piece.onset_seconds * RATE)
        assert one.digests == digests(samples[begin:] if piece is None else samples[begin : begin + 2 * RATE])


@given(st.lists(st.integers(0, 700), max_size=20), st.integers(1, 3000))
@settings(deadline=None)
def test_however_a_recording_comes_its_hashes_are_the_same(silences, n_block):
    parts = [part for i, n in enumerate(silences) for part in (noise(i, 0.05), np.zeros(n, np.float32))]
    samples = np.concatenate([np.zeros(0, np.float32), *parts])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.expect.disjoint._BLOCK_SAMPLES", n_block)
        in_blocks = digests(samples)
    assert in_blocks == digests(samples)


def test_silence_and_tones_that_anybody_would_make_are_nobodys():
    assert digests(np.zeros(RATE, np.float32)) == frozenset()
    beep = np.tile(np.array([0, 0.5, 0, -0.5], np.float32), 4000)
    assert digests(beep) == frozenset()


def test_even_a_click_of_a_few_milliseconds_is_recognised(tmp_path):
    click = noise(1, 0.01)
    with pytest.raises(DataError):
        disjoint(
            contents_of_clips([clip(tmp_path / "a.wav", click)]),
            contents_of_clips([clip(tmp_path / "b.flac", click)]),
        )


def test_rooms_speech_and_backgrounds_of_a_material_count_too():
    room = room_of("bath", noise(1, 0.2), RATE)
    training = Material(RATE, rooms=[room, room], speech=noise(2, 12), backgrounds=[noise(3, 5)])
    other = Material(RATE, rooms=[room_of("hall", noise(4, 0.2), RATE)], speech=noise(5), backgrounds=[noise(6)])
    sentence = disjoint(contents_of_material(training), contents_of_material(other))
    assert "1 background, 1 room and 0.2 min of speech" in sentence
    shared = {
        "bath": replace(other, rooms=[replace(room, name="bath again")]),
        "the speech of babble": replace(other, speech=noise(2, 12)[5000:]),
        "background 1": replace(other, backgrounds=[noise(3, 5)[:30_000]]),
    }
    for name, leaky in shared.items():
        with pytest.raises(DataError, match=name):
            disjoint(contents_of_material(training), contents_of_material(leaky))
