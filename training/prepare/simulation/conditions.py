"""In what places a network learns, and in what other ones it is tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.prepare.simulation.ambience import Kind
from training.prepare.simulation.audio import Audio
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.microphone import KINDS as MICROPHONES
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.rooms import compute_rooms, draw_bank
from training.prepare.simulation.shoebox import Method, ShoeboxRange

N_HALLS = 40
"""With two places each; they are computed in seconds, and kept."""
HELD_BACK_MICROPHONE = "laptop"
"""What training never hears through: neither the plainest of the five kinds nor the worst."""
HELD_BACK_NOISE: Kind = "cafe"
"""What training never hears under its sounds: of the places that can be generated the one where most happens."""
RECORDED_SHARE = 0.5
"""Of the noise in training, where there are recordings of the place: they are what will be heard there."""
UNSEEN_SEED = 1_000_000
"""Added to the seed of what is drawn for a test, so that no run's test has another run's training rooms."""

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
) -> Conditions:
    """Return what a network learns from: rooms by the hybrid method, all microphones and noises but one of each.

    backgrounds: recordings of places (n_samples,) each, at the sample rate; none: all noise is generated.
    speech: recordings of speech in a row (n_samples,), for babble; empty: none.
    cache: a folder in which computed rooms are kept.
    """
    recipe = recipe or Recipe()
    kinds = _weighted([kind for kind in recipe.ambience.kinds if kind != HELD_BACK_NOISE], bool(backgrounds))
    own = _with(recipe, [kind for kind in MICROPHONES if kind != HELD_BACK_MICROPHONE], kinds)
    material = _material(own, sounds, backgrounds, speech, sample_rate, "hybrid", seed, n_halls, cache)
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
    """Return what training never drew: rooms by another method, the microphone and the noise that were held back.

    sounds and backgrounds are those of other groups and files: see `prepare.split`.
    """
    recipe = recipe or Recipe()
    kinds: list[Kind] = [HELD_BACK_NOISE, "recorded"] if backgrounds else [HELD_BACK_NOISE]
    own = _with(recipe, [HELD_BACK_MICROPHONE], kinds)
    material = _material(own, sounds, backgrounds, speech, sample_rate, "noise", seed + UNSEEN_SEED, n_halls, cache)
    return Conditions("unseen", own, material)


def _with(recipe: Recipe, microphones: Sequence[str], kinds: Sequence[Kind]) -> Recipe:
    microphone = replace(recipe.microphone, kinds=tuple(microphones)) if recipe.microphone else None
    return replace(recipe, microphone=microphone, ambience=replace(recipe.ambience, kinds=tuple(kinds)))


def _weighted(kinds: Sequence[Kind], has_recorded: bool) -> list[Kind]:
    """Return kinds of noise, each as likely as any other, with RECORDED_SHARE of them recorded where there are any."""
    generated: list[Kind] = [kind for kind in kinds if kind != "recorded"]
    if not has_recorded or "recorded" not in kinds:
        return generated
    n_recorded = max(1, round(len(generated) * RECORDED_SHARE / (1 - RECORDED_SHARE)))
    recorded: list[Kind] = ["recorded"]
    return generated + n_recorded * recorded


def _material(
    recipe: Recipe,
    sounds: Sequence[Sound],
    backgrounds: Sequence[Audio],
    speech: Audio,
    sample_rate: int,
    method: Method,
    seed: int,
    n_halls: int,
    cache: Path,
) -> Material:
    boxes = draw_bank(seed, n_halls, ShoeboxRange()) if recipe.room else []
    rooms = compute_rooms(boxes, sample_rate, method, cache)
    return Material(sample_rate, list(sounds), rooms, speech, list(backgrounds))
