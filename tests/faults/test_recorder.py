"""The recorder and its disk under faults: hearing stays on time, and what is not recorded is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import soundfile

from streamd.events import Event
from streamd.requests import RecorderReport
from tests.disks import fill, mounted
from tests.faults.harness import SHARE, Faults, Injection, faults
from tests.faults.rig import HOP_SECONDS, Rig, Scene, running, scene
from tests.running import wait_for

__all__ = ["scene"]  # a fixture

SOURCES = ["s0", "s1"]
ON_TIME_SECONDS = 1.0
STRIKE_SECONDS = 2.0 if SHARE else 1.0


def report_of(rig: Rig) -> RecorderReport:
    """Return how the recorder fares."""
    report = rig.daemon.status().recorder
    assert report is not None
    return report


def recorder_of(rig: Rig) -> psutil.Process:
    """Return the recorder's process."""
    return wait_for(
        lambda: next((one for one in rig.daemon.process.children() if "streamd.recorder" in one.cmdline()), None)
    )


def all_recorded(rig: Rig) -> RecorderReport | None:
    """Return how the recorder fares, once nothing is wrong with it and nothing waits."""
    report = report_of(rig)
    return report if not report.detail and not report.n_waiting and report.n_bytes else None


@contextmanager
def unshaken(rig: Rig, one: Injection) -> Iterator[None]:
    """Hold that whatever befalls the recorder, hops stay on time, and no audio is lost to the models."""
    with rig.accounted(one):
        yield
        ages = [told.age_seconds for told in rig.listen(3 * HOP_SECONDS) if told.age_seconds]
        assert ages
        assert max(ages) < ON_TIME_SECONDS
    assert not one.lost_seconds


@contextmanager
def recording(scene: Scene, kept: Faults, folder: Path) -> Iterator[Rig]:
    """Run a daemon that records all it hears, and hold in the end that each event is on the disk whole, or counted."""
    config = scene.config(
        *SOURCES, more=f"recorder: {{folder: {folder}, pre_roll_seconds: 0.5, post_roll_seconds: 0.5}}"
    )
    told: set[str] = set()
    with running(scene, config) as rig:
        enter = rig.ledger.enter

        def and_note(message: object) -> None:
            enter(message)  # type: ignore[arg-type]
            if isinstance(message, Event) and message.phase == "offset":
                told.add(message.event_id)

        rig.ledger.enter = and_note  # type: ignore[method-assign]
        for name in SOURCES:
            rig.heard(name)
        wait_for(lambda: all_recorded(rig))
        yield rig
        last = wait_for(lambda: all_recorded(rig))
        assert rig.daemon.stop() == 0
        rig.listen(0.5)
        written = {file.stem.split("-", 2)[2] for file in folder.rglob("*.json")}
        for file in folder.rglob("*.flac"):
            assert len(soundfile.read(file)[0]) > 0
        assert not list(folder.rglob("*.part"))
        hidden = max(0, len(told - written) - last.n_lost - last.n_lost_events)
        kept.notes["events heard"], kept.notes["of them recorded"] = len(told), len(told & written)
        kept.notes["counted as lost"] = last.n_lost + last.n_lost_events
        kept.injections[-1].n_hidden += hidden


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 MB."""
    with mounted(tmp_path / "disk", "size=64m") as folder:
        yield folder


def remount(disk: Path, how: str) -> None:
    """Make it read-only, or writable again; while a file is just being written the kernel refuses, so once more."""
    wait_for(lambda: subprocess.run(["mount", "-o", f"remount,{how}", disk], check=False).returncode == 0 or None)


DISK_FAULTS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object], str, str]] = {
    "recordings_full": (fill, lambda disk: (disk / "rubbish").unlink(), "disk of recordings full", "a real full tmpfs"),
    "recordings_read_only": (
        lambda disk: remount(disk, "ro"),
        lambda disk: remount(disk, "rw"),
        "disk of recordings read-only",
        "a real tmpfs, remounted",
    ),
    "recordings_gone": (
        lambda disk: (disk / "here").rename(disk / "away"),
        lambda disk: (disk / "away").rename(disk / "here"),
        "folder of recordings gone",
        "a real folder that is moved away",
    ),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a tmpfs")
@pytest.mark.parametrize("name", DISK_FAULTS if SHARE else ["recordings_full"])  # tests/recorder has them all
def test_a_disk_that_takes_no_recording_is_told_and_gets_it_later(scene: Scene, name: str, disk: Path) -> None:
    strike, heal, what, how = DISK_FAULTS[name]
    how += " for some seconds: the state says that nothing is recorded; recovered when all of it is on the disk"
    folder = disk / "here"
    folder.mkdir()
    with faults(name, 12, what, how, through="real", long=20) as kept, recording(scene, kept, folder) as rig:
        for _ in range(kept.n):
            with kept.injection() as one, unshaken(rig, one):
                try:
                    strike(disk)
                    while not report_of(rig).detail:
                        rig.listen(0.2)
                    rig.listen(STRIKE_SECONDS)
                finally:
                    heal(disk)
                over = time.monotonic()
                while not all_recorded(rig):
                    rig.listen(0.1)
                    assert time.monotonic() < over + 30
                one.recovery_seconds = time.monotonic() - over


@pytest.mark.parametrize("name", ["recorder_hangs", "recorder_killed"] if SHARE else ["recorder_killed"])
def test_a_recorder_that_hangs_or_dies_costs_no_hop(scene: Scene, name: str, tmp_path: Path) -> None:
    is_kill = name == "recorder_killed"
    what, how = ("recorder killed", "SIGKILL") if is_kill else ("recorder hangs", "SIGSTOP for 2 s, as a disk would")
    how += " to its process; recovered when another event is on the disk"
    with faults(name, 12, what, how, through="real", long=20) as kept, recording(scene, kept, tmp_path) as rig:
        for i in range(kept.n):
            if i and is_kill:
                rig.listen(10.0)  # it has lived, so its next pause is the first again
            with kept.injection() as one, unshaken(rig, one):
                rig.sounding("s0")
                victim = recorder_of(rig)
                victim.send_signal(signal.SIGKILL if is_kill else signal.SIGSTOP)
                if not is_kill:
                    rig.listen(STRIKE_SECONDS)
                    victim.send_signal(signal.SIGCONT)
                over = time.monotonic()
                before = set(tmp_path.rglob("*.json"))
                while not set(tmp_path.rglob("*.json")) - before:
                    rig.listen(0.1)
                    assert time.monotonic() < over + 30
                one.recovery_seconds = time.monotonic() - over
