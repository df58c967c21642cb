"""What systemd would get, read from a real datagram socket."""

from __future__ import annotations

import logging
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from streamd.sd_notify import Notifier


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> socket.socket:
    """The service manager's end."""
    name = str(tmp_path / "notify") if request.param == "a path" else f"\0streamd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.settimeout(5)
        end.bind(name)
        yield end


@pytest.fixture
def tell(manager: socket.socket) -> Iterator[Notifier]:
    """A notifier as systemd would have started it."""
    name = manager.getsockname()
    with a_notifier(name if isinstance(name, str) else "@" + name[1:].decode()) as made:
        yield made


def a_notifier(address: str | Path) -> closing[Notifier]:
    """One with another address."""
    return closing(Notifier({"NOTIFY_SOCKET": str(address)}))


def received(manager: socket.socket) -> dict[str, str]:
    """The fields of the next datagram."""
    return dict(line.split("=", 1) for line in manager.recv(4096).decode().split("\n"))


def a_copy(end: socket.socket) -> int | None:
    """Return another file of a socket; None where this process may have no more."""
    try:
        return os.dup(end.fileno())
    except OSError:
        return None


def test_each_word_arrives_as_systemd_reads_it(manager: socket.socket, tell: Notifier) -> None:
    tell.ready("hears kitchen")
    assert received(manager) == {"READY": "1", "STATUS": "hears kitchen"}
    tell.alive()
    assert received(manager) == {"WATCHDOG": "1"}
    tell.stopping()
    assert received(manager)["STOPPING"] == "1"


def test_a_reload_says_when_it_began_on_the_monotonic_clock(manager: socket.socket, tell: Notifier) -> None:
    before = time.monotonic_ns() // 1000
    tell.reloading()
    fields = received(manager)
    assert fields["RELOADING"] == "1"
    assert before <= int(fields["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000


def test_a_status_is_one_line_and_is_said_once(manager: socket.socket, tell: Notifier) -> None:
    tell.status("kitchen: no device\nREADY=0")
    tell.status("kitchen: no device\nREADY=0")
    tell.alive()
    assert received(manager) == {"STATUS": "kitchen: no device READY=0"}
    assert received(manager) == {"WATCHDOG": "1"}


def test_a_process_that_has_no_file_left_still_says_that_it_lives(manager: socket.socket, tell: Notifier) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as held:
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (manager.fileno() + 20, before[1]))
        while (copy := a_copy(manager)) is not None:
            held.callback(os.close, copy)
        tell.alive()
    assert received(manager) == {"WATCHDOG": "1"}


def test_children_do_not_inherit_the_way_to_the_manager() -> None:
    environment = {"NOTIFY_SOCKET": "/run/systemd/notify", "PATH": "/usr/bin"}
    with closing(Notifier(environment)):
        assert environment == {"PATH": "/usr/bin"}


def test_without_a_manager_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    with closing(Notifier({})) as tell:
        tell.ready("hears kitchen")
    assert not caplog.records


def test_a_manager_that_is_gone_or_does_not_listen_is_logged_and_never_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "streamd")
    with a_notifier(tmp_path / "nobody") as tell:
        tell.alive()
    assert "WATCHDOG=1: No such file" in caplog.text
    caplog.clear()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf, a_notifier(tmp_path / "deaf") as tell:
        deaf.bind(str(tmp_path / "deaf"))
        for _ in range(10_000):
            tell.alive()
            if caplog.records:
                break
    assert "unavailable" in caplog.text
