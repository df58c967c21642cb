"""Convolution of audio with a response, the costliest step of a scene: in float32 blocks of the cheapest length."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft

from training.prepare.simulation.audio import Audio

BLOCK = 2.5
"""Length of a block in lengths of the response, at least; up to the next power of two. Measured: with shorter ones most
of a block is overlap, longer ones leave the processor's cache."""
SHORTEST_BLOCK = 8192


def convolved(audio: Audio, response: Audio) -> Audio:
    """Return audio as heard through a response, both (n,): as long as the audio, what rings on behind it is cut off.

    Overlap-save (Oppenheim and Schafer, Discrete-Time Signal Processing, 8): of each block what is wrapped around is
    thrown away.
    """
    audio, response = audio.astype(np.float32, copy=False), response.astype(np.float32, copy=False)
    overlap = len(response) - 1
    n_fft = 1 << int(max(SHORTEST_BLOCK, BLOCK * len(response)) - 1).bit_length()
    step = n_fft - overlap
    n_blocks = -(-len(audio) // step)
    padded = np.zeros(max(1, n_blocks) * step + overlap, np.float32)
    padded[overlap : overlap + len(audio)] = audio
    blocks = sliding_window_view(padded, n_fft)[::step]
    heard = fft.irfft(fft.rfft(blocks, axis=1) * fft.rfft(response, n_fft), n_fft, axis=1)
    return np.ascontiguousarray(heard[:, overlap:]).reshape(-1)[: len(audio)]
