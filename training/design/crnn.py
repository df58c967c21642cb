"""Convolutions that see a sound's texture, and a recurrent unit that remembers what came before.

Convolutional recurrent networks for sounds: Çakır et al. 2017 (https://arxiv.org/abs/1702.06286); here without
padding in time and forwards only.

**Of time** it assumes little: short patterns of the length of its convolutions' field, and that what has been heard so
far can be kept in a few numbers, for as long as it is useful. Order and pace may vary more than in a receptive field
of fixed length, and long sounds need no depth; but it may also remember the room, and nothing bounds for how long.

**Of frequency** it assumes what `vgg` does up to the dense layer, which then ties each pattern to its place: after it
nothing is shared between bands, and a sound that never came in some register in training is not known there.
"""

from __future__ import annotations

from torch import nn

from training.design.streaming import ConvBlock, Flatten, Gru, StreamNetwork

CHANNELS = (16, 32, 48, 64)
"""As the baseline's, one convolution each: the recurrent unit looks further, so the field may stay small. It is 13
frames with a time stride of 2: 0.15 s at a hop of 10 ms, longer than any phone's onset or a drum's attack."""

N_DENSE = 64
"""Inputs of the recurrent unit: its weights are its cost, and bands × channels would be four times as many."""

N_HIDDEN = 96
"""Numbers it remembers. More than its inputs, since it must hold both what is sounding and what it sounds against."""

TIME_STRIDE = 2
"""Frames to one output: 20 ms at a hop of 10 ms, so that short pauses between words are still seen."""


class Crnn(StreamNetwork):
    """Shapes as in StreamNetwork. The head is linear, each output frame for itself.

    The module's docstring says what it assumes of time and of frequency.
    """

    def __init__(
        self, n_mels: int, n_labels: int, time_stride: int = TIME_STRIDE, *, frequency_coordinate: bool = True
    ) -> None:
        """Make one with random weights; frequency_coordinate as in Vgg, in the first block only.

        Raises:
            ValueError: a time stride other than 1, 2, 4 or 8, or fewer bands than are halved four times.
        """
        if time_stride not in (1, 2, 4, 8):
            raise ValueError(f"time stride {time_stride}; expected 1, 2, 4 or 8")
        if n_mels < 1 << len(CHANNELS):
            raise ValueError(f"{n_mels} bands; expected at least {1 << len(CHANNELS)}, they are halved in each block")
        modules: list[nn.Module] = []
        n_channels, n_bands, step = 1, n_mels, 1
        for n_out in CHANNELS:
            # Not in the first: an attack of one frame is to be looked at before frames are left out.
            stride = 2 if modules and step < time_stride else 1
            is_first = not modules
            modules.append(
                ConvBlock(
                    n_channels,
                    n_out,
                    n_bands,
                    stride=stride,
                    pool=2,
                    frequency_coordinate=is_first and frequency_coordinate,
                )
            )
            n_channels, n_bands, step = n_out, n_bands // 2, step * stride
        modules += [Flatten(), nn.Linear(n_channels * n_bands, N_DENSE), nn.ReLU(), Gru(N_DENSE, N_HIDDEN)]
        super().__init__(n_mels, n_labels, [*modules, nn.Linear(N_HIDDEN, n_labels)])
