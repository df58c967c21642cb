"""Which settings of a fit help where training never was? `python -m examples.one_fault.compare_settings NAME…`

Each of VARIANTS and NETWORKS is fitted on the training groups of examples-data/one-fault for as many steps, with
several seeds, and heard on the test groups: recordings, and scenes of other rooms, noises and another microphone.
Printed is the recall at thresholds that keep some budgets of false alarms on these very streams: what settings are told
apart by, and no promise. One fit takes about two minutes of a core.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamd.logmel import LogMelSpec
from streamd.model import Model
from training.design.choose import choose_network
from training.design.fit_pretrained import MOST_SCENES
from training.design.fit_settings import FitSettings
from training.design.yamnet_layers import LOG_MEL
from training.expect.det import choose_within, det
from training.expect.play import LabelledStream, play
from training.expect.streams import negative_streams, real_streams, simulated_streams
from training.lesson import HowLong, School, learn
from training.prepare.data_set import read_data
from training.prepare.groups import find_groups
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.sounds import sounds_of
from training.prepare.simulation.workers import Workers
from training.prepare.split import Split, split
from training.prepare.trim import Trim
from training.process.augmentation.filter_augment import FilterAugment
from training.process.augmentation.mixup import Mixup
from training.process.augmentation.spec_augment import SpecAugment

DATA = Path(__file__).resolve().parents[2] / "examples-data" / "one-fault"
CACHE = Path.home() / ".cache" / "streamd" / "rooms"
SPEC = LogMelSpec()
STREAM_SECONDS = 900.0
BUDGETS = (2.0, 8.0, 32.0)
"""False alarms an hour: at less, half an hour of streams tells no two settings apart."""
NETWORKS = {"pretrained": ("pretrained", LOG_MEL), "crnn": ("crnn", SPEC), "vgg": ("vgg", SPEC)}
"""Other networks: name, log-mel. A pretrained one hears as many scenes in a tenth of the steps."""
THRESHOLDS = tuple(float(1 / (1 + np.exp(-x))) for x in np.arange(-3, 9.1, 0.25))

PLAIN: dict[str, Any] = {"target_delay_seconds": 0.0, "spec_augment": None}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "frames alone": PLAIN | {"scene_weight": 0.0},
    "half negatives": PLAIN | {"negative_share": 0.5},
    "80 ms later": PLAIN | {"target_delay_seconds": 0.08},
    "160 ms later": PLAIN | {"target_delay_seconds": 0.16},
    "SpecAugment": PLAIN | {"spec_augment": SpecAugment()},
    "FilterAugment": PLAIN | {"filter_augment": FilterAugment()},
    "mixup": PLAIN | {"mixup": Mixup()},
    "SpecAugment, 80 ms later": {},
}


def heard(name: str, parts: Split, seed: int, n_steps: int, workers: Workers) -> dict[str, list[float]]:
    """Fit once and return the recall within each budget, on recordings and on scenes."""
    settings = replace(FitSettings(n_steps=n_steps), **VARIANTS.get(name, PLAIN))
    network, spec = NETWORKS.get(name, (None, SPEC))
    n_steps = min(n_steps, MOST_SCENES // settings.batch) if network == "pretrained" else n_steps
    labels = tuple(sorted({clip.label for clip in parts.training if clip.label is not None}))
    lengths = [len(sound.audio) / spec.sample_rate for sound in sounds_of(parts.training, spec.sample_rate)]
    school = School(
        name="compared",
        licence="",
        training={},
        labels=labels,
        spec=spec,
        recipe=Recipe(),
        trim=Trim(),
        settings=settings,
        network=lambda: choose_network(lengths, spec, len(labels), network).network,
        workers=workers,
        cache=CACHE,
        alarms_per_hour=0.5,
        event_seconds=float(np.percentile(lengths, 90)),
        stream_seconds=STREAM_SECONDS,
    )
    with tempfile.TemporaryDirectory() as folder:
        lesson = learn(
            school, parts.training, Path(folder) / "compared.onnx", how_long=HowLong(n_steps=n_steps), seed=seed
        )
        model = lesson.model()
        unseen = school.never_drawn(parts.test)
        nothing = negative_streams(unseen, STREAM_SECONDS, workers=workers)
        streams = {
            "recordings": [*real_streams(parts.test, spec.sample_rate, school.lead_seconds), *nothing],
            "scenes": [*simulated_streams(unseen, STREAM_SECONDS, school.lead_seconds, workers=workers), *nothing],
        }
        return {name: recalls(model, some, labels[0]) for name, some in streams.items()}


def recalls(model: Model, streams: Sequence[LabelledStream], label: str) -> list[float]:
    """Return the recall within each budget of false alarms."""
    points = det(play(model, streams), model.manifest, label, THRESHOLDS)
    chosen = [choose_within(points, budget * points[0].hours) for budget in BUDGETS]
    return [0.0 if point is None or point.recall is None else point.recall for point in chosen]


def main() -> None:
    """Fit, hear, print a table row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", default=[*VARIANTS, *NETWORKS], help=f"of: {', '.join([*VARIANTS, *NETWORKS])}"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=1000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    [parts, *_] = split(find_groups(read_data(DATA).clips))
    columns = [f"{where}, {budget:g} an hour" for where in ("recordings", "scenes") for budget in BUDGETS]
    print("| settings |", " | ".join(columns), "|\n|---" + "|---" * len(columns) + "|", flush=True)
    with Workers(1) as workers:
        for name in given.names:
            of_seeds = [heard(name, parts, seed, given.steps, workers) for seed in given.seeds]
            cells = [
                " ".join(f"{one[where][i]:.2f}" for one in of_seeds)
                for where in ("recordings", "scenes")
                for i in range(len(BUDGETS))
            ]
            print(f"| {name} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
