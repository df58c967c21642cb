"""Tiny data sets on a disk, for tests of what reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 8000


def recording(path: Path, seconds: float = 0.1, seed: int = 0) -> Path:
    """Write a recording of noise and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng([seed, *path.name.encode()]).normal(0, 0.1, round(seconds * SAMPLE_RATE))
    soundfile.write(path, noise.clip(-1, 1), SAMPLE_RATE)
    return path


def text(path: Path, *lines: str) -> Path:
    """Write lines of text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def folders(data: Path, **n_clips: int) -> Path:
    """Make a folder per label with so many clips; clip 0 of `dog` is dog/dog0.wav."""
    for label, n in n_clips.items():
        for i in range(n):
            recording(data / label / f"{label}{i}.wav")
    return data
