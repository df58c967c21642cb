"""What scenes are made of: sounds, rooms, speech for babble, recordings of places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from training.prepare.clips import Clip
from training.prepare.simulation.audio import Audio
from training.prepare.simulation.room import Room


@dataclass(frozen=True, eq=False)
class Sound:
    """A dry clip, trimmed: it begins with its onset and ends with its offset."""

    clip: Clip
    audio: Audio
    """(n_samples,)"""

    def __post_init__(self) -> None:
        if self.clip.label is None:
            raise ValueError(f"{self.clip.path} is background; expected a sound with a label")
        if not len(self.audio):
            raise ValueError(f"{self.clip.path} has no samples between its onset and its offset")

    @property
    def label(self) -> str:
        """The name of the sound."""
        return str(self.clip.label)


@dataclass(frozen=True, eq=False)
class Material:
    """Everything at one sample rate. What training may use and what it is tested with are two of these."""

    sample_rate: int
    sounds: Sequence[Sound] = ()
    rooms: Sequence[Room] = ()
    speech: Audio = field(default_factory=lambda: np.zeros(0, np.float32))
    """Recordings of speech in a row (n_samples,), for babble; empty: no babble."""
    backgrounds: Sequence[Audio] = ()
    """Recordings without any of the sounds, (n_samples,) each; they hold their own room."""

    def __post_init__(self) -> None:
        for room in self.rooms:
            if room.sample_rate != self.sample_rate:
                raise ValueError(f"room {room.name} is at {room.sample_rate} Hz, the material at {self.sample_rate}")
