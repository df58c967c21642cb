"""Percussion from scratch: `python -m examples.percussion.scratch --seed 0`; then evaluate.py has it in its tables.

The same folds, clips and scores as evaluate.py, by a network with no weights but its own: the baseline of 3×3
convolutions, at 16 kHz. It learns from the same windows of known age as the pretrained one, as wide as its receptive
field, with a softmax over the labels and "none". In the model file it is a stream, which answers every 40 ms.
Some two minutes of a core for each of the five folds.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from examples.percussion.evaluate import HERE, N_FOLDS, Task, clip_scores, manifest
from streamd.logmel import LogMelSpec, log_mel
from streamd.model import Model
from training.design.aged_windows import ringing_out, windows
from training.design.receptive_field import n_frames_seen
from training.design.stream import export_stream, stream_facts
from training.design.vgg import Vgg
from training.prepare.simulation.sounds import sounds_of
from training.process.augmentation.spec_augment import SpecAugment

SPEC = LogMelSpec(fmin=40.0, fmax=7520.0)
N_BLOCKS = 4
N_STEPS = 500
BATCH = 64
LEARNING_RATE = 3e-3
EFFECT = SpecAugment(n_band_masks=1, max_bands=11, n_frame_masks=1, max_frames=11)


class Percussion(Vgg):
    """A vgg whose last logit is none's."""

    def __init__(self, n_labels: int) -> None:
        super().__init__(SPEC.n_mels, n_labels + 1, N_BLOCKS)
        self.n_labels = n_labels

    def forward(self, frames: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        logits, state_out = self.logits(frames, state)
        return logits.softmax(dim=-1)[..., :-1], state_out


def scratch(task: Task, seed: int) -> NDArray[np.float32]:
    """Return the scores (n_clips, n_labels) of the models of all folds, each on the kits it has never heard."""
    n_labels = len(task.labels)
    torch.manual_seed(seed)
    network = Percussion(n_labels)
    stride = network.time_stride
    n_frames = -(-n_frames_seen(network.layers) // stride) * stride
    sounds = ringing_out(sounds_of(task.clips, SPEC.sample_rate), SPEC.sample_rate)
    n_samples = (n_frames - 1) * SPEC.hop_length + SPEC.win_length
    drawn = windows(sounds, SPEC.sample_rate, n_samples, seed)
    heard = torch.from_numpy(np.stack([log_mel(row, SPEC) for row in drawn.audio]).astype(np.float16))
    label = np.array([task.labels.index(sound.clip.label or "") for sound in sounds])
    target = np.where(drawn.asked, label[drawn.sound], n_labels)
    kit = np.array([sound.clip.source for sound in sounds])[drawn.sound]
    scores = np.zeros((len(task.clips), n_labels), np.float32)
    for number in range(N_FOLDS):
        test = np.nonzero(task.fold == number)[0]
        train = np.nonzero(~np.isin(kit, task.kits[test]))[0]
        network = Percussion(n_labels)
        fit(network, heard, target, train, np.random.default_rng([seed, number]))
        facts = msgspec.structs.replace(
            manifest(task.labels),
            training={"network": "vgg, from scratch"},
            **stream_facts(network, SPEC),
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "percussion.onnx"
            export_stream(network, facts, path)
            scores[test] = clip_scores(Model(path, "cpu"), [task.clips[at].path for at in test])
        right = scores[test].argmax(axis=1) == task.truth[test]
        print(f"seed {seed}, fold {number}: {right.mean():.3f} of {len(test)} right", flush=True)
    return scores


def fit(
    network: Percussion, heard: Tensor, target: NDArray[np.intp], train: NDArray[np.intp], random: np.random.Generator
) -> None:
    """Train on some of the windows; labels count by the root of how many windows they have."""
    network.standardise.measure(heard[train[:4000]].float().flatten(0, 1))
    chances = 1 / np.sqrt(np.bincount(target[train]))[target[train]]
    chances /= chances.sum()
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=N_STEPS, pct_start=0.1)
    network.train()
    for _ in range(N_STEPS):
        rows = random.choice(train, BATCH, p=chances)
        frames = heard[rows].float()
        frames = EFFECT.draw(random.integers(1 << 32, size=BATCH).tolist(), frames.shape[1], SPEC.n_mels).apply(frames)
        logits, _ = network.logits(frames, network.initial_state(BATCH))
        loss = nn.functional.cross_entropy(logits[:, -1], torch.from_numpy(target[rows]))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    network.eval()


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
