"""Sounds that were nearly told: scores between a lower bound and what an onset needs."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from streamd.recorder.messages import High, Take

SILENCE_SECONDS = 1.0
"""A near-miss is over after this long without a score at the bound."""


class NearMiss(msgspec.Struct, frozen=True, kw_only=True):
    """A sound whose score reached the bound, and of which no event was told."""

    source: str
    label: str
    peak: float
    """Highest score (0..1)."""
    onset_threshold: float
    take: str
    sample_rate: int
    onset_sample: int
    """Where it begins, in samples of the take …"""
    offset_sample: int
    """… and where the last hop ends whose score reached the bound."""
    model: str
    model_sha256: str


@dataclass
class _Track:
    """One label of one model on one take, while its scores are high."""

    newest: High
    first_sample: int
    peak: float
    is_done: bool = False
    """It is part of an event, which may be silent for longer than a track, or its fading; or was handed out already,
    since it goes on for long."""


class NearMisses:
    """Follows scores that reached the bound, hop by hop; hops below it are not heard of."""

    def __init__(self, longest_seconds: float) -> None:
        """Hand out a near-miss when it is over, or has lasted this long."""
        self._longest_seconds = longest_seconds
        self._tracks: dict[tuple[Take, str, str], _Track] = {}

    def high(self, message: High) -> None:
        """Take in the scores of a hop."""
        take = message.source, message.take
        for label, score in message.scores.items():
            track = self._tracks.get((take, message.model, label))
            if track is None:
                first = max(0, message.end_sample - message.hop_samples - message.onset_delay)
                track = self._tracks[take, message.model, label] = _Track(message, first, score)
            track.newest = message
            track.peak = max(track.peak, score)
            track.is_done |= label in message.told

    def told(self, take: Take, model: str, label: str) -> None:
        """Note that what sounds now was told as an event, though its score may be below the bound."""
        track = self._tracks.get((take, model, label))
        if track is not None:
            track.is_done = True

    def needed_from(self, take: Take, otherwise: int) -> int:
        """Return from which sample on audio of a take may be needed for what is not over yet."""
        begun = (one.first_sample for key, one in self._tracks.items() if key[0] == take and not one.is_done)
        return min(begun, default=otherwise)

    def over(self, take: Take, sample_rate: int, position: int | None) -> list[NearMiss]:
        """Return what was over before a position of the take; with None, its end, all that is left of it."""
        found = []
        for key, track in list(self._tracks.items()):
            if key[0] != take:
                continue
            silent_at = track.newest.end_sample + SILENCE_SECONDS * sample_rate
            is_over = position is None or silent_at <= position
            is_long = track.newest.end_sample - track.first_sample >= self._longest_seconds * sample_rate
            if (is_over or is_long) and not track.is_done:
                track.is_done = True
                found.append(_near_miss(key[2], sample_rate, track))
            if is_over:
                del self._tracks[key]
        return found


def _near_miss(label: str, sample_rate: int, track: _Track) -> NearMiss:
    newest = track.newest
    return NearMiss(
        source=newest.source,
        label=label,
        peak=track.peak,
        onset_threshold=newest.onset_thresholds[label],
        take=newest.take,
        sample_rate=sample_rate,
        onset_sample=track.first_sample,
        offset_sample=newest.end_sample,
        model=newest.model,
        model_sha256=newest.model_sha256,
    )
