"""Evaluate pretrained models on percussion: five folds of kits, three seeds, every clip through the daemon's detector.

    .venv/bin/python examples/percussion/evaluate.py [FOLDER]

FOLDER is what make_data.py wrote. Each clip is played by the model of its fold, with a second of silence before and
after; its score is the highest posterior of each label, and the label with the highest score is the answer. The
baseline is YAMNet's own last embedding, frozen, of peak-normalised clips, averaged over its windows, with a logistic
regression whose strength is chosen inside the training kits. Both see the same folds, which no kit crosses.

Prints the tables and writes results.json and README.md beside this file. What was computed is kept in
FOLDER/../percussion-evaluation, so that a second call goes on where a first one ended; remove it to begin anew.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from streamd.decision import DecisionSpec
from streamd.logmel import log_mel
from streamd.manifest import Golden, Manifest
from streamd.model import Model
from training.design import yamnet
from training.design.aged_windows import ringing_out, windows
from training.design.export import export, traced
from training.design.fine_tune import fine_tune
from training.design.head import Examples, fit_head
from training.design.pretrained import Embedding, export_head
from training.design.pretrained import examples as examples_of
from training.design.pretrained_network import PretrainedNetwork
from training.design.yamnet_layers import LOG_MEL, YamnetLayers, window_facts
from training.expect.default_model import LOG_MEL as YAMNET_LOG_MEL
from training.expect.play import LabelledStream, play
from training.prepare.audio import read_audio
from training.prepare.data_set import read_data
from training.prepare.simulation.sounds import sounds_of

HERE = Path(__file__).parent
N_FOLDS = 5
SEEDS = (0, 1, 2)
N_RESAMPLES = 2000
AROUND_SECONDS = 1.0
BASELINE_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)

Labels = NDArray[np.intp]


@dataclass(frozen=True)
class Task:
    """The clips, as read, and the folds."""

    data: Path

    @cached_property
    def clips(self) -> list[Any]:
        """Return the clips, in the table's order."""
        return read_data(self.data).clips

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Return the five labels."""
        return tuple(sorted({clip.label for clip in self.clips}))

    @cached_property
    def truth(self) -> Labels:
        """Return the number of each clip's label, (n_clips,)."""
        return np.array([self.labels.index(clip.label) for clip in self.clips])

    @cached_property
    def kits(self) -> NDArray[np.str_]:
        """Return each clip's kit, (n_clips,)."""
        return np.array([clip.source for clip in self.clips])

    @cached_property
    def fold(self) -> Labels:
        """Return the fold that tests each clip, (n_clips,): kits stay whole, labels are spread as evenly as they go."""
        found = np.zeros(len(self.clips), np.intp)
        splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=0)
        for number, (_, test) in enumerate(splitter.split(self.truth, self.truth, self.kits)):
            found[test] = number
        return found


def main() -> None:
    """Compute what is missing, print the tables, write both files."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "examples-data" / "percussion"
    if not (data / "labels.csv").exists():
        raise SystemExit(f"{data}: no labels.csv; run examples/percussion/make_data.py first")
    task = Task(data)
    kept = data.parent / "percussion-evaluation"
    kept.mkdir(exist_ok=True)
    begin = time.monotonic()
    answers = {"baseline": np.stack([_kept(kept / "baseline.npy", lambda: baseline(task))])}
    ours = [_kept(kept / f"pretrained-{seed}.npy", lambda seed=seed: pretrained(task, seed)) for seed in SEEDS]
    answers["pretrained"] = np.stack([scores.argmax(axis=1) for scores in ours])
    tuned = [_kept(kept / f"fine-tuned-{seed}.npy", lambda seed=seed: fine_tuned(task, seed)) for seed in SEEDS]
    answers["fine-tuned"] = np.stack([scores.argmax(axis=1) for scores in tuned])
    for path in sorted(kept.glob("scratch-*.npy")):
        scores = np.load(path)
        answers["from scratch"] = np.stack([*answers.get("from scratch", ()), scores.argmax(axis=1)])
    results = summary(task, answers)
    lines = tables(task, results)
    print("\n".join(lines))
    print(f"{time.monotonic() - begin:.0f} s")
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    introduction, mark, _ = (HERE / "README.md").read_text(encoding="utf-8").partition("<!-- evaluate.py -->\n")
    (HERE / "README.md").write_text(introduction + mark + "\n" + "\n".join(lines) + "\n", encoding="utf-8")


def baseline(task: Task) -> Labels:
    """Return the baseline's answers, (n_clips,)."""
    network = yamnet.load()
    span = (yamnet.N_FRAMES - 1) * 160 + 400
    rows = []
    for clip in task.clips:
        audio, sample_rate = read_audio(clip.path)
        audio = soxr.resample(audio, sample_rate, 16_000)
        audio = audio / max(float(np.abs(audio).max()), 1e-6)
        n_windows = max(1, math.ceil((len(audio) - span) / 7680) + 1)
        audio = np.pad(audio, (0, max(0, span + (n_windows - 1) * 7680 - len(audio)))).astype(np.float32)
        windows = np.stack([log_mel(audio[at : at + span], YAMNET_LOG_MEL) for at in np.arange(n_windows) * 7680])
        with torch.no_grad():
            rows.append(network(torch.from_numpy(windows))[1].mean(dim=0).numpy())
    embedding = np.stack(rows)
    answers = np.zeros(len(task.truth), np.intp)
    for number in range(N_FOLDS):
        train, test = task.fold != number, task.fold == number
        inner = GroupKFold(4).split(embedding[train], task.truth[train], task.kits[train])
        regression = LogisticRegressionCV(
            Cs=list(BASELINE_STRENGTHS),
            cv=list(inner),
            scoring="balanced_accuracy",
            class_weight="balanced",
            max_iter=1000,
            l1_ratios=(0,),
            use_legacy_attributes=False,
        )
        model = make_pipeline(StandardScaler(), regression).fit(embedding[train], task.truth[train])
        answers[test] = model.predict(embedding[test])
    return answers


def pretrained(task: Task, seed: int) -> NDArray[np.float32]:
    """Return the scores (n_clips, n_labels) of the models of all folds, each on the kits it has never heard."""
    draft = manifest(task.labels)
    layers = YamnetLayers().eval()
    graph = traced(layers, draft, ("embedding",))
    sounds = ringing_out(sounds_of(task.clips, LOG_MEL.sample_rate), LOG_MEL.sample_rate)
    given = examples_of(Embedding(graph, draft), sounds, task.labels, seed)
    scores = np.zeros((len(task.clips), len(task.labels)), np.float32)
    for number in range(N_FOLDS):
        test = np.nonzero(task.fold == number)[0]
        train = ~np.isin(given.group, task.kits[test])
        head = fit_head(given.rows(train), len(task.labels), layers.parts, seed)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "percussion.onnx"
            export_head(graph, head, draft, path)
            scores[test] = clip_scores(Model(path, "cpu"), [task.clips[at].path for at in test])
        right = scores[test].argmax(axis=1) == task.truth[test]
        print(f"seed {seed}, fold {number}: {right.mean():.3f} of {len(test)} right", flush=True)
    return scores


def fine_tuned(task: Task, seed: int) -> NDArray[np.float32]:
    """Return the scores (n_clips, n_labels) of the same windows and heads, with all layers trained on from there."""
    draft = manifest(task.labels)
    sounds = ringing_out(sounds_of(task.clips, LOG_MEL.sample_rate), LOG_MEL.sample_rate)
    drawn = windows(sounds, LOG_MEL.sample_rate, draft.span_samples, seed)
    heard = np.stack([log_mel(row, LOG_MEL).astype(np.float16) for row in drawn.audio])
    label = np.array([task.labels.index(sound.clip.label or "") for sound in sounds])
    target = np.where(drawn.asked, label[drawn.sound], len(task.labels))
    kit = np.array([sound.clip.source for sound in sounds])[drawn.sound]
    layers = YamnetLayers().eval()
    embedding = np.concatenate([_embedded(layers, heard[at : at + 64]) for at in range(0, len(heard), 64)])
    scores = np.zeros((len(task.clips), len(task.labels)), np.float32)
    for number in range(N_FOLDS):
        test = np.nonzero(task.fold == number)[0]
        train = ~np.isin(kit, task.kits[test])
        network = PretrainedNetwork(len(task.labels), is_tuned=True).eval()
        given = Examples(embedding[train], target[train], kit[train])
        network.take_on(fit_head(given, len(task.labels), layers.parts, seed))
        fine_tune(network, heard[train], target[train], seed)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "percussion.onnx"
            export(network, draft, path)
            scores[test] = clip_scores(Model(path, "cpu"), [task.clips[at].path for at in test])
        right = scores[test].argmax(axis=1) == task.truth[test]
        print(f"fine-tuned, seed {seed}, fold {number}: {right.mean():.3f} of {len(test)} right", flush=True)
    return scores


def _embedded(layers: YamnetLayers, some: NDArray[np.float16]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return np.asarray(layers(torch.from_numpy(some.astype(np.float32))).numpy(), np.float32)


def clip_scores(model: Model, paths: Sequence[Path]) -> NDArray[np.float32]:
    """Return the highest posterior of each label while a clip is played, silence around it: (n_clips, n_labels)."""
    sample_rate = model.manifest.sample_rate
    silence = np.zeros(round(AROUND_SECONDS * sample_rate), np.float32)
    found = []
    for path in paths:
        audio, own_rate = read_audio(path)
        sounding = np.concatenate([silence, soxr.resample(audio, own_rate, sample_rate).astype(np.float32), silence])
        samples = np.clip(np.rint(sounding * 32768), -32768, 32767).astype(np.int16)
        found.append(play(model, [LabelledStream(path.stem, samples, ())])[0].posteriors.max(axis=0))
    return np.stack(found)


def manifest(labels: tuple[str, ...]) -> Manifest:
    """Return the manifest of the models, without what is measured."""
    return Manifest(
        name="percussion",
        version="1.0.0",
        licence="GPL-2.0-only",
        description="Hits of a drum kit: kick, snare, tom, hi-hat, cymbal.",
        labels=labels,
        default_labels=labels,
        onset_delay=0,
        offset_delay=0,
        decision=DecisionSpec(),
        label_decisions={},
        expected={},
        training={"network": "a head on YAMNet's layers (Apache-2.0)"},
        golden=Golden(seed=0, n_samples=0, posterior=b""),
        **window_facts(),
    )


def summary(task: Task, answers: dict[str, Labels]) -> dict[str, Any]:
    """Return all figures; answers are (n_seeds, n_clips) for each model."""
    truth, kits = task.truth, task.kits
    results: dict[str, Any] = {"labels": task.labels, "n_clips": len(truth), "models": {}}
    names = sorted(set(kits))
    chance = np.random.default_rng(0)
    drawn = [np.bincount(chance.integers(0, len(names), len(names)), minlength=len(names)) for _ in range(N_RESAMPLES)]
    numbers = np.searchsorted(names, kits)
    weights = [counts[numbers].astype(np.float64) for counts in drawn]
    resampled = {
        model: np.array([balanced(truth, found, weight) for weight in weights]) for model, found in answers.items()
    }
    whole = np.ones(len(truth))
    for model, found in answers.items():
        by_kit = {kit: float((found == truth)[:, kits == kit].mean()) for kit in names}
        results["models"][model] = {
            "balanced_accuracy": round(balanced(truth, found, whole), 4),
            "by_seed": [round(balanced(truth, one[None], whole), 4) for one in found],
            "interval_95": [round(float(edge), 4) for edge in np.percentile(resampled[model], (2.5, 97.5))],
            "recall": {
                label: round(float((found == truth)[:, truth == number].mean()), 4)
                for number, label in enumerate(task.labels)
            },
            "accuracy_by_kit": {kit: round(share, 4) for kit, share in by_kit.items()},
            "worst_kit": min(by_kit, key=lambda kit: by_kit[kit]),
            "confusion": [
                [round(float(((found == to) & (truth == of)).sum() / len(found)), 2) for to in range(len(task.labels))]
                for of in range(len(task.labels))
            ],
        }
        if model != "baseline":
            difference = resampled[model] - resampled["baseline"]
            results["models"][model]["over_baseline"] = {
                "difference": round(balanced(truth, found, whole) - balanced(truth, answers["baseline"], whole), 4),
                "interval_95": [round(float(edge), 4) for edge in np.percentile(difference, (2.5, 97.5))],
            }
    wrong = np.all([(found != truth).all(axis=0) for found in answers.values()], axis=0)
    results["wrong_for_every_model"] = {
        "share": round(float(wrong.mean()), 4),
        "best_possible": round(balanced(truth, np.where(wrong, -1, truth)[None], whole), 4),
        "clips": [task.clips[at].path.relative_to(task.data).as_posix() for at in np.nonzero(wrong)[0]],
    }
    return results


def balanced(truth: Labels, found: Labels, weight: NDArray[np.float64]) -> float:
    """Return the mean recall over the labels that have any weight, averaged over seeds; found is (n_seeds, n_clips)."""
    right = (found == truth).mean(axis=0)
    present = [truth == number for number in range(int(truth.max()) + 1) if weight[truth == number].sum() > 0]
    return float(np.mean([np.average(right[of], weights=weight[of]) for of in present]))


def tables(task: Task, results: dict[str, Any]) -> list[str]:
    """Return the figures as Markdown."""
    labels, models = task.labels, results["models"]
    lines = [f"{results['n_clips']} clips of {len(set(task.kits))} kits, {N_FOLDS} folds of whole kits."]
    lines += [
        "",
        f"| model | by seed | balanced accuracy (95 %) | over the baseline | worst kit | {' | '.join(labels)} |",
    ]
    lines += ["|---" * (5 + len(labels)) + "|"]
    for model, row in models.items():
        low, high = row["interval_95"]
        over = row.get("over_baseline")
        ahead = (
            f"{over['difference']:+.3f} ({over['interval_95'][0]:+.3f} to {over['interval_95'][1]:+.3f})"
            if over
            else ""
        )
        worst = f"{row['worst_kit']} {row['accuracy_by_kit'][row['worst_kit']]:.2f}"
        recalls = " | ".join(f"{row['recall'][label]:.2f}" for label in labels)
        seeds = " ".join(f"{one:.3f}" for one in row["by_seed"])
        accuracy = f"{row['balanced_accuracy']:.3f} ({low:.3f} to {high:.3f})"
        lines.append(f"| {model} | {seeds} | {accuracy} | {ahead} | {worst} | {recalls} |")
    for model, row in models.items():
        lines += [
            "",
            f"Confusions of {model}, clips, mean over seeds (rows: truth):",
            "",
            f"| | {' | '.join(labels)} |",
        ]
        lines += ["|---" * (1 + len(labels)) + "|"]
        for label, counts in zip(labels, row["confusion"], strict=True):
            lines.append(f"| {label} | {' | '.join(f'{count:g}' for count in counts)} |")
    kits = sorted(set(task.kits))
    lines += ["", "Accuracy by kit:", "", f"| kit | clips | {' | '.join(models)} |", "|---" * (2 + len(models)) + "|"]
    for kit in kits:
        shares = " | ".join(f"{row['accuracy_by_kit'][kit]:.2f}" for row in models.values())
        lines.append(f"| {kit} | {int((task.kits == kit).sum())} | {shares} |")
    wrong = results["wrong_for_every_model"]
    lines += [
        "",
        f"The ceiling: {len(wrong['clips'])} clips ({wrong['share']:.1%}) are wrong for every model at every seed;",
    ]
    lines += [f"who got all others right would reach {wrong['best_possible']:.3f}. They are:", ""]
    return lines + [f"- {clip}" for clip in wrong["clips"]]


def _kept(path: Path, compute: Any) -> Any:
    if not path.exists():
        np.save(path, compute())
    return np.load(path)


if __name__ == "__main__":
    main()
