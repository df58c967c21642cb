"""The daemon itself: signals, a freeze, and a machine without time for it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from streamd.events import Heartbeat, Score
from tests.faults.harness import SHARE, faults
from tests.faults.rig import HOP_SECONDS, Rig, Scene, Told, running, scene
from tests.running import has_status

__all__ = ["scene"]  # a fixture

SOURCES = [f"s{i}" for i in range(6)]
CORE = max(psutil.Process().cpu_affinity() or [0])
N_SPINNERS = 60
STARVED_SECONDS = 3.0 if SHARE else 1.5


def test_a_signal_ends_it_within_two_seconds_with_every_event_closed(scene: Scene) -> None:
    how = "SIGTERM, SIGINT or a storm of both while a sound is on: it ends with 0, and each onset has its offset"
    with faults("signals", 14, "SIGTERM, SIGINT", how, through="real", long=40) as kept:
        for i in range(kept.n):
            with kept.injection() as one, running(scene, scene.config(*SOURCES[:2])) as rig:
                rig.sounding("s0")
                process = rig.daemon.process
                asked = time.monotonic()
                for n in range(100 if i % 3 == 2 else 1):
                    process.send_signal(signal.SIGINT if (i + n) % 2 else signal.SIGTERM)
                rig.wait(has_status("stopped", "s1"), 5.0)
                assert process.wait(5) == 0
                one.recovery_seconds = time.monotonic() - asked
                one.n_hidden += len(rig.ledger.open)
                assert one.recovery_seconds < 2.0


def test_a_frozen_daemon_loses_what_it_says_and_kills_nobody(scene: Scene) -> None:
    how = "SIGSTOP to the daemon for 0.3 to 9 s, then SIGCONT: its agents live on, what is too old is shed and told"
    with (
        faults("daemon_frozen", 15, "daemon frozen", how, through="real", long=20) as kept,
        running(scene, scene.config(*SOURCES)) as rig,
    ):
        for name in SOURCES:
            rig.heard(name)
        for i in range(kept.n):
            with kept.injection() as one, rig.accounted(one):
                rig.sounding("s0")
                rig.daemon.process.send_signal(signal.SIGSTOP)
                rig.listen((1.5, 0.3, 3.0, 9.0)[i % 4])
                rig.daemon.process.send_signal(signal.SIGCONT)
                over = time.monotonic()
                one.recovery_seconds = on_time(rig, set(SOURCES)) - over
        assert all(source.agent_restarts == 0 for source in rig.daemon.status().sources)


def on_time(rig: Rig, sources: set[str]) -> float:
    """Wait until the scores of all sources come in time again; return when that was."""
    last: dict[str, float] = {}

    def is_it(message: object) -> bool:
        return isinstance(message, Score)

    while True:
        told = rig.wait(is_it, 30.0)
        last[told.message.source] = told.age_seconds
        if last.keys() == sources and max(last.values()) < 2 * HOP_SECONDS:
            return told.at


@contextmanager
def starved(*processes: psutil.Process) -> Iterator[None]:
    """Give processes one core, and share it with sixty that do nothing but calculate."""
    spinners = []
    try:
        for process in processes:
            process.cpu_affinity([CORE])
        for _ in range(N_SPINNERS):
            # A session of its own: Linux shares time among sessions first (sched(7), autogroup).
            spinner = subprocess.Popen(["sh", "-c", "while :; do :; done"], start_new_session=True)
            spinners.append(spinner)
            psutil.Process(spinner.pid).cpu_affinity([CORE])
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
        for spinner in spinners:
            spinner.wait()


def test_without_time_it_says_how_late_it_is_and_is_back_within_a_second(scene: Scene) -> None:
    how = f"""daemon and agents on one core with {N_SPINNERS} busy processes for {STARVED_SECONDS:g} s: lag is
        published, what is too old is shed in runs and told; recovery is until every source is scored in time again"""
    with (
        faults("cpu_starved", 18, "no processor time", how, through="real", long=20) as kept,
        running(scene, scene.config(*SOURCES)) as rig,
    ):
        for name in SOURCES:
            rig.heard(name)
        worst = 0.0
        for _ in range(kept.n):
            with kept.injection() as one, rig.accounted(one):
                on_time(rig, set(SOURCES))
                with starved(rig.daemon.process, *rig.daemon.process.children(recursive=True)):
                    told = rig.listen(STARVED_SECONDS)
                    over = time.monotonic()
                one.recovery_seconds = max(0.0, on_time(rig, set(SOURCES)) - over)
                worst = max(worst, oldest(told))
                if oldest(told) > 1.0:
                    assert lag(told) > 0.3, f"scores were {oldest(told):.1f} s old, and the lag was {lag(told):.2f} s"
                assert one.recovery_seconds < 1.0 + 2 * HOP_SECONDS, f"back after {one.recovery_seconds:.2f} s"
        kept.notes["oldest score, seconds"] = round(worst, 2)
        if not SHARE and worst < 2 * HOP_SECONDS:
            pytest.skip("this machine has time enough in spite of all")


def oldest(told: list[Told]) -> float:
    return max((one.age_seconds for one in told), default=0.0)


def lag(told: list[Told]) -> float:
    """Return the longest lag that was published."""
    lags = [one.message.lag_seconds for one in told if isinstance(one.message, Heartbeat)]
    return max((one for one in lags if one is not None), default=0.0)
