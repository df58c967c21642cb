"""What every test holds a message against that it saw: our schema, CloudEvents, and the design's rules."""

from __future__ import annotations

import json
from datetime import UTC, timedelta
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
from cloudevents.core.formats.json import JSONFormat

from streamd.events import SOURCE_NAME, Event, Heartbeat, Level, Message, Score, State, decode, slug, topic

SCHEMA_FILE = Path(__file__).parents[1] / "docs" / "events.schema.json"

_schema = json.loads(SCHEMA_FILE.read_text())
jsonschema.Draft202012Validator.check_schema(_schema)
_validator = jsonschema.Draft202012Validator(_schema)


def check_payload(payload: bytes) -> Message:
    """Return the message in a payload frame, after everything that holds for each of them was asserted."""
    fields = json.loads(payload)
    _validator.validate(fields)
    message = decode(payload)

    cloud_event = JSONFormat().read(None, payload)
    assert cloud_event.get_specversion() == "1.0"
    assert cloud_event.get_datacontenttype() == "application/json"
    assert cloud_event.get_source() == f"/streamd/{message.host}/{message.source}"
    assert cloud_event.get_id().startswith(f"{message.run}-{message.source}-")
    assert cloud_event.get_data() == fields["data"]
    assert SOURCE_NAME.fullmatch(message.source)

    if isinstance(message, Event):
        _check_event(message)
        assert cloud_event.get_time() == (message.offset_time or message.onset_time)
    else:
        assert cloud_event.get_time() == message.time
        assert message.time.utcoffset() == timedelta(0)
    if isinstance(message, Event | State):
        assert message.seq >= 1
        assert cloud_event.get_id() == f"{message.run}-{message.source}-{message.seq}"
    if isinstance(message, Event):
        kind = f"io.streamd.event.{message.phase}"
    else:
        kind = f"io.streamd.{type(message).__name__.lower()}"
    assert cloud_event.get_type() == kind
    if isinstance(message, State):
        for event in message.open_events:
            _check_event(event)
            assert event.phase == "onset"
            assert event.source == message.source
    return message


def check_frames(frames: list[bytes]) -> Message:
    """As check_payload, for the two frames of a message; the topic must tell what is in it."""
    name, payload = frames
    message = check_payload(payload)
    words = {Event: "event", State: "state", Heartbeat: "heartbeat", Score: "score", Level: "level"}
    last = {Event: "label", Score: "model"}.get(type(message))
    expected = f"{words[type(message)]}/{message.source}/" + (f"{slug(getattr(message, last))}/" if last else "")
    assert name.decode() == topic(message) == expected
    return message


def _check_event(event: Event) -> None:
    assert event.onset_time.utcoffset() == timedelta(0)
    assert abs(event.onset_seconds - event.onset_sample / event.sample_rate) < 1e-6
    assert event.peak >= event.score or event.phase == "offset"
    assert 0 <= event.score <= 1
    assert 0 <= event.peak <= 1
    if event.phase == "onset":
        assert (event.offset_sample, event.offset_seconds, event.offset_time, event.end_reason) == (None,) * 4
        assert event.score >= event.onset_threshold
        return
    assert event.end_reason is not None
    assert event.offset_sample is not None
    assert event.offset_seconds is not None
    assert event.offset_time is not None
    assert event.offset_sample > event.onset_sample
    assert abs(event.offset_seconds - event.offset_sample / event.sample_rate) < 1e-6
    length = timedelta(seconds=event.offset_seconds - event.onset_seconds)
    assert abs(event.offset_time.astimezone(UTC) - event.onset_time - length) < timedelta(
        seconds=0.5
    )  # a clock is slewed
