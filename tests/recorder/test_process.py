"""The recorder as a daemon has it: a real child behind a real pipe, stopped, killed and with its disk taken away."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamd.blocks import Block
from streamd.counters import Counters
from streamd.errors import MessageError
from streamd.recorder.link import RecorderLink
from streamd.recorder.messages import RecorderSpec
from streamd.supervisor import Supervisor
from tests.recorder.audio import BLOCK, RATE, START, TAKE, offset, onset, pcm
from tests.running import wait_for

CHILD = "recorder process"


class Rig:
    """A supervisor, its child, and our end."""

    def __init__(self, folder: Path, supervisor: Supervisor, deaths: list[str]) -> None:
        self.folder = folder
        self.deaths = deaths
        self.supervisor = supervisor
        self.counters = Counters()
        self.link = RecorderLink(RecorderSpec(folder=str(folder), max_days=36_500, near_miss=0.3), self.counters)
        self.link.pipe_of = lambda: supervisor.pipe(CHILD)
        supervisor.start(CHILD, self.link.command, self.link.output)
        self.wait_for_report()

    def wait_for_report(self) -> None:
        """Wait until the child says something, anew."""
        began = time.monotonic()
        wait_for(lambda: self.look() or self.link.heard_at > began or None)

    def look(self) -> None:
        """What a daemon does every second."""
        self.link.look()
        self.supervisor.reap()
        self.supervisor.restart_due()

    def play(self, first_sample: int, end_sample: int) -> None:
        for begin in range(first_sample, end_sample, BLOCK):
            block = Block(
                sources=("kitchen",),
                take=TAKE,
                first_sample=begin,
                sample_rate=RATE,
                captured_at=START + begin / RATE,
                monotonic=begin / RATE,
            )
            self.link.hear("kitchen", block, pcm(begin, begin + BLOCK))

    def sound(self, at: int, event_id: str) -> None:
        """Three seconds of audio before a sound, the sound for a second, and three seconds after it."""
        dog = onset(at, event_id=event_id)
        self.play(at - 3_000, at + 500)
        self.link.tell(dog)
        self.play(at + 500, at + 1_500)
        self.link.tell(offset(dog, at + 1_000))
        self.play(at + 1_500, at + 4_000)

    def recorded(self) -> dict[str, np.ndarray]:
        return {
            file.stem.partition("-kitchen-")[2]: soundfile.read(file, dtype="int16")[0]
            for file in self.folder.rglob("*.flac")
        }

    def wait_for_recordings(self, n: int) -> dict[str, np.ndarray]:
        def found() -> dict[str, np.ndarray] | None:
            self.look()
            return self.recorded() if self.link.report.n_recorded >= n else None

        return wait_for(found)


@contextmanager
def a_rig(folder: Path) -> Iterator[Rig]:
    deaths: list[str] = []
    supervisor = Supervisor(lambda _name, how, _cause: deaths.append(how))
    try:
        rig = Rig(folder, supervisor, deaths)
        yield rig
        rig.link.close()
    finally:
        supervisor.end_input(CHILD)
        supervisor.stop(5)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with a_rig(tmp_path) as one:
        yield one


def test_what_was_handed_over_is_read_back_to_the_sample(rig: Rig) -> None:
    rig.sound(10_000, "a")
    rig.sound(30_000, "b")
    found = rig.wait_for_recordings(2)
    np.testing.assert_array_equal(found["a"], pcm(8_000, 13_000))
    np.testing.assert_array_equal(found["b"], pcm(28_000, 33_000))
    assert rig.counters.read() == {}
    assert rig.link.note == ""


def test_a_recorder_that_is_stopped_holds_up_nobody_and_records_again_when_it_goes_on(rig: Rig) -> None:
    pid = rig.supervisor.pid(CHILD)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    slowest = 0.0
    position = 0
    while not rig.counters.read().get("recorder.lost_samples"):
        began = time.process_time()
        rig.play(position, position + 10_000)
        slowest = max(slowest, time.process_time() - began)
        position += 10_000
        assert position < 20_000_000, "it took 40 MB"
    assert slowest < 0.5  # a hundred blocks
    assert rig.link.look()
    assert rig.link.note == "not all is recorded: the recorder does not keep up"
    os.kill(pid, signal.SIGCONT)
    rig.wait_for_report()
    position += 100_000
    rig.sound(position, "after")
    np.testing.assert_array_equal(rig.wait_for_recordings(1)["after"], pcm(position - 2_000, position + 3_000))
    wait_for(lambda: rig.look() or rig.link.note == "" or None)


def test_a_recorder_that_is_killed_is_started_again_and_leaves_nothing_half(rig: Rig) -> None:
    rig.sound(10_000, "before")
    rig.wait_for_recordings(1)
    dog = onset(20_000, event_id="meanwhile")
    rig.play(18_000, 20_500)
    rig.link.tell(dog)
    pid = rig.supervisor.pid(CHILD)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: rig.look() or rig.supervisor.pid(CHILD) != pid or None)
    rig.play(20_500, 22_000)
    wait_for(lambda: rig.look() or (rig.supervisor.pid(CHILD) not in (None, pid)) or None)
    rig.wait_for_report()
    rig.play(30_000, 31_000)
    rig.link.tell(offset(dog, 30_500))
    rig.sound(40_000, "after")
    found = rig.wait_for_recordings(2)
    np.testing.assert_array_equal(found["after"], pcm(38_000, 43_000))
    assert list(rig.folder.rglob("*.part")) == []
    assert rig.supervisor.n_restarts(CHILD) == 1


def test_what_was_in_the_memory_of_a_killed_recorder_is_counted_as_lost(rig: Rig) -> None:
    rig.sound(10_000, "before")
    rig.wait_for_recordings(1)
    pid = rig.supervisor.pid(CHILD)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    rig.sound(20_000, "lost")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: rig.look() or rig.supervisor.pid(CHILD) not in (None, pid) or None)
    rig.sound(30_000, "after")
    wait_for(lambda: rig.look() or rig.counters.read().get("recorder.lost_events") or None)
    wait_for(lambda: rig.look() or rig.link.report.n_recorded or None)
    assert rig.counters.read()["recorder.lost_events"] == 1
    assert set(rig.recorded()) == {"before", "after"}


def test_a_folder_that_vanishes_is_said_and_nothing_is_lost_when_it_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    with a_rig(folder) as rig:
        folder.rename(tmp_path / "away")
        rig.sound(10_000, "a")
        wait_for(lambda: rig.look() or "there is no such folder" in rig.link.note or None)
        (tmp_path / "away").rename(folder)
        np.testing.assert_array_equal(rig.wait_for_recordings(1)["a"], pcm(8_000, 13_000))
        wait_for(lambda: rig.look() or rig.link.note == "" or None)


def test_at_the_end_of_its_input_it_writes_what_it_has_and_ends(rig: Rig) -> None:
    dog = onset(10_000, event_id="last")
    rig.play(7_000, 10_500)
    rig.link.tell(dog)
    rig.link.tell(offset(dog, 10_400, end_reason="shutdown"))
    rig.supervisor.end_input(CHILD)
    wait_for(lambda: rig.supervisor.reap() or rig.supervisor.pid(CHILD) is None or None)
    assert rig.supervisor.n_restarts(CHILD) == 0
    np.testing.assert_array_equal(rig.recorded()["last"], pcm(8_000, 10_500))


def test_a_frame_that_it_does_not_understand_ends_it_and_another_is_started(rig: Rig) -> None:
    pipe = rig.supervisor.pipe(CHILD)
    assert pipe is not None
    pipe.send(b'{"kind": "nonsense"}\n')
    wait_for(lambda: rig.look() or rig.supervisor.n_restarts(CHILD) == 1 or None)
    assert rig.deaths == [f"ended with code {MessageError.exit_code}"]
    rig.wait_for_report()
    rig.sound(10_000, "after")
    np.testing.assert_array_equal(rig.wait_for_recordings(1)["after"], pcm(8_000, 13_000))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_to_all_processes_of_a_service_ends_no_recorder(rig: Rig, number: signal.Signals) -> None:
    rig.play(7_000, 10_500)
    pid = rig.supervisor.pid(CHILD)
    assert pid is not None
    os.kill(pid, number)
    rig.wait_for_report()
    dog = onset(10_000, event_id="kept")
    rig.link.tell(dog)
    rig.link.tell(offset(dog, 10_400))
    rig.play(10_500, 13_000)
    np.testing.assert_array_equal(rig.wait_for_recordings(1)["kept"], pcm(8_000, 12_400))
    assert rig.deaths == []
