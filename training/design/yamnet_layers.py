"""YAMNet as a frozen embedding: what its layers answer, averaged over a window, on a log-mel that reaches higher.

The last layer of a network trained on 521 everyday sounds has forgotten what did not tell those apart. The layers
before have not: concatenated averages of all of them beat the last one alone in every task of Choi and others 2017
(https://arxiv.org/abs/1703.09179), and low layers help most where sounds differ in timbre and not in meaning. A maximum
over the window beside the average keeps what is short.

**Of time** it assumes that what matters lies within one window, in any order. **Of frequency**: absolute places, since
the log-mel itself is part of the embedding, too.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from streamd.logmel import LogMelSpec
from training.design import yamnet

N_BELOW, N_ABOVE = 3, 19
"""Bands below and above YAMNet's 64 (125 to 7500 Hz), on the same mel grid: 42 Hz to 15 kHz in all. What tells metal
from skin lies above 8 kHz, and its own bands are a slice of these, exactly."""


def _mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def _hz(mel: float) -> float:
    return float(700 * (10 ** (mel / 2595) - 1))


_STEP = (_mel(7500.0) - _mel(125.0)) / (yamnet.N_MELS + 1)

LOG_MEL = LogMelSpec(
    sample_rate=32_000,
    n_fft=1024,
    win_length=800,
    hop_length=320,
    n_mels=N_BELOW + yamnet.N_MELS + N_ABOVE,
    fmin=_hz(_mel(125.0) - N_BELOW * _STEP),
    fmax=_hz(_mel(7500.0) + N_ABOVE * _STEP),
    mel_scale="htk",
    mel_triangle="mel",
    mel_norm="none",
    power=1,
    log="ln",
    floor=None,
    offset=0.002,
)
"""YAMNet's log-mel at twice its rate: a window of as many seconds holds twice the samples, so magnitudes are twice as
large; with twice the offset, the logarithms differ by ln 2."""

NARROW = msgspec.structs.replace(
    LOG_MEL,
    sample_rate=16_000,
    n_fft=512,
    win_length=400,
    hop_length=160,
    n_mels=N_BELOW + yamnet.N_MELS,
    fmax=7500.0,
    offset=0.001,
)
"""The same without what lies above YAMNet's own bands: at half the rate, which most other models take, too."""

HOP_FRAMES = 16
"""0.16 s: a sound is asked for its label from 0.35 s after its onset on, and a window sees it so four times."""

LOW = tuple(range(1, 8))
"""Convolutions whose averages and maxima are taken, with those of the log-mel itself: the first part."""
DEEP = (6, 8, 10, 12, 14)
"""Convolutions whose averages are taken: the second part."""


def window_facts(spec: LogMelSpec = LOG_MEL) -> dict[str, Any]:
    """Return the fields of the manifest that follow from this embedding of LOG_MEL or NARROW."""
    return {
        "kind": "window",
        "input": "log_mel",
        "sample_rate": spec.sample_rate,
        "log_mel": spec,
        "n_frames": yamnet.N_FRAMES,
        "hop_frames": HOP_FRAMES,
        "warmup_frames": yamnet.N_FRAMES,
        "max_batch": None,
    }


class YamnetLayers(nn.Module):
    """Log-mel windows (batch, 96, n_mels) → embedding (batch, sum of `parts`); of LOG_MEL or NARROW."""

    def __init__(self, spec: LogMelSpec = LOG_MEL) -> None:
        super().__init__()
        self.shift = math.log((spec.offset or 0.001) / 0.001)
        self.network = yamnet.load()
        n_channels = {1: 32, **{number: n_out for number, (_, n_out) in enumerate(yamnet.BLOCKS, start=2)}}
        self.parts = (
            2 * spec.n_mels + sum(2 * n_channels[number] for number in LOW),
            sum(n_channels[number] for number in DEEP),
        )

    def forward(self, log_mel: Tensor) -> Tensor:
        low = [log_mel.mean(dim=1), log_mel.amax(dim=1)]
        deep = []
        x = log_mel[:, :, N_BELOW : N_BELOW + yamnet.N_MELS] - self.shift
        x = self.network.conv1(x.unsqueeze(1))
        for number in range(1, 2 + len(yamnet.BLOCKS)):
            if number > 1:
                x = self.network.get_submodule(f"conv{number}_depthwise")(x)
                x = self.network.get_submodule(f"conv{number}_pointwise")(x)
            mean = x.mean(dim=(2, 3))
            if number in LOW:
                low += [mean, x.amax(dim=(2, 3))]
            if number in DEEP:
                deep.append(mean)
        return torch.cat([*low, *deep], dim=1)
