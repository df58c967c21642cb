"""The agent's end of the audio socket: nothing waits in it for a daemon that is not there."""

from __future__ import annotations

import time
from pathlib import Path

import zmq

from streamd import endpoints, refusal
from streamd.blocks import FORMAT, Answered, Want, decode_answer
from streamd.errors import EndpointError, KeysError, MessageError

QUEUE_MESSAGES = 8
"""Messages that ZeroMQ holds for us; what it doesn't take waits in the outbox, where the loss rule holds."""
HEARTBEAT_MS = 2_000
SILENCE_MS = 10_000
"""A daemon that answers no heartbeat for this long is gone; one that was stopped for less only lags."""
MAX_RATE = 768_000
"""Highest sample rate that may be wanted, in Hz."""
RETRY_SECONDS = 5.0
"""A daemon that refused us may have been told of us since."""
RECONNECT_MS, LONGEST_RECONNECT_MS = 100, 1_000


class Link:
    """A DEALER socket, and a watch over its connection."""

    def __init__(self, endpoint: str, source: str, keys_folder: Path | None = None) -> None:
        """Begin to connect, to speak for a source; beyond this machine with the keys in a folder (None: the user's).

        Raises:
            EndpointError: that is no endpoint.
            KeysError: it lies beyond this machine, and our keys or its daemon's lack.
        """
        self.endpoint = endpoint
        self.problem = ""
        """Why there is no connection, as far as the other end lets it be known."""
        self._about = (endpoint, f"--speak {source}", keys_folder)
        self._is_connected = False
        self._retry_at = 0.0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        for option, value in (
            (zmq.IMMEDIATE, 1),
            (zmq.SNDHWM, QUEUE_MESSAGES),
            (zmq.HEARTBEAT_IVL, HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, SILENCE_MS),
            (zmq.HEARTBEAT_TTL, SILENCE_MS),
            (zmq.RECONNECT_IVL, RECONNECT_MS),
            (zmq.RECONNECT_IVL_MAX, LONGEST_RECONNECT_MS),
        ):
            self._socket.setsockopt(option, value)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | refusal.EVENTS)
        try:
            endpoints.connect(self._socket, endpoint, keys_folder)
        except (EndpointError, KeysError):
            self.close(0)
            raise

    def send(self, frames: list[bytes]) -> bool:
        """Send a message if it can be sent now; tell whether it was."""
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def answers(self) -> list[Answered | MessageError]:
        """Return what the daemon said since the last call, an error in the place of what can't be understood."""
        answers: list[Answered | MessageError] = []
        while int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            try:
                answers.append(_checked(decode_answer(self._socket.recv_multipart(zmq.NOBLOCK))))
            except MessageError as error:
                answers.append(error)
        return answers

    def was_lost(self) -> bool:
        """Tell whether the connection broke since the last call: the daemon that answered is gone."""
        lost = False
        while int(self._monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            kind = refusal.kind_of(self._monitor.recv_multipart(zmq.NOBLOCK))
            if kind == zmq.EVENT_DISCONNECTED:
                lost |= self._is_connected
                self._is_connected = False
            else:
                self._is_connected = kind == zmq.EVENT_HANDSHAKE_SUCCEEDED
                self.problem = refusal.in_words(kind, *self._about)
                self._retry_at = time.monotonic() + RETRY_SECONDS
        if self.problem and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            endpoint, _, keys_folder = self._about
            self.problem = refusal.connect_again(self._socket, endpoint, keys_folder) or self.problem
        return lost

    def wait(self, seconds: float, *, to_send: bool = False) -> None:
        """Sleep until the daemon says something or the connection breaks; also, if to_send, until a message can go."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN | (zmq.POLLOUT if to_send else 0))
        poller.register(self._monitor, zmq.POLLIN)
        poller.poll(max(0, round(seconds * 1000)))

    def close(self, linger_ms: int) -> None:
        """Close; what was sent has this long to leave."""
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(linger_ms)
        self._context.term()


def _checked(answer: Answered) -> Answered:
    if answer.v != FORMAT:
        found = f"the daemon speaks format {answer.v} and this agent {FORMAT}"
        raise MessageError(f"{found}: use one version of streamd on both ends")
    if isinstance(answer, Want) and not (0 < answer.sample_rate <= MAX_RATE and 0 < answer.n_samples <= MAX_RATE * 60):
        raise MessageError(f"the daemon wants blocks of {answer.n_samples} samples at {answer.sample_rate} Hz")
    return answer
