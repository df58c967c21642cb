"""Contract out: what the daemon publishes, as typed messages and as bytes.

A message on the wire is two ZeroMQ frames: a topic that ends in "/" and a CloudEvents 1.0 JSON
object (https://github.com/cloudevents/spec). The envelope derives from the data alone, so that
decode and encode are each other's inverse. Fields are added over time, never renamed or removed;
a reader ignores those that it doesn't know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec

from streamd.errors import MessageError

SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""What a source may be called."""

SourceName = str

Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time that says its zone; streamd writes UTC."""

EndReason = Literal["silence", "gap", "device", "end", "shutdown", "reload", "restart"]
"""Why an event ended: the sound stopped, audio was lost, the device went away, the recording ended,
the daemon stopped, its models were exchanged, or it was started again after a crash."""

SourceStatus = Literal["starting", "waiting_for_device", "live", "degraded", "ended", "stopped"]

JournalState = Literal["kept", "behind", "off"]
"""What becomes of events after they were published: the journal has them, or they wait for it, or there is none."""


SignalProblem = Literal["silent", "stuck", "dc", "clipping", "dead_channel", "level"]
"""What may be wrong with a signal: nothing but zeros, one value for ever, an offset, too loud for its input, a channel
of several without a signal, much louder or quieter than usual."""


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    """What every message says of itself."""

    run: str
    """Identifies one life of the daemon; seq counts within it."""
    host: str
    """Name of the daemon's host."""
    source: SourceName
    """The named stream of audio this is about."""


class Event(_Data, frozen=True, kw_only=True):
    """The onset or the offset of a sound. Samples are the truth; seconds and times derive from them."""

    seq: int
    """Counts this source's Event and State messages in this run, from 1, without holes."""
    event_id: str
    """The same in an onset and its offset."""
    phase: Literal["onset", "offset"]
    label: str
    """Name of the sound, as the model spells it."""
    score: float
    """Smoothed posterior at the hop that decided (0..1)."""
    peak: float
    """Highest score so far in this event (0..1)."""
    onset_threshold: float
    """The threshold that the score reached (0..1)."""
    take: str
    """One unbroken capture of the source; the samples below count in it."""
    sample_rate: int
    """Samples a second of the positions below, in Hz."""
    onset_sample: int
    """Where the sound begins, in samples from the start of the take."""
    offset_sample: int | None
    """Where it ends (exclusive); null in an onset."""
    onset_seconds: float
    """onset_sample in seconds from the start of the take."""
    offset_seconds: float | None
    onset_time: Time
    """onset_sample as wall time (UTC)."""
    offset_time: Time | None
    end_reason: EndReason | None
    """Why the event ended; null in an onset."""
    model: str
    """Name of the model that heard it."""
    model_sha256: str
    """SHA-256 of the model's file, in hexadecimal."""
    latency_seconds: float | None
    """From the capture of the last sample needed to the publication; null in a replay, or if the
    source is on another host (clocks of two hosts are never compared)."""


class AudioGap(msgspec.Struct, frozen=True, kw_only=True):
    """Audio that was lost: samples that no model has heard."""

    take: str
    first_sample: int
    n_samples: int
    seconds: float
    reason: Literal["agent_queue", "microphone", "lag", "transport", "agent"]
    """agent_queue: the daemon did not fetch it in time and the agent dropped it; microphone: the
    sound system overran; lag: the daemon was behind by more than max_lag_seconds and skipped
    ahead; transport: blocks vanished on their way; agent: the agent died or lost its
    device, and the samples are those between the end of its take and the beginning of the next."""


class ClockReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent knows of the clocks of its host. Positions in samples depend on none of them."""

    offset_seconds: float
    """Wall time less the monotonic clock."""
    drift_ppm: float | None = None
    """How much faster than it says the sound card counts samples, in millionths by the monotonic clock, over the last
    ten minutes; null in the first five."""
    is_set: bool = True
    """False where the wall clock says a time before this version existed."""
    n_steps: int = 0
    """How often the wall clock was set since the agent started."""
    last_step_seconds: float = 0.0
    """By how much the last time; negative: back."""
    n_suspends: int = 0
    """How often the host slept since the agent started."""
    suspended_seconds: float = 0.0
    """How long in all."""


class State(_Data, frozen=True, kw_only=True):
    """How a source fares. The last one is sent again to whoever subscribes, its open_events up to date."""

    seq: int
    """Counts this source's Event and State messages in this run, from 1, without holes."""
    time: Time
    status: SourceStatus
    detail: str
    """One line for people."""
    take: str | None
    sample_rate: int | None
    gap: AudioGap | None
    """Set if this message reports lost audio."""
    open_events: Sequence[Event]
    """Onsets whose offset is still to come."""
    signal: tuple[SignalProblem, ...] = ()
    """What is wrong with the signal of a live source; detail has it in words."""
    journal: JournalState | None = None
    """Of the whole daemon; if behind, detail says why. Null from an earlier version."""
    clock: ClockReport | None = None
    """What its agent says of its host's clocks; null before it has."""


class Heartbeat(_Data, frozen=True, kw_only=True):
    """Once a second and source, and after each new subscription: makes loss at the tail visible."""

    time: Time
    last_seq: int
    """seq of this source's newest Event or State; 0 if there was none."""
    lag_seconds: float | None
    """Age of the newest audio that was scored; null before the first."""


class Score(_Data, frozen=True, kw_only=True):
    """What a model thinks of one hop. Made only while somebody subscribes to score topics."""

    time: Time
    take: str
    model: str
    end_sample: int
    """The first sample after the newest one that was looked at."""
    posteriors: dict[str, float]
    """Network output of this hop for every label of the model (0..1)."""
    scores: dict[str, float]
    """Smoothed posterior of the labels that are switched on (0..1)."""
    onset_thresholds: dict[str, float]
    """Thresholds of the labels that are switched on (0..1)."""


class Level(_Data, frozen=True, kw_only=True):
    """Loudness of one block. Made only while somebody subscribes to level topics."""

    time: Time
    take: str
    end_sample: int
    rms_db: float
    """Root mean square in dB relative to full scale (a full-scale square wave is 0); at least -120."""
    peak_db: float


Message = Event | State | Heartbeat | Score | Level

_T = TypeVar("_T")


class Envelope(msgspec.Struct, Generic[_T], frozen=True, kw_only=True):
    """A CloudEvents 1.0 object: the payload frame of a message."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    time: Time
    datacontenttype: Literal["application/json"] = "application/json"
    data: _T


_TYPES: dict[type[Message], str] = {
    State: "io.streamd.state",
    Heartbeat: "io.streamd.heartbeat",
    Score: "io.streamd.score",
    Level: "io.streamd.level",
}
_EVENT_TYPE = "io.streamd.event."
_ENVELOPES: dict[str, Any] = {
    _EVENT_TYPE + "onset": Envelope[Event],
    _EVENT_TYPE + "offset": Envelope[Event],
    _TYPES[State]: Envelope[State],
    _TYPES[Heartbeat]: Envelope[Heartbeat],
    _TYPES[Score]: Envelope[Score],
    _TYPES[Level]: Envelope[Level],
}
_encoder = msgspec.json.Encoder()
_decoders = {name: msgspec.json.Decoder(kind) for name, kind in _ENVELOPES.items()}


class _Type(msgspec.Struct):
    type: str


_type_decoder = msgspec.json.Decoder(_Type)

BROKEN_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bytes from a stranger: not JSON or another shape, not UTF-8, nested too deep."""


def slug(label: str) -> str:
    """Return a label as topics spell it: lower case, runs of anything but letters and digits as "-"."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


def topic(message: Message) -> str:
    """Return the topic a message is published under. It ends in "/" because ZeroMQ matches prefixes."""
    match message:
        case Event():
            return f"event/{message.source}/{slug(message.label)}/"
        case State():
            return f"state/{message.source}/"
        case Heartbeat():
            return f"heartbeat/{message.source}/"
        case Score():
            return f"score/{message.source}/{slug(message.model)}/"
        case Level():
            return f"level/{message.source}/"


def envelope(message: Message) -> Envelope[Message]:
    """Wrap a message as a CloudEvents object; (source, id) is unique for ever."""
    if isinstance(message, Event):
        kind = _EVENT_TYPE + message.phase
        time = message.onset_time if message.offset_time is None else message.offset_time
        count = str(message.seq)
    else:
        kind = _TYPES[type(message)]
        time = message.time
        stamp = round(message.time.timestamp() * 1_000_000)
        count = str(message.seq) if isinstance(message, State) else f"{kind.rpartition('.')[2]}-{stamp}"
        if isinstance(message, Score):
            count += f"-{slug(message.model)}"
    return Envelope(
        id=f"{message.run}-{message.source}-{count}",
        source=f"/streamd/{message.host}/{message.source}",
        type=kind,
        time=time,
        data=message,
    )


def encode(message: Message) -> bytes:
    """Return the payload frame of a message: UTF-8 JSON."""
    return _encoder.encode(envelope(message))


def decode(payload: bytes) -> Message:
    """Return the message in a payload frame.

    Raises:
        MessageError: it is no JSON, of a type unknown here, or lacks a field.
    """
    try:
        kind = _type_decoder.decode(payload).type
        if kind not in _decoders:
            raise MessageError(f"message of type {kind!r}: this version knows {', '.join(sorted(_decoders))}")
        message: Message = _decoders[kind].decode(payload).data
    except BROKEN_JSON as error:
        raise MessageError(f"message that is no event of streamd: {error}") from error
    return message


def at(seconds: float) -> datetime:
    """Return seconds since 1970 as a UTC time, rounded to microseconds."""
    return datetime.fromtimestamp(round(seconds, 6), tz=UTC)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of every payload that is published."""
    kinds = list(dict.fromkeys(_ENVELOPES.values()))
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    for kind, schema in zip(kinds, schemas, strict=True):
        component = components[schema["$ref"].rpartition("/")[2]]
        component["properties"]["type"] = {"enum": [name for name, other in _ENVELOPES.items() if other == kind]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What streamd publishes: the second frame of every message",
        "anyOf": list(schemas),
        "$defs": components,
    }
