"""Hear what the network hears: audio made again from the log-mel alone.

What the log-mel has dropped (phases, everything outside the filters, detail finer than a filter) can't be
in this audio, so whoever listens judges with what the network has: a sound that can't be told here can't
be learnt.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamd.logmel import LogMelSpec, tables
from training.process.log_mel import from_log

_TINY = 1e-20
"""Far under any floor; keeps quotients finite."""


def hear(
    log_mel: NDArray[np.float32], spec: LogMelSpec, *, n_iterations: int = 100, seed: int = 0
) -> NDArray[np.float32]:
    """Return audio at `spec.sample_rate` whose log-mel is close to the given one, shape (n_frames, n_mels).

    The filters are undone by `spectrum_of`; phases are found by the fast Griffin-Lim algorithm (Perraudin,
    Balazs and Søndergaard, 2013: A fast Griffin-Lim algorithm), begun at random from `seed`. What lies at the
    floor becomes silence.

    Args:
        log_mel: in the spec's own logarithm.
        spec: what it was made with.
        n_iterations: after a hundred the log-mel of noise and of a crow's call is off by 0.2 to 0.5 dB on average
            and that of a chirp by 1.3, and a thousand hardly come nearer (tests/training/test_hear.py has the bounds).
        seed: of the phases to begin with.

    Returns:
        Shape ((n_frames − 1)·hop_length + win_length,), float32; its peaks may be higher than
        the given audio's, so it isn't always in [-1, 1). Empty for no frames.
    """
    n_frames = len(log_mel)
    if not n_frames:
        return np.zeros(0, np.float32)
    frames = _Frames(spec, n_frames)
    magnitude = spectrum_of(torch.from_numpy(np.asarray(log_mel, np.float64)), spec)
    random = torch.Generator().manual_seed(seed)
    phase = 2 * torch.pi * torch.rand(magnitude.shape, generator=random, dtype=torch.float64)
    spectrum = torch.polar(magnitude, phase)
    consistent = torch.zeros_like(spectrum)
    for _ in range(n_iterations):
        before, consistent = consistent, frames.spectrum(frames.audio(spectrum))
        ahead = consistent + 0.99 * (consistent - before)  # 0.99: the paper's momentum
        spectrum = magnitude * ahead / ahead.abs().clamp_min(_TINY)
    return frames.audio(spectrum).float().numpy()


def spectrum_of(log_mel: Tensor, spec: LogMelSpec, *, n_iterations: int = 200) -> Tensor:
    """Return magnitudes (n_frames, n_fft // 2 + 1) ≥ 0 whose log-mel is the given one, (n_frames, n_mels).

    There are more bins than bands, so many spectra fit. Multiplicative updates (Lee and Seung, 2001, the
    divergence one) can't become negative, weigh errors by ratio as decibels do, and keep what no filter
    looks at at zero. They begin from a spectrum that is smooth across each band.
    """
    mel = torch.tensor(tables(spec).mel, dtype=log_mel.dtype)
    passed = from_log(log_mel, spec)
    seen = mel.sum(dim=1)
    spread = mel.T / seen.clamp_min(_TINY)
    bins = (passed / mel.sum(dim=0)) @ spread
    for _ in range(n_iterations):
        bins = bins * ((passed / (bins @ mel).clamp_min(_TINY)) @ spread)
    return bins.sqrt() if spec.power == 2 else bins


class _Frames:
    """Audio ↔ the spectra of its frames, (n_samples,) ↔ (n_frames, n_fft // 2 + 1), as the log-mel cuts them."""

    def __init__(self, spec: LogMelSpec, n_frames: int) -> None:
        self.spec = spec
        self.window = torch.tensor(tables(spec).window, dtype=torch.float64)
        self.n_samples = (n_frames - 1) * spec.hop_length + spec.win_length
        squares = self.window.square().expand(n_frames, -1)
        # Where windows hardly look (the first samples, holes between far frames) little is known, and dividing
        # by that little makes clicks. Of 0.01 to 0.3, 0.3 had none left, and the closest log-mel.
        self.weight = self._overlap_add(squares).clamp_min(0.3)

    def audio(self, spectrum: Tensor) -> Tensor:
        """Return the audio whose spectra are nearest in the least squares (Griffin and Lim, 1984)."""
        frames = torch.fft.irfft(spectrum, self.spec.n_fft)[:, : self.spec.win_length]
        return self._overlap_add(frames * self.window) / self.weight

    def spectrum(self, audio: Tensor) -> Tensor:
        """Return the spectra of all frames."""
        frames: Tensor = audio.unfold(0, self.spec.win_length, self.spec.hop_length)
        spectrum: Tensor = torch.fft.rfft(frames * self.window, self.spec.n_fft)
        return spectrum

    def _overlap_add(self, frames: Tensor) -> Tensor:
        added: Tensor = torch.nn.functional.fold(
            frames.T[None],
            (1, self.n_samples),
            (1, self.spec.win_length),
            stride=(1, self.spec.hop_length),
        )
        return added[0, 0, 0]
