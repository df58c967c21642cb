"""Streams with tones at known places, for tests of what plays them through tiny models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.tiny_models import SAMPLE_RATE, tone
from training.expect.event_match import Sound
from training.expect.play import LabelledStream

LOW, MIDDLE, HIGH = "Low tone", "Middle tone", "High tone"

Tone = tuple[str, float, float, float]
"""Label, onset and offset in seconds, level."""


def stream(
    name: str, seconds: float, tones: Sequence[Tone], unlabelled: Sequence[Tone] = (), group: str | None = None
) -> LabelledStream:
    """Faint noise with tones, labelled or not."""
    random = np.random.default_rng(list(name.encode()))
    samples: NDArray[np.float32] = random.normal(0, 1e-4, round(seconds * SAMPLE_RATE)).astype(np.float32)
    for label, onset, offset, level in (*tones, *unlabelled):
        begin, end = round(onset * SAMPLE_RATE), round(offset * SAMPLE_RATE)
        samples[begin:end] += tone(end - begin, label, level)
    sounds = tuple(Sound(label, onset, offset, clip=f"{name} at {onset:g}") for label, onset, offset, _ in tones)
    return LabelledStream(name, samples, sounds, group)


def loud(n: int, label: str = LOW, level: float = 0.5) -> list[Tone]:
    """So many tones of half a second, two seconds apart."""
    return [(label, 2.0 * i + 1, 2.0 * i + 1.5, level) for i in range(n)]
