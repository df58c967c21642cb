"""The daemon's gate: who may connect from beyond this machine, and a count of who was turned away.

Sockets in the file system are guarded by their modes, tcp on loopback is open to this machine. Every
other endpoint is a CURVE server: ZeroMQ asks one handler (ZAP, rfc.zeromq.org/spec/27) about each key
that connects, and the daemon's loop answers for it. There is no thread, and no way in without an answer.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import zmq
from zmq.utils import z85

from streamd import endpoints
from streamd.counters import Counters
from streamd.errors import EndpointError
from streamd.keys import KeyPair, Permissions

log = logging.getLogger("streamd")

MAX_AT_ONCE = 64
"""Keys that are answered for before the daemon's loop goes on."""
MAX_COUNTED_AT_ONCE = 2000
"""Events of connections that the loop counts at once, 10 ms of work; what then still waits is let go of, uncounted."""
MAX_LINES = 100
"""Strangers that are told of in the log of one run; the counters go on."""

BIND_SECONDS = 0.005
"""How long the loop waits at once for ZeroMQ to let go of an endpoint that was cut off."""

_COUNTED = ("connections.accepted", "connections.established", "connections.uncounted", "auth.refused")
_ZAP = "inproc://zeromq.zap.01"
_EVENTS = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL  # of two who don't fit, the other may notice first, and go
)


@dataclass(eq=False)
class _Guarded:
    """An endpoint for those who have keys."""

    word: endpoints.Word
    socket: zmq.Socket[Any]
    endpoint: str
    """As it is configured."""
    bound: str = ""
    """What ZeroMQ calls it, by which alone it lets go of it: of `*` or an interface the address. Empty: it is cut off,
    and to be bound again."""

    def bind(self) -> None:
        endpoints.bind(self.socket, self.endpoint)
        self.bound = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def cut(self) -> None:
        try:
            self.socket.unbind(self.bound)
        except zmq.ZMQError as error:
            if error.errno != errno.ENOENT:  # it is not bound
                raise
        self.bound = ""


@dataclass(eq=False)
class _Watched:
    """A socket, and what ZeroMQ tells of its connections."""

    socket: zmq.Socket[Any]
    open_endpoints: frozenset[bytes]
    monitor: zmq.Socket[bytes]
    is_over: bool = False
    """The monitor may hear no more, and another one could not be had yet."""

    def is_telling(self) -> bool:
        return bool(int(self.monitor.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


class Gate:
    """Binds the daemon's sockets, answers for the keys that connect, and counts.

    Counters: `connections.accepted` and `connections.established` (their difference were no ZeroMQ, said
    nothing, or were refused), `connections.uncounted` (how often there were too many to count), and
    `auth.refused`: at an endpoint that needs a key, without one, with an unknown one, or with one that
    may not do what it asked for. All are told from the start, as 0.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        pair: KeyPair | None,
        permissions: Permissions,
        counters: Counters,
    ) -> None:
        self._permissions = permissions
        self.socket: zmq.Socket[bytes] | None = None
        """For the daemon's poller: readable when somebody's key must be answered for; None without keys."""
        self._pair = pair
        self._counters = counters
        for name in _COUNTED:
            counters.add(name, 0)
        self._context = context
        self._watched: list[_Watched] = []
        self._guarded: list[_Guarded] = []
        self._told: set[str] = set()
        # What ZeroMQ tells of a connection that showed no key is what its peer says of itself, a User-Id too.
        self._let_in = os.urandom(16).hex()
        if pair is not None:
            self.socket = context.socket(zmq.REP)
            self.socket.setsockopt(zmq.LINGER, 0)
            self.socket.bind(_ZAP)

    def bind(self, word: endpoints.Word, socket: zmq.Socket[Any], listen_at: Sequence[str]) -> None:
        """Bind a socket where it can be reached, and guard it; it is closed if one endpoint can't be had.

        Raises:
            EndpointError: an endpoint can't be bound, or lies beyond this machine and there are no keys.
        """
        beyond = [endpoint for endpoint in listen_at if endpoints.is_beyond(endpoint)]
        here = [endpoint for endpoint in listen_at if endpoint not in beyond]
        open_endpoints = frozenset(endpoint.encode() for endpoint in here)
        self._watched.append(_Watched(socket, open_endpoints, self._monitor(socket)))
        try:
            # ZeroMQ's options count for what is bound after them.
            endpoints.bind_all(socket, here, shared=word in ("events", "history"))
            if beyond:
                self._guard(word, socket, beyond[0])
                for endpoint in beyond:
                    self._guarded.append(_Guarded(word, socket, endpoint))
                    self._guarded[-1].bind()
        except EndpointError:
            self._guarded = [one for one in self._guarded if one.socket is not socket]
            socket.close(linger=0)
            self._watched.pop().monitor.close(0)
            raise

    def _guard(self, word: endpoints.Word, socket: zmq.Socket[Any], endpoint: str) -> None:
        if self._pair is None:
            raise EndpointError(f"{endpoint}: beyond this machine it needs keys; make them with `streamd keys new`")
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt_string(zmq.CURVE_SECRETKEY, self._pair.secret)
        socket.setsockopt_string(zmq.ZAP_DOMAIN, word)
        # Without this, nobody to ask would mean that anybody may come in.
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def admit(self, permissions: Permissions) -> None:
        """Let in, from now on, whom these permissions let in.

        An endpoint that somebody may no longer use is cut off from all, and who still may is soon back. Not for audio:
        there every message is looked at.
        """
        before, self._permissions = self._permissions, permissions
        for one in self._guarded:
            were = {key for key in before.roles if before.may_enter(key, one.word)}
            may_stay = all(permissions.may_enter(key, one.word) for key in were)
            if one.bound and one.word != "audio" and not may_stay:
                one.cut()
        self._bind_again()

    def _bind_again(self) -> None:
        """Bind what was cut off, as far as it can be had; in a second there is another try."""
        deadline = time.monotonic() + BIND_SECONDS
        for one in self._guarded:
            while not one.bound:
                try:
                    one.bind()
                except EndpointError as error:  # ZeroMQ's own thread has not yet let go of it, or its address has gone
                    if time.monotonic() > deadline:
                        self._tell(f"{error}; tries again")
                        break
                    time.sleep(0.001)

    def on_readable(self) -> None:
        """Answer for those who connect, at most MAX_AT_ONCE."""
        for _ in range(MAX_AT_ONCE):
            if self.socket is None or not self.socket.poll(0):
                return
            version, request, domain, address, _, mechanism, *credentials = self.socket.recv_multipart(zmq.NOBLOCK)
            key = z85.encode(credentials[0]).decode() if mechanism == b"CURVE" and credentials else ""
            word = domain.decode()
            is_known = self._permissions.may_enter(key, word)
            if not is_known:
                # Counted with the failed handshakes, of which this becomes one.
                who = f"key '{key}' from {address.decode(errors='replace')}"
                self._tell(f"{who} may not come in for {word}; `streamd keys authorize` would let it")
            code = b"200" if is_known else b"400"
            user = f"{self._let_in}{key}" if is_known else ""
            self.socket.send_multipart([version, request, code, b"", user.encode(), b""])

    def key_of(self, frame: zmq.Frame) -> str | None:
        """Return the key that was let in for a frame's connection, None of one that needed none, whatever it says."""
        try:
            user = str(frame.get("User-Id"))
        except (zmq.ZMQError, UnicodeDecodeError):  # the connection has no such property, or a stranger's
            return None
        return user.removeprefix(self._let_in) if user.startswith(self._let_in) else None

    def may_speak(self, key: str | None, source: str) -> bool:
        """Tell whether an agent may speak for a source, and count it if not; key None is somebody on this machine."""
        if self._permissions.may_speak(key, source):
            return True
        self._counters.add("auth.refused")
        self._tell(f"{f'key {key!r}' if key else 'somebody without a key'} may not speak for {source}")
        return False

    def count(self) -> None:
        """Count who connected and who was turned away since the last call; to be called once a second."""
        self._bind_again()
        left = MAX_COUNTED_AT_ONCE
        for one in self._watched:
            if one.is_over:
                self._let_go(one)
            while one.is_telling():
                if not left:
                    self._let_go(one)
                    break
                left -= 1
                event, endpoint = one.monitor.recv_multipart(zmq.NOBLOCK)
                (kind,) = struct.unpack("=H", event[:2])
                if kind == zmq.EVENT_ACCEPTED:
                    self._counters.add("connections.accepted")
                elif kind == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    self._counters.add("connections.established")
                elif endpoint not in one.open_endpoints:
                    self._counters.add("auth.refused")
                    if kind != zmq.EVENT_HANDSHAKE_FAILED_AUTH:  # whose key is told of already
                        self._tell(
                            f"somebody without a key, or who believes another one than ours, at {endpoint.decode()}"
                        )

    def _let_go(self, one: _Watched) -> None:
        """Hear nothing of what a monitor still has to tell: another one takes its place, if a file is left for it.

        Left for later, it would fill the memory: who connects is faster than who counts.
        """
        self._counters.add("connections.uncounted")
        try:
            fresh = self._monitor(one.socket)
        except zmq.ZMQError:  # connections have them all
            one.is_over = True
            for _ in range(MAX_COUNTED_AT_ONCE):
                if not one.is_telling():
                    break
                one.monitor.recv_multipart(zmq.NOBLOCK)
        else:
            one.monitor.close(0)
            one.monitor, one.is_over = fresh, False

    def close(self) -> None:
        """Close its sockets; those that it guards are their owners'."""
        for one in self._watched:
            one.monitor.close(0)
        if self.socket is not None:
            self.socket.close(0)

    def _monitor(self, socket: zmq.Socket[Any]) -> zmq.Socket[bytes]:
        """Have ZeroMQ tell who connects to a socket from now on, to nobody but the monitor that is returned.

        Raises:
            zmq.ZMQError: no file is left, of which it takes two; whoever was told before may be told no more.
        """
        name = f"inproc://gate-{os.urandom(6).hex()}"
        # First: where ZeroMQ can tell and nobody hears, it waits, and all audio with it.
        monitor = self._context.socket(zmq.PAIR)
        try:
            # Without a bound: a full queue would hold up ZeroMQ's own thread as well.
            monitor.setsockopt(zmq.RCVHWM, 0)
            socket.monitor(name, _EVENTS)
            monitor.connect(name)
        except zmq.ZMQError:
            monitor.close(0)
            raise
        return monitor

    def _tell(self, line: str) -> None:
        if line not in self._told and len(self._told) < MAX_LINES:
            self._told.add(line)
            log.warning("%s", line)
