"""Many sources, one model: samples in, onsets and offsets out. No clock, no input or output.

Live and replay use this alone, so a recording at any speed gives the events that it gives live.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamd.decision import Decision, DecisionSpec, Edge
from streamd.errors import DeviceError
from streamd.events import EndReason
from streamd.grown import grown
from streamd.model import CUDA, Model
from streamd.pending import Pending, Samples
from streamd.rows import Rows

MAX_BATCH = 16
"""Rows of one run on a CPU, where the manifest sets no limit; more gain nothing."""
MAX_BATCH_ON_GPU = 1024
"""Not measured yet: no GPU was at hand."""


class AnyRows(Protocol):
    """What a model remembers of each source, and its runs: on the processor `rows.Rows`, on a GPU `cuda.DeviceRows`."""

    def join(self, row: int) -> None:
        """Make room for a row."""

    def run(self, rows: NDArray[np.intp], samples: NDArray[np.float32], ages: NDArray[np.int64]) -> NDArray[np.float32]:
        """Hear one hop of some rows."""


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


@dataclass(slots=True)
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
        self,
        model: Model,
        decisions: Mapping[str, DecisionSpec] | None = None,
        max_batch: int | None = None,
        rows_of: Callable[[Model, int], AnyRows] | None = None,
    ) -> None:
        """Prepare a detector without sources.

        Args:
            model: the loaded model; several detectors may share it.
            decisions: the labels that are on and how they are decided; by default the model's own.
            max_batch: rows of one run, unless the manifest allows fewer; None: as many as its device is good for.
            rows_of: makes what runs the model, for so many rows at once; None: what its device needs.

        Raises:
            ModelError, DeviceError, DeviceLostError: as of `rows_on_device`.
        """
        facts = model.manifest
        if decisions is None:
            decisions = {label: facts.decision_of(label) for label in facts.default_labels}
        self.labels = tuple(decisions)
        """The labels that are on."""
        self.decisions = dict(decisions)
        self._columns = np.array([facts.labels.index(label) for label in self.labels], np.intp)
        self._decision = Decision(list(decisions.values()), facts.hop_seconds)
        self._asked_batch = max_batch
        self._rows_of = rows_of or rows_on_device
        self._sources: dict[str, _Source] = {}
        self._free: list[int] = []  # rows of sources that have left
        self.model = model
        self._max_batch, self._rows = self._prepare(model)
        self._pending = Pending(facts.hop_samples)
        self._ages = np.zeros(0, np.int64)  # hops heard since a row's last reset
        self._n_unheard = facts.n_cold_hops + facts.n_warmup_hops
        self._ready: deque[_Source] = deque()  # sources with a hop to run, each once, the longest waiting first
        self._n_onsets = 0
        self.n_runs = 0
        """Rounds of the network so far, those that only warm up too."""

    def _prepare(self, model: Model) -> tuple[int, AnyRows]:
        """Return the rows of a model, those of all sources joined, and how many one run may have."""
        limit = self._asked_batch or (MAX_BATCH_ON_GPU if model.provider == CUDA else MAX_BATCH)
        max_batch = min(limit, model.manifest.max_batch or limit)
        rows = self._rows_of(model, max_batch)
        for row in range(self._n_rows()):
            rows.join(row)
        return max_batch, rows

    def _n_rows(self) -> int:
        return len(self._sources) + len(self._free)

    def exchange(self, model: Model) -> list[Detection]:
        """Go on with another session of the same model, which remembers nothing.

        What is active ends here, and every source warms up anew on its next audio. What was pushed and not heard yet
        is kept.

        Raises:
            ModelError, DeviceError, DeviceLostError: as of the constructor; then nothing has changed.
        """
        self._max_batch, self._rows = self._prepare(model)
        self.model = model
        closed = []
        for one in self._sources.values():
            n_heard = int(self._ages[one.row])
            closed += self._close(one, "device")
            one.begin_sample += n_heard * model.manifest.hop_samples
            self._ages[one.row] = 0
        return closed

    def start(self, source: str, first_sample: int = 0) -> None:
        """Add a source, or begin a new take of one; its audio begins at first_sample of the take.

        An active event of an earlier take must have been closed by `end` before.
        """
        one = self._sources.get(source) or self._join(source)
        one.last_offset.clear()
        self._begin(one, first_sample)
        self._decision.reset(one.row)

    def _join(self, source: str) -> _Source:
        if self._free:
            row = self._free.pop()
        else:
            row = self._n_rows()
            self._rows.join(row)
            self._decision.add_row()
            self._pending.join()
            self._ages = grown(self._ages, row + 1)
        self._sources[source] = _Source(source, row)
        return self._sources[source]

    def leave(self, source: str) -> list[Detection]:
        """Close what is active and forget the source, if it was ever started; another may have its row."""
        if source not in self._sources:
            return []
        closed = self.end(source, "end")
        row = self._sources.pop(source).row
        self._decision.forget(row)
        self._free.append(row)
        return closed

    def push(self, source: str, samples: Samples) -> None:
        """Hand over a source's next samples, shape (n,): int16 or float32 in [-1, 1), nothing left out."""
        one = self._sources[source]
        one.position += len(samples)
        self._pending.push(one.row, samples)
        self._queue(one)

    def step(self) -> Iterator[Hop]:
        """Run every hop that is ready, oldest first, in rounds of at most max_batch sources; yield them as decided.

        Sources with several hops take turns. Nothing runs but what is asked for: exhaust it.

        Raises:
            ModelError, DeviceLostError: a round fails. What was yielded stands, and the round's hops stay ready.
        """
        while self._ready:
            batch = list(islice(self._ready, self._max_batch))
            hops = self._run(batch)
            for one in batch:
                self._ready.popleft()
                one.is_ready = False
                self._queue(one)
            yield from hops

    def gap(self, source: str, n_lost: int, reason: EndReason = "gap") -> list[Detection]:
        """Note that n_lost samples are missing: what was active ends, the source warms up anew."""
        closed = self.end(source, reason)
        one = self._sources[source]
        self._begin(one, one.position + n_lost)
        return closed

    def end(self, source: str, reason: EndReason) -> list[Detection]:
        """Close what is active, as at the end of a take. Scores that were not stepped are dropped."""
        one = self._sources[source]
        closed = self._close(one, reason)
        self._begin(one, one.position)
        return closed

    def _close(self, one: _Source, reason: EndReason) -> list[Detection]:
        n_heard = int(self._ages[one.row])
        end_sample = self._end_sample(one, n_heard - 1) if n_heard > self._n_unheard else one.position
        return [self._offset(one, edge, end_sample, reason) for edge in self._decision.reset(one.row)]

    def flush(self, reason: EndReason = "end") -> list[Detection]:
        """End every source."""
        return [detection for source in self._sources for detection in self.end(source, reason)]

    def position(self, source: str) -> int:
        """Return how far a source has been pushed: the take's next sample."""
        return self._sources[source].position

    def sounding(self, source: str) -> set[str]:
        """Return the labels that are active now: their onsets are told, their offsets are not."""
        return {onset.label for onset in self._sources[source].active.values()}

    def _queue(self, one: _Source) -> None:
        if not one.is_ready and self._pending.is_whole(one.row):
            one.is_ready = True
            self._ready.append(one)

    def _begin(self, one: _Source, first_sample: int) -> None:
        """Start the hops of a source anew: they end on multiples of the hop from here."""
        if one.is_ready:
            self._ready.remove(one)
            one.is_ready = False
        one.position = one.begin_sample = first_sample
        self._pending.clear(one.row)
        self._ages[one.row] = 0

    def _end_sample(self, one: _Source, age: int) -> int:
        """The first sample after the newest one of a hop; ages count from the reset."""
        return one.begin_sample + (age + 1) * self.model.manifest.hop_samples

    def _run(self, batch: list[_Source]) -> list[Hop]:
        rows = np.array([one.row for one in batch], np.intp)
        ages = self._ages[rows]
        posteriors = self._rows.run(rows, self._pending.hops(rows), ages)
        self.n_runs += 1
        self._pending.drop(rows)
        self._ages[rows] = ages + 1
        warm = ages >= self._n_unheard
        if not warm.all():
            batch = [one for one, is_warm in zip(batch, warm.tolist(), strict=True) if is_warm]
            rows, ages, posteriors = rows[warm], ages[warm], posteriors[warm]
        if not batch:
            return []
        scores, edges = self._decision.step(rows, posteriors[:, self._columns])
        hops = [
            Hop(one.name, self._end_sample(one, age), posterior, score, [])
            for one, age, posterior, score in zip(batch, ages.tolist(), posteriors, scores, strict=True)
        ]
        if not edges:
            return hops
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
        first = self._end_sample(one, self._n_unheard + edge.hop) - self.model.manifest.onset_delay
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
        faded = self._end_sample(one, self._n_unheard + edge.hop) - self.model.manifest.offset_delay
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


def rows_on_device(model: Model, max_batch: int) -> AnyRows:
    """Return the rows of a model where its provider has them.

    Raises:
        DeviceError: onnx is not installed, which makes the graph of a GPU.
        ModelError, DeviceLostError: as of `cuda.DeviceRows`.
    """
    if model.provider != CUDA:
        return Rows(model, max_batch)
    try:
        from streamd.cuda import DeviceRows
    except ImportError as error:
        raise DeviceError(f"device cuda needs onnx ({error}); pip install 'streamd[gpu]'") from error
    return DeviceRows(model, max_batch)


@dataclass(eq=False, slots=True)
class _Source:
    """One source, and where what it has heard since its last reset lies in the take."""

    name: str
    row: int
    position: int = 0
    """Samples of the take that were pushed or lost."""
    begin_sample: int = 0
    """Where the audio since the last reset begins."""
    is_ready: bool = False
    """A hop of it waits to be run."""
    active: dict[int, Detection] = field(default_factory=dict)
    last_offset: dict[int, int] = field(default_factory=dict)
