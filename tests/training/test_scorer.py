"""A network in training is scored as its model file would be heard: streams with tones, a network that hears tones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("scipy")

from streamd.logmel import log_mel
from tests.tiny_models import SAMPLE_RATE, SPEC, TONES, tone
from tests.training.tone_streams import HIGH, LOW, MIDDLE, loud, stream
from training.design.fit import Score
from training.design.receptive_field import Layer
from training.design.stream import posteriors_of_hops
from training.design.streaming import Part, StreamNetwork
from training.expect import scorer as scoring
from training.expect.scorer import scorer

HOP = 4


class Level(Part):
    """Loudness of each label's band two frames ago: its state holds them."""

    n_state = 2 * SPEC.n_mels
    layers = (Layer(3, 1, 1),)

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        frames = [log_mel(tone(SAMPLE_RATE, label, 1.0), SPEC).mean(axis=0) for label in TONES]
        self.bands = [int(frame.argmax()) for frame in frames]
        self.full = torch.tensor([float(frame.max()) for frame in frames])
        self.gain = gain

    def forward(self, x, state):
        seen = torch.cat([state.reshape(-1, 1, 2, SPEC.n_mels), x], dim=2)
        logits = (seen[:, 0, :-2, self.bands] - self.full + 20) / 6 * self.gain
        return logits, seen[:, 0, -2:].flatten(1)


def network(gain: float = 1.0) -> StreamNetwork:
    return StreamNetwork(SPEC.n_mels, len(TONES), [Level(gain)]).eval()


def scored(streams, gain: float = 1.0, budget: float = 0.5):
    return scorer(streams, SPEC, list(TONES), HOP, alarms_per_hour=budget)(network(gain))


def test_a_network_that_hears_all_and_nothing_else_keeps_the_budget():
    found = scored([stream("one", 30, [*loud(10), *loud(5, HIGH, 0.3)]), stream("two", 20, [])])
    assert (found.recall, found.alarms_per_hour, found.keeps_budget) == (1.0, 0.0, True)


def test_recall_is_the_mean_of_the_labels_that_have_sounds():
    found = scored([stream("one", 30, [*loud(10), (HIGH, 23, 23.5, 0.5), (HIGH, 26, 26.5, 0.0)])])
    assert found.recall == pytest.approx((1.0 + 0.5) / 2)


def test_sounds_that_cannot_be_told_from_others_break_the_budget_and_alarms_are_counted():
    strange = [(LOW, onset + 20, offset + 20, level) for _, onset, offset, level in loud(3)]
    found = scored([stream("one", 60, loud(10), strange)])
    hours = (60 - 10 * (0.5 + 0.4)) / 3600
    assert not found.keeps_budget
    assert found.alarms_per_hour == pytest.approx(3 / hours, rel=0.05)
    faint = [(label, onset, offset, 0.12) for label, onset, offset, _ in strange]
    assert scored([stream("one", 60, loud(10), faint)]).keeps_budget


def test_a_deaf_network_is_worth_nothing_and_alarms_nobody():
    found = scored([stream("one", 30, loud(10))], gain=0.0)
    assert found.recall <= 0.1  # a posterior that never moves is one endless event
    strict = scored([stream("one", 30, [(MIDDLE, 5, 6, 0.0)])])
    assert (strict.recall, strict.alarms_per_hour, strict.keeps_budget) == (0.0, 0.0, False)
    # One that hears every sound, with alarms over the budget, is a better one.
    strange = [(LOW, onset + 20, offset + 20, level) for _, onset, offset, level in loud(3)]
    alarming = scored([stream("one", 60, loud(10), strange)])
    assert alarming.alarms_per_hour > 0
    assert alarming.rank > strict.rank


def test_a_label_over_its_budget_does_not_hide_how_well_the_others_are_heard():
    strange = [(LOW, onset + 20, offset + 20, level) for _, onset, offset, level in loud(3)]
    half_deaf = [(HIGH, 43.0 + 2 * i, 43.5 + 2 * i, 0.5 * (i % 2)) for i in range(4)]
    well = scored([stream("one", 60, [*loud(10), *loud(5, HIGH)], [*strange, (LOW, 55, 55.5, 0.5)])])
    badly = scored([stream("one", 60, [*loud(10), *half_deaf], strange)])
    assert not well.keeps_budget
    assert not badly.keeps_budget
    assert well.alarms_per_hour > badly.alarms_per_hour
    assert (well.recall, badly.recall) == (0.5, 0.25)
    assert well.rank > badly.rank


def test_an_hour_in_pieces_is_what_the_network_makes_of_the_whole(monkeypatch):
    hops = np.random.default_rng(0).normal(-40, 20, (137, HOP, SPEC.n_mels)).astype(np.float32)
    monkeypatch.setattr(scoring, "HOPS_AT_ONCE", 10)
    np.testing.assert_allclose(
        scoring._posteriors(network(), hops), posteriors_of_hops(network(), hops), atol=1e-6, rtol=0
    )


def test_long_background_is_decided_in_pieces_side_by_side(monkeypatch):
    whole = [stream("one", 30, loud(5)), stream("noise", 50, [], [(LOW, 21, 21.5, 0.5)])]
    expected = scored(whole)
    monkeypatch.setattr(scoring, "PIECE_SECONDS", 12.0)
    found = scored(whole)
    assert (found.recall, found.keeps_budget) == (expected.recall, expected.keeps_budget)
    assert found.alarms_per_hour == pytest.approx(expected.alarms_per_hour, rel=0.05)


def test_a_sound_of_a_label_that_the_network_lacks_is_refused():
    with pytest.raises(ValueError, match="labelled Low tone; the network has Whistle"):
        scorer([stream("one", 5, loud(1))], SPEC, ["Whistle"], HOP)


def test_networks_to_which_the_budget_leaves_nothing_are_told_apart_by_laxer_ones() -> None:
    assert Score(0.0, 30.0, False, 0.6).rank > Score(0.0, 5.0, False, 0.2).rank
    assert Score(0.1, 30.0, False, 0.5).rank > Score(0.0, 5.0, False, 0.5).rank
    # A little luck at the budget doesn't outweigh what is heard at all others.
    assert Score(0.1, 30.0, False, 0.2).rank < Score(0.0, 5.0, False, 0.6).rank
