"""Real pipes: full ones, broken ones, and one whose writer was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import MessageError
from streamd.pipe import MAX_FRAME_BYTES, MAX_WAITING_BYTES, FrameReader, Pipe, frame


@pytest.fixture
def ends() -> Iterator[tuple[int, IO[bytes]]]:
    """The reading end of a pipe, and the file of its writing end."""
    read, write = os.pipe()
    with os.fdopen(write, "wb", buffering=0) as file:
        yield read, file
    os.close(read)


@given(payloads=st.lists(st.binary(max_size=40)), cuts=st.lists(st.integers(1, 9)))
def test_frames_are_read_again_however_the_bytes_come(payloads: list[bytes], cuts: list[int]) -> None:
    reader, data, read = FrameReader(), b"".join(map(frame, payloads)), []
    for n in cuts:
        read += reader.feed(data[:n])
        data = data[n:]
    read += reader.feed(data)
    assert read == payloads
    assert reader.n_rest == 0


def test_a_frame_whose_writer_died_in_the_middle_of_it_is_none() -> None:
    reader = FrameReader()
    assert reader.feed(frame(b"whole") + frame(b"torn")[:-1]) == [b"whole"]
    assert reader.n_rest == 7


def test_a_length_that_is_garbage_is_refused() -> None:
    with pytest.raises(MessageError, match=r"^frame of 4294967295 bytes; expected at most 16777216$"):
        FrameReader().feed(b"\xff" * 4)
    with pytest.raises(MessageError, match="expected at most"):
        frame(bytes(MAX_FRAME_BYTES + 1))


def test_a_full_pipe_takes_what_memory_allows_and_then_says_no_without_waiting(ends: tuple[int, IO[bytes]]) -> None:
    read, file = ends
    pipe, reader = Pipe(file), FrameReader()
    sent = []
    while pipe.send(payload := len(sent).to_bytes(4, "little") * 1000):
        sent.append(payload)
    assert MAX_WAITING_BYTES - 4004 < pipe.n_waiting_bytes <= MAX_WAITING_BYTES
    assert not pipe.is_broken
    got: list[bytes] = []
    while len(got) < len(sent):
        got += reader.feed(os.read(read, 1 << 16))
        pipe.flush()
    assert got == sent
    assert pipe.n_waiting_bytes == 0
    assert pipe.send(b"room again")
    assert reader.feed(os.read(read, 1 << 16)) == [b"room again"]


def test_a_frame_longer_than_the_bound_is_taken_where_nothing_waits(ends: tuple[int, IO[bytes]]) -> None:
    read, file = ends
    pipe, reader = Pipe(file), FrameReader()
    large = bytes(2 * MAX_WAITING_BYTES)
    assert pipe.send(large)
    assert not pipe.send(b"beyond it")
    got: list[bytes] = []
    while not got:
        got += reader.feed(os.read(read, 1 << 16))
        pipe.flush()
    assert got == [large]


def test_a_pipe_whose_reader_is_gone_takes_nothing(ends: tuple[int, IO[bytes]]) -> None:
    _, file = ends
    pipe = Pipe(file)
    child = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, bufsize=0)
    assert child.stdin is not None
    child.wait()
    gone = Pipe(child.stdin)
    assert not gone.send(b"hello")
    assert gone.is_broken
    child.stdin.close()
    assert pipe.send(b"another")
    file.close()
    assert not pipe.send(b"closed by its owner")


def test_what_was_sent_before_its_writer_was_killed_is_read_to_the_end() -> None:
    program = (
        "import os, signal, sys\n"
        "from streamd.pipe import Pipe\n"
        "pipe = Pipe(os.fdopen(1, 'wb', buffering=0))\n"
        "for n in range(50):\n"
        "    pipe.send(bytes([n]) * 900)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert writer.wait() == -signal.SIGKILL  # nobody has read a byte so far
    assert writer.stdout is not None
    with writer.stdout as file:
        assert FrameReader().feed(file.read()) == [bytes([n]) * 900 for n in range(50)]
