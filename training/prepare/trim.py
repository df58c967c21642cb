"""Finds the sound inside a clip, against the clip's own floor.

Clips come with silence, noise and breath around the sound. A network that is told that all of it is the sound learns
the room, and a scene made of such clips has its labels wrong by as much. So onset and offset are found here; whoever
disagrees changes `Trim`, or writes them into labels.csv.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.prepare.audio import FRAME_SECONDS, levels_db

Verdict = Literal["found", "fills the clip", "silent"]

SILENT_DB = -70.0
"""A clip whose loudest frame is below this (dB of full scale) holds no sound: ten least bits of 16, a cable's noise."""

_N_SMOOTHED = 5
"""Frames, 80 ms: rumble scatters by 5 dB from frame to frame, by 2 dB over so many."""

_FEWEST_FRAMES = 25
"""0.4 s: the quietest fifth of a shorter clip is steady whatever it is, for it is a moment."""

_LEAST_LIFT_DB = 5.0
"""The loudest frame's, beyond above_floor_db: a sound that decays by less in its whole clip looks steady."""


@dataclass(frozen=True)
class Trim:
    """How a sound is told from its floor."""

    above_floor_db: float = 10.0
    """A sound is this far above the floor at least. Frames of a steady noise scatter by 1 dB, of a room by a few."""
    below_peak_db: float = 30.0
    """What is further below the loudest frame is no sound, however quiet the floor: the end of a decay, which the noise
    of any place covers. Labels that went on for all of it would teach a network to hear the sound in noise alone."""
    steady_db: float = 2.5
    """The quietest fifth of the levels, smoothed over 80 ms, spreads by no more if it is a floor. Where it spreads
    further, it is the decay or the pauses of a sound that was cut tightly, and only below_peak_db holds."""
    longest_gap_seconds: float = 0.25
    """A longer one parts two sounds; pauses inside a word are shorter."""
    margin_seconds: float = 0.02
    """Kept on both sides: an attack may begin before its frame rises, a decay end after its frame falls."""


@dataclass(frozen=True)
class Found:
    """Where the sound of a clip is, in samples from the clip's beginning."""

    verdict: Verdict
    onset_sample: int
    offset_sample: int
    floor_db: float | None
    """Mean level of the quietest fifth, in dB of full scale; None where nothing is steady, or nothing rises
    from it."""
    peak_db: float
    """Level of the loudest frame."""
    n_sounds: int
    """Sounds with longer gaps between; onset to offset holds them all."""
    spans: tuple[tuple[int, int], ...] = ()
    """Of each of those sounds, from its onset to its offset."""


def find_sound(samples: NDArray[np.float32], sample_rate: int, trim: Trim | None = None) -> Found:
    """Return where the sound in samples (n_samples,) begins and ends; all of them if it fills the clip or is not there.

    Accurate to a frame of FRAME_SECONDS and the margin.
    """
    trim = trim or Trim()
    levels = levels_db(samples, sample_rate)
    peak = float(levels.max())
    if peak < SILENT_DB:
        return Found("silent", 0, len(samples), None, peak, 0)
    floor = _floor_db(levels, trim.steady_db)
    if floor is not None and peak < floor + trim.above_floor_db + _LEAST_LIFT_DB:
        floor = None
    threshold = peak - trim.below_peak_db
    if floor is not None:
        threshold = max(threshold, floor + trim.above_floor_db)
    loud = np.flatnonzero(levels >= threshold)
    if not len(loud):
        return Found("fills the clip", 0, len(samples), floor, peak, 1, ((0, len(samples)),))
    n_frame = round(FRAME_SECONDS * sample_rate)
    margin = round(trim.margin_seconds * sample_rate)
    # The last frame reaches to the end, however long that is.
    end = len(samples) if loud[-1] == len(levels) - 1 else (int(loud[-1]) + 1) * n_frame
    gaps = np.flatnonzero((np.diff(loud) - 1) * n_frame > trim.longest_gap_seconds * sample_rate)
    onsets = [max(0, int(frame) * n_frame - margin) for frame in loud[[0, *(gaps + 1)]]]
    ends = [*((int(frame) + 1) * n_frame for frame in loud[gaps]), end]
    spans = tuple((onset, min(len(samples), end + margin)) for onset, end in zip(onsets, ends, strict=True))
    onset, offset = spans[0][0], spans[-1][1]
    verdict: Verdict = "fills the clip" if (onset, offset) == (0, len(samples)) else "found"
    return Found(verdict, onset, offset, floor, peak, len(spans), spans)


def _floor_db(levels: NDArray[np.float64], steady_db: float) -> float | None:
    """Return the level of the floor; None if the quietest fifth of the levels (n_frames,) is none."""
    if len(levels) < _FEWEST_FRAMES:
        return None
    power = np.convolve(10 ** (levels / 10), np.full(_N_SMOOTHED, 1 / _N_SMOOTHED), "valid")
    smooth = 10 * np.log10(power)
    # From the 2nd percentile: a drop-out is no floor.
    lowest, highest = np.percentile(smooth, [2, 20])
    return float(smooth[smooth <= highest].mean()) if highest - lowest <= steady_db else None
