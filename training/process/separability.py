"""How well each band of the network's own log-mel tells sound from background, and label from label, by its level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamd.logmel import LogMelSpec, log_mel, tables
from training.process.examples import Example, by_label
from training.process.range_of_interest import areas, pairs


def centre_hz(spec: LogMelSpec) -> NDArray[np.float64]:
    """Return the frequency of the middle of each mel band in Hz, (n_mels,)."""
    mel = tables(spec).mel.astype(np.float64)
    hz = np.arange(len(mel)) * spec.sample_rate / spec.n_fft
    centre: NDArray[np.float64] = hz @ mel / mel.sum(axis=0)
    return centre


def separability(examples: Sequence[Example], spec: LogMelSpec) -> NDArray[np.float64] | None:
    """Return for each band the chance that its level puts two clips of different kinds in order, (n_mels,), 0.5 to 1.

    The area under the ROC curve, whichever way round, averaged over all pairs of kinds: labels, and each label with
    the background. Not label against label inside of one band only: a band that tells one pair of many has little.

    Args:
        examples: clips of labels and of background, at the spec's sample rate.
        spec: the log-mel whose bands are asked.

    Returns:
        None where there is one kind only.
    """
    levels = {
        kind: np.array([_level(clip, spec) for clip in clips if len(clip) >= spec.win_length])
        for kind, clips in by_label(examples).items()
    }
    kinds: list[str | None] = [
        *sorted(kind for kind in levels if kind is not None),
        *([None] if None in levels else []),
    ]
    compared = [(first, second) for first, second in pairs(kinds) if len(levels[first]) and len(levels[second])]
    if not compared:
        return None
    chances = np.array([areas(levels[first], levels[second]) for first, second in compared])
    mean: NDArray[np.float64] = np.maximum(chances, 1 - chances).mean(axis=0)
    return mean


def _level(clip: NDArray[np.float32], spec: LogMelSpec) -> NDArray[np.float64]:
    """Return the mean of each band over a clip, (n_mels,), in the spec's own logarithm: what a network gets to see."""
    mean: NDArray[np.float64] = log_mel(clip, spec).astype(np.float64).mean(axis=0)
    return mean
