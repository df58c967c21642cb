"""What every fault is held to: how often it was injected, what was survived, how soon, and whether a loss was hidden.

A class of faults is one test. Its short form injects a fault once or twice and runs with all other tests; with
STREAMD_FAULTS in the environment it injects many, and leaves its result in tests/faults/results for the page
docs/reliability.md (`make faults`).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"
SHARE = float(os.environ.get("STREAMD_FAULTS", "0"))
"""0: the short form; 1: the whole suite; a part of it in between."""

Through = Literal["real", "fake"]


@dataclass
class Injection:
    """One fault and what came of it."""

    survived: bool = True
    why: str = ""
    """What was not as promised, if it was not survived."""
    recovery_seconds: float | None = None
    """From the end of the fault (of a death: from that) to the first score of new audio, or to the next answer."""
    lost_seconds: float = 0.0
    """Audio that was captured or would have been, and that no model heard, of all sources, by the clock."""
    reported_seconds: float = 0.0
    """How much of it was published as lost."""
    n_hidden: int = 0
    """Events, or messages, that should have come and did not, and of which nobody was told."""


@dataclass
class Faults:
    """All injections of one class."""

    name: str
    """Names the result's file."""
    number: int
    """Of the class in the table, and in the order of the page."""
    what: str
    """The fault, in a few words."""
    how: str
    """How it is injected and what is asserted, in a sentence."""
    through: Through
    """Whether the faulty part is a real one or a stand-in for it."""
    n: int
    injections: list[Injection] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    """Further figures, for the page."""
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def injection(self) -> Iterator[Injection]:
        """Count a fault; one that breaks a promise does not keep the others from being tried."""
        one = Injection()
        try:
            yield one
        except AssertionError as error:
            one.survived, one.why = False, " ".join(str(error).split())[:300] or "an assertion"
            if not SHARE:
                raise
        finally:
            self.injections.append(one)

    def finish(self) -> None:
        """Keep the result, and fail if a promise was broken."""
        if SHARE:
            seconds = round(time.monotonic() - self.began, 1)
            found = {key: value for key, value in asdict(self).items() if key != "began"}
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{self.name}.json").write_text(
                json.dumps({**found, "seconds": seconds, "measured": circumstances()}, indent=1) + "\n"
            )
        broken = [one for one in self.injections if not one.survived or one.n_hidden]
        assert not broken, f"{len(broken)} of {len(self.injections)}: {broken[0]}"
        assert len(self.injections) >= self.n


@contextmanager
def faults(
    name: str, number: int, what: str, how: str, *, through: Through, short: int = 1, long: int = 50
) -> Iterator[Faults]:
    """Collect the injections of a class; `short` and `long` are how many each form has."""
    kept = Faults(name, number, what, how, through, max(short, round(long * SHARE)) if SHARE else short)
    yield kept
    kept.finish()


def circumstances() -> dict[str, Any]:
    """Return commit and machine, for the page; the commit is the last that changed streamd itself."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _git("log", "-1", "--format=%h", "--abbrev=12", "--", "streamd")
        + (" and changes" if _git("status", "--porcelain", "--", "streamd") else ""),
        "machine": f"{os.cpu_count()} × {models[0].partition(':')[2].strip() if models else platform.processor()}",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 2),
    }


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
