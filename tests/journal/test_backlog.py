"""The file that outlives its daemon: real files, locks and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamd.errors import EndpointError
from streamd.journal import backlog as backlogs
from streamd.journal.backlog import Backlog, backlog_file, backlog_of
from streamd.pipe import frame
from tests.disks import mounted


def unsent(backlog: Backlog) -> list[bytes]:
    """Send all that waits."""
    sent = []
    while (payload := backlog.next()) is not None:
        sent.append(payload)
        backlog.sent()
    return sent


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "b.backlog"


def left_behind(file: Path) -> list[bytes]:
    """Return what the next daemon finds."""
    backlog = Backlog(file)
    found = unsent(backlog)
    backlog.confirm(len(found))
    backlog.close()
    return found


def abandon(backlog: Backlog) -> None:
    """Have its owner die."""
    os.close(backlog._file)


def test_the_next_daemon_finds_what_was_not_confirmed_and_nothing_else_remains(file: Path) -> None:
    backlog = Backlog(file)
    for n in range(10):
        backlog.add(b"%d" % n)
    backlog.add(b"a question of this daemon", outlives=False)
    unsent(backlog)
    abandon(backlog)
    assert left_behind(file) == [b"%d" % n for n in range(10)]
    assert not file.exists()


def test_what_is_confirmed_is_forgotten_and_an_empty_file_is_begun_anew(file: Path) -> None:
    backlog = Backlog(file)
    for n in range(3):
        backlog.add(b"%d" % n)
        unsent(backlog)
        backlog.confirm(1)
    assert len(backlog) == 0
    assert file.stat().st_size == 0
    backlog.add(b"last")
    abandon(backlog)
    assert left_behind(file) == [b"last"]


def test_whoever_had_messages_in_hand_and_died_the_next_gets_them_in_their_order(file: Path) -> None:
    backlog = Backlog(file)
    for n in range(6):
        backlog.add(b"%d" % n)
    for _ in range(4):
        backlog.sent()
    backlog.confirm(2)
    backlog.send_again()
    assert unsent(backlog) == [b"2", b"3", b"4", b"5"]
    backlog.close()


def test_what_a_killed_daemon_had_half_written_is_cut_off_and_written_over(file: Path) -> None:
    file.write_bytes(frame(b"whole") + frame(b"half of it")[:-3])
    backlog = Backlog(file)
    backlog.add(b"new")
    abandon(backlog)
    assert left_behind(file) == [b"whole", b"new"]


def test_garbage_is_dropped_with_a_line(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_bytes(b"\xff" * 100)
    assert left_behind(file) == []
    assert "what was in it is dropped" in caplog.text


def test_beyond_its_bound_it_takes_nothing(file: Path) -> None:
    backlog = Backlog(file, max_bytes=100)
    assert backlog.add(bytes(60))
    assert not backlog.add(bytes(60))
    assert backlog.add(bytes(40))
    assert backlog.add(b"a question of this daemon", outlives=False)
    backlog.close()


def test_under_a_load_that_never_ends_the_file_stays_bounded_and_whole(file: Path) -> None:
    backlog = Backlog(file, max_bytes=1000)
    for n in range(1000):
        backlog.add(b"%090d" % n)
        backlog.sent()
        if n >= 5:
            backlog.confirm(1)  # five always wait
        assert file.stat().st_size <= 2000
    abandon(backlog)
    found = left_behind(file)
    assert found[-5:] == [b"%090d" % n for n in range(995, 1000)]
    assert len(found) <= 11  # what else was in it was confirmed


def test_one_journal_has_one_daemon_and_a_killed_one_holds_it_no_more(file: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from streamd.journal.backlog import Backlog\n"
        f"held = Backlog(pathlib.Path({str(file)!r}))\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(EndpointError, match="another daemon writes it"):
            Backlog(file)
        other.send_signal(signal.SIGKILL)
    Backlog(file).close()


def test_one_journal_is_one_by_whichever_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    by_name = {backlog_file(tmp_path / name / "journal.db") for name in ("real", "link", "link/../real")}
    assert len(by_name) == 1
    assert backlog_file(tmp_path / "real" / "other.db") not in by_name


def a_folder_that_others_may_enter(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


TAKEN: dict[str, Callable[[Path], None]] = {
    "folder": a_folder_that_others_may_enter,
    "file": Path.touch,
    "link": lambda path: path.symlink_to(path.parent),
}


@pytest.mark.parametrize("taken", TAKEN)
def test_whoever_takes_the_name_of_our_folder_in_shared_memory_costs_us_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    shared = tmp_path / "shm"
    shared.mkdir()
    monkeypatch.setattr(backlogs, "SHARED_MEMORY", shared)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    journal, usual = tmp_path / "journal.db", shared / f"streamd-{os.getuid()}"
    TAKEN[taken](usual)
    a_folder_that_others_may_enter(shared / f"{usual.name}.0")
    backlog = backlog_of(journal)
    backlog.add(b"unconfirmed")
    assert backlog.file.parent not in (usual, shared / f"{usual.name}.0")
    assert backlog.file.parent.stat().st_mode & 0o077 == 0
    assert backlog.file.is_relative_to(shared)
    with pytest.raises(EndpointError, match="another daemon writes it"):
        backlog_of(journal)
    abandon(backlog)
    usual.rename(shared / "gone")
    second = backlog_of(journal)  # which finds what the first has left
    assert unsent(second) == [b"unconfirmed"]
    second.confirm(1)
    second.close()
    assert backlog_file(journal).parent == backlog.file.parent


@pytest.fixture
def exhausted(tmp_path: Path) -> Iterator[Path]:
    """Shared memory in which there is our folder, and room for no file more."""
    with mounted(tmp_path / "shm", "size=1m,nr_inodes=2") as shared:
        yield shared


@pytest.mark.parametrize("has_folder", [True, False])
def test_whoever_fills_shared_memory_costs_us_nothing(
    tmp_path: Path, exhausted: Path, monkeypatch: pytest.MonkeyPatch, *, has_folder: bool
) -> None:
    (exhausted / (f"streamd-{os.getuid()}" if has_folder else "a stranger's")).mkdir(mode=0o700)
    monkeypatch.setattr(backlogs, "SHARED_MEMORY", exhausted)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    backlog = backlog_of(tmp_path / "journal.db")
    backlog.add(b"unconfirmed")
    assert backlog.file.parent == tmp_path / "run"
    abandon(backlog)
    subprocess.run(["mount", "-o", "remount,nr_inodes=100", str(exhausted)], check=True)
    second = backlog_of(tmp_path / "journal.db")  # which finds what the first has left
    assert unsent(second) == [b"unconfirmed"]
    with pytest.raises(EndpointError, match="another daemon writes it"):
        backlog_of(tmp_path / "journal.db")
    second.close()


def test_without_any_place_for_it_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlogs, "SHARED_MEMORY", tmp_path / "none")
    (tmp_path / "file").touch()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "file" / "run"))
    with pytest.raises(EndpointError, match="file/run: Not a directory"):
        backlog_of(tmp_path / "journal.db")


def test_without_room_in_memory_it_goes_on_and_says_so(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backlog = Backlog(file)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: 0)
        assert backlog.add(b"one")
        assert backlog.add(b"two")
    assert caplog.text.count("what waits for the journal is in memory alone") == 1
    assert (backlog.n_left, backlog.is_whole) == (2, False)
    assert unsent(backlog) == [b"one", b"two"]
    backlog.confirm(2)
    backlog.add(b"three")
    abandon(backlog)
    assert left_behind(file) == [b"three"]
