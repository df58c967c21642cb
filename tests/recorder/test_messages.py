"""Frames to a recorder: what is encoded is decoded, and what is garbage is refused with one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import MessageError
from streamd.recorder.messages import (
    MAX_REPORT_BYTES,
    High,
    Over,
    RecorderSpec,
    Report,
    Told,
    ToRecorder,
    decode,
    decode_report,
    encode,
    encode_report,
)
from tests.recorder.audio import heard
from tests.samples import ONSET

HIGH = High(
    source="kitchen",
    take="t",
    model="m",
    model_sha256="ab",
    end_sample=9,
    hop_samples=3,
    onset_delay=1,
    scores={"Dog\n": 0.5},
    onset_thresholds={"Dog\n": 0.6},
    told=["Dog\n"],
)


@pytest.mark.parametrize(
    "message", [Told(event=ONSET), HIGH, Over(source="kitchen", take="a\nb")], ids=lambda one: type(one).__name__
)
def test_a_message_comes_back_as_it_was(message: ToRecorder) -> None:
    found, pcm = decode(encode(message))
    assert (found, len(pcm)) == (message, 0)


@given(st.lists(st.integers(-32_768, 32_767), max_size=50))
def test_audio_comes_back_to_the_sample(samples: list[int]) -> None:
    found, pcm = decode(encode(heard(7, "a\nb"), np.array(samples, np.int16)))
    assert (found, pcm.tolist()) == (heard(7, "a\nb"), samples)


@given(st.binary())
def test_garbage_is_a_message_error(garbage: bytes) -> None:
    with pytest.raises(MessageError):
        decode(garbage)
    with pytest.raises(MessageError):
        decode_report(garbage)


def test_half_a_sample_is_a_message_error() -> None:
    with pytest.raises(MessageError):
        decode(encode(heard(0), np.zeros(2, np.int16)) + b"x")


def test_a_report_comes_back_and_is_short() -> None:
    report = Report(problem="/" * 4_096, n_recorded=2**40)
    data = encode_report(report)
    assert decode_report(data) == report
    assert len(data) < MAX_REPORT_BYTES


@pytest.mark.parametrize(
    ("labels", "wanted", "with_audio"),
    [
        (None, {"Dog", "Cat"}, {"Dog", "Cat"}),
        ({"Dog": True, "Cat": False}, {"Dog", "Cat"}, {"Dog"}),
        ({}, set(), set()),
    ],
)
def test_labels_say_what_is_kept(labels: dict[str, bool] | None, wanted: set[str], with_audio: set[str]) -> None:
    spec = RecorderSpec(folder="/", labels=labels)
    assert {label for label in ("Dog", "Cat") if spec.wants(label)} == wanted
    assert {label for label in ("Dog", "Cat") if spec.wants_audio(label)} == with_audio
