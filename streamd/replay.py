"""Recordings through the detector, as fast as they can be read: the events that live audio would give."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path

import numpy as np

from streamd.capture.recording import read_recording
from streamd.decision import DecisionSpec
from streamd.detector import Detection, Detector
from streamd.errors import RecordingError
from streamd.events import Event, slug
from streamd.model import Model
from streamd.report import TakeClock, event

RUN = "replay"
"""What stands for the run in a replay's events, so that the same recording gives the same events."""


def replay(
    recordings: Sequence[Path],
    model: Model,
    decisions: Mapping[str, DecisionSpec] | None = None,
    *,
    pad_seconds: float = 0.0,
    start: datetime,
) -> Iterator[Event]:
    """Yield the events of recordings, one after the other, as the detector finds them.

    Args:
        recordings: WAV, FLAC, OGG or MP3 files of any rate; several channels are mixed.
        model: the loaded model.
        decisions: the labels that are on and how they are decided; by default the model's own.
        pad_seconds: digital silence before and after, as real input; positions begin with it.
        start: wall time of a recording's first sample, before the padding.

    Raises:
        RecordingError: a file can't be read, or is shorter than the model's first score.
    """
    for file in recordings:
        yield from _replay_one(file, model, decisions, pad_seconds, start)


def _replay_one(
    file: Path, model: Model, decisions: Mapping[str, DecisionSpec] | None, pad_seconds: float, start: datetime
) -> Iterator[Event]:
    facts = model.manifest
    detector = Detector(model, decisions)
    source = source_name(file)
    detector.start(source)
    pad = np.zeros(round(pad_seconds * facts.sample_rate), np.int16)
    clock = TakeClock(str(file), facts.sample_rate, len(pad), start.timestamp())
    host = socket.gethostname()
    seq = 0

    def told(detections: Iterable[Detection]) -> Iterator[Event]:
        nonlocal seq
        for detection in detections:
            seq += 1
            yield event(
                detection,
                clock,
                run=RUN,
                host=host,
                seq=seq,
                event_id=f"{RUN}-{source}-{detection.number}",
                model=facts.name,
                model_sha256=model.sha256,
                latency_seconds=None,
            )

    for block in chain([pad], read_recording(file, facts.sample_rate), [pad]):
        detector.push(source, block)
        for hop in detector.step():
            yield from told(hop.detections)
    n_samples = detector.position(source)
    if n_samples < facts.first_score_samples:
        rate = facts.sample_rate
        raise RecordingError(
            f"{file}: {n_samples / rate:.2f} s long; model {facts.name} gives its first score after "
            f"{facts.first_score_samples / rate:.2f} s: add silence around it with --pad SECONDS"
        )
    yield from told(detector.end(source, "end"))


def source_name(file: Path) -> str:
    """Return a recording's name as a source: its stem in lower case, other characters as "-"."""
    return slug(file.stem)[:63] or "recording"
