"""Mixup: two items of a batch sound at once (https://arxiv.org/abs/1710.09412)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamd.logmel import LogMelSpec
from training.process.augmentation.chance import generators
from training.process.log_mel import from_log, to_log


@dataclass(frozen=True)
class Mixup:
    """How often items are mixed, and how evenly."""

    probability: float = 0.5
    """Of an item being mixed at all: in the field, most sounds come alone."""
    alpha: float = 0.2
    """Weights follow Beta(alpha, alpha): mostly one of the two is much the louder (paper: 0.1 to 0.4)."""
    min_weight: float = 0.1
    """No weight is smaller: 10 dB down, the quieter one can still be heard, and its label is still true."""

    def draw(self, seeds: Sequence[int]) -> Mixture:
        """Draw for a batch of one item a seed. What is drawn is a seed's own; who the partner is, the batch's."""
        n_items = len(seeds)
        partner, weight = np.arange(n_items), np.ones(n_items, np.float32)
        for item, random in enumerate(generators(seeds, "Mixup")):
            mixed = random.random() < self.probability
            drawn = self.min_weight + (1 - 2 * self.min_weight) * random.beta(self.alpha, self.alpha)
            if mixed and n_items > 1:
                partner[item] = (item + random.integers(1, n_items)) % n_items
                weight[item] = drawn
        return Mixture(partner, weight)


@dataclass(frozen=True)
class Mixture:
    """Who sounds with whom in a batch."""

    partner: NDArray[np.int64]
    """Shape (batch,): the index of the other item; one's own where nothing is mixed in."""
    weight: NDArray[np.float32]
    """Shape (batch,): the item's part of the power, 0 to 1; the partner has the rest."""

    def apply(self, log_mel: Tensor, spec: LogMelSpec) -> Tensor:
        """Return the mixed batch (batch, n_frames, n_mels).

        Powers are added, not decibels: that is what two sounds of unrelated phases do on average. The mean of
        their decibels is the spectrum of no sound, and buries a sound under the other's silence.
        """
        weight = self._weight(log_mel)
        power = from_log(log_mel, spec) ** (2 / spec.power)
        # At 0 a square root has no slope: of two silences the gradient would be NaN.
        mixed = (weight * power + (1 - weight) * power[self.partner]).clamp_min(1e-30)
        # Where nothing is mixed in, not even the rounding of the way there and back.
        return torch.where(weight == 1, log_mel, to_log(mixed ** (spec.power / 2), spec))

    def union(self, labels: Tensor) -> Tensor:
        """Return labels, (batch, …, n_labels), that hold wherever either item's do: for frames and for tags.

        Both sounds are there to be heard, whatever their weights.
        """
        return torch.maximum(labels, labels[self.partner])

    def weighted(self, labels: Tensor) -> Tensor:
        """Return labels, (batch, …, n_labels), in proportion to the weights, as in the paper.

        For a softmax over labels that exclude each other, where a union would sum to 2.
        """
        weight = self._weight(labels)
        return weight * labels + (1 - weight) * labels[self.partner]

    def _weight(self, like: Tensor) -> Tensor:
        weight = torch.from_numpy(self.weight).to(like.device)
        return weight.reshape(-1, *[1] * (like.ndim - 1))
