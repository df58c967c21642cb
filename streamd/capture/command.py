"""A command as an input: any program that writes raw PCM or a WAV stream to its standard output."""

from __future__ import annotations

import logging
import os
import select
import shlex
import time
from collections.abc import Callable

from msgspec import UNSET

from streamd.capture import wav
from streamd.capture.audio import LONGEST_READ_SECONDS, Piece
from streamd.capture.channels import Channels
from streamd.capture.clock import CaptureClock
from streamd.capture.program import Program
from streamd.capture.specs import Command
from streamd.errors import DeviceError

log = logging.getLogger("streamd.capture")

HEADER_SECONDS = 10.0
"""A WAV header must be there by then."""
STALL_SECONDS = 10.0
"""A program that writes nothing for this long is ended and started again: a camera is gone, a connection hangs."""
MOST_UNENDED_BYTES = 4096
"""What a program says on one line beyond this is cut into several."""
_AHEAD_SECONDS = 1.0
_FASTEST = 1.01
"""A program may run ahead of real time by a second, and by a clock 1 % fast: one that reads a file would
otherwise bring hours of audio at once, of which most would be shed."""


class CommandInput:
    """A running program, which ends with all that it has started when this input is closed, or the agent ends."""

    live = True
    can_wait = False

    def __init__(self, spec: Command, source: str, stopping: Callable[[], bool]) -> None:
        """Start it, and read its WAV header if it is to write one.

        Args:
            spec: what to run.
            source: name of the source, put before what the program says on its standard error.
            stopping: asked while the header is waited for.

        Raises:
            DeviceError: it can't be started, writes another format, or ended.
        """
        self.device = shlex.join(spec.arguments)
        self._program = spec.arguments[0]
        self._source = source
        self._last_line = ""
        self._said = b""
        self._data = bytearray()
        self._ended = False
        self._running = Program(spec.arguments)
        self._stdout, self._stderr = self._running.stdout, self._running.stderr
        self._poll = select.poll()
        for pipe in (self._stdout, self._stderr):
            self._poll.register(pipe, select.POLLIN)
        try:
            self._format = self._find_format(spec, stopping)
        except DeviceError:
            self.close()
            raise
        self._left = self._format.n_bytes
        self._began: float | None = None
        self._heard_at = time.monotonic()
        self.clock = CaptureClock(self._format.sample_rate)
        self._channels = Channels(self._format.sample_rate)

    def read(self, n_samples: int) -> Piece | None:
        """Return the next samples, fewer than asked if they don't come within LONGEST_READ_SECONDS.

        Raises:
            DeviceError: the program has ended, or writes nothing any more.
        """
        if ahead := self._seconds_ahead():
            time.sleep(min(ahead, LONGEST_READ_SECONDS))
            return None
        frame = self._format.frame_bytes
        n_bytes = n_samples * frame if self._left is None else min(n_samples * frame, self._left)
        deadline = time.monotonic() + LONGEST_READ_SECONDS
        while len(self._data) < n_bytes and not self._ended and (left := deadline - time.monotonic()) > 0:
            self._fetch(left)
        n_bytes = min(n_bytes, len(self._data)) // frame * frame
        if not n_bytes:
            if self._ended or (self._left is not None and self._left < frame):
                raise DeviceError(self._how_it_ended())
            if time.monotonic() - self._heard_at > STALL_SECONDS:
                raise DeviceError(f"{self._program} has written nothing for {STALL_SECONDS:.0f} s; it is started again")
            return None
        samples = self._format.samples(bytes(self._data[:n_bytes]))
        del self._data[:n_bytes]
        if self._left is not None:
            self._left -= n_bytes
        now = self._heard_at = time.monotonic()
        if self._began is None:
            self._began = now
        n_lost = self.clock.heard(len(samples), now)
        return Piece(self._channels.mix(samples), n_lost, self._channels.dead)

    def close(self) -> None:
        """End the program and all that it has started, by force if need be."""
        self._running.end()

    def _find_format(self, spec: Command, stopping: Callable[[], bool]) -> wav.PcmFormat:
        if spec.sample_rate is not UNSET:
            return wav.PcmFormat(spec.sample_rate, 1 if spec.n_channels is UNSET else spec.n_channels)
        deadline = time.monotonic() + HEADER_SECONDS
        while not stopping():
            if self._data:
                try:
                    found = wav.parse_header(bytes(self._data[: wav.MAX_HEADER_BYTES]))
                except DeviceError as error:
                    raise DeviceError(f"{self._program} {error}") from error
                if found:
                    del self._data[: found[1]]
                    return found[0]
            if self._ended:
                raise DeviceError(self._how_it_ended())
            if time.monotonic() > deadline:
                raise DeviceError(f"{self._program} wrote no WAV header for {HEADER_SECONDS:.0f} s")
            self._fetch(LONGEST_READ_SECONDS)
        raise DeviceError(f"stopped before {self._program} wrote anything")

    def _seconds_ahead(self) -> float:
        if self._began is None:
            return 0.0
        allowed = _AHEAD_SECONDS + (time.monotonic() - self._began) * _FASTEST
        return max(0.0, self.clock.position / self.clock.sample_rate - allowed)

    def _fetch(self, seconds: float) -> None:
        """Take what the program has written, waiting for it this long."""
        ready = [pipe for pipe, _ in self._poll.poll(seconds * 1000)]
        if self._stderr in ready:
            self._pass_on()
        if self._stdout in ready:
            data = os.read(self._stdout, 1 << 16)
            self._data += data
            if not data:
                self._ended = True
                self._poll.unregister(self._stdout)

    def _pass_on(self) -> None:
        """Log what the program says, line by line."""
        said = os.read(self._stderr, 1 << 16)
        if not said:
            self._poll.unregister(self._stderr)
        *lines, rest = (self._said + said).split(b"\n")
        for line in lines:
            self._note(line.rstrip(b"\r"))
        # What ends in \r is to be overwritten: the progress of ffmpeg or curl, twice a second.
        *before, rest = rest.rsplit(b"\r", 2)
        if before and (text := _text(before[-1])):
            self._last_line = text
        if len(rest) > MOST_UNENDED_BYTES or not said:
            self._note(rest)
            rest = b""
        self._said = b"\r".join([*before[-1:], rest])  # it may be the \r of \r\n

    def _note(self, line: bytes) -> None:
        if text := _text(line.rpartition(b"\r")[2]):
            self._last_line = text
            log.warning("%s: %s", self._source, text)

    def _how_it_ended(self) -> str:
        how = self._running.how_it_ended()
        try:
            self._pass_on()
            self._pass_on()
        except (BlockingIOError, KeyError):
            pass  # somebody else holds its standard error, or all of it was read
        return f"{self._program} {how}" + (f": {self._last_line}" if self._last_line else "")


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip()
