"""A microphone that goes away, hangs or overruns: a real PulseAudio daemon under real PortAudio."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.conftest import FakeMicrophone
from tests.faults.harness import faults
from tests.faults.rig import Rig, Scene, running, scene
from tests.running import has_status

__all__ = ["scene"]  # a fixture

SOURCE = "mic"
SINK = ["module-null-sink", "sink_name=fake", "rate=16000", "channels=1", "format=s16le", "norewinds=1"]
DEVICE_SECONDS = 5.0
"""A device that is back is heard again by then."""


class Sounding:
    """A fake microphone into which tones are played without end."""

    def __init__(self, microphone: FakeMicrophone, scene: Scene) -> None:
        self._microphone = microphone
        self._recording = scene.recording
        self._player: subprocess.Popen[bytes] | None = None
        self.play()

    @property
    def server(self) -> psutil.Process:
        return psutil.Process(int((self._microphone._folder / "pid").read_text()))

    def control(self, *command: str) -> None:
        """Ask the sound system for something."""
        subprocess.run(["pactl", *command], env=self._microphone.environment, check=True, timeout=10, stdout=-3)

    def play(self) -> None:
        """Play the tones, for two minutes or until the sound system ends."""
        self.close()
        play = f"for i in $(seq 30); do paplay {self._recording} || exit; done"
        self._player = subprocess.Popen(["sh", "-c", play], env=self._microphone.environment, stderr=subprocess.DEVNULL)

    def close(self) -> None:
        if self._player is not None:
            for child in psutil.Process(self._player.pid).children():
                child.kill()
            self._player.kill()
            self._player.wait()
            self._player = None


@contextmanager
def hearing(microphone: FakeMicrophone, scene: Scene) -> Iterator[tuple[Rig, Sounding]]:
    config = scene.with_model(f"sources: {{{SOURCE}: {{sample_rate: 16000}}}}")
    sounding = Sounding(microphone, scene)
    try:
        with running(scene, config, microphone.environment) as rig:
            rig.heard(SOURCE)
            yield rig, sounding
    finally:
        sounding.close()


def back(rig: Rig, over: float, when: float) -> float:
    """Return how long after a fault the microphone was heard again."""
    seconds = rig.heard(SOURCE, when) - over
    assert seconds < DEVICE_SECONDS, f"heard again after {seconds:.1f} s"
    return seconds


def test_an_unplugged_microphone_is_waited_for(microphone: FakeMicrophone, scene: Scene) -> None:
    how = "the device is taken out of a real PulseAudio (its module unloaded) for 0 to 6 s, then put back"
    with (
        faults("unplugged", 6, "device unplugged and back", how, through="real", long=20) as kept,
        hearing(microphone, scene) as (rig, sounding),
    ):
        for i in range(kept.n):
            with kept.injection() as one, rig.accounted(one):
                rig.sounding(SOURCE)
                pulled = time.monotonic()
                sounding.control("unload-module", SINK[0])
                assert rig.wait(has_status("waiting_for_device", SOURCE), 10.0).at - pulled < 3.0
                rig.listen(i % 4 * 2.0)
                sounding.control("load-module", *SINK)
                over, when = time.monotonic(), time.time()
                sounding.play()
                one.recovery_seconds = back(rig, over, when)


def test_a_sound_system_that_is_killed_is_waited_for(microphone: FakeMicrophone, scene: Scene) -> None:
    how = "SIGKILL to a real PulseAudio daemon under real PortAudio; it is started again after 0 to 6 s"
    with (
        faults("pulseaudio_killed", 17, "sound system killed", how, through="real", long=20) as kept,
        hearing(microphone, scene) as (rig, sounding),
    ):
        for i in range(kept.n):
            with kept.injection() as one, rig.accounted(one):
                rig.sounding(SOURCE)
                killed = time.monotonic()
                sounding.server.kill()
                assert rig.wait(has_status("waiting_for_device", SOURCE), 10.0).at - killed < 3.0
                rig.listen(i % 4 * 2.0)
                for leftover in ("pid", "native"):
                    (microphone._folder / leftover).unlink(missing_ok=True)
                microphone.start()
                over, when = time.monotonic(), time.time()
                sounding.play()
                one.recovery_seconds = back(rig, over, when)


def test_a_sound_system_that_hangs_costs_only_its_audio(microphone: FakeMicrophone, scene: Scene) -> None:
    how = "SIGSTOP to a real PulseAudio daemon for 2 to 12 s, so that PortAudio does not return; then SIGCONT"
    with (
        faults("device_hangs", 5, "device hangs", how, through="real", long=20) as kept,
        hearing(microphone, scene) as (rig, sounding),
    ):
        for i in range(kept.n):
            with kept.injection() as one, rig.accounted(one):
                sounding.play()
                rig.sounding(SOURCE)
                server = sounding.server
                server.send_signal(signal.SIGSTOP)
                rig.listen((2.0, 7.0, 12.0)[i % 3])
                server.send_signal(signal.SIGCONT)
                over, when = time.monotonic(), time.time()
                one.recovery_seconds = back(rig, over, when)


def test_an_overrun_of_the_sound_system_is_told(microphone: FakeMicrophone, scene: Scene) -> None:
    how = "the agent of a real PulseAudio microphone is stopped (SIGSTOP) for 0.5 to 4 s, longer than PortAudio keeps"
    with (
        faults("overrun", 7, "input overrun", how, through="real", long=24) as kept,
        hearing(microphone, scene) as (rig, sounding),
    ):
        for i in range(kept.n):
            with kept.injection() as one, rig.accounted(one):
                sounding.play()
                rig.sounding(SOURCE)
                agent = rig.daemon.agent(SOURCE)
                agent.send_signal(signal.SIGSTOP)
                rig.listen((0.8, 0.5, 2.0, 4.0)[i % 4])
                agent.send_signal(signal.SIGCONT)
                over, when = time.monotonic(), time.time()
                one.recovery_seconds = back(rig, over, when)
                rig.listen(1.0)
