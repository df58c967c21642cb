"""The baseline: blocks of two 3×3 convolutions, as deep as events are long.

The 3×3 stack is that of Simonyan and Zisserman 2014 (https://arxiv.org/abs/1409.1556), made causal.

**Of time** it assumes that all there is to know of a sound lies inside its receptive field and nothing before it
matters; and that a sound is the same sound whenever it comes, on a grid of the time stride. Order inside the field
is known, but as a picture: a sound at another pace is another picture.

**Of frequency** it assumes that what is learnt in one band is worth trying in every other (the kernel is shared), that
patterns are local, three bands at a time, and that a shift by a band or two doesn't matter (the maximum of neighbours
forgets it). That is so of harmonics and sweeps of unknown pitch, and wrong of a hum that is always at 100 Hz. The last
layer sees which quarter of the axis a pattern is in; a frequency coordinate lets every block know it to the band.
"""

from __future__ import annotations

from torch import nn

from training.design.receptive_field import Layer
from training.design.streaming import ConvBlock, Flatten, StreamNetwork

CHANNELS = (16, 32, 48, 64, 64, 64)
"""Of each block: more as bands get fewer, so that no block is much dearer than another; then no more, because sixty
clips fill no larger network. As many blocks as there are: the sixth sees 2.5 s at a hop of 10 ms."""

N_BLOCKS = 4
"""0.63 s at a hop of 10 ms, for whoever has not measured events: longer than a knock, a bark or a word begun."""

TIME_STRIDE = 4
"""Frames to one output: 40 ms at a hop of 10 ms, a fifth of the 200 ms within which an onset counts as found; the
blocks after the strides cost a quarter."""

MIN_BANDS = 4
"""Bands are halved in every block, but not below this: the last layer is to know high from low."""


def layers(n_blocks: int, time_stride: int = TIME_STRIDE) -> list[Layer]:
    """Return what a network of that many blocks does to time.

    Each block sees twice as far as the one before: by a stride of 2 until time_stride is reached, then by dilation
    (Yu and Koltun 2015, https://arxiv.org/abs/1511.07122), so that outputs come often enough however deep it is.
    Both give 5, 13, 29, 61, 125, 253 frames.

    Raises:
        ValueError: more blocks than there are, or a stride that is no power of two.
    """
    if not 1 <= n_blocks <= len(CHANNELS):
        raise ValueError(f"{n_blocks} blocks; expected 1 to {len(CHANNELS)}")
    if time_stride < 1 or time_stride & (time_stride - 1):
        raise ValueError(f"time stride {time_stride}; expected a power of two")
    found = []
    step, dilation = 1, 1
    for _ in range(n_blocks):
        if step < time_stride:
            step *= 2
            found += [Layer(3), Layer(3, stride=2)]
        else:
            found += [Layer(3, dilation), Layer(3, dilation)]
            dilation *= 2
    return found


class Vgg(StreamNetwork):
    """Shapes as in StreamNetwork. The head is linear, each output frame for itself.

    The module's docstring says what it assumes of time and of frequency.
    """

    def __init__(
        self,
        n_mels: int,
        n_labels: int,
        n_blocks: int = N_BLOCKS,
        time_stride: int = TIME_STRIDE,
        *,
        frequency_coordinate: bool = True,
    ) -> None:
        """Make one with random weights.

        frequency_coordinate is on by default because it costs three weights a channel and no state, and because most
        of what is listened for (alarms, machines, drums) has its place on the frequency axis.

        Raises:
            ValueError: as of layers.
        """
        in_time = layers(n_blocks, time_stride)
        modules: list[nn.Module] = []
        n_channels, n_bands = 1, n_mels
        for n_out, first, second in zip(CHANNELS, in_time[::2], in_time[1::2], strict=False):
            pool = 2 if n_bands >= 2 * MIN_BANDS else 1
            modules += [
                ConvBlock(n_channels, n_out, n_bands, **first._asdict(), frequency_coordinate=frequency_coordinate),
                ConvBlock(n_out, n_out, n_bands, **second._asdict(), pool=pool),
            ]
            n_channels, n_bands = n_out, n_bands // pool
        super().__init__(n_mels, n_labels, [*modules, Flatten(), nn.Linear(n_channels * n_bands, n_labels)])
