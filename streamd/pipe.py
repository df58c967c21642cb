"""A pipe to a child: frames in order, written without ever waiting for who reads them.

A frame is its length in bytes (4 bytes, little-endian) and its payload. What a pipe has no room for waits in
memory, up to a bound; a frame beyond that is not taken, and its sender is told so.

    if not supervisor.pipe("recorder").send(frame):
        counters.add("recorder.dropped")
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from typing import IO

from streamd.errors import MessageError

MAX_WAITING_BYTES = 1 << 20
"""What may wait in memory for room in a pipe; a single frame may always wait, however long."""

PIPE_BYTES = 1 << 20
"""What the kernel is asked to hold of a pipe that is used, which outlives this process; else it is 64 KiB mostly."""

MAX_FRAME_BYTES = 16 << 20
"""No payload is longer: a larger length is garbage."""

_LENGTH = struct.Struct("<I")


def frame(payload: bytes) -> bytes:
    """Return a payload as its frame; raises MessageError if it is longer than MAX_FRAME_BYTES."""
    if len(payload) > MAX_FRAME_BYTES:
        raise MessageError(f"frame of {len(payload)} bytes; expected at most {MAX_FRAME_BYTES}")
    return _LENGTH.pack(len(payload)) + payload


class Pipe:
    """The writing end: the standard input of one running child, as long as that lives."""

    def __init__(self, file: IO[bytes]) -> None:
        """Write to a pipe that its owner closes."""
        os.set_blocking(file.fileno(), False)
        self._file = file
        self._waiting = bytearray()
        self._is_broken = False
        self._is_used = False

    def send(self, payload: bytes) -> bool:
        """Send a frame after those that wait. False: nothing of it was taken, for want of room or of a reader."""
        self.flush()
        if self.is_broken:
            return False
        whole = frame(payload)
        if not self._is_used:
            self._is_used = True
            _enlarge(self._file.fileno())
        if self._waiting and len(self._waiting) + len(whole) > MAX_WAITING_BYTES:
            return False
        self._waiting += whole
        self.flush()
        return not self.is_broken

    def flush(self) -> None:
        """Write what waits, as far as there is room; whoever sends rarely calls it now and then."""
        while self._waiting and not self.is_broken:
            try:
                n = os.write(self._file.fileno(), self._waiting)
            except BlockingIOError:
                return
            except OSError:  # its reader has died
                self._is_broken = True
                return
            del self._waiting[:n]

    @property
    def n_waiting_bytes(self) -> int:
        """Bytes that were sent and are in memory still: 0 if all of it is the kernel's, and outlives this process."""
        return len(self._waiting)

    @property
    def is_broken(self) -> bool:
        """Whether nobody reads any more; a child that is started again has a new pipe."""
        return self._is_broken or self._file.closed


def _enlarge(file: int) -> None:
    if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux
        with contextlib.suppress(OSError):  # this user has many such pipes
            fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


class FrameReader:
    """Bytes as they come from a pipe → payloads."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes, return the payloads that are whole now; raises MessageError on a length that is garbage."""
        self._rest += data
        payloads = []
        begin = 0
        while len(self._rest) - begin >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._rest, begin)
            if length > MAX_FRAME_BYTES:
                raise MessageError(f"frame of {length} bytes; expected at most {MAX_FRAME_BYTES}")
            end = begin + _LENGTH.size + length
            if end > len(self._rest):
                break
            payloads.append(bytes(self._rest[begin + _LENGTH.size : end]))
            begin = end
        del self._rest[:begin]
        return payloads

    @property
    def n_rest(self) -> int:
        """Bytes of a frame that is not whole yet: at the end of a pipe, those of one that its writer never finished."""
        return len(self._rest)
