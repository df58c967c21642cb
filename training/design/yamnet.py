"""YAMNet: Google's AudioSet classifier (521 labels), written in torch, with its published weights.

MobileNet v1 (https://arxiv.org/abs/1704.04861) on 96 frames of 64 log-mel bands, as published in the
TensorFlow model garden (research/audioset/yamnet, Apache-2.0). Batch norm is folded into the
convolutions: the weights never change here.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.prepare.licences import Licensed

WEIGHTS = Path(__file__).parent / "weights"
"""Where the published weights and the names of the labels lie."""
FILE = WEIGHTS / "yamnet_audioset.npz"

N_FRAMES = 96
"""Log-mel frames in one window: 0.975 s at 16 kHz, hop 160, window 400."""

N_MELS = 64

BLOCKS = (
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (2, 1024),
    (1, 1024),
)
"""Stride and output channels of the 13 depthwise-separable blocks, conv2 to conv14."""

_BATCH_NORM_EPSILON = 1e-4


class SameConv(nn.Module):
    """A 3×3 convolution with ReLU, padded as TensorFlow's SAME does.

    With stride 2 and an even input that is one row and one column, both at the end; torch's own
    padding is symmetric and would shift the grid by one.
    """

    def __init__(self, n_in: int, n_out: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        before = 0 if stride == 2 else 1
        self.pad = nn.ZeroPad2d((before, 1, before, 1))
        self.conv = nn.Conv2d(n_in, n_out, 3, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(self.pad(x)))


class Yamnet(nn.Module):
    """Log-mel windows (batch, 96, 64), natural logarithm → posteriors (batch, 521) in 0…1, embeddings (batch, 1024)."""

    def __init__(self, n_labels: int = 521) -> None:
        super().__init__()
        self.conv1 = SameConv(1, 32, stride=2)
        n_in = 32
        for number, (stride, n_out) in enumerate(BLOCKS, start=2):
            self.add_module(f"conv{number}_depthwise", SameConv(n_in, n_in, stride, groups=n_in))
            self.add_module(f"conv{number}_pointwise", nn.Sequential(nn.Conv2d(n_in, n_out, 1), nn.ReLU()))
            n_in = n_out
        self.logits = nn.Linear(n_in, n_labels)

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv1(log_mel.unsqueeze(1))
        for number in range(2, 2 + len(BLOCKS)):
            x = self.get_submodule(f"conv{number}_depthwise")(x)
            x = self.get_submodule(f"conv{number}_pointwise")(x)
        embedding = x.mean(dim=(2, 3))
        return torch.sigmoid(self.logits(embedding)), embedding


def published() -> Licensed:
    """Return what a model has learned from that builds on the published weights."""
    return Licensed(
        source="YAMNet's weights, trained by Google on AudioSet",
        licence="Apache-2.0",
        sha256=hashlib.sha256(FILE.read_bytes()).hexdigest(),
    )


def load(weights: Path = FILE) -> Yamnet:
    """Return the network with its published weights, ready to run (no gradients, evaluation)."""
    network = Yamnet()
    with np.load(weights) as arrays, torch.no_grad():
        for name, module in network.named_children():
            layer = next(part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear))
            if name == "logits":
                kernel, bias = arrays["logits/kernel"].T, arrays["logits/bias"]
            else:
                kernel, bias = _folded(arrays, name)
            layer.weight.copy_(torch.from_numpy(np.array(kernel, np.float32)))
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(np.array(bias, np.float32)))
    return network.eval().requires_grad_(False)


def labels(class_map: Path = WEIGHTS / "yamnet_class_map.csv") -> list[str]:
    """Return the display names of the 521 labels, in the order of the posteriors."""
    with class_map.open(newline="", encoding="utf-8") as file:
        return [row["display_name"] for row in csv.DictReader(file)]


def _folded(arrays: dict[str, NDArray[np.float32]], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return kernel (out, in, height, width) and bias (out,) of a convolution and its batch norm, in float64."""
    kernel = arrays[f"{name}/kernel"].astype(np.float64)
    # TensorFlow has (height, width, in, out), and (height, width, channels, 1) where it is depthwise.
    kernel = kernel.transpose(2, 3, 0, 1) if name.endswith("_depthwise") else kernel.transpose(3, 2, 0, 1)
    scale = 1 / np.sqrt(arrays[f"{name}/variance"].astype(np.float64) + _BATCH_NORM_EPSILON)
    bias = arrays[f"{name}/beta"] - arrays[f"{name}/mean"] * scale
    return kernel * scale[:, None, None, None], bias
