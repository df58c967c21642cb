"""Speech models side by side with silero-vad on the same streams: `python -m examples.speech.compare MODEL …`.

Every system is played through the daemon's own detector. Its best lag is chosen on the tuning streams; on the test's
the AUC over frames of 10 ms is counted for each noise, SNR and place. Models given together are seeds of one recipe.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.speech.auc import Counts, Floats, interval, on_grid, resamples
from examples.speech.make_data import DATA
from examples.speech.scenes import LABEL
from examples.speech.streams import SECONDS, Cell, Streams, streams, warm_up_recording
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
    ends: list[Floats]
    posteriors: list[Floats]

    def scores(self, lag_seconds: float) -> Floats:
        """Return scores (n_streams, n_frames) on the grid."""
        n_frames = self.active.shape[1]
        rows = zip(self.ends, self.posteriors, strict=True)
        return np.array([on_grid(ends, said, lag_seconds, n_frames) for ends, said in rows])

    def counts(self, lag_seconds: float) -> Counts:
        """Return counts of the frames that are judged: those every lag has an answer to."""
        n_frames = self.active.shape[1]
        middle = (np.arange(n_frames) + 0.5) / 100
        judged = (middle >= FROM_SECONDS) & (middle <= SECONDS - LAGS_SECONDS[-1])
        return Counts.of(self.scores(lag_seconds), self.active, np.tile(judged, (len(self.active), 1)))


def hear(model: Model, one: Streams) -> Heard:
    """Play the streams of a cell through the daemon's detector."""
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
    late = max(row[0] for row in ends)
    if late > FROM_SECONDS:
        raise ValueError(
            f"{model.manifest.name} answers from {late:.1f} s on; expected {FROM_SECONDS:g} s at the latest"
        )
    return Heard(one.cell, one.active, [np.array(row) for row in ends], [np.array(row) for row in said])


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


def compare(models: dict[str, Model], split: str, lags: dict[str, float]) -> list[dict[str, object]]:
    """Return a row for each cell: the AUC of every system, the difference of each to silero, and its interval."""
    rows: list[dict[str, object]] = []
    ours = [name for name in models if name != "silero"]
    loud: dict[str, list[Floats]] = {name: [] for name in models}
    for one in streams(DATA, split, SETS[split]):
        weights = np.concatenate([np.ones((1, len(one.samples))), resamples(len(one.samples))])
        found = {name: hear(model, one).counts(lags[name]).auc(weights) for name, model in models.items()}
        row: dict[str, object] = {"cell": str(one.cell), "n_streams": len(one.samples)}
        row |= {name: round(float(values[0]), 4) for name, values in found.items()}
        mean = np.mean([found[name] for name in ours], axis=0) - found["silero"]
        row |= {"difference": round(float(mean[0]), 4), "interval": [round(x, 4) for x in interval(mean[1:])]}
        rows.append(row)
        if one.cell.snr_db <= LOUD_NOISE_DB:
            for name, values in found.items():
                loud[name].append(values)
        print(row, flush=True)
    rows.append(_mean("mean of all cells at 5 dB and less", loud, ours))
    gains = np.mean([[cell[0] for cell in loud[name]] for name in ours], axis=0) - [cell[0] for cell in loud["silero"]]
    kept = [i for i in range(len(gains)) if i != int(np.argmax(gains))]
    without = {name: [values[i] for i in kept] for name, values in loud.items()}
    rows.append(_mean("the same without the most favourable cell", without, ours))
    return rows


def _mean(title: str, loud: dict[str, list[Floats]], ours: Sequence[str]) -> dict[str, object]:
    means = {name: np.mean(values, axis=0) for name, values in loud.items()}
    difference = np.mean([means[name] for name in ours], axis=0) - means["silero"]
    row: dict[str, object] = {"cell": title}
    row |= {name: round(float(values[0]), 4) for name, values in means.items()}
    return row | {
        "difference": round(float(difference[0]), 4),
        "interval": [round(x, 4) for x in interval(difference[1:])],
    }


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
    result: dict[str, object] = {"lags_seconds": lags}
    for split in arguments.sets:
        rows = compare(models, split, lags)
        result[split] = {"title": TITLES[split], "rows": rows}
        for row in rows[-2:]:
            print(row, flush=True)
        arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
