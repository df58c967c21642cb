"""Does a trained model do on a kit that nobody had heard what its report says? Asked of `streamd replay` itself.

    .venv/bin/python examples/percussion/make_data.py
    .venv/bin/python -m training train examples-data/percussion -o out
    .venv/bin/python examples/percussion/replay_unseen.py out/out.onnx

Every clip of examples-data/percussion-unseen is replayed by a process of its own, with silence around it, as somebody
would at a terminal. Prints for each label how many were heard, beside what report.json promised for real recordings.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from training.expect.report import Interval, Report, read

DATA = Path(__file__).resolve().parents[2] / "examples-data" / "percussion-unseen"
STREAMD = Path(sys.executable).with_name("streamd")
PAD_SECONDS = 8.0
"""Before the sound the model warms up, after it the event ends."""


def main() -> None:
    """Replay, count, compare."""
    model = Path(sys.argv[1])
    report = read(model.with_name("report.json"))
    with (DATA / "labels.csv").open(newline="", encoding="utf-8") as table:
        clips = [(DATA / row["path"], row["label"]) for row in csv.DictReader(table)]
    with ThreadPoolExecutor(2) as pool:
        heard = list(pool.map(lambda clip: labels_heard(model, clip[0]), clips))
    n_clips = Counter(label for _, label in clips)
    n_right = Counter(label for (_, label), found in zip(clips, heard, strict=True) if label in found)
    n_others = sum(bool(found - {label}) for (_, label), found in zip(clips, heard, strict=True))
    for label, interval in promised(report).items():
        share = n_right[label] / n_clips[label] if n_clips[label] else None
        said = "no clip" if share is None else f"{n_right[label]} of {n_clips[label]} heard, {share:.2f}"
        print(f"{label:8} {said}; the report's 95 % interval: {words(interval, share)}")
    overall = sum(n_right.values()) / len(clips)
    print(f"all      {sum(n_right.values())} of {len(clips)} heard, {overall:.2f}; {n_others} taken for another, too")


def labels_heard(model: Path, clip: Path) -> set[str]:
    """Return the labels of the events that `streamd replay` prints for a clip."""
    command = [str(STREAMD), "replay", str(clip), "--model", str(model), "--pad", str(PAD_SECONDS), "--json"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {json.loads(line)["data"]["label"] for line in printed.splitlines()}


def promised(report: Report) -> dict[str, Interval | None]:
    """Return the interval of each label's recall on real recordings."""
    real = next(one for one in report.expect.conditions if one.kind == "real")
    return {one.label: one.recall_interval for one in real.labels}


def words(interval: Interval | None, share: float | None) -> str:
    """Return an interval, and whether a share lies in it."""
    if interval is None:
        return "none, too few kits"
    low, high = interval
    inside = "" if share is None else ", inside" if low <= share <= high else ", OUTSIDE"
    return f"{low:.2f} to {high:.2f}{inside}"


if __name__ == "__main__":
    main()
