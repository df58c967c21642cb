"""In what places a network learns, and in what other ones it is tested.

One microphone and one noise are held back from training, and rooms are computed by another method for tests: what a
network was never given there it can't have learned by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from streamd.errors import DataError
from training.prepare.simulation.ambience import KINDS as NOISES
from training.prepare.simulation.ambience import Kind
from training.prepare.simulation.audio import Audio
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.microphone import KINDS as MICROPHONES
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.room import Room
from training.prepare.simulation.rooms import compute_rooms, draw_bank, recorded_rooms
from training.prepare.simulation.shoebox import ShoeboxRange

if TYPE_CHECKING:  # workers make scenes of conditions
    from training.prepare.simulation.workers import Workers

N_HALLS = 40
"""With two places each; computed in seconds, and kept. Two scenes then share a place once in a hundred."""
HELD_BACK_MICROPHONE = "laptop"
"""What training never hears through: neither the plainest of the five kinds nor the worst."""
HELD_BACK_NOISE: Kind = "cafe"
"""What training never hears under its sounds: of the places that can be generated, the one where most happens."""
RECORDED_SHARE = 0.5
"""Of the noise in training, where there are recordings of the place: they are what will be heard there. Not more, for
an hour of one place is not all there is to hear, even there."""
UNSEEN_SEED = 1_000_000
"""Added to the seed of rooms for a test, so that no other run's training has the same boxes."""

T = TypeVar("T")
NO_SPEECH: Audio = np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False)
class Conditions:
    """All that scenes of one kind are made from: what is drawn, and of what."""

    name: str
    recipe: Recipe
    material: Material


def for_training(
    sounds: Sequence[Sound],
    backgrounds: Sequence[Audio],
    speech: Audio,
    sample_rate: int,
    cache: Path,
    *,
    seed: int = 0,
    n_halls: int = N_HALLS,
    recipe: Recipe | None = None,
    workers: Workers | None = None,
) -> Conditions:
    """Return what a network learns from: rooms by the hybrid method, all microphones and noises but one of each.

    Where the recipe has a folder of recorded rooms, too, half of the rooms are those (more, if they are more).

    backgrounds: recordings of places (n_samples,) each, at the sample rate; none: all noise is generated.
    speech: recordings of speech in a row (n_samples,), for babble; empty: none.
    cache: a folder in which computed rooms are kept.
    recipe: its microphones and noises are drawn from, but for what is held back.
    workers: compute rooms that are not kept yet, several at a time.

    Raises:
        DataError: none of the noises in the recipe can be made of what there is, or a recorded room can't be used.
    """
    recipe = recipe or Recipe()
    if recipe.mix and not _makeable(_noises_of_training(recipe), backgrounds, speech):
        raise DataError(
            f"none of the noises {', '.join(recipe.ambience.kinds)} can be made for training; add recordings to"
            " background/ or coloured noise to the recipe's ambience"
        )
    noises = _weighted(_noises_of_training(recipe), bool(backgrounds))
    own = _with(recipe, _microphones_of_training(recipe), noises)
    rooms: list[Room] = []
    if own.room:
        rooms = compute_rooms(draw_bank(seed, n_halls, ShoeboxRange()), sample_rate, "hybrid", cache, workers)
    if own.room and own.room.recorded is not None:
        recorded = recorded_rooms(Path(own.room.recorded), sample_rate)
        rooms += max(1, round(len(rooms) / len(recorded))) * recorded
    material = Material(sample_rate, list(sounds), rooms, speech, list(backgrounds))
    return Conditions("training", own, material)


def for_unseen(
    sounds: Sequence[Sound],
    backgrounds: Sequence[Audio],
    speech: Audio,
    sample_rate: int,
    cache: Path,
    *,
    seed: int = 0,
    n_halls: int = N_HALLS,
    recipe: Recipe | None = None,
) -> Conditions:
    """Return what training with the same recipe never drew: rooms by another method, another microphone, another noise.

    Sounds, backgrounds and speech are those of other groups and files than in training: see `prepare.split`.
    """
    recipe = recipe or Recipe()
    noise = _first_not_in(_noises_of_training(recipe), (HELD_BACK_NOISE, *NOISES))
    microphone = _first_not_in(_microphones_of_training(recipe), (HELD_BACK_MICROPHONE, *MICROPHONES))
    own = _with(recipe, [microphone], [noise, "recorded"] if backgrounds else [noise])
    boxes = draw_bank(seed + UNSEEN_SEED, n_halls, ShoeboxRange()) if own.room else []
    rooms = compute_rooms(boxes, sample_rate, "noise", cache)
    return Conditions("unseen", own, Material(sample_rate, list(sounds), rooms, speech, list(backgrounds)))


def _noises_of_training(recipe: Recipe) -> list[Kind]:
    """Return the noises that a recipe asks for; without the one held back, unless it is the only one."""
    kinds = list(recipe.ambience.kinds)
    return [kind for kind in kinds if kind != HELD_BACK_NOISE] or kinds


def _microphones_of_training(recipe: Recipe) -> list[str]:
    kinds = list(recipe.microphone.kinds) if recipe.microphone else []
    return [kind for kind in kinds if kind != HELD_BACK_MICROPHONE] or kinds


def _first_not_in(trained: Sequence[T], others: Sequence[T]) -> T:
    return next(one for one in others if one not in trained)


def _makeable(kinds: Sequence[Kind], backgrounds: Sequence[Audio], speech: Audio) -> list[Kind]:
    missing = {"recorded": not backgrounds, "babble": not len(speech)}
    return [kind for kind in kinds if not missing.get(kind)]


def _with(recipe: Recipe, microphones: Sequence[str], noises: Sequence[Kind]) -> Recipe:
    microphone = replace(recipe.microphone, kinds=tuple(microphones)) if recipe.microphone else None
    return replace(recipe, microphone=microphone, ambience=replace(recipe.ambience, kinds=tuple(noises)))


def _weighted(noises: Sequence[Kind], has_recorded: bool) -> list[Kind]:
    """Return noises, each as likely as any other, with RECORDED_SHARE of them recorded where there are any."""
    generated: list[Kind] = [kind for kind in noises if kind != "recorded"]
    if not has_recorded or "recorded" not in noises:
        return generated
    recorded: list[Kind] = ["recorded"]
    return generated + max(1, round(len(generated) * RECORDED_SHARE / (1 - RECORDED_SHARE))) * recorded
