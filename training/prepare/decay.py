"""How fast sounds die away in a recording: whether a room is in it already.

No room lets a sound fall faster than its own reverberation does. So the fastest fall that a clip shows bounds the
reverberation of where it was recorded: a fast one proves it dry, or so close to the microphone that the room doesn't
count. A slow one proves nothing alone, for a bell rings by itself; over all clips of a label it is told, for rooms
simulated on top of a room are none that exist.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.prepare.audio import levels_db
from training.prepare.trim import Found

FALL_DB = 20.0
"""What is followed, as in T20 of ISO 3382: clips seldom fall by more before their floor."""
_FROM_PEAK_DB = 12.0
"""The fall begins within so much of the loudest frame. What is quieter is masked by a simulated room, and a fade that
somebody drew over the end of a clip lies there."""
_ABOVE_FLOOR_DB = 6.0
"""At the end of the fall; there the floor adds a decibel, which makes the decay too long by a twentieth."""
_STEP_DB = 1.0


def decay_seconds(samples: NDArray[np.float32], sample_rate: int, found: Found) -> float | None:
    """Return the time in which the sound of a clip (n_samples,) would fall by 60 dB, as RT60 has it.

    Taken from the fastest fall of FALL_DB behind the last loud moment. At least 50 ms: levels are taken every 16 ms.

    Returns:
        None where it can't be told: the clip ends before, or its floor covers the fall, or it is silent.
    """
    if found.verdict == "silent":
        return None
    levels = levels_db(samples, sample_rate)
    # What is still to come at its loudest: it only falls, and a second sound behind the first is part of it.
    to_come = np.maximum.accumulate(levels[::-1])[::-1]
    lowest = to_come[-1] if found.floor_db is None else max(to_come[-1], found.floor_db + _ABOVE_FLOOR_DB)
    starts = np.arange(found.peak_db - _STEP_DB, max(found.peak_db - _FROM_PEAK_DB, lowest + FALL_DB) - 1e-9, -_STEP_DB)
    if not len(starts):
        return None
    times = [_last_above(to_come, level - FALL_DB) - _last_above(to_come, level) for level in starts]
    n_frames = max(1.0, min(times))
    seconds_a_frame = len(samples) / sample_rate / len(levels)
    return float(60 / FALL_DB * n_frames * seconds_a_frame)


def _last_above(to_come: NDArray[np.float64], level: float) -> float:
    """Return when a falling curve passes a level, in frames, between two of them by a straight line."""
    last = int(np.flatnonzero(to_come >= level)[-1])
    if last + 1 == len(to_come):
        return float(last)
    return float(last + (to_come[last] - level) / (to_come[last] - to_come[last + 1]))
