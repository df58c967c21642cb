"""A voice from a formula: what a voice detector takes for speech, without anybody's recording."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
    (440, 1020, 2240),
)
"""The first three formants of vowels, Hz (Peterson and Barney, 1952, men)."""
BLOCK = 80


def voice(seconds, seed=0):
    """Return int16 samples at 16 kHz: phrases of 3 to 6 syllables with pauses between, and a sigh before each."""
    random = np.random.default_rng(seed)
    parts = []
    while sum(map(len, parts)) < seconds * 16_000:
        hiss = np.diff(random.normal(size=1440), prepend=0) * np.hanning(1440) * 0.02
        parts += [hiss, _phrase(random), np.zeros(int(random.uniform(0.4, 1.2) * 16_000))]
    audio = np.concatenate(parts)[: int(seconds * 16_000)]
    return np.rint(32767 * (audio + random.normal(0, 3e-4, len(audio)))).astype(np.int16)


def _phrase(random):
    n_syllables = random.integers(3, 7)
    lengths = (random.uniform(0.14, 0.28, n_syllables) * 16_000).astype(int) // BLOCK * BLOCK
    vowels = [VOWELS[i] for i in random.integers(0, len(VOWELS), n_syllables + 1)]
    formants = np.concatenate([np.linspace(vowels[i], vowels[i + 1], lengths[i]) for i in range(n_syllables)])
    n = len(formants)
    time = np.arange(n) / 16_000
    pitch = random.uniform(100, 130) - 15 * time / time[-1] + 6 * np.sin(2 * np.pi * 2.3 * time)
    pulses = np.diff(np.floor(np.cumsum(pitch) / 16_000), prepend=0)
    source = lfilter([1], [1, -0.95], pulses) + 0.01 * random.normal(size=n)
    states = [np.zeros(2) for _ in range(3)]
    spoken = np.zeros(n)
    for begin in range(0, n, BLOCK):
        x = source[begin : begin + BLOCK]
        for k, bandwidth in enumerate((70, 100, 150)):
            radius = np.exp(-np.pi * bandwidth / 16_000)
            turn = 2 * radius * np.cos(2 * np.pi * formants[begin, k] / 16_000)
            x, states[k] = lfilter([1 - turn + radius**2], [1, -turn, radius**2], x, zi=states[k])
        spoken[begin : begin + BLOCK] = x
    rise_and_fall = [0.15 + 0.85 * np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 0.7 for n in lengths]
    spoken *= np.concatenate(rise_and_fall)
    return 0.35 * spoken / np.abs(spoken).max()
