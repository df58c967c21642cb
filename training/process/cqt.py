"""The constant-Q transform: bands as wide as they are high, as music has them. For comparison only.

Kernels as of Brown and Puckette, "An efficient algorithm for the calculation of a constant Q transform", JASA 92, 1992:
their spectra are nearly empty, so that one FFT and a sparse product give all bands.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

KEPT = 1e-3
"""Of a kernel's largest bin; what is smaller is left out, and is 60 dB down (the paper's choice is near it)."""


def cqt(
    samples: NDArray[np.float32], sample_rate: int, hop_length: int, fmin: float, n_bands: int, bands_per_octave: int
) -> NDArray[np.float32]:
    """Return magnitudes of frames around every multiple of hop_length, (n_frames, n_bands).

    A sine of amplitude 1 in the middle of a band has 0.5: the other half lies at the negative frequency.
    Beyond both ends of the samples (n_samples,) there is silence.
    """
    kernels, length = _kernels(sample_rate, fmin, n_bands, bands_per_octave)
    padded = np.pad(samples, (length // 2, length - length // 2))
    n_frames = len(samples) // hop_length + 1
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop_length][:n_frames]
    magnitudes = [np.abs(kernels @ np.fft.rfft(frame)) for frame in frames]
    return np.array(magnitudes, np.float32)


@lru_cache(maxsize=4)
def _kernels(sample_rate: int, fmin: float, n_bands: int, bands_per_octave: int) -> tuple[csr_matrix, int]:
    """Return the kernels' conjugate spectra (n_bands, length // 2 + 1), and the length of a frame in samples."""
    hz = fmin * 2.0 ** (np.arange(n_bands) / bands_per_octave)
    if hz[-1] >= sample_rate / 2:
        raise ValueError(f"the highest band is at {hz[-1]:.0f} Hz; expected less than {sample_rate / 2:.0f}")
    quality = 1 / (2 ** (1 / bands_per_octave) - 1)
    length = 1 << int(np.ceil(np.log2(quality * sample_rate / fmin)))
    spectra = np.zeros((n_bands, length // 2 + 1), np.complex128)
    for band, frequency in enumerate(hz):
        n = int(np.ceil(quality * sample_rate / frequency))
        window = np.hanning(n + 1)[:-1]
        kernel = np.zeros(length, np.complex128)
        begin = (length - n) // 2
        # Its phase counts from the middle of the frame; of its magnitude that changes nothing.
        kernel[begin : begin + n] = window / window.sum() * np.exp(2j * np.pi * frequency * np.arange(n) / sample_rate)
        spectra[band] = np.conj(np.fft.fft(kernel))[: length // 2 + 1] / length
    spectra[np.abs(spectra) < KEPT * np.abs(spectra).max(axis=1, keepdims=True)] = 0
    return csr_matrix(spectra), length
