"""Minutes become steps and checks, and most of them are spent on steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.design.fit_settings import FitSettings
from training.design.plan import FIRST_CHECK, N_CHECKS, Plan, Took

STEP_SECONDS = 0.1


def planned(minutes: float, check: float, candidate: float = 0.1) -> tuple[Plan, float]:
    """A plan that was fixed after forty steps and one check, and the seconds that it all takes."""
    plan = Plan(FitSettings(minutes=minutes))
    begun = 40 * STEP_SECONDS + check
    plan.fix(40, begun, Took(STEP_SECONDS, candidate, check))
    return plan, begun + (plan.n_steps - 40) * STEP_SECONDS + (plan.n_checks * check or candidate)


def checks(plan: Plan) -> list[int]:
    return [step for step in range(1, plan.n_steps + 1) if plan.is_check_due(step)]


def test_where_there_is_time_all_checks_are_done_the_last_after_the_last_step():
    plan, seconds = planned(minutes=5, check=2.0)
    found = checks(plan)
    assert len(found) == plan.n_checks == N_CHECKS
    assert found[0] == pytest.approx(FIRST_CHECK * plan.n_steps, abs=1)
    assert found[-1] == plan.n_steps
    assert 280 < seconds <= 285


@pytest.mark.parametrize(("check", "n_checks"), [(10.0, 7), (30.0, 2), (60.0, 0), (150.0, 0), (1000.0, 0)])
def test_where_checks_take_long_there_are_fewer_or_none_and_it_trains(check, n_checks):
    plan, seconds = planned(minutes=3, check=check, candidate=1.0)
    assert len(checks(plan)) == plan.n_checks == n_checks
    assert plan.n_steps * STEP_SECONDS >= 0.4 * 180 - 0.1
    assert seconds < 180 or check > 90


@given(check=st.floats(0.01, 300), minutes=st.floats(0.2, 60), step=st.floats(0.01, 3))
def test_whatever_takes_how_long_minutes_are_kept_unless_one_check_takes_more_than_half(check, minutes, step):
    plan = Plan(FitSettings(minutes=minutes))
    n_timed = max(10, int(0.05 * 60 * minutes / step) + 1)
    seconds = n_timed * step + check
    plan.fix(n_timed, seconds, Took(step, min(check, 0.01), check))
    assert plan.n_checks != 1
    assert plan.n_steps > n_timed
    n_left = plan.n_steps - n_timed
    if n_left > 1 and check < 0.5 * 60 * minutes:
        assert seconds + n_left * step + plan.n_checks * check <= 60 * minutes


def test_a_plan_that_was_restored_is_the_same_plan():
    plan, _ = planned(minutes=3, check=30.0)
    again = Plan(FitSettings(minutes=3))
    again.restore(plan.state())
    assert checks(again) == checks(plan)
    assert [again.learning_rate(step) for step in range(plan.n_steps)] == [
        plan.learning_rate(step) for step in range(plan.n_steps)
    ]
