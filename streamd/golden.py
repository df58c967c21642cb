"""The golden signal: what a model's own answer is an answer to, the same samples on every machine and for ever.

Integers only. Noise lies 40 dB under what sounds, because in the valleys of a bare tone's spectrum nothing but rounding
would be compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_PACES, N_LEVELS = 7, 6
N_CHIRPS = N_PACES * N_LEVELS
"""Seeds below it give chirps, the others strokes."""
STROKE_SAMPLES = 9_000
"""From one stroke to the next."""

Integers = NDArray[np.int64]


def golden_signal(seed: int, n_samples: int) -> NDArray[np.int16]:
    """Return a test signal, shape (n_samples,).

    Below N_CHIRPS a chirp rises through the band, and the seed chooses how fast and how loud. A network that was taught
    to be deaf to anything but knocks is deaf to all of these, so the other seeds give strokes of changing pitch that
    die away, some of them hiss.
    """
    n = np.arange(n_samples, dtype=np.int64)
    level = 20_000 >> (seed // N_PACES % N_LEVELS)
    sounding = _chirp(seed, n, level) if seed < N_CHIRPS else _strokes(seed, n, level)
    return (sounding + _noise(n + 1 + seed * 7_919, max(1, level // 100))).astype(np.int16)


def _chirp(seed: int, n: Integers, level: int) -> Integers:
    # Phase in 2^-32 turns; the frequency rises from 1/64 to 1/3 of the rate and begins again.
    period = 8_000 + seed % N_PACES * 4_000
    step = (1 << 26) + n % period * (((1 << 32) // 3 - (1 << 26)) // period)
    return _sine(np.cumsum(step)) * level >> 15


def _strokes(seed: int, n: Integers, level: int) -> Integers:
    at, age = n // STROKE_SAMPLES, n % STROKE_SAMPLES
    chance = _hash(at + 1 + seed * 7_919)
    # One of seven octaves from 1/512 of the rate on, and a place in it.
    step = ((1 << 23) + (chance & 0x7FFFFF)) << (chance >> 23) % 7
    half_life = 200 << (chance >> 26) % 4
    halvings, rest = age // half_life, age % half_life
    loud = level >> np.minimum(halvings, 20)
    loud -= (loud >> 1) * rest // half_life
    tone = _sine(step * age) * loud >> 15
    return np.where((chance >> 28) % 4 == 0, _noise(n + 1, 1 << 15) * loud >> 15, tone)


def _sine(phase: Integers) -> Integers:
    """Return the sine of a phase in 2^-32 turns, in 2^-15: 16·x·(½ − x) on half a turn is near enough."""
    half = (phase >> 16) & 0x7FFF
    sine = (half * (0x8000 - half)) >> 13
    return np.where(phase >> 31 & 1, -sine, sine)


def _noise(n: Integers, level: int) -> Integers:
    return ((_hash(n) >> 16) - 0x8000) * level >> 15


def _hash(n: Integers) -> Integers:
    # Congruential generator of Numerical Recipes, run in parallel by a hash of the index.
    mixed = n * 1_664_525 + 1_013_904_223 & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 15) * 2_246_822_519 & 0xFFFFFFFF
    return (mixed ^ mixed >> 13) * 3_266_489_917 & 0xFFFFFFFF
