"""From files to material: decoded once, at one sample rate, cut to the sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import soxr

from training.prepare.audio import read_audio
from training.prepare.clips import Clip
from training.prepare.simulation.audio import Audio
from training.prepare.simulation.material import Sound
from training.prepare.trim import Trim, find_sound

FADE_SECONDS = 0.005
"""Where a recording was cut, its noise would begin with a click."""
QUIETER_DB = 20.0
"""Of several sounds in a clip, one this far below the loudest is a touch of the microphone or a rest of the other."""


def sounds_of(clips: Iterable[Clip], sample_rate: int, trim: Trim | None = None) -> list[Sound]:
    """Return the sounds of clips with a label, in their order, each from its onset to its offset at a sample rate.

    Where a clip does not say where its sound lies, trim finds it; with a longer pause inside, it becomes several
    sounds, which have their own onsets and offsets in `clip`. Silent clips give none.

    Raises:
        RecordingError: one of them can't be read.
    """
    sounds: list[Sound] = []
    for clip, audio in _decoded((clip for clip in clips if clip.label is not None), sample_rate):
        if clip.onset_seconds is not None and clip.offset_seconds is not None:
            spans = [(round(clip.onset_seconds * sample_rate), round(clip.offset_seconds * sample_rate))]
        else:
            spans = _spans(audio, sample_rate, trim)
        for begin, end in spans:
            cut = _cut(audio, begin, end, sample_rate)
            if cut.any():
                onset, offset = begin / sample_rate, min(end, len(audio)) / sample_rate
                sounds.append(Sound(replace(clip, onset_seconds=onset, offset_seconds=offset), cut))
    return sounds


def backgrounds_of(clips: Iterable[Clip], sample_rate: int) -> list[Audio]:
    """Return the recordings of clips without a label (n_samples,) each, or their pieces; silent ones are left out.

    Raises:
        RecordingError: one of them can't be read.
    """
    backgrounds = []
    for clip, audio in _decoded((clip for clip in clips if clip.label is None), sample_rate):
        begin, end = clip.onset_seconds or 0.0, clip.offset_seconds
        piece = audio[round(begin * sample_rate) : None if end is None else round(end * sample_rate)]
        if piece.any():
            backgrounds.append(piece)
    return backgrounds


def speech_of(paths: Iterable[Path], sample_rate: int) -> Audio:
    """Return recordings of speech in a row, without the pauses before, behind and inside of them, for babble.

    Raises:
        RecordingError: one of them can't be read.
    """
    clips = [Clip(path, "speech", None, None, None, None) for path in paths]
    return np.concatenate([np.zeros(0, np.float32), *(sound.audio for sound in sounds_of(clips, sample_rate))])


def _decoded(clips: Iterable[Clip], sample_rate: int) -> Iterator[tuple[Clip, Audio]]:
    """Yield clips with the audio (n_samples,) of their recordings; several clips of one in a row decode it once."""
    last: tuple[Path, Audio] | None = None
    for clip in clips:
        if last is None or last[0] != clip.path:
            samples, own_rate = read_audio(clip.path)
            # A constant offset is no sound, and would begin and end with a step.
            samples = samples - np.mean(samples, dtype=np.float64).astype(np.float32)
            last = clip.path, np.asarray(soxr.resample(samples, own_rate, sample_rate), np.float32)
        yield clip, last[1]


def _spans(audio: Audio, sample_rate: int, trim: Trim | None) -> list[tuple[int, int]]:
    found = find_sound(audio, sample_rate, trim)
    if found.verdict == "silent":
        return []
    return [(found.onset_sample, found.offset_sample)]


def _cut(audio: Audio, begin: int, end: int, sample_rate: int) -> Audio:
    """Return a stretch of a recording, faded where it does not begin or end with the recording itself."""
    cut = audio[begin:end].copy()
    n = min(round(FADE_SECONDS * sample_rate), len(cut) // 4)
    ramp = np.linspace(0, 1, n, dtype=np.float32)
    if begin > 0:
        cut[:n] *= ramp
    if end < len(audio):
        cut[len(cut) - n :] *= ramp[::-1]
    return cut
