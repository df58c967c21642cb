"""Writes docs/reliability.md from tests/faults/results: last of `make faults`, so the page is what was injected."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "reliability.md"

HEAD = """# Reliability

Loss is allowed where a queue is full; hidden loss is not. This page is written by `tests/faults/write_page.py` from
what `make faults` injected last, and a test holds the one against the other. A class whose fault comes from a stand-in
and not from the real part is marked *fake*. A promise that was broken is shown as broken.

- **Survived**: what is asserted of the class held: nothing else stopped, everything came back by itself, in time.
- **Recovered**: from the end of the fault, or from the death of what died, to the first score of new audio (median,
  longest).
- **Audio lost**: seconds that no model heard, of all sources, by the clock of the scores; **told**: what the daemon
  published of it as gaps. The time without a device counts as lost.
- **Lost in silence**: events and messages that had to come and did not, and that nobody was told of. A program that
  knows the scores of every hop and the rules of a decision (`tests/faults/ledger.py`) says which had to come.
"""

FUZZING = """## Fuzzing

Inputs that hypothesis makes out of a corpus (`tests/data/fuzz`), and nineteen by chance out of each of its, by
`tests/faults/test_fuzz.py`. Each is read, or refused in one line; no other error, no crash, no hang. The slowest is CPU
time of one input, for a whole model elapsed time.
"""

LIMIT_MB = 1
SOAK = """## Soak

By `make soak` (`tests/faults/soak.py`). Memory is that of the daemon's process; its slope is that of a straight line
through all but the first fifth, with three standard errors of it.
"""


def rows(header: Sequence[str], cells: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def row(result: Mapping[str, Any]) -> list[str]:
    """Return a class of faults as a row."""
    injections = result["injections"]
    times = [one["recovery_seconds"] for one in injections if one["recovery_seconds"] is not None]
    survived = sum(one["survived"] for one in injections)
    lost, told = (sum(one[key] for one in injections) for key in ("lost_seconds", "reported_seconds"))
    return [
        f"{result['what']}{' *(fake)*' if result['through'] == 'fake' else ''}",
        str(len(injections)),
        str(survived) if survived == len(injections) else f"**{survived}**",
        f"{statistics.median(times):.2f} s, {max(times):.2f} s" if times else "",
        f"{lost:.1f} s, {told:.1f} s" if lost or told else "",
        str(sum(one["n_hidden"] for one in injections)),
    ]


def detail(result: Mapping[str, Any]) -> str:
    """Return how a class is injected, and what was measured beside."""
    how = " ".join(result["how"].split())
    notes = "".join(f" {name}: {value}." for name, value in result["notes"].items())
    broken = sorted({one["why"] for one in result["injections"] if not one["survived"]})
    return f"- **{result['what']}**: {how}.{notes}" + "".join(f" *Broken*: {why}." for why in broken)


def load(folder: Path) -> list[Mapping[str, Any]]:
    """Return the results of a folder."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]


def page() -> str:
    """Return the page of the results that are there."""
    found = sorted(load(HERE / "results"), key=lambda result: (result.get("number", 99), result["name"]))
    classes = [result for result in found if "injections" in result]
    total = sum(len(result["injections"]) for result in classes)
    survived = sum(one["survived"] for result in classes for one in result["injections"])
    hidden = sum(one["n_hidden"] for result in classes for one in result["injections"])
    header = "fault", "injected", "survived", "recovered (median, longest)", "audio lost, told", "lost in silence"
    parts = [
        HEAD,
        "## Faults\n",
        f"{total} injections, {survived} survived, {hidden} events or messages lost in silence.\n",
    ]
    parts += [rows(header, [row(result) for result in classes]), "\n".join(detail(result) for result in classes) + "\n"]
    if fuzzed := [result["fuzz"] for result in found if "fuzz" in result]:
        header = "what was read", "inputs", "refused in one line", "slowest"
        cells = [[row["what"], row["inputs"], row["refused"], f"{row['slowest_seconds']:.3g} s"] for row in fuzzed]
        parts += [FUZZING, rows(header, cells)]
    if soaked := [result["soak"] for result in found if "soak" in result]:
        header = "what ran", "memory of the daemon", "", "lag", "onsets told", f"goal: under {LIMIT_MB} MB an hour"
        keys = "what", "memory", "grown", "lag", "events", "reached"
        parts += [SOAK, rows(header, [[row[key] for key in keys] for row in soaked])]
    parts += ["## Measured\n", measured(found)]
    return "\n".join(parts)


def measured(found: Sequence[Mapping[str, Any]]) -> str:
    """Return when and on what, each circumstance with the results it holds for."""
    groups: dict[str, list[str]] = {}
    for result in found:
        facts = result["measured"]
        line = f"commit {facts['commit']}, {facts['machine']}, {facts['system']}"
        groups.setdefault(line, []).append(f"{result['name']} ({facts['date']})")
    return "".join(f"- {line}: {', '.join(names)}.\n" for line, names in groups.items())


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
