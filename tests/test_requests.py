from __future__ import annotations

import contextlib
import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd import requests
from streamd.errors import MessageError
from streamd.events import SignalProblem, SourceStatus
from streamd.requests import Answer, LagReport, ModelReport, Refused, SourceReport, Status, StatusRequest
from tests import samples

numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**62)
any_source = st.builds(
    SourceReport,
    name=st.text(),
    status=st.sampled_from(get_args(SourceStatus)),
    detail=st.text(),
    device=st.none() | st.text(),
    host=st.none() | st.text(),
    native_rate=st.none() | counts,
    sample_rates=st.lists(counts, max_size=2),
    n_samples=counts,
    n_lost=counts,
    lag_seconds=st.none() | numbers,
    agent_restarts=counts,
    open_events=st.just([samples.ONSET]) | st.just([]),
    signal=st.lists(st.sampled_from(get_args(SignalProblem)), max_size=2).map(tuple),
)
any_lags = st.builds(
    LagReport,
    n=counts,
    p50_seconds=st.none() | numbers,
    p99_seconds=st.none() | numbers,
    max_seconds=st.none() | numbers,
    counts=st.lists(counts, max_size=3),
)
any_model = st.builds(
    ModelReport,
    name=st.text(),
    version=st.text(),
    sha256=st.text(),
    file=st.text(),
    provider=st.text(),
    run_seconds=numbers,
    labels_on=st.lists(st.text(), max_size=2),
    sources=st.lists(st.text(), max_size=2),
    lags=st.none() | any_lags,
)
any_status = st.builds(
    Status,
    version=st.text(),
    run=st.text(),
    host=st.text(),
    pid=counts,
    uptime_seconds=numbers,
    endpoints=st.dictionaries(st.text(), st.text(), max_size=2),
    sources=st.lists(any_source, max_size=2),
    models=st.lists(any_model, max_size=2),
    counters=st.dictionaries(st.text(), counts, max_size=2),
    cpu_seconds=st.none() | numbers,
)
any_answer: st.SearchStrategy[Answer] = any_status | st.builds(Refused, reason=st.text())


def test_a_request_is_one_line_of_json() -> None:
    assert requests.encode(StatusRequest()) == b'{"ask":"status"}'
    assert requests.decode_request(b'{"ask":"status"}') == StatusRequest()


@given(any_answer)
def test_decoding_an_answer_undoes_encoding_it(answer: Answer) -> None:
    assert requests.decode_answer(requests.encode(answer)) == answer


@given(any_answer, st.dictionaries(st.text().map("x-".__add__), st.integers(0, 9) | st.text(), max_size=3))
def test_fields_of_a_later_version_are_ignored(answer: Answer, added: dict[str, Any]) -> None:
    fields = json.loads(requests.encode(answer)) | added
    assert requests.decode_answer(json.dumps(fields).encode()) == answer
    assert requests.decode_request(json.dumps({"ask": "status"} | added).encode()) == StatusRequest()


@given(st.binary())
def test_garbage_is_a_message_error(garbage: bytes) -> None:
    with pytest.raises(MessageError, match=r"^request that is not understood: "):
        requests.decode_request(garbage)
    with pytest.raises(MessageError, match=r"^answer that is not understood: "):
        requests.decode_answer(garbage)


@given(any_answer, st.data())
def test_a_damaged_answer_is_read_or_a_message_error(answer: Answer, data: st.DataObject) -> None:
    frame = bytearray(requests.encode(answer))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(MessageError):
        requests.decode_answer(bytes(frame))
    with contextlib.suppress(MessageError):
        requests.decode_request(bytes(frame))


@pytest.mark.parametrize(
    "frame", [b'{"ask": "reboot"}', b'{"ask": "\xff"}', b'{"ask": "status", "x": ' + b"[" * 100_000, b"[]"]
)
def test_what_is_no_request_is_told_what_is_one(frame: bytes) -> None:
    with pytest.raises(MessageError, match=r"expected \{'ask': 'status' or 'reload'\}$"):
        requests.decode_request(frame)


def test_an_old_answer_is_understood_for_ever() -> None:
    frame = (
        b'{"answer":"status","version":"0.1.0","run":"3f2a","host":"pi","pid":12,"uptime_seconds":3.5,'
        b'"endpoints":{"events":"ipc:///run/streamd/events.sock"},"sources":[{"name":"kitchen","status":"live",'
        b'"detail":"","device":"USB microphone","host":"pi","native_rate":48000,"sample_rates":[16000],'
        b'"n_samples":16000,"n_lost":0,"lag_seconds":0.1,"agent_restarts":0,"open_events":[]}],"models":[{"name":'
        b'"yamnet","version":"1","sha256":"ab","file":"yamnet.onnx","provider":"CPUExecutionProvider",'
        b'"run_seconds":0.01,"labels_on":["Dog"],"sources":["kitchen"]}],"counters":{"published.event":3}}'
    )
    answer = requests.decode_answer(frame)
    assert isinstance(answer, Status)
    assert msgspec.to_builtins(answer)["sources"][0]["native_rate"] == 48000
    assert requests.decode_answer(b'{"answer":"refused","reason":"no"}') == Refused(reason="no")
