"""What a network costs: multiplications with addition (MAC) for a second of audio."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from streamd.logmel import LogMelSpec
from training.design.pretrained_network import PretrainedNetwork
from training.design.receptive_field import n_frames_seen
from training.design.streaming import StreamNetwork


def macs_per_second(network: StreamNetwork | PretrainedNetwork, spec: LogMelSpec, hop_frames: int) -> float:
    """Return the MACs for a second of audio heard in hops of that many frames; log-mel not counted.

    A stream's run sees the hop alone, a window's all of its window again.

    Counted are convolutions, dense layers and recurrent units, where nearly all work is: a batch norm is folded into
    the convolution before it on export. Products with the zeros that pad the frequency axis count too, since they are
    computed.

    Raises:
        ValueError: a hop that is no multiple of the time stride.
    """
    counted = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | tuple[Tensor, Tensor]) -> None:
        nonlocal counted
        if isinstance(module, nn.GRU):
            # Three gates, each from the input and from what is remembered.
            n_frames = inputs[0].shape[1]
            counted += n_frames * 3 * module.hidden_size * (module.input_size + module.hidden_size)
        elif isinstance(output, Tensor) and isinstance(module.weight, Tensor):
            counted += output.numel() * module.weight[0].numel()

    kinds = (nn.Conv1d, nn.Conv2d, nn.Linear, nn.GRU)
    if isinstance(network, PretrainedNetwork):
        counted += sum(weight.numel() for weight in network.weights)
    hooks = [module.register_forward_hook(count) for module in network.modules() if isinstance(module, kinds)]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(*inputs_of_a_run(network, hop_frames))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return counted / hop_frames * spec.sample_rate / spec.hop_length


def inputs_of_a_run(network: StreamNetwork | PretrainedNetwork, hop_frames: int) -> tuple[Tensor, ...]:
    """Return what a network is given at a hop: silence, and the state where there is one."""
    if isinstance(network, PretrainedNetwork):
        return (torch.zeros(1, n_frames_seen(network.layers), network.n_mels),)
    frames = network.standardise.mean.new_zeros(1, hop_frames, network.n_mels)
    return frames, network.initial_state(1)
