"""The control: trained on shuffled labels, a model must know nothing. If it does, something but the labels tells.

Whole groups are shuffled: clips of one group and label get one label together, as what a network could tell them by
without having learned the sound, their room and their recorder, they have together.

With one label there is nothing to shuffle it with but background: stretches of it, as long as the sounds, change
places with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.expect.intervals import LEVEL, N_RESAMPLES
from training.prepare.audio import seconds_of
from training.prepare.clips import Clip
from training.prepare.simulation.chance import generator

LEAST_UNITS = 2
"""Groups of a label, so that each label is spread over others."""

Fit = Callable[[Sequence[Clip]], NDArray[np.floating]]
"""Trains on clips and returns the highest posterior of each label in each held-out clip, (n_clips, n_labels), labels
sorted by name."""


@dataclass(frozen=True)
class Shuffled:
    """What a model trained on shuffled labels still knows."""

    average_precision: float
    """Of the held-out clips with their true labels, mean over labels."""
    chance: float
    """What scores that know nothing come to: the mean over true labels shuffled in the same way."""
    most_by_chance: float
    """Of those, the 97.5th percentile."""

    @property
    def leaks(self) -> bool:
        """Whether more than chance is left."""
        return self.average_precision > self.most_by_chance

    @property
    def sentence(self) -> str:
        """What follows."""
        found = (
            f"Trained on shuffled labels, the average precision is {self.average_precision:.2f}; chance gives"
            f" {self.chance:.2f}, and up to {self.most_by_chance:.2f}"
        )
        if self.leaks:
            return (
                f"{found}: something leaks. The labels can be told without having been learned; look for clips of one"
                " recording in two groups, and for what differs between labels beside the sound: level, length, rate."
            )
        return f"{found}: it fell to chance, as it must where nothing leaks."

    def as_reported(self) -> tuple[float, float]:
        """Return average precision and chance, as report.json has them."""
        return self.average_precision, self.chance


def shuffled_control(training: Sequence[Clip], held_out: Sequence[Clip], fit: Fit, seed: int = 0) -> Shuffled:
    """Fit once on shuffled labels, and compare what is left with chance.

    Args:
        training: clips with their groups as source, as `comparable` returns them.
        held_out: the same of other groups, in the order in which the fit returns their posteriors.
        fit: see Fit.
        seed: of the shuffling.

    Raises:
        ValueError: there is nothing to shuffle with, or the fit returned another number of posteriors.
    """
    labels = sorted({clip.label for clip in training if clip.label is not None})
    posteriors = np.asarray(fit(shuffled(training, seed)), np.float64)
    if posteriors.shape != (len(held_out), len(labels)):
        raise ValueError(
            f"posteriors of shape {posteriors.shape}; expected one for each of {len(held_out)} clips and"
            f" {len(labels)} labels"
        )
    units = _units(held_out, with_background=len(labels) == 1)
    true = [label for label, _ in units]

    def precision(label_of_unit: Sequence[str | None]) -> float:
        """Return the mean average precision if each unit had this label."""
        truth = np.zeros(posteriors.shape, np.bool_)
        for members, label in zip(units.values(), label_of_unit, strict=True):
            if label is not None:
                truth[members, labels.index(label)] = True
        judged = np.concatenate(list(units.values()))
        there = np.flatnonzero(truth.any(axis=0))
        scores = [average_precision(truth[judged, i], posteriors[judged, i]) for i in there]
        return float(np.mean(scores))

    rng = generator(seed, "shuffled", "chance")
    by_chance = [precision([true[i] for i in rng.permutation(len(true))]) for _ in range(N_RESAMPLES)]
    most = float(np.percentile(by_chance, 50 * (1 + LEVEL)))
    return Shuffled(precision(true), float(np.mean(by_chance)), most)


def comparable(clips: Sequence[Clip], seed: int = 0) -> list[Clip]:
    """Return clips that labels can be shuffled between.

    With several labels they are the same. With one, background is cut into as many stretches as there are sounds, as
    long as a sound (the median), each a group of its own.

    Raises:
        ValueError: there is one label, and no background.
    """
    sounding = [clip for clip in clips if clip.label is not None]
    background = [clip for clip in clips if clip.label is None]
    if len({clip.label for clip in sounding}) > 1:
        return list(clips)
    if not sounding or not background:
        raise ValueError("one label and no background: there is nothing to shuffle it with; add recordings without it")
    seconds = float(np.median([seconds_of(clip) for clip in sounding]))
    lengths = np.array([seconds_of(clip) for clip in background])
    places = [(i, k) for i, length in enumerate(lengths) for k in range(max(1, int(length / seconds)))]
    drawn = generator(seed, "shuffled", "stretches").permutation(len(places))[: len(sounding)]
    stretches = []
    for i, k in sorted(places[one] for one in drawn):
        clip = background[i]
        onset = (clip.onset_seconds or 0.0) + k * seconds
        offset = onset + min(seconds, float(lengths[i]))
        source = f"{_group(clip)} from {onset:.2f} s"
        stretches.append(replace(clip, onset_seconds=onset, offset_seconds=offset, source=source))
    return [*sounding, *stretches]


def shuffled(clips: Sequence[Clip], seed: int = 0) -> list[Clip]:
    """Return clips with the labels of other groups, each label spread evenly over all of them.

    Evenly, because with few groups chance alone would give one label most of its own clips back. Background takes part
    only where there is one label.

    Raises:
        ValueError: there is nothing to shuffle a label with, or it has one group.
    """
    n_labels = len({clip.label for clip in clips} - {None})
    of_label: dict[str | None, list[str]] = {}
    for label, group in _units(clips, with_background=n_labels == 1):
        of_label.setdefault(label, []).append(group)
    fewest = min((len(groups) for groups in of_label.values()), default=0)
    if len(of_label) < 2 or fewest < LEAST_UNITS:
        raise ValueError(
            f"{len(of_label)} label(s), background counted where there is but one, and {fewest} group(s) of the rarest;"
            f" labels can be shuffled between two of {LEAST_UNITS} groups each"
        )
    labels = sorted(of_label, key=str)
    rng = generator(seed, "shuffled", "labels")
    new: dict[tuple[str | None, str], str | None] = {}
    for label in labels:
        order = rng.permutation(sorted(of_label[label])).tolist()
        begin = int(rng.integers(len(labels)))
        new |= {(label, group): labels[(begin + i) % len(labels)] for i, group in enumerate(order)}
    return [replace(clip, label=new.get((clip.label, _group(clip)), clip.label)) for clip in clips]


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Return the mean precision at each true one of scores (n,), from the highest down; equal scores count together.

    As scikit-learn has it, without checks that cost more than the work does in a thousand draws.
    """
    falling = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[falling])), len(scores) - 1)
    n_true = np.cumsum(truth[falling])[last]
    return float(np.sum(np.diff(n_true, prepend=0) * n_true / (last + 1)) / n_true[-1])


def _units(clips: Sequence[Clip], with_background: bool) -> dict[tuple[str | None, str], list[int]]:
    """Return the clips of each label in each group, as indices."""
    units: dict[tuple[str | None, str], list[int]] = {}
    for i, clip in enumerate(clips):
        if clip.label is not None or with_background:
            units.setdefault((clip.label, _group(clip)), []).append(i)
    return units


def _group(clip: Clip) -> str:
    return clip.source or str(clip.path)
