"""Finds what was lost in silence: holds what a daemon told against what its own scores say must have been told.

Scores are made of every hop that a model heard. Their positions and times show what was not heard, whether the daemon
says so or not; and the rules of a decision in plain Python (tests/decision_reference.py), fed with their posteriors,
show every onset and offset that must be among the events.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from streamd.events import Event, Message, Score, State
from streamd.manifest import Manifest
from streamd.subscribe import Gap
from tests.decision_reference import ReferenceDecision


class Hole(NamedTuple):
    """Audio between two scores of a source that no model has heard."""

    source: str
    seconds: float
    """By the clock; after the hole a model listens for a while before it scores, and that is not lost."""
    reported_seconds: float
    """What was published as lost meanwhile."""


@dataclass
class _Line:
    """What is known of one source."""

    decisions: dict[str, ReferenceDecision]
    last: Score | None = None
    reported_seconds: float = 0.0
    told: list[Event] = field(default_factory=list)
    """Events since the last score."""
    unsure: set[str] = field(default_factory=set)
    """Labels of which nobody knows whether they sound: whoever listens came in the middle, or was told that it missed
    something."""


class Ledger:
    """Takes in everything that is published, in the order in which it comes."""

    def __init__(self, facts: Manifest) -> None:
        self._facts = facts
        self._lines: dict[str, _Line] = defaultdict(self._fresh)
        self._run = ""
        self.holes: list[Hole] = []
        self.n_hidden = 0
        """Onsets and offsets that must have been told, were not, and are in no gap."""
        self.n_invented = 0
        """Onsets that no model heard."""
        self.published: set[tuple[str, str, int]] = set()
        """Run, source and number of every event and state that was heard."""
        self.open: set[str] = set()
        """Events whose offset is still to come."""
        self.n_onsets = 0
        self.n_told_missing = 0
        """Messages of which the client said that they are missing."""

    def _fresh(self) -> _Line:
        facts = self._facts
        return _Line(
            {label: ReferenceDecision(facts.decision_of(label), facts.hop_seconds) for label in facts.default_labels}
        )

    def enter(self, message: Message | Gap) -> None:
        """Take in a message."""
        line = self._lines[message.source]
        if isinstance(message, Event | State):
            self.published.add((message.run, message.source, message.seq))
        match message:
            case Gap():
                self.n_told_missing += message.last_seq - message.first_seq + 1
                line.unsure |= line.decisions.keys()
            case State():
                line.reported_seconds += message.gap.seconds if message.gap else 0.0
            case Event():
                line.told.append(message)
                (self.open.add if message.phase == "onset" else self.open.discard)(message.event_id)
            case Score():
                if self._run not in ("", message.run):
                    self._lines.clear()  # another life of the daemon, of which we may have missed the beginning
                    line = self._lines[message.source]
                    line.unsure |= line.decisions.keys()
                self._run = message.run
                self._score(line, message)

    def _score(self, line: _Line, score: Score) -> None:
        last, facts = line.last, self._facts
        expected: set[tuple[str, str]] = set()
        if last is None or (score.take, score.end_sample) != (last.take, last.end_sample + facts.hop_samples):
            for label, decision in line.decisions.items():
                if decision.reset() and label not in line.unsure:
                    expected.add((label, "offset"))
            if last is not None:
                listens = (facts.first_score_samples - facts.hop_samples) / facts.sample_rate
                seconds = (score.time - last.time).total_seconds() - facts.hop_seconds - listens
                self.holes.append(Hole(score.source, max(0.0, seconds), line.reported_seconds))
                line.reported_seconds = 0.0
        for label, decision in line.decisions.items():
            decided = decision.step(score.posteriors[label])
            if label in line.unsure:
                quiet = score.posteriors[label] < decision.spec.offset_threshold
                line.unsure -= {label} if quiet and decision.phase == "idle" else set()
            elif decided:
                expected.add((label, "onset" if decided.is_onset else "offset"))
        told = {(event.label, event.phase) for event in line.told if event.label not in line.unsure}
        self.n_onsets += sum(phase == "onset" for _, phase in expected)
        self.n_hidden += len(expected - told)
        self.n_invented += sum(phase == "onset" for _, phase in told - expected)
        line.told.clear()
        line.last = score
