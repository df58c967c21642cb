"""Contract of control: questions to the daemon and its answers, one JSON frame each.

The daemon holds a ROUTER, the asker a DEALER or REQ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from streamd.errors import MessageError
from streamd.events import BROKEN_JSON, ClockReport, Event, JournalState, SignalProblem, SourceStatus


class StatusRequest(msgspec.Struct, frozen=True, tag_field="ask", tag="status"):
    """How is everything?"""


class ReloadRequest(msgspec.Struct, frozen=True, tag_field="ask", tag="reload"):
    """Read the configuration again and go on with it."""


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """One source, as `status` shows it."""

    name: str
    status: SourceStatus
    detail: str
    device: str | None
    """What is captured, in words; null before an agent has said hello."""
    host: str | None
    native_rate: int | None
    sample_rates: Sequence[int]
    """Rates its models need, in Hz."""
    n_samples: int
    """Samples received in this run, at the first of the rates."""
    n_lost: int
    """Samples lost in this run, at the rate they were lost at."""
    lag_seconds: float | None
    agent_restarts: int
    open_events: Sequence[Event]
    signal: tuple[SignalProblem, ...] = ()
    """What is wrong with its signal; detail has it in words."""
    clock: ClockReport | None = None
    """What its agent says of its host's clocks; null before it has."""
    lost_seconds: dict[str, float] = {}
    """Audio lost in this run, by reason (as `AudioGap.reason`)."""


class RecorderReport(msgspec.Struct, frozen=True, kw_only=True):
    """The recorder, as `status` shows it. What it wrote, lost and removed counts from the beginning of its process."""

    folder: str
    detail: str
    """Why not all is recorded; empty: all is."""
    n_recorded: int
    n_near_misses: int
    n_without_audio: int
    """Events that are kept without audio: their labels ask for none, or there was none."""
    n_cut: int
    """Recordings that lack a part of what was asked for: by a gap, a late start or their length."""
    n_lost: int
    """Recordings that the disk did not take for too long."""
    n_removed: int
    """Recordings removed for the quota."""
    n_waiting: int
    """Recordings that wait for the disk."""
    n_bytes: int
    """What lies in the folder."""
    n_lost_events: int
    """Events that the recorder never got, or that were in memory when its process died; in this run of the daemon."""
    n_lost_samples: int
    """Samples that it never got."""
    restarts: int


class LagReport(msgspec.Struct, frozen=True, kw_only=True):
    """How long after the capture of its last sample a hop was decided, over all hops of this run.

    Of live sources whose clock is the daemon's. Who wants a shorter time subtracts counts (lags.py).
    """

    n: int
    """Hops that were counted."""
    p50_seconds: float | None
    p99_seconds: float | None
    """Percentiles, 6 % too large at most; null before the first hop."""
    max_seconds: float | None
    counts: Sequence[int]
    """Hops by lag: below 0.1 ms, then in bins of a fortieth of a decade each; zeros at the end are left out."""


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """One loaded model, as `status` shows it."""

    name: str
    version: str
    sha256: str
    file: str
    provider: str
    """The onnxruntime provider that really runs it."""
    run_seconds: float
    """Duration of one timed run at load, in seconds."""
    labels_on: Sequence[str]
    sources: Sequence[str]
    lags: LagReport | None = None
    """Null from a daemon of an earlier version."""
    n_runs: int = 0
    """Runs of the network since it was loaded, each of a batch; warm-up counts."""
    work_seconds: float = 0.0
    """What they took, with log-mel and decision."""


class ReloadReport(msgspec.Struct, frozen=True, kw_only=True):
    """The newest reload."""

    number: int
    """Reloads of this run are counted from 1."""
    outcome: Literal["loading", "done", "refused"]
    mistakes: Sequence[str] = ()
    """Why it was refused, a line each; what ran before goes on."""
    seconds: float | None = None
    """What loading took, beside what runs; null while it lasts."""


class JournalReport(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of events after they were published, as `status` shows it."""

    state: JournalState
    detail: str
    """Why it is behind, or off though a journal is configured; else empty."""
    file: str | None
    n_waiting: int
    """Messages that the journal has not confirmed; those it can't take wait in memory."""
    n_lost: int
    """Messages in this run that there was no memory left for; who was subscribed heard them, the journal never will."""
    restarts: int
    """How often its process was started again."""


class Status(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="status"):
    """Everything the daemon knows of itself."""

    version: str
    run: str
    host: str
    pid: int
    uptime_seconds: float
    endpoints: dict[str, str]
    sources: Sequence[SourceReport]
    models: Sequence[ModelReport]
    counters: dict[str, int]
    cpu_seconds: float | None = None
    """CPU time of the daemon in this run, all its threads; null from one of an earlier version."""
    reload: ReloadReport | None = None
    """Null before the first."""
    journal: JournalReport | None = None
    """Null from a daemon of an earlier version."""
    recorder: RecorderReport | None = None
    """Null where nothing is recorded."""


class Reloading(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="reloading"):
    """A reload will be done: the status tells when it is, and what came of it."""

    number: int
    """What `ReloadReport.number` will be then, or more: requests that wait share a reload."""


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="refused"):
    """The daemon did not do what was asked, and says why."""

    reason: str


Request = StatusRequest | ReloadRequest
Answer = Status | Reloading | Refused

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def encode(message: Request | Answer) -> bytes:
    """Return a request or an answer as its JSON frame."""
    return _encoder.encode(message)


def decode_request(frame: bytes) -> Request:
    """Return the request in a frame; raises MessageError if it is none."""
    try:
        return _requests.decode(frame)
    except BROKEN_JSON as error:
        raise MessageError(
            f"request that is not understood: {error}; expected {{'ask': 'status' or 'reload'}}"
        ) from error


def decode_answer(frame: bytes) -> Answer:
    """Return the answer in a frame; raises MessageError if it is none."""
    try:
        return _answers.decode(frame)
    except BROKEN_JSON as error:
        raise MessageError(f"answer that is not understood: {error}") from error
