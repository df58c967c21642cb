"""An agent that waits for a microphone for long: a real one, whose pauses are left out, under real PortAudio."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamd.blocks import Waiting
from streamd.capture.agent import STOPPED
from streamd.capture.specs import Microphone
from tests.agents import SOURCE, AudioSocket, agent_arguments, begun, ended
from tests.conftest import FakeMicrophone
from tests.running import wait_for

IMPATIENT = """
import os, sys
from streamd.capture import agent, microphone

agent.FIRST_PAUSE_SECONDS = 0.0
agent.LONGEST_PAUSE_SECONDS = dict.fromkeys(agent.LONGEST_PAUSE_SECONDS, 0.0)
agent.MOST_LOOKS = 60
look = microphone._fresh_portaudio
looks = os.open(os.environ["LOOKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def noted():
    pages = open("/proc/self/statm").read().split()[1]
    files = len(os.listdir("/proc/self/fd"))
    os.write(looks, f"{pages} {files}\\n".encode())
    return look()

microphone._fresh_portaudio = noted
"""
AS_CHILD = "from streamd.capture.__main__ import main; sys.exit(main(sys.argv[1:]))"
AS_COMMAND = "from streamd.cli import main; sys.exit(main(sys.argv[1:]))"
ASKED_TO_END_MEANWHILE = """
import signal
become = os.execv

def asked(*what):
    os.kill(os.getpid(), signal.SIGTERM)
    become(*what)

os.execv = asked
"""


@contextmanager
def impatient(
    program: str, arguments: list[str], microphone: FakeMicrophone, looks: Path
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", IMPATIENT + program, *arguments]
    with begun(command, microphone.environment | {"LOOKS": str(looks)}) as process:
        yield process


def child(daemon: AudioSocket) -> list[str]:
    return agent_arguments(daemon.endpoint, Microphone(name="USB"))


def seen(looks: Path) -> list[tuple[int, int]]:
    """Return the resident kilobytes and the open files of each look so far."""
    if not looks.exists():
        return []
    rows = [line.split() for line in looks.read_text().splitlines()]
    return [(int(pages) * os.sysconf("SC_PAGESIZE") // 1024, int(files)) for pages, files in rows]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("program", [AS_CHILD, AS_COMMAND], ids=["child", "command"])
def test_an_agent_that_looks_for_its_microphone_for_ever_grows_no_more(
    program: str, microphone: FakeMicrophone, tmp_path: Path
) -> None:
    looks = tmp_path / "looks"
    with AudioSocket() as daemon:
        as_command = ["capture", SOURCE, "--microphone", "USB", "--endpoint", daemon.endpoint]
        arguments = child(daemon) if program == AS_CHILD else as_command
        with impatient(program, arguments, microphone, looks) as agent:
            assert "there is no microphone 'USB'" in daemon.expect(Waiting).detail
            wait_for(lambda: len(seen(looks)) > 200 or None, 60)
            memory, files = zip(*seen(looks)[5:200], strict=True)
            print(memory[::10])
            assert max(memory) - memory[0] < 1300, "kB; 200 looks leak 2400"
            assert max(files) == files[0]
            assert agent.poll() is None, "it is one process all the time"
            agent.send_signal(signal.SIGTERM)
            code, told = ended(agent)
            assert code == (STOPPED if program == AS_CHILD else 0)
            assert "Traceback" not in told


def test_who_is_asked_to_end_while_it_begins_anew_ends_as_ever(microphone: FakeMicrophone, tmp_path: Path) -> None:
    with AudioSocket() as daemon:
        program = ASKED_TO_END_MEANWHILE + AS_CHILD
        with impatient(program, child(daemon), microphone, tmp_path / "looks") as agent:
            assert ended(agent, 30) == (STOPPED, "")
