"""Where the time of a hop goes: the daemon of a measurement, its parts watched by a clock around each if asked to.

The clock is the CPU time of the daemon's thread, and of each part only what it takes itself, without the parts that it
calls. The rest of the process's CPU time is that of ZeroMQ's threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from streamd import blocks, config, daemon
from streamd.bench.jobs import DaemonJob, tell
from streamd.bound import BoundRun
from streamd.decision import Decision
from streamd.detector import Detector
from streamd.intake import Intake
from streamd.publish import Publisher
from streamd.rows import Frames, Rows
from streamd.sources import LiveSource

ZEROMQ = "ZeroMQ's own thread"
REST = "the loop, sleeping and waking"
_WATCHED: tuple[tuple[str, object, str], ...] = (
    ("receive", Intake, "take_in"),
    ("decode", blocks, "decode_said"),
    ("take in", LiveSource, "hear"),
    ("gather samples", Detector, "push"),
    ("batches", Detector, "step"),
    ("gather and scatter rows", Rows, "run"),
    ("log-mel", Frames, "of"),
    ("network", BoundRun, "__call__"),
    ("decision", Decision, "step"),
    ("tell", LiveSource, "heard"),
    ("publish", Publisher, "send"),
    ("heartbeats", Publisher, "heartbeat"),
)
"""Name of a part, and the function that does it."""


def _on_device() -> list[tuple[str, object, str]]:
    """What there is to watch of a GPU, where its packages are installed."""
    try:
        from streamd.cuda import DeviceRows
    except ImportError:
        return []
    return [("device: copies, launch, waiting", DeviceRows, "run")]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the parts of a daemon took since it heard the first block."""

    n_hops: int
    n_runs: int
    cpu_seconds: dict[str, float]
    """By part; their sum is the CPU time of the process."""


class _Watch:
    """Clocks around functions."""

    def __init__(self) -> None:
        self._own: dict[str, float] = {}
        self._inner: list[float] = []
        self._began: tuple[float, float] | None = None
        """CPU time of process and thread at the first block."""
        self.n_hops = self.n_runs = 0

    def put_around(self, part: str, owner: object, name: str) -> None:
        """Watch a function: every call from now on."""
        function: Callable[..., Any] = getattr(owner, name)
        own, inner, clock = self._own, self._inner, time.thread_time
        own[part] = 0.0

        def watched(*args: Any, **named: Any) -> Any:
            begin = clock()
            inner.append(0.0)
            try:
                return function(*args, **named)
            finally:
                taken = clock() - begin
                own[part] += taken - inner.pop()
                if inner:
                    inner[-1] += taken

        setattr(owner, name, watched)

    def begin_with(self, owner: object, name: str) -> None:
        """Begin at the first call of a function: what was before, such as loading models, is left out."""
        function: Callable[..., Any] = getattr(owner, name)

        def begins(*args: Any, **named: Any) -> Any:
            if self._began is None:
                self._began = time.process_time(), time.thread_time()
                self._own.update(dict.fromkeys(self._own, 0.0))
            return function(*args, **named)

        setattr(owner, name, begins)

    def count(self, owner: object, name: str) -> None:
        """Count the calls of a function as runs, and the rows that it answers as hops."""
        function: Callable[..., Any] = getattr(owner, name)

        def counted(*args: Any, **named: Any) -> Any:
            posteriors = function(*args, **named)
            if self._began is not None:
                self.n_runs += 1
                self.n_hops += len(posteriors)
            return posteriors

        setattr(owner, name, counted)

    def read(self) -> Parts:
        """Return what was found."""
        process, thread = self._began or (time.process_time(), time.thread_time())
        all_of_it, ours = time.process_time() - process, time.thread_time() - thread
        rest = {REST: ours - sum(self._own.values()), ZEROMQ: all_of_it - ours}
        return Parts(n_hops=self.n_hops, n_runs=self.n_runs, cpu_seconds=self._own | rest)


def run_daemon(job: DaemonJob) -> int:
    """Run a daemon; if its parts are watched, print `Parts` as JSON at its end."""
    given = config.load(Path(job.config))
    if not job.watch_parts:
        return daemon.run(given)
    watch = _Watch()
    for part, owner, name in (*_WATCHED, *_on_device()):
        watch.put_around(part, owner, name)
    watch.begin_with(LiveSource, "hear")
    for owner in (Rows, *(owner for _, owner, _ in _on_device())):
        watch.count(owner, "run")
    code = daemon.run(given)
    tell(watch.read())
    return code
