"""Scenes: labels that are true to the sample, items made again bit for bit, streams without a sound."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from tests.training.voice import voice
from training.prepare.clips import Clip
from training.prepare.simulation.activity import active_samples
from training.prepare.simulation.audio import level_db
from training.prepare.simulation.chance import Range
from training.prepare.simulation.gain import GainRange
from training.prepare.simulation.level import LevelRange
from training.prepare.simulation.loudspeaker import LoudspeakerRange
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.mix import MixRange
from training.prepare.simulation.noise import ColouredNoise
from training.prepare.simulation.pitch import PitchRange
from training.prepare.simulation.recipe import DRY, STAGES, Recipe
from training.prepare.simulation.room import RoomRange, room_of
from training.prepare.simulation.scene import make, negatives, stream
from training.prepare.simulation.speed import SpeedRange

SAMPLE_RATE = 16_000
ALL = replace(Recipe(), loudspeaker=LoudspeakerRange(), pitch=PitchRange())
"""Every stage there is."""


def sound(label, n_samples, seed):
    clip = Clip(Path(f"{label}-{seed}.wav"), label, None, None, None, None)
    return Sound(clip, 0.1 * ColouredNoise(0, seed).make(n_samples, SAMPLE_RATE))


def room(delay, seed):
    tail = np.random.default_rng(seed).standard_normal(4000) * np.exp(-np.arange(4000) / 800)
    response = np.zeros(delay + 4100, np.float32)
    response[delay] = 1
    response[delay + 100 :] = 0.1 * tail
    return room_of(f"room {seed}", response, SAMPLE_RATE)


@pytest.fixture(scope="module")
def material():
    sounds = [sound("kick", 3000, 1), sound("kick", 3500, 2), sound("snare", 5000, 3)]
    speech = voice(10).astype(np.float32) / 32_768
    background = 0.01 * ColouredNoise(1, 9).make(48_000, SAMPLE_RATE)
    return Material(SAMPLE_RATE, sounds, [room(100, 1), room(300, 2)], speech, [background])


def test_dry_sounds_lie_where_their_labels_say_and_nowhere_else(material):
    scene = make(DRY, material, 1, "a")
    assert len(scene.labels) >= 2
    rest = scene.audio.copy()
    for placed in scene.labels:
        audio = next(one.audio for one in material.sounds if one.clip == placed.clip)
        assert placed.label == placed.clip.label
        assert placed.offset_sample - placed.onset_sample == len(audio)
        found = scene.audio[placed.onset_sample : placed.offset_sample]
        np.testing.assert_allclose(found, audio, atol=1e-7)
        rest[placed.onset_sample : placed.offset_sample] = 0
    assert not rest.any()


def test_labels_move_with_the_direct_path_of_the_room(material):
    click = Sound(Clip(Path("click.wav"), "click", None, None, None, None), np.array([0.5, 0.0, 0.0], np.float32))
    for delay in (0, 100, 300):
        one_room = replace(material, sounds=[click], rooms=[room(delay, 1)])
        recipe = replace(DRY, room=RoomRange(dry=0.0))
        scene = make(recipe, one_room, 1, "a")
        dry = make(DRY, one_room, 1, "a")
        assert len(scene.labels) == len(dry.labels) >= 2
        for placed, before in zip(scene.labels, dry.labels, strict=True):
            assert placed.onset_sample == before.onset_sample + delay
            around = scene.audio[placed.onset_sample - 1 : placed.onset_sample + 2]
            assert np.argmax(np.abs(around)) == 1
            assert around[1] == pytest.approx(0.5, abs=0.05)  # the tail of the one before lies under it


def test_speed_moves_the_end_of_the_label_and_gain_the_level(material):
    recipe = replace(DRY, speed=SpeedRange(Range(1.1, 1.1)), gain=GainRange(Range(-6, -6)))
    for placed in make(recipe, material, 1, "a").labels:
        audio = next(one.audio for one in material.sounds if one.clip == placed.clip)
        assert placed.offset_sample - placed.onset_sample == pytest.approx(len(audio) / 1.1, abs=1.01)


def test_sounds_recorded_at_unlike_levels_are_alike_in_a_scene(material):
    faint = [replace(one, audio=one.audio * np.float32(0.003 if i else 1)) for i, one in enumerate(material.sounds)]
    recipe = replace(DRY, gain=GainRange(Range(-6, -6)))
    as_recorded, made_faint = (make(recipe, replace(material, sounds=of), 1, "a") for of in (material.sounds, faint))
    np.testing.assert_allclose(made_faint.audio, as_recorded.audio, rtol=0, atol=1e-6)


def test_the_snr_of_a_scene_is_that_of_its_wet_sounds(material):
    reverberant = replace(DRY, room=RoomRange(dry=0.0))
    noisy = replace(reverberant, mix=MixRange(Range(0, 0), clean=0.0))
    wet, mixed = (make(recipe, material, 1, "a") for recipe in (reverberant, noisy))
    noise = mixed.audio - wet.audio
    active = active_samples(wet.audio, SAMPLE_RATE)
    assert level_db(wet.audio[active]) - level_db(noise) == pytest.approx(0, abs=0.02)
    for placed in wet.labels:
        assert active[placed.onset_sample + 160 : placed.offset_sample - 160].all()


@pytest.mark.parametrize("item", ["a", "b", "c"])
def test_an_item_is_made_again_bit_for_bit(item, material):
    one, two = (make(ALL, material, 7, item) for _ in range(2))
    assert np.array_equal(one.audio, two.audio)
    assert one.labels == two.labels
    assert not np.array_equal(one.audio, make(ALL, material, 8, item).audio)


def test_another_process_makes_the_same_item(material):
    with ProcessPoolExecutor(1, get_context("spawn")) as worker:
        elsewhere = worker.submit(make, ALL, material, 7, "a").result()
    assert np.array_equal(elsewhere.audio, make(ALL, material, 7, "a").audio)


def test_items_do_not_depend_on_which_were_made_before(material):
    make(ALL, material, 7, "b")
    later = make(ALL, material, 7, "a")
    assert np.array_equal(later.audio, make(ALL, material, 7, "a").audio)


@pytest.mark.parametrize("stage", STAGES)
def test_a_scene_can_be_made_without_any_one_stage(stage, material):
    scene = make(ALL.without(stage), material, 1, "a")
    assert scene.audio.shape == (160_000,)
    assert np.isfinite(scene.audio).all()


def test_every_scene_is_what_a_capture_agent_could_send(material):
    for item in range(20):
        scene = make(ALL, material, 1, str(item))
        steps = scene.audio * 32_768
        assert scene.audio.dtype == np.float32
        assert np.array_equal(steps, np.rint(steps))
        assert np.abs(scene.audio).max() <= 1
        assert scene.audio.max() < 1
        assert all(0 <= one.onset_sample < one.offset_sample <= 160_000 for one in scene.labels)


def test_making_scenes_changes_no_material(material):
    before = [one.audio.copy() for one in material.sounds]
    make(ALL, material, 1, "a")
    assert all(np.array_equal(one.audio, copy) for one, copy in zip(material.sounds, before, strict=True))


@pytest.mark.parametrize(("seconds", "begins", "ends"), [(3.0, 0, 48_000), (0.5, 3000, 8000)])
def test_the_first_sound_comes_early_enough_to_be_heard_and_is_cut_where_the_scene_ends(
    seconds, begins, ends, material
):
    one = replace(material, sounds=[sound("siren", 100_000 if seconds == 3 else 5000, 1)])
    recipe = replace(DRY, seconds=seconds, pause_seconds=Range(3.5, 4.0))
    [placed] = make(recipe, one, 1, "a").labels
    assert (placed.onset_sample, placed.offset_sample) == (begins, ends)


def test_a_negative_stream_lasts_as_long_as_asked_and_has_no_sound_in_it(material):
    recipe = replace(Recipe(), level=LevelRange(Range(-30, -30))).without("agc", "microphone", "clipping", "codec")
    scenes = list(negatives(recipe, material, 1, "negative", 65.0))
    assert len(scenes) == 7
    assert all(one.labels == [] for one in scenes)
    assert all(-34 < level_db(one.audio) < -27 for one in scenes)  # noise in all of them, none clean
    assert not np.array_equal(scenes[0].audio, scenes[1].audio)


def test_scenes_of_a_stream_meet_in_silence_and_are_otherwise_the_items_themselves(material):
    scenes = list(stream(ALL, material, 1, "s", 30.0))
    assert all(one.audio[0] == one.audio[-1] == 0 for one in scenes)
    alone = make(ALL, material, 1, "s/2")
    assert np.array_equal(scenes[2].audio[320:-320], alone.audio[320:-320])
    assert scenes[2].labels == alone.labels


def test_a_negative_stream_without_a_level_is_refused(material):
    with pytest.raises(ValueError, match="needs the stage level"):
        negatives(Recipe().without("level"), material, 1, "negative", 10.0)
