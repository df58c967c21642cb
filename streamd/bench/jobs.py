"""Processes of a measurement: what each of them is to do, and how it is started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from streamd.environment import child_command

Device = Literal["auto", "cpu", "cuda"]
STOP_SECONDS = 10.0


class _Job(msgspec.Struct, frozen=True, kw_only=True, tag_field="job"):
    core: int | None = None
    """Where it runs; None is anywhere."""


class DaemonJob(_Job, frozen=True, kw_only=True, tag="daemon"):
    """A daemon; at its end it prints what its parts took, if it was asked to watch them."""

    config: str
    watch_parts: bool = False


class LoadJob(_Job, frozen=True, kw_only=True, tag="load"):
    """All agents of all sources. It prints when they begin to send, and answers each line by how late it is."""

    endpoint: str
    sources: tuple[str, ...]
    n_per_agent: int = 1
    """Sources that share a take, side by side in one block."""
    seed: int = 0


class AloneJob(_Job, frozen=True, kw_only=True, tag="alone"):
    """A detector without a daemon: it measures for so long, prints what came out and ends."""

    model: str
    device: Device
    n_sources: int
    warm_seconds: float
    seconds: float
    seed: int = 0


Job = DaemonJob | LoadJob | AloneJob


def tell(message: object) -> None:
    """Print a line for the process that started this one: how a job answers."""
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def cores() -> tuple[int | None, int | None]:
    """Return a core for what is measured and another one for its load; None where there is no such choice."""
    if sys.platform != "linux":
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return usable[-1], (usable[0] if len(usable) > 1 else None)


@contextmanager
def started(job: Job, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a job in a process of its own, in which folder is the runtime folder; it ends when we are done with it."""
    command = child_command("streamd.bench", msgspec.json.encode(job).decode(), str(os.getpid()))
    environment = {**os.environ, "RUNTIME_DIRECTORY": str(folder)}
    with (folder / f"{job.__struct_config__.tag}.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
