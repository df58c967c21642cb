"""Batch-norm statistics estimated again on streamed scenes, before export.

While training, a batch norm keeps a moving average over the last batches, of weights that were still changing, in
batches that were balanced and augmented. On export those averages become part of the weights. So they are measured
once more with the final weights, on scenes like those that the network will hear, in the way it will hear them (Wu and
Johnson 2021, https://arxiv.org/abs/2105.07576, call it precise batch norm).

Norms are done in the order in which they are run, a pass over all scenes each: what the second one hears depends on the
first one's statistics, so only then do they agree with each other, as they would in one whole pass in training mode.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.design.receptive_field import n_cold_outputs
from training.design.streaming import StreamNetwork

Norm = nn.BatchNorm1d | nn.BatchNorm2d

PIECE_FRAMES = 512
"""Frames heard at once, about: so long a scene takes no more memory than a short one, and a piece is long enough to
keep the processor busy. The statistics are the same for any."""


def calibrate(network: StreamNetwork, scenes: Sequence[Tensor]) -> None:
    """Replace mean and variance of every batch norm by those over all warm frames of the scenes.

    Each scene starts from the initial state. What is heard before the receptive field has filled is not counted, as it
    is left out of the loss and of decisions. Other weights and the network's mode stay as they are.

    Args:
        network: trained.
        scenes: log-mel frames (batch, n_frames, n_mels) on the network's device; n_frames may differ among them, each a
            multiple of the time stride. They are gone through once a norm.

    Raises:
        ValueError: no scene, or one too short to be warm, or of frames that don't fill the time stride.
    """
    n_cold = n_cold_outputs(network.layers) * network.time_stride
    shortest = min((scene.shape[1] for scene in scenes), default=0)
    if shortest <= n_cold:
        raise ValueError(f"scenes of {shortest} frames; expected more than the {n_cold} until the network is warm")
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            for norm in _norms_as_run(network):
                mean, variance = _measure(network, norm, scenes, n_cold)
                # Loaded, not assigned: they are buffers, and keep their device and dtype.
                norm.load_state_dict({"running_mean": mean, "running_var": variance}, strict=False)
    finally:
        network.train(was_training)


def _norms_as_run(network: StreamNetwork) -> list[Norm]:
    """Batch norms in the order in which they are run, which need not be that of their registration."""
    found: list[Norm] = []

    def note(norm: nn.Module, _: tuple[Tensor, ...]) -> None:
        if isinstance(norm, Norm):
            found.append(norm)

    hooks = [module.register_forward_pre_hook(note) for module in network.modules() if isinstance(module, Norm)]
    try:
        network(network.standardise.mean.new_zeros(1, network.time_stride, network.n_mels), network.initial_state(1))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _measure(network: StreamNetwork, norm: Norm, scenes: Sequence[Tensor], n_cold: int) -> tuple[Tensor, Tensor]:
    """Mean and variance, (n_features,), of all that a norm hears; the variance is the unbiased one, as in torch."""
    # In float64: over hours, float32 would no longer hear the single frame.
    total, squares = torch.zeros(2, norm.num_features, dtype=torch.float64, device=network.standardise.mean.device)
    count = 0

    def add(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal count
        x = inputs[0].transpose(0, 1).flatten(1).double()
        total.add_(x.sum(dim=1))
        squares.add_(x.square().sum(dim=1))
        count += x.shape[1]

    piece_frames = max(1, PIECE_FRAMES // network.time_stride) * network.time_stride
    for scene in scenes:
        state = network.initial_state(len(scene))
        if n_cold:
            _, state = network(scene[:, :n_cold], state)
        hook = norm.register_forward_pre_hook(add)
        try:
            for piece in scene[:, n_cold:].split(piece_frames, dim=1):
                _, state = network(piece, state)
        finally:
            hook.remove()
    mean = total / count
    return mean, (squares - count * mean.square()).clamp(min=0) / max(1, count - 1)
