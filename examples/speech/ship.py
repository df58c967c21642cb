"""The exported seed as the shipped model: `python -m examples.speech.ship --seed 0`, after `examples.speech.compare`.

Counts false alarms (`examples.speech.false_alarms`), writes what was measured into the model, and its card. The folder
has the old model or the new one, never half of either.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from examples.speech.card import card
from examples.speech.false_alarms import false_alarms
from examples.speech.make_data import DATA
from streamd.manifest import Manifest
from streamd.model import Model
from training.expect.rewrite import with_decisions

FOLDER = Path("models/speech")


def compared(seed: int, file: Path) -> dict[str, Any]:
    """Return what examples.speech.compare found: means at 5 dB and less, all seeds and silero."""
    found = json.loads(file.read_text())
    sets = {name: one for name, one in found.items() if name != "lags_seconds"}
    return {
        "lags_seconds": found["lags_seconds"],
        "this_is": f"seed {seed}",
        "mean_auc_at_5_db_and_less": {one["title"]: one["rows"][-2] for one in sets.values()},
        "without_the_most_favourable_cell": {one["title"]: one["rows"][-1] for one in sets.values()},
        "worst_cell": {one["title"]: min(one["rows"][:-2], key=lambda row: row["difference"]) for one in sets.values()},
        "script": "examples/speech/compare.py",
    }


def ship(seed: int, folder: Path = FOLDER, data: Path = DATA) -> Manifest:
    """Write speech.onnx and card.md from a seed.

    Args:
        seed: of those in the data's runs.
        folder: where the model goes.
        data: the folder of make_data, train, export and compare.
    """
    comparison = compared(seed, data / "compare.json")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".speech-") as scratch:
        draft = Path(scratch) / "speech.onnx"
        shutil.copyfile(data / "runs" / f"seed-{seed}" / draft.name, draft)
        expected = {
            "auc_against_silero_vad_6": comparison,
            "false_alarms": false_alarms(Model(draft, "cpu"), data),
            "recall": "in events not measured; see the areas under the curve",
            "weaknesses": "singing and babble were in no training and no test; voices far below music are missed",
        }
        written = with_decisions(draft, expected=expected)
        draft.replace(folder / draft.name)
    (folder / "card.md").write_text(card(written), encoding="utf-8")
    return written


def main() -> None:
    """Ship a seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where speech.onnx and card.md go")
    arguments = parser.parse_args()
    print(card(ship(arguments.seed, arguments.folder)))


if __name__ == "__main__":
    main()
