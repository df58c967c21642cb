"""What every benchmark shares: fair rounds, CPU time, a daemon and a microphone to measure, results that are kept.

Import it before numpy: everybody gets one thread, because a pool that spins costs more than the work here.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_variable] = "1"
sys.path.insert(0, str(ROOT))  # a script has its own folder there, and needs streamd and tests

Work = Callable[[], object]


class Figure(NamedTuple):
    """One number with its spread, and what it ought to be."""

    what: str
    value: float
    low: float
    high: float
    unit: str
    goal: str = ""
    """"≥ 15", "≤ 1.7"; empty where nothing was promised."""

    @classmethod
    def of(cls, what: str, values: Sequence[float], unit: str, goal: str = "") -> Self:
        """Return the median of measured values, with their extremes."""
        return cls(what, statistics.median(values), min(values), max(values), unit, goal)

    @property
    def is_reached(self) -> bool | None:
        """Whether the value keeps the goal; None without one."""
        if not self.goal:
            return None
        sign, limit = self.goal.split()
        return self.value >= float(limit) if sign == "≥" else self.value <= float(limit)

    def __str__(self) -> str:
        spread = f"{self.low:.3g} to {self.high:.3g}"
        verdict = {None: "", True: f"; goal {self.goal}: reached", False: f"; goal {self.goal}: MISSED"}
        return f"{self.what}: {self.value:.3g} {self.unit} ({spread}{verdict[self.is_reached]})"


def alternate(variants: Mapping[str, Work], n_rounds: int = 15, n_calls: int = 100) -> dict[str, list[float]]:
    """Return the CPU seconds of one call, for each variant and round: all of them in every round, in a loop (hot)."""
    for work in variants.values():  # tables, caches, compilers
        for _ in range(n_calls):
            work()
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(n_rounds):
        for name, work in variants.items():
            start = time.process_time()
            for _ in range(n_calls):
                work()
            found[name].append((time.process_time() - start) / n_calls)
    return found


def paced(
    variants: Mapping[str, Work], period_seconds: float, n_rounds: int = 4, n_wakes: int = 25
) -> dict[str, list[float]]:
    """Return the mean CPU seconds of one call, for each variant and round, with a sleep before every call.

    That is how a daemon works: once a hop, with caches that others have used meanwhile.
    """
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(n_rounds):
        for name, work in variants.items():
            work()
            spent = 0.0
            due = time.monotonic()
            for _ in range(n_wakes):
                due += period_seconds
                time.sleep(max(0.0, due - time.monotonic()))
                start = time.process_time()
                work()
                spent += time.process_time() - start
            found[name].append(spent / n_wakes)
    return found


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """Return the ratio in each round."""
    return [a / b for a, b in zip(of, to, strict=True)]


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of a process so far, in seconds (Linux; psutil counts in hundredths)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


WARM_SECONDS = 1.5
START_SECONDS = 30
"""No daemon takes longer to say what is waited for."""


def shares(pids: Mapping[str, int], seconds: float) -> dict[str, float]:
    """Return the share of a core that each process takes for so long, in percent, when it is warm."""
    time.sleep(WARM_SECONDS)
    start = time.monotonic()
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    after = {name: cpu_seconds(pid) for name, pid in pids.items()}
    passed = time.monotonic() - start
    return {name: 100 * (after[name] - before[name]) / passed for name in pids}


class Daemon:
    """`streamd run` in a process of its own, and its children."""

    def __init__(self, folder: Path, config: str, environment: Mapping[str, str]) -> None:
        import psutil

        self.events_at = f"ipc://{folder}/events.sock"
        self.control_at = f"ipc://{folder}/control.sock"
        self._log = folder / "log"
        (folder / "streamd.yaml").write_text(config)
        command = [sys.executable, "-m", "streamd", "run", "-c", str(folder / "streamd.yaml")]
        with self._log.open("wb") as log:
            self.spawned_at = time.monotonic()
            variables = {"RUNTIME_DIRECTORY": str(folder), "STATE_DIRECTORY": str(folder)}
            self.process = psutil.Popen(command, env={**environment, **variables}, cwd=ROOT, stderr=log, stdout=log)

    def wait_until_it_says(self, text: str) -> float:
        """Return how long after the spawn a line with this text was in its log, to a millisecond or so."""
        while text not in self._log.read_text():
            if time.monotonic() > self.spawned_at + START_SECONDS or self.process.poll() is not None:
                raise RuntimeError(f"the daemon never said {text!r}, but: {self._log.read_text()}")
            time.sleep(0.001)
        return time.monotonic() - self.spawned_at

    def pids(self) -> dict[str, int]:
        """Return the process ids of the daemon, its one agent and its journal."""
        found = {"daemon": self.process.pid}
        for child in self.process.children():
            found["journal" if "streamd.journal" in child.cmdline() else "agent"] = child.pid
        return found


@contextmanager
def daemon(config: str, environment: Mapping[str, str] = os.environ) -> Iterator[Daemon]:
    """Start a daemon with a configuration, and end it."""
    # Not under a long path: that of a socket may have no more than 107 characters.
    with tempfile.TemporaryDirectory(prefix="sd-") as folder:
        running = Daemon(Path(folder), config, environment)
        try:
            yield running
        finally:
            running.process.terminate()
            running.process.wait(10)


@contextmanager
def fake_microphone() -> Iterator[dict[str, str]]:
    """Plug in the microphone of tests/fake_microphone, and yield the environment in which it is the default one.

    Noise 40 dB under full scale is played into it all the time.
    """
    import psutil

    missing = [program for program in ("pulseaudio", "paplay") if shutil.which(program) is None]
    if missing:
        sys.exit(f"a fake microphone needs {' and '.join(missing)}: run scripts/install_system_packages.sh as root")
    with tempfile.TemporaryDirectory(prefix="mic-") as name:
        folder = Path(name) / "pulse"
        script = ROOT / "tests" / "fake_microphone"
        subprocess.run([script, "start", folder], check=True, stdout=subprocess.DEVNULL)
        variables = {"PULSE_RUNTIME_PATH": str(folder), "PULSE_SERVER": f"unix:{folder}/native"}
        environment = os.environ | variables | {"PULSE_SINK": "fake", "PULSE_SOURCE": "fake.monitor"}
        noise = Path(name) / "noise.raw"
        # Without numpy: memory.py counts who shares its pages.
        noise.write_bytes(array("h", [5 * (byte - 128) for byte in Random(0).randbytes(16_000 * 120)]).tobytes())  # noqa: S311
        play = ["paplay", "--raw", "--rate=16000", "--channels=1", "--format=s16le", str(noise)]
        player = subprocess.Popen(play, env=environment)
        try:
            yield environment
        finally:
            player.kill()
            player.wait()
            server = psutil.Process(int((folder / "pid").read_text()))
            subprocess.run([script, "stop", folder], check=False)
            server.wait(10)


def save(script: str, how: str, figures: Sequence[Figure], table: Sequence[Mapping[str, Any]] = ()) -> None:
    """Print the figures, and keep them in benchmarks/results with commit and machine.

    Args:
        script: __file__ of the benchmark.
        how: what was measured and how, in sentences for docs/performance.md.
        figures: the numbers.
        table: rows of details; the keys are the columns.
    """
    result = {
        "script": Path(script).name,
        "how": " ".join(how.split()),
        "figures": [{**figure._asdict(), "reached": figure.is_reached} for figure in figures],
        "table": list(table),
        "measured": _circumstances(),
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{Path(script).stem}.json"
    file.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    for figure in figures:
        print(figure)


def _circumstances() -> dict[str, Any]:
    model = [line for line in _text(Path("/proc/cpuinfo")).splitlines() if line.startswith("model name")]
    packages = ("numpy", "onnxruntime", "pyzmq", "sounddevice", "soxr", "librosa", "kaldi-native-fbank")
    changed = _git("status", "--porcelain", "--", "streamd", "models")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": (_git("rev-parse", "--short=12", "HEAD") or "unknown") + (" and changes" if changed else ""),
        "machine": f"{os.cpu_count()} × {model[0].partition(':')[2].strip() if model else platform.processor()}",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load": [round(one, 2) for one in os.getloadavg()],
        "packages": {name: metadata.version(name) for name in packages},
    }


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""
