"""Simulated clips to be judged by ear and eye: what a network learns from, and what its log-mel leaves of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamd.logmel import LogMelSpec, log_mel
from training.prepare.simulation.conditions import Conditions
from training.prepare.simulation.scene import Scene, make
from training.process import plot_style
from training.process.hear import hear
from training.process.pictures import of_log_mel

N_ITERATIONS = 32
"""Of the search for phases: a third of the default, in a third of the time; nothing that the log-mel lacks is there."""


def write_scenes(conditions: Conditions, spec: LogMelSpec, n_scenes: int, out: Path, seed: int = 0) -> Iterator[str]:
    """Write scenes into a folder, each as three files, and yield a line on each.

    `NN.wav` is the scene, `NN.png` its log-mel with its labels, `NN-heard.wav` the sound made again from the log-mel
    alone: what can't be told there can't be learnt.

    Args:
        conditions: of scenes at the spec's sample rate.
        spec: of the network's log-mel.
        n_scenes: how many.
        out: the folder; files of the same names in it are replaced.
        seed: another one gives other scenes.
    """
    out.mkdir(parents=True, exist_ok=True)
    for i in range(n_scenes):
        scene = make(conditions.recipe, conditions.material, seed, f"hear/{i}")
        frames = log_mel(scene.audio, spec)
        stem = out / f"{i + 1:0{len(str(n_scenes))}}"
        _write(stem.with_suffix(".wav"), scene.audio, spec.sample_rate)
        _write(
            stem.with_name(f"{stem.name}-heard.wav"),
            hear(frames, spec, n_iterations=N_ITERATIONS, seed=i),
            spec.sample_rate,
        )
        with plot_style.style():
            plot_style.save(of_log_mel(frames, spec, _marks(scene)), stem.with_suffix(".png"))
        sounds = ", ".join(f"{label} at {onset:.1f} s" for label, onset, _ in _marks(scene))
        yield f"{stem}.wav, .png, -heard.wav: {sounds or 'nothing but the place'}"


def _marks(scene: Scene) -> list[tuple[str, float, float]]:
    rate = scene.sample_rate
    return [(placed.label, placed.onset_sample / rate, placed.offset_sample / rate) for placed in scene.labels]


def _write(file: Path, audio: NDArray[np.float32], sample_rate: int) -> None:
    """Write 16 bits; what is above full scale is made quieter as a whole, as clipping would be heard."""
    peak = float(np.abs(audio).max(initial=0.0))
    soundfile.write(file, audio / max(1.0, peak), sample_rate, subtype="PCM_16")
