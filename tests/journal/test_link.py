"""The daemon's end, with a real journal at the other: whether that gets on, and what it says last."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from streamd.counters import Counters
from streamd.events import encode
from streamd.journal.backlog import backlog_file
from streamd.journal.contract import Report
from streamd.journal.keeper import Keeper
from streamd.journal.link import JournalLink
from streamd.pipe import Pipe
from tests import samples
from tests.journal.test_keeper import messages, spec

PATIENCE_SECONDS = 20.0
STALE_SECONDS = 2.0
"""A journal that has told nothing for so long does not tell its trouble every second."""


@dataclass
class Linked:
    """A link and the journal behind it."""

    link: JournalLink
    childs_end: socket.socket
    process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str] = ()) -> None:
        """Start the journal's process."""
        command = command or self.link.command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.link.output, bufsize=0)
        assert self.process.stdin is not None
        pipe, pid = Pipe(self.process.stdin), self.process.pid
        self.link.attach(lambda: pipe, lambda: pid)

    def hear(self, seconds: float) -> float:
        """Hear the journal for a while; return how old its progress has been at most, in the second half of it."""
        began, oldest = time.monotonic(), 0.0
        while time.monotonic() < began + seconds:
            self.link.on_readable()
            if time.monotonic() > began + seconds / 2:
                oldest = max(oldest, time.monotonic() - self.link.progress_at)
            time.sleep(0.05)
        return oldest

    def end(self) -> None:
        """End the journal, whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdin is not None
            self.process.stdin.close()


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[Linked]:
    with ExitStack() as stack:
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in ends:
            stack.callback(end.close)
        place = spec(tmp_path / "folder")
        stack.callback(backlog_file(Path(place.file)).unlink, missing_ok=True)
        link = JournalLink(place, "run", [f"ipc://{tmp_path}/h.sock"], Counters(), ends, lambda onset, last_sign: None)
        linked = Linked(link, ends[1])
        stack.callback(linked.end)
        yield linked


def test_a_journal_in_trouble_gets_on_as_long_as_it_says_so_and_no_longer(linked: Linked, tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    linked.start()
    assert linked.process is not None
    linked.link.keep(encode(samples.STATE))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "File exists" not in linked.link.state()[1]:
        assert time.monotonic() < deadline
        linked.hear(0.1)
    assert linked.hear(2.5 * STALE_SECONDS) < STALE_SECONDS
    linked.process.send_signal(signal.SIGSTOP)  # as a disk that hangs does it
    assert linked.hear(2 * STALE_SECONDS) > STALE_SECONDS
    assert linked.link.state()[0] == "behind"
    linked.process.send_signal(signal.SIGCONT)
    (tmp_path / "folder").unlink()
    while linked.link.state()[0] != "kept":
        assert time.monotonic() < deadline + 4 * PATIENCE_SECONDS
        linked.hear(0.1)
    assert linked.link.n_waiting == 0
    linked.link.close()


SLOW = """
import sys, time
from streamd.journal import __main__, server, store
store.N_STEPS_BETWEEN_WORDS = 10_000
server.BUSY_SECONDS = 0.3
on_busy = server.Server._on_busy
server.Server._on_busy = lambda self: (time.sleep(0.15), on_busy(self))[1]
__main__.main(sys.argv[1:])
"""
"""A journal whose disk is slow."""


def test_a_journal_that_looks_through_a_large_file_says_so_and_gets_on(linked: Linked, tmp_path: Path) -> None:
    with closing(Keeper(spec(tmp_path / "folder"))) as keeper:
        keeper.keep(messages(20_000, run="before"))
    linked.start([sys.executable, "-c", SLOW, linked.link.command[-1]])
    deadline = time.monotonic() + PATIENCE_SECONDS
    linked.link.keep(encode(samples.STATE))
    while "journal.db: it is being looked through" not in linked.link.state()[1]:
        assert time.monotonic() < deadline
        linked.hear(0.1)
    assert linked.hear(1.2 * STALE_SECONDS) < STALE_SECONDS
    assert "looked through" in linked.link.state()[1]
    while linked.link.n_waiting:
        assert time.monotonic() < deadline + PATIENCE_SECONDS
        linked.hear(0.1)
    assert linked.link.state() == ("kept", "")
    linked.link.close()


def test_what_is_not_stored_at_the_end_is_said_with_its_number_and_its_place(
    linked: Linked, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "folder").touch()
    linked.start()
    for payload in messages(3):
        linked.link.keep(payload)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "File exists" not in linked.link.state()[1]:
        assert time.monotonic() < deadline
        linked.hear(0.1)
    linked.end()
    linked.link.close()
    [line] = [record.getMessage() for record in caplog.records if "not stored" in record.getMessage()]
    assert "3 events and states are not stored" in line
    assert "File exists" in line
    assert f"they wait in {backlog_file(Path(linked.link.file))} for the next daemon" in line
    assert "reboot" in line


def test_a_link_that_ends_with_nothing_left_says_nothing(linked: Linked, caplog: pytest.LogCaptureFixture) -> None:
    linked.link.close()  # its question was never answered
    assert caplog.text == ""


def test_the_last_word_of_a_journal_counts_though_one_before_it_is_broken(
    linked: Linked, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb", buffering=0) as file:
        pipe = Pipe(file)
        linked.link.attach(lambda: pipe, lambda: 7)
        linked.link.keep(encode(samples.STATE))
    for report in (b"\xff", b"{", msgspec.json.encode(Report(pid=7, n_confirmed=2)), b"[]"):
        linked.childs_end.send(report)
    linked.link.close()
    assert caplog.text.count("report of the journal that is not understood") == 2
    assert not backlog_file(Path(linked.link.file)).exists()
