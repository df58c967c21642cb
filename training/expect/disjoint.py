"""Does evaluation play anything that training drew from? Compared by content: names and formats prove nothing.

A copy under another name is the usual leak, and a stretch of a recording that also stands whole somewhere else is the
next. So audio is cut into chunks where its own samples say so, the same ones wherever the stretch begins, and one
equal chunk is enough. Compared is what is decoded; what was resampled or made louder in between looks like another
recording, so give the files themselves, as `contents_of_clips` reads them, and of material what has no file.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamd.errors import DataError
from training.prepare.audio import read_audio
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
"""Looked at together: hours of background fit into the memory of a small machine."""


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

    Raises:
        RecordingError: a file can't be read.
    """
    last: tuple[Path, NDArray[np.float32], int] | None = None
    for clip in clips:
        if last is None or last[0] != clip.path:
            last = clip.path, *read_audio(clip.path)
        _, samples, rate = last
        begin = round((clip.onset_seconds or 0.0) * rate)
        end = len(samples) if clip.offset_seconds is None else round(clip.offset_seconds * rate)
        what: What = "background" if clip.label is None else "clip"
        yield _content(what, str(clip.path), samples[begin:end], rate)


def contents_of_material(material: Material) -> Iterator[Content]:
    """Yield what the rooms, the speech and the backgrounds of a material hold, as they are in memory.

    Generated noise is drawn anew in every scene and holds nothing that could be shared.
    """
    rate = material.sample_rate
    for room in material.rooms:
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
    pcm = np.rint(samples * np.float32(32_768)).astype(np.int32)
    steps: Steps = pcm[1:] - pcm[:-1]
    there = np.flatnonzero(steps)
    if not len(there):
        return frozenset()
    # Silence that another editor left around it changes nothing either.
    steps = steps[there[0] : there[-1] + 1]
    found = {_digest(steps)} if _tells(steps[:_BLOCK_SAMPLES]) else set()
    ends = _chunk_ends(steps)
    # What lies before the first end and behind the last depends on where somebody cut.
    for begin, end in pairwise(ends):
        chunk = steps[begin:end]
        # Some of its samples are enough: sorting all of them would cost more than all else here.
        if len(chunk) >= LEAST_SAMPLES and _tells(chunk[:: len(chunk) // LEAST_SAMPLES]):
            found.add(_digest(chunk))
    return frozenset(found)


def _chunk_ends(steps: Steps) -> list[int]:
    """Return where chunks end: behind samples whose hash is a multiple of the mean length, wherever they lie."""
    ends: list[int] = []
    for begin in range(0, len(steps) - _TAPS + 1, _BLOCK_SAMPLES):
        block = steps[begin : begin + _BLOCK_SAMPLES + _TAPS - 1]
        rolling = np.zeros(len(block) - _TAPS + 1, np.uint64)
        factor = 1
        for tap in range(_TAPS):
            # A hash modulo 2^64, where wrapping is meant: an odd factor for each sample.
            factor = factor * 6364136223846793005 % 2**64
            rolling += block[tap : tap + len(rolling)].astype(np.uint64) * np.uint64(factor)
        # The upper bits are the well mixed ones.
        mixed = (rolling * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
        ends += (np.flatnonzero(mixed % np.uint64(CHUNK_SAMPLES) == 0) + begin + _TAPS).tolist()
    return ends


def _tells(steps: Steps) -> bool:
    """Return whether steps are so different that being equal is no accident."""
    return len(np.unique(steps)) >= min(LEAST_VALUES, len(steps))


def _digest(steps: Steps) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(steps, "<i4").data).digest()


def _told(contents: list[Content]) -> str:
    counts = Counter(one.what for one in contents if one.what != "speech")
    parts = [f"{n} {what}{'s' if n != 1 else ''}" for what, n in sorted(counts.items())]
    minutes = sum(one.seconds for one in contents if one.what == "speech") / 60
    parts += [f"{minutes:.1f} min of speech"] if minutes else []
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts) or "nothing"
