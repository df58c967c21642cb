"""The books can be wrong: what they are to find is put before them."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from streamd.events import AudioGap, Event, Score, State, at
from streamd.subscribe import Gap
from tests import samples
from tests.faults.ledger import Ledger
from tests.faults.rig import Scene, scene

__all__ = ["scene"]  # a fixture

START = at(1_700_000_000)


class Teller:
    """What a daemon publishes of one source, hop after hop."""

    def __init__(self, scene: Scene) -> None:
        self.facts = scene.facts
        self.ledger = Ledger(scene.facts)
        self.hop = 0

    def score(self, posterior: float) -> None:
        self.hop += 1
        score = msgspec.structs.replace(
            samples.SCORE,
            time=START + timedelta(seconds=self.hop * self.facts.hop_seconds),
            end_sample=self.hop * self.facts.hop_samples,
            posteriors={label: posterior if label == "Low tone" else 0.0 for label in self.facts.labels},
        )
        assert isinstance(score, Score)
        self.ledger.enter(score)

    def event(self, phase: str) -> None:
        ended = {"offset_sample": 1, "offset_seconds": 1.0, "offset_time": START, "end_reason": "silence"}
        changes = {"label": "Low tone", "phase": phase, **(ended if phase == "offset" else {})}
        event = msgspec.structs.replace(samples.ONSET, **changes)
        assert isinstance(event, Event)
        self.ledger.enter(event)

    def gap(self, seconds: float) -> None:
        gap = AudioGap(take="t", first_sample=0, n_samples=1, seconds=seconds, reason="lag")
        state = msgspec.structs.replace(samples.STATE, gap=gap)
        assert isinstance(state, State)
        self.ledger.enter(state)


@pytest.fixture
def teller(scene: Scene) -> Teller:
    return Teller(scene)


def test_an_onset_and_an_offset_that_nobody_told_are_found(teller: Teller) -> None:
    teller.score(0.0)
    teller.score(0.9)
    assert teller.ledger.n_hidden == 1
    teller.score(0.0)
    assert teller.ledger.n_hidden == 2


def test_what_is_told_in_time_is_in_order_and_an_invented_onset_is_not(teller: Teller) -> None:
    teller.score(0.0)
    teller.event("onset")
    teller.score(0.9)
    teller.event("offset")
    teller.score(0.0)
    assert (teller.ledger.n_hidden, teller.ledger.n_invented, teller.ledger.n_onsets) == (0, 0, 1)
    assert not teller.ledger.open
    teller.event("onset")
    teller.score(0.0)
    assert teller.ledger.n_invented == 1
    assert teller.ledger.open


@pytest.mark.parametrize("reported", [0.0, 2.0])
def test_a_hole_is_found_by_the_clock_whether_it_was_told_or_not(teller: Teller, reported: float) -> None:
    teller.score(0.0)
    listens = teller.facts.first_score_samples // teller.facts.hop_samples - 1
    teller.hop += 20 + listens
    if reported:
        teller.gap(reported)
    teller.score(0.0)
    (hole,) = teller.ledger.holes
    assert hole.seconds == pytest.approx(2.0, abs=0.1)
    assert hole.reported_seconds == reported


def test_an_event_that_is_open_before_a_hole_must_be_closed(teller: Teller) -> None:
    teller.event("onset")
    teller.score(0.9)
    teller.hop += 20
    teller.score(0.0)
    assert teller.ledger.n_hidden == 1


def test_what_the_client_says_it_missed_is_not_hidden(teller: Teller) -> None:
    teller.ledger.enter(Gap(source=samples.SCORE.source, run="3f2a", first_seq=1, last_seq=2))
    teller.score(0.9)
    teller.score(0.0)
    assert (teller.ledger.n_hidden, teller.ledger.n_told_missing) == (0, 2)
    teller.score(0.9)
    assert teller.ledger.n_hidden == 1
