"""Speech models side by side with silero-vad on the same streams: `python -m examples.speech.compare MODEL …`.

Every system is played through the daemon's own detector. Its best lag is chosen on the tuning streams; on the test's
the AUC over frames of 10 ms is counted for each noise, SNR and place. Models given together are seeds of one recipe.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.speech.auc import Counts, Floats, interval, on_grid, resamples
from examples.speech.make_data import DATA
from examples.speech.scenes import LABEL
from examples.speech.streams import SECONDS, SNRS_DB, Cell, Streams, streams, warm_up_recording
from streamd.detector import Detector
from streamd.model import Model
from training.design.silero import SAMPLE_RATE, adopt_silero, packaged_graph

SETS = {"test": 40, "test2": 25, "test3": 12}
"""Splits, and how many streams each has at most."""
TITLES = {
    "test": "Czech actors (fillets-ng-data-cs)",
    "test2": "shouts of a game (hedgewars-data)",
    "test3": "Mandarin syllables (gcin-voice)",
}
N_TUNING = 16
LOUD_NOISE_DB = 5.0
"""Cells up to this SNR count for the mean."""
LAGS_SECONDS = tuple(round(0.01 * step, 2) for step in range(61))
FROM_SECONDS = 8.0
"""What is before is not judged: detectors warm up, silero for 7.5 s by the rule of `training.design.adopt`."""
MARGIN = 0.01

N_BATCH = 16
"""Streams that are played at the same time."""


@dataclass(frozen=True, eq=False)
class Heard:
    """One system on all streams of one cell."""

    cell: Cell
    active: NDArray[np.bool_]
    ends: Floats
    """Up to where each hop had heard, in seconds (n_hops,)."""
    posteriors: Floats
    """(n_streams, n_hops)"""

    def scores(self, lag_seconds: float) -> Floats:
        """Return scores (n_streams, n_frames) on the grid."""
        n_frames = self.active.shape[1]
        return np.array([on_grid(self.ends, row, lag_seconds, n_frames) for row in self.posteriors])

    def counts(self, lag_seconds: float) -> Counts:
        """Return counts of the frames that are judged: those every lag has an answer to."""
        n_frames = self.active.shape[1]
        middle = (np.arange(n_frames) + 0.5) / 100
        judged = (middle >= FROM_SECONDS) & (middle <= SECONDS - LAGS_SECONDS[-1])
        return Counts.of(self.scores(lag_seconds), self.active, np.tile(judged, (len(self.active), 1)))


def hear(model: Model, one: Streams) -> Heard:
    """Play the streams of a cell through the daemon's detector, or read what an earlier run kept of the same."""
    golden = model.manifest.golden
    digest = hashlib.sha256(golden.log_mel + golden.posterior + one.samples.tobytes()).hexdigest()[:16]
    file = DATA / "heard" / f"{model.manifest.name}-{digest}.npz"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        ends, posteriors = _played(model, one)
        np.savez(file, ends=ends, posteriors=posteriors)
    with np.load(file) as kept:
        ends, posteriors = kept["ends"], kept["posteriors"]
    if ends[0] > FROM_SECONDS:
        raise ValueError(
            f"{model.manifest.name} answers from {ends[0]:.1f} s on; expected {FROM_SECONDS:g} s at the latest"
        )
    return Heard(one.cell, one.active, ends, posteriors)


def _played(model: Model, one: Streams) -> tuple[Floats, Floats]:
    """Return up to where each hop had heard, in seconds (n_hops,), and posteriors (n_streams, n_hops)."""
    column = model.manifest.labels.index(LABEL)
    ends: list[list[float]] = [[] for _ in one.samples]
    said: list[list[float]] = [[] for _ in one.samples]
    for begin in range(0, len(one.samples), N_BATCH):
        detector = Detector(model, {LABEL: model.manifest.decision_of(LABEL)})
        for i, samples in enumerate(one.samples[begin : begin + N_BATCH], start=begin):
            detector.start(str(i))
            detector.push(str(i), samples)
        for hop in detector.step():
            ends[int(hop.source)].append(hop.end_sample / SAMPLE_RATE)
            said[int(hop.source)].append(float(hop.posteriors[column]))
    return np.array(ends[0]), np.array(said)


def best_lag(heard: Sequence[Heard]) -> float:
    """Return the lag with the highest mean AUC over cells."""
    means = [float(np.mean([one.counts(lag).auc()[0] for one in heard])) for lag in LAGS_SECONDS[::2]]
    return LAGS_SECONDS[::2][int(np.argmax(means))]


def silero(folder: Path) -> Path:
    """Return the adopted graph of the package silero-vad, made if it isn't there."""
    path = folder / "silero-vad.onnx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        adopt_silero(packaged_graph(), path, warm_up_recording(DATA))
    return path


def compare(models: dict[str, Model], split: str, lags: dict[str, float]) -> list[dict[str, Any]]:
    """Return a row for each cell: the AUC of every system, the difference of each to silero, and its interval."""
    rows: list[dict[str, Any]] = []
    ours = [name for name in models if name != "silero"]
    loud: dict[str, list[Floats]] = {name: [] for name in models}
    for one in streams(DATA, split, SETS[split]):
        weights = np.concatenate([np.ones((1, len(one.samples))), resamples(len(one.samples))])
        found = {name: hear(model, one).counts(lags[name]).auc(weights) for name, model in models.items()}
        row: dict[str, Any] = {"cell": str(one.cell), "n_streams": len(one.samples)}
        row |= {name: round(float(values[0]), 4) for name, values in found.items()}
        mean = np.mean([found[name] for name in ours], axis=0) - found["silero"]
        row |= {"difference": round(float(mean[0]), 4), "interval": [round(x, 4) for x in interval(mean[1:])]}
        rows.append(row)
        if one.cell.snr_db <= LOUD_NOISE_DB:
            for name, values in found.items():
                loud[name].append(values)
    rows.append(_mean("mean of all cells at 5 dB and less", loud, ours))
    gains = np.mean([[cell[0] for cell in loud[name]] for name in ours], axis=0) - [cell[0] for cell in loud["silero"]]
    kept = [i for i in range(len(gains)) if i != int(np.argmax(gains))]
    without = {name: [values[i] for i in kept] for name, values in loud.items()}
    rows.append(_mean("the same without the most favourable cell", without, ours))
    return rows


def _mean(title: str, loud: dict[str, list[Floats]], ours: Sequence[str]) -> dict[str, Any]:
    means = {name: np.mean(values, axis=0) for name, values in loud.items()}
    difference = np.mean([means[name] for name in ours], axis=0) - means["silero"]
    row: dict[str, Any] = {"cell": title}
    row |= {name: round(float(values[0]), 4) for name, values in means.items()}
    return row | {
        "difference": round(float(difference[0]), 4),
        "interval": [round(x, 4) for x in interval(difference[1:])],
    }


def table(title: str, rows: Sequence[dict[str, Any]]) -> str:
    """Return the cells of a set as Markdown: mean over seeds, then silero; and the means with intervals."""
    lines = [f"### {title}", "", "| noise | " + " | ".join(f"{snr:g} dB" for snr in SNRS_DB) + " |"]
    lines.append("|---" * (1 + len(SNRS_DB)) + "|")
    cells = rows[:-2]
    for begin in range(0, len(cells), len(SNRS_DB)):
        some = cells[begin : begin + len(SNRS_DB)]
        noise, _, place = str(some[0]["cell"]).rsplit(", ", 2)
        said = (f"{one['silero'] + one['difference']:.3f} / {one['silero']:.3f}" for one in some)
        lines.append(f"| {noise}, {place} | " + " | ".join(said) + " |")
    lines.append("")
    for mean in rows[-2:]:
        low, high = mean["interval"]
        ours = mean["silero"] + mean["difference"]
        lines.append(
            f"- {mean['cell']}: {ours:.4f} / {mean['silero']:.4f}, difference {mean['difference']:+.4f}"
            f" (95 % interval {low:+.4f} to {high:+.4f})"
        )
    worst = min(cells, key=lambda one: float(one["difference"]))
    lines.append(f"- least favourable cell: {worst['cell']}, difference {worst['difference']:+.4f}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Choose lags, compare, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path, help="model files: seeds of one recipe")
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("-o", "--out", type=Path, default=DATA / "compare.json")
    arguments = parser.parse_args()
    models = {f"seed {i}": Model(path, "cpu") for i, path in enumerate(arguments.models)}
    models["silero"] = Model(silero(DATA), "cpu")
    tuning = {name: [hear(model, one) for one in streams(DATA, "tune", N_TUNING)] for name, model in models.items()}
    lags = {name: best_lag(heard) for name, heard in tuning.items()}
    print("lags", lags, flush=True)
    result: dict[str, Any] = {"lags_seconds": lags}
    for split in arguments.sets:
        rows = compare(models, split, lags)
        result[split] = {"title": TITLES[split], "rows": rows}
        print(table(TITLES[split], rows), flush=True)
        arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
