"""Where in a recording there is sound: levels are measured there, so that silence around a clip changes none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.prepare.simulation.audio import Audio

FRAME_SECONDS = 0.01
"""Short enough for a drum stroke."""
DEPTH_DB = 30.0
"""A frame this far below the loud ones is pause or reverberation: the articulation of
speech moves within 30 dB (ANSI S3.5), and after a fall of 30 dB a thousandth of the power is left."""


def active_samples(audio: Audio, sample_rate: int) -> NDArray[np.bool_]:
    """Return where audio (n_samples,) has sound: frames within 30 dB of the loud ones: booleans (n_samples,)."""
    length = max(1, round(FRAME_SECONDS * sample_rate))
    n_frames = -(-len(audio) // length)
    padded = np.zeros(n_frames * length)
    padded[: len(audio)] = audio
    power = np.mean(padded.reshape(n_frames, length) ** 2, axis=1)
    if not power.any():
        return np.zeros(len(audio), np.bool_)
    # The mean weighted by energy: silence, short or long, has no weight in it.
    loud = np.sum(power**2) / np.sum(power)
    return np.asarray(np.repeat(power >= loud * 10 ** (-DEPTH_DB / 10), length)[: len(audio)])


def active_rms(audio: Audio, sample_rate: int) -> float:
    """Return the RMS over the active samples; 0 for silence."""
    active = active_samples(audio, sample_rate)
    return float(np.sqrt(np.mean(np.square(audio[active], dtype=np.float64)))) if active.any() else 0.0
