"""One lesson: clips in, a model file out. Everything that trains a network here does it through this.

What all lessons of a run share (labels, log-mel, simulator, budget) is its `School`; what differs from one to the next
is which clips, how many steps, which seed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from streamd.decision import DecisionSpec
from streamd.logmel import LogMelSpec
from streamd.manifest import Golden, Manifest
from streamd.model import Model
from training.design.choose import Network
from training.design.fit import FittedNetwork, Scorer, fit
from training.design.fit_pretrained import fit_pretrained
from training.design.fit_settings import FitSettings
from training.design.gates import export_proved
from training.design.pretrained_network import PretrainedNetwork
from training.design.progress import Progress
from training.design.stream import HOP_FRAMES, stream_facts
from training.design.targets import least_seconds
from training.design.yamnet_layers import window_facts
from training.expect.play import LabelledStream
from training.expect.scorer import scorer
from training.expect.streams import LEAD_SECONDS, negative_streams, real_streams, simulated_streams
from training.prepare.clips import Clip
from training.prepare.simulation.conditions import NO_SPEECH, Conditions, for_training, for_unseen
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.scene import Scene
from training.prepare.simulation.sounds import backgrounds_of, sounds_of
from training.prepare.simulation.workers import Workers
from training.prepare.trim import Trim

SCENE_SECONDS = 5.0
"""Of a scene at least: short ones make many steps out of the same audio, and a step is what a network learns by."""

LEAST_EVENTS = 2.5
"""Times as long as nine in ten of the sounds is a scene, so that onset, offset and silence are in it."""

GATE_SECONDS = 60.0
"""Of scenes that the finished file is proved on."""

ROOMS_SEED = 0
"""All lessons draw from one bank of rooms, which is computed once on a machine."""


@dataclass(frozen=True)
class School:
    """What all lessons of a run share."""

    name: str
    """Of the model."""
    licence: str
    """Of its weights."""
    training: dict[str, Any]
    """What its manifest tells of where the weights come from."""
    labels: tuple[str, ...]
    spec: LogMelSpec
    recipe: Recipe
    """Of the simulator."""
    trim: Trim
    settings: FitSettings
    """How to fit; how long is said for each lesson."""
    network: Callable[[], Network]
    """Makes one with first weights, by torch's chance."""
    workers: Workers
    cache: Path
    """A folder for computed rooms."""
    alarms_per_hour: float
    event_seconds: float
    """90th percentile of the lengths of the sounds."""
    stream_seconds: float
    """Of simulated scenes, and as much of background, that checkpoints and thresholds are chosen on."""
    progress: Progress | None = None

    @cached_property
    def scene_seconds(self) -> float:
        """Length of a scene: what the network needs, or the sounds with silence around them, or SCENE_SECONDS."""
        return max(SCENE_SECONDS, least_seconds(self.network(), self.spec), LEAST_EVENTS * self.event_seconds)

    @property
    def lead_seconds(self) -> float:
        """Before the first sound of a stream, so that the model is warm."""
        return LEAD_SECONDS + self.scene_seconds

    def heard_in_training(self, clips: Sequence[Clip], recipe: Recipe | None = None) -> Conditions:
        """Return what a lesson on some clips draws from; recipe: None, the school's own."""
        rate = self.spec.sample_rate
        return for_training(
            sounds_of(clips, rate, self.trim),
            backgrounds_of(clips, rate),
            NO_SPEECH,
            rate,
            self.cache,
            seed=ROOMS_SEED,
            recipe=replace(recipe or self.recipe, seconds=self.scene_seconds),
            workers=self.workers,
        )

    def never_drawn(self, clips: Sequence[Clip]) -> Conditions:
        """Return what no lesson draws from: clips held out, other rooms and noises, another microphone."""
        rate = self.spec.sample_rate
        return for_unseen(
            sounds_of(clips, rate, self.trim),
            backgrounds_of(clips, rate),
            NO_SPEECH,
            rate,
            self.cache,
            seed=ROOMS_SEED,
            recipe=replace(self.recipe, seconds=max(self.recipe.seconds, self.scene_seconds)),
        )

    def tuning_streams(self, clips: Sequence[Clip]) -> list[LabelledStream]:
        """Return what checkpoints and thresholds are chosen on: recordings as they are, scenes, and background."""
        scenes = self.heard_in_training(clips)
        return [
            *real_streams(clips, self.spec.sample_rate, self.lead_seconds, trim=self.trim),
            *simulated_streams(scenes, self.stream_seconds, self.lead_seconds, seed=1, workers=self.workers),
            *negative_streams(scenes, self.stream_seconds, seed=1, workers=self.workers),
        ]

    def scorer_on(self, streams: Sequence[LabelledStream]) -> Scorer:
        """Return what chooses among checkpoints."""
        return scorer(streams, self.spec, self.labels, HOP_FRAMES, alarms_per_hour=self.alarms_per_hour)


@dataclass(frozen=True)
class HowLong:
    """Of a fit: one of the two."""

    minutes: float | None = None
    n_steps: int | None = None

    def __str__(self) -> str:
        return f"{self.n_steps} steps" if self.minutes is None else f"{self.minutes:.1f} minutes"


@dataclass(frozen=True)
class Lesson:
    """A network that was fitted, and the model file that it became."""

    fitted: FittedNetwork[Network]
    drawn_from: Conditions
    file: Path
    manifest: Manifest
    gates: dict[str, str]
    heard: NDArray[np.int16]
    """The scenes (n_samples,) that the file was proved on."""

    def model(self) -> Model:
        """Return the model, loaded."""
        return Model(self.file, "cpu")


def learn(
    school: School,
    clips: Sequence[Clip],
    file: Path,
    *,
    how_long: HowLong,
    tuning: Sequence[LabelledStream] = (),
    seed: int = 0,
    recipe: Recipe | None = None,
) -> Lesson:
    """Fit a network on clips and write it as a model file, with every gate passed.

    Args:
        school: what it shares with other lessons.
        clips: to learn from, background among them.
        file: the .onnx to write; checkpoints go into a folder beside it, and a run that was cut off goes on from there
            if nothing has changed that it depends on.
        how_long: of the fit.
        tuning: streams that choose among checkpoints; without any the last one is taken. A pretrained network has none.
        seed: of weights and scenes.
        recipe: of the simulator, where it is another than the school's.

    Raises:
        ModelError: a gate isn't passed; there is no file then.
        SimulationError: a scene can't be made.
    """
    drawn_from = school.heard_in_training(clips, recipe)
    settings = replace(school.settings, minutes=how_long.minutes, n_steps=how_long.n_steps, seed=seed)
    workers = school.workers

    def scenes(begin: int, n: int) -> Iterator[Scene]:
        return workers.scenes(drawn_from, seed, "lesson", begin, n)

    def nothing(begin: int, n: int) -> Iterator[Scene]:
        return workers.negatives(drawn_from, seed, "nothing", begin, n)

    torch.manual_seed(seed)
    network = school.network()
    quiet = nothing if drawn_from.recipe.mix and drawn_from.recipe.level else None
    fitted: FittedNetwork[Network]
    if isinstance(network, PretrainedNetwork):
        facts = _facts(school, window_facts(school.spec))
        fitted = fit_pretrained(network, facts, scenes, settings, quiet, school.progress)
    else:
        fitted = fit(
            network,
            school.spec,
            school.labels,
            scenes,
            settings,
            file.with_name(f"{file.stem}-{_key(school, clips, drawn_from.recipe, settings, tuning)}"),
            school.scorer_on(tuning) if tuning else None,
            quiet,
            school.progress,
        )
    heard = np.concatenate([_int16(scene) for scene in scenes(0, math.ceil(GATE_SECONDS / school.scene_seconds))])
    if not isinstance(fitted.network, PretrainedNetwork):
        facts = _facts(school, stream_facts(fitted.network, school.spec, heard=heard))
    manifest, gates = export_proved(fitted.network, facts, file, heard)
    return Lesson(fitted, drawn_from, file, manifest, gates, heard)


def _key(
    school: School, clips: Sequence[Clip], recipe: Recipe, settings: FitSettings, tuning: Sequence[LabelledStream]
) -> str:
    """Return what a run is known by: other clips, or another recipe, network or budget, are another run."""
    stats = [(path.stat().st_size, path.stat().st_mtime_ns) for path in sorted({clip.path for clip in clips})]
    shapes = [tuple(weight.shape) for weight in school.network().parameters()]
    chosen_by = [(one.name, len(one.samples)) for one in tuning], school.alarms_per_hour
    words = repr((school.labels, school.spec, school.trim, recipe, settings, shapes, chosen_by, clips, stats))
    return hashlib.sha256(words.encode()).hexdigest()[:12]


def _facts(school: School, of_network: dict[str, Any]) -> Manifest:
    """Return the manifest as far as it is known before anything was measured.

    of_network: what follows from a network.
    """
    n_sources = f"{len(school.labels)} labels" if len(school.labels) > 1 else school.labels[0]
    return Manifest(
        name=school.name,
        version="1",
        licence=school.licence,
        description=f"Hears {n_sources}.",
        labels=school.labels,
        default_labels=school.labels,
        **of_network,
        onset_delay=0,
        offset_delay=0,
        decision=DecisionSpec(),
        label_decisions={},
        expected={},
        training=school.training,
        golden=Golden(seed=0, n_samples=0, posterior=b""),
    )


def _int16(scene: Scene) -> NDArray[np.int16]:
    return np.clip(np.rint(scene.audio * 32768), -32768, 32767).astype(np.int16)
