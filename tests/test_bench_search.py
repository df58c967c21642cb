from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamd.bench.measure import Result
from streamd.bench.search import CLOSE, MOST, best, highest, is_load_the_limit

HOP = 0.1


def result(n_sources: int, p99_seconds: float | None = 0.01, **changed: float) -> Result:
    facts = {"n_hops": n_sources * 40, "n_events": 1, "cpu_percent": 50.0, "load_late_seconds": 1e-3} | changed
    return Result(
        n_sources=n_sources,
        seconds=4.0,
        hop_seconds=HOP,
        p50_seconds=p99_seconds,
        p99_seconds=p99_seconds,
        max_seconds=p99_seconds,
        **facts,  # type: ignore[arg-type]
    )


@given(st.integers(1, MOST + 100))
def test_the_limit_is_found_to_a_few_percent(limit: int) -> None:
    results = highest(lambda n: result(n, 0.01 if n <= limit else 1.0))
    most = best(results)
    assert len(results) < 40
    if limit < 16:
        assert most is None
    else:
        assert most is not None
        assert most.n_sources <= limit
        assert most.n_sources * CLOSE >= min(limit, MOST) or most.n_sources == min(limit, MOST)


def test_a_number_that_fails_once_is_tried_again() -> None:
    failed = set()

    def measure(n: int) -> Result:
        is_first = n not in failed
        failed.add(n)
        return result(n, 1.0 if (n == 64 and is_first) or n > 100 else 0.01)

    most = best(highest(measure))
    assert most is not None
    assert 93 <= most.n_sources <= 100


def test_what_is_late_or_lost_does_not_hold() -> None:
    assert result(10).holds
    assert not result(10, HOP).holds
    assert not result(10, None).holds
    assert not result(10, n_lost=1).holds
    assert not result(10, n_missing=1).holds
    assert not result(10, n_hops=200).holds


def test_a_load_that_is_late_itself_is_told_apart() -> None:
    fine, late = result(100), result(200, 1.0, load_late_seconds=0.5 * HOP)
    assert not is_load_the_limit([fine])
    assert is_load_the_limit([fine, late])
    assert not is_load_the_limit([fine, late, result(150, 1.0)])
