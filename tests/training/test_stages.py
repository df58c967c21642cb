"""What a stage of the simulator was worth, told of fits whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from training.expect.heard import Heard
from training.expect.stages import IN_ORDER, stages
from training.prepare.simulation.recipe import DRY, STAGES, Recipe

GROUPS = tuple(f"kit {i // 10}" for i in range(200))


def heard(share: float) -> Heard:
    return Heard(tuple((np.random.default_rng(0).random(200) < share).tolist()), GROUPS)


def fit(recipe: Recipe) -> Heard:
    """Noise is worth much, microphones nothing, and codecs do harm."""
    return heard(0.8 - 0.4 * (recipe.mix is None) + 0.12 * (recipe.codec is None))


def test_a_stage_that_matters_one_that_does_not_and_one_that_harms_are_told_apart():
    mix, microphone, codec = stages(Recipe(), fit, ["mix", "microphone", "codec"])
    assert mix.lost == pytest.approx(0.4, abs=0.05)
    assert mix.interval[0] > 0.2
    assert "more are missed" in mix.sentence
    assert microphone.lost == 0
    assert "show no difference" in microphone.sentence
    assert codec.lost < 0
    assert "fewer are missed" in codec.sentence
    assert mix.as_reported() == ("mix", mix.lost, mix.interval)


def test_the_whole_is_fitted_once_or_not_at_all_and_absent_stages_never():
    fitted: list[Recipe] = []

    def counting(recipe: Recipe) -> Heard:
        fitted.append(recipe)
        return fit(recipe)

    assert [one.name for one in stages(Recipe(), counting, ["mix", "pitch", "room"])] == ["mix", "room"]
    assert fitted == [Recipe(), Recipe().without("mix"), Recipe().without("room")]
    fitted.clear()
    list(stages(Recipe(), counting, ["mix"], whole=heard(0.8)))
    assert len(fitted) == 1
    assert list(stages(DRY, counting)) == []


def test_stages_are_taken_one_by_one_so_that_a_run_can_stop_when_its_time_is_over():
    found = stages(Recipe(), fit)
    assert next(found).name == "mix"
    assert set(IN_ORDER) <= set(STAGES)


def test_one_group_of_held_out_sounds_says_nothing():
    [one] = stages(Recipe(), lambda recipe: Heard((True, False), ("kit", "kit")), ["mix"])
    assert one.interval is None
    assert "nothing can be said" in one.sentence


def test_a_stage_that_is_none_is_named():
    with pytest.raises(ValueError, match="'rooms' is no stage"):
        list(stages(Recipe(), fit, ["rooms"]))
