"""The journal's loop: frames from the daemon are stored and confirmed, questions for history answered.

It ends with its input: then the daemon has died or stopped, and all that it had written is still to be read.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections import deque
from collections.abc import Sequence

import msgspec
import zmq

from streamd import admission, endpoints
from streamd.counters import Counters
from streamd.errors import EndpointError, KeysError, MessageError
from streamd.gate import Gate
from streamd.history import Answer, Missing, Refused, decode_request, encode, place_of
from streamd.journal.contract import ASKS_WHAT_IS_OPEN, Report, Start
from streamd.journal.keeper import Keeper
from streamd.pipe import FrameReader

log = logging.getLogger("streamd.journal")

RETRY_SECONDS = 1.0
BUSY_SECONDS = 3.0
"""Who is busy with its file for longer says so, every second: a journal that says nothing is taken for hung."""
READ_BYTES = 256 << 10
MOST_AT_ONCE = 1000
"""Messages of one transaction."""
DRAIN_SECONDS = 10.0
"""How long it goes on trying to store the rest when its daemon is gone; the backlog still has what it can't."""
LEFT_BEHIND_SECONDS = 3.0
"""How long all who ask for history wait at most for what a dead daemon left behind; who asks for a run that is over
waits until it is stored."""
MAX_REQUEST_BYTES = 64 << 10
"""A larger request ends its asker's connection."""
REQUESTS_AT_ONCE = 8
MOST_UNREAD_ANSWERS = 4
"""Answers beyond these are dropped for an asker who does not read: each may have 512 KiB."""


class Server:
    """One life of the journal's process."""

    def __init__(self, start: Start, frames: int, reports: int) -> None:
        """Read frames from one file, and write reports to another."""
        self._run = start.run
        self._parent = os.getppid()
        self._file = start.spec.file
        self._keeper = Keeper(start.spec, self._on_busy)
        self._say_busy_at = time.monotonic() + BUSY_SECONDS
        self._frames, self._reports = frames, reports
        for file in (frames, reports):
            os.set_blocking(file, False)
        self._reader = FrameReader()
        self._unstored: deque[bytes] = deque()
        self._n_confirmed = 0
        self._unsaid: deque[bytes] = deque()
        self._said = Report(pid=0, n_confirmed=0)
        self._is_over = False
        self._retry_at = 0.0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._listen_at: Sequence[str] = start.listen_at
        self._counters = Counters()
        self._gate: Gate | None = None
        self._is_whole = False
        """Whether all that a dead daemon left behind is stored: who asks before that would miss it."""
        self._serve_at = time.monotonic() + LEFT_BEHIND_SECONDS
        self._history: zmq.Socket[bytes] | None = None
        self._bind_at = 0.0
        self._why_unbound = ""

    def loop(self) -> None:
        """Work until the input ends and all of it is stored, or can't be."""
        next_rest = time.monotonic() + 1
        while not self._is_over:
            self._bind()
            to_do = self._wait(next_rest)
            self._say_busy_at = time.monotonic() + BUSY_SECONDS
            for ready in to_do:
                if ready == self._frames:
                    self._read()
                elif ready is self._history:
                    self._answer()
                elif self._gate is not None:
                    self._gate.on_readable()
            if self._unstored and time.monotonic() >= self._retry_at:
                self._store()
                if self._unstored and os.getppid() != self._parent:  # the end of the input would not be seen
                    break
            self._say()
            if time.monotonic() >= next_rest:
                self._keeper.rest()
                self._say(again=bool(self._keeper.trouble))
                self._look_at_the_gate()
                next_rest = time.monotonic() + 1
        self._drain()

    def _wait(self, until: float) -> list[object]:
        poller = zmq.Poller()
        if not self._unstored:  # what can't be stored must not fill the memory: the daemon knows how much it keeps
            poller.register(self._frames, zmq.POLLIN)
        else:
            until = min(until, self._retry_at)
        if self._history is not None:
            poller.register(self._history, zmq.POLLIN)
        if self._gate is not None and self._gate.socket is not None:
            poller.register(self._gate.socket, zmq.POLLIN)
        if self._unsaid:
            poller.register(self._reports, zmq.POLLOUT)
        return [ready for ready, _ in poller.poll(math.ceil(max(0.0, until - time.monotonic()) * 1000))]

    def _read(self) -> bool:
        """Read once from the pipe; return False if it is empty, or over."""
        try:
            data = os.read(self._frames, READ_BYTES)
        except BlockingIOError:
            return False
        self._is_over = not data
        self._unstored += self._reader.feed(data)
        return bool(data)

    def _store(self) -> None:
        """Store what was read, in its order, and answer the questions in it."""
        while self._unstored:
            batch: list[bytes] = []
            while self._unstored and self._unstored[0] != ASKS_WHAT_IS_OPEN and len(batch) < MOST_AT_ONCE:
                batch.append(self._unstored.popleft())
            if not (self._keeper.keep(batch) if batch else self._tell_what_is_open()):
                self._unstored.extendleft(reversed(batch))
                self._retry_at = time.monotonic() + RETRY_SECONDS
                return
            self._n_confirmed += len(batch)

    def _tell_what_is_open(self) -> bool:
        found = self._keeper.left_open(self._run)
        if found is None:
            return False
        for each in found:
            self._unsaid.append(msgspec.json.encode(msgspec.structs.replace(self._report(), left_open=each)))
        self._unstored.popleft()
        self._n_confirmed += 1
        self._is_whole = True
        return True

    def _report(self, busy: str = "") -> Report:
        return Report(
            pid=os.getpid(),
            n_confirmed=self._n_confirmed,
            trouble=self._keeper.trouble or busy,
            counters=self._counters.read(),
        )

    def _on_busy(self) -> None:
        """SQLite is in the middle of something."""
        if time.monotonic() >= self._say_busy_at:
            self._say(again=True, busy=f"{self._file}: it is being looked through")
            self._say_busy_at = time.monotonic() + 1

    def _say(self, *, again: bool = False, busy: str = "") -> None:
        """Tell the daemon how far it is, if that has changed, or again; what it has no room for is said later."""
        report = self._report(busy)
        if report != self._said or (again and not self._unsaid):
            self._unsaid.append(msgspec.json.encode(report))
            self._said = report
        while self._unsaid:
            try:
                os.write(self._reports, self._unsaid[0])
            except BlockingIOError:
                return
            except OSError:  # nobody listens any more
                self._unsaid.clear()
                return
            self._unsaid.popleft()

    def _bind(self) -> None:
        now = time.monotonic()
        if self._history is not None or now < self._bind_at or not (self._is_whole or now > self._serve_at):
            return
        self._bind_at = time.monotonic() + RETRY_SECONDS
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
        socket.setsockopt(zmq.SNDHWM, MOST_UNREAD_ANSWERS)
        socket.setsockopt(zmq.HANDSHAKE_IVL, endpoints.HANDSHAKE_MS)
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        try:
            if self._gate is None:
                self._gate = Gate(self._context, *admission.of_listeners(self._listen_at), self._counters)
            self._gate.bind("history", socket, self._listen_at)
        except (EndpointError, KeysError) as error:  # held still by the journal of the daemon before this one, say
            socket.close()
            if str(error) != self._why_unbound:
                log.warning("history is not served yet: %s", error)
            self._why_unbound = str(error)
            return
        self._history = socket

    def _look_at_the_gate(self) -> None:
        """Count who came, and see who may come from now on."""
        if self._gate is None:
            return
        self._gate.count()
        try:
            self._gate.admit(admission.of_listeners(self._listen_at)[1])
        except KeysError as error:  # they were good before
            if str(error) != self._why_unbound:
                log.warning("who may ask for history stays as it was: %s", error)
            self._why_unbound = str(error)

    def _answer(self) -> None:
        """Answer those who asked for history; what is no request is refused."""
        if self._history is None:
            return
        for _ in range(REQUESTS_AT_ONCE):
            if not self._history.poll(0):
                return
            *address, frame = self._history.recv_multipart(zmq.NOBLOCK)
            try:
                answer = self._answer_to(frame)
            except MessageError as error:
                answer = Refused(reason=str(error))
            self._history.send_multipart([*address, encode(answer)], zmq.NOBLOCK)

    def _answer_to(self, frame: bytes) -> Answer:
        request = decode_request(frame)
        if isinstance(request, Missing):
            run = request.run
        else:
            try:
                run = self._run if request.after is None else place_of(request.after)[0]
            except MessageError as error:
                return Refused(reason=str(error), ref=request.ref)
        if run != self._run and not self._is_whole:
            trouble = self._keeper.trouble
            reason = f"what an earlier run left behind is not stored yet{trouble and ': '}{trouble}; ask again"
            return Refused(reason=reason, ref=request.ref)
        return self._keeper.answer(request, self._run)

    def _drain(self) -> None:
        """Store the rest, now that the daemon is gone."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._read():
            pass
        self._store()
        while self._unstored and time.monotonic() < deadline:
            time.sleep(RETRY_SECONDS)
            self._store()
        if not self._unstored:
            self._keeper.end(self._run)
        self._say()
        self._keeper.close()
