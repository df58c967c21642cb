"""From files to material: decoded once, at one sample rate, cut to the sound."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count
from math import ceil
from pathlib import Path

import numpy as np
import soxr

from streamd.capture.recording import RecordingReader
from training.prepare.audio import read_audio, seconds_of
from training.prepare.clips import Clip
from training.prepare.simulation.audio import Audio, to_gain
from training.prepare.simulation.material import Sound
from training.prepare.trim import Trim, find_sound

FADE_SECONDS = 0.005
"""Where a recording was cut, its noise would begin with a click."""
QUIETER_DB = 20.0
"""Of several sounds in a clip, one this far below the loudest is a touch of the microphone or a rest of the other."""

MOST_BACKGROUND_SECONDS = 3600.0
"""Of recordings of places are used: an hour is 230 MB at 16 kHz, and six times what a network hears in ten minutes of
training."""
STRETCH_SECONDS = 30.0
"""Where there is more, it is taken in stretches of so long."""


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

    Of more than MOST_BACKGROUND_SECONDS in all, the same share of each recording is taken, spread over its length.

    Raises:
        RecordingError: one of them can't be read.
    """
    quiet = [clip for clip in clips if clip.label is None]
    share, stretches = min(1.0, MOST_BACKGROUND_SECONDS / max(1.0, background_seconds(quiet))), count()
    pieces = (_background(clip, sample_rate, share, stretches) for clip in quiet)
    return [piece for piece in pieces if piece.any()]


def left_out_of_background(clips: Iterable[Clip]) -> list[str]:
    """Return a line if `backgrounds_of` these clips leaves something out; none if it takes all."""
    seconds = background_seconds(clips)
    if seconds <= MOST_BACKGROUND_SECONDS:
        return []
    told = (
        f"of {seconds / 60:.0f} min of background to learn from, scenes are made of {MOST_BACKGROUND_SECONDS / 60:.0f}"
    )
    return [f"{told}: stretches of {STRETCH_SECONDS:.0f} s out of every recording, spread over its length"]


def background_seconds(clips: Iterable[Clip]) -> float:
    """Return how long the recordings without a label last together, or their pieces."""
    return sum(seconds_of(clip) for clip in clips if clip.label is None)


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
    """Return from where to where the sounds of a clip (n_samples,) last; none for a silent one."""
    spans = find_sound(audio, sample_rate, trim).spans
    peaks = [float(np.abs(audio[begin:end]).max()) for begin, end in spans]
    return [span for span, peak in zip(spans, peaks, strict=True) if peak >= max(peaks) * to_gain(-QUIETER_DB)]


def _background(clip: Clip, sample_rate: int, share: float, stretches: Iterator[int]) -> Audio:
    """Return a share (0…1) of a background recording, or of its piece; one stretch in 1 / share is kept."""
    reader = RecordingReader(str(clip.path))
    try:
        resampler = soxr.ResampleStream(reader.sample_rate, sample_rate, 1, "float32")
        begin = round((clip.onset_seconds or 0.0) * reader.sample_rate)
        end = sys.maxsize if clip.offset_seconds is None else round(clip.offset_seconds * reader.sample_rate)
        kept, position = [np.zeros(0, np.float32)], 0
        n_block = round(STRETCH_SECONDS * reader.sample_rate)
        while position < end and len(block := reader.read(min(n_block, end - position))):
            inside = block[max(0, begin - position) :]
            position += len(block)
            if len(inside) and ceil((i := next(stretches)) * share + share) > ceil(i * share):
                kept.append(resampler.resample_chunk(inside))
    finally:
        reader.close()
    audio = np.concatenate([*kept, resampler.resample_chunk(np.zeros(0, np.float32), last=True)])
    return audio - np.mean(audio, dtype=np.float64).astype(np.float32) if len(audio) else audio


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
