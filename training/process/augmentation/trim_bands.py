"""Trimming mel bands: the shortcut for rooms, microphones and codecs that let the ends of the spectrum go.

Phones end at 3.4 kHz, cheap microphones begin at 200 Hz, a wall takes the highs: on the log-mel all of these are the
lowest and the highest bands, gone. Where the simulator makes microphones and codecs, this adds nothing that it doesn't
have; where there is no time for it, this is most of what it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.process.augmentation.chance import generators


@dataclass(frozen=True)
class TrimBands:
    """How often, and how much of each end."""

    probability: float = 0.5
    """Of an end being trimmed at all: the other half of what is heard is whole there."""
    max_low_share: float = 0.15
    """Most of the lowest bands, as a share of all: of 64 bands from 50 to 8000 Hz those below 500 Hz, as behind a
    telephone or the hole in a laptop's case."""
    max_high_share: float = 0.4
    """Most of the highest: those above 2.5 kHz, less than a telephone leaves."""

    def draw(self, seeds: Sequence[int], n_mels: int) -> Trims:
        """Draw for items of n_mels bands, one a seed: widths uniform from one band on."""
        kept = np.ones((len(seeds), n_mels), np.bool)
        for item, random in enumerate(generators(seeds, "TrimBands")):
            for share, is_low in ((self.max_low_share, True), (self.max_high_share, False)):
                is_trimmed = random.random() < self.probability
                n_bands = int(random.integers(1, max(1, int(share * n_mels)) + 1))
                if is_trimmed and share > 0:
                    kept[item, slice(0, n_bands) if is_low else slice(n_mels - n_bands, n_mels)] = False
        return Trims(kept)


@dataclass(frozen=True)
class Trims:
    """Which bands are left in a batch."""

    kept: NDArray[np.bool]
    """Shape (batch, n_mels)."""

    def apply(self, log_mel: Tensor) -> Tensor:
        """Return the batch (batch, n_frames, n_mels) with trimmed bands at each item's quietest level; labels stay.

        Not at the floor: the device that has no bass has its hiss there, which the quietest place of a clip is like.
        """
        kept = torch.from_numpy(self.kept[:, None, :]).to(log_mel.device)
        return torch.where(kept, log_mel, log_mel.amin(dim=(1, 2), keepdim=True))
