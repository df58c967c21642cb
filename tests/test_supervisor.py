"""Real children, real signals."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from streamd import supervisor
from streamd.supervisor import Supervisor
from tests.sockets import files_left


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what another process does; processes tell of themselves by files and by /proc."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        select.select([], [], [], 0.005)


@pytest.fixture
def deaths() -> list[tuple[str, str, str]]:
    return []


@pytest.fixture
def children(deaths: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.05)
    keeper = Supervisor(lambda name, how, cause: deaths.append((name, how, cause)))
    yield keeper
    keeper.stop(1.0)


def sleeper(marker: Path) -> list[str]:
    """A child that says it is there, and then reads its input until that ends."""
    return [sys.executable, "-c", f"import sys; open({str(marker)!r}, 'w').close(); sys.stdin.read(); sys.exit(3)"]


def test_a_killed_child_comes_back_and_its_death_is_told(
    children: Supervisor, deaths: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    children.start("kitchen", sleeper(tmp_path / "up"))
    until((tmp_path / "up").exists)
    first = children.pid("kitchen")
    assert first is not None
    (tmp_path / "up").unlink()
    os.kill(first, signal.SIGKILL)

    until(lambda: (children.reap(), bool(deaths))[1])
    assert deaths == [("kitchen", "was killed by SIGKILL", "killed")]
    assert children.pid("kitchen") is None
    until(lambda: (children.restart_due(), (tmp_path / "up").exists())[1])
    assert children.n_restarts("kitchen") == 1
    assert children.pid("kitchen") not in (None, first)


def test_a_child_that_cannot_be_started_is_tried_again(
    children: Supervisor, deaths: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    program = tmp_path / "program"
    children.start("kitchen", [str(program)])
    assert deaths == [("kitchen", "can't be started (No such file or directory)", "not_started")]
    assert children.pid("kitchen") is None
    program.write_text("#!/bin/sh\nread nothing\n")
    program.chmod(0o755)
    until(lambda: (children.restart_due(), children.pid("kitchen") is not None)[1])
    assert children.n_restarts("kitchen") == 1


@pytest.mark.parametrize("n_files", [0, 1, 2, 3])
def test_a_child_for_which_too_few_files_are_left_is_tried_again_and_takes_none(
    n_files: int, children: Supervisor, deaths: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    before = sorted(Path("/dev/fd").iterdir())
    with files_left(n_files):
        children.start("kitchen", sleeper(tmp_path / "up"))
    assert sorted(Path("/dev/fd").iterdir()) == before
    assert deaths == [("kitchen", "can't be started (Too many open files)", "not_started")]
    until(lambda: (children.restart_due(), (tmp_path / "up").exists())[1])


def test_pauses_double_while_a_child_keeps_dying(children: Supervisor, deaths: list[tuple[str, str, str]]) -> None:
    children.start("porch", [sys.executable, "-c", "raise SystemExit(7)"])
    pauses = []
    for n in range(1, 4):
        until(lambda n=n: (children.reap(), len(deaths) == n)[1])
        due = children.restart_due()
        assert due is not None
        pauses.append(due - time.monotonic())
        until(lambda n=n: (children.restart_due(), children.n_restarts("porch") == n)[1])
    assert deaths[0] == ("porch", "ended with code 7", "failed")
    assert pauses[0] < pauses[1] < pauses[2] <= 0.2


def test_a_child_that_ends_with_0_has_done_its_work(children: Supervisor, deaths: list[tuple[str, str, str]]) -> None:
    children.start("loop", [sys.executable, "-c", "pass"])
    until(lambda: (children.reap(), children.pid("loop") is None)[1])
    assert deaths == []
    assert children.restart_due() is None


class Frozen:
    """A clock that a test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.monotonic()
        monkeypatch.setattr(supervisor.time, "monotonic", lambda: self.now)


def test_a_child_without_progress_is_killed_with_what_it_started_and_started_again(
    children: Supervisor, deaths: list[tuple[str, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import os, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(tmp_path / 'new')!r}, 'w').write(str(child.pid))\n"
        f"os.rename({str(tmp_path / 'new')!r}, {str(tmp_path / 'pid')!r})\n"
        "time.sleep(600)\n"
    )
    children.start("attic", [sys.executable, "-c", program])
    until((tmp_path / "pid").exists)
    grandchild = int((tmp_path / "pid").read_text())
    with monkeypatch.context() as patched:
        clock = Frozen(patched)
        begin = clock.now
        verdicts = []
        for _ in range(7):
            clock.now += 1
            verdicts.append(children.watch("attic", begin, 5.0))
        assert verdicts == [False] * 6 + [True]  # watched from the first second on
    until(lambda: (children.reap(), bool(deaths))[1])
    assert deaths == [("attic", "made no progress for 5 s and was killed", "stalled")]
    until(lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE)
    until(lambda: (children.restart_due(), children.pid("attic") is not None)[1])


def test_who_was_frozen_itself_does_not_kill_children_that_could_not_be_heard(
    children: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children.start("attic", sleeper(tmp_path / "up"))
    with monkeypatch.context() as patched:
        clock = Frozen(patched)
        begin = clock.now
        clock.now += 1
        children.watch("attic", begin, 5.0)
        clock.now += 600
        assert not children.watch("attic", begin, 5.0)
        clock.now += 2
        assert not children.watch("attic", begin, 5.0)
        clock.now += 2
        assert not children.watch("attic", clock.now - 1, 5.0)
    assert children.pid("attic") is not None


def test_one_that_does_not_run_is_not_watched(children: Supervisor, deaths: list[tuple[str, str, str]]) -> None:
    assert not children.watch("nobody", 0.0, 1.0)
    children.start("loop", [sys.executable, "-c", "pass"])
    until(lambda: (children.reap(), children.pid("loop") is None)[1])
    assert not children.watch("loop", 0.0, 0.0)
    assert deaths == []


def test_stop_ends_a_child_that_ignores_sigterm_and_what_it_started(children: Supervisor, tmp_path: Path) -> None:
    program = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(tmp_path / 'new')!r}, 'w').write(str(child.pid))\n"
        f"import os; os.rename({str(tmp_path / 'new')!r}, {str(tmp_path / 'pid')!r})\n"
        "time.sleep(600)\n"
    )
    children.start("attic", [sys.executable, "-c", program])
    until((tmp_path / "pid").exists)
    grandchild = int((tmp_path / "pid").read_text())
    own = children.pid("attic")
    assert own is not None
    started = time.monotonic()
    children.stop(0.2)
    assert time.monotonic() - started < 1.5
    assert not psutil.pid_exists(own)
    until(lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE)


def test_stop_leaves_a_child_behind_that_not_even_sigkill_ends(
    children: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    up = tmp_path / "up"
    children.start("journal", [sys.executable, "-c", f"{deaf} open({str(up)!r}, 'w').close(); signal.pause()"])
    until(up.exists)
    process = children._children["journal"].process
    assert process is not None
    try:
        with monkeypatch.context() as patched:
            patched.setattr(supervisor, "_kill_group", lambda pid: None)  # all that it does to one on a hung disk
            children.stop(0.1)
        assert process.poll() is None
        assert f"journal: process {process.pid} does not end by itself; killed" in caplog.text
        assert f"journal: process {process.pid} hangs in the kernel" in caplog.text
    finally:
        process.kill()
        process.wait()


def test_a_running_child_reads_what_its_pipe_is_sent_and_a_new_one_has_a_new_pipe(
    children: Supervisor, tmp_path: Path
) -> None:
    assert children.pipe("recorder") is None
    program = f"import sys; open({str(tmp_path / 'got')!r}, 'ab').write(sys.stdin.buffer.read())"
    read, write = os.pipe()
    children.start("recorder", [sys.executable, "-c", f"{program}; print('said'); sys.exit(1)"], output=write)
    first = children.pipe("recorder")
    assert first is not None
    assert first.send(b"one")
    children.end_input("recorder")
    with os.fdopen(read) as said:
        assert said.readline() == "said\n"
    until(lambda: (children.reap(), children.pid("recorder") is None)[1])
    assert (tmp_path / "got").read_bytes() == b"\3\0\0\0one"
    assert children.pipe("recorder") is None
    until(lambda: (children.restart_due(), children.pid("recorder") is not None)[1])
    assert children.pipe("recorder") not in (None, first)
    assert not first.send(b"two")
    os.close(write)


def test_a_child_does_not_get_ctrl_c_of_the_terminal(children: Supervisor, tmp_path: Path) -> None:
    children.start("kitchen", sleeper(tmp_path / "up"))
    pid = children.pid("kitchen")
    assert pid is not None
    assert os.getsid(pid) != os.getsid(0)
    until((tmp_path / "up").exists)


def test_a_child_sees_the_end_of_its_input_when_the_daemon_is_gone(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from streamd.supervisor import Supervisor\n"
        "keeper = Supervisor(lambda name, how, cause: None)\n"
        f"keeper.start('kitchen', {sleeper(tmp_path / 'up')!r})\n"
        "print(keeper.pid('kitchen'), flush=True)\n"
        "sys.stdin.read()\n"
    )
    read, write = os.pipe()
    with os.fdopen(read) as said:
        daemon = psutil.Popen([sys.executable, "-c", program], stdin=-1, stdout=write)
        os.close(write)
        child = int(said.readline())
        until((tmp_path / "up").exists)
        daemon.kill()
        daemon.wait()
    daemon.stdin.close()
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_a_child_that_is_ended_is_forgotten_and_its_successor_waits_until_it_has_gone(
    children: Supervisor, deaths: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    children.start("kitchen", sleeper(tmp_path / "up"))
    until((tmp_path / "up").exists)
    first = children.pid("kitchen")
    assert first is not None
    os.kill(first, signal.SIGSTOP)  # it can't end as long as we like
    children.end("kitchen")
    children.end("kitchen")
    children.start("kitchen", sleeper(tmp_path / "second"))
    children.reap()
    assert children.pid("kitchen") == first
    os.kill(first, signal.SIGCONT)
    until(lambda: (children.reap(), (tmp_path / "second").exists())[1])
    assert children.pid("kitchen") not in (None, first)
    assert children.n_restarts("kitchen") == 0
    children.end("kitchen")
    until(lambda: (children.reap(), children.pid("kitchen") is None)[1])
    assert children.restart_due() is None
    assert deaths == []
    children.end("nobody")


def test_a_child_that_does_not_heed_its_end_is_killed(
    children: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "END_SECONDS", 0.05)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    up = tmp_path / "up"
    children.start("kitchen", [sys.executable, "-c", f"{deaf} open({str(up)!r}, 'w').close(); signal.pause()"])
    until(up.exists)
    children.end("kitchen")
    assert children.restart_due() is not None, "the loop must wake to kill it"
    until(lambda: (children.restart_due(), children.reap(), children.pid("kitchen") is None)[2])


def test_who_ends_a_childs_input_can_wait_for_its_last_work_and_not_for_ever(
    children: Supervisor, tmp_path: Path
) -> None:
    work = f"import sys, time; sys.stdin.read(); time.sleep(0.3); open({str(tmp_path / 'done')!r}, 'w').close()"
    children.start("recorder", [sys.executable, "-c", work])
    began = time.monotonic()
    children.wait_for_end("recorder", 0.1)
    assert time.monotonic() - began < 5
    assert children.pid("recorder") is not None
    children.end_input("recorder")
    children.wait_for_end("recorder", 10)
    assert (tmp_path / "done").exists()
    children.wait_for_end("nobody", 10)
