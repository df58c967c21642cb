"""For tests of the recorder: a take whose samples tell where they are from, handed over as a daemon does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamd.events import Event, at
from streamd.recorder.desk import Desk, Recording
from streamd.recorder.messages import Heard, High, Told
from tests import samples

RATE = 1_000
BLOCK = 100
TAKE = "9c01-1000"
START = 1_767_261_600.0
"""Wall time of sample 0."""
NOTHING = np.zeros(0, np.int16)


def pcm(first_sample: int, end_sample: int) -> NDArray[np.int16]:
    """Samples whose values follow from their positions alone."""
    n = np.arange(first_sample, end_sample)
    return ((n * 7919) % 20_011 - 10_000).astype(np.int16)


def heard(first_sample: int, take: str = TAKE, source: str = "kitchen") -> Heard:
    """The header of a block."""
    return Heard(
        source=source,
        take=take,
        sample_rate=RATE,
        first_sample=first_sample,
        captured_at=START + first_sample / RATE,
    )


def play(desk: Desk, first_sample: int, end_sample: int, take: str = TAKE) -> list[Recording]:
    """Hand over audio, block by block; return the recordings that are done by it."""
    return [done for begin in blocks(first_sample, end_sample) for done in desk.take_in(*begin_of(begin, take))]


def blocks(first_sample: int, end_sample: int) -> Iterator[int]:
    """Where blocks begin."""
    return iter(range(first_sample, end_sample, BLOCK))


def begin_of(begin: int, take: str = TAKE) -> tuple[Heard, NDArray[np.int16]]:
    """A block as a message and its PCM."""
    return heard(begin, take), pcm(begin, begin + BLOCK)


def onset(sample: int, **changed: Any) -> Event:
    """A sound begins at a sample."""
    event = msgspec.structs.replace(
        samples.ONSET,
        take=TAKE,
        sample_rate=RATE,
        onset_sample=sample,
        onset_seconds=sample / RATE,
        onset_time=at(START + sample / RATE),
    )
    return msgspec.structs.replace(event, **changed)


def offset(of: Event, sample: int, **changed: Any) -> Event:
    """It ends."""
    event = msgspec.structs.replace(
        of,
        phase="offset",
        offset_sample=sample,
        offset_seconds=sample / RATE,
        offset_time=at(START + sample / RATE),
        end_reason="silence",
    )
    return msgspec.structs.replace(event, **changed)


def tell(desk: Desk, event: Event) -> list[Recording]:
    """Hand over an event."""
    return desk.take_in(Told(event=event), NOTHING)


def score(desk: Desk, end_sample: int, value: float, label: str = "Dog") -> None:
    """Hand over the score of a hop of 100 samples, if it is at least 0.3."""
    if value >= 0.3:
        message = High(
            source="kitchen",
            take=TAKE,
            model="yamnet",
            model_sha256="ab" * 32,
            end_sample=end_sample,
            hop_samples=BLOCK,
            onset_delay=0,
            scores={label: value},
            onset_thresholds={label: 0.6},
            told=[],
        )
        assert desk.take_in(message, NOTHING) == []
