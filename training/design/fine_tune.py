"""Fine-tuning: a pretrained network goes on learning, all of its layers, from where its fitted head left it.

The head first and the layers after it, because a head that begins at random would first tear the layers apart (Kumar
and others 2022, https://arxiv.org/abs/2202.10054). Few steps at a low rate: sixty clips can't tell four million weights
much that is new. On percussion it was worth nothing (examples/percussion/README.md).
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.design.pretrained_network import PretrainedNetwork
from training.prepare.simulation.chance import generator

N_STEPS = 150
"""Half an epoch of the windows of four hundred clips; three times as many told nothing apart on percussion."""
LEAST_STEPS = 30
BATCH = 48
LEARNING_RATE = 1e-4
"""A thirtieth of what a network with first weights gets; it rises for RISING steps, and falls to 0 as a cosine."""
RISING = 15
WEIGHT_DECAY = 0.01
MOST_GRADIENT = 1.0
N_TIMED = 3
"""Steps that are timed to tell how many the minutes allow."""


def fine_tune(
    network: PretrainedNetwork,
    windows: NDArray[np.float16],
    target: NDArray[np.intp],
    seed: int,
    *,
    seconds: float | None = None,
) -> int:
    """Train a network whose head was taken on.

    Args:
        network: is changed, and frozen again.
        windows: log-mel windows (n, 96, n_mels).
        target: (n,) number of the label; n_labels: none. Labels and none are drawn equally often.
        seed: of what is drawn.
        seconds: how long, about; None: N_STEPS.

    Returns:
        How many steps it were.
    """
    draw = generator(seed, "windows", "fine-tune")
    counts = np.bincount(target, minlength=network.n_labels + 1)
    chances = 1 / counts[target]
    chances /= chances.sum()
    learns = list(network.weights) + list(network.biases) + list(network.embedding.parameters())
    for weight in learns:
        weight.requires_grad_(True)
    optimiser = torch.optim.AdamW(learns, LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    n_steps, step, begun = N_STEPS, 0, time.monotonic()
    while step < n_steps:
        for group in optimiser.param_groups:
            rises, falls = min(1.0, (step + 1) / RISING), (1 + math.cos(math.pi * step / n_steps)) / 2
            group["lr"] = LEARNING_RATE * rises * falls
        rows = draw.choice(len(target), BATCH, p=chances)
        logits = network.logits(torch.from_numpy(windows[rows].astype(np.float32)))
        wanted = torch.from_numpy(target[rows])
        loss = torch.stack([nn.functional.cross_entropy(one, wanted) for one in logits]).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learns, MOST_GRADIENT)
        optimiser.step()
        step += 1
        if seconds is not None and step == N_TIMED:
            each = (time.monotonic() - begun) / N_TIMED
            n_steps = min(N_STEPS, max(LEAST_STEPS, round(seconds / each)))
    for weight in learns:
        weight.requires_grad_(False)
    return n_steps
