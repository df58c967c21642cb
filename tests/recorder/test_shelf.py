"""Recordings on a real disk: whole or not there, and written after all when the disk can again."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from streamd.events import at
from streamd.recorder import shelf as shelves
from streamd.recorder.desk import AudioFacts, Beside, Recording
from streamd.recorder.messages import RecorderSpec, Report
from streamd.recorder.shelf import Shelf, folder_name
from tests.disks import mounted
from tests.recorder.audio import RATE, START, offset, onset, pcm
from tests.running import wait_for


def recording(number: int = 0, n_samples: int = 3_000, label: str = "Dog", seed: int | None = None) -> Recording:
    """One of a sound at 5 s; noise, which FLAC can't make small, if a seed is given."""
    event = offset(onset(5_000, event_id=f"3f2a-0-{number}", label=label), 5_500)
    samples = pcm(4_000, 4_000 + n_samples)
    if seed is not None:
        samples = np.random.default_rng(seed).integers(-32_768, 32_767, n_samples).astype(np.int16)
    facts = AudioFacts(
        sample_rate=RATE,
        first_sample=4_000,
        n_samples=n_samples,
        first_time=at(START + 4),
        onset_seconds=1.0,
        offset_seconds=1.5,
        is_whole=True,
    )
    stem = f"20260101T100005.{number:03}Z-kitchen-3f2a-0-{number}"
    return Recording(stem, label, Beside(kind="event", audio=facts, event=event), samples)


@contextmanager
def a_shelf(folder: Path, **spec: int) -> Iterator[Shelf]:
    """Start one that is ended whatever happens."""
    shelf = Shelf(RecorderSpec(folder=str(folder), max_days=36_500, **spec))  # type: ignore[arg-type]
    shelf.start()
    yield shelf
    shelf.close(10)
    assert not shelf._thread.is_alive()


def until(shelf: Shelf, says: Callable[[Report], bool]) -> Report:
    """Return the first report of which this is true."""
    return wait_for(lambda: report if says(report := shelf.report()) else None)


def recorded(folder: Path) -> dict[str, np.ndarray]:
    """All recordings, by the stem of their file; each is read back whole, and nothing else lies there."""
    found = {}
    for file in sorted(folder.rglob("*.*")):
        assert file.suffix in (".flac", ".json"), file
        if file.suffix == ".flac":
            found[file.stem], rate = soundfile.read(file, dtype="int16")
            assert rate == RATE
            assert json.loads(file.with_suffix(".json").read_text())["audio"]["n_samples"] == len(found[file.stem])
    return found


def test_a_recording_is_read_back_to_the_sample_with_its_event_beside_it(tmp_path: Path) -> None:
    made = recording()
    with a_shelf(tmp_path) as shelf:
        shelf.put(made)
        report = until(shelf, lambda report: report.n_recorded == 1)
    file = tmp_path / "events" / "Dog" / f"{made.stem}.flac"
    np.testing.assert_array_equal(recorded(tmp_path)[made.stem], made.pcm)
    assert msgspec.json.decode(file.with_suffix(".json").read_bytes(), type=Beside) == made.beside
    assert report.n_bytes == sum(each.stat().st_size for each in file.parent.iterdir())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (file.parent, file.parent.parent)} == {0o700}


def test_an_event_without_audio_lies_apart_from_the_clips(tmp_path: Path) -> None:
    made = recording()
    quiet = Recording(made.stem, made.label, Beside(kind="event", audio=None, event=made.beside.event), None)
    with a_shelf(tmp_path) as shelf:
        shelf.put(quiet)
        until(shelf, lambda report: report.n_without_audio == 1)
    assert [file.relative_to(tmp_path).parts for file in tmp_path.rglob("*.*")] == [
        ("without-audio", "Dog", f"{made.stem}.json")
    ]


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("Smoke detector, smoke alarm", "Smoke detector, smoke alarm"),
        ("../../etc/passwd", "-..-etc-passwd"),
        ("..", "-"),
        ("a\nb\0c", "a-b-c"),
        ("ß" * 200, "ß" * 100),
        ("", "-"),
        ('Who: "me"? a\\b|c*<d>', "Who- -me-- a-b-c--d-"),
        ("Rain...", "Rain"),
    ],
)
def test_a_label_is_its_own_folder_wherever_a_disk_can_have_it(label: str, folder: str, tmp_path: Path) -> None:
    assert folder_name(label) == folder
    with a_shelf(tmp_path) as shelf:
        shelf.put(recording(label=label))
        until(shelf, lambda report: report.n_recorded == 1)
    assert [file.parent for file in tmp_path.rglob("*.flac")] == [tmp_path / "events" / folder]


def test_a_folder_that_is_not_there_is_never_made_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "RETRY_SECONDS", 0.05)
    folder = tmp_path / "disk"
    with a_shelf(folder) as shelf:
        report = until(shelf, lambda report: bool(report.problem))
        assert report.problem == f"{folder}: there is no such folder; make it, or mount its disk"
        shelf.put(recording())
        shelf.put(recording(1))
        assert until(shelf, lambda report: report.n_waiting == 2).n_lost == 0
        assert not folder.exists()
        folder.mkdir()
        report = until(shelf, lambda report: report.n_recorded == 2)
        assert (report.problem, report.n_waiting) == ("", 0)
    assert len(recorded(folder)) == 2


def test_a_folder_that_vanishes_is_said_and_recording_goes_on_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "RETRY_SECONDS", 0.05)
    folder, away = tmp_path / "disk", tmp_path / "away"
    folder.mkdir()
    with a_shelf(folder) as shelf:
        shelf.put(recording(0))
        until(shelf, lambda report: report.n_recorded == 1)
        folder.rename(away)
        shelf.put(recording(1))
        assert "no such folder" in until(shelf, lambda report: bool(report.problem)).problem
        away.rename(folder)
        until(shelf, lambda report: report.n_recorded == 2 and not report.problem)
    assert len(recorded(folder)) == 2


def test_too_much_that_waits_is_dropped_oldest_first_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(shelves, "MAX_WAITING_BYTES", 4 * 6_000)
    folder = tmp_path / "disk"
    with a_shelf(folder) as shelf:
        for i in range(10):
            shelf.put(recording(i))
        assert shelf.report().n_lost == 6
        folder.mkdir()
        until(shelf, lambda report: report.n_recorded == 4)
    kept = {int(stem.rpartition("-")[2]) for stem in recorded(folder)}
    assert len(kept & {7, 8, 9}) == 3  # the fourth is 6, or the one that was tried at the moment


def test_the_quota_holds_while_recordings_come(tmp_path: Path) -> None:
    one_bytes = 3_000 * 2 + 2_000  # noise, and its JSON
    with a_shelf(tmp_path, max_bytes=5 * one_bytes) as shelf:
        for i in range(20):
            shelf.put(recording(i, seed=i))
            report = until(shelf, lambda report, n=i + 1: report.n_recorded == n)
            assert report.n_bytes <= 5 * one_bytes
            assert report.n_bytes == sum(file.stat().st_size for file in tmp_path.rglob("*.*"))
        shelf.put(recording(99, n_samples=60_000, seed=1))
        assert until(shelf, lambda report: report.n_lost == 1).n_recorded == 20
    assert {int(stem.rpartition("-")[2]) for stem in recorded(tmp_path)} <= set(range(14, 20))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    with mounted(tmp_path / "disk", "size=1m") as disk:
        yield disk


def test_a_full_disk_loses_nothing_and_leaves_nothing_half(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "RETRY_SECONDS", 0.05)
    (small_disk / "somebody's").write_bytes(bytes(900 << 10))
    with a_shelf(small_disk) as shelf:
        for i in range(4):  # 400 kB each
            shelf.put(recording(i, n_samples=200_000 // 2, seed=i))
        assert "No space left" in until(shelf, lambda report: bool(report.problem)).problem
        assert shelf.report().n_waiting == 4
        assert list(small_disk.rglob("*.part")) == []
        (small_disk / "somebody's").unlink()
        report = until(shelf, lambda report: report.n_recorded == 4)
        assert (report.problem, report.n_lost) == ("", 0)
    assert len(recorded(small_disk / "events")) == 4


def test_a_disk_that_is_read_only_is_waited_for(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "RETRY_SECONDS", 0.05)
    with a_shelf(small_disk) as shelf:
        until(shelf, lambda report: report.n_waiting == 0)
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        shelf.put(recording())
        problem = until(shelf, lambda report: bool(report.problem)).problem
        assert "Read-only file system" in problem or "may not write" in problem
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        until(shelf, lambda report: report.n_recorded == 1 and not report.problem)
    assert len(recorded(small_disk)) == 1


def test_a_disk_that_hangs_holds_up_nobody_and_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "SLOW_SECONDS", 0.2)
    hangs = tmp_path / "hangs"
    os.mkfifo(hangs)
    real = os.fsync

    def slow(file: int) -> None:
        os.close(os.open(hangs, os.O_RDONLY))  # returns when somebody opens the other end
        real(file)

    monkeypatch.setattr(os, "fsync", slow)
    with a_shelf(tmp_path) as shelf:
        shelf.put(recording())
        assert until(shelf, lambda report: bool(report.problem)).problem == f"{tmp_path}: the disk hangs"
        began = time.monotonic()
        shelf.put(recording(1))
        assert time.monotonic() - began < 1.0
        monkeypatch.setattr(os, "fsync", real)
        os.close(os.open(hangs, os.O_WRONLY))
        until(shelf, lambda report: report.n_recorded == 2 and not report.problem)
    hangs.unlink()
    assert len(recorded(tmp_path)) == 2


HARDENED = """
import ctypes, sys
prctl = ctypes.CDLL(None, use_errno=True).prctl
if prctl(65, 1, 0, 0, 0):
    sys.exit(77)
import numpy as np
from streamd.recorder.shelf import _flac
sys.stdout.buffer.write(_flac(np.arange(1000, dtype=np.int16), 16_000))
"""
"""PR_SET_MDWE, what MemoryDenyWriteExecute=yes of a unit does."""


def test_flac_is_written_without_memory_that_is_writable_and_executable() -> None:
    done = subprocess.run([sys.executable, "-c", HARDENED], capture_output=True, check=False)
    if done.returncode == 77:
        pytest.skip("this kernel knows no PR_SET_MDWE")
    assert done.returncode == 0, done.stderr.decode()
    found, _rate = soundfile.read(io.BytesIO(done.stdout), dtype="int16")
    np.testing.assert_array_equal(found, np.arange(1000))


def test_a_recording_that_has_no_place_lets_the_others_pass_and_is_dropped_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "RETRY_SECONDS", 0.05)
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "Dog").write_text("notes")
    with a_shelf(tmp_path) as shelf:
        for i, label in enumerate(["Dog", "Cat", "Cat"]):
            shelf.put(recording(i, label=label))
        until(shelf, lambda report: report.n_recorded == 2)
        assert until(shelf, lambda report: bool(report.problem)).problem.startswith(f"{tmp_path}/events/Dog: ")
        report = until(shelf, lambda report: report.n_lost == 1 and not report.problem)
        assert (report.n_recorded, report.n_waiting) == (2, 0)


def test_a_fault_of_our_own_does_not_end_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "RETRY_SECONDS", 0.05)
    real = shelves._flac
    monkeypatch.setattr(shelves, "_flac", lambda *_: (_ for _ in ()).throw(MemoryError("none")))
    with a_shelf(tmp_path) as shelf:
        shelf.put(recording())
        assert until(shelf, lambda report: bool(report.problem)).problem == f"{tmp_path}: MemoryError: none"
        monkeypatch.setattr(shelves, "_flac", real)
        until(shelf, lambda report: report.n_recorded == 1 and not report.problem)


def test_recordings_without_audio_do_not_wait_without_bound(tmp_path: Path) -> None:
    quiet = recording()
    with a_shelf(tmp_path / "away") as shelf:
        for _ in range(shelves.MOST_WAITING + 50):
            shelf.put(Recording(quiet.stem, "Dog", Beside(kind="event", audio=None), None))
        report = shelf.report()
        assert shelves.MOST_WAITING <= report.n_waiting <= shelves.MOST_WAITING + 1
        assert report.n_waiting + report.n_lost == shelves.MOST_WAITING + 50


def test_what_still_waits_at_the_end_is_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(RecorderSpec(folder=str(tmp_path / "away")))
    shelf.start()
    for i in range(3):
        shelf.put(recording(i))
    shelf.close(3)
    assert (shelf.report().n_lost, shelf.report().n_waiting) == (3, 0)
    assert f"{tmp_path}/away: 3 recordings are lost: they still waited at the end" in caplog.messages
