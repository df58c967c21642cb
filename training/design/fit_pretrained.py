"""The fit of a pretrained network: windows of scenes are embedded once, and a head is fitted on what came out.
One that is to be tuned goes on from there with all its layers (`fine_tune.py`).

Twice: the first head says which windows without any of the sounds it takes for one, and the second learns from those,
too (hard negatives, as in `hard_negatives.py`). How many scenes the minutes allow for is measured on the first of them,
then fixed; most machines make as many as are of use, and then the same seed gives the same network.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from streamd.errors import DataError
from streamd.manifest import Manifest
from training.design.fine_tune import N_STEPS, fine_tune
from training.design.fit import FittedNetwork, Scenes
from training.design.fit_settings import FitSettings
from training.design.head import N_CALIBRATION_FOLDS, Examples, Floats, fit_head
from training.design.pretrained_network import PretrainedNetwork
from training.design.progress import Progress, telling
from training.design.scene_windows import LEFT_OUT, answers, windows_of
from training.prepare.simulation.chance import generator
from training.prepare.simulation.scene import Scene

log = logging.getLogger("training")

MOST_SCENES = 640
"""With those without a sound: sixty clips were heard ten times by then, each time in another place."""
LEAST_SCENES = 80
SCENES_SHARE = 0.8
"""Of the minutes; the rest is for the head and for the export."""
TUNED_SHARE = 0.5
"""Of the time for scenes, where the layers learn, too."""
N_NONE = 4
"""Windows without a sound that are taken from a scene: neighbours hear nearly the same."""
AND = "\0"
"""Between the source of a sound and its clip."""
N_HARD = 2
"""Windows taken from a scene of the second half of the negatives: those that the first head likes most."""


@dataclass
class _Heard:
    """What was embedded so far."""

    embedding: list[Floats] = field(default_factory=list)
    target: list[int] = field(default_factory=list)
    group: list[str] = field(default_factory=list)
    windows: list[NDArray[np.float16]] = field(default_factory=list)
    """What was embedded, where it is heard again."""

    def add(self, windows: NDArray[np.float16] | None, embedding: Floats, target: list[int], group: list[str]) -> None:
        if windows is not None:
            self.windows.append(windows)
        self.embedding.append(embedding)
        self.target += target
        self.group += group

    def examples(self) -> Examples:
        """Return it with sources as groups; where they are too few to calibrate on, a clip is a group of its own."""
        sources = {name.partition(AND)[0] for name in self.group if AND in name}
        groups = self.group if len(sources) < N_CALIBRATION_FOLDS else [name.partition(AND)[0] for name in self.group]
        return Examples(np.concatenate(self.embedding), np.array(self.target, np.intp), np.array(groups))


def fit_pretrained(
    network: PretrainedNetwork,
    facts: Manifest,
    scenes: Scenes,
    settings: FitSettings,
    negatives: Scenes | None = None,
    progress: Progress | None = None,
) -> FittedNetwork[PretrainedNetwork]:
    """Fit the head of a network on scenes.

    Args:
        network: its head is replaced.
        facts: of the model that it becomes: labels and places of windows are taken from it.
        scenes: to learn from.
        settings: how long, batch, seed and the share of negatives; the other settings are those of another fit.
        negatives: scenes without any of the sounds.
        progress: told of each batch, and of the end of listening.

    Raises:
        DataError: the scenes don't hold each of the labels.
    """
    begun = time.monotonic()
    n_negative = round(settings.batch * settings.negative_share) if negatives else 0
    n_scenes = settings.batch - n_negative
    listen = _Listener(network, facts, settings.seed)
    heard = _Heard()
    later: list[Scene] = []
    n_steps, step, audio_seconds = settings.n_steps, 0, 0.0
    with telling(progress) as told:
        while n_steps is None or step < n_steps:
            for number, scene in enumerate(scenes(step * n_scenes, n_scenes), start=step * n_scenes):
                heard.add(*listen.to_scene(scene, number))
                audio_seconds += len(scene.audio) / scene.sample_rate
            quiet = negatives(step * n_negative, n_negative) if negatives else ()
            for number, scene in enumerate(quiet, start=step * n_negative):
                # Half of them are heard now, the others when there is a head to choose among their windows.
                if number % 2:
                    later.append(scene)
                else:
                    heard.add(*listen.to_negative(scene, number))
                audio_seconds += len(scene.audio) / scene.sample_rate
            step += 1
            if n_steps is None:
                n_steps = _n_steps(settings, time.monotonic() - begun, TUNED_SHARE if network.is_tuned else 1.0)
            told.stepped(step, n_steps, math.nan, audio_seconds)
    first = heard.examples()
    missing = [label for number, label in enumerate(facts.labels) if number not in first.target]
    if missing:
        raise DataError(f"{step * n_scenes} scenes hold no window with {', '.join(missing)}; give the fit more minutes")
    parts = network.embedding.parts
    head = fit_head(first, len(facts.labels), parts, settings.seed)
    for number, scene in enumerate(later):
        heard.add(*listen.to_hard_negative(scene, f"later {number}", head.posteriors))
    if later:
        head = fit_head(heard.examples(), len(facts.labels), parts, settings.seed)
    network.take_on(head)
    if network.is_tuned:
        seconds = None if settings.minutes is None else 60 * settings.minutes * SCENES_SHARE * TUNED_SHARE
        windows, target = np.concatenate(heard.windows), np.array(heard.target, np.intp)
        log.info("all layers learn now, for %d steps at most", N_STEPS)
        fine_tune(network, windows, target, settings.seed, seconds=seconds)
    return FittedNetwork(
        network=network.eval(),
        n_steps=step,
        audio_seconds=audio_seconds,
        seconds=time.monotonic() - begun,
        losses=[],
        checkpoints=[],
        chosen_step=step,
    )


def _n_steps(settings: FitSettings, step_seconds: float, share: float) -> int:
    """Return how many batches to hear: MOST_SCENES, or half as many as often as it takes.

    Halved, so that a machine which is a little busier today still makes the same network.
    """
    affordable = 60 * (settings.minutes or math.inf) * SCENES_SHARE * share / step_seconds * settings.batch
    n_scenes = MOST_SCENES
    while n_scenes > max(affordable, LEAST_SCENES):
        n_scenes //= 2
    return math.ceil(n_scenes / settings.batch)


Taken = tuple[NDArray[np.float16] | None, Floats, list[int], list[str]]
"""Windows if they are kept, embeddings, targets, groups."""


class _Listener:
    """Takes windows of scenes and embeds them."""

    def __init__(self, network: PretrainedNetwork, facts: Manifest, seed: int) -> None:
        self._facts = facts
        self._seed = seed
        self._keeps = network.is_tuned
        # A third faster on a processor; the network itself stays as it is.
        self._embedding = copy.deepcopy(network.embedding).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def to_scene(self, scene: Scene, number: int) -> Taken:
        """Return all windows with a sound and some without."""
        windows = windows_of(scene, self._facts)
        target = answers(scene.labels, len(windows), self._facts)
        none = self._some(np.flatnonzero(target == len(self._facts.labels)), f"scene {number}")
        sounding = np.flatnonzero((target != LEFT_OUT) & (target != len(self._facts.labels)))
        chosen = np.concatenate([sounding, none])
        groups = [_group(scene, int(at), self._facts) for at in sounding] + [f"scene {number}"] * len(none)
        return self._kept(windows[chosen]), self._embedded(windows[chosen]), target[chosen].tolist(), groups

    def to_negative(self, scene: Scene, number: int) -> Taken:
        """Return some windows of a scene in which nothing sounds."""
        windows = windows_of(scene, self._facts)
        chosen = self._some(np.arange(len(windows)), f"negative {number}")
        return self._nothing(windows[chosen], self._embedded(windows[chosen]), f"negative {number}")

    def to_hard_negative(self, scene: Scene, name: str, posteriors: Callable[[Floats], Floats]) -> Taken:
        """Return those windows of such a scene that a head takes for a sound most."""
        windows = windows_of(scene, self._facts)
        embedding = self._embedded(windows)
        hardest = np.argsort(-posteriors(embedding).max(axis=1), kind="stable")[:N_HARD]
        return self._nothing(windows[hardest], embedding[hardest], name)

    def _nothing(self, windows: Floats, embedding: Floats, group: str) -> Taken:
        return self._kept(windows), embedding, [len(self._facts.labels)] * len(embedding), [group] * len(embedding)

    def _kept(self, windows: Floats) -> NDArray[np.float16] | None:
        return windows.astype(np.float16) if self._keeps else None

    def _some(self, places: NDArray[np.intp], item: str) -> NDArray[np.intp]:
        return np.sort(generator(self._seed, item, "windows").permutation(places)[:N_NONE])

    def _embedded(self, windows: NDArray[np.float32]) -> Floats:
        with torch.inference_mode():
            return np.asarray(self._embedding(torch.from_numpy(windows)).numpy(), np.float32)


def _group(scene: Scene, window: int, facts: Manifest) -> str:
    """Return source and clip of the sound in a window."""
    begin = window * facts.hop_samples
    end = begin + facts.span_samples
    clip = next(one.clip for one in scene.labels if one.onset_sample < end and one.offset_sample > begin)
    return f"{clip.source or clip.path}{AND}{clip.path}"
