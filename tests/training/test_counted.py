"""Counts of false alarms as a manifest has them."""

from __future__ import annotations

import pytest

pytest.importorskip("scipy")

from training.expect.counted import Counted


def test_a_count_comes_with_the_exact_interval_of_its_rate() -> None:
    # Garwood's limits of a count of 10: 4.795 and 18.39 (tables of the Poisson distribution).
    assert Counted(hours=10.0, n_events=10).as_expected() == {
        "hours": 10.0,
        "n_events": 10,
        "per_hour_interval_95": [0.48, 1.84],
    }


def test_no_event_still_leaves_a_rate_that_the_hours_cannot_rule_out() -> None:
    assert Counted(hours=6.0, n_events=0).as_expected()["per_hour_interval_95"] == [0.0, 0.61]


def test_pieces_are_counted_together() -> None:
    parts = [Counted(hours=1.5, n_events=2), Counted(hours=0.5, n_events=0)]
    assert Counted.all_of(parts) == Counted(hours=2.0, n_events=2)
