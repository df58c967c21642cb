"""A small residual network over time alone: the log-mel bands of a frame are its channels.

Blocks and widths of TC-ResNet8 (Choi et al. 2019, https://arxiv.org/abs/1904.03814), made causal: no padding in time,
and a linear head on each output frame in place of an average over the clip. In a block both branches have the same
delay, none: what is added to the newest output of the convolutions is the newest frame, not one a kernel's middle
earlier. So a stream and the whole pass add the same two frames, whatever the pieces.

**Of time** it assumes what `vgg` does (all there is to know lies in its receptive field, on a grid of the time stride),
but looks nine frames at a time: envelopes and onsets are seen whole in one layer. The shortcuts let a block that has
nothing to add leave things as they are.

**Of frequency** it assumes nothing: each band is a channel with weights of its own, from the first layer on. All bands
are seen at once, far harmonics and the hum at 100 Hz alike, but nothing is shared: a sound that is a band higher than
in training is another sound, so pitch must be varied there. A microphone of another colour shifts every channel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.design.receptive_field import Layer
from training.design.streaming import Chain, Part, StreamNetwork

CHANNELS = (16, 24, 32, 48, 64)
"""Of the first convolution, then of each block: those of TC-ResNet8, and one block more for long events. Sixty clips
fill no larger network."""

KERNEL = 9
"""Frames a block's convolutions see at once, as in the paper."""

FIRST_KERNEL = 3
"""Frames the first convolution sees, as in the paper: it mixes bands, the blocks look at time."""

N_BLOCKS = 2
"""0.77 s at a hop of 10 ms, for whoever has not measured events: the depth nearest to the baseline's 0.63 s."""

TIME_STRIDE = 4
"""Frames to one output: 40 ms at a hop of 10 ms, as the baseline's."""


class TimeConv(Part):
    """Convolution over time and batch norm: x (batch, n_in, n_frames) → y (batch, n_out, n_frames / stride).

    The state row is the last (kernel − 1) · dilation − (stride − 1) frames of x, flattened from (n_in, frames), as in
    ConvBlock: an output's newest frame is the last of its stride.
    """

    def __init__(self, n_in: int, n_out: int, layer: Layer) -> None:
        super().__init__()
        self.n_kept = (layer.kernel - 1) * layer.dilation - (layer.stride - 1)
        self.n_in = n_in
        self.n_state = n_in * self.n_kept
        self.layers = (layer,)
        # No bias: batch norm subtracts it again.
        self.conv = nn.Conv1d(n_in, n_out, layer.kernel, layer.stride, dilation=layer.dilation, bias=False)
        self.norm = nn.BatchNorm1d(n_out)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        seen = torch.cat([state.reshape(-1, self.n_in, self.n_kept), x], dim=2)
        y: Tensor = self.norm(self.conv(seen))
        return y, seen[:, :, -self.n_kept :].flatten(1)


class ResidualBlock(Part):
    """Two convolutions over time and a shortcut past them: x (batch, n_in, n_frames) → y (batch, n_out, … / stride).

    The shortcut is a convolution of one frame, the last of each stride, as widths differ; it looks at no other frame
    and needs no state. The state row is that of the two convolutions.
    """

    def __init__(self, n_in: int, n_out: int, first: Layer, second: Layer) -> None:
        super().__init__()
        self.stride = first.stride
        self.convs = Chain([TimeConv(n_in, n_out, first), nn.ReLU(), TimeConv(n_out, n_out, second)])
        self.n_state = self.convs.n_state
        self.layers = self.convs.layers
        self.shortcut = nn.Sequential(nn.Conv1d(n_in, n_out, 1, bias=False), nn.BatchNorm1d(n_out))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y, state_out = self.convs(x, state)
        return torch.relu(y + self.shortcut(x[:, :, self.stride - 1 :: self.stride])), state_out


class _BandsAsChannels(nn.Module):
    """(batch, 1, n_frames, n_mels) → (batch, n_mels, n_frames)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(1).transpose(1, 2)


class _FramesFirst(nn.Module):
    """(batch, n, n_frames) → (batch, n_frames, n)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def layers(n_blocks: int, time_stride: int = TIME_STRIDE) -> list[Layer]:
    """Return what a network of that many blocks does to time.

    Each block sees twice as far as the one before: by a stride of 2 until time_stride is reached, then by dilation.
    Both give 27, 75, 171, 363 frames. One block alone strides by 2 at most.

    Raises:
        ValueError: more blocks than there are, or a stride that is no power of two.
    """
    if not 1 <= n_blocks < len(CHANNELS):
        raise ValueError(f"{n_blocks} blocks; expected 1 to {len(CHANNELS) - 1}")
    if time_stride < 1 or time_stride & (time_stride - 1):
        raise ValueError(f"time stride {time_stride}; expected a power of two")
    found = [Layer(FIRST_KERNEL)]
    step, dilation = 1, 1
    for _ in range(n_blocks):
        if step < time_stride:
            step *= 2
            found += [Layer(KERNEL, stride=2), Layer(KERNEL)]
        else:
            found += [Layer(KERNEL, dilation), Layer(KERNEL, 2 * dilation)]
            dilation *= 2
    return found


class TcResNet(StreamNetwork):
    """Shapes as in StreamNetwork. The head is linear, each output frame for itself.

    The module's docstring says what it assumes of time and of frequency.
    """

    def __init__(self, n_mels: int, n_labels: int, n_blocks: int = N_BLOCKS, time_stride: int = TIME_STRIDE) -> None:
        """Make one with random weights.

        Raises:
            ValueError: as of layers.
        """
        first, *in_blocks = layers(n_blocks, time_stride)
        modules: list[nn.Module] = [_BandsAsChannels(), TimeConv(n_mels, CHANNELS[0], first), nn.ReLU()]
        widths = CHANNELS[: n_blocks + 1]
        for n_in, n_out, one, other in zip(widths, widths[1:], in_blocks[::2], in_blocks[1::2], strict=False):
            modules.append(ResidualBlock(n_in, n_out, one, other))
        super().__init__(n_mels, n_labels, [*modules, _FramesFirst(), nn.Linear(widths[-1], n_labels)])
