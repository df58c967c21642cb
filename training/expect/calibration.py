"""Can a posterior be read as a chance? Reliability, expected calibration error, Brier score, hop by hop.

Most hops of a long stream are silent and rightly near 0, and they outweigh all others in any mean over hops. So the
reliability of the upper bins says whether "0.8" means eight times of ten; the two numbers only compare models on the
same streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamd.manifest import Manifest
from training.expect.event_match import collar
from training.expect.play import Played

N_BINS = 10
"""As in most papers and plots: tenths are what a person reads off a posterior."""


@dataclass(frozen=True)
class Bin:
    """Hops whose posteriors are about the same."""

    low: float
    high: float
    """Posteriors from low up to but without high; the last bin includes 1."""
    n_hops: int
    mean_posterior: float | None
    """None in an empty bin, as is the next."""
    share_present: float | None
    """In which part of the hops the sound was there: equal to mean_posterior where the model is calibrated."""


@dataclass(frozen=True)
class Calibration:
    """How posteriors of one label relate to whether the sound was there."""

    bins: tuple[Bin, ...]
    expected_error: float
    """Mean distance of the two in a bin, weighted by hops (ECE; Naeini, Cooper and Hauskrecht, AAAI 2015), 0…1."""
    brier: float
    """Mean squared distance of posterior and truth, 0…1 (Brier 1950); always saying 0.5 gives 0.25."""


def hops_of(played: Sequence[Played], manifest: Manifest, label: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the posteriors of a label and whether it was there, each (n_hops,), all streams in a row.

    A hop speaks of the audio a delay before its end (the manifest's onset_delay and offset_delay). Hops within the
    collar of an onset or offset are left out: what they looked at was both.
    """
    column = manifest.labels.index(label)
    margin = collar(manifest.hop_seconds)
    onset_delay, offset_delay = (n / manifest.sample_rate for n in (manifest.onset_delay, manifest.offset_delay))
    posteriors, present = [], []
    for one in played:
        is_there, unsure = (np.zeros(len(one.end_seconds), np.bool_) for _ in range(2))
        for sound in one.stream.sounds:
            if sound.label == label:
                begin, end = sound.onset_seconds + onset_delay, sound.offset_seconds + offset_delay
                is_there |= (begin <= one.end_seconds) & (one.end_seconds <= end)
                for edge in (begin, end):
                    unsure |= np.abs(one.end_seconds - edge) < margin
        posteriors.append(one.posteriors[~unsure, column].astype(np.float64))
        present.append(is_there[~unsure])
    return np.concatenate([np.zeros(0), *posteriors]), np.concatenate([np.zeros(0, np.bool_), *present])


def calibration(posteriors: NDArray[np.float64], present: NDArray[np.bool_], n_bins: int = N_BINS) -> Calibration:
    """Return reliability in bins of equal width, expected calibration error and Brier score.

    Args:
        posteriors: shape (n,), 0…1.
        present: whether the sound was there, shape (n,).
        n_bins: number of bins from 0 to 1.

    Raises:
        ValueError: no posteriors, another number of truths, or a posterior outside 0…1.
    """
    if posteriors.shape != present.shape or posteriors.size == 0:
        raise ValueError(f"{posteriors.size} posteriors and {present.size} truths; expected as many of both, and some")
    if not ((posteriors >= 0) & (posteriors <= 1)).all():
        raise ValueError(f"posteriors from {posteriors.min()} to {posteriors.max()}; expected 0 to 1")
    edges = np.arange(n_bins + 1) / n_bins
    which = np.minimum(np.searchsorted(edges, posteriors, "right") - 1, n_bins - 1)
    n_hops = np.bincount(which, minlength=n_bins)
    sum_posterior = np.bincount(which, posteriors, n_bins)
    n_present = np.bincount(which, present, n_bins)
    return Calibration(
        bins=tuple(
            Bin(
                low=float(edges[i]),
                high=float(edges[i + 1]),
                n_hops=int(n),
                mean_posterior=float(sum_posterior[i] / n) if n else None,
                share_present=float(n_present[i] / n) if n else None,
            )
            for i, n in enumerate(n_hops)
        ),
        expected_error=float(np.abs(sum_posterior - n_present).sum() / len(posteriors)),
        brier=float(np.mean((posteriors - present) ** 2)),
    )
