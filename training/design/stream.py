"""Our networks as model files of kind stream: what the manifest says of them, and their export."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamd.logmel import LogMelSpec, log_mel
from streamd.manifest import Manifest
from training.design.adopt import settled_hops
from training.design.export import export
from training.design.receptive_field import n_cold_outputs
from training.design.streaming import Gru, StreamNetwork

HOP_FRAMES = 8
"""Frames between two decisions: 80 ms at a hop_length of 10 ms. Soon enough for somebody who waits for an answer, and
eight frames share the cost of a wake-up, which is more than the arithmetic of one."""


class Hop(nn.Module):
    """A network as the contract wants it: the posterior of a hop is the highest of its output frames.

    Shapes: log_mel (batch, hop_frames, n_mels), state (batch, n_state) → posterior (batch, n_labels), state_out. The
    maximum, because a sound shorter than the hop must not be thinned out by the silence beside it.
    """

    def __init__(self, network: StreamNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, log_mel: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        posteriors, state_out = self.network(log_mel, state)
        return posteriors.amax(dim=1), state_out


def stream_facts(
    network: StreamNetwork, spec: LogMelSpec, hop_frames: int = HOP_FRAMES, heard: NDArray[np.int16] | None = None
) -> dict[str, Any]:
    """Return the fields of the manifest that follow from a network, its log-mel and its hop.

    The warm-up covers the receptive field of every output frame of the first hop that is believed. No formula says how
    long a recurrent network remembers: there it is measured, too, and the longer of the two is taken.

    Args:
        network: on the CPU, in evaluation mode.
        spec: its log-mel.
        hop_frames: frames between two decisions.
        heard: for a recurrent network, a recording (n_samples,) like those it is made for.

    Raises:
        ValueError: the network has another number of bands, or a time stride that does not divide the hop, or is
            recurrent and there is no recording.
        ModelError: a warm-up that does not end within ten seconds.
    """
    if spec.n_mels != network.n_mels:
        raise ValueError(f"a network of {network.n_mels} bands and a log-mel of {spec.n_mels}; expected the same")
    if hop_frames < 1 or hop_frames % network.time_stride:
        raise ValueError(f"a hop of {hop_frames} frames; expected a multiple of the time stride {network.time_stride}")
    warmup_frames = n_cold_outputs(network.layers) * network.time_stride + hop_frames
    if any(isinstance(part, Gru) for part in network.modules()):
        if heard is None:
            raise ValueError("a recurrent network and no recording to measure its warm-up on")
        frames = log_mel(heard, spec)
        hops = frames[: len(frames) // hop_frames * hop_frames].reshape(-1, hop_frames, spec.n_mels)
        hop_seconds = hop_frames * spec.hop_length / spec.sample_rate
        n_hops = settled_hops(partial(posteriors_of_hops, network), hops, hop_seconds)
        warmup_frames = max(warmup_frames, (1 + n_hops) * hop_frames)
    return {
        "kind": "stream",
        "input": "log_mel",
        "sample_rate": spec.sample_rate,
        "log_mel": spec,
        "n_frames": hop_frames,
        "hop_frames": hop_frames,
        "warmup_frames": warmup_frames,
        "max_batch": None,
        "n_state": network.n_state,
    }


def posteriors_of_hops(network: StreamNetwork, hops: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the posteriors (n_hops, n_labels) of hops in order (n_hops, hop_frames, n_mels), from a fresh state on.

    The network runs once over all of them: the reference that the stream of its model file equals to 1e-5.
    """
    n_hops = len(hops)
    with torch.no_grad():
        posteriors, _ = network(torch.from_numpy(hops).flatten(0, 1)[None], network.initial_state(1))
    highest: NDArray[np.float32] = posteriors.reshape(n_hops, -1, network.n_labels).amax(dim=1).numpy()
    return highest


def export_stream(network: StreamNetwork, manifest: Manifest, path: Path, *, least_move: float = 0.0) -> Manifest:
    """Write a network as a model file of kind stream.

    Args:
        network: on the CPU, in evaluation mode.
        manifest: made with `stream_facts`.
        path: the .onnx to write. An older one stays as it is until the new one is proved.
        least_move: by how much some posterior of the golden answer must move.

    Returns:
        The manifest as written, with the golden answer.

    Raises:
        ModelError: as of `export`.
        ValueError: a network in training mode.
    """
    if network.training:
        raise ValueError("a network in training mode; call eval() first: its batch norms would look at the batch")
    return export(Hop(network).eval(), manifest, path, ("posterior", "state_out"), least_move=least_move)
