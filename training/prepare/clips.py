"""What a data set is made of, whichever way it was stored: clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Clip:
    """One sound, or a recording without it; times in seconds count from the beginning of the file."""

    path: Path
    label: str | None
    """None: background, a recording without the sound."""
    onset_seconds: float | None
    """None, as is the offset: the whole file, until trim finds the sound."""
    offset_seconds: float | None
    source: str | None
    """The group: recording, speaker, kit, session; None until groups.py finds it."""
    split: str | None
    """The official fold or split, where the data set has one."""
