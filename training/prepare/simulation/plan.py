"""Chance, all of it: what is drawn for one scene, before a sample of it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from training.prepare.simulation import (
    agc,
    ambience,
    clipping,
    codec,
    dc,
    dropouts,
    gain,
    level,
    loudspeaker,
    microphone,
    mix,
    pitch,
    room,
    self_noise,
    speed,
)
from training.prepare.simulation.ambience import Ambience
from training.prepare.simulation.audio import Effect
from training.prepare.simulation.chance import generator
from training.prepare.simulation.material import Material
from training.prepare.simulation.mix import Mix
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.room import Room
from training.prepare.simulation.speed import Speed


@dataclass(frozen=True)
class Placement:
    """One sound and where it goes."""

    sound: int
    """Which one of the material."""
    onset_sample: int
    """Of the dry sound, before the room delays it."""
    effects: tuple[Effect, ...]
    """On the source audio alone: pitch, speed, gain."""


@dataclass(frozen=True)
class Plan:
    """Everything that was drawn for one scene; applying it holds no chance."""

    n_samples: int
    placements: tuple[Placement, ...]
    loudspeaker: Effect | None
    room: Room | None
    mix: Mix | None
    ambience: Ambience | None
    recorded: tuple[Effect, ...]
    """From the level at the microphone on, in their order."""


def draw(recipe: Recipe, material: Material, seed: int, item: str) -> Plan:
    """Return what chance gives one item of a data set: the same for the same arguments, on every call."""

    def drawn(stage: str, draw_it: Callable[..., Any], *more: object) -> Any:
        range_ = getattr(recipe, stage)
        return None if range_ is None else draw_it(generator(seed, item, stage), range_, *more)

    recorded = (
        drawn("level", level.draw),
        drawn("microphone", microphone.draw),
        drawn("self_noise", self_noise.draw),
        drawn("agc", agc.draw),
        drawn("dc", dc.draw),
        drawn("clipping", clipping.draw),
        drawn("codec", codec.draw),
        recipe.quantise,
        drawn("dropouts", dropouts.draw, recipe.seconds),
    )
    mixed = drawn("mix", mix.draw)
    return Plan(
        n_samples=round(recipe.seconds * material.sample_rate),
        placements=_placements(recipe, material, seed, item),
        loudspeaker=drawn("loudspeaker", loudspeaker.draw),
        room=drawn("room", room.draw, material.rooms),
        mix=mixed,
        ambience=drawn("ambience", ambience.draw, material) if mixed else None,
        recorded=tuple(effect for effect in recorded if effect is not None),
    )


def _placements(recipe: Recipe, material: Material, seed: int, item: str) -> tuple[Placement, ...]:
    """Fill the scene with sounds, one after the other; one that would not end inside of it is the last, and left out.

    The first is always there: earlier than drawn if it must be, and of one longer than the scene the beginning.
    """
    rng = generator(seed, item, "scene")
    of_label: dict[str, list[int]] = {}
    for i, sound in enumerate(material.sounds):
        of_label.setdefault(sound.label, []).append(i)
    placements: list[Placement] = []
    position = 0.0
    while of_label:
        # First the label, then the clip: a label with few clips is heard as often as one with many.
        label = sorted(of_label)[int(rng.integers(len(of_label)))]
        chosen = of_label[label][int(rng.integers(len(of_label[label])))]
        position += recipe.pause_seconds.draw(rng)
        effects, factor = _source_effects(recipe, seed, f"{item}/{len(placements)}")
        seconds = len(material.sounds[chosen].audio) / material.sample_rate / factor
        if position + seconds > recipe.seconds:
            if placements:
                break
            position = max(0.0, recipe.seconds - seconds)
        placements.append(Placement(chosen, round(position * material.sample_rate), effects))
        position += seconds
    return tuple(placements)


def _source_effects(recipe: Recipe, seed: int, item: str) -> tuple[tuple[Effect, ...], float]:
    """Return the effects on one sound, and by which factor they make it shorter."""
    effects: list[Effect] = []
    factor = 1.0
    if recipe.pitch:
        effects.append(pitch.draw(generator(seed, item, "pitch"), recipe.pitch))
    if recipe.speed:
        faster: Speed = speed.draw(generator(seed, item, "speed"), recipe.speed)
        factor = faster.factor
        effects.append(faster)
    if recipe.gain:
        effects.append(gain.draw(generator(seed, item, "gain"), recipe.gain))
    return tuple(effects), factor
