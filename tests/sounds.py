"""Recordings made for tests: real sounds of the reference vectors, placed where a test wants them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 16_000


def crow() -> NDArray[np.float32]:
    """A crow's call of half a second at 16 kHz (misc_crow of sonic-pi-samples, CC0)."""
    with np.load(Path(__file__).parent / "data" / "yamnet_reference.npz") as vectors:
        return np.asarray(vectors["crow/waveform"], np.float32)


def smoke_alarm(seconds: float) -> NDArray[np.float32]:
    """The temporal-three pattern of ISO 8201: three beeps of 0.5 s, 0.5 s apart, then 1.5 s of pause."""
    n = np.arange(round(seconds * RATE))
    within = n / RATE % 4.0
    on = (within < 2.5) & (within % 1.0 < 0.5)
    return (0.3 * np.sin(2 * np.pi * 3_100 * n / RATE) * on).astype(np.float32)


def scene(seconds: float, sounds: Sequence[tuple[float, NDArray[np.float32]]], seed: int = 0) -> NDArray[np.float32]:
    """A quiet room (noise 60 dB under full scale) with sounds at given seconds."""
    audio = 1e-3 * np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32)
    for at_seconds, sound in sounds:
        begin = round(at_seconds * RATE)
        audio[begin : begin + len(sound)] += sound
    return audio


def uneven_noise(n_samples: int, seed: int) -> NDArray[np.float32]:
    """Noise at another level every 500 samples, loud and quiet."""
    chance = np.random.default_rng(seed)
    loud = np.repeat(10 ** chance.uniform(-3, -0.5, n_samples // 500 + 1), 500)[:n_samples]
    return (chance.standard_normal(n_samples) * loud).clip(-0.99, 0.99).astype(np.float32)


def save(file: Path, audio: NDArray[np.float32], rate: int = RATE) -> Path:
    """Write 16-bit audio; the suffix chooses the format."""
    soundfile.write(file, audio, rate, subtype=None if file.suffix == ".mp3" else "PCM_16")
    return file


def load(file: Path) -> NDArray[np.float32]:
    """Read a recording that `save` wrote."""
    audio, _ = soundfile.read(file, dtype="float32")
    return np.asarray(audio, np.float32)
