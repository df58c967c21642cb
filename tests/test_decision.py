"""Decisions: equal to a plain reference for any posteriors, and to a table made by hand."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from streamd.decision import Decision, DecisionSpec, Edge, hops
from tests.decision_reference import Decided, ReferenceDecision, in_hops

# Thresholds and posteriors share a few values that float32 holds exactly: ties happen all the time.
LEVELS = [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 1.0]
SECONDS = [0.0, 0.01, 0.08, 0.1, 0.16, 0.2, 0.24, 0.25, 0.4, 0.72, 1.0]
HOP_SECONDS = [0.01, 0.08, 0.1, 0.24]


@st.composite
def specs(draw: st.DrawFn) -> DecisionSpec:
    offset_threshold, onset_threshold = sorted(draw(st.tuples(*[st.sampled_from(LEVELS[1:])] * 2)))
    seconds = st.sampled_from(SECONDS)
    return DecisionSpec(
        smoothing_seconds=draw(seconds),
        onset_threshold=onset_threshold,
        n_confirm=draw(st.integers(1, 4)),
        offset_threshold=offset_threshold,
        min_silence_seconds=draw(seconds),
        refractory_seconds=draw(seconds),
    )


def as_decided(edge: Edge) -> Decided:
    return Decided(edge.is_onset, edge.hop, edge.score, edge.peak)


def assert_equal_to_reference(
    label_specs: list[DecisionSpec],
    hop_seconds: float,
    posteriors: NDArray[np.float32],
    stepped: NDArray[np.bool_],
    resets: NDArray[np.bool_],
) -> int:
    """Step some rows at a time, (n_steps, n_rows[, n_labels]), beside one reference a row and label; count onsets."""
    n_rows = stepped.shape[1]
    decision = Decision(label_specs, hop_seconds)
    assert [decision.add_row() for _ in range(n_rows)] == list(range(n_rows))
    references = [[ReferenceDecision(spec, hop_seconds) for spec in label_specs] for _ in range(n_rows)]
    n_onsets = 0
    for now, rows_now, resets_now in zip(posteriors, stepped, resets, strict=True):
        rows = np.nonzero(rows_now)[0]
        if len(rows):
            scores, edges = decision.step(rows, now[rows])
            expected = {}
            for i, row in enumerate(rows):
                for label, reference in enumerate(references[row]):
                    decided = reference.step(now[row, label])
                    assert scores[i, label] == reference.scores[-1]
                    if decided:
                        expected[int(row), label] = decided
            assert {(edge.row, edge.label): as_decided(edge) for edge in edges} == expected
            assert len(edges) == len(expected)
            n_onsets += sum(decided.is_onset for decided in expected.values())
        for row in np.nonzero(resets_now)[0]:
            closed = {edge.label: as_decided(edge) for edge in decision.reset(int(row))}
            ended = [(label, reference.reset()) for label, reference in enumerate(references[row])]
            assert closed == {label: decided for label, decided in ended if decided}
    return n_onsets


@settings(max_examples=150)
@given(data=st.data(), hop_seconds=st.sampled_from(HOP_SECONDS))
def test_any_rows_in_any_order_decide_as_the_reference(data: st.DataObject, hop_seconds: float) -> None:
    label_specs = data.draw(st.lists(specs(), min_size=1, max_size=3), "specs")
    n_steps, n_rows = data.draw(st.integers(1, 40), "steps"), data.draw(st.integers(1, 3), "rows")
    shape = (n_steps, n_rows, len(label_specs))
    posteriors = data.draw(arrays(np.float32, shape, elements=st.sampled_from(LEVELS)), "posteriors")
    stepped = data.draw(arrays(np.bool_, shape[:2]), "stepped")
    resets = data.draw(arrays(np.bool_, shape[:2], fill=st.just(False)), "resets")
    assert_equal_to_reference(label_specs, hop_seconds, posteriors, stepped, resets)


def test_many_rows_and_labels_decide_thousands_of_sounds_as_the_reference() -> None:
    rng = np.random.default_rng(0)
    n_steps, n_rows, n_labels = 250, 12, 20
    label_specs = []
    for _ in range(n_labels):
        offset_threshold, onset_threshold = np.sort(rng.uniform(0.1, 0.8, 2))
        smoothing, silence, refractory = rng.integers(0, 60, 3) / 100
        label_specs.append(
            DecisionSpec(
                smoothing_seconds=smoothing,
                onset_threshold=onset_threshold,
                n_confirm=int(rng.integers(1, 5)),
                offset_threshold=offset_threshold,
                min_silence_seconds=silence,
                refractory_seconds=refractory,
            )
        )
    # Slow and fast movement together: sounds of a few hops with holes in them.
    slow = np.sin(
        np.arange(n_steps)[:, None, None] / rng.uniform(2, 12, (n_rows, n_labels)) + rng.uniform(0, 6, n_labels)
    )
    posteriors = np.clip(0.5 + 0.5 * slow + rng.normal(0, 0.2, slow.shape), 0, 1).astype(np.float32)
    stepped = rng.random((n_steps, n_rows)) < 0.8
    resets = rng.random((n_steps, n_rows)) < 0.01
    assert assert_equal_to_reference(label_specs, 0.08, posteriors, stepped, resets) > 1_000


# A table by hand. Thresholds 0.6 and 0.4, hops of 0.1 s. One character a hop: the score's first digit,
# "|" is a gap. Expected: O3@2 an onset published at hop 3 whose first candidate hop is 2, X… an offset
# and the last hop that was at or above 0.4; hops count on over gaps here.
TABLE = [
    ("nothing happens below the onset threshold", {}, "0555550", ""),
    ("a score at the onset threshold begins a sound", {}, "006000", "O2@2 X3@2"),
    ("a sound that begins in the first hop", {}, "600", "O0@0 X1@0"),
    ("a sound goes on between the thresholds, and at the lower one", {}, "0654400", "O1@1 X5@4"),
    ("two sounds", {}, "0700700", "O1@1 X2@1 O4@4 X5@4"),
    ("high in the very hop after an offset begins a new one", {}, "0707", "O1@1 X2@1 O3@3"),
    ("confirmed by three hops in a row", {"n_confirm": 3}, "0777000", "O3@1 X4@3"),
    ("two of three hops confirm nothing", {"n_confirm": 3}, "0770770", ""),
    ("a candidate may sag between the thresholds and begins where it began", {"n_confirm": 2}, "0757700", "O4@1 X5@4"),
    ("a candidate that fades begins anew later", {"n_confirm": 2}, "07307700", "O5@4 X6@5"),
    ("a candidate that only sags is never confirmed", {"n_confirm": 2}, "0757575", ""),
    ("silence that is too short is bridged", {"min_silence_seconds": 0.3}, "0700700", "O1@1"),
    ("silence that is just long enough ends it", {"min_silence_seconds": 0.3}, "0700070", "O1@1 X4@1 O5@5"),
    ("a score at the lower threshold bridges too", {"min_silence_seconds": 0.3}, "070040000", "O1@1 X7@4"),
    ("three beeps are one alarm", {"min_silence_seconds": 0.5}, "0700070007000000", "O1@1 X14@9"),
    ("no new one in the refractory time", {"refractory_seconds": 0.3}, "0700700", "O1@1 X2@1"),
    ("the first hop after the refractory time may begin one", {"refractory_seconds": 0.3}, "0700007", "O1@1 X2@1 O6@6"),
    (
        "still high after the refractory time begins a new one",
        {"refractory_seconds": 0.3},
        "07077777",
        "O1@1 X2@1 O6@6",
    ),
    (
        "hops in the refractory time confirm what begins after it",
        {"refractory_seconds": 0.3, "n_confirm": 3},
        "777077777",
        "O2@0 X3@2 O7@7",
    ),
    (
        "a sound that sags in the refractory time needs the onset threshold again",
        {"refractory_seconds": 0.2},
        "070755",
        "O1@1 X2@1",
    ),
    ("smoothing takes the mean: one high hop is not enough", {"smoothing_seconds": 0.2}, "009000", ""),
    ("smoothing takes the mean: two are", {"smoothing_seconds": 0.2}, "0099000", "O3@3 X5@4"),
    ("right after a reset the mean is over the hops there are", {"smoothing_seconds": 0.3}, "900000", "O0@0 X2@1"),
    ("a gap ends what is active", {}, "0777|00", "O1@1 X4@3"),
    ("a gap ends it where it last was loud enough", {"min_silence_seconds": 0.5}, "07700|0", "O1@1 X5@2"),
    ("a gap drops a candidate", {"n_confirm": 2}, "07|7000", ""),
    ("a gap clears the smoothing", {"smoothing_seconds": 0.2}, "99|000", "O0@0 X2@1"),
    ("a gap forgets hops that confirm", {"n_confirm": 3}, "77|700", ""),
    ("a gap alone makes nothing", {}, "00|00|00", ""),
    ("high before and after a gap are two sounds", {}, "77|77", "O0@0 X2@1 O2@2"),
    ("a gap starts no refractory time", {"refractory_seconds": 0.3}, "77|77", "O0@0 X2@1 O2@2"),
    ("a gap ends no refractory time", {"refractory_seconds": 0.3}, "70|7777", "O0@0 X1@0 O5@5"),
]


@pytest.mark.parametrize(("changed", "scores", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_by_hand(changed: dict[str, Any], scores: str, expected: str) -> None:
    usual: dict[str, Any] = {"onset_threshold": 0.6, "offset_threshold": 0.4, "min_silence_seconds": 0.1}
    decision = Decision([DecisionSpec(**{**usual, **changed})], hop_seconds=0.1)
    row = decision.add_row()
    found = []
    n_hops = since = 0
    for character in scores:
        if character == "|":
            edges = decision.reset(row)
        else:
            # A hair above what is written: float32 has no 0.6.
            _, edges = decision.step(np.array([row]), np.array([[int(character) / 10 + 1e-6]], np.float32))
        found += [f"{'O' if edge.is_onset else 'X'}{n_hops}@{since + edge.hop}" for edge in edges]
        if character == "|":
            since = n_hops
        else:
            n_hops += 1
    assert " ".join(found) == expected


def test_score_and_peak_are_those_of_the_smoothed_posteriors() -> None:
    decision = Decision([DecisionSpec(smoothing_seconds=0.2, min_silence_seconds=0.1)], hop_seconds=0.1)
    row = decision.add_row()
    edges = []
    for posterior in (0.0, 0.5, 0.75, 1.0, 0.5, 0.0, 0.0):
        edges += decision.step(np.array([row]), np.array([[posterior]], np.float32))[1]
    onset, offset = edges
    assert (onset.hop, onset.score, onset.peak) == (2, 0.625, 0.625)
    assert (offset.hop, offset.score, offset.peak) == (4, 0.25, 0.875)


def test_a_new_row_leaves_the_others_as_they_are() -> None:
    decision = Decision([DecisionSpec(smoothing_seconds=0.2, n_confirm=2)], hop_seconds=0.1)
    first = decision.add_row()
    decision.step(np.array([first]), np.array([[0.9]], np.float32))
    second = decision.add_row()
    scores, edges = decision.step(np.array([first, second]), np.array([[0.9], [0.9]], np.float32))
    assert [(edge.row, edge.hop) for edge in edges] == [(first, 0)]
    np.testing.assert_allclose(scores, 0.9, atol=1e-6)


def test_no_labels_decide_nothing() -> None:
    decision = Decision([], hop_seconds=0.1)
    scores, edges = decision.step(np.array([decision.add_row()]), np.zeros((1, 0), np.float32))
    assert scores.shape == (1, 0)
    assert edges == decision.reset(0) == []


@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.03, 0.032, 0.08, 0.096, 0.1, 0.24, 0.7]))
def test_seconds_become_hops_by_rounding_up_and_exact_multiples_stay(milliseconds: int, hop_seconds: float) -> None:
    seconds = milliseconds / 1000
    assert hops(seconds, hop_seconds) == in_hops(seconds, hop_seconds)
    assert hops(milliseconds * hop_seconds, hop_seconds) == milliseconds


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"onset_threshold": 0.0}, "onset_threshold"),
        ({"onset_threshold": 1.1}, "onset_threshold"),
        ({"onset_threshold": float("nan")}, "onset_threshold"),
        ({"offset_threshold": 0.0}, "offset_threshold"),
        ({"offset_threshold": 0.6}, "offset_threshold"),
        ({"n_confirm": 0}, "n_confirm"),
        ({"smoothing_seconds": -0.1}, "smoothing_seconds"),
        ({"smoothing_seconds": 61.0}, "smoothing_seconds"),
        ({"min_silence_seconds": float("inf")}, "min_silence_seconds"),
        ({"refractory_seconds": float("nan")}, "refractory_seconds"),
    ],
    ids=str,
)
def test_a_spec_that_cannot_be_is_refused_and_the_field_named(wrong: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word) as error:
        DecisionSpec(**wrong)
    assert "\n" not in str(error.value)
    with pytest.raises(msgspec.ValidationError, match=word):
        msgspec.convert({**msgspec.structs.asdict(DecisionSpec()), **wrong}, DecisionSpec)


def test_five_hundred_labels_of_sixty_four_sources_cost_milliseconds() -> None:
    """A Python loop over the cells would take a hundred times as long."""
    decision = Decision([DecisionSpec(smoothing_seconds=0.5)] * 521, hop_seconds=0.24)
    rows = np.array([decision.add_row() for _ in range(64)])
    posteriors = np.random.default_rng(0).random((64, 521), np.float32) * np.float32(0.3)
    decision.step(rows, posteriors)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        decision.step(rows, posteriors)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05
