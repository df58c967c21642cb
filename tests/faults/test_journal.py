"""The journal, its disk and its daemon under faults: what was published is stored in the end, and nothing waits."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from streamd.requests import JournalReport
from tests.disks import fill, mounted
from tests.faults.harness import Injection, faults
from tests.faults.rig import HOP_SECONDS, Rig, Scene, running, scene
from tests.running import wait_for

__all__ = ["scene"]  # a fixture

SOURCES = ["s0", "s1"]
ON_TIME_SECONDS = 1.0
FELT_SECONDS = 10.0


def journal_of(rig: Rig) -> psutil.Process:
    """Return the process of the journal."""
    return wait_for(
        lambda: next((one for one in rig.daemon.process.children() if "streamd.journal" in one.cmdline()), None)
    )


def missing(rig: Rig, file: Path) -> int:
    """Return how many messages that were heard the journal never got."""
    with closing(sqlite3.connect(file)) as database:
        stored = set(database.execute("SELECT run, source, seq FROM messages"))
    return len(rig.ledger.published - stored)


def caught_up(rig: Rig) -> JournalReport | None:
    """Return how the journal fares, once it has everything."""
    report = rig.daemon.status().journal
    return report if report is not None and report.state == "kept" and not report.n_waiting else None


def all_live(rig: Rig) -> None:
    for name in SOURCES:
        rig.heard(name)


def test_a_killed_daemon_leaves_no_event_open_and_nothing_unstored(scene: Scene) -> None:
    how = """SIGKILL to the daemon, or to daemon and journal at once, while a sound is on; started again, it closes
        what was open; all that was ever published is in the journal. Recovered: from the new start on"""
    with (
        faults("daemon_killed", 14, "daemon killed", how, through="real", long=30) as kept,
        running(scene, scene.config(*SOURCES)) as rig,
    ):
        all_live(rig)
        for i in range(kept.n):
            with kept.injection() as one:
                rig.sounding("s0")
                victims = [rig.daemon.process, *([journal_of(rig)] if i % 2 else [])]
                for victim in victims:
                    victim.send_signal(signal.SIGSTOP)
                for victim in victims:
                    victim.send_signal(signal.SIGKILL)
                rig.daemon.process.wait(10)
                began, when = time.monotonic(), time.time()
                rig.daemon.start()
                one.recovery_seconds = rig.heard("s0", when) - began
                before = {event for event in rig.ledger.open if not event.startswith(rig.daemon.status().run)}
                deadline = time.monotonic() + 10
                while before & rig.ledger.open and time.monotonic() < deadline:
                    rig.listen(0.2)
                one.n_hidden = len(before & rig.ledger.open)
        wait_for(lambda: caught_up(rig))
        assert rig.daemon.stop() == 0
        lost = missing(rig, rig.daemon.folder / "journal.db")
        kept.notes["messages heard"], kept.notes["of them not stored"] = len(rig.ledger.published), lost
        assert not lost


@contextmanager
def unshaken(kept_by: Rig, one: Injection) -> Iterator[None]:
    """Hold that whatever befalls the journal, hops stay on time, and nothing is lost."""
    with kept_by.accounted(one):
        yield
        scores = [told.age_seconds for told in kept_by.listen(3 * HOP_SECONDS) if told.age_seconds]
        assert scores
        assert max(scores) < ON_TIME_SECONDS
    assert not one.lost_seconds


def test_a_killed_journal_is_started_again_and_gets_everything(scene: Scene) -> None:
    how = "SIGKILL to the journal's process while events are published; recovered when it has stored the backlog"
    with (
        faults("journal_killed", 16, "journal killed", how, through="real", long=20) as kept,
        running(scene, scene.config(*SOURCES)) as rig,
    ):
        all_live(rig)
        for i in range(kept.n):
            if i:
                rig.listen(10.0)  # it has lived, so its next pause is the first again
            with kept.injection() as one, unshaken(rig, one):
                rig.sounding("s0")
                victim = journal_of(rig)
                victim.kill()
                killed = time.monotonic()
                wait_for(lambda gone=victim: True if not gone.is_running() else None)
                wait_for(lambda n=i: True if (found := caught_up(rig)) and found.restarts > n else None)
                one.recovery_seconds = time.monotonic() - killed
        assert rig.daemon.stop() == 0
        lost = missing(rig, rig.daemon.folder / "journal.db")
        kept.notes["messages heard"], kept.notes["of them not stored"] = len(rig.ledger.published), lost
        assert not lost


def test_a_journal_that_hangs_holds_up_nobody(scene: Scene) -> None:
    how = "SIGSTOP to the journal's process for 2 to 10 s, as a disk that hangs does it; then it gets the backlog"
    with (
        faults("journal_hangs", 16, "disk hangs", how, through="fake", long=20) as kept,
        running(scene, scene.config(*SOURCES)) as rig,
    ):
        all_live(rig)
        for i in range(kept.n):
            with kept.injection() as one, unshaken(rig, one):
                journal = journal_of(rig)
                journal.send_signal(signal.SIGSTOP)
                rig.listen((2.0, 6.0, 10.0)[i % 3])
                journal.send_signal(signal.SIGCONT)
                over = time.monotonic()
                wait_for(lambda: caught_up(rig))
                one.recovery_seconds = time.monotonic() - over
        assert rig.daemon.stop() == 0
        lost = missing(rig, rig.daemon.folder / "journal.db")
        kept.notes["messages heard"], kept.notes["of them not stored"] = len(rig.ledger.published), lost
        assert not lost


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    with mounted(tmp_path / "disk", "size=2m") as folder:
        yield folder


def attribute(disk: Path, what: str) -> None:
    """Set an attribute of the journal's files (chattr(1)): "+i" makes them immutable, for root too."""
    subprocess.run(["chattr", what, *disk.glob("journal.db*")], check=True, capture_output=True)


DISK_FAULTS: dict[str, tuple[Callable[[Path], None], Callable[[Path], None], str, str]] = {
    "disk_full": (fill, lambda disk: (disk / "rubbish").unlink(), "disk full", "a real tmpfs that is full"),
    "disk_read_only": (
        lambda disk: attribute(disk, "+i"),
        lambda disk: attribute(disk, "-i"),
        "database read-only",
        "the journal's SQLite files, made immutable (chattr +i), which ends its process (SIGBUS, at shared memory),",
    ),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a tmpfs or make a file immutable")
@pytest.mark.parametrize("name", DISK_FAULTS)
def test_a_disk_that_takes_nothing_is_told_and_gets_it_later(
    scene: Scene, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    disk: Path = request.getfixturevalue("disk") if name == "disk_full" else tmp_path
    strike, heal, what, how = DISK_FAULTS[name]
    how += """ until the state says that events are not stored, 10 s at most: SQLite may have room in the files it has;
        recovered when it has them all"""
    config = scene.config(*SOURCES, more=f"journal: {{file: {disk}/journal.db}}")
    with faults(name, 16, what, how, through="real", long=20) as kept, running(scene, config) as rig:
        all_live(rig)
        n_felt = 0
        for i in range(kept.n):
            if i:
                rig.listen(10.0)  # a journal that was ended has lived, so its next pause is the first again
            with kept.injection() as one, unshaken(rig, one):
                wait_for(lambda: caught_up(rig))
                try:
                    strike(disk)
                    struck, report = time.monotonic(), rig.daemon.status().journal
                    while time.monotonic() < struck + FELT_SECONDS and report is not None and report.state == "kept":
                        rig.listen(0.2)
                        report = rig.daemon.status().journal
                    n_felt += report is not None and report.state == "behind"
                    rig.listen(1.0)
                finally:
                    heal(disk)
                over = time.monotonic()
                wait_for(lambda: caught_up(rig))
                one.recovery_seconds = time.monotonic() - over
        assert n_felt
        kept.notes["times that it was felt and told"] = n_felt
        assert rig.daemon.stop() == 0
        lost = missing(rig, disk / "journal.db")
        kept.notes["messages heard"], kept.notes["of them not stored"] = len(rig.ledger.published), lost
        assert not lost
