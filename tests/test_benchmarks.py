"""The page on performance is what was measured, and its goals are judged rightly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def said_by(code: str) -> str:
    """Run code beside the benchmarks, in a process of its own: they set what numpy reads at its import."""
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT / "benchmarks"), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return found.stdout


def test_the_page_is_what_the_scripts_measured_last() -> None:
    assert said_by("import write_page; print(write_page.page(), end='')") == (
        ROOT / "docs" / "performance.md"
    ).read_text("utf-8")


def test_every_benchmark_is_on_the_page() -> None:
    scripts = {file.name for file in ROOT.glob("benchmarks/[!_]*.py")} - {"write_page.py"}
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    assert {script for script in scripts if f"`benchmarks/{script}`" not in page} == set()


def test_a_figure_is_the_median_and_is_held_to_its_goal() -> None:
    lines = said_by(
        "from _harness import Figure\n"
        "print(Figure.of('cheaper', [9, 20, 16], '×', '≥ 15'))\n"
        "print(Figure.of('cheaper', [9, 20, 14], '×', '≥ 15'))\n"
        "print(Figure.of('memory', [150, 151, 149], 'MB', '≤ 150'))\n"
        "print(Figure.of('late', [1, 2, 6], 'ms'))\n"
    ).splitlines()
    assert lines == [
        "cheaper: 16 × (9 to 20; goal ≥ 15: reached)",
        "cheaper: 14 × (9 to 20; goal ≥ 15: MISSED)",
        "memory: 150 MB (149 to 151; goal ≤ 150: reached)",
        "late: 2 ms (1 to 6)",
    ]


def test_each_round_hears_all_variants_and_their_cpu_time_is_told_apart() -> None:
    told = said_by(
        "import _harness as h\n"
        "found = h.alternate({'short': lambda: sum(range(2_000)), 'long': lambda: sum(range(40_000))}, 5, 20)\n"
        "print(len(found['short']), min(h.ratios(found['long'], found['short'])) > 5)\n"
    )
    assert told == "5 True\n"
