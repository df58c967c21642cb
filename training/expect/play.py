"""Labelled streams, played once through the daemon's detector: its posteriors at every hop, and its events.

What was played can be decided anew: the same posteriors, other decisions or delays, the same detector.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamd.decision import DecisionSpec
from streamd.detector import MAX_BATCH, Detection, Detector
from streamd.manifest import Manifest
from streamd.model import Model
from training.expect.event_match import Sound

BLOCK_SECONDS = 60.0
"""Audio handed over at once: hours of frames never lie in memory together."""
AT_ONCE = 16
"""Streams that are heard side by side, as sources are: their rows share the runs of the network."""


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
    """Play streams through a model as the daemon hears sources; every run of the network is made once.

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
    found: list[Played] = []
    for begin in range(0, len(streams), AT_ONCE):
        some = streams[begin : begin + AT_ONCE]
        found += _play(
            Detector(model, _all_labels(model.manifest)),
            some,
            [_blocks(one.samples, model.manifest.sample_rate) for one in some],
        )
    return found


def decide(played: Sequence[Played], manifest: Manifest) -> list[Played]:
    """Return what was played with the events that another manifest gives: its decisions, its delays.

    The posteriors stay as they are, so no network runs; the events are the detector's own, as in `play`.

    Args:
        played: by the same model, or by others of its labels and hop, with whatever decisions; every stream keeps its
            times, whatever warm-up the manifest has.
        manifest: of that model, but for decisions and delays.
    """
    # Where a model begins to be believed may have been measured: models of one training differ in it.
    by_first: dict[int, list[int]] = {}
    for i, one in enumerate(played):
        first = round(one.end_seconds[0] * manifest.sample_rate) if len(one.posteriors) else 0
        by_first.setdefault(max(first, manifest.hop_samples), []).append(i)
    found = list(played)
    for first, which in by_first.items():
        for begin in range(0, len(which), AT_ONCE):
            some = which[begin : begin + AT_ONCE]
            echo = _Echo([played[i].posteriors for i in some], manifest, first)
            facts = echo.manifest
            detector = Detector(cast(Model, echo), _all_labels(facts), MAX_BATCH, lambda *_, echo=echo: echo)
            again = _play(detector, [played[i].stream for i in some], echo.blocks())
            for i, one in zip(some, again, strict=True):
                found[i] = one
    return found


class _Echo:
    """Stands in for a model and its rows in a detector: says again what the model said to each stream, hop after hop.

    A stream is known by its row, and its hop by its age.
    """

    def __init__(self, said: Sequence[NDArray[np.float32]], facts: Manifest, first_samples: int) -> None:
        hop = facts.hop_samples
        # The first score comes where it came: all hops before it are warm-up.
        self.manifest = msgspec.structs.replace(
            facts,
            kind="stream",
            input="samples",
            log_mel=None,
            n_frames=hop,
            hop_frames=hop,
            warmup_frames=first_samples,
            n_state=1,
            initial_state=b"",
            max_batch=None,
        )
        self._said = said

    def blocks(self) -> list[Iterator[NDArray[np.int16]]]:
        """Return what to push for each stream: as many samples as give its hops."""
        hop, first = self.manifest.hop_samples, self.manifest.first_score_samples
        lengths = [first + (len(one) - 1) * hop if len(one) else 0 for one in self._said]
        return [self._silence(n_samples) for n_samples in lengths]

    def _silence(self, n_samples: int) -> Iterator[NDArray[np.int16]]:
        most = round(BLOCK_SECONDS * self.manifest.sample_rate)
        for begin in range(0, n_samples, most):
            yield np.zeros(min(most, n_samples - begin), np.int16)

    def join(self, row: int) -> None:
        """Any row is known."""

    def run(self, rows: NDArray[np.intp], samples: NDArray[np.float32], ages: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the posteriors of each row's next hop, shape (n_rows, n_labels)."""
        del samples
        hops = np.maximum(0, ages - self.manifest.n_warmup_hops)
        return np.stack([self._said[row][hop] for row, hop in zip(rows, hops, strict=True)])


def _all_labels(facts: Manifest) -> dict[str, DecisionSpec]:
    return {label: facts.decision_of(label) for label in facts.labels}


def _blocks(
    samples: NDArray[np.int16] | NDArray[np.float32], rate: int
) -> Iterator[NDArray[np.int16] | NDArray[np.float32]]:
    n = round(BLOCK_SECONDS * rate)
    return (samples[begin : begin + n] for begin in range(0, len(samples), n))


def _play(
    detector: Detector,
    streams: Sequence[LabelledStream],
    blocks: Sequence[Iterable[NDArray[np.int16] | NDArray[np.float32]]],
) -> list[Played]:
    """Play streams side by side, each in its blocks."""
    facts = detector.model.manifest
    sources = [str(i) for i in range(len(streams))]
    posteriors: dict[str, list[NDArray[np.float32]]] = {source: [] for source in sources}
    ends: dict[str, list[float]] = {source: [] for source in sources}
    onsets: dict[str, list[tuple[Detection, float]]] = {source: [] for source in sources}
    offsets: dict[int, Detection] = {}

    def note(detections: Sequence[Detection]) -> None:
        for one in detections:
            if one.offset_sample is None:
                onsets[one.source].append((one, ends[one.source][-1]))
            else:
                offsets[one.number] = one

    for source in sources:
        detector.start(source)
    for together in zip_longest(*blocks):
        for source, block in zip(sources, together, strict=True):
            if block is not None:
                detector.push(source, block)
        for hop in detector.step():
            posteriors[hop.source].append(hop.posteriors)
            ends[hop.source].append(hop.end_sample / facts.sample_rate)
            note(hop.detections)
    note(detector.flush())
    return [
        Played(
            stream=stream,
            posteriors=np.array(posteriors[source], np.float32).reshape(-1, len(facts.labels)),
            end_seconds=np.array(ends[source], np.float64),
            events=tuple(
                _event(onset, offsets[onset.number], published, facts.sample_rate)
                for onset, published in onsets[source]
            ),
        )
        for source, stream in zip(sources, streams, strict=True)
    ]


def _event(onset: Detection, offset: Detection, published: float, rate: int) -> Sound:
    return Sound(onset.label, onset.onset_sample / rate, (offset.offset_sample or 0) / rate, published, offset.peak)
