"""The daemon with a recorder: what it hears is on the disk, and no disk ever touches what it hears."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
import soundfile

from streamd.events import State
from streamd.recorder.desk import Beside
from tests import sounds
from tests.running import RunningDaemon, a_daemon, collect, events, has_status, wait_for

CROWS_AT = (3.0, 12.0)


@pytest.fixture(scope="module")
def crows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen seconds with two crows."""
    audio = sounds.scene(16, [(at, sounds.crow()) for at in CROWS_AT])
    return sounds.save(tmp_path_factory.mktemp("crows") / "crows.flac", audio)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "recordings"
    made.mkdir()
    return made


def recorder_of(daemon: RunningDaemon) -> psutil.Process:
    """Return its recorder's process."""

    def find() -> psutil.Process | None:
        for child in daemon.process.children():
            with contextlib.suppress(psutil.ZombieProcess):  # killed a moment ago
                if "streamd.recorder" in child.cmdline():
                    return child
        return None

    return wait_for(find)


def recordings(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.rglob("*.flac")))


def test_what_was_heard_is_on_the_disk_to_the_sample_and_is_a_folder_of_clips(
    crows: Path, folder: Path, tmp_path: Path
) -> None:
    noise = 0.01 * np.random.default_rng(1).standard_normal(16 * sounds.RATE).astype(np.float32)
    hall = sounds.save(tmp_path / "hall.flac", sounds.load(crows) + noise)
    config = f"""
sources:
  yard: {{recording: {crows}, fast: true}}
  hall: {{recording: {hall}, fast: true}}
recorder: {{folder: {folder}, pre_roll_seconds: 1, post_roll_seconds: 0.5, near_miss: 0.1}}
"""
    ended: set[str] = set()

    def both(message: object) -> bool:
        if isinstance(message, State) and message.status == "ended":
            ended.add(message.source)
        return len(ended) == 2

    with a_daemon(config) as daemon, daemon.subscriber() as subscriber:
        told = events(collect(subscriber, both))
        assert daemon.stop() == 0
    whole = {source: soundfile.read(file, dtype="int16")[0] for source, file in (("yard", crows), ("hall", hall))}
    offsets = {event.event_id: event for event in told if event.phase == "offset" and event.label == "Crow"}
    clips = list(recordings(folder / "events" / "Crow"))
    assert len(clips) == len(offsets) == 4
    for file in clips:
        beside = msgspec.json.decode(file.with_suffix(".json").read_bytes(), type=Beside)
        assert beside.event is not None
        event = offsets[beside.event.event_id]
        assert beside.event == event
        assert event.offset_sample is not None
        expected = whole[event.source][event.onset_sample - 16_000 : event.offset_sample + 8_000]
        np.testing.assert_array_equal(soundfile.read(file, dtype="int16")[0], expected)
    done = subprocess.run(
        [sys.executable, "-m", "training", "prepare", str(folder / "events")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert f"{folder / 'events'}: read as folders" in done.stdout
    assert any(line.split()[:2] == ["Crow", "4"] for line in done.stdout.splitlines())


def test_no_child_runs_what_lies_in_the_folder_where_the_daemon_was_started(
    crows: Path, folder: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "msgspec.py").write_text(f"import os\nopen({str(ran)!r}, 'w').close()\nos._exit(1)\n")
    config = f"sources: {{yard: {{recording: {crows}}}}}\nrecorder: {{folder: {folder}}}"
    with a_daemon(config, cwd=tmp_path) as daemon, daemon.subscriber() as subscriber:
        collect(subscriber, has_status("live"))  # its agent runs
        recorder_of(daemon)
        wait_for(lambda: daemon.status().recorder and daemon.status().journal)
        assert not ran.exists()


def test_without_a_recorder_in_the_configuration_there_is_none(crows: Path) -> None:
    with a_daemon(f"sources: {{yard: {{recording: {crows}}}}}") as daemon, daemon.subscriber() as subscriber:
        collect(subscriber, has_status("live"))
        assert daemon.status().recorder is None
        assert not any("streamd.recorder" in child.cmdline() for child in daemon.process.children())


def test_a_folder_that_is_not_there_is_told_of_events_come_and_it_records_when_it_is(crows: Path, folder: Path) -> None:
    folder.rmdir()
    config = f"""
sources: {{yard: {{recording: {crows}, repeat: true}}}}
recorder: {{folder: {folder}}}
"""
    with a_daemon(config) as daemon, daemon.subscriber() as subscriber:
        told = collect(
            subscriber, lambda message: isinstance(message, State) and "there is no such folder" in message.detail
        )
        assert isinstance(told[-1], State)
        assert told[-1].status in ("starting", "live")
        told = collect(subscriber, lambda message: "offset" in repr(message) and bool(events([message])))
        status = daemon.status()
        assert status.recorder is not None
        assert "there is no such folder" in status.recorder.detail
        folder.mkdir()
        told = collect(
            subscriber,
            lambda message: isinstance(message, State) and message.status == "live" and "folder" not in message.detail,
        )
        assert wait_for(lambda: next(recordings(folder), None)).parent.name == "Crow"


def test_a_recorder_that_is_stopped_costs_no_hop_and_one_that_is_killed_comes_back(crows: Path, folder: Path) -> None:
    config = f"""
sources: {{yard: {{recording: {crows}, repeat: true, fast: true}}}}
recorder: {{folder: {folder}}}
"""
    with a_daemon(config) as daemon, daemon.subscriber() as subscriber:
        recorder = recorder_of(daemon)
        collect(subscriber, lambda message: bool(events([message])))
        recorder.send_signal(signal.SIGSTOP)
        told = collect(subscriber, lambda message: isinstance(message, State) and "does not keep up" in message.detail)
        n_heard = daemon.status().sources[0].n_samples
        told += collect(subscriber, lambda message: sum(map(bool, [events([message])])) > 0)
        wait_for(lambda: daemon.status().sources[0].n_samples > n_heard + 160 * sounds.RATE or None)
        report = daemon.status()
        assert report.recorder is not None
        assert report.recorder.n_lost_samples > 0
        assert report.sources[0].n_lost == 0
        os.kill(recorder.pid, signal.SIGKILL)
        other = wait_for(lambda: one if (one := recorder_of(daemon)).pid != recorder.pid else None)
        assert other.is_running()
        before = {*recordings(folder)}
        wait_for(lambda: {*recordings(folder)} - before or None)
