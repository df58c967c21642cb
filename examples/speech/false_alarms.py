"""How often a speech model hears somebody where nobody speaks: in music that it never learned from, and in made sounds.

What speaks counts as heard rightly in any language, so it is music that real hours without speech are made of. A track
in which YAMNet hears a voice in over 2 % of its windows is left out, as `make_data` leaves it out; nobody listened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.speech.scenes import clips_of
from streamd.capture.recording import read_recording
from streamd.model import Model
from training.expect.counted import Counted
from training.expect.play import LabelledStream, play
from training.prepare.negatives import HALVES, MADE

UNLEARNED = {
    "test": "music of the comparison",
    "test2": "music of the comparison",
    "count": "music heard here first",
}
"""Splits of music that nothing was trained on or chosen on. That of the comparison was known when recipes were changed:
a little of what it is like may have come into the model that way."""


@dataclass(frozen=True)
class Heard:
    """What a model made of one package of music, or of one made sound."""

    name: str
    kind: str
    n_recordings: int
    counted: Counted
    seconds: float
    """In events."""
    origin: dict[str, Any]
    """Of a package: its version, licence and checksum, and how many tracks were left out for voices."""

    def as_expected(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        about = {"name": self.name, "kind": self.kind, "n_recordings": self.n_recordings}
        return about | _together([self]) | self.origin


def false_alarms(model: Model, data: Path) -> dict[str, Any]:
    """Return what a manifest says of false alarms: recordings and made sounds apart, each with its interval.

    Args:
        model: with the decisions that are shipped.
        data: the folder that make_data wrote.
    """
    music, made = list(_music(model, data)), list(_made(model))
    kinds = {kind: [one for one in music if one.kind == kind] for kind in dict.fromkeys(one.kind for one in music)}
    return {
        "real": _together(music),
        "real_by_kind": {kind: _together(some) for kind, some in kinds.items()},
        "made": _together(made),
        "left_out": "tracks in which YAMNet hears a voice in over 2 % of its windows",
        "heard": [one.as_expected() for one in (*music, *made)],
    }


def _together(some: Sequence[Heard]) -> dict[str, Any]:
    total = Counted.all_of(one.counted for one in some)
    part_of_time = sum(one.seconds for one in some) / 3600 / total.hours
    return total.as_expected() | {"part_of_time": round(part_of_time, 5)}


def _music(model: Model, data: Path) -> Iterator[Heard]:
    sources = {one["package"]: one for one in json.loads((data / "sources.json").read_text()) if one["kind"] == "music"}
    for split, kind in UNLEARNED.items():
        tracks = [clip.path for clip in clips_of(data, split) if clip.label is None]
        for package in sorted({path.parent.name for path in tracks}):
            one = sources[package]
            n_left_out = sum("hears a voice" in why for why in (one["left_out"] or {}).values())
            origin = {key: one[key] for key in ("version", "licence", "sha256")} | {"n_left_out": n_left_out}
            paths = [path for path in tracks if path.parent.name == package]
            streams = [LabelledStream(path.stem, _samples(path, model.manifest.sample_rate), ()) for path in paths]
            yield _heard(model, package, kind, streams, origin)


def _samples(path: Path, sample_rate: int) -> NDArray[np.int16]:
    return np.concatenate(list(read_recording(path, sample_rate)))


def _made(model: Model) -> Iterator[Heard]:
    for name, make in MADE.items():
        yield _heard(model, name, "made", [LabelledStream(half, make(half), ()) for half in HALVES], {})


def _heard(model: Model, name: str, kind: str, streams: Sequence[LabelledStream], origin: dict[str, Any]) -> Heard:
    played = play(model, streams)
    hours = sum(len(one.posteriors) for one in played) * model.manifest.hop_seconds / 3600
    events = [event for one in played for event in one.events]
    seconds = sum(event.offset_seconds - event.onset_seconds for event in events)
    return Heard(name, kind, len(streams), Counted(hours=hours, n_events=len(events)), seconds, origin)
