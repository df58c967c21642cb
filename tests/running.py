"""A real daemon in a process of its own, and a subscriber to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil

from streamd.control import ask
from streamd.events import Event, Message, State
from streamd.journal.backlog import backlog_file
from streamd.requests import Status, StatusRequest
from streamd.subscribe import Gap, Subscription
from tests.wire import check_payload

PATIENCE_SECONDS = 30.0
"""A test that waits longer for something has failed."""

_T = TypeVar("_T")


class RunningDaemon:
    """`streamd run` with a configuration, in a folder of its own."""

    def __init__(self, folder: Path, config: str, environment: Mapping[str, str], *before: str, **options: Any) -> None:
        self.folder = folder
        self.log_file = folder / "log"
        file = folder / "streamd.yaml"
        file.write_text(config)
        self.events_at = f"ipc://{folder}/events.sock"
        self.control_at = f"ipc://{folder}/control.sock"
        self._command = [*before, sys.executable, "-P", "-m", "streamd", "run", "-c", str(file)]
        variables = {"RUNTIME_DIRECTORY": str(folder), "STATE_DIRECTORY": str(folder), "PYTHONWARNINGS": "error"}
        self._options = {"env": {**environment, **variables}, **options}
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        with self.log_file.open("ab") as log:
            self.process = psutil.Popen(self._command, stderr=log, stdout=log, **self._options)

    def subscriber(self, **options: object) -> Subscription:
        """Return a subscription to this daemon; the daemon may still be starting."""
        return Subscription(self.events_at, **options)  # type: ignore[arg-type]

    def log(self) -> str:
        """Return what it has said on stderr so far."""
        return self.log_file.read_text()

    def status(self) -> Status:
        """Ask it how it is."""
        answer = ask(StatusRequest(), self.control_at, timeout_seconds=PATIENCE_SECONDS)
        assert isinstance(answer, Status)
        return answer

    def agent(self, source: str) -> psutil.Process:
        """Return the process that captures a source."""

        def find() -> psutil.Process | None:
            for child in self.process.children():
                if source in child.cmdline():
                    return child
            return None

        return wait_for(find)

    def stop(self) -> int:
        """End it as a user would, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return int(self.process.wait(PATIENCE_SECONDS))


@contextmanager
def a_daemon(
    config: str, environment: Mapping[str, str] = os.environ, *before: str, **options: Any
) -> Iterator[RunningDaemon]:
    """Start a daemon; whatever happens, nothing of it is left afterwards, and its log is printed.

    before: what its command line begins with, as `ip netns exec NAME`; options: those of its process.
    """
    with tempfile.TemporaryDirectory(prefix="sd-") as name:
        daemon = RunningDaemon(Path(name), config, environment, *before, **options)
        family: list[psutil.Process] = []
        try:
            yield daemon
        finally:
            if daemon.process.is_running():
                family = daemon.process.children(recursive=True)
                daemon.process.send_signal(signal.SIGCONT)
                daemon.process.terminate()
                try:
                    daemon.process.wait(10)
                except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
                    daemon.process.kill()
                    daemon.process.wait(10)
            for one in family:
                if one.is_running():
                    one.kill()
            backlog_file(daemon.folder / "journal.db").unlink(missing_ok=True)  # of one that was killed
            print(daemon.log())


def wait_for(find: Callable[[], _T | None], seconds: float = PATIENCE_SECONDS) -> _T:
    """Return what find returns as soon as it is not None: for what another process does and tells nobody."""
    deadline = time.monotonic() + seconds
    while (found := find()) is None:
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found


def collect(
    subscription: Subscription, until: Callable[[Message | Gap], bool], seconds: float = PATIENCE_SECONDS
) -> list[Message | Gap]:
    """Return all messages up to the first that `until` says yes to; each is checked against the contract."""
    deadline = time.monotonic() + seconds
    messages: list[Message | Gap] = []
    while True:
        message = subscription.poll(max(0.0, deadline - time.monotonic()))
        assert message is not None, f"no such message among {[brief(one) for one in messages]}"
        if not isinstance(message, Gap):
            check_payload(subscription.payload)
        messages.append(message)
        if until(message):
            return messages


def brief(message: Message | Gap) -> str:
    """Return a message in a few words, for a failing test."""
    match message:
        case Event():
            return f"{message.source} {message.label} {message.phase} {message.onset_seconds:.2f}"
        case State():
            return f"{message.source} {message.status} ({message.detail}) gap={message.gap}"
    return repr(message)


def has_status(status: str, source: str | None = None) -> Callable[[Message | Gap], bool]:
    """Return a test for the State in which a source has a status."""
    return lambda message: isinstance(message, State) and message.status == status and source in (None, message.source)


def events(messages: list[Message | Gap]) -> list[Event]:
    """Return the events among messages."""
    return [message for message in messages if isinstance(message, Event)]
