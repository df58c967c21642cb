"""Children of the daemon: started, watched by what they do, started again with growing pauses, ended as groups."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from streamd.pipe import Pipe

log = logging.getLogger("streamd")

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 10.0
"""A child that lived this long starts again after the first pause."""
FROZEN_SECONDS = 3.0
"""Who watches less often than this was frozen itself: what a child did meanwhile is still to be heard of."""

END_SECONDS = 1.0
"""A child that was asked to end and has not is killed."""

KILL_SECONDS = 1.0
"""A child that was killed and is still there hangs in the kernel, for the most part on a disk; nobody waits for it."""

Cause = Literal["stalled", "killed", "failed", "not_started"]
"""Why a child is started again: it made no progress, a signal ended it, it ended with an error, or it never began."""


@dataclass
class _Child:
    name: str
    command: Sequence[str]
    pause: float
    output: int | None = None
    process: subprocess.Popen[bytes] | None = None
    pipe: Pipe | None = None
    is_ending: bool = False
    """Its input is over, so it ends by itself."""
    started: float = 0.0
    restart_at: float | None = None
    n_restarts: int = 0
    watched_at: float = 0.0
    awake_since: float = 0.0
    """Since when it has been watched without a break."""
    stalled: str = ""
    """Why it was killed, if it made no progress."""
    kill_at: float | None = None
    """It was asked to end, and is killed if it has not by then."""
    successor: _Child | None = None
    """Who is to have its name then."""


class Supervisor:
    """Keeps one process for each name alive. It never blocks but in `stop`."""

    def __init__(self, on_death: Callable[[str, str, Cause], None]) -> None:
        """on_death(name, how, in words, cause) is called for a child that ended with an error or can't be started."""
        self._children: dict[str, _Child] = {}
        self._on_death = on_death

    def start(self, name: str, command: Sequence[str], output: int | None = None) -> None:
        """Start a child and keep it alive under this name, once the one before it that was asked to end has.

        output is the file of its standard output, None for ours.
        """
        child = _Child(name, command, FIRST_PAUSE_SECONDS, output)
        before = self._children.get(name)
        if before is not None and before.kill_at is not None:
            before.successor = child
            return
        self._children[name] = child
        self._spawn(child)

    def end(self, name: str) -> None:
        """Ask a child to end, and forget it when it has; one that takes too long is killed."""
        child = self._children.get(name)
        if child is None:
            return
        child.restart_at = child.successor = None
        if child.process is None:
            del self._children[name]
        elif child.kill_at is None:
            child.process.terminate()
            child.kill_at = time.monotonic() + END_SECONDS

    def n_restarts(self, name: str) -> int:
        """Return how often a child was started again; 0 for one that was never started here."""
        child = self._children.get(name)
        return child.n_restarts if child else 0

    def pid(self, name: str) -> int | None:
        """Return a child's process id while it runs."""
        child = self._children.get(name)
        return child.process.pid if child and child.process else None

    def watch(self, name: str, progress_at: float, patience_seconds: float) -> bool:
        """Kill a child, and all it started, whose last progress is longer ago than it may be; tell whether it was.

        To be called every second or so. Neither the time before the child began counts, nor that in which nobody
        watched, because this process was frozen: what the child said then lies unread.

        Args:
            name: of the child; one that does not run is left to `reap`.
            progress_at: monotonic time of its last progress, whatever that is for it: audio that advances, an answer.
            patience_seconds: how long it may go without.
        """
        child = self._children.get(name)
        if child is None or child.process is None or child.stalled or child.kill_at is not None:
            return False
        now = time.monotonic()
        if now - child.watched_at > FROZEN_SECONDS:
            child.awake_since = now
        child.watched_at = now
        if now - max(progress_at, child.started, child.awake_since) <= patience_seconds:
            return False
        child.stalled = f"made no progress for {patience_seconds:.2g} s and was killed"
        _kill_group(child.process.pid)
        return True

    def pipe(self, name: str) -> Pipe | None:
        """Return the pipe to a child's standard input while it runs: ask each time, a new child has a new one."""
        child = self._children.get(name)
        return child.pipe if child and child.process else None

    def end_input(self, name: str) -> None:
        """Close the pipe to a child: one that reads to the end of it, then ends by itself."""
        child = self._children.get(name)
        if child and child.process:
            _close_input(child.process)
            child.is_ending = True

    def wait_for_end(self, name: str, timeout_seconds: float) -> None:
        """Wait until a child has ended by itself, if it runs; no longer than this."""
        child = self._children.get(name)
        if child and child.process:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout_seconds)

    def reap(self) -> None:
        """Notice children that ended; one that ended with 0 has done its work and stays ended."""
        for child in list(self._children.values()):
            if child.process is None or (code := child.process.poll()) is None:
                continue
            _close_input(child.process)
            _kill_group(child.process.pid)  # what a dead agent leaves, such as its command
            child.process = None
            if child.kill_at is not None:
                self._replace(child)
            elif child.stalled:
                self._start_later(child, child.stalled, "stalled")
            elif code > 0:
                self._start_later(child, f"ended with code {code}", "failed")
            elif code < 0:
                self._start_later(child, f"was killed by {_signal(-code)}", "killed")

    def _replace(self, child: _Child) -> None:
        del self._children[child.name]
        if child.successor is not None:
            self._children[child.name] = child.successor
            self._spawn(child.successor)

    def _start_later(self, child: _Child, how: str, cause: Cause) -> None:
        if time.monotonic() - child.started >= HEALTHY_SECONDS:
            child.pause = FIRST_PAUSE_SECONDS
        child.restart_at = time.monotonic() + child.pause
        log.warning("%s: %s; started again in %.1f s", child.name, how, child.pause)
        child.pause = min(2 * child.pause, LONGEST_PAUSE_SECONDS)
        self._on_death(child.name, how, cause)

    def restart_due(self) -> float | None:
        """Start children whose pause is over, kill those that don't end.

        Returns:
            The monotonic time of the next of either, or None.
        """
        due = []
        for child in self._children.values():
            if child.kill_at is not None and child.process is not None:
                if child.kill_at <= time.monotonic():
                    _kill_group(child.process.pid)
                    child.kill_at = math.inf
                due.append(child.kill_at)
            if child.restart_at is None:
                continue
            if child.restart_at <= time.monotonic():
                child.n_restarts += 1
                self._spawn(child)
            else:
                due.append(child.restart_at)
        return min((at for at in due if at < math.inf), default=None)

    def stop(self, timeout_seconds: float) -> None:
        """End all children: asked first (by SIGTERM or the end of their input), killed as groups after the time-out."""
        running = [(child.name, child.process) for child in self._children.values() if child.process]
        for child in self._children.values():
            if child.process and not child.is_ending:  # which a signal might end before it has read all
                child.process.terminate()
        deadline = time.monotonic() + timeout_seconds
        for name, process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("%s: process %d does not end by itself; killed", name, process.pid)
            _kill_group(process.pid)
            try:
                process.wait(KILL_SECONDS)
            except subprocess.TimeoutExpired:
                log.warning(
                    "%s: process %d hangs in the kernel, where not even SIGKILL ends it; left behind", name, process.pid
                )
            _close_input(process)
        self._children.clear()

    def _spawn(self, child: _Child) -> None:
        child.restart_at = None
        child.is_ending = False
        child.started = time.monotonic()
        child.stalled = ""
        try:
            # A session of its own: Ctrl-C is the daemon's. The pipe on its input ends when the daemon does.
            child.process = subprocess.Popen(
                child.command, stdin=subprocess.PIPE, stdout=child.output, bufsize=0, start_new_session=True
            )
            if child.process.stdin is not None:
                child.pipe = Pipe(child.process.stdin)
        except OSError as error:  # no memory, no process, or its program is being upgraded
            self._start_later(child, f"can't be started ({error.strerror})", "not_started")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no name
        return f"signal {number}"


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # nobody is left, or nobody of ours (sudo)
        return


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
