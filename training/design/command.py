"""`python -m training design DATA`: which network, how deep, at which cost, and why; nothing is trained."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from streamd.errors import DataError
from streamd.logmel import LogMelSpec
from training.design.choose import choose_network, cost_of, pooling_of, wanted
from training.design.receptive_field import PERCENTILE, seconds_seen
from training.design.targets import least_seconds
from training.design.vgg import CHANNELS, layers
from training.prepare.data_set import read_data
from training.prepare.labels import LabelRecipe
from training.prepare.simulation.material import Sound
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.sounds import sounds_of
from training.prepare.trim import Trim


def design(
    data: Path,
    layout: str | None = None,
    spec: LogMelSpec | None = None,
    *,
    labels: LabelRecipe | None = None,
    trim: Trim | None = None,
    recipe: Recipe | None = None,
    network: str | None = None,
    n_blocks: int | None = None,
) -> Iterator[str]:
    """Yield what network a data set asks for, line by line.

    Raises:
        DataError: nothing can be trained on it, or all of it is silent.
        RecordingError: a recording can't be read.
    """
    found = read_data(data, layout, labels)
    n_clips = Counter(clip.label for clip in found.clips if clip.label is not None)
    want = wanted(min(n_clips.values(), default=0), spec, network, n_blocks)
    spec = want.spec
    sounds = sounds_of(found.clips, spec.sample_rate, trim)
    if not sounds:
        raise DataError(f"{data}: no clip has a sound in it; expected clips that are not silent")
    lengths = _lengths(sounds, spec.sample_rate)
    every = [seconds for of_label in lengths.values() for seconds in of_label]
    chosen = choose_network(every, spec, len(lengths), want.name, want.n_blocks, want.reason)
    yield f"{data}: {len(sounds)} sounds in {len(found.clips)} clips, read as {found.layout}"
    yield from _of_lengths(lengths)
    yield from _of_fields(spec, chosen.depth.event_seconds)
    yield f"\nnetwork: {chosen.name}, because {'; '.join(chosen.why)}"
    if chosen.depth.warning:
        yield f"warning: {chosen.depth.warning}"
    yield from _of_pooling(sounds, spec.sample_rate, recipe)
    cost = cost_of(chosen.network, spec)
    yield (
        f"\n{cost.n_parameters:,} parameters, {cost.macs_per_second / 1e6:.1f} M MAC for a second of audio, "
        f"{cost.n_state:,} numbers of state for each source"
    )
    hop_ms, torch_ms = 1000 * cost.hop_seconds, 1000 * cost.seconds_per_hop
    yield (
        f"a hop of {hop_ms:.0f} ms takes {torch_ms:.2f} ms of torch, {torch_ms / hop_ms:.1%} of a core here; "
        "onnxruntime takes less"
    )
    yield f"scenes to train it on are {least_seconds(chosen.network, spec):.1f} s or longer: three receptive fields"


def _lengths(sounds: Sequence[Sound], sample_rate: int) -> dict[str, list[float]]:
    lengths: defaultdict[str, list[float]] = defaultdict(list)
    for sound in sounds:
        lengths[sound.label].append(len(sound.audio) / sample_rate)
    return dict(sorted(lengths.items()))


def _of_lengths(lengths: dict[str, list[float]]) -> Iterator[str]:
    yield f"\n{'label':<28}{'sounds':>7}{'shortest s':>12}{'median s':>10}{f'{PERCENTILE} % s':>9}{'longest s':>11}"
    for label, seconds in lengths.items():
        median, high = np.percentile(seconds, [50, PERCENTILE])
        yield f"{label:<28}{len(seconds):>7}{min(seconds):>12.2f}{median:>10.2f}{high:>9.2f}{max(seconds):>11.2f}"


def _of_fields(spec: LogMelSpec, event_seconds: float) -> Iterator[str]:
    fields = [seconds_seen(layers(n), spec) for n in range(1, len(CHANNELS) + 1)]
    yield "\na vgg of 1, 2, 3 … blocks sees " + ", ".join(f"{seconds:.2f}" for seconds in fields) + " s"
    yield f"nine events in ten last at most {event_seconds:.2f} s"


def _of_pooling(sounds: Sequence[Sound], sample_rate: int, recipe: Recipe | None) -> Iterator[str]:
    """Yield how sparse each label is in scenes, and what follows."""
    for label, choice in pooling_of(sounds, sample_rate, recipe).items():
        share = "no scene holds it" if choice.share_on is None else f"on for {choice.share_on:.0%} of its scenes"
        yield f"{label}: {share}; pooling {choice.pooling} ({choice.reason})"
