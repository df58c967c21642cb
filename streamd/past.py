"""Asks a journal for what was published, page by page: `Past` never waits for it, `recall` does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import zmq

from streamd import endpoints, refusal
from streamd.errors import EndpointError, KeysError, MessageError
from streamd.events import Event, State, decode
from streamd.history import Missing, Page, Refused, Since, decode_answer, encode

ASK_AGAIN_SECONDS = 0.5
"""A question that was not answered for so long is asked again: the journal that had it may have died."""


def history_of(events_at: str) -> str | None:
    """Return the endpoint of history beside a default endpoint of events; None if that is none."""
    folder, _, name = events_at.rpartition("/")
    return f"{folder}/history.sock" if name == "events.sock" and events_at.startswith("ipc://") else None


class Past:
    """A connection to a journal, with one question at a time; it comes back by itself for ever.

    Raises:
        EndpointError: that is no endpoint.
        KeysError: it lies beyond this machine, and our keys or its daemon's lack.
    """

    def __init__(self, endpoint: str, keys_folder: Path | None = None) -> None:
        self.endpoint = endpoint
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        """Readable when an answer is there."""
        self.has_answered = False
        self._keys_folder = keys_folder
        self._request: Since | Missing | None = None
        self._ref = 0
        self._asked_at = 0.0
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDHWM, 8)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 50)
        self.watch = refusal.Watch(self.socket, endpoint, "--listen", keys_folder)
        """Knows why the journal does not let us in, if it does not."""
        try:
            endpoints.connect(self.socket, endpoint, keys_folder)
        except BaseException:
            self.close()
            raise

    def move(self, endpoint: str) -> None:
        """Go to another journal; the question goes there, too."""
        if endpoint != self.endpoint:
            self.socket.disconnect(self.endpoint)
            endpoints.connect(self.socket, endpoint, self._keys_folder)
            self.endpoint = endpoint
            self._asked_at = 0.0

    def ask(self, request: Since | Missing) -> None:
        """Ask something else; what was asked before is forgotten."""
        self._ref += 1
        self._request = msgspec.structs.replace(request, ref=self._ref)
        self._asked_at = 0.0
        self._send()

    def answer(self) -> Page | Refused | None:
        """Return the answer if it is there; else see to it that the question was heard."""
        while self.socket.poll(0):
            try:
                answer = decode_answer(self.socket.recv())
            except MessageError:
                continue
            if self._request is not None and answer.ref == self._ref:
                self._request = None
                self.has_answered = True
                return answer
        self._send()
        return None

    def _send(self) -> None:
        if self._request is None or time.monotonic() - self._asked_at < ASK_AGAIN_SECONDS:
            return
        self._asked_at = time.monotonic()
        if self.watch.problem():
            refusal.connect_again(self.socket, self.endpoint, self._keys_folder)
        if self.socket.poll(0, zmq.POLLOUT):
            self.socket.send(encode(self._request))

    def close(self) -> None:
        """Leave."""
        self.watch.close()
        self.socket.close()


def recall(
    request: Since, endpoint: str | None = None, timeout_seconds: float = 5.0, *, keys_folder: Path | None = None
) -> Iterator[tuple[Event | State, bytes]]:
    """Yield what a journal has, oldest first, each message as it is and as it was on the wire.

    endpoint: where history is served; None looks for a daemon on this machine.

    Raises:
        EndpointError: no journal is there, or it does not answer in time, or refuses to.
        KeysError: it lies beyond this machine, and our keys or its daemon's lack, or ours are refused.
    """
    past = Past(endpoint or endpoints.find("history"), keys_folder)
    try:
        cursor: int | None = None
        while True:
            past.ask(msgspec.structs.replace(request, cursor=cursor))
            deadline = time.monotonic() + timeout_seconds
            while (answer := past.answer()) is None:
                if time.monotonic() > deadline:
                    if problem := past.watch.problem():
                        raise KeysError(problem)
                    raise EndpointError(
                        f"{past.endpoint}: no answer in {timeout_seconds:g} s; is a journal kept there?"
                    )
                past.socket.poll(100)
            if isinstance(answer, Refused):
                raise EndpointError(f"{past.endpoint}: {answer.reason}")
            for payload in answer.messages:
                message = decode(bytes(payload))
                if isinstance(message, Event | State):
                    yield message, bytes(payload)
            if (cursor := answer.next) is None:
                return
    finally:
        past.close()
