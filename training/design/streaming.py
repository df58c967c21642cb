"""Causal parts with explicit state, so that a stream in hops and a recording at once give the same posteriors.

Nothing is padded in time. A convolution is valid: before the new frames go the last frames of the call before, which
are its state. Pieces of any length therefore add up to the whole, and after the first receptive field no output
depends on how the state began (Rybakov et al. 2020, https://arxiv.org/abs/2005.06720, stream trained networks so;
here training does it, too).

A part takes (x, state) and returns (y, state_out); state is (batch, n_state), float32. `Chain` runs parts in order
and packs their states side by side: one row a source, what a model of kind stream carries from hop to hop.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from training.design.receptive_field import Layer, total_stride


class Part(nn.Module):
    """A module that looks back in time: (x, state) → (y, state_out)."""

    n_state: int
    """Numbers in its state row, at least one."""
    layers: tuple[Layer, ...] = ()
    """What it does to time, for the receptive field; a recurrent part has none, it remembers as long as it likes."""


class ConvBlock(Part):
    """Convolution over time and frequency, batch norm, ReLU, maximum of neighbouring bands.

    Shapes: x (batch, n_in, n_frames, n_bands), n_frames a multiple of the stride; y (batch, n_out, n_frames / stride,
    n_bands // pool). The state row is the last (kernel − 1) · dilation − (stride − 1) frames of x, flattened from
    (n_in, frames, n_bands): with a stride that many fewer, because an output's newest frame is the last of its stride
    and not the first, which would only come late.

    In frequency the convolution is padded with zeros: beyond the first and last band there is nothing to hear.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        n_bands: int,
        *,
        kernel: int = 3,
        dilation: int = 1,
        stride: int = 1,
        pool: int = 1,
        frequency_coordinate: bool = False,
    ) -> None:
        """Make a block; the kernel is square, dilation and stride are those of time.

        frequency_coordinate lets it know where on the frequency axis it is (a coordinate channel: Liu et al. 2018,
        https://arxiv.org/abs/1807.03247). As that channel is the same in every frame, its convolution is too: it is
        computed once a call and added, and takes no room in the state.

        Raises:
            ValueError: a stride that skips frames, or an even kernel, which has no middle in frequency.
        """
        super().__init__()
        self.n_kept = (kernel - 1) * dilation - (stride - 1)
        if self.n_kept < 1 or kernel % 2 == 0:
            raise ValueError(
                f"kernel {kernel}, dilation {dilation}, stride {stride}; expected an odd kernel with a stride of at "
                f"most (kernel − 1) · dilation"
            )
        self.shape = (n_in, self.n_kept, n_bands)
        self.n_state = n_in * self.n_kept * n_bands
        self.layers = (Layer(kernel, dilation, stride),)
        padding = (0, kernel // 2)
        # No bias: batch norm subtracts it again.
        self.conv = nn.Conv2d(n_in, n_out, kernel, (stride, 1), padding, dilation=(dilation, 1), bias=False)
        self.norm = nn.BatchNorm2d(n_out)
        self.pool = nn.MaxPool2d((1, pool)) if pool > 1 else nn.Identity()
        self.where: nn.Conv2d | None = None
        if frequency_coordinate:
            self.where = nn.Conv2d(1, n_out, (1, kernel), padding=padding, bias=False)
            self.bands: Tensor
            self.register_buffer("bands", torch.linspace(-1, 1, n_bands).reshape(1, 1, 1, n_bands), persistent=False)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        seen = torch.cat([state.reshape(-1, *self.shape), x], dim=2)
        y = self.conv(seen)
        if self.where is not None:
            y = y + self.where(self.bands)
        y = self.pool(torch.relu(self.norm(y)))
        return y, seen[:, :, -self.n_kept :].flatten(1)


class Gru(Part):
    """A gated recurrent unit, forwards only: x (batch, n_frames, n_in) → y (batch, n_frames, n_hidden).

    The state row is the hidden state (Cho et al. 2014, https://arxiv.org/abs/1406.1078).
    """

    def __init__(self, n_in: int, n_hidden: int) -> None:
        super().__init__()
        self.n_state = n_hidden
        self.gru = nn.GRU(n_in, n_hidden, batch_first=True)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y, last = self.gru(x, state.unsqueeze(0).contiguous())
        return y, last.squeeze(0)


class Chain(Part):
    """Modules in order. A plain module among them looks at each frame alone; only parts have state.

    The state row holds the parts' rows in their order; `n_states` says how long each is.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)
        parts = [part for part in self.parts if isinstance(part, Part)]
        self.n_states = [part.n_state for part in parts]
        self.n_state = sum(self.n_states)
        self.layers = tuple(layer for part in parts for layer in part.layers)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        states = iter(state.split(self.n_states, dim=1))
        new = []
        for part in self.parts:
            if isinstance(part, Part):
                x, row = part(x, next(states))
                new.append(row)
            else:
                x = part(x)
        return x, torch.cat(new, dim=1)


class Standardise(nn.Module):
    """Log-mel frames (batch, n_frames, n_mels) → one channel (batch, 1, n_frames, n_mels), each band about 0 ± 1.

    The numbers of a band are those of the training set, fixed from then on: what is normalised over a clip looks into
    its future. As 0 is then an average frame, an initial state of zeros is the least surprising one.
    """

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("deviation", torch.ones(n_mels))

    def measure(self, frames: Tensor) -> None:
        """Take mean and deviation of each band from log-mel frames (n_frames, n_mels) of the training set."""
        self.mean.copy_(frames.mean(dim=0))
        # A band that never moves (above what a microphone hears, say) must not become infinite.
        self.deviation.copy_(frames.std(dim=0).clamp(min=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        return ((x - self.mean) / self.deviation).unsqueeze(1)


class Flatten(nn.Module):
    """Channels and bands of a frame side by side: (batch, n, n_frames, n_bands) → (batch, n_frames, n · n_bands)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)


class StreamNetwork(nn.Module):
    """A network of the contract: log-mel frames in, a posterior for each label and output frame.

    Shapes: frames (batch, n_frames, n_mels), n_frames a multiple of time_stride; state and state_out (batch, n_state);
    posteriors (batch, n_frames / time_stride, n_labels), 0 to 1. `logits` is the same before the sigmoid, for losses.
    """

    def __init__(self, n_mels: int, n_labels: int, modules: Iterable[nn.Module]) -> None:
        """Make it of modules from (batch, 1, n_frames, n_mels) to (batch, output frames, n_labels)."""
        super().__init__()
        self.n_mels = n_mels
        self.n_labels = n_labels
        self.standardise = Standardise(n_mels)
        self.chain = Chain(modules)

    @property
    def n_state(self) -> int:
        """Numbers in the state row of one source."""
        return self.chain.n_state

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What it does to time, for the receptive field; recurrent parts not counted."""
        return self.chain.layers

    @property
    def time_stride(self) -> int:
        """Log-mel frames to one output frame."""
        return total_stride(self.layers)

    def initial_state(self, batch: int) -> Tensor:
        """Return the state (batch, n_state) of sources that have heard nothing: zeros."""
        return self.standardise.mean.new_zeros(batch, self.n_state)

    def logits(self, frames: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (batch, output frames, n_labels) and the new state.

        Raises:
            ValueError: n_frames is no multiple of time_stride: the rest would be forgotten.
        """
        if frames.shape[1] % self.time_stride:
            raise ValueError(f"{frames.shape[1]} frames; expected a multiple of {self.time_stride}, the time stride")
        logits, state_out = self.chain(self.standardise(frames), state)
        return logits, state_out

    def forward(self, frames: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        logits, state_out = self.logits(frames, state)
        return torch.sigmoid(logits), state_out
