"""Real sockets for tests: somewhere to listen, and somebody who listens."""

from __future__ import annotations

import os
import resource
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import zmq

from streamd.counters import Counters
from streamd.errors import EndpointError
from streamd.events import Message
from streamd.publish import Publisher
from tests.wire import check_frames

PATIENCE_SECONDS = 20.0
"""A test that waits longer for a message has failed."""

PATIENCE_MS = round(PATIENCE_SECONDS * 1000)


Context = zmq.Context[zmq.Socket[bytes]]

_kept: list[zmq.Socket[bytes]] = []  # or a forgotten socket would warn when it is collected


@contextmanager
def a_context() -> Iterator[Context]:
    """Make a context that closes all its sockets at the end, whatever has happened."""
    context: Context = zmq.Context()
    try:
        yield context
    finally:
        context.destroy(linger=0)
        _kept.clear()


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder whose sockets have a short enough path; pytest's own folders may be too long."""
    with tempfile.TemporaryDirectory(prefix="sd-") as folder:
        yield Path(folder)


@contextmanager
def files_left(n: int) -> Iterator[None]:
    """Leave this process, for a while, so many files that it may still open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        newest = max(int(file.name) for file in Path("/dev/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (newest + 1 + n, hard))
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        for _ in range(n):
            os.close(taken.pop())
        yield
    finally:
        for file in taken:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port that nobody has at this moment."""
    with socket.create_server((address, 0)) as line:
        return int(line.getsockname()[1])


def a_publisher(context: Context, endpoint: str, run: str = "3f2a") -> Publisher:
    """Start a publisher."""
    return Publisher(context, [endpoint], run, "pi", Counters())


def another_publisher(context: Context, endpoint: str, run: str) -> Publisher:
    """Start a publisher in the place of one that was closed just now."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return a_publisher(context, endpoint, run)
        except EndpointError:
            # close() returns before ZeroMQ's own thread has let go of the endpoint, and nothing tells when it has.
            assert time.monotonic() < deadline, f"{endpoint} is never free"
            time.sleep(0.005)


def let_work(publisher: Publisher, until: Callable[[], bool]) -> None:
    """Let a publisher take in subscriptions, as a daemon's loop would, until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until():
        assert time.monotonic() < deadline, "waited in vain"
        if publisher.socket.poll(2):
            publisher.on_readable()
        publisher.greet_due()


class Ear:
    """A plain ZeroMQ subscriber that checks all it hears."""

    def __init__(self, context: Context, endpoint: str, *prefixes: str) -> None:
        self.socket = context.socket(zmq.SUB)
        _kept.append(self.socket)
        self.socket.setsockopt(zmq.LINGER, 0)
        for prefix in prefixes:
            self.socket.subscribe(prefix)
        self.socket.connect(endpoint)

    def hear(self, publisher: Publisher | None = None) -> Message:
        """Return the next message; meanwhile the publisher may take in subscriptions."""
        if publisher is not None:
            let_work(publisher, lambda: bool(self.socket.poll(0)))
        assert self.socket.poll(PATIENCE_MS), "nothing was heard"
        return check_frames(self.socket.recv_multipart())

    def close(self) -> None:
        """Leave."""
        self.socket.close()
