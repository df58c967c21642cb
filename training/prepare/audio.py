"""The audio of clips, as float samples, and its levels over time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamd.capture.recording import RecordingReader
from training.prepare.clips import Clip

FRAME_SECONDS = 0.016
"""Of a level: short against a click's decay, long enough for one period of a 60 Hz hum."""

SILENCE_DB = -96.0
"""What digital silence counts as: below the least bit of 16."""

_READ_SECONDS = 60


def read_audio(path: Path, most_seconds: float = math.inf) -> tuple[NDArray[np.float32], int]:
    """Return a recording, or its beginning, as mono samples (n_samples,) in [-1, 1), and its own sample rate in Hz.

    Raises:
        RecordingError: it can't be read.
    """
    reader = RecordingReader(str(path))
    try:
        parts = [np.zeros(0, np.float32)]
        seconds_left = most_seconds
        while len(part := reader.read(round(reader.sample_rate * min(seconds_left, _READ_SECONDS)))):
            parts.append(part)
            seconds_left -= len(part) / reader.sample_rate
    finally:
        reader.close()
    return np.concatenate(parts), reader.sample_rate


def seconds_of(clip: Clip) -> float:
    """Return how long a clip lasts: from its onset to its offset, or all of its recording."""
    if clip.onset_seconds is not None and clip.offset_seconds is not None:
        return clip.offset_seconds - clip.onset_seconds
    return float(soundfile.info(clip.path).duration)


def levels_db(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """Return the level of each frame of FRAME_SECONDS in dB of full scale, (n_frames,), SILENCE_DB at least.

    The frame's own mean is taken off first: a constant offset is no sound. What is left at the end belongs to the last
    frame; a clip shorter than a frame is one frame.
    """
    n = round(FRAME_SECONDS * sample_rate)
    n_frames = max(1, len(samples) // n)
    starts = np.arange(n_frames) * n
    lengths = np.diff([*starts, len(samples)])
    wide = samples.astype(np.float64)
    means = np.add.reduceat(wide, starts) / lengths
    power = np.add.reduceat(wide**2, starts) / lengths - means**2
    return 10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10)))
