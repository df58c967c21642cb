"""What happens to a wall clock, told apart: steps, slews, sleep, and a clock that nobody has set."""

from __future__ import annotations

import time

import pytest

from streamd import wall
from streamd.events import ClockReport
from streamd.wall import EARLIEST, WallClock, change_in_words, unset_in_words


class Host:
    """The three clocks of a host that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monotonic, self.wall, self.boot = 50.0, EARLIEST + 1e6, 50.0
        monkeypatch.setattr(time, "monotonic", lambda: self.monotonic)
        monkeypatch.setattr(time, "time", lambda: self.wall)
        monkeypatch.setattr(time, "clock_gettime", lambda _: self.boot)
        monkeypatch.setattr(wall, "_BOOT_CLOCK", 7)

    def passes(self, seconds: float, *, wall_too: float | None = None) -> None:
        """Time passes; the wall clock may be quicker or slower."""
        self.monotonic += seconds
        self.boot += seconds
        self.wall += seconds if wall_too is None else wall_too

    def sleeps(self, seconds: float) -> None:
        """The host is suspended."""
        self.boot += seconds
        self.wall += seconds


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host whose clocks stand still."""
    return Host(monkeypatch)


@pytest.mark.parametrize(
    ("step", "way"), [(3600.0, "forward by 3600.0 s"), (-3600.0, "back by 3600.0 s"), (0.2, "by 0.2")]
)
def test_a_step_is_told_once_with_its_size(host: Host, step: float, way: str) -> None:
    clock = WallClock()
    before = clock.report()
    host.passes(0.1, wall_too=0.1 + step)
    assert clock.look() == pytest.approx(EARLIEST + 1e6 - 50.0 + step)
    host.passes(0.1)
    clock.look()
    report = clock.report()
    assert (report.n_steps, report.n_suspends, clock.n_changes) == (1, 0, 1)
    assert report.last_step_seconds == pytest.approx(step)
    assert way in change_in_words(before, report)
    assert change_in_words(report, clock.report()) == ""
    assert change_in_words(None, report) == ""


def test_a_clock_that_is_corrected_little_by_little_makes_no_step(host: Host) -> None:
    clock = WallClock()
    for _ in range(10_000):
        host.passes(0.08, wall_too=0.08 * 1.0005)
        clock.look()
    assert clock.n_changes == 0
    assert clock.report().offset_seconds == pytest.approx(EARLIEST + 1e6 - 50.0 + 0.4)


def test_a_host_that_slept_made_no_step(host: Host) -> None:
    clock = WallClock()
    before = clock.report()
    host.sleeps(500.0)
    host.passes(0.1)
    clock.look()
    report = clock.report()
    assert (report.n_steps, report.n_suspends, report.suspended_seconds) == (0, 1, 500.0)
    assert change_in_words(before, report) == "its host slept for 500.0 s"


def test_a_host_in_1970_is_told_until_its_clock_is_set(host: Host) -> None:
    host.wall = 30.0
    clock = WallClock()
    assert not clock.report().is_set
    [trouble] = unset_in_words(clock.report())
    assert "not set" in trouble
    host.passes(1.0, wall_too=EARLIEST + 1e6)
    clock.look()
    assert clock.report().is_set
    assert unset_in_words(clock.report()) == unset_in_words(None) == []


def test_the_clocks_of_this_host_are_read_together() -> None:
    clock = WallClock()
    assert clock.look() == pytest.approx(time.time() - time.monotonic(), abs=0.01)
    report = clock.report(drift_ppm=-12.345)
    assert isinstance(report, ClockReport)
    assert (report.is_set, report.n_steps, report.drift_ppm) == (True, 0, -12.3)
