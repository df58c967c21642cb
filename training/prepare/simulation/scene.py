"""Scenes: a plan made audible, with the label of every sound in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from training.prepare.clips import Clip
from training.prepare.simulation import plan
from training.prepare.simulation.audio import Audio
from training.prepare.simulation.material import Material
from training.prepare.simulation.plan import Plan
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.room import places_around

SEAM_SECONDS = 0.02
"""Scenes of a stream are faded in and out for so long: where one place ends and the next begins, nothing clicks."""


@dataclass(frozen=True)
class Placed:
    """A sound in a scene."""

    label: str
    onset_sample: int
    """The first sample of its direct path."""
    offset_sample: int
    """The first sample behind it; reverberation rings on."""
    clip: Clip


@dataclass
class Scene:
    """Audio with strong labels."""

    audio: Audio
    """(n_samples,), in [-1, 1) where the recipe has the stage quantise"""
    sample_rate: int
    labels: list[Placed]
    """By onset; sounds of one scene do not overlap."""


def make(recipe: Recipe, material: Material, seed: int, item: str) -> Scene:
    """Return one item of a data set: bit for bit the same for the same arguments."""
    return render(plan.draw(recipe, material, seed, item), material)


def render(drawn: Plan, material: Material) -> Scene:
    """Return the scene of a plan; there is no chance in it."""
    sample_rate = material.sample_rate
    audio = np.zeros(drawn.n_samples, np.float32)
    labels: list[Placed] = []
    delay = drawn.room.direct_sample if drawn.room else 0
    for placement in drawn.placements:
        sound = material.sounds[placement.sound]
        source = sound.audio
        for effect in placement.effects:
            source = effect.apply(source, sample_rate)
        onset = placement.onset_sample
        heard = source[: max(0, drawn.n_samples - onset)]
        audio[onset : onset + len(heard)] += heard
        offset = min(onset + len(heard) + delay, drawn.n_samples)
        if onset + delay < offset:
            labels.append(Placed(sound.label, onset + delay, offset, sound.clip))
    for stage in (drawn.loudspeaker, drawn.room):
        audio = stage.apply(audio, sample_rate) if stage else audio
    if drawn.ambience:
        noise = drawn.ambience.make(drawn.n_samples, material, places_around(drawn.room, material.rooms))
        audio = drawn.mix.apply(audio, sample_rate, noise) if drawn.mix else audio
    for effect in drawn.recorded:
        audio = effect.apply(audio, sample_rate)
    return Scene(audio, sample_rate, labels)


def stream(recipe: Recipe, material: Material, seed: int, name: str, seconds: float) -> Iterator[Scene]:
    """Yield scenes that make up a stream of at least so many seconds, played in a row; labels count in each scene.

    Scene i is item `name/i` but for its faded ends: hours are never held in memory, and any minute of them can be
    made again alone.
    """
    for index in range(int(np.ceil(seconds / recipe.seconds))):
        yield _part(recipe, material, seed, name, index)


def negatives(recipe: Recipe, material: Material, seed: int, name: str, seconds: float) -> Iterator[Scene]:
    """Yield a stream without any of the sounds: what false alarms are counted and hard negatives are mined on.

    Nothing sounds in it, so there is no SNR: the noise is there in every scene, at the level that is drawn.
    """
    noisy, quiet = _without_sounds(recipe, material)
    return stream(noisy, quiet, seed, name, seconds)


def negative(recipe: Recipe, material: Material, seed: int, name: str, index: int) -> Scene:
    """Return one scene of `negatives`."""
    noisy, quiet = _without_sounds(recipe, material)
    return _part(noisy, quiet, seed, name, index)


def _without_sounds(recipe: Recipe, material: Material) -> tuple[Recipe, Material]:
    if recipe.mix and not recipe.level:
        raise ValueError(
            "a stream without sounds needs the stage level: there is nothing else that its noise is set by"
        )
    mixed = replace(recipe.mix, clean=0.0) if recipe.mix else None
    return replace(recipe, mix=mixed), replace(material, sounds=())


def _part(recipe: Recipe, material: Material, seed: int, name: str, index: int) -> Scene:
    scene = make(recipe, material, seed, f"{name}/{index}")
    faded = _faded(scene)
    audio = recipe.quantise.apply(faded, scene.sample_rate) if recipe.quantise else faded
    return replace(scene, audio=audio)


def _faded(scene: Scene) -> Audio:
    n = min(round(SEAM_SECONDS * scene.sample_rate), len(scene.audio) // 2)
    ramp = np.linspace(0, 1, n, dtype=np.float32)
    audio = scene.audio.copy()
    audio[:n] *= ramp
    audio[len(audio) - n :] *= ramp[::-1]
    return audio
