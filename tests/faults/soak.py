"""A whole daemon for a long time: a million hops as fast as they go, and an hour in real time (`make soak`).

python -m tests.faults.soak [--hops 1000000] [--minutes 60]

Does its memory grow, or its lag? The results are kept for docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.faults.harness import RESULTS, circumstances
from tests.faults.rig import Scene, tones
from tests.running import RunningDaemon, a_daemon

N_SOURCES = 4
WARM_PART = 0.2
"""Of the time, or of the hops: what is filled once is full by then."""
LIMIT_MB_AN_HOUR = 1.0


class Look(NamedTuple):
    """A daemon at one moment."""

    seconds: float
    hops: float
    rss_mb: float
    family_mb: float
    """Memory of the daemon's children, shared pages counted in each."""
    lag_seconds: float
    """The longest of all sources."""


def look(daemon: RunningDaemon, began: float, hop_samples: int) -> Look:
    """Ask a daemon how it is, and the system what it holds."""
    status = daemon.status()
    children = [child.memory_info().rss for child in daemon.process.children(recursive=True)]
    return Look(
        time.monotonic() - began,
        sum(source.n_samples for source in status.sources) / hop_samples,
        daemon.process.memory_info().rss / 1e6,
        sum(children) / 1e6,
        max((source.lag_seconds or 0.0 for source in status.sources), default=0.0),
    )


def slope(looks: list[Look], x: Callable[[Look], float]) -> tuple[float, float]:
    """Return how much memory grows in MB for each unit of x after the warm-up, and three standard errors of that."""
    warm = [one for one in looks if x(one) > WARM_PART * x(looks[-1])]
    xs, ys = np.array([x(one) for one in warm]), np.array([one.rss_mb for one in warm])
    found, begin = np.polyfit(xs, ys, 1)
    rest = ys - (found * xs + begin)
    error = float(np.sqrt((rest**2).sum() / max(1, len(xs) - 2) / ((xs - xs.mean()) ** 2).sum()))
    return float(found), 3 * error


def accelerated(n_hops: int) -> dict[str, object]:
    """Have sources played as fast as the daemon takes them."""
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        names = [f"s{i}" for i in range(N_SOURCES)]
        lines = [f"  {name}: {{recording: {scene.recording}, repeat: true, fast: true}}" for name in names]
        with a_daemon(scene.with_model("sources:\n" + "\n".join(lines))) as daemon:
            began, looks = time.monotonic(), list[Look]()
            while not looks or looks[-1].hops < n_hops:
                time.sleep(2.0)
                looks.append(look(daemon, began, scene.facts.hop_samples))
            counters = daemon.status().counters
    grown, error = slope(looks, lambda one: one.hops / 1e6)
    hours = 1e6 / N_SOURCES * scene.facts.hop_seconds / 3600
    return {
        "what": f"{looks[-1].hops:,.0f} hops of {N_SOURCES} recordings through a whole daemon, as fast as they go "
        f"({looks[-1].seconds / 60:.1f} min)",
        "grown": f"{grown:+.2f} ± {error:.2f} MB for a million hops, which are {hours:.1f} h of audio of each source",
        "memory": f"{looks[0].rss_mb:.1f} MB at first, {looks[-1].rss_mb:.1f} MB at the end",
        "lag": "",
        "events": sum(n for name, n in counters.items() if name.startswith("events.onset")),
        "reached": "reached" if (grown - error) / hours < LIMIT_MB_AN_HOUR else "**missed**",
    }


def paced(minutes: float) -> dict[str, object]:
    """Let a daemon hear recordings in real time with the default model."""
    with tempfile.TemporaryDirectory() as name:
        recording = tones(Path(name) / "tones.wav", 20.0)
        lines = [f"  s{i}: {{recording: {recording}, repeat: true}}" for i in range(2)]
        with a_daemon("sources:\n" + "\n".join(lines) + "\n") as daemon:
            began, looks = time.monotonic(), list[Look]()
            while not looks or looks[-1].seconds < 60 * minutes:
                time.sleep(5.0)
                looks.append(look(daemon, began, 1))
            counters = daemon.status().counters
    grown, error = slope(looks, lambda one: one.seconds / 3600)
    half = len(looks) // 2
    first, second = (statistics.median(one.lag_seconds for one in part) for part in (looks[:half], looks[half:]))
    lost = sum(n for key, n in counters.items() if key.startswith("lost_samples"))
    return {
        "what": f"two sources and the default model in real time, {looks[-1].seconds / 60:.0f} min",
        "grown": f"{grown:+.2f} ± {error:.2f} MB an hour",
        "memory": f"{looks[0].rss_mb:.1f} MB at first, {looks[-1].rss_mb:.1f} MB at the end; children "
        f"{looks[0].family_mb:.1f} and {looks[-1].family_mb:.1f} MB",
        "lag": f"median {first:.3f} s in the first half, {second:.3f} s in the second; {lost} samples lost",
        "events": sum(n for name, n in counters.items() if name.startswith("events.onset")),
        "reached": "reached" if grown - error < LIMIT_MB_AN_HOUR else "**missed**",
    }


def keep(name: str, number: int, found: dict[str, object]) -> None:
    """Leave a result for the page."""
    RESULTS.mkdir(exist_ok=True)
    kept = {"name": name, "number": number, "soak": found, "measured": circumstances()}
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    print(*found.values(), sep="\n")


def main() -> None:
    """Soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hops", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=60.0)
    args = parser.parse_args()
    if args.hops:
        keep("soak_accelerated", 100, accelerated(args.hops))
    if args.minutes:
        keep("soak_paced", 101, paced(args.minutes))


if __name__ == "__main__":
    main()
