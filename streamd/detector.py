"""Many sources, one model: samples in, onsets and offsets out. No clock, no input or output.

Live and replay use this alone, so a recording at any speed gives the events that it gives live.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamd.decision import Decision, DecisionSpec, Edge
from streamd.events import EndReason
from streamd.logmel import LogMel, to_float
from streamd.manifest import Manifest
from streamd.model import Model
from streamd.rows import Rows

MAX_BATCH = 16
"""Rows of one run where the manifest sets no limit; on a CPU more gain nothing."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A sound begins, or ends. Positions count samples of the take."""

    source: str
    label: str
    number: int
    """The same in an onset and its offset; counts the onsets of this detector."""
    score: float
    peak: float
    onset_threshold: float
    onset_sample: int
    offset_sample: int | None
    """None in an onset."""
    end_reason: EndReason | None
    """None in an onset."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One decision of one source."""

    source: str
    end_sample: int
    """The first sample after the newest one it looked at."""
    posteriors: NDArray[np.float32]
    """For all labels of the model, shape (n_labels,)."""
    scores: NDArray[np.float64]
    """Smoothed, for the labels that are on, in the order of Detector.labels."""
    detections: list[Detection]


class Detector:
    """One model heard on any number of sources."""

    def __init__(
        self, model: Model, decisions: Mapping[str, DecisionSpec] | None = None, max_batch: int = MAX_BATCH
    ) -> None:
        """Prepare a detector without sources.

        Args:
            model: the loaded model; several detectors may share it.
            decisions: the labels that are on and how they are decided; by default the model's own.
            max_batch: rows of one run, unless the manifest allows fewer.
        """
        facts = model.manifest
        if decisions is None:
            decisions = {label: facts.decision_of(label) for label in facts.default_labels}
        self.model = model
        self.labels = tuple(decisions)
        """The labels that are on."""
        self.decisions = dict(decisions)
        self._columns = np.array([facts.labels.index(label) for label in self.labels], np.intp)
        self._decision = Decision(list(decisions.values()), facts.hop_seconds)
        self._rows = Rows(facts.initial_row())
        self._max_batch = min(max_batch, facts.max_batch or max_batch)
        self._sources: dict[str, _Source] = {}
        self._ready: deque[_Source] = deque()  # sources with a hop to run, each once, the longest waiting first
        self._n_onsets = 0

    def start(self, source: str, first_sample: int = 0) -> None:
        """Add a source, or begin a new take of one; its audio begins at first_sample of the take.

        An active event of an earlier take must have been closed by `end` before.
        """
        if source not in self._sources:
            row = self._decision.add_row()
            self._rows.join()
            self._sources[source] = _Source(source, row, self.model.manifest)
        one = self._sources[source]
        one.last_offset.clear()
        one.begin(first_sample)
        self._drop_ready(one)
        self._rows.reset(one.row)
        self._decision.reset(one.row)

    def push(self, source: str, samples: NDArray[np.int16] | NDArray[np.float32]) -> None:
        """Hand over a source's next samples, shape (n,): int16 or float32 in [-1, 1), nothing left out."""
        one = self._sources[source]
        one.push(samples)
        if one.has_hop() and one not in self._ready:
            self._ready.append(one)

    def step(self) -> list[Hop]:
        """Run every hop that is ready, oldest first, in rounds of at most max_batch sources.

        Sources with several hops take turns.
        """
        done: list[Hop] = []
        while self._ready:
            batch = [self._ready.popleft() for _ in range(min(self._max_batch, len(self._ready)))]
            done += self._run(batch)
            self._ready.extend(one for one in batch if one.has_hop())
        return done

    def gap(self, source: str, n_lost: int, reason: EndReason = "gap") -> list[Detection]:
        """Note that n_lost samples are missing: what was active ends, the source warms up anew."""
        one = self._sources[source]
        closed = self.end(source, reason)
        one.begin(one.position + n_lost)
        return closed

    def end(self, source: str, reason: EndReason) -> list[Detection]:
        """Close what is active, as at the end of a take. Scores that were not stepped are dropped."""
        one = self._sources[source]
        self._drop_ready(one)
        end_sample = one.end_sample(one.n_hops - 1) if one.n_hops else one.position
        closed = [self._offset(one, edge, end_sample, reason) for edge in self._decision.reset(one.row)]
        self._rows.reset(one.row)
        one.begin(one.position)
        return closed

    def flush(self, reason: EndReason = "end") -> list[Detection]:
        """End every source."""
        return [detection for source in self._sources for detection in self.end(source, reason)]

    def position(self, source: str) -> int:
        """Return how far a source has been pushed: the take's next sample."""
        return self._sources[source].position

    def _drop_ready(self, one: _Source) -> None:
        if one in self._ready:
            self._ready.remove(one)

    def _run(self, batch: list[_Source]) -> list[Hop]:
        rows = np.array([one.row for one in batch], np.intp)
        inputs = np.stack([one.next_input() for one in batch])
        state = self._rows.gather(rows) if self.model.manifest.kind == "stream" else None
        posteriors, new_state = self.model.run(inputs, state)
        if new_state is not None:
            self._rows.scatter(rows, new_state)
        warm = [one.advance() for one in batch]
        if not all(warm):
            batch = [one for one, is_warm in zip(batch, warm, strict=True) if is_warm]
            rows, posteriors = rows[warm], posteriors[warm]
        if not batch:
            return []
        scores, edges = self._decision.step(rows, posteriors[:, self._columns])
        hops = [
            Hop(one.name, one.end_sample(one.n_hops - 1), posteriors[i], scores[i], []) for i, one in enumerate(batch)
        ]
        by_row = {one.row: i for i, one in enumerate(batch)}
        for edge in edges:
            i = by_row[edge.row]
            if edge.is_onset:
                detection = self._onset(batch[i], edge)
            else:
                detection = self._offset(batch[i], edge, hops[i].end_sample, "silence")
            hops[i].detections.append(detection)
        return hops

    def _onset(self, one: _Source, edge: Edge) -> Detection:
        first = one.end_sample(edge.hop) - self.model.manifest.onset_delay
        self._n_onsets += 1
        detection = Detection(
            source=one.name,
            label=self.labels[edge.label],
            number=self._n_onsets,
            score=edge.score,
            peak=edge.peak,
            onset_threshold=self._decision.specs[edge.label].onset_threshold,
            onset_sample=max(first, one.begin_sample, one.last_offset.get(edge.label, 0)),
            offset_sample=None,
            end_reason=None,
        )
        one.active[edge.label] = detection
        return detection

    def _offset(self, one: _Source, edge: Edge, end_sample: int, reason: EndReason) -> Detection:
        onset = one.active.pop(edge.label)
        faded = one.end_sample(edge.hop) - self.model.manifest.offset_delay
        shortest = onset.onset_sample + self.model.manifest.hop_samples
        offset_sample = min(max(faded, shortest), max(end_sample, onset.onset_sample))
        one.last_offset[edge.label] = offset_sample
        return Detection(
            source=one.name,
            label=onset.label,
            number=onset.number,
            score=edge.score,
            peak=edge.peak,
            onset_threshold=onset.onset_threshold,
            onset_sample=onset.onset_sample,
            offset_sample=offset_sample,
            end_reason=reason,
        )


@dataclass(eq=False)
class _Source:
    """What one source has heard since its last reset, and where that lies in the take."""

    name: str
    row: int
    facts: Manifest
    position: int = 0
    """Samples of the take that were pushed or lost."""
    begin_sample: int = 0
    """Where the audio since the last reset begins."""
    n_hops: int = 0
    """Hops decided since the last reset; the warm-up is not counted."""
    active: dict[int, Detection] = field(default_factory=dict)
    last_offset: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._log_mel = LogMel(self.facts.log_mel) if self.facts.log_mel else None
        width = () if self._log_mel is None else (self._log_mel.spec.n_mels,)
        self._frames = np.zeros((0, *width), np.float32)

    def begin(self, first_sample: int) -> None:
        """Start the frame grid anew, so that hops end on multiples of the hop from here."""
        self.position = self.begin_sample = first_sample
        self.n_hops = 0
        self._n_warming = self.facts.n_warmup_hops
        self._skip = self.facts.lead_samples
        self._frames = self._frames[:0]
        if self._log_mel is not None:
            self._log_mel.reset(self._skip)

    def end_sample(self, hop: int) -> int:
        """The first sample after the newest one that a hop saw; hops count from the reset."""
        return self.begin_sample + self.facts.first_score_samples + hop * self.facts.hop_samples

    def push(self, samples: NDArray[np.int16] | NDArray[np.float32]) -> None:
        """Take samples in."""
        self.position += len(samples)
        if self._log_mel is not None:
            new = self._log_mel.push(samples)
        else:
            skipped = min(self._skip, len(samples))
            self._skip -= skipped
            new = to_float(samples[skipped:])
        self._frames = np.concatenate([self._frames, new])

    def has_hop(self) -> bool:
        """Whether the frames for the next hop are there."""
        return len(self._frames) >= self.facts.n_frames

    def next_input(self) -> NDArray[np.float32]:
        """The input of the next hop, (n_frames, n_mels) or (n_samples,)."""
        return self._frames[: self.facts.n_frames]

    def advance(self) -> bool:
        """Move on by one hop; return whether it was warm, its posterior to be believed."""
        self._frames = self._frames[self.facts.hop_frames :]
        if self._n_warming:
            self._n_warming -= 1
            return False
        self.n_hops += 1
        return True
