"""What was found, scored and measured, as the messages that are published."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamd.detector import Detection, Detector, Hop
from streamd.events import Event, Level, Score, at
from streamd.wall import EARLIEST

LOWEST_DB = -120.0
"""Level of digital silence, in dB relative to full scale."""


@dataclass(frozen=True)
class TakeClock:
    """Dates the samples of a take: wall time is added once, here at the edge."""

    take: str
    sample_rate: int
    sample: int
    """A position of the take …"""
    wall_seconds: float
    """… and its wall time, in seconds since 1970."""

    def wall(self, sample: int) -> float:
        """Return the wall time of a sample, in seconds since 1970."""
        return self.wall_seconds + (sample - self.sample) / self.sample_rate


def event(
    detection: Detection,
    clock: TakeClock,
    *,
    run: str,
    host: str,
    seq: int,
    event_id: str,
    model: str,
    model_sha256: str,
    latency_seconds: float | None,
) -> Event:
    """Return the event that tells of a detection."""
    offset = detection.offset_sample
    return Event(
        run=run,
        host=host,
        source=detection.source,
        seq=seq,
        event_id=event_id,
        phase="onset" if offset is None else "offset",
        label=detection.label,
        score=round(detection.score, 6),
        peak=round(detection.peak, 6),
        onset_threshold=detection.onset_threshold,
        take=clock.take,
        sample_rate=clock.sample_rate,
        onset_sample=detection.onset_sample,
        offset_sample=offset,
        onset_seconds=detection.onset_sample / clock.sample_rate,
        offset_seconds=None if offset is None else offset / clock.sample_rate,
        onset_time=at(clock.wall(detection.onset_sample)),
        offset_time=None if offset is None else at(clock.wall(offset)),
        end_reason=detection.end_reason,
        model=model,
        model_sha256=model_sha256,
        latency_seconds=latency_seconds,
    )


def score(hop: Hop, detector: Detector, clock: TakeClock, run: str, host: str) -> Score:
    """Return what a model thinks of a hop."""
    facts = detector.model.manifest
    return Score(
        run=run,
        host=host,
        source=hop.source,
        time=at(clock.wall(hop.end_sample)),
        take=clock.take,
        model=facts.name,
        end_sample=hop.end_sample,
        posteriors={label: round(float(p), 4) for label, p in zip(facts.labels, hop.posteriors, strict=True)},
        scores={label: round(float(s), 4) for label, s in zip(detector.labels, hop.scores, strict=True)},
        onset_thresholds={label: spec.onset_threshold for label, spec in detector.decisions.items()},
    )


def level(pcm: NDArray[np.int16], clock: TakeClock, end_sample: int, run: str, host: str, source: str) -> Level:
    """Return how loud samples are, shape (n,), of which end_sample is the first after them."""
    audio = pcm.astype(np.float64) / 32768
    return Level(
        run=run,
        host=host,
        source=source,
        time=at(clock.wall(end_sample)),
        take=clock.take,
        end_sample=end_sample,
        rms_db=_decibels(float(np.sqrt(np.mean(audio**2)))),
        peak_db=_decibels(float(np.abs(audio).max())),
    )


def _decibels(amplitude: float) -> float:
    return round(max(LOWEST_DB, 20 * float(np.log10(max(amplitude, 1e-9)))), 2)


def ended_by_restart(onset: Event, last_sign: datetime, *, run: str, host: str, seq: int) -> Event:
    """Return the offset of an event whose run died with it open.

    Nobody heard its end: it is put where that run gave its last sign of life, at least one sample after the onset. One
    sample it is, too, where the clock was not set at the onset: nobody knows how long ago that was.
    """
    is_dated = onset.onset_time.timestamp() >= EARLIEST
    seconds = (last_sign - onset.onset_time).total_seconds() if is_dated else 0.0
    offset_sample = onset.onset_sample + max(1, round(seconds * onset.sample_rate))
    offset_seconds = offset_sample / onset.sample_rate
    return msgspec.structs.replace(
        onset,
        run=run,
        host=host,
        seq=seq,
        phase="offset",
        offset_sample=offset_sample,
        offset_seconds=offset_seconds,
        offset_time=at(onset.onset_time.timestamp() + offset_seconds - onset.onset_seconds),
        end_reason="restart",
        latency_seconds=None,
    )
