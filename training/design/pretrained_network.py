"""A head on YAMNet's layers as one network: only the head is fitted, on scenes, in a minute or two.

For few clips. A network that begins with first weights learns what a sound is from those clips alone; this one knows
two million others already, and has only to be told which of them is meant.

What it assumes of time and of frequency is what `yamnet_layers` does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from streamd.logmel import LogMelSpec
from training.design import yamnet
from training.design.head import EDGE, Head
from training.design.receptive_field import Layer
from training.design.yamnet_layers import LOG_MEL, YamnetLayers


class PretrainedNetwork(nn.Module):
    """Log-mel windows (batch, 96, n_mels) → posterior (batch, n_labels); before a head is taken on, all alike."""

    def __init__(self, n_labels: int, spec: LogMelSpec = LOG_MEL, *, is_tuned: bool = False) -> None:
        """Make one; is_tuned: its layers are to learn, too, once the head is there (`fine_tune.py`)."""
        super().__init__()
        self.is_tuned = is_tuned
        self.n_labels = n_labels
        self.n_mels = spec.n_mels
        self.layers = (Layer(yamnet.N_FRAMES),)
        """What it does to time, as far as a receptive field goes: one look at a window."""
        self.embedding = YamnetLayers(spec)
        self.weights = nn.ParameterList(_fixed(n_in, n_labels + 1) for n_in in self.embedding.parts)
        self.biases = nn.ParameterList(_fixed(n_labels + 1) for _ in self.embedding.parts)
        self.calibration = _fixed(2)
        """Slope and offset of log-odds."""

    def take_on(self, head: Head) -> None:
        """Take the numbers of a fitted head."""
        with torch.no_grad():
            for own, found in zip((*self.weights, *self.biases), (*head.weights, *head.biases), strict=True):
                own.copy_(torch.from_numpy(found))
            self.calibration.copy_(torch.tensor([head.slope, head.offset]))

    def logits(self, log_mel: Tensor) -> list[Tensor]:
        """Return for each part of the embedding logits (batch, n_labels + 1), none last."""
        pieces = self.embedding(log_mel).split(self.embedding.parts, dim=1)
        return [x @ weight + bias for x, weight, bias in zip(pieces, self.weights, self.biases, strict=True)]

    def forward(self, log_mel: Tensor) -> Tensor:
        mean = torch.stack([one.softmax(dim=1) for one in self.logits(log_mel)]).mean(dim=0)[:, : self.n_labels]
        inside = mean.clamp(EDGE, 1 - EDGE)
        odds = torch.log(inside / (1 - inside))
        return torch.sigmoid(odds * self.calibration[0] + self.calibration[1])


def _fixed(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*shape), requires_grad=False)
