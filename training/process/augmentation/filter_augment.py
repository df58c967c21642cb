"""FilterAugment: another frequency response each time, as from another microphone or place.

The linear kind of https://arxiv.org/abs/2110.03282: random gains at random corners, straight lines in
decibels between them.
"""

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
class FilterAugment:
    """How wild the responses are. The defaults are those the paper's authors publish for the linear kind."""

    max_gain_db: float = 6.0
    """Gains are uniform in ±this."""
    n_stretches: tuple[int, int] = (3, 5)
    """Fewest and most stretches between corners."""
    min_bands: int = 6
    """A stretch is at least this many mel bands wide (fewer where there are too few for it)."""

    def draw(self, seeds: Sequence[int], n_mels: int) -> Responses:
        """Draw a response for every seed."""
        gain_db = np.zeros((len(seeds), n_mels), np.float32)
        for item, random in enumerate(generators(seeds, "FilterAugment")):
            n_stretches = int(random.integers(self.n_stretches[0], self.n_stretches[1] + 1))
            min_bands = min(self.min_bands, (n_mels - 1) // n_stretches)
            spare = n_mels - 1 - n_stretches * min_bands
            inner = np.sort(random.integers(0, spare + 1, n_stretches - 1)) + min_bands * np.arange(1, n_stretches)
            corners = np.concatenate([[0], inner, [n_mels - 1]])
            gains = random.uniform(-self.max_gain_db, self.max_gain_db, n_stretches + 1)
            gain_db[item] = np.interp(np.arange(n_mels), corners, gains)
        return Responses(gain_db)


@dataclass(frozen=True)
class Responses:
    """The frequency responses of a batch."""

    gain_db: NDArray[np.float32]
    """Shape (batch, n_mels), decibels."""

    def apply(self, log_mel: Tensor, spec: LogMelSpec) -> Tensor:
        """Return the batch (batch, n_frames, n_mels) as if heard through its responses; labels stay.

        The gain is put before the logarithm, where a microphone has it: exact with a floor and with an
        offset, and what lay at the floor stays there.
        """
        gain = torch.pow(10.0, torch.from_numpy(self.gain_db).to(log_mel.device) * (spec.power / 20))
        return to_log(from_log(log_mel, spec) * gain[:, None, :], spec)
