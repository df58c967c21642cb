"""Writes docs/performance.md from benchmarks/results: last of `make bench`, so the page is what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import _harness as harness

PAGE = harness.ROOT / "docs" / "performance.md"
TITLES = {
    "logmel": "The log-mel spectrogram",
    "paced_cpu": "CPU of daemon and agent",
    "latency": "From a block to its event",
    "start": "Start",
    "memory": "Memory",
    "simulate": "Simulated audio for training",
    "speech_cpu": "The speech model beside silero-vad",
    "openwakeword": "openWakeWord's graphs",
    "peers_cpu": "What others take",
    "stream_form": "Only the new frames: the stream form of a window's network",
    "load": "Real-time sources a core",
    "overhead": "What the daemon adds",
    "memory_slope": "Memory over a million hops",
    "curve": "What keys cost",
    "reloads": "Reloads",
    "signals": "The health of signals",
    "gpu": "On a GPU",
}
"""Scripts in the order of the page."""

HEAD = """# Performance

This page is written by `benchmarks/write_page.py` from what the scripts beside it measured last (`make bench` runs
them all). Every number names the script that prints it, and what it was measured on stands below it. A goal that
was missed is shown as missed.

**Hot and paced.** A daemon is woken once a hop, and its caches have been used by others meanwhile: the same work then
costs several times what it costs in a loop. *Hot* is the loop: replays, many sources. *Paced* is once a hop: the
daemon's ordinary life. A figure of one kind says nothing about the other, so each says which it is.

**Ratios.** What is compared takes turns in one run, on the same machine; ratios last longer than microseconds.
Numbers are medians; in brackets the extremes of the rounds.

**No figure for a Raspberry Pi** or any other machine is claimed here until one was measured on it.
"""


def rows(header: Sequence[str], cells: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def figure(found: Mapping[str, Any], script: str) -> list[str]:
    """Return a figure as a row."""
    verdict = {None: "", True: "reached", False: "**missed**"}[found["reached"]]
    value = f"{found['value']:.3g} {found['unit']} ({found['low']:.3g} to {found['high']:.3g})"
    return [found["what"], value, found["goal"], verdict, f"`{script}`"]


def section(title: str, result: Mapping[str, Any]) -> str:
    """Return what one script found."""
    parts = [f"## {title}\n", result["how"] + "\n"]
    if result["table"]:
        parts.append(rows(list(result["table"][0]), [list(row.values()) for row in result["table"]]))
    measured = result["measured"]
    packages = ", ".join(f"{name} {version}" for name, version in measured["packages"].items())
    parts.append(
        f"`benchmarks/{result['script']}`, {measured['date']}, commit {measured['commit']}; {measured['machine']}, "
        f"{measured['system']}; load {measured['load'][0]:g} when it ended; {packages}.\n"
    )
    return "\n".join(parts)


def page() -> str:
    """Return the page of the results that are there."""
    results = {name: json.loads((harness.RESULTS / f"{name}.json").read_text()) for name in TITLES}
    figures = [figure(one, result["script"]) for result in results.values() for one in result["figures"]]
    parts = [HEAD, rows(("what", "measured", "goal", "", "printed by"), figures)]
    parts += [section(title, results[name]) for name, title in TITLES.items()]
    return "\n".join(parts)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())
    print(f"wrote {PAGE.relative_to(harness.ROOT)}")


if __name__ == "__main__":
    main()
