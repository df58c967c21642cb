"""Detections in words: what an event says of a detection, and when it dates it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec

from streamd.detector import Detection
from streamd.events import Event, encode
from streamd.report import TakeClock, ended_by_restart, event
from tests.wire import check_payload

CLOCK = TakeClock(take="9c1e-16000", sample_rate=16_000, sample=32_000, wall_seconds=1_767_261_600.0)
"""Sample 32,000 of the take, its third second, is 2026-01-01 10:00:00 UTC."""
TEN = datetime(2026, 1, 1, 10, tzinfo=UTC)
ONSET = Detection(
    source="kitchen",
    label="Dog",
    number=7,
    score=0.8123456789,
    peak=0.9,
    onset_threshold=0.6,
    onset_sample=16_000,
    offset_sample=None,
    end_reason=None,
)
OFFSET = replace(ONSET, score=0.1, peak=0.95, offset_sample=48_000, end_reason="silence")


def told(detection: Detection, latency_seconds: float | None = None) -> Event:
    made = event(
        detection,
        CLOCK,
        run="3f2a",
        host="pi",
        seq=3,
        event_id="3f2a-0-7",
        model="yamnet",
        model_sha256="ab" * 32,
        latency_seconds=latency_seconds,
    )
    assert check_payload(encode(made)) == made
    return made


def test_an_onset_says_where_it_lies_in_samples_in_seconds_of_the_take_and_in_wall_time() -> None:
    onset = told(ONSET, latency_seconds=0.031)
    assert (onset.phase, onset.source, onset.label, onset.take, onset.sample_rate) == (
        "onset",
        "kitchen",
        "Dog",
        "9c1e-16000",
        16_000,
    )
    assert (onset.onset_sample, onset.onset_seconds, onset.onset_time) == (16_000, 1.0, TEN - timedelta(seconds=1))
    assert (onset.offset_sample, onset.offset_seconds, onset.offset_time, onset.end_reason) == (None,) * 4
    assert (onset.score, onset.peak, onset.onset_threshold) == (0.812346, 0.9, 0.6)
    assert (onset.run, onset.host, onset.seq, onset.event_id, onset.latency_seconds) == (
        "3f2a",
        "pi",
        3,
        "3f2a-0-7",
        0.031,
    )


def test_an_offset_tells_both_ends_and_why() -> None:
    offset = told(OFFSET)
    assert offset.phase == "offset"
    assert (offset.onset_sample, offset.onset_time) == (16_000, TEN - timedelta(seconds=1))
    assert (offset.offset_sample, offset.offset_seconds, offset.offset_time) == (
        48_000,
        3.0,
        TEN + timedelta(seconds=1),
    )
    assert (offset.end_reason, offset.latency_seconds) == ("silence", None)


def test_a_sound_at_the_first_sample_of_a_take_is_one_as_any() -> None:
    first = told(replace(ONSET, onset_sample=0))
    assert (first.phase, first.onset_seconds, first.onset_time) == ("onset", 0.0, TEN - timedelta(seconds=2))


def test_a_take_is_dated_by_one_of_its_samples_forwards_and_backwards() -> None:
    assert CLOCK.wall(32_000) == 1_767_261_600.0
    assert CLOCK.wall(0) == 1_767_261_598.0
    assert CLOCK.wall(32_000 + 16_000 * 86_400) == 1_767_261_600.0 + 86_400


def test_a_restart_ends_an_event_at_the_last_sign_of_its_run() -> None:
    ended = ended_by_restart(told(ONSET), TEN + timedelta(seconds=4), run="r2", host="pi", seq=1)
    assert ended.offset_sample == 16_000 + 5 * 16_000
    assert ended.offset_time == TEN + timedelta(seconds=4)


def test_an_event_from_before_the_clock_was_set_did_not_last_for_decades() -> None:
    onset = msgspec.structs.replace(told(ONSET), onset_time=datetime(1970, 1, 1, 0, 5, tzinfo=UTC))
    ended = ended_by_restart(onset, TEN, run="r2", host="pi", seq=1)
    assert ended.offset_sample == onset.onset_sample + 1
