"""Plans: all chance of a scene, stage by stage."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.prepare.clips import Clip
from training.prepare.simulation.chance import Range
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.microphone import Microphone
from training.prepare.simulation.plan import draw
from training.prepare.simulation.recipe import DRY, Recipe
from training.prepare.simulation.room import room_of

SAMPLE_RATE = 16_000


def sound(label, seconds):
    audio = np.full(round(seconds * SAMPLE_RATE), 0.1, np.float32)
    return Sound(Clip(Path(f"{label}.wav"), label, None, None, None, None), audio)


ROOMS = [room_of(str(i), np.array([0, 1, 0.5], np.float32), SAMPLE_RATE) for i in range(3)]
MATERIAL = Material(SAMPLE_RATE, [sound("kick", 0.2)] * 19 + [sound("snare", 0.3)], ROOMS)


def test_the_same_arguments_give_the_same_plan_and_others_another():
    assert draw(Recipe(), MATERIAL, 1, "a") == draw(Recipe(), MATERIAL, 1, "a")
    assert draw(Recipe(), MATERIAL, 1, "a") != draw(Recipe(), MATERIAL, 2, "a")
    assert draw(Recipe(), MATERIAL, 1, "a") != draw(Recipe(), MATERIAL, 1, "b")


@pytest.mark.parametrize("stage", ["gain", "room", "mix", "level", "microphone", "self_noise", "clipping"])
def test_a_stage_left_out_changes_nothing_else_that_is_drawn(stage):
    recipe = replace(Recipe(), mix=replace(Recipe().mix, clean=0.0), room=replace(Recipe().room, dry=0.0))
    with_it, without = (draw(one, MATERIAL, 1, "a") for one in (recipe, recipe.without(stage)))
    assert with_it != without
    assert [p.onset_sample for p in without.placements] == [p.onset_sample for p in with_it.placements]
    assert set(without.recorded) <= set(with_it.recorded)
    if stage != "room":
        assert without.room is with_it.room
    if stage != "mix":
        assert (without.mix, without.ambience) == (with_it.mix, with_it.ambience)


def test_another_range_of_one_stage_changes_nothing_else_that_is_drawn():
    recipe = Recipe()
    other = replace(recipe, microphone=replace(recipe.microphone, kinds=("far",)))
    plans = [draw(one, MATERIAL, 1, "a") for one in (recipe, other)]
    rest = [[e for e in one.recorded if not isinstance(e, Microphone)] for one in plans]
    assert rest[0] == rest[1]
    assert plans[0].placements == plans[1].placements


def test_pauses_lie_in_their_range_and_sounds_end_inside_the_scene():
    recipe = replace(DRY, seconds=30.0, pause_seconds=Range(0.5, 2.0))
    for item in range(50):
        drawn = draw(recipe, MATERIAL, 1, str(item))
        before = 0
        for placement in drawn.placements:
            pause = (placement.onset_sample - before) / SAMPLE_RATE
            assert 0.499 < pause < 2.001
            before = placement.onset_sample + len(MATERIAL.sounds[placement.sound].audio)
        assert before <= drawn.n_samples
        assert len(drawn.placements) >= 12


def test_a_label_with_few_clips_is_heard_as_often_as_one_with_many():
    plans = [draw(replace(DRY, seconds=60.0), MATERIAL, 1, str(item)) for item in range(40)]
    heard = Counter(MATERIAL.sounds[p.sound].label for one in plans for p in one.placements)
    assert heard["snare"] / heard.total() == pytest.approx(0.5, abs=0.06)


def test_without_sounds_nothing_is_placed():
    assert draw(Recipe(), Material(SAMPLE_RATE), 1, "a").placements == ()
