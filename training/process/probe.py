"""A linear probe: how well a straight line through the levels of bands tells the labels, and which bands it needs.

What a probe can tell, a network can learn; what it can't tell from one range of bands and can from a wider one, lies
between them. Its test clips are of groups that it has not learnt from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from streamd.logmel import log_mel
from training.process.examples import Example, n_groups_of_rarest
from training.process.range_of_interest import RATES, RESAMPLER_ROOM, band_edges, whole_range

N_FOLDS = 5
"""As everywhere here; fewer where a label has fewer groups."""
N_RESAMPLES = 500
"""Of groups, for an interval: its ends are then good to a twentieth of its width."""
OCTAVES_HZ = (50.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16_000.0, 24_000.0)
"""Below 250 Hz two octaves and more together: they have few bands."""
LOSS = 0.03
"""Of accuracy that a lower sample rate may cost: with a hundred test clips or fewer, another split costs as much."""
STRENGTH = 0.1
"""Inverse of the penalty (scikit-learn's C): a tenth of its default, for there are more columns than clips of a
label in many a data set."""


@dataclass(frozen=True)
class Score:
    """Balanced accuracy: the mean of the labels' recalls, so that many clips of one label don't count more."""

    accuracy: float
    interval: tuple[float, float]
    """95 %, from groups drawn anew."""


@dataclass(frozen=True)
class Probe:
    """What a linear probe found."""

    n_labels: int
    """The background counts as one."""
    n_examples: int
    whole: Score
    """From all bands."""
    below_rate: dict[int, Score]
    """Sample rate: from the bands that it can hold."""
    octaves: list[tuple[float, float, Score]]
    """From low_hz to high_hz: from these bands alone."""

    @property
    def chance(self) -> float:
        """What guessing comes to."""
        return 1 / self.n_labels

    @property
    def enough_rate(self) -> int:
        """The lowest sample rate from which no more than LOSS is lost."""
        best = max(score.accuracy for score in self.below_rate.values())
        return min(rate for rate, score in self.below_rate.items() if score.accuracy >= best - LOSS)

    @property
    def sentence(self) -> str:
        """What it says of the range of interest."""
        told = f"From the levels of all bands a linear probe tells the {self.n_labels} kinds of clips in"
        told += f" {_of(self.whole)} (balanced accuracy on groups left out; chance is {self.chance:.0%})"
        if self.whole.interval[0] <= self.chance:
            return f"{told}: what tells them apart is not in their levels, or there are too few groups to see it."
        for rate, score in sorted(self.below_rate.items(), reverse=True):
            if score is not self.whole:
                told += f", in {score.accuracy:.0%} from what {rate / 1000:g} kHz can hold"
        low, high, score = max(self.octaves, key=lambda one: one[2].accuracy)
        return f"{told}; the octave that tells most alone is {low:.0f} to {high:.0f} Hz with {score.accuracy:.0%}."


def probe(examples: Sequence[Example], sample_rate: int) -> Probe | None:
    """Return what a linear probe can tell of examples at a sample rate; None where groups are too few to ask.

    It sees each band's mean level beside that of all bands (loudness is the microphone's distance), and how much the
    level moves in time.
    """
    spec = whole_range(sample_rate)
    long_enough = [one for one in examples if len(one.audio) >= spec.win_length]
    n_folds = min(N_FOLDS, n_groups_of_rarest(long_enough))
    if n_folds < 2:
        return None
    frames = [log_mel(one.audio, spec).astype(np.float64) for one in long_enough]
    labels = [str(one.label) if one.label is not None else "" for one in long_enough]
    groups = [one.group for one in long_enough]
    low_hz, high_hz = band_edges(spec)

    def scored(bands: NDArray[np.bool]) -> Score:
        return cross_validated(np.array([features_of(each[:, bands]) for each in frames]), labels, groups, n_folds)

    everything = np.ones(len(low_hz), np.bool)
    rates = [rate for rate in RATES if rate < sample_rate] + [sample_rate]
    middle_hz = (low_hz + high_hz) / 2
    octaves = [
        (low, high, bands)
        for low, high in pairwise(OCTAVES_HZ)
        if (bands := (middle_hz >= low) & (middle_hz < high)).any()
    ]
    return Probe(
        len(set(labels)),
        len(labels),
        whole := scored(everything),
        {
            rate: whole if rate == sample_rate else scored(high_hz <= rate / 2 / RESAMPLER_ROOM)
            for rate in rates
            if (high_hz <= rate / 2 / RESAMPLER_ROOM).any()
        },
        [(low, high, scored(bands)) for low, high, bands in octaves],
    )


def features_of(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the features of a clip's frames (n_frames, n_bands), shape (2 · n_bands,): mean levels and their spread.

    Levels are beside their mean over these very bands: none of the others may be seen through it.
    """
    mean = frames.mean(axis=0)
    return np.concatenate([mean - mean.mean(), frames.std(axis=0)])


def cross_validated(
    features: NDArray[np.float64], labels: Sequence[str], groups: Sequence[str], n_folds: int, seed: int = 0
) -> Score:
    """Return how well logistic regression tells the labels of rows (n_rows, n_columns) whose groups it never saw."""
    truth, guessed = np.array(labels), np.array(labels, dtype=object)
    for learn, test in StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(features, truth, groups):
        if len(set(truth[learn])) < 2:
            guessed[test] = truth[learn][0]
            continue
        line = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=500))
        guessed[test] = line.fit(features[learn], truth[learn]).predict(features[test])
    return score_of(truth == guessed.astype(truth.dtype), labels, groups, seed)


def score_of(right: NDArray[np.bool], labels: Sequence[str], groups: Sequence[str], seed: int = 0) -> Score:
    """Return the balanced accuracy of guesses, right or not (n_examples,), and its interval over groups drawn anew."""
    names, label = np.unique(np.asarray(labels), return_inverse=True)
    group_names, group = np.unique(np.asarray(groups), return_inverse=True)
    n_right = np.zeros((len(group_names), len(names)))
    n_all = np.zeros_like(n_right)
    np.add.at(n_right, (group, label), right)
    np.add.at(n_all, (group, label), 1)
    drawn = np.random.default_rng(seed).integers(len(group_names), size=(N_RESAMPLES, len(group_names)))
    with np.errstate(invalid="ignore"):
        recalls = n_right[drawn].sum(axis=1) / n_all[drawn].sum(axis=1)
    # A draw may lack a label: it is left out of that draw's mean.
    low, high = np.percentile(np.nanmean(recalls, axis=1), [2.5, 97.5])
    accuracy = float(np.mean(n_right.sum(axis=0) / n_all.sum(axis=0)))
    if low == high:  # all right, or all wrong: then Wilson's, with each group counted once
        n_groups = len(group_names)
        interval = binomtest(n_groups if right.all() else 0, n_groups).proportion_ci(0.95, "wilson")
        low, high = min(interval.low, accuracy), max(interval.high, accuracy)
    return Score(accuracy, (float(low), float(high)))


def _of(score: Score) -> str:
    return f"{score.accuracy:.0%} ({score.interval[0]:.0%} to {score.interval[1]:.0%})"
