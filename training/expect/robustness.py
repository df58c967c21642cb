"""The robustness matrix: recall of held-out sounds, one condition at a time, beside what training drew.

Everything stands at its middle but what a cell names. All cells play the same sounds at the same places with the same
draws of noise, through the daemon's detector at the model's own thresholds; so what differs between two cells is the
condition. There is no chance in a cell but the waveform of its noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path

from streamd.manifest import Manifest
from streamd.model import Model
from training.expect.event_match import Sound as Labelled
from training.expect.familiarity import NO_MICROPHONE, Condition, Trained, noises
from training.expect.heard import heard_in
from training.expect.play import LabelledStream, play
from training.expect.report import Cell
from training.prepare.simulation import ambience, scene
from training.prepare.simulation.ambience import AmbienceRange
from training.prepare.simulation.audio import Effect
from training.prepare.simulation.chance import Range, generator
from training.prepare.simulation.clipping import Clipping
from training.prepare.simulation.codec import Codec
from training.prepare.simulation.dc import Dc
from training.prepare.simulation.gain import Gain
from training.prepare.simulation.level import Level
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.microphone import KINDS, Microphone
from training.prepare.simulation.mix import Mix
from training.prepare.simulation.plan import Placement, Plan
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.response import Response
from training.prepare.simulation.room import Room
from training.prepare.simulation.rooms import compute_rooms
from training.prepare.simulation.self_noise import SelfNoise
from training.prepare.simulation.shoebox import Shoebox

MOST_SOUNDS = 60
"""In a cell: a recall of one half is then known to ±0.13, and more only cost time where groups are few."""
SOUNDS_A_STREAM = 20
LEAD_SECONDS = 1.0
"""Of noise before the first sound, beside the warm-up."""
REST_SECONDS = 1.0
"""Between the end of one event and the next sound."""

SIZE = (6.0, 5.0, 2.7)
_MICROPHONE = (0.8, 0.9, 1.2)
_TOWARDS = (0.8, 0.6, 0.0)
"""The direction in which sounds stand: 4 m fit in."""
_NOISE_PLACE = (5.2, 1.0, 1.5)
_SCATTERING = 0.275
"""The middle of what rooms are drawn from."""
RT60_TOLERANCE = 0.1
"""A room counts as having an RT60 if its measured one is this near, as a part of it: people just notice 5 %."""


def cells(
    model: Model,
    conditions: Iterable[Condition],
    trained: Trained,
    material: Material,
    recipe: Recipe,
    cache: Path,
    seed: int = 0,
    most_sounds: int = MOST_SOUNDS,
) -> Iterator[Cell]:
    """Yield the cells of conditions, in their order; whoever has no more time stops taking them.

    Args:
        model: what is judged, at its own thresholds.
        conditions: see grid.py.
        trained: what training drew; it tells how familiar each condition is.
        material: held-out sounds, and the speech and backgrounds that evaluation plays; its rooms are not used.
        recipe: of training or evaluation: its ranges say where the middle of everything else lies, and a stage that it
            leaves out stays out.
        cache: folder for computed rooms.
        seed: of noise.
        most_sounds: that each cell plays at most, spread over labels and groups.

    Raises:
        ValueError: no sound of the material has a label of the model.
    """
    facts = model.manifest
    sounds = spread([one for one in material.sounds if one.label in facts.labels], most_sounds)
    if not sounds:
        raise ValueError(f"no held-out sound has a label of {facts.name}; expected {', '.join(facts.labels)}")
    held_out = replace(material, sounds=sounds)
    for condition in conditions:
        streams = make_streams(condition, facts, held_out, recipe, cache, seed)
        heard = heard_in(play(model, streams), facts)
        has_room = condition.rt60_seconds > 0
        yield Cell(
            noise=condition.noise,
            snr_db=condition.snr_db if condition.snr_db < math.inf else None,
            rt60_seconds=condition.rt60_seconds,
            microphone=condition.microphone,
            distance_m=condition.distance_m if has_room else None,
            recall=heard.recall,
            recall_interval=heard.interval(),
            familiarity=trained.familiarity(condition),
            n_sounds=len(heard.heard),
        )


def spread(sounds: Sequence[Sound], most: int) -> list[Sound]:
    """Return at most so many sounds, taken in turns from each group of each label; the same ones on every call."""
    of_cell: dict[tuple[str, str], list[Sound]] = {}
    for one in sounds:
        of_cell.setdefault((one.label, group_of(one)), []).append(one)
    in_turns = chain.from_iterable(zip_longest(*(of_cell[key] for key in sorted(of_cell))))
    return [one for one in in_turns if one is not None][:most]


def group_of(sound: Sound) -> str:
    """Return what a sound depends on: its source, or its recording where nobody looked for one."""
    return sound.clip.source or str(sound.clip.path)


def make_streams(
    condition: Condition, facts: Manifest, material: Material, recipe: Recipe, cache: Path, seed: int
) -> list[LabelledStream]:
    """Return all sounds of the material in one condition, a stream for each group or for a part of it."""
    rooms = rooms_of(condition, material.sample_rate, cache)
    within = replace(material, rooms=rooms)
    of_group: dict[str, list[int]] = {}
    for i, sound in enumerate(material.sounds):
        of_group.setdefault(group_of(sound), []).append(i)
    streams = []
    for group, members in of_group.items():
        for begin in range(0, len(members), SOUNDS_A_STREAM):
            name = f"{group}/{begin}"
            plan = _plan(condition, facts, within, recipe, members[begin : begin + SOUNDS_A_STREAM], seed, name)
            made = scene.render(plan, within)
            labels = tuple(
                Labelled(p.label, p.onset_sample / made.sample_rate, p.offset_sample / made.sample_rate)
                for p in made.labels
            )
            streams.append(LabelledStream(name, made.audio, labels, group))
    return streams


def rooms_of(condition: Condition, sample_rate: int, cache: Path) -> list[Room]:
    """Return two places in one room, of the sound and of a noise; none for a condition without a room.

    The walls are chosen by Eyring's formula and then once or twice more, until the measured RT60 is what is asked for:
    the formula is for diffuse fields, which no furnished room has.
    """
    wanted, distance = condition.rt60_seconds, condition.distance_m
    if wanted == 0:
        return []
    volume, surface = math.prod(SIZE), 2 * sum(math.prod(SIZE) / side for side in SIZE)
    place = tuple(at + distance * way for at, way in zip(_MICROPHONE, _TOWARDS, strict=True))
    aim, rooms = wanted, []
    for _ in range(4):
        absorption = 1 - math.exp(-0.161 * volume / (surface * aim))
        box = Shoebox(SIZE, absorption, _SCATTERING, _MICROPHONE, ((place[0], place[1], place[2]), _NOISE_PLACE), 0)
        rooms = compute_rooms([box], sample_rate, condition.room_method, cache)
        found = rooms[0].rt60_seconds
        if math.isnan(found) or abs(found - wanted) <= RT60_TOLERANCE * wanted:
            break
        aim *= wanted / found
    return rooms


def _plan(
    condition: Condition,
    facts: Manifest,
    material: Material,
    recipe: Recipe,
    members: Sequence[int],
    seed: int,
    name: str,
) -> Plan:
    """Place some sounds one after the other, all as loud as each other, so far apart that each is its own event."""
    rate = material.sample_rate
    position = facts.first_score_samples / facts.sample_rate + LEAD_SECONDS
    placements = []
    for i in members:
        sound = material.sounds[i]
        placements.append(Placement(i, round(position * rate), (Gain(0.0),)))
        spec = facts.decision_of(sound.label)
        rest = spec.min_silence_seconds + spec.refractory_seconds + spec.smoothing_seconds + REST_SECONDS
        # A window hears a sound until its last sample has left it.
        rest += facts.span_samples / facts.sample_rate
        position += len(sound.audio) / rate + condition.rt60_seconds + rest
    noise = None
    if condition.snr_db < math.inf:
        range_ = noises(AmbienceRange(), material)[condition.noise]
        noise = ambience.draw(generator(seed, name, "ambience"), range_, material)
    return Plan(
        n_samples=round(position * rate),
        placements=tuple(placements),
        loudspeaker=_loudspeaker(recipe),
        room=material.rooms[0] if material.rooms else None,
        mix=Mix(condition.snr_db) if noise else None,
        ambience=noise,
        recorded=tuple(_recorded(condition, recipe, seed)),
    )


def _loudspeaker(recipe: Recipe) -> Effect | None:
    band = recipe.loudspeaker
    return Response(_middle(band.low_hz), 2, _middle(band.high_hz), 1) if band else None


def _recorded(condition: Condition, recipe: Recipe, seed: int) -> Iterator[Effect]:
    """Yield what comes behind the air, each at the middle of its range; what most scenes are without is left out."""
    if recipe.level:
        yield Level(_middle(recipe.level.db))
    if condition.microphone != NO_MICROPHONE:
        yield Microphone(condition.microphone, KINDS[condition.microphone])
    if recipe.self_noise:
        yield SelfNoise(_middle(recipe.self_noise.level_db), seed)
    if recipe.dc and _middle(recipe.dc.offset):
        yield Dc(_middle(recipe.dc.offset))
    if recipe.clipping:
        yield Clipping(_middle(recipe.clipping.ceiling), _middle(recipe.clipping.knee))
    if recipe.codec and recipe.codec.on > 0.5:
        yield Codec(recipe.codec.laws[0])
    if recipe.quantise:
        yield recipe.quantise


def _middle(range_: Range) -> float:
    return (range_.low + range_.high) / 2
