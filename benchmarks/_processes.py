"""Whole processes beside each other: how soon one has its first result, and what a recording costs it, hot.

Ours is `streamd replay`; the others are benchmarks/peers/hear.py in the venv of benchmarks/peers/make_venv.sh.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import _harness as harness
import numpy as np
import soundfile

from tests.training.voice import voice

PEERS = harness.ROOT / ".venv" / "peers" / "detectors" / "bin" / "python"
PAGE_BYTES = 4096
N_STARTS = 3
"""Of each system in a round: a start is short, and what else the machine does is a large part of it."""

Command = Sequence[str | Path]


class Heard(NamedTuple):
    """What one process took for one recording."""

    first_seconds: float
    """From the spawn to the first line that it printed."""
    cpu_seconds: float
    """Of all its threads, from its start to its end."""
    rss_mb: float
    """Memory it held just before its end, in MB of 10^6 bytes."""


class Cost(NamedTuple):
    """What one system takes, in one round."""

    first_seconds: float
    cpu_ms: float
    """For a second of audio."""
    rss_mb: float


def peer(system: str, model: Path | str = "-") -> Command:
    """Return the command of a system of benchmarks/peers, without what it is to hear."""
    if not PEERS.exists():
        sys.exit("the systems to compare with are not installed: run benchmarks/peers/make_venv.sh")
    return [PEERS, harness.ROOT / "benchmarks" / "peers" / "hear.py", system, model]


def replay(model: Path | str) -> Command:
    """Return the command of streamd, without the recording: its first score is an event."""
    return [sys.executable, "-m", "streamd", "replay", "--json", "--onset-threshold", "0.001", "--model", model]


def recordings(folder: Path, *seconds: float) -> list[Path]:
    """Write recordings of a voice made by formula, half a minute of it again and again, of these lengths."""
    samples = voice(30.0)  # type: ignore[no-untyped-call]  # tests carry no types
    files = []
    for length in seconds:
        files.append(folder / f"{length:g}s.wav")
        soundfile.write(files[-1], np.resize(samples, round(length * 16_000)), 16_000, subtype="PCM_16")
    return files


def hear(command: Command) -> Heard:
    """Run a command to its end."""
    with tempfile.TemporaryFile() as said:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=said, cwd=harness.ROOT)
        first_seconds, held_mb, ended = 0.0, 0.0, 0
        while not ended:
            time.sleep(0.02 if first_seconds else 0.001)
            # At its end a process has no memory, until it is waited for.
            held_mb = rss_mb(process.pid) or held_mb
            if not first_seconds and os.fstat(said.fileno()).st_size:
                first_seconds = time.monotonic() - began
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not first_seconds:
        raise RuntimeError(f"{command} ended with {process.returncode} and gave no score")
    return Heard(first_seconds, used.ru_utime + used.ru_stime, held_mb)


def rss_mb(pid: int) -> float:
    """Return the memory of a process, with what it shares, in MB of 10^6 bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES / 1e6


@contextmanager
def started(command: Command, environment: Mapping[str, str]) -> Iterator[int]:
    """Run a command that goes on for ever; yield its process id once it has printed a line."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError(f"{command} did not start")
            yield process.pid
        finally:
            process.kill()


def rounds(commands: Mapping[str, Command], n_rounds: int, seconds: tuple[float, float]) -> dict[str, list[Cost]]:
    """Return what each system takes, in rounds in which they take turns.

    Args:
        commands: the command of each system; the recording is put behind it.
        n_rounds: how many.
        seconds: lengths of two recordings. Start is that of the shorter; memory is that of the longer; CPU is what the
            longer takes more: without start-up, and without the first second, in which caches are filled.
    """
    found: dict[str, list[Cost]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        short, long = recordings(Path(folder), *seconds)
        for command in commands.values():  # files are read from memory afterwards
            hear([*command, short])
        for _ in range(n_rounds):
            for name, command in commands.items():
                starts, much = [hear([*command, short]) for _ in range(N_STARTS)], hear([*command, long])
                first_seconds = statistics.median(start.first_seconds for start in starts)
                more = much.cpu_seconds - statistics.median(start.cpu_seconds for start in starts)
                found[name].append(Cost(first_seconds, 1e3 * more / (seconds[1] - seconds[0]), much.rss_mb))
    return found
