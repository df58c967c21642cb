"""Does evaluation play anything that training drew from? Compared by content: names and formats prove nothing.

A copy under another name is the usual leak, and a stretch of a recording that also stands whole somewhere else is the
next. So audio is cut into chunks where its own samples say so, the same ones wherever the stretch begins, and one
equal chunk is enough. Compared is what is decoded; what was resampled or made louder in between looks like another
recording, so give the files themselves, as `contents_of_clips` reads them, and of material what has no file.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamd.capture.recording import RecordingReader
from streamd.errors import DataError
from training.prepare.clips import Clip
from training.prepare.simulation.material import Material

Steps = NDArray[np.int32]
What = Literal["clip", "background", "room", "speech"]

CHUNK_SAMPLES = 1024
"""Mean length of a chunk: a quarter of a second at 16 kHz holds four of them."""
LEAST_SAMPLES = 256
"""A shorter chunk may be equal by accident of a quiet recording."""
LEAST_VALUES = 32
"""Different values in a chunk; with fewer it is silence, or a tone that anybody would make so."""
_TAPS = 16
"""Samples that decide whether a chunk ends behind them."""
_BLOCK_SAMPLES = 1 << 20
"""Read and looked at together: hours of background fit into the memory of a small machine."""


@dataclass(frozen=True)
class Content:
    """One thing that is drawn from or played, and what it holds."""

    what: What
    name: str
    seconds: float
    digests: frozenset[bytes]
    """Of all of it, and of its chunks."""


def contents_of_clips(clips: Iterable[Clip]) -> Iterator[Content]:
    """Yield what clips hold, decoded from their files at their own rate; of a clip with times only what is between.

    Recordings may be longer than the memory: each is gone through once, whatever clips lie in it.

    Raises:
        RecordingError: a file can't be read.
    """
    of_path: dict[Path, list[Clip]] = {}
    for clip in clips:
        of_path.setdefault(clip.path, []).append(clip)
    for path, own in of_path.items():
        reader = RecordingReader(str(path))
        try:
            yield from _contents(own, reader)
        finally:
            reader.close()


def _contents(clips: Sequence[Clip], reader: RecordingReader) -> Iterator[Content]:
    """Yield what clips of one recording hold."""
    rate = reader.sample_rate
    begins = [round((clip.onset_seconds or 0.0) * rate) for clip in clips]
    ends = [sys.maxsize if clip.offset_seconds is None else round(clip.offset_seconds * rate) for clip in clips]
    digesters = [_Digester() for _ in clips]
    position = 0
    while len(block := reader.read(_BLOCK_SAMPLES)):
        for begin, end, digester in zip(begins, ends, digesters, strict=True):
            if begin < position + len(block) and end > position:
                digester.push(block[max(0, begin - position) : end - position])
        position += len(block)
    for clip, digester in zip(clips, digesters, strict=True):
        what: What = "background" if clip.label is None else "clip"
        yield Content(what, str(clip.path), digester.n_samples / rate, digester.digests())


def contents_of_material(material: Material) -> Iterator[Content]:
    """Yield what the rooms, the speech and the backgrounds of a material hold, as they are in memory.

    Generated noise is drawn anew in every scene and holds nothing that could be shared.
    """
    rate = material.sample_rate
    for room in dict.fromkeys(material.rooms):  # one that is drawn more often is there several times
        # Chunks would be at the mercy of rounding in the tail: a room is the same as a whole, or another.
        whole = hashlib.sha256(np.asarray(room.response, "<f4").tobytes()).digest()
        yield Content("room", room.name, len(room.response) / rate, frozenset({whole}))
    if len(material.speech):
        yield _content("speech", "the speech of babble", material.speech, rate)
    for i, background in enumerate(material.backgrounds):
        yield _content("background", f"background {i + 1}", background, rate)


def disjoint(training: Iterable[Content], evaluation: Iterable[Content]) -> str:
    """Return what was compared, and that nothing is shared, in a sentence.

    Args:
        training: all that training drew from, thresholds and checkpoints included.
        evaluation: all that evaluation plays.

    Raises:
        DataError: something is in both; both names are in the message.
    """
    drawn, played = list(training), list(evaluation)
    owner = {digest: one for one in drawn for digest in one.digests}
    for one in played:
        other = next((owner[digest] for digest in sorted(one.digests) if digest in owner), None)
        if other is not None:
            raise DataError(
                f"{other.name} ({other.what}) is drawn from in training, and {one.name} ({one.what}) is played to judge"
                " it, but both hold the same audio; leave one of them out, or give both one source"
            )
    return f"Compared by content, {_told(drawn)} that training drew from and {_told(played)} played here share nothing."


def _content(what: What, name: str, samples: NDArray[np.float32], rate: int) -> Content:
    return Content(what, name, len(samples) / rate, digests(samples))


def digests(samples: NDArray[np.float32]) -> frozenset[bytes]:
    """Return the hashes of samples (n_samples,) as a whole and of their chunks; none of silence.

    Both are of the steps between 16-bit samples: a constant offset, taken off by one reader and not by another, changes
    nothing.
    """
    digester = _Digester()
    for begin in range(0, len(samples), _BLOCK_SAMPLES):
        digester.push(samples[begin : begin + _BLOCK_SAMPLES])
    return digester.digests()


class _Digester:
    """Hashes a recording that comes in blocks of any length; it keeps no more of it than the chunk that is open."""

    def __init__(self) -> None:
        self.n_samples = 0
        self._last: Steps = np.zeros(0, np.int32)
        """The last sample, (1,), from which the next step is taken."""
        self._n_zeros = 0
        """Steps of silence that may be what somebody left at the end."""
        self._n_steps = 0
        self._values: Steps = np.zeros(0, np.int32)
        """Different steps so far, until there are enough."""
        self._whole = hashlib.sha256()
        self._context: Steps = np.zeros(0, np.int32)
        """The last steps, which help to decide where the next chunk ends."""
        self._open: list[Steps] | None = None
        """The chunk that has begun; None: what lies before the first end depends on where somebody cut."""
        self._found: set[bytes] = set()

    def push(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples (n_samples,)."""
        self.n_samples += len(samples)
        pcm = np.concatenate([self._last, np.rint(samples * np.float32(32_768)).astype(np.int32)])
        self._last = pcm[-1:]
        steps: Steps = pcm[1:] - pcm[:-1]
        there = np.flatnonzero(steps)
        if not len(there):
            self._n_zeros += len(steps)
            return
        # Silence that another editor left around it changes nothing: none is taken before the first step of sound.
        silent = self._n_zeros + int(there[0])
        while self._n_steps and silent:
            self._take(np.zeros(min(silent, _BLOCK_SAMPLES), np.int32))
            silent -= min(silent, _BLOCK_SAMPLES)
        self._take(steps[there[0] : there[-1] + 1])
        self._n_zeros = len(steps) - 1 - int(there[-1])

    def digests(self) -> frozenset[bytes]:
        """Return the hashes of what came; what lies behind the last end is part of none but that of the whole."""
        told = self._n_steps and len(self._values) >= min(LEAST_VALUES, self._n_steps)
        return frozenset({*self._found, self._whole.digest()} if told else self._found)

    def _take(self, steps: Steps) -> None:
        self._n_steps += len(steps)
        self._whole.update(_bytes(steps))
        if len(self._values) < LEAST_VALUES:
            self._values = np.union1d(self._values, steps)
        ends = _chunk_ends(self._context, steps)
        self._context = np.concatenate([self._context, steps])[-(_TAPS - 1) :]
        if not len(ends):
            if self._open is not None:
                self._open.append(steps)
            return
        if self._open is not None:
            self._chunk(np.concatenate([*self._open, steps[: ends[0]]]))
        for i in np.flatnonzero(np.diff(ends) >= LEAST_SAMPLES):
            self._chunk(steps[ends[i] : ends[i + 1]])
        self._open = [steps[ends[-1] :].copy()]

    def _chunk(self, chunk: Steps) -> None:
        # Some of its samples are enough: sorting all of them would cost more than all else here.
        if len(chunk) >= LEAST_SAMPLES and _tells(chunk[:: len(chunk) // LEAST_SAMPLES]):
            self._found.add(hashlib.sha256(_bytes(chunk)).digest())


def _chunk_ends(context: Steps, steps: Steps) -> NDArray[np.intp]:
    """Return where in steps chunks end: behind samples whose hash is a multiple of the mean length, wherever they lie.

    context: what came before; _TAPS - 1 steps, or fewer at the beginning.
    """
    block = np.concatenate([context, steps])
    rolling = np.zeros(max(0, len(block) - _TAPS + 1), np.uint64)
    factor = 1
    for tap in range(_TAPS):
        # A hash modulo 2^64, where wrapping is meant: an odd factor for each sample.
        factor = factor * 6364136223846793005 % 2**64
        rolling += block[tap : tap + len(rolling)].astype(np.uint64) * np.uint64(factor)
    # The upper bits are the well mixed ones.
    mixed = (rolling * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return np.flatnonzero(mixed % np.uint64(CHUNK_SAMPLES) == 0) + _TAPS - len(context)


def _tells(steps: Steps) -> bool:
    """Return whether steps are so different that being equal is no accident."""
    return len(np.unique(steps)) >= min(LEAST_VALUES, len(steps))


def _bytes(steps: Steps) -> memoryview:
    return np.ascontiguousarray(steps, "<i4").data


def _told(contents: list[Content]) -> str:
    counts = Counter(one.what for one in contents if one.what != "speech")
    parts = [f"{n} {what}{'s' if n != 1 else ''}" for what, n in sorted(counts.items())]
    minutes = sum(one.seconds for one in contents if one.what == "speech") / 60
    parts += [f"{minutes:.1f} min of speech"] if minutes else []
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts) or "nothing"
