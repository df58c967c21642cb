"""Labelled streams, played once through the daemon's detector: its posteriors at every hop, and its events.

What was played can be decided anew: the same posteriors, other decisions or delays, the same detector.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamd.detector import Detection, Detector
from streamd.manifest import Manifest
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
    return [_play(model, stream, _blocks(stream.samples, model.manifest.sample_rate)) for stream in streams]


def decide(played: Sequence[Played], manifest: Manifest) -> list[Played]:
    """Return what was played with the events that another manifest gives: its decisions, its delays.

    The posteriors stay as they are, so no network runs; the events are the detector's own, as in `play`.

    Args:
        played: by the same model, with whatever decisions.
        manifest: of that model, but for decisions and delays.
    """
    hop, rate = manifest.hop_samples, manifest.sample_rate
    found = []
    for one in played:
        echo = _Echo(one.posteriors, manifest)
        n_samples = manifest.first_score_samples + (len(one.posteriors) - 1) * hop if len(one.posteriors) else 0
        silence = np.zeros(round(BLOCK_SECONDS * rate), np.int16)
        blocks = (silence[: n_samples - begin] for begin in range(0, n_samples, len(silence)))
        found.append(_play(cast(Model, echo), one.stream, blocks))
    return found


class _Echo:
    """Stands in for a model in a detector: it says again what the model said, hop after hop, whatever it hears."""

    def __init__(self, posteriors: NDArray[np.float32], facts: Manifest) -> None:
        hop = facts.hop_samples
        # The first score comes where it came: all hops before it are warm-up.
        self.manifest = msgspec.structs.replace(
            facts,
            kind="stream",
            input="samples",
            log_mel=None,
            n_frames=hop,
            hop_frames=hop,
            warmup_frames=facts.first_score_samples,
            n_state=1,
            initial_state=b"",
        )
        self._said = posteriors
        self._hop = -self.manifest.n_warmup_hops

    def run(
        self,
        inputs: NDArray[np.float32],  # noqa: ARG002  as a model is called
        state: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the posteriors of the next hop, shape (1, n_labels), and the state as it came."""
        said = self._said[max(0, self._hop)][None]
        self._hop += 1
        return said, state


def _blocks(
    samples: NDArray[np.int16] | NDArray[np.float32], rate: int
) -> Iterator[NDArray[np.int16] | NDArray[np.float32]]:
    n = round(BLOCK_SECONDS * rate)
    return (samples[begin : begin + n] for begin in range(0, len(samples), n))


def _play(model: Model, stream: LabelledStream, blocks: Iterable[NDArray[np.int16] | NDArray[np.float32]]) -> Played:
    facts = model.manifest
    detector = Detector(model, {label: facts.decision_of(label) for label in facts.labels})
    detector.start(stream.name)
    posteriors: list[NDArray[np.float32]] = []
    ends: list[float] = []
    onsets: list[tuple[Detection, float]] = []
    offsets: dict[int, tuple[int, float]] = {}

    def note(detections: Sequence[Detection]) -> None:
        for one in detections:
            if one.offset_sample is None:
                onsets.append((one, ends[-1]))
            else:
                offsets[one.number] = one.offset_sample, one.peak

    for block in blocks:
        detector.push(stream.name, block)
        for hop in detector.step():
            posteriors.append(hop.posteriors)
            ends.append(hop.end_sample / facts.sample_rate)
            note(hop.detections)
    note(detector.flush())
    rate = facts.sample_rate
    return Played(
        stream=stream,
        posteriors=np.array(posteriors, np.float32).reshape(-1, len(facts.labels)),
        end_seconds=np.array(ends, np.float64),
        events=tuple(
            Sound(one.label, one.onset_sample / rate, offsets[one.number][0] / rate, published, offsets[one.number][1])
            for one, published in onsets
        ),
    )
