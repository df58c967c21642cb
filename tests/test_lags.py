from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.lags import Lags, since
from streamd.requests import LagReport

WIDTH = 10 ** (1 / 40)
"""Of a bin: so far off a percentile may be."""
seconds = st.floats(1e-3, 90.0)


def counted(values: list[float]) -> LagReport:
    lags = Lags()
    for value in values:
        lags.add(value)
    return lags.report()


@given(st.lists(seconds, min_size=1, max_size=300))
def test_percentiles_are_those_of_the_lags_but_for_the_width_of_a_bin(values: list[float]) -> None:
    report = counted(values)
    assert report.n == len(values)
    assert report.max_seconds == pytest.approx(max(values))
    for found, share in ((report.p50_seconds, 50), (report.p99_seconds, 99)):
        exact = float(np.percentile(values, share, method="inverted_cdf"))
        assert found is not None
        assert exact * (1 - 1e-9) <= found <= exact * WIDTH * (1 + 1e-9)


@given(st.lists(seconds, max_size=50), st.lists(seconds, min_size=1, max_size=50))
def test_what_lies_between_two_reports_is_what_came_between_them(first: list[float], then: list[float]) -> None:
    difference = since(counted(first), counted([*first, *then]))
    only = counted(then)
    assert (difference.n, difference.counts) == (only.n, only.counts)
    assert difference.p50_seconds == pytest.approx(only.p50_seconds, rel=WIDTH - 1)
    assert difference.max_seconds is not None
    assert max(then) * (1 - 1e-9) <= difference.max_seconds <= max(then) * WIDTH * (1 + 1e-9)


def test_without_a_hop_there_is_no_lag() -> None:
    report = counted([])
    assert report == LagReport(n=0, p50_seconds=None, p99_seconds=None, max_seconds=None, counts=[])
    assert since(report, report) == report


@pytest.mark.parametrize(("value", "least"), [(-1e-6, 0.0), (0.0, 0.0), (1e-9, 0.0), (3600.0, 3600.0)])
def test_what_lies_beyond_the_bins_is_counted_too(value: float, least: float) -> None:
    report = counted([value])
    assert report.n == 1
    assert report.p99_seconds is not None
    assert report.p99_seconds >= least
