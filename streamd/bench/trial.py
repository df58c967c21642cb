"""A daemon and its load, in processes of their own, from their start to their end."""

from __future__ import annotations

import select
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from streamd.bench.jobs import DaemonJob, LoadJob, cores, started
from streamd.bench.load import Asked, Sent
from streamd.bench.parts import Parts
from streamd.control import ask_status
from streamd.errors import EndpointError
from streamd.requests import Status
from streamd.subscribe import Subscription

START_SECONDS = 60.0
"""How long a daemon, or a load, may take to start."""
ANSWER_SECONDS = 15.0
"""How long one that runs may take to answer: it may have far too much to do."""


class Trial:
    """A context in which a daemon hears a load; `subscription` is what it tells."""

    def __init__(self, config: Mapping[str, Any], n_sources: int, n_per_agent: int = 1, *, watch_parts: bool = False):
        """Prepare; nothing is started. config: what streamd.yaml has beside its sources."""
        self._names = tuple(f"source-{i}" for i in range(n_sources))
        self._config = {"sources": {name: {"remote": True} for name in self._names}, "journal": False, **config}
        self._n_per_agent = n_per_agent
        self._watch_parts = watch_parts
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # Not under a long path: that of a socket may have no more than 107 characters.
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sd-bench-")))
            self.events_at = f"ipc://{self._folder}/events.sock"
            file = self._folder / "streamd.yaml"
            file.write_bytes(msgspec.json.encode(self._config))  # JSON is YAML too
            core, other = cores()
            job = DaemonJob(core=core, config=str(file), watch_parts=self._watch_parts)
            self.daemon = stack.enter_context(started(job, self._folder))
            self._wait_for_daemon()
            self.subscription = stack.enter_context(closing(Subscription(self.events_at)))
            load = LoadJob(
                core=other,
                endpoint=f"ipc://{self._folder}/audio.sock",
                sources=self._names,
                n_per_agent=self._n_per_agent,
            )
            self._load = stack.enter_context(started(load, self._folder))
            line(self._load, "load", self._folder, START_SECONDS)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def status(self) -> Status:
        """Ask the daemon how it fares."""
        return ask_status(f"ipc://{self._folder}/control.sock", ANSWER_SECONDS)

    def sent(self, n_sources: int | None = None) -> Sent:
        """Ask the load what it has sent; with n_sources, only so many are left from now on."""
        if self._load.stdin is None:
            raise EndpointError("the load has no standard input")
        self._load.stdin.write(msgspec.json.encode(Asked(n_sources=n_sources)) + b"\n")
        self._load.stdin.flush()
        return msgspec.json.decode(line(self._load, "load", self._folder, ANSWER_SECONDS), type=Sent)

    def parts(self) -> Parts:
        """End the daemon, which was watched, and return what its parts took."""
        self.daemon.terminate()
        return msgspec.json.decode(line(self.daemon, "daemon", self._folder, ANSWER_SECONDS), type=Parts)

    def _wait_for_daemon(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                ask_status(f"ipc://{self._folder}/control.sock", 1.0)
                return
            except EndpointError:
                if time.monotonic() > deadline or self.daemon.poll() is not None:
                    raise EndpointError(f"the daemon did not start; {_last_words(self._folder, 'daemon')}") from None


def line(process: subprocess.Popen[bytes], name: str, folder: Path, seconds: float) -> bytes:
    """Return the next line that a job of a folder prints.

    Raises:
        EndpointError: there is none in so many seconds, or it has ended; the message has its last words.
    """
    is_there = process.stdout is not None and bool(select.select([process.stdout], [], [], seconds)[0])
    if is_there and process.stdout is not None and (told := process.stdout.readline()):
        return told
    raise EndpointError(f"the {name} said nothing for {seconds:g} s or is gone; {_last_words(folder, name)}")


def _last_words(folder: Path, name: str) -> str:
    said = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"its last words: {said[-1]}" if said else "it said nothing"
