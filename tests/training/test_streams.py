"""Labelled streams: recordings as they are, scenes in a row, and every label where its sound is."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("scipy")

from tests.tiny_models import SAMPLE_RATE, TONES, tone
from tests.training.tone_streams import HIGH, LOW
from training.expect.play import LabelledStream
from training.expect.streams import PAUSE_SECONDS, negative_streams, real_streams, simulated_streams
from training.prepare.clips import Clip
from training.prepare.simulation.chance import Range
from training.prepare.simulation.conditions import Conditions
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.mix import MixRange
from training.prepare.simulation.recipe import DRY, Recipe
from training.prepare.simulation.workers import Workers
from training.prepare.trim import Trim


def clip(
    folder: Path, name: str, label: str, group: str | None = None, seconds: float = 0.5, level: float = 0.5
) -> Clip:
    """A tone with a tenth of a second of faint noise on both sides."""
    path = folder / label / f"{name}.wav"
    path.parent.mkdir(exist_ok=True)
    surroundings = np.random.default_rng(0).normal(0, 1e-4, round((seconds + 0.2) * SAMPLE_RATE))
    begin = round(0.1 * SAMPLE_RATE)
    sound = tone(round(seconds * SAMPLE_RATE), label, level)
    surroundings[begin : begin + len(sound)] += sound
    soundfile.write(path, surroundings, SAMPLE_RATE, subtype="PCM_16")
    return Clip(path, label, 0.1, 0.1 + seconds, group, None)


def background(folder: Path, seconds: float, level: float = 0.01, seed: int = 1) -> Clip:
    path = folder / f"background{seed}.wav"
    noise = np.random.default_rng(seed).normal(0, level, round(seconds * SAMPLE_RATE))
    soundfile.write(path, noise, SAMPLE_RATE, subtype="PCM_16")
    return Clip(path, None, None, None, f"place {seed}", None)


def assert_labels_are_right(one: LabelledStream, level: float = 0.1) -> None:
    """In the middle of each sound its own tone is loud and no other one; between sounds none is."""
    time = np.arange(800) / SAMPLE_RATE
    heard = one.samples / 32768
    ends = [0.0]
    for sound in one.sounds:
        middle = round((sound.onset_seconds + sound.offset_seconds) / 2 * SAMPLE_RATE) - 400
        between = round((sound.onset_seconds - 0.5) * SAMPLE_RATE) - 400
        for label, hz in TONES.items():
            wave = np.exp(-2j * np.pi * hz * time)
            assert (abs(heard[middle : middle + 800] @ wave) / 400 > level) == (label == sound.label)
            assert abs(heard[between : between + 800] @ wave) / 400 < level
        assert sound.onset_seconds - ends[-1] >= 1.0
        ends.append(sound.offset_seconds)


def test_short_recordings_of_a_group_are_a_row_with_quiet_hiss_between_them(tmp_path: Path):
    clips = [clip(tmp_path, f"{group}{i}", label, group) for group in "ab" for i, label in enumerate([LOW, HIGH, LOW])]
    streams = real_streams(clips, SAMPLE_RATE, lead_seconds=5.0)
    assert [(one.group, [sound.label for sound in one.sounds]) for one in streams] == [
        ("a", [LOW, HIGH, LOW]),
        ("b", [LOW, HIGH, LOW]),
    ]
    for one in streams:
        assert one.samples.dtype == np.int16
        assert one.sounds[0].onset_seconds >= 5.0 + PAUSE_SECONDS[0]
        assert_labels_are_right(one)
        quiet = one.samples[: 5 * SAMPLE_RATE] / 32768
        assert 20 * np.log10(quiet.std()) == pytest.approx(-75, abs=1)
    assert [sound.clip for sound in streams[0].sounds] == ["Low tone/a0.wav", "High tone/a1.wav", "Low tone/a2.wav"]
    assert len({one.name for one in streams}) == 2


def test_a_recording_is_in_the_row_sample_for_sample(tmp_path: Path):
    [one] = real_streams([clip(tmp_path, "a", LOW, "a")], SAMPLE_RATE)
    begin = round(one.sounds[0].onset_seconds * SAMPLE_RATE)
    original, _ = soundfile.read(tmp_path / LOW / "a.wav", dtype="int16")
    sound = original[round(0.1 * SAMPLE_RATE) :][: round(0.5 * SAMPLE_RATE)]
    assert np.abs(one.samples[begin : begin + len(sound)] - sound.astype(int)).max() < 40  # the hiss


def test_background_lies_under_the_row_as_loud_as_it_was_recorded_and_is_a_stream_itself(tmp_path: Path):
    clips = [clip(tmp_path, f"a{i}", LOW, "a") for i in range(3)] + [background(tmp_path, 6)]
    row, whole = real_streams(clips, SAMPLE_RATE)
    assert_labels_are_right(row)
    between = row.samples[: round((row.sounds[0].onset_seconds - 0.2) * SAMPLE_RATE)] / 32768
    assert between.std() == pytest.approx(0.01, rel=0.03)
    assert (whole.group, whole.sounds, len(whole.samples)) == ("place 1", (), 6 * SAMPLE_RATE)


def test_of_background_only_the_piece_that_a_split_has_left_is_played(tmp_path: Path):
    whole = background(tmp_path, 6)
    piece = Clip(whole.path, None, 2.0, 3.5, whole.source, None)
    first, second = real_streams([piece, whole], SAMPLE_RATE)
    np.testing.assert_array_equal(first.samples, second.samples[2 * SAMPLE_RATE : round(3.5 * SAMPLE_RATE)])
    assert first.name != second.name


def test_hours_of_background_are_not_held_in_memory(tmp_path: Path):
    whole = background(tmp_path, 600)
    first, last = (replace(whole, onset_seconds=at, offset_seconds=at + 290.0) for at in (0.0, 310.0))
    clips = [clip(tmp_path, "a", LOW, "a"), first, last]
    tracemalloc.start()
    row, *places = real_streams(clips, SAMPLE_RATE)
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    samples = soundfile.read(whole.path, dtype="int16")[0]
    assert most_bytes < samples.nbytes / 2
    np.testing.assert_array_equal(places[0].samples, samples[: 290 * SAMPLE_RATE])
    np.testing.assert_array_equal(places[1].samples, samples[310 * SAMPLE_RATE :])
    assert_labels_are_right(row)


def test_short_background_goes_around_without_a_click(tmp_path: Path):
    place = background(tmp_path, 1.5)
    hum = 0.1 * np.cos(2 * np.pi * 100 * np.arange(round(1.5 * SAMPLE_RATE)) / SAMPLE_RATE) + 0.2
    soundfile.write(place.path, hum, SAMPLE_RATE, subtype="PCM_16")
    row, _ = real_streams([clip(tmp_path, "a", LOW, "a"), place], SAMPLE_RATE, lead_seconds=5.0)
    lead = row.samples[: 5 * SAMPLE_RATE] / 32768
    assert np.abs(np.diff(lead)).max() < 0.02
    assert lead.max() == pytest.approx(0.3, abs=0.01)
    assert lead.min() == pytest.approx(0.0, abs=0.01)


def long_recording(folder: Path) -> list[Clip]:
    """Forty seconds with a low tone at 1 s and a high one at 10 s."""
    long = background(folder, 40)
    samples, _ = soundfile.read(long.path, dtype="float32")
    samples[8000:12000] += tone(4000, LOW)
    samples[80000:84000] += tone(4000, HIGH)
    soundfile.write(long.path, samples, SAMPLE_RATE, subtype="PCM_16")
    return [Clip(long.path, LOW, 1.0, 1.5, "day 1", None), Clip(long.path, HIGH, 10.0, 10.5, "day 1", None)]


@pytest.mark.parametrize("places", [False, True])
def test_before_a_long_recording_lies_a_lead_where_a_sound_comes_before_a_model_is_warm(tmp_path: Path, places):
    clips = [*long_recording(tmp_path), *([background(tmp_path, 6, level=0.002, seed=2)] if places else [])]
    one = real_streams(clips, SAMPLE_RATE, lead_seconds=4.0)[0]
    original = soundfile.read(clips[0].path, dtype="int16")[0]
    assert len(one.samples) == len(original) + 4 * SAMPLE_RATE
    edge = SAMPLE_RATE // 20
    np.testing.assert_array_equal(one.samples[4 * SAMPLE_RATE + edge : -edge], original[edge:-edge])
    assert one.samples[: 4 * SAMPLE_RATE].std() / 32768 == pytest.approx(0.002 if places else 10 ** (-75 / 20), rel=0.1)
    assert [(s.label, s.onset_seconds, s.offset_seconds) for s in one.sounds] == [(LOW, 5.0, 5.5), (HIGH, 14.0, 14.5)]


def test_a_long_recording_whose_sounds_come_late_enough_is_a_stream_as_it_is(tmp_path: Path):
    clips = long_recording(tmp_path)
    [one] = real_streams(clips, SAMPLE_RATE, lead_seconds=0.9)
    np.testing.assert_array_equal(one.samples, soundfile.read(clips[0].path, dtype="int16")[0])
    assert [(s.label, s.onset_seconds, s.offset_seconds) for s in one.sounds] == [(LOW, 1.0, 1.5), (HIGH, 10.0, 10.5)]


def test_where_a_clip_does_not_say_it_the_sound_is_found_and_silent_clips_are_left_out(tmp_path: Path):
    told = clip(tmp_path, "a", LOW, "a")
    silent = clip(tmp_path, "b", LOW, "b", level=0.0)
    soundfile.write(silent.path, np.zeros(4000), SAMPLE_RATE)
    untold = Clip(told.path, LOW, None, None, "a", None)
    [one] = real_streams([untold, Clip(silent.path, LOW, None, None, "b", None)], SAMPLE_RATE)
    [expected] = real_streams([told], SAMPLE_RATE)
    [sound], [known] = one.sounds, expected.sounds
    assert sound.onset_seconds == pytest.approx(known.onset_seconds, abs=0.05)
    assert sound.offset_seconds == pytest.approx(known.offset_seconds, abs=0.05)


def test_sounds_are_found_with_the_trim_that_they_are_learned_with(tmp_path: Path):
    path = tmp_path / "two.wav"
    samples = np.random.default_rng(0).normal(0, 1e-4, 3 * SAMPLE_RATE)
    samples[4000:8000] += tone(4000, LOW)
    samples[14400:18400] += tone(4000, LOW)  # 0.8 s after
    soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")
    clips = [Clip(path, LOW, None, None, "a", None)]
    for trim, n_sounds in [(None, 2), (Trim(longest_gap_seconds=1.5), 1)]:
        [one] = real_streams(clips, SAMPLE_RATE, trim=trim)
        assert len(one.sounds) == n_sounds


def conditions(recipe: Recipe) -> Conditions:
    sounds = [
        Sound(Clip(Path(f"kit/{group}{i}.wav"), label, 0, 0.5, group, None), tone(4000, label))
        for group in "ab"
        for i, label in enumerate([LOW, HIGH])
    ]
    return Conditions("unseen", recipe, Material(SAMPLE_RATE, sounds))


def test_scenes_are_streams_of_one_group_each_with_their_labels(tmp_path: Path):
    streams = simulated_streams(conditions(replace(DRY, pause_seconds=Range(1.5, 3.0))), 60, lead_seconds=2.0)
    assert [one.group for one in streams] == ["a", "b"]
    for one in streams:
        assert len(one.samples) == 32 * SAMPLE_RATE
        assert {sound.label for sound in one.sounds} == {LOW, HIGH}
        assert {sound.clip[:5] for sound in one.sounds} == {f"kit/{one.group}"}
        assert all(sound.onset_seconds > 2.0 for sound in one.sounds)
        assert_labels_are_right(one)


def test_streams_are_the_same_with_workers_and_without():
    drawn = conditions(Recipe(mix=MixRange(), room=None))
    here = [*simulated_streams(drawn, 40, seed=3), *negative_streams(drawn, 40, 2, seed=3)]
    with Workers(2) as workers:
        there = [
            *simulated_streams(drawn, 40, seed=3, workers=workers),
            *negative_streams(drawn, 40, 2, seed=3, workers=workers),
        ]
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        assert (one.name, one.group, one.sounds) == (other.name, other.group, other.sounds)
    negatives = here[2:]
    assert [len(one.samples) for one in negatives] == [20 * SAMPLE_RATE] * 2
    assert not any(one.sounds for one in negatives)
    assert not np.array_equal(negatives[0].samples, negatives[1].samples)
    assert len({one.group for one in negatives}) == 2


def test_pauses_are_longer_than_the_silence_that_ends_an_event(tmp_path: Path):
    clips = [clip(tmp_path, f"a{i}", LOW, "a") for i in range(5)]
    rows = real_streams(clips, SAMPLE_RATE, gap_seconds=6.0)
    scenes = simulated_streams(conditions(DRY), 200, gap_seconds=6.0)
    for one in [*rows, *scenes]:
        gaps = [b.onset_seconds - a.offset_seconds for a, b in pairwise(one.sounds)]
        assert len(gaps) > 3
        assert min(gaps) > 6.0
