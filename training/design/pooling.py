"""How posteriors of output frames become the one posterior that a weak label speaks of, and the losses.

A strong label says when a sound is on: each output frame has its target, nothing is pooled. A weak label says only that
the sound is somewhere in the scene. What lies between is an assumption about how much of the scene it fills, its
sparsity, and that can be measured wherever onsets are known: in our own scenes always.

All poolings are of posteriors p over the frames of a scene, and mean ≤ linear softmax ≤ max:

- mean, Σp/n: the sound is on all the time; every frame gets the same push.
- linear softmax, Σp²/Σp: the sound is on for a while. A frame is pushed towards the scene's label only if its posterior
  is above half the pooled one, and away from it otherwise, which finds onsets (Wang, Li and Metze 2018,
  https://arxiv.org/abs/1810.09050: the best of five for detection).
- max: the sound is on once, shortly; one frame is pushed, the others learn nothing.

At run time there is none of this: the daemon takes the highest posterior of a hop.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from training.prepare.simulation.scene import Scene

DENSE = 0.8
"""Share of time from which on mean is taken. A network that is right in every frame has the share as its mean, so mean
charges 1 − share to frames that were right; from here on that is at most 0.2, and every frame learns. A
rule of thumb, not a measurement."""

SPARSE = 0.05
"""Share of time below which max is taken. Let a network be sure of the sound and leave ε everywhere else: its linear
softmax is under 1/2 when share / (1 − share) < ε − 2ε². With an ε of 0.05, which is an assumption, that is a share of
0.043: the loss would call a network wrong that heard it."""


class Pooling(StrEnum):
    """From frames to a scene."""

    FRAME_WISE = "frame-wise"
    LINEAR_SOFTMAX = "linear-softmax"
    MAX = "max"
    MEAN = "mean"


@dataclass(frozen=True)
class Choice:
    """A pooling, and why."""

    pooling: Pooling
    share_on: float | None
    """What it was chosen for; None where no onset is known."""
    reason: str
    """One line."""


def shares_on(scenes: Iterable[Scene]) -> dict[str, float]:
    """Return for each label the share of time, 0 to 1, that it is on in the scenes that hold it.

    Scenes without it don't count: they say how rare a sound is, not how it fills a scene. Where two of the same label
    overlap, the time counts once. A label that no scene holds is not there.
    """
    on: defaultdict[str, int] = defaultdict(int)
    total: defaultdict[str, int] = defaultdict(int)
    for scene in scenes:
        heard_until: dict[str, int] = {}
        for placed in sorted(scene.labels, key=lambda placed: placed.onset_sample):
            if placed.label not in heard_until:
                total[placed.label] += len(scene.audio)
            onset = max(placed.onset_sample, heard_until.get(placed.label, 0))
            offset = min(placed.offset_sample, len(scene.audio))
            on[placed.label] += max(0, offset - onset)
            heard_until[placed.label] = max(onset, offset)
    return {label: on[label] / n_samples for label, n_samples in total.items()}


def choose_pooling(share_on: float | None, *, is_strong: bool) -> Choice:
    """Return the pooling for one label.

    Args:
        share_on: of `shares_on`; None where no onset is known, of weak labels alone.
        is_strong: its labels in training have onset and offset.

    Raises:
        ValueError: a share outside 0 to 1.
    """
    if share_on is not None and not 0 <= share_on <= 1:
        raise ValueError(f"a sound is on for {share_on:g} of the time; expected a share of 0 to 1")
    if is_strong:
        return Choice(Pooling.FRAME_WISE, share_on, "onsets are known: each frame has its own target")
    if share_on is None:
        return Choice(Pooling.LINEAR_SOFTMAX, None, "no onset is known: the one that assumes least of the share")
    measured = f"on for {share_on:.1%} of the scenes that hold it"
    if share_on < SPARSE:
        return Choice(Pooling.MAX, share_on, f"{measured}, under {SPARSE:.0%}: one frame must be enough")
    if share_on >= DENSE:
        return Choice(Pooling.MEAN, share_on, f"{measured}, {DENSE:.0%} or more: every frame speaks for it")
    return Choice(Pooling.LINEAR_SOFTMAX, share_on, f"{measured}: frames that hear it speak for it")


def pool(pooling: Pooling, logits: Tensor) -> Tensor:
    """Return posteriors (batch, n_labels) of scenes from the logits of their frames (batch, n_frames, n_labels).

    Raises:
        ValueError: frame-wise, which is no pooling, or no frames.
    """
    return _log_posteriors(pooling, logits)[0].exp()


def weak_loss(pooling: Pooling, logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of each scene and label, (batch, n_labels), for whoever weighs them to average.

    It is computed in logarithms, so that a network that is sure of the wrong thing is still told so: its gradient does
    not vanish where the posterior is 0 or 1 in float32.

    Args:
        pooling: of these labels; where labels have different ones, call it for each.
        logits: (batch, n_frames, n_labels), without the cold outputs after a reset.
        targets: (batch, n_labels), 0 to 1.

    Raises:
        ValueError: as of `pool`, or targets of another shape.
    """
    log_on, log_off = _log_posteriors(pooling, logits)
    if targets.shape != log_on.shape:
        raise ValueError(f"targets of shape {tuple(targets.shape)}; expected {tuple(log_on.shape)}, one a scene")
    return -(targets * log_on + (1 - targets) * log_off)


def strong_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of each frame and label.

    Shapes: logits, targets (0 to 1) and loss (batch, n_frames, n_labels), without the cold outputs after a reset.

    Raises:
        ValueError: targets of another shape.
    """
    if targets.shape != logits.shape:
        raise ValueError(f"targets of shape {tuple(targets.shape)}; expected {tuple(logits.shape)}, one a frame")
    return binary_cross_entropy_with_logits(logits, targets, reduction="none")


def _log_posteriors(pooling: Pooling, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of the pooled posterior and of what it lacks to 1, each (batch, n_labels)."""
    n_frames = logits.shape[1]
    if not n_frames:
        raise ValueError("no frames to pool; expected scenes longer than the receptive field")
    if pooling is Pooling.MAX:
        highest = logits.amax(dim=1)
        return logsigmoid(highest), logsigmoid(-highest)
    log_p, log_q = logsigmoid(logits), logsigmoid(-logits)
    # Mean: every frame weighs the same. Linear softmax: it weighs what its own posterior is.
    match pooling:
        case Pooling.MEAN:
            log_weights = torch.zeros_like(log_p)
        case Pooling.LINEAR_SOFTMAX:
            log_weights = log_p
        case _:
            raise ValueError("frame-wise is no pooling; use strong_loss")
    log_sum = log_weights.logsumexp(dim=1)
    return (log_weights + log_p).logsumexp(dim=1) - log_sum, (log_weights + log_q).logsumexp(dim=1) - log_sum
