"""A lean convolutional recurrent network with one answer a hop: for a detector that runs all the time, as of speech.

What it saves, against `crnn`, in the order of what it saves:

- **Hops of eight frames, and one answer to each.** A wake-up costs more than the arithmetic of a frame, and so does the
  recurrent unit's call: after the convolutions the frames of a hop are merged into one step of it. What that costs in
  time is less than it seems: speech lasts for seconds, and an answer that has heard a whole hop is surer.
- **Few channels where there are many bands.** The first block sees all bands at every frame, so it has 12 channels and
  the second, which sees half of the frames, 24.
- **The recurrent unit is the largest part of its weights and the smallest of its work**: it runs once a hop.

**Of time** it assumes that what tells speech from music is how the spectrum moves within a third of a second, which the
convolutions see, and how that goes on, which the recurrent unit keeps. **Of frequency** it assumes what `crnn` does.
"""

from __future__ import annotations

from torch import Tensor, nn

from training.design.receptive_field import Layer
from training.design.streaming import ConvBlock, Flatten, Gru, StreamNetwork
from training.design.tc_resnet import TimeConv

CHANNELS = (12, 24, 32, 48)
"""One convolution each; every block halves the bands."""
STRIDES = (1, 2, 1, 1)
"""In time. Not in the first: an attack of one frame is to be looked at before frames are left out."""
N_DENSE = 48
"""Numbers that describe two frames, before those of a hop are merged."""
N_MERGED = 80
"""Numbers that describe a hop."""
N_HIDDEN = 128
"""Numbers it remembers."""
HOP_FRAMES = 8
"""Frames to one answer: 128 ms at a hop_length of 256 samples and 16 kHz."""


class SpeechNet(StreamNetwork):
    """Shapes as in StreamNetwork; the time stride is HOP_FRAMES.

    The module's docstring says what it assumes of time and of frequency.
    """

    def __init__(self, n_mels: int, n_labels: int) -> None:
        """Make one with random weights.

        Raises:
            ValueError: fewer bands than are halved four times.
        """
        if n_mels < 1 << len(CHANNELS):
            raise ValueError(f"{n_mels} bands; expected at least {1 << len(CHANNELS)}, they are halved in each block")
        modules: list[nn.Module] = []
        n_in, n_bands, step = 1, n_mels, 1
        for n_out, stride in zip(CHANNELS, STRIDES, strict=True):
            is_first = not modules
            modules.append(ConvBlock(n_in, n_out, n_bands, stride=stride, pool=2, frequency_coordinate=is_first))
            n_in, n_bands, step = n_out, n_bands // 2, step * stride
        merged = HOP_FRAMES // step
        # One more than are merged, so that there is no seam between two hops.
        merge = TimeConv(N_DENSE, N_MERGED, Layer(merged + 1, stride=merged))
        modules += [Flatten(), nn.Linear(n_in * n_bands, N_DENSE), nn.ReLU(), _SwapTimeAndChannels(), merge, nn.ReLU()]
        modules += [_SwapTimeAndChannels(), Gru(N_MERGED, N_HIDDEN), nn.Linear(N_HIDDEN, n_labels)]
        super().__init__(n_mels, n_labels, modules)


class _SwapTimeAndChannels(nn.Module):
    """(batch, n, m) → (batch, m, n)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)
