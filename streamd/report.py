"""Detections in words: from a detector's findings to the events that are published."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.detector import Detection
from streamd.events import Event, at


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
