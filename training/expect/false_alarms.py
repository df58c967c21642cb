"""Plays hours of audio through a model and the daemon's own decision, and counts what it reports."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamd.decision import Decision, DecisionSpec, Edge
from streamd.logmel import log_mel
from streamd.model import Model
from training.prepare.negatives import Stream

BATCH = 16
"""Windows in one run of the network: more are no faster on a CPU."""

Floats = NDArray[np.float32]


def posteriors(model: Model, stream: Stream, cache: Path) -> Floats:
    """Return a window model's posteriors at every hop of a stream, (n_hops, n_labels): the detector's very numbers.

    They are kept in the cache under a checksum of the model's golden answer and of the audio.
    """
    golden = model.manifest.golden
    digest = hashlib.sha256(golden.log_mel + golden.posterior + stream.samples().tobytes())
    file = cache / "posteriors" / f"{model.manifest.name}-{stream.name}-{digest.hexdigest()[:16]}.npy"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.concatenate(list(_runs(model, stream.samples()))))
    result: Floats = np.load(file, mmap_mode="r")
    return result


def _runs(model: Model, samples: NDArray[np.int16]) -> Iterator[Floats]:
    facts = model.manifest
    if facts.log_mel is None or facts.kind != "window":
        raise ValueError(f"{facts.name} is a {facts.kind} of {facts.input}; expected a window of log_mel")
    # As the detector does, the grid starts where the hops fall on multiples of hop_samples.
    frames = log_mel(samples[facts.lead_samples :], facts.log_mel)
    windows = np.lib.stride_tricks.sliding_window_view(frames, facts.n_frames, axis=0)[:: facts.hop_frames]
    for begin in range(0, len(windows), BATCH):
        yield model.run(np.ascontiguousarray(windows[begin : begin + BATCH].transpose(0, 2, 1)))[0]


def count_onsets(streams: Sequence[Floats], specs: Sequence[DecisionSpec], hop_seconds: float) -> NDArray[np.int64]:
    """Return how many onsets each stream gives for each spec, (n_streams, n_specs).

    Args are those of `onsets`.
    """
    counts = np.zeros((len(streams), len(specs)), np.int64)
    for edge, _ in onsets(streams, specs, hop_seconds):
        counts[edge.row, edge.label] += 1
    return counts


def onsets(
    streams: Sequence[Floats],
    specs: Sequence[DecisionSpec],
    hop_seconds: float,
    columns: NDArray[np.intp] | None = None,
) -> Iterator[tuple[Edge, int]]:
    """Yield every onset and the hop that published it: the daemon's decision on posteriors made before.

    Args:
        streams: posteriors of each stream, (n_hops, n_columns).
        specs: the decisions.
        hop_seconds: seconds between two decisions.
        columns: which column each spec decides, (n_specs,); None: as many columns as specs, in one order.
    """
    decision = Decision(specs, hop_seconds)
    for _ in streams:
        decision.add_row()
    lengths = np.array([len(stream) for stream in streams])
    for hop in range(int(lengths.max(initial=0))):
        rows = np.nonzero(lengths > hop)[0]
        posteriors = np.stack([streams[int(row)][hop] for row in rows])
        _, edges = decision.step(rows, posteriors if columns is None else posteriors[:, columns])
        for edge in edges:
            if edge.is_onset:
                yield edge, hop


def lowest_within(n_events: NDArray[np.int64], most: float) -> int:
    """Return the lowest threshold's index from which on all have at most so many events; their number if none has.

    Args:
        n_events: events at each threshold, thresholds rising: counts needn't fall with the threshold.
        most: events allowed.
    """
    [too_many] = np.nonzero(n_events > most)
    return int(too_many[-1]) + 1 if len(too_many) else 0
