"""The rules of a decision in plain Python, one label of one source, written from the design and not from the code."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import NamedTuple

import numpy as np

from streamd.decision import DecisionSpec


class Decided(NamedTuple):
    """What one hop, or a reset, brought about."""

    is_onset: bool
    hop: int
    """Onset: the first candidate hop. Offset: the last hop at or above offset_threshold."""
    score: float
    peak: float


def in_hops(seconds: float, hop_seconds: float) -> int:
    """Rounded up, in exact arithmetic of the decimals that people write."""
    return ceil(Fraction(str(seconds)) / Fraction(str(hop_seconds)))


@dataclass
class ReferenceDecision:
    """posteriors → onsets and offsets; hops count from the last reset."""

    spec: DecisionSpec
    hop_seconds: float
    posteriors: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    phase: str = "idle"
    first: int = 0
    n_refractory_left: int = 0

    def step(self, posterior: float) -> Decided | None:
        spec, k = self.spec, len(self.scores)
        self.posteriors.append(float(np.float32(posterior)))
        heard = self.posteriors[-max(1, in_hops(spec.smoothing_seconds, self.hop_seconds)) :]
        total = 0.0
        for value in heard:
            total += value
        score = total / len(heard)
        self.scores.append(score)
        may_begin = self.n_refractory_left == 0
        self.n_refractory_left = max(0, self.n_refractory_left - 1)
        if self.phase == "idle" and score >= spec.onset_threshold and may_begin:
            self.phase, self.first = "candidate", k
        if self.phase == "candidate" and score < spec.offset_threshold:
            self.phase = "idle"
        latest = self.scores[-spec.n_confirm :]
        confirmed = len(latest) == spec.n_confirm and all(s >= spec.onset_threshold for s in latest)
        if self.phase == "candidate" and confirmed:
            self.phase = "active"
            return Decided(True, self.first, score, max(self.scores[self.first :]))
        silence = self.scores[-max(1, in_hops(spec.min_silence_seconds, self.hop_seconds)) :]
        if self.phase == "active" and all(s < spec.offset_threshold for s in silence):
            self.n_refractory_left = in_hops(spec.refractory_seconds, self.hop_seconds)
            return self._offset()
        return None

    def reset(self) -> Decided | None:
        decided = self._offset() if self.phase == "active" else None
        self.posteriors, self.scores, self.phase = [], [], "idle"
        return decided

    def _offset(self) -> Decided:
        self.phase = "idle"
        last = max(k for k, s in enumerate(self.scores) if s >= self.spec.offset_threshold)
        return Decided(False, last, self.scores[-1], max(self.scores[self.first :]))
