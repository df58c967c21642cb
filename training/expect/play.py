"""Labelled streams, played once through the daemon's detector: its posteriors at every hop, and its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamd.detector import Detection, Detector
from streamd.model import Model
from training.expect.event_match import Sound

BLOCK_SECONDS = 60.0
"""Audio handed over at once: hours of frames never lie in memory together."""


@dataclass(frozen=True)
class LabelledStream:
    """A long recording or a simulated one, of which it is known what sounds where."""

    name: str
    """No two streams that are played together have the same."""
    samples: NDArray[np.int16] | NDArray[np.float32]
    """Shape (n_samples,), at the model's sample rate; float32 in [-1, 1). A mapped file will do."""
    sounds: tuple[Sound, ...]
    """Everything in it that has one of the model's labels; empty where it is background."""
    group: str | None = None
    """What it depends on: recording, place, kit. No split cuts a group; None: a group of its own."""


@dataclass(frozen=True)
class Played:
    """What the detector made of one stream."""

    stream: LabelledStream
    posteriors: NDArray[np.float32]
    """Shape (n_hops, n_labels), all labels of the model, from the first hop after the warm-up on."""
    end_seconds: NDArray[np.float64]
    """Up to where each hop had heard, shape (n_hops,)."""
    events: tuple[Sound, ...]
    """By the model's own decisions, in the order of publication; published_seconds is set."""

    @property
    def group(self) -> str:
        """The stream's group, or its own name where it has none."""
        return self.stream.group or self.stream.name


def play(model: Model, streams: Sequence[LabelledStream]) -> list[Played]:
    """Play streams through a model, one after the other, as replay does; every run of the network is made once.

    Raises:
        ValueError: two streams have one name, or a sound has a label that the model doesn't have.
    """
    names = [stream.name for stream in streams]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"several streams are called {', '.join(twice)}; every stream needs a name of its own")
    labels = model.manifest.labels
    strangers = sorted({sound.label for stream in streams for sound in stream.sounds} - set(labels))
    if strangers:
        raise ValueError(f"sounds are labelled {', '.join(strangers)}; {model.manifest.name} has {', '.join(labels)}")
    return [_play(model, stream) for stream in streams]


def _play(model: Model, stream: LabelledStream) -> Played:
    facts = model.manifest
    detector = Detector(model, {label: facts.decision_of(label) for label in facts.labels})
    detector.start(stream.name)
    posteriors: list[NDArray[np.float32]] = []
    ends: list[float] = []
    onsets: list[tuple[Detection, float]] = []
    offsets: dict[int, int] = {}

    def note(detections: Sequence[Detection]) -> None:
        for one in detections:
            if one.offset_sample is None:
                onsets.append((one, ends[-1]))
            else:
                offsets[one.number] = one.offset_sample

    block = round(BLOCK_SECONDS * facts.sample_rate)
    for begin in range(0, len(stream.samples), block):
        detector.push(stream.name, stream.samples[begin : begin + block])
        for hop in detector.step():
            posteriors.append(hop.posteriors)
            ends.append(hop.end_sample / facts.sample_rate)
            note(hop.detections)
    note(detector.flush())
    return Played(
        stream=stream,
        posteriors=np.array(posteriors, np.float32).reshape(-1, len(facts.labels)),
        end_seconds=np.array(ends, np.float64),
        events=tuple(
            Sound(one.label, one.onset_sample / facts.sample_rate, offsets[one.number] / facts.sample_rate, published)
            for one, published in onsets
        ),
    )
