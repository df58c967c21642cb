"""Questions to a running daemon, and its answers: the daemon's end and the asker's."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import zmq

from streamd import endpoints, refusal
from streamd.counters import Counters
from streamd.errors import EndpointError, KeysError, MessageError
from streamd.requests import (
    Answer,
    Refused,
    Reloading,
    ReloadReport,
    ReloadRequest,
    Request,
    Status,
    StatusRequest,
    decode_answer,
    decode_request,
    encode,
)

MAX_REQUEST_BYTES = 64 << 10
"""A larger request ends its asker's connection."""

MAX_AT_ONCE = 8
"""Requests answered before the daemon's loop goes on: nobody's questions may hold up the audio."""

LOOK_SECONDS = 0.1
"""Who waits for a reload asks this often."""

WATCH_SECONDS = 1.0
"""Who watches a daemon asks this often."""

RELOAD_SECONDS = 110.0
"""How long a reload may take: `systemctl reload` gives up after 120 s, and then without a word why."""


class ControlServer:
    """The daemon's end: a ROUTER that answers each request from `answer`, and never waits.

    Raises:
        EndpointError: an endpoint can't be bound.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        listen_at: Sequence[str],
        answer: Callable[[Request], Answer],
        counters: Counters,
        bind: Callable[[zmq.Socket[Any], Sequence[str]], None] = endpoints.bind_all,
    ) -> None:
        self.socket = context.socket(zmq.ROUTER)
        """For the daemon's poller: readable when somebody asked."""
        self._answer = answer
        self._counters = counters
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, endpoints.HANDSHAKE_MS)
        self.socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        bind(self.socket, listen_at)

    def on_readable(self) -> None:
        """Answer those who asked, at most MAX_AT_ONCE; what is no request is refused and counted."""
        for _ in range(MAX_AT_ONCE):
            if not self.socket.poll(0):
                return
            # A REQ sends an empty frame before its request, a DEALER need not; it gets back what it sent.
            *address, frame = self.socket.recv_multipart(zmq.NOBLOCK)
            answer: Answer
            try:
                answer = self._answer(decode_request(frame))
                self._counters.add("control.answered")
            except MessageError as error:
                answer = Refused(reason=str(error))
                self._counters.add("control.refused")
            # A ROUTER drops what is for somebody who has left, or whose queue is full.
            self.socket.send_multipart([*address, encode(answer)], zmq.NOBLOCK)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def ask(
    request: Request, endpoint: str | None = None, timeout_seconds: float = 2.0, *, keys_folder: Path | None = None
) -> Answer:
    """Ask a daemon and return its answer; `endpoint` None looks for one on this machine.

    keys_folder: where keys are for a daemon beyond this machine; None is the user's (`keys.keys_folder`).

    Raises:
        EndpointError: no daemon is there, or it did not answer in time.
        KeysError: a daemon beyond this machine: keys lack, or are refused.
        MessageError: what came back is no answer of a streamd this version knows.
    """
    where = endpoint or endpoints.find("control")
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
    with (
        contextlib.closing(socket),
        contextlib.closing(refusal.Watch(socket, where, "--control", keys_folder)) as watch,
    ):
        socket.setsockopt(zmq.LINGER, 0)
        endpoints.connect(socket, where, keys_folder)
        socket.send(encode(request))
        if not socket.poll(round(timeout_seconds * 1000)):
            if problem := watch.problem():
                raise KeysError(problem)
            raise EndpointError(f"{where}: no answer within {timeout_seconds:g} s; does a daemon run there?")
        return decode_answer(socket.recv())


def ask_status(endpoint: str | None = None, timeout_seconds: float = 2.0, *, keys_folder: Path | None = None) -> Status:
    """Ask a daemon how it is, and return that; otherwise as `ask`.

    Raises:
        EndpointError: also if it refuses to tell.
    """
    answer = ask(StatusRequest(), endpoint, timeout_seconds, keys_folder=keys_folder)
    if not isinstance(answer, Status):
        raise EndpointError(f"the daemon refuses to answer: {answer.reason if isinstance(answer, Refused) else answer}")
    return answer


def statuses(
    first: Status, endpoint: str | None = None, *, keys_folder: Path | None = None
) -> Iterator[Status | EndpointError]:
    """Yield how a daemon is about once a second, from what it has just said on.

    Where it gives no answer, as while it is started again, why is yielded, and it is asked again.

    Raises:
        KeysError, MessageError: as of `ask`.
    """
    yield first
    while True:
        time.sleep(WATCH_SECONDS)
        try:
            status: Status | EndpointError = ask_status(endpoint, keys_folder=keys_folder)
        except EndpointError as error:
            status = error
        yield status


def ask_reload(
    endpoint: str | None = None, timeout_seconds: float = RELOAD_SECONDS, *, keys_folder: Path | None = None
) -> ReloadReport:
    """Have a daemon read its configuration again, and return what came of it.

    A look that is not answered is taken again: models that load leave the daemon little of a small machine.

    Raises:
        EndpointError, MessageError: as of `ask`; also if it has not ended within the time-out, or the daemon has (of
            one beyond a file's socket that shows only when another answers there).
    """
    where = endpoint or endpoints.find("control")
    answer = ask(ReloadRequest(), where, keys_folder=keys_folder)
    if not isinstance(answer, Reloading):
        raise EndpointError(f"the daemon refuses a reload: {answer.reason if isinstance(answer, Refused) else answer}")
    deadline = time.monotonic() + timeout_seconds
    run = None
    while time.monotonic() < deadline:
        try:
            status = ask_status(where, keys_folder=keys_folder)
        except EndpointError as error:
            if where.startswith("ipc://") and (reason := endpoints.why_silent(where)):
                raise EndpointError(
                    f"{where}: the daemon ended during the reload ({reason}); its log says why"
                ) from error
            time.sleep(LOOK_SECONDS)
            continue
        if (run := run or status.run) != status.run:
            raise EndpointError(f"{where}: the daemon was started again during the reload; `streamd status` tells more")
        report = status.reload
        if report is not None and report.number >= answer.number and report.outcome != "loading":
            return report
        time.sleep(LOOK_SECONDS)
    raise EndpointError(f"{where}: the reload has not ended within {timeout_seconds:g} s; `streamd status` tells more")
