"""Why a connection to a daemon beyond this machine does not come about, in words for who waits for it."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import zmq

from streamd import endpoints, keys
from streamd.errors import EndpointError, KeysError

EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
"""What must be monitored to know."""


def connect_again(socket: zmq.Socket[Any], endpoint: str, keys_folder: Path | None) -> str:
    """Connect anew where the handshake had failed: ZeroMQ gives such a connection up for ever.

    Returns:
        Why that can't be done, in words; else "".
    """
    with contextlib.suppress(zmq.ZMQError):  # it has already been given up
        socket.disconnect(endpoint)
    try:
        endpoints.connect(socket, endpoint, keys_folder)
    except (EndpointError, KeysError) as error:
        return str(error)
    return ""


def kind_of(event: list[bytes]) -> int:
    """Return the kind of an event that a monitor received."""
    (kind,) = struct.unpack("=H", event[0][:2])
    return int(kind)


def in_words(kind: int, endpoint: str, role: str, keys_folder: Path | None) -> str:
    """Return what an event of EVENTS says about a connection to an endpoint, "" if it came about."""
    if kind == zmq.EVENT_HANDSHAKE_SUCCEEDED or not endpoints.is_beyond(endpoint):
        return ""
    host = endpoints.host_of(endpoint)
    if kind == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
        ours = keys.load(keys_folder or keys.keys_folder()).public
        return f"{endpoint}: our key is refused; on {host}: `streamd keys authorize '{ours}' {role}`, then reload"
    return f"{endpoint}: no handshake; is the key of {host} in `streamd keys list` here the one that its daemon has?"


class Watch:
    """Sees the handshakes of a socket; to be made before it connects, and closed before it is."""

    def __init__(self, socket: zmq.Socket[Any], endpoint: str, role: str, keys_folder: Path | None) -> None:
        """role: what our key would be authorised for there, as `streamd keys authorize` takes it."""
        self._socket = socket
        self._about = (endpoint, role, keys_folder)
        self._monitor = socket.get_monitor_socket(EVENTS) if endpoints.is_beyond(endpoint) else None
        self._problem = ""

    def problem(self) -> str:
        """Return why there is no connection, as far as the other end let it be known; else ""."""
        kind = 0
        while self._monitor is not None and int(self._monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            kind = kind_of(self._monitor.recv_multipart(zmq.NOBLOCK))
        if kind:
            self._problem = in_words(kind, *self._about)
        return self._problem

    def close(self) -> None:
        """Stop watching."""
        if self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(0)
