"""The daemon's end of its recorder: what is handed over, what is lost of it, and what the recorder says of itself.

Nothing here waits: what the pipe has no room for is lost to the recorder, and counted.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamd.blocks import Block
from streamd.counters import Counters
from streamd.detector import Detector, Hop
from streamd.environment import child_command
from streamd.errors import MessageError
from streamd.events import Event
from streamd.pipe import Pipe
from streamd.recorder.messages import (
    MAX_REPORT_BYTES,
    Heard,
    High,
    Over,
    RecorderSpec,
    Report,
    Told,
    decode_report,
    encode,
)

BEHIND_SECONDS = 5.0
"""After a loss it is said for this long that the recorder does not keep up."""


class RecorderLink:
    """Hands audio and events to the recorder of a running daemon."""

    def __init__(self, spec: RecorderSpec, counters: Counters) -> None:
        self.note = ""
        """What is wrong with the recorder, for people; empty: nothing."""
        self.report = Report()
        """What its process said last of itself."""
        self.heard_at = time.monotonic()
        """When that was."""
        self.pipe_of: Callable[[], Pipe | None] = lambda: None
        """Returns the pipe to its process, if that runs."""
        self._spec = spec
        self._counters = counters
        self._lost_at: float | None = None
        self._pipe: Pipe | None = None
        """That of the newest child."""
        self._n_told = self._n_told_before = 0
        """Offsets that were handed to it, and to those before it whose account is not closed yet."""
        self._ours, self._childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self._ours, self._childs):
            end.setblocking(False)

    @property
    def command(self) -> Sequence[str]:
        """The command that starts its process …"""
        return child_command("streamd.recorder", msgspec.json.encode(self._spec).decode())

    @property
    def output(self) -> int:
        """… and what that has as its standard output."""
        return self._childs.fileno()

    @property
    def folder(self) -> str:
        """Where recordings lie."""
        return self._spec.folder

    def hear(self, source: str, block: Block, pcm: NDArray[np.int16]) -> None:
        """Hand over a block of one source, pcm of shape (n_samples,)."""
        heard = Heard(
            source=source,
            take=block.take,
            sample_rate=block.sample_rate,
            first_sample=block.first_sample,
            captured_at=block.captured_at,
        )
        if not self._send(encode(heard, pcm)):
            self._counters.add("recorder.lost_samples", len(pcm))

    def tell(self, event: Event) -> None:
        """Hand over what is published."""
        if not self._spec.wants(event.label):
            return
        is_sent = self._send(encode(Told(event=event)))
        if event.phase == "offset":
            self._n_told += is_sent
            if not is_sent:
                self._counters.add("recorder.lost_events")

    def score(self, detector: Detector, sha256: str, take: str, hop: Hop) -> None:
        """Hand over the scores of a hop that reach the bound of near-misses; before its event, if it has one."""
        bound = self._spec.near_miss
        if bound is None:
            return
        is_high = hop.scores >= bound
        if not is_high.any():
            return
        high = [label for label, found in zip(detector.labels, is_high.tolist(), strict=True) if found]
        scores = dict(zip(detector.labels, hop.scores.tolist(), strict=True))
        wanted = [label for label in high if self._spec.wants_audio(label)]
        facts = detector.model.manifest
        # Told with every hop, not by the events alone: a recorder that was started in the middle of one has to know it.
        told = detector.sounding(hop.source) | {detection.label for detection in hop.detections}
        message = High(
            source=hop.source,
            take=take,
            model=facts.name,
            model_sha256=sha256,
            end_sample=hop.end_sample,
            hop_samples=facts.hop_samples,
            onset_delay=facts.onset_delay,
            scores={label: round(scores[label], 6) for label in wanted},
            onset_thresholds={label: detector.decisions[label].onset_threshold for label in wanted},
            told=[label for label in wanted if label in told],
        )
        if wanted and not self._send(encode(message)):
            self._counters.add("recorder.lost_scores")

    def end(self, source: str, takes: Sequence[str]) -> None:
        """Tell that no more audio comes of some takes of a source."""
        for take in takes:
            if not self._send(encode(Over(source=source, take=take))):
                self._counters.add("recorder.lost_ends")

    def _send(self, payload: bytes) -> bool:
        pipe = self.pipe_of()
        if pipe is not None and pipe is not self._pipe:
            self._pipe = pipe
            self._n_told, self._n_told_before = 0, self._n_told_before + self._n_told
        if pipe is not None and pipe.send(payload):
            return True
        self._lost_at = time.monotonic()
        return False

    def look(self) -> bool:
        """Take in what the recorder says; to be called every second. Tell whether `note` has changed."""
        pipe = self.pipe_of()
        if pipe is not None:
            pipe.flush()
        while True:
            try:
                data = self._ours.recv(MAX_REPORT_BYTES)
            except BlockingIOError:
                break
            try:
                self._heed(decode_report(data))
            except MessageError:
                self._counters.add("recorder.bad_reports")
        was = self.note
        is_behind = self._lost_at is not None and time.monotonic() - self._lost_at < BEHIND_SECONDS
        if self.report.problem:
            self.note = f"nothing is recorded: {self.report.problem}"
        else:
            self.note = "not all is recorded: the recorder does not keep up" if is_behind else ""
        return self.note != was

    def _heed(self, report: Report) -> None:
        was = self.report
        if was.pid not in (0, report.pid):  # another process: what the one before had in memory is lost
            n_lost = self._n_told_before - was.n_recorded - was.n_without_audio - was.n_lost
            self._counters.add("recorder.lost_events", max(0, n_lost))
            self._n_told_before = 0
        self.report = report
        self.heard_at = time.monotonic()

    def close(self) -> None:
        """Close what its process spoke to."""
        self._ours.close()
        self._childs.close()
