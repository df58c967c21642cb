"""A real daemon tells a service manager how it fares; tests/systemd has the real systemd."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import sounds
from tests.running import PATIENCE_SECONDS, a_daemon


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.settimeout(PATIENCE_SECONDS)
        end.bind(str(tmp_path / "notify"))
        yield end


def told(manager: socket.socket, until: Callable[[str], bool]) -> list[str]:
    """Return all that is said up to the first message that `until` says yes to."""
    said = []
    while not said or not until(said[-1]):
        said.append(manager.recv(4096).decode())
    return said


def test_it_is_ready_feeds_the_watchdog_and_says_that_it_stops(manager: socket.socket, tmp_path: Path) -> None:
    recording = sounds.save(tmp_path / "crow.wav", sounds.scene(4, [(1.0, sounds.crow())]))
    environment = {**os.environ, "NOTIFY_SOCKET": manager.getsockname()}
    with a_daemon(f"sources: {{yard: {{recording: {recording}, repeat: true}}}}", environment) as daemon:
        assert told(manager, lambda said: said.startswith("READY=1"))[-1] == "READY=1\nSTATUS=hears yard"
        for _ in range(3):
            told(manager, lambda said: said == "WATCHDOG=1")
        assert "NOTIFY_SOCKET" not in daemon.agent("yard").environ()
        daemon.process.send_signal(signal.SIGTERM)
        assert told(manager, lambda said: said.startswith("STOPPING=1"))


def test_a_daemon_that_waits_for_its_device_is_ready_feeds_the_watchdog_and_says_why(manager: socket.socket) -> None:
    environment = {**os.environ, "PULSE_SERVER": "unix:/nonexistent", "NOTIFY_SOCKET": manager.getsockname()}
    with a_daemon('sources: {kitchen: {microphone: "no such microphone"}}', environment):
        (*_, ready) = told(manager, lambda said: said.startswith("READY=1"))
        assert ready.startswith("READY=1\nSTATUS=kitchen: ")
        assert "microphone" in ready
        for _ in range(2):
            told(manager, lambda said: said == "WATCHDOG=1")
