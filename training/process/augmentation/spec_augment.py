"""SpecAugment: bands and frames are covered, so that no single one decides (https://arxiv.org/abs/1904.08779)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.process.augmentation.chance import generators


@dataclass(frozen=True)
class SpecAugment:
    """How many masks are drawn for an item, and how large they may be. Time is not warped: onsets must stay.

    The paper's masks suit utterances of many seconds. Ours are smaller, because an event may be short and
    narrow, and what is wholly covered can't be learnt.
    """

    n_band_masks: int = 2
    """The paper's LibriSpeech double policy has two."""
    max_bands: int = 8
    """Most bands under one mask: an eighth of 64, about half an octave above 1 kHz (paper: 27 of 80)."""
    n_frame_masks: int = 2
    """As n_band_masks."""
    max_frames: int = 10
    """Most frames under one mask: 0.1 s at a hop of 10 ms; keep it under the shortest event (paper: 100)."""
    max_frames_share: float = 0.2
    """One frame mask covers at most this part of all frames (the paper's p)."""

    def draw(self, seeds: Sequence[int], n_frames: int, n_mels: int) -> Masks:
        """Draw for items of n_frames × n_mels, one a seed: widths uniform from 0, places uniform."""
        masks = Masks(np.zeros((len(seeds), n_mels), np.bool), np.zeros((len(seeds), n_frames), np.bool))
        longest = min(self.max_frames, int(self.max_frames_share * n_frames))
        for item, random in enumerate(generators(seeds, "SpecAugment")):
            for covered, n_masks, widest in (
                (masks.bands[item], self.n_band_masks, min(self.max_bands, n_mels)),
                (masks.frames[item], self.n_frame_masks, longest),
            ):
                for _ in range(n_masks):
                    width = int(random.integers(widest + 1))
                    begin = int(random.integers(len(covered) - width + 1))
                    covered[begin : begin + width] = True
        return masks


@dataclass(frozen=True)
class Masks:
    """What is covered in a batch."""

    bands: NDArray[np.bool]
    """Shape (batch, n_mels)."""
    frames: NDArray[np.bool]
    """Shape (batch, n_frames)."""

    def apply(self, log_mel: Tensor) -> Tensor:
        """Return the batch (batch, n_frames, n_mels) with each item's mean where it is covered; labels stay.

        The mean is what the paper's zero is after its normalisation. The floor would look like silence,
        which is itself a sign of something.
        """
        covered = torch.from_numpy(self.frames[:, :, None] | self.bands[:, None, :]).to(log_mel.device)
        return torch.where(covered, log_mel.mean(dim=(1, 2), keepdim=True), log_mel)
