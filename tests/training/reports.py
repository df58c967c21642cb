"""Reports made by hand: one with all that a report can hold, one with the least."""

from __future__ import annotations

import io
import math

import numpy as np
import soundfile

from training.expect.intervals import alarms_per_hour, bootstrap_recall, wilson_interval
from training.expect.report import (
    Cell,
    Condition,
    DesignChapter,
    DetPoint,
    Error,
    ExpectChapter,
    Familiarity,
    LabelFacts,
    LabelResult,
    PrepareChapter,
    ProcessChapter,
    Report,
)

LABELS = ("bearing squeal", "belt slap", "air leak", "tool drop")
THRESHOLDS = (*(round(0.05 * step, 2) for step in range(1, 20)), 0.97, 0.98, 0.99, 0.995, 0.999)
BUDGET = 0.5


def flac(seed: int, seconds: float = 2.5) -> bytes:
    """Return a tone that dies away in noise, as FLAC."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(16_000 * seconds)) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * rng.uniform(300, 3000) * t) * np.exp(-4 * np.maximum(t - 1, 0)) * (t > 1)
    file = io.BytesIO()
    soundfile.write(file, tone + rng.normal(0, 0.01, len(t)), 16_000, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def result(label: str, skill: float, n_sounds: int, n_groups: int, hours: float, at: int = 10) -> LabelResult:
    """Return what a label of some skill (0…1) comes to."""
    det = [
        DetPoint(
            threshold=threshold,
            recall=round(n_sounds * (1 - threshold ** (1 + 6 * skill)) * (0.5 + 0.5 * skill)) / n_sounds,
            n_false_alarms=int(hours * 60 * (1.5 - skill) * math.exp(-9 * threshold)),
            hours=hours,
        )
        for threshold in THRESHOLDS
    ]
    point = det[at]
    assert point.recall is not None
    n_heard = round(point.recall * n_sounds)
    heard, groups = [i < n_heard for i in range(n_sounds)], [f"g{i % n_groups}" for i in range(n_sounds)]
    return LabelResult(
        label=label,
        threshold=point.threshold,
        n_sounds=n_sounds,
        n_groups=n_groups,
        n_heard=n_heard,
        recall=point.recall,
        recall_interval=bootstrap_recall(heard, groups) if n_groups > 1 else None,
        n_false_alarms=point.n_false_alarms,
        n_confused=1,
        hours=hours,
        alarms=alarms_per_hour(point.n_false_alarms, hours, BUDGET),
        f1=round(0.87 * point.recall, 3),
        delay_seconds=(0.17 + 0.1 * (1 - skill), 0.44 + 0.3 * (1 - skill)),
        det=det,
    )


def condition(
    name: str, *, real: bool, hours: float, labels: tuple[str, ...] = LABELS, skill: float = 0.9
) -> Condition:
    """Return a condition in which the first label is heard best."""
    results = [result(label, skill - 0.13 * i, 28 + 3 * i, 7, hours - 0.05 * i) for i, label in enumerate(labels)]
    confusion: list[tuple[str | None, str | None, int]] = []
    for i, one in enumerate(results):
        confusion += [(one.label, one.label, one.n_heard), (one.label, None, one.n_sounds - one.n_heard - 1)]
        confusion += [(one.label, labels[i - 1], 1), (None, one.label, one.n_false_alarms)]
    return Condition(
        name=name,
        kind="real" if real else "simulated",
        background="given" if real else "generated",
        hours=hours,
        n_streams=19,
        collar_seconds=0.2,
        labels=results,
        confusion=confusion,
        calibration=[
            (0.05 + 0.1 * i, round((0.05 + 0.1 * i) ** 1.4, 3), int(90_000 * math.exp(-1.1 * i)) + 17)
            for i in range(10)
        ],
    )


def matrix() -> list[Cell]:
    """Return noise × SNR at the middle, and one change at a time of room, microphone and distance."""

    def cell(noise: str, snr: float | None, rt60: float, microphone: str, metres: float | None, recall: float) -> Cell:
        n = 40
        heard = round(n * recall)
        familiarity: Familiarity = "seen"
        if noise == "street" or microphone == "far" or rt60 > 0.9:
            familiarity = "extrapolated"
        elif (snr is not None and snr < 0) or rt60 == 0.8:
            familiarity = "interpolated"
        return Cell(
            noise=noise,
            snr_db=snr,
            rt60_seconds=rt60,
            microphone=microphone,
            distance_m=metres,
            recall=heard / n,
            recall_interval=wilson_interval(heard, n),
            familiarity=familiarity,
            n_sounds=n,
        )

    cells = [cell("none", None, 0.4, "phone", 1.5, 0.97)]
    for i, noise in enumerate(("white", "babble", "home", "street")):
        cells += [
            cell(noise, snr, 0.4, "phone", 1.5, max(0.05, 0.5 + 0.024 * snr - 0.06 * i))
            for snr in (-5.0, 0.0, 10.0, 20.0)
        ]
    cells += [cell("home", 10.0, rt60, "phone", 1.5, 0.85 - 0.3 * rt60) for rt60 in (0.2, 0.8, 1.2)]
    cells += [cell("home", 10.0, 0.0, "phone", None, 0.875)]
    cells += [cell("home", 10.0, 0.4, name, 1.5, recall) for name, recall in (("laptop", 0.7), ("far", 0.4))]
    cells += [cell("home", 10.0, 0.4, "phone", metres, 0.8 - 0.08 * metres) for metres in (0.5, 3.0, 6.0)]
    return [*cells, cell("street", 0.0, 1.2, "far", 6.0, 0.1)]


def errors() -> list[Error]:
    """Return errors of all kinds, with audio of their own."""
    found = []
    for i in range(20):
        kind = ("missed", "false alarm", "confused")[i % 3]
        found.append(
            Error(
                kind=kind,  # type: ignore[arg-type]
                label=LABELS[i % 4],
                taken_for=LABELS[(i + 1) % 4] if kind == "confused" else None,
                score=round(0.93 - 0.031 * i, 3),
                stream=f"hall-{i % 5}.flac",
                seconds=17.3 + 41.7 * i,
                clip=None if kind == "false alarm" else f"{LABELS[i % 4]}/take-{i:03}.wav",
                flac=flac(i),
            )
        )
    return found


def full() -> Report:
    """Return a report that has everything."""
    band_hz = [float(hz) for hz in np.geomspace(80, 7600, 40).round()]
    return Report(
        model="workshop",
        model_sha256="4f" * 32,
        licence="CC-BY-SA-4.0",
        created_at="2026-11-22T20:41:07Z",
        command="python -m training train workshop-clips -o out --thorough",
        seconds=2817.4,
        versions={"streamd": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"},
        sources=[
            ("workshop-clips", "CC0-1.0", "ab" * 32),
            ("wesnoth-1.16-music 1:1.16.9-1", "GPL-2.0-or-later", "cd" * 32),
        ],
        prepare=PrepareChapter(
            data="/home/ada/workshop-clips",
            layout="folders",
            labels=[
                LabelFacts(
                    label=label,
                    n_clips=61 + 7 * i,
                    n_recordings=23 + i,
                    n_groups=11 - i,
                    minutes=3.47 + 0.6 * i,
                    median_seconds=0.83 + 0.31 * i,
                    median_snr_db=31.5 - 4.2 * i,
                    median_decay_seconds=None if i == 2 else 0.26 + 0.05 * i,
                    answered_by="Squeal" if i == 0 else None,
                    n_answered=19 if i == 0 else 0,
                )
                for i, label in enumerate(LABELS)
            ],
            n_groups=14,
            evidence={"column": 9, "file name": 4, "noise floor": 1},
            split="Five folds of groups: 9 groups train, 2 tune, 3 test.",
            background_minutes=62.5,
            findings=[
                "6 clips of belt slap hold nothing above 4 kHz: they were blown up from 8 kHz",
                "2 clips are copies of others by content; one of each was dropped",
            ],
            verdict="meh",
            why=[
                "14 groups are enough to test on, few to learn from",
                "air leak is heard 18 dB over its background only",
            ],
        ),
        process=ProcessChapter(
            log_mel={
                "sample_rate": 16000,
                "n_fft": 512,
                "win_length": 512,
                "hop_length": 160,
                "n_mels": 64,
                "fmin": 160.0,
                "fmax": 6400.0,
                "mel_scale": "slaney",
                "log": "db",
                "floor": 1e-7,
            },
            band_hz=band_hz,
            separability=[round(0.52 + 0.43 * math.exp(-(math.log(hz / 2100) ** 2)), 4) for hz in band_hz],
            probe="A linear probe on 160 to 6400 Hz is as often right as one on all of it: 74 against 75 of 93 clips.",
            suggestion="160 to 6400 Hz at 16000 Hz: nothing outside tells any two labels apart.",
        ),
        design=DesignChapter(
            network="vgg, 3×3, 5 blocks, 16 to 64 channels, causal",
            why=["a causal 3×3 network, five blocks deep: nine of ten events fit into its field"],
            n_parameters=91_585,
            macs_per_second=11_640_000.0,
            receptive_field_seconds=1.31,
            event_seconds=2.12,
            pooling="frame-wise: labels are strong",
            warning="Events of up to 2.12 s are longer than the receptive field of 1.31 s: their ends are heard alone.",
            n_steps=1840,
            audio_hours=13.6,
            fit_seconds=461.2,
            losses=[(step, round(0.31 * math.exp(-step / 500) + 0.037, 4)) for step in range(80, 1841, 80)],
            checkpoints=[
                {"step": step, "recall": round(0.8 - 0.7 * math.exp(-step / 400), 3), "alarms_per_hour": alarms}
                for step, alarms in ((368, 41.5), (736, 9.2), (1104, 3.1), (1472, 0.0), (1840, 0.7))
            ],
            chosen_step=1472,
            gates={
                "whole = stream": "posteriors differ by at most 3.1e-7",
                "onnxruntime, batches of 1 and 3": "4.2e-7",
                "golden answer": "posteriors from 0.03 to 0.87",
                "ten minutes": "the last minute scores like the first to 1.9e-7",
                "events": "17 of 17 identical",
            },
        ),
        expect=ExpectChapter(
            alarms_per_hour=BUDGET,
            thresholds="They were chosen on 4 groups and are reported on 3 others.",
            conditions=[
                condition("the workshop itself", real=True, hours=2.35),
                condition("unseen rooms", real=False, hours=6.4, skill=0.75),
            ],
            onset_delay_seconds=0.213,
            offset_delay_seconds=0.327,
            disjoint="3 412 files and rooms were compared by content: training and test share none.",
            errors=errors(),
            matrix=matrix(),
            learning_curve=[(2, 0.38, (0.22, 0.56)), (4, 0.57, (0.41, 0.72)), (7, 0.69, (0.55, 0.81)), (9, 0.73, None)],
            shuffled=(0.287, 0.251),
            seeds=[(0, 0.713), (1, 0.742), (2, 0.698)],
            stages=[("room", 0.19, (0.08, 0.29)), ("microphone", 0.07, (-0.02, 0.15)), ("codec", -0.011, None)],
            feasible="partly",
            level="it tells which sound it was; what a sound means for the machine it can’t know",
            verdict=[
                "bearing squeal and belt slap are heard well enough to act on",
                "air leak drowns under 0 dB SNR, and no threshold keeps the budget",
                "2.35 hours of the place can’t show 0.5 false alarms an hour: it takes 6",
            ],
            helps_most="four more hours of background from the workshop, with nobody working",
        ),
        left_out=["only one seed of three was trained: --thorough with more minutes trains the others"],
    )


def least() -> Report:
    """Return a report of a finished model with next to nothing measured: one sound, one group, no audio without it."""
    silent = LabelResult(
        label="knock",
        threshold=0.6,
        n_sounds=14,
        n_groups=1,
        n_heard=10,
        recall=10 / 14,
        recall_interval=None,
        n_false_alarms=0,
        n_confused=0,
        hours=0.0,
        alarms=alarms_per_hour(0, 0.0),
        f1=None,
        delay_seconds=None,
        det=[],
    )
    return Report(
        model="knock",
        model_sha256="00" * 32,
        licence="unknown",
        created_at="2026-11-22T20:41:07Z",
        command="python -m training expect knock.onnx clips",
        seconds=3.2,
        versions={},
        sources=[],
        prepare=None,
        process=None,
        design=None,
        expect=ExpectChapter(
            alarms_per_hour=BUDGET,
            thresholds="Those of the model; nothing was chosen.",
            conditions=[
                Condition(
                    name="generated streams",
                    kind="simulated",
                    background="generated",
                    hours=0.04,
                    n_streams=1,
                    collar_seconds=0.2,
                    labels=[silent],
                    confusion=[],
                    calibration=[],
                )
            ],
            onset_delay_seconds=0.0,
            offset_delay_seconds=0.0,
            disjoint="Nothing is known of what it was trained on.",
            errors=[],
            feasible="unknown",
            level="that it sounds",
            verdict=[],
            helps_most="sounds of other recordings",
        ),
        left_out=[],
    )
