"""Windows with a sound of known age: what a head on a frozen embedding learns from.

A window slides over a sound: it is just beginning, then whole, then fading out of the window's begin. Its label is
asked for only where enough of it was heard; just after the onset, and when the onset has left the window, the answer
is "none". So the highest posterior over a stream is that of a window that knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import soundfile
from numpy.typing import NDArray

from training.prepare.simulation import self_noise, speed
from training.prepare.simulation.audio import Audio, to_gain
from training.prepare.simulation.chance import Range, generator
from training.prepare.simulation.material import Sound
from training.prepare.simulation.sounds import FADE_SECONDS, sounds_of

HEARD_SECONDS = 0.35
"""A sound of that age is asked for its label: a kick and a tom begin alike."""
UNHEARD_SECONDS = 0.2
"""Before that age the answer is none; in between it is left open."""

SPEED = speed.SpeedRange(Range(2 ** (-1 / 12), 2 ** (1 / 12)))
"""A semitone up or down. More would turn a tom into a kick."""
EQ_DB = 3.0
EQ_BANDS = 7
EQ_HZ = (40.0, 16_000.0)
"""Standard deviation of the response between sound and samples, at so many places on an octave scale."""
PEAK_DB = Range(-25.0, 0.0)
NOISE_SHARE = 0.7
"""Of the windows have self-noise; the others are as silent as a file can be."""


@dataclass(frozen=True)
class Drawn:
    """How many windows are drawn of each sound."""

    heard: int = 24
    unheard: int = 5
    faded: int = 5
    """Of sounds that outlast the window."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows and what is to be answered to them."""

    audio: NDArray[np.int16]
    """(n_windows, n_samples)"""
    sound: NDArray[np.intp]
    """(n_windows,) number of the sound in it."""
    asked: NDArray[np.bool_]
    """(n_windows,) True: its label is the answer; False: none."""


def ringing_out(sounds: Sequence[Sound], sample_rate: int) -> list[Sound]:
    """Return sounds with what comes before and after them: from a little before the onset to the next sound of the clip
    or its end.

    A stream is not silent after an offset: it holds the tail that trim takes off, and a network that looks at a
    logarithm hears it. And what fades in at a cut must not be the attack.
    """
    whole = []
    for sound in sounds:
        onset = sound.clip.onset_seconds or 0.0
        later = [other.clip.onset_seconds or 0.0 for other in sounds if other.clip.path == sound.clip.path]
        end = min((one for one in later if one > onset), default=math.inf)
        end = min(end, float(soundfile.info(sound.clip.path).duration))
        whole.append(replace(sound.clip, onset_seconds=max(0.0, onset - FADE_SECONDS), offset_seconds=end))
    return sounds_of(whole, sample_rate)


def windows(
    sounds: Sequence[Sound], sample_rate: int, n_samples: int, seed: int, drawn: Drawn | None = None
) -> Windows:
    """Draw windows of n_samples of each sound; the same arguments give the same windows."""
    drawn = drawn or Drawn()
    span = n_samples / sample_rate
    audio, numbers, asked = [], [], []
    for number, sound in enumerate(sounds):
        outlasts = len(sound.audio) > 1.2 * n_samples
        kinds = ["heard"] * drawn.heard + ["unheard"] * drawn.unheard + ["faded"] * (drawn.faded * outlasts)
        for turn, kind in enumerate(kinds):
            rng = generator(seed, f"{number}/{turn}", kind)
            longest = len(sound.audio) / sample_rate
            ages = {
                "heard": Range(HEARD_SECONDS, span),
                "unheard": Range(0.02, UNHEARD_SECONDS),
                "faded": Range(1.05 * span, max(1.05 * span, min(longest + span / 2, 4 * span))),
            }
            audio.append(_window(sound.audio, round(ages[kind].draw(rng) * sample_rate), n_samples, sample_rate, rng))
            numbers.append(number)
            asked.append(kind == "heard")
    return Windows(np.stack(audio), np.array(numbers), np.array(asked))


def _window(sound: Audio, age: int, n_samples: int, sample_rate: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return a window at whose end the sound began so many samples ago."""
    # What sounded before the window matters to a response, but not for long.
    begin = max(0, age - n_samples - sample_rate // 10)
    heard = sound[begin : round(age * SPEED.factor.high) + 1]
    heard = _equalised(speed.draw(rng, SPEED).apply(heard, sample_rate), sample_rate, rng)[: age - begin]
    window = np.zeros(n_samples, np.float32)
    place = n_samples - (age - begin)
    kept = heard[max(0, -place) :]
    window[max(0, place) :][: len(kept)] = kept
    window *= to_gain(PEAK_DB.draw(rng)) / max(float(np.abs(sound).max()), 1e-6)
    if rng.random() < NOISE_SHARE:
        window = self_noise.draw(rng, self_noise.SelfNoiseRange()).apply(window, sample_rate)
    return np.clip(np.rint(window * 32768), -32768, 32767).astype(np.int16)


def _equalised(audio: Audio, sample_rate: int, rng: np.random.Generator) -> Audio:
    n_fft = 1 << max(12, len(audio).bit_length())
    hertz = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    octaves = np.log2(np.maximum(hertz, EQ_HZ[0]) / EQ_HZ[0]) / np.log2(EQ_HZ[1] / EQ_HZ[0])
    db = np.interp(octaves, np.linspace(0, 1, EQ_BANDS), rng.normal(0, EQ_DB, EQ_BANDS))
    shaped = np.fft.irfft(np.fft.rfft(audio, n_fft) * 10 ** (db / 20), n_fft)
    return shaped[: len(audio)].astype(np.float32)
