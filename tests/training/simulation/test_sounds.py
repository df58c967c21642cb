"""From files to material: the right samples, at the right rate, of every kind of file."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamd.errors import RecordingError
from training.prepare.clips import Clip
from training.prepare.simulation import sounds
from training.prepare.simulation.sounds import backgrounds_of, left_out_of_background, sounds_of, speech_of

RATE = 16_000


def noise(seconds, level=0.1, rate=RATE, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def tone(seconds, hz=440.0, rate=RATE, level=0.5):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def written(path: Path, samples, rate=RATE, label="dog", onset=None, offset=None, **how):
    soundfile.write(path, samples, rate, **how)
    return Clip(path, label, onset, offset, None, None)


def test_a_clip_is_cut_to_its_sound(tmp_path):
    samples = noise(2.0, 1e-4)
    samples[8000:12_000] += noise(0.25)
    [found] = sounds_of([written(tmp_path / "a.wav", samples)], RATE)
    assert found.clip.onset_seconds == pytest.approx(0.5, abs=0.04)
    assert found.clip.offset_seconds == pytest.approx(0.75, abs=0.04)
    begin = round(found.clip.onset_seconds * RATE)
    # The faded margin and the mean apart, these are the file's own samples.
    np.testing.assert_allclose(found.audio[600:-600], samples[begin + 600 : begin + len(found.audio) - 600], atol=3e-4)
    assert abs(found.audio[0]) < 1e-5
    assert abs(found.audio[-1]) < 1e-5


def test_a_clip_that_says_where_its_sound_lies_is_believed(tmp_path):
    samples = noise(2.0)
    [found] = sounds_of([written(tmp_path / "a.wav", samples, onset=0.5, offset=9.0)], RATE)
    assert len(found.audio) == 24_000
    np.testing.assert_allclose(found.audio[100:], (samples - samples.mean())[8100:], atol=1e-4)


def test_several_sounds_in_a_clip_become_several_but_not_a_touch_of_the_microphone(tmp_path):
    samples = noise(4.0, 1e-4)
    for begin, level in ((8000, 0.1), (24_000, 0.1), (48_000, 0.003)):
        samples[begin : begin + 4000] += noise(0.25, level)
    found = sounds_of([written(tmp_path / "a.wav", samples)], RATE)
    assert [one.clip.onset_seconds for one in found] == pytest.approx([0.5, 1.5], abs=0.04)
    assert all(len(one.audio) < 6000 for one in found)


def test_a_clip_of_50_ms_is_taken_whole_with_its_attack(tmp_path):
    click = tone(0.05, 1000)
    [found] = sounds_of([written(tmp_path / "a.wav", click)], RATE)
    np.testing.assert_allclose(found.audio, click, atol=2e-3)


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_every_rate_becomes_the_wanted_one(rate, tmp_path):
    [found] = sounds_of([written(tmp_path / "a.flac", tone(0.5, rate=rate), rate)], RATE)
    assert len(found.audio) == pytest.approx(8000, abs=2)
    n = min(len(found.audio), 8000)
    np.testing.assert_allclose(found.audio[400 : n - 400], tone(0.5)[400 : n - 400], atol=5e-3)


def test_stereo_is_mixed_and_a_constant_offset_is_gone(tmp_path):
    left, right = tone(0.5) * 0.5, tone(0.5)
    [found] = sounds_of([written(tmp_path / "a.wav", np.stack([left, right], 1) + 0.2)], RATE)
    np.testing.assert_allclose(found.audio, (left + right) / 2, atol=2e-3)


def test_silence_gives_no_sound_and_background_is_no_sound(tmp_path):
    clips = [
        written(tmp_path / "silent.wav", np.zeros(8000)),
        written(tmp_path / "room.wav", noise(1.0), label=None),
    ]
    assert sounds_of(clips, RATE) == []
    assert len(backgrounds_of(clips, RATE)) == 1


def test_a_recording_with_many_sounds_is_decoded_once(tmp_path, monkeypatch):
    reads = []

    def counted(path):
        reads.append(path)
        return soundfile.read(path, dtype="float32")

    monkeypatch.setattr(sounds, "read_audio", counted)
    clip = written(tmp_path / "a.wav", noise(3.0))
    clips = [Clip(clip.path, "dog", float(i), i + 0.5, None, None) for i in range(3)]
    assert len(sounds_of(clips, RATE)) == 3
    assert len(reads) == 1


def test_pieces_of_a_background_share_no_sample(tmp_path):
    samples = noise(3.0)
    clip = written(tmp_path / "room.wav", samples, label=None)
    pieces = [Clip(clip.path, None, on, on + 1.0, None, None) for on in (0.0, 2.0)]
    first, last = backgrounds_of(pieces, RATE)
    np.testing.assert_allclose(first, samples[:16_000] - samples[:16_000].mean(), atol=1e-4)
    np.testing.assert_allclose(last, samples[32_000:] - samples[32_000:].mean(), atol=1e-4)


def test_of_more_background_than_is_used_every_recording_gives_its_share(tmp_path, monkeypatch):
    monkeypatch.setattr(sounds, "MOST_BACKGROUND_SECONDS", 3.0)
    monkeypatch.setattr(sounds, "STRETCH_SECONDS", 0.5)
    clips = [written(tmp_path / f"{i}.wav", noise(4.0, seed=i, rate=8000), 8000, label=None) for i in range(3)]
    found = backgrounds_of(clips, RATE)
    assert [len(one) / RATE for one in found] == pytest.approx([1.0] * 3, abs=0.01)
    monkeypatch.setattr(sounds, "MOST_BACKGROUND_SECONDS", 12.0)
    assert [len(one) / RATE for one in backgrounds_of(clips, RATE)] == pytest.approx([4.0] * 3, abs=0.01)


def test_background_that_is_left_out_is_told_of(tmp_path, monkeypatch):
    long = written(tmp_path / "hall.wav", noise(600.0, rate=100), 100, label=None)
    sounding = replace(long, label="dog")
    assert left_out_of_background([long, sounding]) == []
    monkeypatch.setattr(sounds, "MOST_BACKGROUND_SECONDS", 120.0)
    [line] = left_out_of_background([long, sounding, replace(long, onset_seconds=0.0, offset_seconds=300.0)])
    assert line.startswith("of 15 min of background to learn from, scenes are made of 2:")


def test_speech_comes_in_a_row_without_its_pauses(tmp_path):
    samples = np.concatenate([noise(1.0, 1e-4), noise(0.5), noise(1.0, 1e-4), noise(0.5), noise(1.0, 1e-4)])
    clip = written(tmp_path / "a.wav", samples)
    assert len(speech_of([clip.path, clip.path], RATE)) / RATE == pytest.approx(2.0, abs=0.3)
    assert len(speech_of([], RATE)) == 0


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"none")
    with pytest.raises(RecordingError, match=r"a\.wav"):
        sounds_of([Clip(tmp_path / "a.wav", "dog", None, None, None, None)], RATE)


def test_six_hundred_clips_take_seconds(tmp_path):
    clips = [written(tmp_path / f"{i}.flac", noise(1.0, seed=i, rate=44_100), 44_100) for i in range(60)]
    began = time.process_time()
    assert len(sounds_of(clips, RATE)) == 60
    assert (time.process_time() - began) * 10 < 10
