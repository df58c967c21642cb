"""The log-mel spectrogram on torch, on whatever device trains: the daemon's tables and nothing else.

`streamd.logmel.tables` is the one place that knows windows and filters. Here they are multiplied by, in
batches and with gradients; `streamd.logmel.log_mel` is what this must equal.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from streamd.logmel import LogMelSpec, tables

_SMALLEST = torch.finfo(torch.float32).tiny


class LogMel(nn.Module):
    """Samples (…, n_samples) → log-mel frames (…, n_frames, n_mels), float32, in dB or ln as the spec has it.

    Samples are int16, or floating point in [-1, 1). Nothing is centred or padded: n_frames is
    (n_samples − win_length) // hop_length + 1, and 0 where not even one window fits.

    All but the last rounding is done in float64, for twice the time of float32. In float32 the FFT of a loud
    tone rounds the quiet bands beside it by hundredths of a dB, and the filters' product falls to TF32 or half
    precision where a training loop asks for those. Apple's GPUs have no float64; there, and only there, it is
    float32. Every frame of a batch needs about 24 bytes × n_fft while it is computed.
    """

    window: Tensor
    mel: Tensor

    def __init__(self, spec: LogMelSpec) -> None:
        super().__init__()
        self.spec = spec
        for name, table in zip(("window", "mel"), tables(spec), strict=True):
            # Not persistent: the spec is the truth, and a checkpoint must not be able to bring other filters.
            self.register_buffer(name, torch.tensor(table), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the frames of every row; differentiable with regard to the samples."""
        spec = self.spec
        wide = torch.float32 if samples.device.type == "mps" else torch.float64
        if samples.shape[-1] < spec.win_length:
            return samples.new_zeros((*samples.shape[:-1], 0, spec.n_mels), dtype=torch.float32)
        frames = samples.unfold(-1, spec.win_length, spec.hop_length).to(wide)
        if samples.dtype == torch.int16:
            frames = frames / 32768
        spectrum = torch.fft.rfft(frames * self.window.to(wide), spec.n_fft)
        power = spectrum.real.square() + spectrum.imag.square()
        # The slope of a square root at 0 is infinite: digital silence would fill every gradient with NaN.
        bins = power if spec.power == 2 else power.clamp_min(_SMALLEST).sqrt()
        return to_log(bins @ self.mel.to(wide), spec).float()


def to_log(mel: Tensor, spec: LogMelSpec) -> Tensor:
    """Return the logarithm, as the spec defines it, of what the mel filters passed (any shape, ≥ 0)."""
    x = mel.clamp_min(spec.floor) if spec.floor is not None else mel + (spec.offset or 0)
    return x.log() if spec.log == "ln" else x.log10() * (20 / spec.power)


def from_log(log_mel: Tensor, spec: LogMelSpec) -> Tensor:
    """Return what the mel filters passed: power or magnitude, any shape, ≥ 0. The inverse of `to_log`.

    What lies at the floor (within 1e-3 of the logarithm's unit) is 0: of it no more is known than that it
    was not louder.
    """
    x = log_mel.exp() if spec.log == "ln" else torch.pow(10.0, log_mel * (spec.power / 20))
    if spec.floor is None:
        return (x - (spec.offset or 0)).clamp_min(0)
    lowest = math.log(spec.floor) if spec.log == "ln" else math.log10(spec.floor) * 20 / spec.power
    return torch.where(log_mel > lowest + 1e-3, x, 0.0)
