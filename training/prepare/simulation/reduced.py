"""What a recipe adds to clips that bring noise or rooms of their own: less."""

from __future__ import annotations

from dataclasses import replace

from training.prepare.audit import CLEAN_DB, DRY_SECONDS, Audit
from training.prepare.simulation.recipe import Recipe

ENOUGH = 0.9
"""Where at least so many clips are clean (or dry), the recipe stays."""


def reduced(recipe: Recipe, known: Audit) -> tuple[Recipe, list[str]]:
    """Return a recipe that leaves noise (rooms) out of as many scenes as there are noisy (reverberant) clips.

    Noise on noise and a room in a room are places that don't exist; but what a network never heard in noise it won't
    hear there, so they aren't left out altogether.

    Returns:
        The recipe, and a line on each change.
    """
    told = []
    noisy, wet = (0.0 if share is None else 1 - share for share in (known.clean_share, known.dry_share))
    if recipe.mix and noisy > max(1 - ENOUGH, recipe.mix.clean):
        recipe = replace(recipe, mix=replace(recipe.mix, clean=noisy))
        told.append(
            f"no noise is added in {noisy:.0%} of the scenes: as many clips have their own less than {CLEAN_DB:.0f} dB"
            " below the sound"
        )
    if recipe.room and wet > max(1 - ENOUGH, recipe.room.dry):
        recipe = replace(recipe, room=replace(recipe.room, dry=wet))
        told.append(
            f"no room is simulated in {wet:.0%} of the scenes: as many clips bring one of over {DRY_SECONDS:g} s,"
            " or ring as long"
        )
    return recipe, told
