"""One honest message of every kind, to be varied by a test."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from streamd.events import Event, Heartbeat, Level, Score, State, at
from streamd.publish import Publisher

START = at(1_767_261_600.123456)
ONSET = Event(
    run="3f2a",
    host="pi",
    source="kitchen",
    seq=1,
    event_id="3f2a-kitchen-1",
    phase="onset",
    label="Dog",
    score=0.75,
    peak=0.75,
    onset_threshold=0.6,
    take="9c01",
    sample_rate=16_000,
    onset_sample=4_800,
    offset_sample=None,
    onset_seconds=0.3,
    offset_seconds=None,
    onset_time=START + timedelta(seconds=0.3),
    offset_time=None,
    end_reason=None,
    model="yamnet",
    model_sha256="ab" * 32,
    latency_seconds=0.25,
)
STATE = State(
    run="3f2a",
    host="pi",
    source="kitchen",
    seq=1,
    time=START,
    status="live",
    detail="USB microphone, 48000 Hz",
    take="9c01",
    sample_rate=16_000,
    gap=None,
    open_events=[],
)
HEARTBEAT = Heartbeat(run="3f2a", host="pi", source="kitchen", time=START, last_seq=1, lag_seconds=0.125)
SCORE = Score(
    run="3f2a",
    host="pi",
    source="kitchen",
    time=START,
    take="9c01",
    model="yamnet",
    end_sample=4_800,
    posteriors={"Dog": 0.5, "Cat": 0.25},
    scores={"Dog": 0.5},
    onset_thresholds={"Dog": 0.6},
)
LEVEL = Level(
    run="3f2a", host="pi", source="kitchen", time=START, take="9c01", end_sample=4_800, rms_db=-40.5, peak_db=-20.25
)

_ids = itertools.count(1)


def onset(publisher: Publisher, source: str = "kitchen", label: str = "Dog") -> Event:
    """Make the next message of a publisher: an onset, not yet sent."""
    return _stamped(publisher, ONSET, {"source": source, "label": label, "event_id": f"{source}-{next(_ids)}"})


def offset(publisher: Publisher, of: Event) -> Event:
    """Make the next message of a publisher: the offset of an onset, not yet sent."""
    ended = {
        "phase": "offset",
        "score": 0.125,
        "offset_sample": of.onset_sample + 8_000,
        "offset_seconds": of.onset_seconds + 0.5,
        "offset_time": of.onset_time + timedelta(seconds=0.5),
        "end_reason": "silence",
    }
    return _stamped(publisher, of, ended)


def state(publisher: Publisher, source: str = "kitchen", detail: str = "live") -> State:
    """Make the next message of a publisher: a state, not yet sent."""
    return publisher.state(source, status="live", detail=detail, time=START, take="9c01", sample_rate=16_000)


def renamed(event: Event, event_id: str) -> Event:
    """Return an event with another event_id."""
    return msgspec.structs.replace(event, event_id=event_id)


def _stamped(publisher: Publisher, event: Event, changes: Mapping[str, Any]) -> Event:
    source = changes.get("source", event.source)
    return msgspec.structs.replace(
        event, **changes, run=publisher.run, host=publisher.host, seq=publisher.next_seq(source)
    )
