"""The talk's table on somebody's own data: what each representation of the audio costs, and what it is worth.

The same small network looks at all of them: a linear layer on each frame, which can become a filter bank where there is
none, two convolutions over three frames each, mean and maximum over time. A logistic regression on pooled frames would
be faster, but can't tell anything from samples, for want of a single product of two of them; this can, and whether it
does on so few clips is what the table shows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from streamd.logmel import LogMelSpec
from training.process.examples import Example, n_groups_of_rarest
from training.process.probe import Score, score_of
from training.process.representations import representations

SECONDS = 1.0
"""From the onset on are looked at; shorter clips are followed by silence. Most short sounds are told by their first
second, and clips of one length need no mask."""
MOST_EXAMPLES = 600
N_FOLDS = 3
"""Fewer than elsewhere: each learns nine networks."""
N_EPOCHS = 15
N_CHANNELS = 32
N_BATCH = 32
LEARNING_RATE = 3e-3
"""Of AdamW, falling to zero along a cosine."""
N_TIMED = 20
"""Clips that the computing time is taken from."""


@dataclass(frozen=True)
class Row:
    """One representation."""

    name: str
    numbers_per_second: float
    milliseconds: float
    """To compute it for a second of audio, on one core."""
    fit_seconds: float
    """To learn from it, all folds together."""
    score: Score


class _Probe(nn.Module):
    """Frames (batch, n_frames, n_features) → logits (batch, n_labels)."""

    def __init__(self, n_features: int, n_labels: int) -> None:
        super().__init__()
        self.frames = nn.Sequential(
            nn.Conv1d(n_features, N_CHANNELS, 1),
            nn.ReLU(),
            nn.Conv1d(N_CHANNELS, N_CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(N_CHANNELS, N_CHANNELS, 3, padding=1),
            nn.ReLU(),
        )
        self.labels = nn.Linear(2 * N_CHANNELS, n_labels)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the logits."""
        seen = self.frames(frames.transpose(1, 2))
        logits: Tensor = self.labels(torch.cat([seen.mean(dim=2), seen.amax(dim=2)], dim=1))
        return logits


def compare(examples: Sequence[Example], spec: LogMelSpec, seed: int = 0) -> Iterator[Row]:
    """Yield a row for each representation around a log-mel, as soon as it is known.

    Every one learns from, and is tested on, the same clips: groups are left out in turns.

    Args:
        examples: at the spec's sample rate, of two kinds at least.
        spec: the log-mel in decibels that the others are compared with.
        seed: of weights and batches.

    Raises:
        ValueError: one kind of examples, or of one of them a single group.
    """
    n_folds = min(N_FOLDS, n_groups_of_rarest(examples))
    if n_folds < 2:
        raise ValueError("one group of some label, or one label alone; expected two groups of two kinds to compare on")
    random = np.random.default_rng(seed)
    chosen = [examples[i] for i in sorted(random.permutation(len(examples))[:MOST_EXAMPLES])]
    n_samples = round(SECONDS * spec.sample_rate)
    audio = [np.pad(one.audio[:n_samples], (0, max(0, n_samples - len(one.audio)))) for one in chosen]
    names, labels = np.unique([one.label or "" for one in chosen], return_inverse=True)
    groups = [one.group for one in chosen]
    folds = list(StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(audio, labels, groups))
    for one in representations(spec):
        begun = time.perf_counter()
        for clip in audio[:N_TIMED]:
            one.make(clip)
        milliseconds = 1000 * (time.perf_counter() - begun) / min(N_TIMED, len(audio)) / SECONDS
        frames = torch.from_numpy(np.stack([one.make(clip) for clip in audio]))
        begun = time.perf_counter()
        right = np.zeros(len(chosen), np.bool)
        for fold, (learn, test) in enumerate(folds):
            guessed = _guesses(frames, torch.from_numpy(labels), learn, test, len(names), seed + fold)
            right[test] = guessed == labels[test]
        fit_seconds = time.perf_counter() - begun
        score = score_of(right, names[labels].tolist(), groups, seed)
        yield Row(one.name, one.numbers_per_second, milliseconds, fit_seconds, score)


def _guesses(
    frames: Tensor, labels: Tensor, learn: NDArray[np.intp], test: NDArray[np.intp], n_labels: int, seed: int
) -> NDArray[np.int64]:
    """Return the labels (n_test,) that a network guesses which learnt from other clips."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean = frames[learn].mean(dim=(0, 1))
        # A feature that never moves (a band that no clip has) stays 0.
        spread = frames[learn].std(dim=(0, 1)).clamp_min(1e-8)
        network = _Probe(frames.shape[2], n_labels)
        counts = torch.bincount(labels[learn], minlength=n_labels).clamp_min(1)
        loss = nn.CrossEntropyLoss(weight=len(learn) / n_labels / counts)
        n_batches = -(-len(learn) // N_BATCH)
        optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, N_EPOCHS * n_batches)
        for _ in range(N_EPOCHS):
            for batch in torch.from_numpy(learn)[torch.randperm(len(learn))].split(N_BATCH):
                optimiser.zero_grad()
                loss(network((frames[batch] - mean) / spread), labels[batch]).backward()
                optimiser.step()
                schedule.step()
        with torch.no_grad():
            logits = network((frames[test] - mean) / spread)
    guessed: NDArray[np.int64] = logits.argmax(dim=1).numpy()
    return guessed


def table(rows: Iterator[Row], chance: float) -> Iterator[str]:
    """Yield the table line by line, as rows come."""
    yield f"\n{'representation':<32}{'numbers/s':>11}{'ms/s':>8}{'learnt in s':>13}{'accuracy':>10}  95 %"
    for row in rows:
        low, high = row.score.interval
        yield (
            f"{row.name:<32}{row.numbers_per_second:>11,.0f}{row.milliseconds:>8.1f}{row.fit_seconds:>13.1f}"
            f"{row.score.accuracy:>10.0%}  {low:.0%} to {high:.0%}"
        )
    yield f"balanced accuracy of one small network on groups left out; chance is {chance:.0%}; times are this machine's"
