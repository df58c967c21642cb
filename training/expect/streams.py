"""Long labelled streams: real recordings in a row as they are, and apart from them simulated scenes in a row.

A stream holds one group of clips, so that no split of streams cuts a group. All are int16, as the daemon hears them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamd.capture.recording import read_recording
from training.expect.event_match import Sound
from training.expect.play import LabelledStream
from training.prepare.clips import Clip
from training.prepare.simulation import scene
from training.prepare.simulation.chance import Range
from training.prepare.simulation.conditions import Conditions
from training.prepare.simulation.scene import Scene
from training.prepare.simulation.sounds import sounds_of
from training.prepare.simulation.workers import Workers
from training.prepare.trim import Trim

LEAD_SECONDS = 3.0
"""Before the first sound, if nobody asks for more: a model must have warmed up before anything can be missed."""
PAUSE_SECONDS = (2.0, 4.0)
"""Between two recordings in a row: longer than any min_silence that is chosen here, and uneven, so that no place within
a hop is favoured."""
LONGER_SECONDS = 1.0
"""Than the silence that ends an event: events end late, and reverberation rings on."""
ALONE_SECONDS = 30.0
"""A recording at least this long is a stream of its own."""
QUIET_DB = -75.0
"""RMS of the noise between recordings where no background was given: what a quiet microphone hisses by itself."""
FADE_SECONDS = 0.02
"""What surrounds a sound in its file is faded in and out for so long; the sound itself never is."""

Samples = NDArray[np.int16]
Floats = NDArray[np.float32]


def real_streams(
    clips: Sequence[Clip],
    sample_rate: int,
    lead_seconds: float = LEAD_SECONDS,
    gap_seconds: float = 0.0,
    seed: int = 0,
    trim: Trim | None = None,
) -> list[LabelledStream]:
    """Return recordings as streams: nothing in them is simulated, and no level is changed.

    Long recordings, and background, are streams of their own. Short ones of a group are put in a row, each with what
    surrounds its sound in its own file. Under them and between them lies background as it was recorded, or, where there
    is none, the hiss of a quiet microphone. The same lies before a long recording in which a sound comes too soon.

    Args:
        clips: held out; those without a label are background. Where a clip doesn't say where its sound lies, trim
            finds it; a silent one is left out.
        sample_rate: the model's.
        lead_seconds: before the first sound of a stream: longer than the model's warm-up.
        gap_seconds: the longest min_silence of the model: pauses are longer, or two sounds would be one event.
        seed: of the pauses and the hiss.
        trim: how sounds are found, as where they are learned from; None: as usual.

    Raises:
        RecordingError: one of them can't be read.
    """
    backgrounds = [(clip, _mapped(_between(clip, sample_rate))) for clip in clips if clip.label is None]
    beds = [_Bed(samples, sample_rate) for _, samples in backgrounds if len(samples) >= sample_rate]
    streams: list[LabelledStream] = []
    rows: dict[str, list[tuple[Floats, list[Sound]]]] = {}
    for path, own in _by_recording(clip for clip in clips if clip.label is not None).items():
        sounds = _sounds(own, sample_rate, trim)
        if not sounds:
            continue
        samples = _read(path, sample_rate)
        if len(samples) >= ALONE_SECONDS * sample_rate:
            if min(sound.onset_seconds for sound in sounds) < lead_seconds:
                random = np.random.default_rng([seed, len(streams), 1])
                bed = beds[len(streams) % len(beds)] if beds else None
                samples, sounds = _led(samples, sounds, bed, sample_rate, lead_seconds, random)
            streams.append(LabelledStream(_words(path), samples, tuple(sounds), _group(own[0])))
        else:
            rows.setdefault(_group(own[0]), []).append((_faded(samples, sounds, sample_rate), sounds))
    for i, (group, recordings) in enumerate(rows.items()):
        random = np.random.default_rng([seed, i])
        bed = beds[i % len(beds)] if beds else None
        pauses = random.uniform(*_pauses(PAUSE_SECONDS, gap_seconds), len(recordings))
        pauses[0] += lead_seconds
        samples, sounds = _in_a_row(recordings, bed, sample_rate, pauses, random)
        streams.append(LabelledStream(f"recordings of {group}", samples, tuple(sounds), group))
    streams += [LabelledStream(_words(clip.path), samples, (), _group(clip)) for clip, samples in backgrounds]
    return _with_own_names(streams)


def simulated_streams(
    conditions: Conditions,
    seconds: float,
    lead_seconds: float = LEAD_SECONDS,
    gap_seconds: float = 0.0,
    seed: int = 0,
    workers: Workers | None = None,
) -> list[LabelledStream]:
    """Return scenes in a row: one stream for each group of the sounds, about as long as one another.

    Args:
        conditions: what scenes are made from.
        seconds: of all streams together; each is at least one scene.
        lead_seconds: before the first sound: longer than the model's warm-up.
        gap_seconds: the longest min_silence of the model: where the recipe's pauses are shorter, pauses and scenes
            become longer.
        seed: of the scenes.
        workers: who makes them; None: this process.
    """
    groups = sorted({_group(sound.clip) for sound in conditions.material.sounds})
    conditions = _spread(conditions, gap_seconds)
    n_scenes = max(1, ceil(seconds / conditions.recipe.seconds / max(1, len(groups))))
    name = f"{conditions.name} scenes"
    made = _made(
        workers, conditions, [(_scene_of, (group, seed, name, i)) for group in groups for i in range(n_scenes)]
    )
    rate = conditions.material.sample_rate
    lead = _hiss(round(lead_seconds * rate), np.random.default_rng(seed))
    return [
        _joined(f"{name} with {group}", group, lead, [next(made) for _ in range(n_scenes)], rate) for group in groups
    ]


def negative_streams(
    conditions: Conditions, seconds: float, n_streams: int = 4, seed: int = 0, workers: Workers | None = None
) -> list[LabelledStream]:
    """Return scenes in a row without any of the sounds: what false alarms are counted on.

    Args:
        conditions: what scenes are made from; its sounds are left out.
        seconds: of all streams together.
        n_streams: how many streams, each a group of its own.
        seed: of the scenes.
        workers: who makes them; None: this process.

    Raises:
        ValueError: the recipe has no stage `level`: nothing else sets how loud the noise is.
    """
    n_scenes = max(1, ceil(seconds / conditions.recipe.seconds / n_streams))
    name = f"{conditions.name} background"
    tasks = [(_negative, (seed, name, i)) for i in range(n_scenes * n_streams)]
    made = _made(workers, conditions, tasks)
    rate = conditions.material.sample_rate
    none = np.zeros(0, np.int16)
    return [
        _joined(f"{name} {i + 1}", f"{name} {i + 1}", none, [next(made) for _ in range(n_scenes)], rate)
        for i in range(n_streams)
    ]


def _pauses(pauses: tuple[float, float], gap_seconds: float) -> tuple[float, float]:
    """Return pauses, lowest and longest, that are longer than a gap."""
    more = max(0.0, gap_seconds + LONGER_SECONDS - pauses[0])
    return pauses[0] + more, pauses[1] + more


def _spread(conditions: Conditions, gap_seconds: float) -> Conditions:
    recipe = conditions.recipe
    own = recipe.pause_seconds
    if gap_seconds <= own.low:
        return conditions
    low, high = _pauses((own.low, own.high), gap_seconds)
    longer = replace(
        recipe, pause_seconds=Range(low, high), seconds=recipe.seconds * (low + high) / (own.low + own.high)
    )
    return replace(conditions, recipe=longer)


_Made = tuple[Samples, list[Sound]]


def _made(
    workers: Workers | None, conditions: Conditions, tasks: Sequence[tuple[Callable[..., _Made], tuple[object, ...]]]
) -> Iterator[_Made]:
    """Yield scenes in order, by all workers at once."""
    if workers is None:
        return (function(conditions, *arguments) for function, arguments in tasks)
    shared = workers.share(conditions)
    waiting = [workers.run(function, shared, *arguments) for function, arguments in tasks]
    return (one.result() for one in waiting)


def _scene_of(conditions: Conditions, group: str, seed: int, name: str, i: int) -> _Made:
    sounds = [sound for sound in conditions.material.sounds if _group(sound.clip) == group]
    recipe, material = conditions.recipe, replace(conditions.material, sounds=sounds)
    return _as_heard(next(scene.stream(recipe, material, seed, f"{name}/{group}/{i}", recipe.seconds)))


def _negative(conditions: Conditions, seed: int, name: str, i: int) -> _Made:
    return _as_heard(scene.negative(conditions.recipe, conditions.material, seed, name, i))


def _as_heard(made: Scene) -> _Made:
    rate = made.sample_rate
    sounds = [
        Sound(one.label, one.onset_sample / rate, one.offset_sample / rate, clip=_words(one.clip.path))
        for one in made.labels
    ]
    return _int16(made.audio), sounds


def _joined(name: str, group: str, lead: Samples, scenes: Sequence[_Made], sample_rate: int) -> LabelledStream:
    sounds: list[Sound] = []
    position = len(lead)
    for samples, own in scenes:
        sounds += [_later(sound, position / sample_rate) for sound in own]
        position += len(samples)
    return LabelledStream(name, np.concatenate([lead, *(samples for samples, _ in scenes)]), tuple(sounds), group)


def _by_recording(clips: Iterable[Clip]) -> dict[Path, list[Clip]]:
    found: dict[Path, list[Clip]] = {}
    for clip in clips:
        found.setdefault(clip.path, []).append(clip)
    return found


def _sounds(clips: Sequence[Clip], sample_rate: int, trim: Trim | None) -> list[Sound]:
    """Return the sounds of one recording."""
    found = []
    for sound in sounds_of(clips, sample_rate, trim):
        onset, offset = sound.clip.onset_seconds or 0.0, sound.clip.offset_seconds or 0.0
        found.append(Sound(sound.label, onset, offset, clip=_words(sound.clip.path)))
    return found


def _read(path: Path, sample_rate: int) -> Samples:
    """Return a recording as an agent would send it."""
    return np.concatenate([np.zeros(0, np.int16), *read_recording(path, sample_rate)])


def _between(clip: Clip, sample_rate: int) -> Iterator[Samples]:
    """Yield background, or the piece of it that a split has left, in arrays (n_samples,) of any length."""
    begin = round((clip.onset_seconds or 0.0) * sample_rate)
    end = sys.maxsize if clip.offset_seconds is None else round(clip.offset_seconds * sample_rate)
    position = 0
    for samples in read_recording(clip.path, sample_rate):
        yield samples[max(0, begin - position) : max(0, end - position)]
        position += len(samples)
        if position >= end:
            return


def _mapped(parts: Iterable[Samples]) -> Samples:
    """Return samples (n_samples,) that lie in a temporary file: hours of a place needn't fit into memory."""
    with tempfile.TemporaryFile(prefix="streamd-background-") as file:
        n_samples = sum(file.write(samples.tobytes()) for samples in parts) // 2
        file.flush()
        # The file has no name, and is gone with the last array that looks at it.
        return np.asarray(np.memmap(file, np.int16, "c")) if n_samples else np.zeros(0, np.int16)


def _faded(samples: Samples, sounds: Sequence[Sound], sample_rate: int) -> Floats:
    """Return a recording whose surroundings come and go without a click."""
    begin = round(min(sound.onset_seconds for sound in sounds) * sample_rate)
    end = round(max(sound.offset_seconds for sound in sounds) * sample_rate)
    faded = samples.astype(np.float32)
    most = round(FADE_SECONDS * sample_rate)
    before, after = min(most, begin), max(0, min(most, len(faded) - end))
    faded[:before] *= np.linspace(0, 1, before, dtype=np.float32)
    faded[len(faded) - after :] *= np.linspace(1, 0, after, dtype=np.float32)
    return faded


@dataclass(frozen=True)
class _Bed:
    """Background that lies under recordings; where it ends it begins again, without a click."""

    samples: Samples
    sample_rate: int

    def drawn(self, n_samples: int, random: np.random.Generator) -> Samples:
        """Return a stretch of it, as often around as it takes; from somewhere in it, not each time its beginning."""
        n = len(self.samples)
        at = (int(random.integers(n)) + np.arange(n_samples)) % n
        n_fade = min(round(FADE_SECONDS * self.sample_rate), n // 2)
        gain = np.minimum(1.0, np.minimum(at, n - 1 - at) / (n_fade - 1))
        return np.rint(self.samples[at] * gain).astype(np.int16)


def _in_a_row(
    recordings: Sequence[tuple[Floats, list[Sound]]],
    bed: _Bed | None,
    sample_rate: int,
    pause_seconds: NDArray[np.float64],
    random: np.random.Generator,
) -> tuple[Samples, list[Sound]]:
    pauses = [round(float(pause) * sample_rate) for pause in pause_seconds]
    n_samples = sum(pauses) + sum(len(samples) for samples, _ in recordings) + round(PAUSE_SECONDS[1] * sample_rate)
    row = _under(bed, n_samples, random).astype(np.float32)
    sounds: list[Sound] = []
    position = 0
    for pause, (samples, own) in zip(pauses, recordings, strict=True):
        position += pause
        row[position : position + len(samples)] += samples
        sounds += [_later(sound, position / sample_rate) for sound in own]
        position += len(samples)
    return np.clip(np.rint(row), -32768, 32767).astype(np.int16), sounds


def _led(
    samples: Samples,
    sounds: Sequence[Sound],
    bed: _Bed | None,
    sample_rate: int,
    lead_seconds: float,
    random: np.random.Generator,
) -> tuple[Samples, list[Sound]]:
    """Return a recording after a lead; it comes without a click, and is as it was but for its edges."""
    lead = _under(bed, round(lead_seconds * sample_rate), random)
    recording = np.rint(_faded(samples, sounds, sample_rate)).astype(np.int16)
    return np.concatenate([lead, recording]), [_later(sound, len(lead) / sample_rate) for sound in sounds]


def _under(bed: _Bed | None, n_samples: int, random: np.random.Generator) -> Samples:
    """Return what lies under recordings: background, or hiss where there is none."""
    return _hiss(n_samples, random) if bed is None else bed.drawn(n_samples, random)


def _later(sound: Sound, seconds: float) -> Sound:
    return replace(sound, onset_seconds=sound.onset_seconds + seconds, offset_seconds=sound.offset_seconds + seconds)


def _hiss(n_samples: int, random: np.random.Generator) -> Samples:
    return _int16(np.float32(10 ** (QUIET_DB / 20)) * random.standard_normal(n_samples, np.float32))


def _int16(audio: Floats) -> Samples:
    heard: Samples = np.clip(np.rint(audio * 32768), -32768, 32767).astype(np.int16)
    return heard


def _group(clip: Clip) -> str:
    return clip.source if clip.source is not None else _words(clip.path)


def _words(path: Path) -> str:
    """A recording's name for people, without where it lies on somebody's disk."""
    return f"{path.parent.name}/{path.name}"


def _with_own_names(streams: Sequence[LabelledStream]) -> list[LabelledStream]:
    """Return streams no two of which have one name."""
    found: list[LabelledStream] = []
    n_called: dict[str, int] = {}
    for one in streams:
        n_called[one.name] = n_called.get(one.name, 0) + 1
        again = n_called[one.name]
        found.append(replace(one, name=f"{one.name} ({again})") if again > 1 else one)
    return found
