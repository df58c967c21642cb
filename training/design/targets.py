"""What each output of a network should say: the labels of scenes, put on the grid of its output frames.

Frame t of a log-mel covers the samples [t · hop_length, t · hop_length + win_length), as in the manifest. An output
answers for what is new in it: from the middle of the newest window that the output before it saw, to the middle of its
own newest window. These stretches lie side by side and are one time stride long, so a sound of a single sample still
falls into one of them.

A delayed target lets an output say what was so a moment ago: it has then heard more of the sound than its beginning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from streamd.logmel import LogMelSpec
from training.design.pretrained_network import PretrainedNetwork
from training.design.receptive_field import n_cold_outputs, n_frames_seen
from training.design.streaming import StreamNetwork
from training.prepare.simulation.scene import Placed

LEAST_FIELDS = 3
"""Receptive fields in a scene: then two thirds of its outputs have all that they look at before them, and silence,
sound and silence again fit in."""


@dataclass(frozen=True)
class Grid:
    """Where the outputs of a network lie in audio."""

    labels: tuple[str, ...]
    """In the order of the network's outputs."""
    stride_samples: int
    """Samples from one output to the next."""
    first_sample: int
    """The first sample that output 0 answers for; negative where targets are delayed by more than a window."""
    n_cold: int
    """Outputs after a reset that see less than the receptive field."""

    @property
    def n_before(self) -> int:
        """Outputs of a scene that answer for what came before it."""
        return max(0, math.ceil(-self.first_sample / self.stride_samples))

    def targets(self, placed: Sequence[Sequence[Placed]], n_outputs: int) -> Tensor:
        """Return targets (batch, n_outputs, n_labels), 0 or 1, of scenes with these sounds.

        Raises:
            ValueError: a sound of a label that is not the network's.
        """
        found = torch.zeros(len(placed), n_outputs, len(self.labels))
        column = {label: i for i, label in enumerate(self.labels)}
        for row, sounds in enumerate(placed):
            for sound in sounds:
                if sound.label not in column:
                    raise ValueError(f"a scene with the label {sound.label!r}; the network has {self.labels}")
                begin = math.floor((sound.onset_sample - self.first_sample) / self.stride_samples)
                end = math.ceil((sound.offset_sample - self.first_sample) / self.stride_samples)
                found[row, max(0, begin) : max(0, end), column[sound.label]] = 1
        return found

    def n_masked(self, *, is_fresh: bool) -> int:
        """Return how many outputs at the beginning of a scene are left out of the loss.

        From a fresh state those that are cold; after another scene only those that answer for that one.
        """
        return max(self.n_cold, self.n_before) if is_fresh else self.n_before


def grid(network: StreamNetwork, spec: LogMelSpec, labels: Sequence[str], delay_seconds: float = 0.0) -> Grid:
    """Return where a network's outputs lie.

    Args:
        network: the network.
        spec: its log-mel.
        labels: of its outputs, in order.
        delay_seconds: by how much its answers may come late, 0 or more.

    Raises:
        ValueError: another number of labels or bands than the network's, or a negative delay.
    """
    if len(labels) != network.n_labels or spec.n_mels != network.n_mels:
        raise ValueError(
            f"{len(labels)} labels and {spec.n_mels} bands for a network of {network.n_labels} and {network.n_mels}"
        )
    if delay_seconds < 0:
        raise ValueError(f"a target delay of {delay_seconds} s; expected 0 or more: the future can't be heard")
    return Grid(
        labels=tuple(labels),
        stride_samples=network.time_stride * spec.hop_length,
        first_sample=spec.win_length // 2 - spec.hop_length - round(delay_seconds * spec.sample_rate),
        n_cold=n_cold_outputs(network.layers),
    )


def least_seconds(network: StreamNetwork | PretrainedNetwork, spec: LogMelSpec) -> float:
    """Return how long scenes for a network must be: LEAST_FIELDS receptive fields."""
    n_frames = LEAST_FIELDS * n_frames_seen(network.layers)
    return ((n_frames - 1) * spec.hop_length + spec.win_length) / spec.sample_rate
