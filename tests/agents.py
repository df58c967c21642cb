"""For tests of capture: a real agent in a process of its own, and the daemon's end of its socket."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import zmq
from numpy.typing import NDArray

from streamd.blocks import Block, Bye, Done, Hello, Refuse, Said, Waiting, Want, decode_said, encode
from streamd.capture import specs

SOURCE = "kitchen"
_Kind = TypeVar("_Kind", Hello, Waiting, Bye, Block)


class AudioSocket:
    """A ROUTER that says what a test makes it say."""

    def __init__(self, *, queue: int = 1000, endpoint: str | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="audio-")
        self.endpoint = endpoint or f"ipc://{self._folder.name}/audio"
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.RCVHWM, queue)
        self._socket.bind(self.endpoint)
        self._agent = b""
        self.pcm: dict[str, list[NDArray[np.int16]]] = {}
        """PCM of every take, in the order in which it came."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close(0)
        self._context.term()
        self._folder.cleanup()

    def receive(self, seconds: float = 10.0) -> Said:
        """Return the next message, or fail."""
        assert self._socket.poll(seconds * 1000), f"the agent said nothing for {seconds} s"
        self._agent, *frames = self._socket.recv_multipart()
        said, pcm = decode_said(frames)
        if isinstance(said, Block):
            assert pcm is not None
            self.pcm.setdefault(said.take, []).append(pcm[:, 0])
        if isinstance(said, Bye):
            self._socket.send_multipart([self._agent, encode(Done(take=said.take))])
        return said

    def has_message(self, seconds: float) -> bool:
        """Tell whether a message comes."""
        return bool(self._socket.poll(seconds * 1000))

    def expect(self, kind: type[_Kind], seconds: float = 10.0) -> _Kind:
        """Return the next message, which must be of this kind."""
        said = self.receive(seconds)
        assert isinstance(said, kind), said
        return said

    def expect_after_others(self, kind: type[_Kind], seconds: float = 10.0) -> _Kind:
        """Return the next message of this kind; others are passed over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if isinstance(said := self.receive(deadline - time.monotonic()), kind):
                return said
        raise AssertionError(f"no {kind.__name__} for {seconds} s")

    def want(self, hello: Hello, sample_rate: int = 16_000, n_samples: int = 1280, block_take: str = "") -> Want:
        """Ask for blocks."""
        want = Want(take=hello.take, block_take=block_take or hello.take, sample_rate=sample_rate, n_samples=n_samples)
        self._socket.send_multipart([self._agent, encode(want)])
        return want

    def refuse(self, hello: Hello, reason: str) -> None:
        """Refuse a take."""
        self._socket.send_multipart([self._agent, encode(Refuse(take=hello.take, reason=reason))])

    def blocks_until_bye(self, seconds: float = 30.0) -> tuple[list[Block], Bye]:
        """Return the headers of all blocks to the end of the take."""
        blocks: list[Block] = []
        while not isinstance(said := self.receive(seconds), Bye):
            assert isinstance(said, Block), said
            blocks.append(said)
        return blocks, said

    def blocks(self, n: int, seconds: float = 10.0) -> list[Block]:
        """Return the headers of the next blocks."""
        return [self.expect(Block, seconds) for _ in range(n)]

    def samples(self, take: str) -> NDArray[np.int16]:
        """Return everything that came of a take."""
        return np.concatenate(self.pcm[take])


@contextmanager
def running_agent(
    endpoint: str, spec: specs.Spec, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a real agent as a child of this process, which is ended if it runs still."""
    command = [sys.executable, "-m", "streamd.capture", *agent_arguments(endpoint, spec)]
    with begun(command, environment) as process:
        yield process


def agent_arguments(endpoint: str, spec: specs.Spec) -> list[str]:
    """Return the arguments of an agent that is a child of this process."""
    return [SOURCE, endpoint, specs.encode(spec), "--child-of", str(os.getpid())]


@contextmanager
def begun(command: list[str], environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a program whose standard error is read here, and which is ended if it runs still."""
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).parents[1],
        env=environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], seconds: float = 10.0) -> tuple[int, str]:
    """Return the exit code of an agent that ends by itself, and what it wrote to standard error."""
    _, told = process.communicate(timeout=seconds)
    return process.returncode, told
