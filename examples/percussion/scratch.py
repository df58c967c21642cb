"""Percussion from scratch: `python -m examples.percussion.scratch --seed 0`; then evaluate.py has it in its tables.

The same folds, clips and scores as evaluate.py, by the small residual network with no weights but its own, at 32 kHz.
The clips are near and clean in training and test, so training changes their levels and speeds alone: what rooms and
noises are worth stands in examples/claim. Two minutes of a core for each of the five folds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from examples.percussion.evaluate import HERE, N_FOLDS, Task, clip_scores, manifest
from streamd.logmel import LogMelSpec
from streamd.model import Model
from training.design.fit import fit
from training.design.fit_settings import FitSettings
from training.design.stream import export_stream, stream_facts
from training.design.tc_resnet import TcResNet
from training.prepare.simulation.chance import Range
from training.prepare.simulation.conditions import Conditions
from training.prepare.simulation.material import Material
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.scene import Scene
from training.prepare.simulation.sounds import sounds_of
from training.prepare.simulation.workers import Workers

SPEC = LogMelSpec(sample_rate=32_000, n_fft=1024, win_length=1024, hop_length=320, n_mels=80, fmax=15_000.0)
RECIPE = Recipe(seconds=5.0, pause_seconds=Range(0.3, 1.5)).without(
    "room", "mix", "microphone", "self_noise", "agc", "dc", "clipping", "codec", "dropouts"
)
N_STEPS = 1500


def scratch(task: Task, seed: int) -> NDArray[np.float32]:
    """Return the scores (n_clips, n_labels) of the models of all folds, each on the kits it has never heard."""
    scores = np.zeros((len(task.clips), len(task.labels)), np.float32)
    for number in range(N_FOLDS):
        test = np.nonzero(task.fold == number)[0]
        kits = set(task.kits[test])
        training = [clip for clip in task.clips if clip.source not in kits]
        with tempfile.TemporaryDirectory() as folder:
            scores[test] = clip_scores(
                _trained(task, training, seed, Path(folder)), [task.clips[at].path for at in test]
            )
        right = scores[test].argmax(axis=1) == task.truth[test]
        print(f"seed {seed}, fold {number}: {right.mean():.3f} of {len(test)} right", flush=True)
    return scores


def _trained(task: Task, training: list, seed: int, folder: Path) -> Model:  # type: ignore[type-arg]
    made_from = Conditions("clean", RECIPE, Material(SPEC.sample_rate, sounds_of(training, SPEC.sample_rate)))
    torch.manual_seed(seed)
    network = TcResNet(SPEC.n_mels, len(task.labels))
    with Workers(1) as workers:

        def scenes(begin: int, n: int) -> Iterator[Scene]:
            return workers.scenes(made_from, seed, "training", begin, n)

        fitted = fit(network, SPEC, task.labels, scenes, FitSettings(n_steps=N_STEPS, seed=seed), folder)
    facts = msgspec.structs.replace(
        manifest(task.labels),
        training={"network": "tc-resnet, from scratch"},
        **stream_facts(fitted.network, SPEC),
    )
    export_stream(fitted.network, facts, folder / "percussion.onnx")
    return Model(folder / "percussion.onnx", "cpu")


def main() -> None:
    """Train and score one seed, and keep the scores where evaluate.py looks for them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.set_num_threads(1)
    data = HERE.parents[1] / "examples-data" / "percussion"
    kept = data.parent / "percussion-evaluation"
    kept.mkdir(exist_ok=True)
    np.save(kept / f"scratch-{seed}.npy", scratch(Task(data), seed))


if __name__ == "__main__":
    main()
