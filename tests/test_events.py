from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd import events
from streamd.errors import MessageError
from streamd.events import (
    AudioGap,
    EndReason,
    Event,
    Heartbeat,
    Level,
    Message,
    Score,
    SignalProblem,
    SourceStatus,
    State,
)
from tests import samples
from tests.wire import SCHEMA_FILE, check_frames, check_payload

GOLDEN = sorted((Path(__file__).parent / "contract" / "events").glob("*.json"))

times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - gets its zone here
numbers = st.floats(allow_nan=False, allow_infinity=False)
positions = st.integers(0, 2**62)
names = st.from_regex(events.SOURCE_NAME, fullmatch=True)
base: dict[str, st.SearchStrategy[Any]] = {"run": st.text(), "host": st.text(), "source": names}
any_event = st.builds(
    Event,
    **base,
    seq=positions,
    event_id=st.text(),
    phase=st.sampled_from(["onset", "offset"]),
    label=st.text(),
    score=numbers,
    peak=numbers,
    onset_threshold=numbers,
    take=st.text(),
    sample_rate=positions,
    onset_sample=positions,
    offset_sample=st.none() | positions,
    onset_seconds=numbers,
    offset_seconds=st.none() | numbers,
    onset_time=times,
    offset_time=st.none() | times,
    end_reason=st.none() | st.sampled_from(get_args(EndReason)),
    model=st.text(),
    model_sha256=st.text(),
    latency_seconds=st.none() | numbers,
)
any_gap = st.builds(
    AudioGap, take=st.text(), first_sample=positions, n_samples=positions, seconds=numbers, reason=st.just("lag")
)
any_state = st.builds(
    State,
    **base,
    seq=positions,
    time=times,
    status=st.sampled_from(get_args(SourceStatus)),
    detail=st.text(),
    take=st.none() | st.text(),
    sample_rate=st.none() | positions,
    gap=st.none() | any_gap,
    open_events=st.lists(any_event, max_size=2),
    signal=st.lists(st.sampled_from(get_args(SignalProblem)), max_size=2).map(tuple),
)
posteriors = st.dictionaries(st.text(), numbers, max_size=3)
any_message: st.SearchStrategy[Message] = st.one_of(
    any_event,
    any_state,
    st.builds(Heartbeat, **base, time=times, last_seq=positions, lag_seconds=st.none() | numbers),
    st.builds(
        Score,
        **base,
        time=times,
        take=st.text(),
        model=st.text(),
        end_sample=positions,
        posteriors=posteriors,
        scores=posteriors,
        onset_thresholds=posteriors,
    ),
    st.builds(Level, **base, time=times, take=st.text(), end_sample=positions, rms_db=numbers, peak_db=numbers),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(any_message)
def test_decoding_undoes_encoding(message: Message) -> None:
    payload = events.encode(message)
    assert events.decode(payload) == message
    assert events.encode(events.decode(payload)) == payload


@given(any_message, st.dictionaries(st.text().map("x-".__add__), json_values, max_size=3))
def test_fields_of_a_later_version_are_ignored(message: Message, added: dict[str, Any]) -> None:
    fields = json.loads(events.encode(message))
    fields |= added
    fields["data"] |= added
    assert events.decode(json.dumps(fields).encode()) == message


def _refused_or_read(payload: bytes) -> None:
    """Fail on anything but a message or a MessageError."""
    with contextlib.suppress(MessageError):
        events.decode(payload)


@given(st.binary())
def test_garbage_is_a_message_error(garbage: bytes) -> None:
    with pytest.raises(MessageError):
        events.decode(garbage)


@given(any_message, st.data())
def test_a_damaged_message_is_read_or_a_message_error(message: Message, data: st.DataObject) -> None:
    payload = bytearray(events.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    _refused_or_read(bytes(payload))


@given(any_message, json_values, st.data())
def test_a_field_of_another_kind_is_read_or_a_message_error(message: Message, value: Any, data: st.DataObject) -> None:
    fields = json.loads(events.encode(message))
    where = data.draw(st.sampled_from([fields, fields["data"]]))
    where[data.draw(st.sampled_from(sorted(where)))] = value
    _refused_or_read(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"type": "io.streamd.state", "x": ' + b"[" * 100_000,
        b'{"type": "io.streamd.state", "id": "\xff"}',
        b'{"type": "io.streamd.something", "data": {}}',
        b'{"type": "io.streamd.heartbeat", "data": {}}',
    ],
    ids=["empty", "null", "deep", "deep in a field", "no UTF-8", "unknown type", "no fields"],
)
def test_what_is_no_message_is_a_message_error(payload: bytes) -> None:
    with pytest.raises(MessageError, match=r"^message .*[^.]$"):
        events.decode(payload)


def test_a_time_without_a_zone_is_refused() -> None:
    payload = events.encode(samples.HEARTBEAT)
    with pytest.raises(MessageError, match="timezone"):
        events.decode(payload.replace(b'Z"', b'"'))


def _holds(read: Any, written: Any) -> bool:
    """Whether all that was written is found again; what came later may be there too."""
    if isinstance(written, dict):
        return isinstance(read, dict) and all(name in read and _holds(read[name], written[name]) for name in written)
    if isinstance(written, list):
        return isinstance(read, list) and all(map(_holds, read, written)) and len(read) == len(written)
    return bool(read == written)


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_an_old_message_is_understood_for_ever(file: Path) -> None:
    payload = file.read_bytes()
    message = check_payload(payload)
    assert _holds(json.loads(events.encode(message)), json.loads(payload))


def test_there_is_an_old_message_of_every_kind() -> None:
    kinds = {json.loads(file.read_bytes())["type"] for file in GOLDEN}
    assert kinds == {
        "io.streamd.event.onset",
        "io.streamd.event.offset",
        "io.streamd.state",
        "io.streamd.heartbeat",
        "io.streamd.score",
        "io.streamd.level",
    }


def test_the_schema_in_the_docs_is_that_of_the_code() -> None:
    written = json.loads(SCHEMA_FILE.read_text())
    assert written == json.loads(json.dumps(events.json_schema())), "run `python scripts/write_event_schema.py`"


@pytest.mark.parametrize(
    ("field", "value"),
    [("type", "io.streamd.event.onset"), ("time", 3), ("specversion", "2.0")],
)
def test_the_schema_refuses_what_is_no_state(field: str, value: object) -> None:
    fields = json.loads(events.encode(samples.STATE))
    fields[field] = value
    with pytest.raises(Exception, match="is not valid under any of the given schemas"):
        check_payload(json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("message", "topic"),
    [
        (samples.ONSET, "event/kitchen/dog/"),
        (
            msgspec.structs.replace(samples.ONSET, label="Smoke detector, smoke alarm"),
            "event/kitchen/smoke-detector-smoke-alarm/",
        ),
        (samples.STATE, "state/kitchen/"),
        (samples.HEARTBEAT, "heartbeat/kitchen/"),
        (msgspec.structs.replace(samples.SCORE, model="My Model v2"), "score/kitchen/my-model-v2/"),
        (samples.LEVEL, "level/kitchen/"),
    ],
)
def test_a_topic_tells_word_source_and_label_and_ends_in_a_slash(message: Message, topic: str) -> None:
    assert check_frames([topic.encode(), events.encode(message)]) == message


def test_no_label_is_the_beginning_of_another_on_the_wire() -> None:
    cat = events.topic(msgspec.structs.replace(samples.ONSET, label="Cat"))
    cattle = events.topic(msgspec.structs.replace(samples.ONSET, label="Cattle"))
    assert not cattle.startswith(cat)


def test_two_scores_of_one_moment_have_two_ids() -> None:
    one, other = (msgspec.structs.replace(samples.SCORE, model=model) for model in ("yamnet", "silero"))
    assert events.envelope(one).id != events.envelope(other).id


def test_a_time_has_microseconds() -> None:
    assert events.at(1_767_261_600.1234564) - samples.START == timedelta(0)
