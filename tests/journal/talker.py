"""A daemon without ears: the real publisher, supervisor and journal, which say a lot, to be killed at any point.

`python -m tests.journal.talker FOLDER PAUSE_SECONDS`: onsets, offsets and states of two sources until SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import zmq

from streamd import supervisor as supervising
from streamd.counters import Counters
from streamd.events import Event, State, decode
from streamd.journal.backlog import backlog_file
from streamd.journal.contract import JournalSpec
from streamd.journaling import Journaling
from streamd.publish import Publisher
from streamd.supervisor import Supervisor
from tests import samples
from tests.sockets import short_folder

PATIENCE_SECONDS = 20.0


def main(folder: Path, pause_seconds: float) -> None:
    """Talk until SIGTERM."""
    supervising.FIRST_PAUSE_SECONDS = supervising.LONGEST_PAUSE_SECONDS = 0.05
    is_over = []
    signal.signal(signal.SIGTERM, lambda *_: is_over.append(True))
    with ExitStack() as stack:
        context: zmq.Context[zmq.Socket[bytes]] = stack.enter_context(zmq.Context())
        run = os.urandom(6).hex()
        publisher = Publisher(context, [f"ipc://{folder}/events.sock"], run, "pi", Counters())
        publisher.socket.setsockopt(zmq.SNDHWM, 0)  # the test is to hear all
        stack.callback(publisher.close)
        children = Supervisor(lambda name, how, cause: None)
        spec = JournalSpec(file=str(folder / "journal.db"), max_days=30, max_megabytes=10_000)
        journal = Journaling(spec, publisher, children, {"history": [f"ipc://{folder}/history.sock"]}, Counters())
        stack.callback(journal.stop_children, 1.0)
        journal.start()
        poller = zmq.Poller()
        poller.register(publisher.socket, zmq.POLLIN)
        poller.register(journal.socket, zmq.POLLIN)
        n = 0
        next_look = time.monotonic() + 1
        while not is_over:
            for _ in poller.poll(round(1000 * pause_seconds)):
                publisher.on_readable()
                journal.on_readable()
            publisher.greet_due()
            children.reap()
            children.restart_due()
            if time.monotonic() >= next_look:
                journal.look([])
                publisher.heartbeat({})
                next_look = time.monotonic() + 1
            say(publisher, n)
            n += 1


def say(publisher: Publisher, n: int) -> None:
    """Say the n-th thing: an onset of the kitchen, a state of the porch, the offset, and so on."""
    if n % 3 == 1:
        publisher.send(samples.state(publisher, "porch", f"number {n}"))
    elif opened := publisher.open_events("kitchen"):
        publisher.send(samples.offset(publisher, opened[0]))
    else:
        # Unique for ever, as the daemon's are.
        event = samples.onset(publisher)
        publisher.send(samples.renamed(event, f"{publisher.run}-{event.seq}"))


@dataclass
class Talkers:
    """Talkers in one folder, one after the other, and a subscriber who hears what they published."""

    folder: Path
    pause_seconds: float = 0.001
    """Between two messages: at full speed, what a journal that is away can't take is soon more than is kept for it."""
    heard: dict[tuple[str, str, int], Event | State] = field(default_factory=dict)
    process: psutil.Popen | None = None

    def __post_init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._ear = self._context.socket(zmq.SUB)
        self._ear.setsockopt(zmq.RCVHWM, 0)
        self._ear.setsockopt(zmq.RECONNECT_IVL, 5)
        self._ear.subscribe("event/")
        self._ear.subscribe("state/")
        self._ear.connect(f"ipc://{self.folder}/events.sock")

    def start(self) -> None:
        """Start a talker."""
        command = [sys.executable, "-m", "tests.journal.talker", str(self.folder), str(self.pause_seconds)]
        with (self.folder / "log").open("ab") as log:
            self.process = psutil.Popen(command, cwd=Path(__file__).parents[2], stdout=log, stderr=log)

    def journal(self) -> psutil.Process:
        """Return the process of the talker's journal, as soon as there is one."""
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            for child in self.process.children():
                if child.status() != psutil.STATUS_ZOMBIE and "streamd.journal" in child.cmdline():
                    return child
            assert time.monotonic() < deadline, f"no journal: {self.log()}"
            time.sleep(0.002)

    def hear(self, at_least: int = 0, seconds: float = 0.0) -> None:
        """Take in what was published: for so long, and until it is so many messages more."""
        began, n_before = time.monotonic(), len(self.heard)
        while True:
            left = began + seconds - time.monotonic()
            is_enough = left <= 0 and len(self.heard) - n_before >= at_least
            if not self._ear.poll(0 if is_enough else max(1, round(1000 * left))):
                if is_enough:
                    return
                assert time.monotonic() - began < PATIENCE_SECONDS, f"only {len(self.heard)} heard: {self.log()}"
                continue
            message = decode(self._ear.recv_multipart()[1])
            if isinstance(message, Event | State):
                self.heard.setdefault((message.run, message.source, message.seq), message)
            if is_enough and time.monotonic() - began > seconds + 5:  # it never falls silent
                return

    def hear_until_stored(self) -> None:
        """Hear on until the journal has what was published last by now, and thus all that was before it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        self.hear(at_least=1)
        last = next(reversed(self.heard))
        while last not in self.stored():
            assert time.monotonic() < deadline, f"nothing is stored: {self.log()}"
            self.hear(seconds=0.1)

    def stored(self) -> set[tuple[str, str, int]]:
        """Return run, source and seq of all that the journal has."""
        with closing(sqlite3.connect(self.folder / "journal.db")) as database:
            try:
                return set(database.execute("SELECT run, source, seq FROM messages"))
            except sqlite3.OperationalError:  # a new one, whose tables are still to be made
                return set()

    def kill(self, *victims: psutil.Process) -> None:
        """Kill processes at once, and hear what had left the talker before."""
        for victim in victims:
            victim.suspend()  # or the second would live on for a moment
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        if self.process in victims:
            self.process.wait(PATIENCE_SECONDS)
            self.hear(seconds=0.02)

    def stop(self) -> None:
        """End the talker as a user would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_SECONDS) == 0, self.log()
        self.hear(seconds=0.02)

    def log(self) -> str:
        """Return what was said on stderr."""
        return (self.folder / "log").read_text()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process is not None and self.process.is_running():
            for one in [self.process, *self.process.children(recursive=True)]:
                one.send_signal(signal.SIGCONT)
                one.kill()
            self.process.wait(PATIENCE_SECONDS)
        self._ear.close(linger=0)
        self._context.term()
        backlog_file(self.folder / "journal.db").unlink(missing_ok=True)


@contextmanager
def some_talkers() -> Iterator[Talkers]:
    """Make talkers in a folder of their own, and leave nothing behind."""
    with short_folder() as folder, closing(Talkers(folder)) as talkers:
        yield talkers


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), float(sys.argv[2]))
    except subprocess.SubprocessError as error:
        sys.exit(str(error))
