"""Recipes: stages can be left out by name."""

from __future__ import annotations

import pytest

from training.prepare.simulation.recipe import DRY, STAGES, Recipe


@pytest.mark.parametrize("stage", STAGES)
def test_any_stage_can_be_left_out_and_no_other_changes(stage):
    less = Recipe().without(stage)
    assert getattr(less, stage) is None
    assert all(getattr(less, other) == getattr(Recipe(), other) for other in STAGES if other != stage)


def test_a_stage_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="'reverb' is no stage that can be left out; expected one of gain, speed"):
        Recipe().without("reverb")


def test_the_dry_recipe_has_no_stage_at_all():
    assert {getattr(DRY, stage) for stage in STAGES} == {None}
