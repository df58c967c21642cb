"""What every test gets: the environment a command of streamd makes, and a microphone without hardware."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from streamd.environment import prepare

prepare()

# Two busy cores make any deadline a matter of luck; pytest's own timeout catches what hangs.
settings.register_profile("streamd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("streamd")


class FakeMicrophone:
    """The microphone of tests/fake_microphone: real PortAudio reads what `play` plays."""

    def __init__(self, folder: Path) -> None:
        self._script = Path(__file__).parent / "fake_microphone"
        self._folder = folder
        variables = {"PULSE_RUNTIME_PATH": str(folder), "PULSE_SERVER": f"unix:{folder}/native"}
        self.environment = os.environ | variables | {"PULSE_SINK": "fake", "PULSE_SOURCE": "fake.monitor"}
        """What a process needs, to hear it as its default input."""

    def start(self) -> None:
        """Plug it in."""
        subprocess.run([self._script, "start", self._folder], check=True, stdout=subprocess.DEVNULL, timeout=20)

    def stop(self) -> None:
        """Pull it out; does nothing if it is out already."""
        if (self._folder / "pid").exists():
            subprocess.run([self._script, "stop", self._folder], check=False, timeout=20)

    def play(self, recording: Path) -> None:
        """Play a recording into it in real time, and return when it has ended."""
        subprocess.run(["paplay", recording], env=self.environment, check=True)


@pytest.fixture
def microphone() -> Iterator[FakeMicrophone]:
    """A fake microphone that is plugged in; skips where the packages behind it are missing."""
    missing = [name for name in ("pulseaudio", "paplay") if shutil.which(name) is None]
    missing += [] if ctypes.util.find_library("portaudio") else ["libportaudio2"]
    if missing:
        pytest.skip(f"a fake microphone needs {', '.join(missing)}; `make test` as root installs it")
    # Not tmp_path: a socket's path may have no more than 107 characters.
    with tempfile.TemporaryDirectory(prefix="mic-") as folder:
        device = FakeMicrophone(Path(folder))
        device.start()
        yield device
        device.stop()
