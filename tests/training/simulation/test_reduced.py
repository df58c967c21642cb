"""Clips that are not clean, or not dry, get less noise and fewer rooms, and it is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from training.prepare.audit import Audit
from training.prepare.simulation.recipe import DRY, Recipe
from training.prepare.simulation.reduced import reduced

GOOD = Audit([], [], {}, clean_share=1.0, dry_share=0.95)


@pytest.mark.parametrize("known", [GOOD, replace(GOOD, clean_share=None, dry_share=None)], ids=["good", "unknown"])
def test_clean_and_dry_clips_get_what_the_recipe_says(known):
    assert reduced(Recipe(), known) == (Recipe(), [])


def test_noise_and_rooms_are_left_out_as_often_as_clips_bring_their_own():
    recipe, told = reduced(Recipe(), replace(GOOD, clean_share=0.4, dry_share=0.5))
    assert recipe.mix is not None
    assert recipe.room is not None
    assert (recipe.mix.clean, recipe.room.dry) == (0.6, 0.5)
    assert replace(recipe, mix=Recipe().mix, room=Recipe().room) == Recipe(), "nothing else changes"
    assert [line.split(" of the scenes")[0] for line in told] == [
        "no noise is added in 60%",
        "no room is simulated in 50%",
    ]


def test_what_a_recipe_leaves_out_stays_out():
    assert reduced(DRY, replace(GOOD, clean_share=0.0, dry_share=0.0)) == (DRY, [])
