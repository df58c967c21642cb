"""Contract between the daemon and its recorder: frames down the recorder's input, datagrams up its output.

A frame is one JSON object, a line feed, and for audio its PCM (int16, little-endian, mono). The recorder says how it
fares, a Report, when that has changed and every second or so.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamd.errors import MessageError
from streamd.events import BROKEN_JSON, Event

MAX_REPORT_BYTES = 1 << 16
LAST_SECONDS = 3.0
"""What waits at the end of the input may take so long to be written; a daemon that stops waits a little longer."""

Take = tuple[str, str]
"""A source and its take: sources of one agent share theirs."""
Pcm = NDArray[np.int16]
"""Samples, shape (n_samples,)."""


class RecorderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded, and how much of it is kept: the section `recorder` of streamd.yaml."""

    folder: str
    """Where recordings lie. It must be there: the recorder makes none, so that nothing fills the disk under a folder
    whose own disk is not mounted."""
    max_bytes: int = 1_000_000_000
    max_days: float = 30.0
    pre_roll_seconds: float = 2.0
    post_roll_seconds: float = 2.0
    longest_seconds: float = 60.0
    """A sound that lasts longer is cut off."""
    near_miss: float | None = None
    """Score from which on a sound that was not told is recorded, too; None: none is."""
    labels: dict[str, bool] | None = None
    """Labels that are recorded, and whether with audio; None: all, with audio."""

    def wants(self, label: str) -> bool:
        """Whether events of a label are kept."""
        return self.labels is None or label in self.labels

    def wants_audio(self, label: str) -> bool:
        """Whether they are kept with their audio."""
        return self.labels is None or self.labels.get(label, False)


class _Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    pass


class Heard(_Frame, frozen=True, kw_only=True, tag="heard"):
    """The next audio of a take; its PCM follows."""

    source: str
    take: str
    sample_rate: int
    first_sample: int
    captured_at: float
    """Wall time of the first sample, in seconds since 1970."""


class Told(_Frame, frozen=True, kw_only=True, tag="told"):
    """An onset or an offset, as it was published."""

    event: Event


class High(_Frame, frozen=True, kw_only=True, tag="high"):
    """Scores of one hop that reached the bound of near-misses."""

    source: str
    take: str
    model: str
    model_sha256: str
    end_sample: int
    """The first sample after the newest one that was looked at."""
    hop_samples: int
    onset_delay: int
    """What the model lags behind, in samples: see its manifest."""
    scores: dict[str, float]
    onset_thresholds: dict[str, float]
    told: Sequence[str]
    """Those of these labels whose event begins, goes on or ends with this hop."""


class Over(_Frame, frozen=True, kw_only=True, tag="over"):
    """No more audio comes of a source's take."""

    source: str
    take: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How the recorder fares; numbers count from the beginning of its process."""

    pid: int = 0
    problem: str = ""
    """Why nothing can be written now; empty while it can."""
    n_recorded: int = 0
    """Events whose audio is on the disk."""
    n_near_misses: int = 0
    n_without_audio: int = 0
    """Events that are on the disk without audio: their label asks for none, or there was none."""
    n_lost: int = 0
    """Recordings that were dropped, since the disk took none for too long."""
    n_cut: int = 0
    """Recordings that lack some of their audio, by a gap, a late start or their length."""
    n_removed: int = 0
    """Recordings that were removed for the quota."""
    n_bytes: int = 0
    """What lies in the folder."""
    n_waiting: int = 0
    """Recordings that wait for the disk, in memory."""


ToRecorder = Heard | Told | High | Over

_encoder = msgspec.json.Encoder()
_frames: msgspec.json.Decoder[ToRecorder] = msgspec.json.Decoder(ToRecorder)
_reports = msgspec.json.Decoder(Report)


def encode(message: ToRecorder, pcm: Pcm | None = None) -> bytes:
    """Return a message as the payload of a frame."""
    head = _encoder.encode(message) + b"\n"
    return head if pcm is None else head + pcm.astype("<i2", copy=False).tobytes()


def decode(payload: bytes) -> tuple[ToRecorder, Pcm]:
    """Return the message in a frame, and its PCM, which is empty where there is none.

    Raises:
        MessageError: it is no such message.
    """
    head, _, pcm = payload.partition(b"\n")  # JSON as it is written here has no line feed
    try:
        return _frames.decode(head), np.frombuffer(pcm, "<i2")
    except (*BROKEN_JSON, ValueError) as error:
        raise MessageError(f"frame that a recorder does not understand: {error}") from error


def encode_report(report: Report) -> bytes:
    """Return a report as its datagram."""
    return _encoder.encode(report)


def decode_report(data: bytes) -> Report:
    """Return the report in a datagram; raises MessageError if it is none."""
    try:
        return _reports.decode(data)
    except BROKEN_JSON as error:
        raise MessageError(f"datagram that is no report of a recorder: {error}") from error
