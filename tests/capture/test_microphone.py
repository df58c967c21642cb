"""Microphones: a fake one behind real PortAudio, and a stand-in for PortAudio where it can't be made to fail."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from streamd.blocks import Bye, Hello, Waiting
from streamd.capture import microphone as module
from streamd.capture.agent import STOPPED
from streamd.capture.microphone import MicrophoneInput
from streamd.capture.specs import Microphone
from streamd.errors import DeviceError
from tests.agents import AudioSocket, ended, running_agent
from tests.conftest import FakeMicrophone

RATE = 16_000


def test_what_is_played_arrives_sample_for_sample(microphone: FakeMicrophone, tmp_path: Path) -> None:
    played = np.random.default_rng(1).integers(1, 20_000, 3 * RATE).astype(np.int16)
    soundfile.write(tmp_path / "noise.wav", played, RATE)
    spec = Microphone(sample_rate=RATE)
    with AudioSocket() as daemon, running_agent(daemon.endpoint, spec, microphone.environment):
        hello = daemon.expect(Hello)
        assert (hello.live, hello.native_rate) == (True, RATE)
        daemon.want(hello)
        daemon.blocks(3)
        microphone.play(tmp_path / "noise.wav")
        blocks = daemon.blocks(40)
        heard = daemon.samples(hello.take)
        begin = int(np.flatnonzero(heard)[0])
        np.testing.assert_array_equal(heard[begin : begin + len(played)], played)
        assert not any(block.n_lost for block in blocks)
        # Every block is dated by its samples, and the fit settles to the pace of the sound card.
        ages = [block.monotonic - block.first_sample / RATE for block in blocks[10:]]
        assert max(ages) - min(ages) < 0.06
        assert blocks[-1].monotonic < time.monotonic()


def test_another_native_rate_is_resampled_without_a_shift_in_pitch(microphone: FakeMicrophone, tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(3 * RATE) / RATE)
    soundfile.write(tmp_path / "tone.wav", tone, RATE)
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Microphone(name="PULSE"), microphone.environment):
        hello = daemon.expect(Hello)
        assert (hello.native_rate, hello.device) == (44_100, "pulse (ALSA)")
        daemon.want(hello)
        daemon.blocks(3)
        microphone.play(tmp_path / "tone.wav")
        daemon.blocks(30)
        heard = daemon.samples(hello.take).astype(np.float64)
        begin = int(np.flatnonzero(np.abs(heard) > 1000)[0]) + 1600
        second = heard[begin : begin + RATE]
        spectrum = np.abs(np.fft.rfft(second * np.hanning(len(second))))
        assert int(spectrum.argmax()) == 1000
        assert 20 * np.log10(np.abs(second).max() / 32768) == pytest.approx(-6.02, abs=0.3)


def test_a_microphone_that_is_pulled_out_is_waited_for_and_found_again(microphone: FakeMicrophone) -> None:
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Microphone(), microphone.environment):
        first = daemon.expect(Hello)
        daemon.want(first)
        daemon.blocks(3)
        microphone.stop()
        bye = daemon.expect_after_others(Bye, 3)
        assert (bye.take, bye.reason) == (first.take, "device")
        assert "microphone" in daemon.expect(Waiting, 1).detail
        microphone.start()
        second = daemon.expect_after_others(Hello, 5)
        assert second.take != first.take
        daemon.want(second)
        assert daemon.blocks(3)[0].first_sample == 0


def test_an_unknown_name_is_waited_for_and_those_there_are_named(microphone: FakeMicrophone) -> None:
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Microphone(name="USB"), microphone.environment):
        waiting = daemon.expect(Waiting)
        assert waiting.detail == "there is no microphone 'USB'; there are 'pulse', 'default'"
        assert daemon.expect(Waiting, 5) == waiting, "said again, so that the daemon sees it lives"


def test_microphones_are_listed_and_alsa_is_not_heard_of(microphone: FakeMicrophone) -> None:
    program = "from streamd.capture.microphone import list_microphones; print(list_microphones())"
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, env=microphone.environment, capture_output=True, text=True, check=True)
    assert "name='default', host_api='ALSA', n_channels=32, native_rate=44100, is_default=True" in told.stdout
    assert told.stderr == ""


def test_missing_portaudio_is_one_line_that_says_what_to_install(tmp_path: Path) -> None:
    # What sounddevice does where there is no library.
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Microphone(), environment):
        detail = daemon.expect(Waiting).detail
        assert "PortAudio is missing" in detail
        assert "apt install libportaudio2" in detail
        assert "brew install portaudio" in detail


@pytest.fixture
def broken_alsa(microphone: FakeMicrophone, tmp_path: Path) -> Path:
    """A home whose .asoundrc lacks a brace."""
    broken = tmp_path / ".asoundrc"
    broken.write_text("pcm.!default {\n type pulse\n")
    microphone.environment["HOME"] = str(tmp_path)
    return broken


def test_a_portaudio_that_cannot_start_is_waited_for_and_says_why(
    microphone: FakeMicrophone, broken_alsa: Path
) -> None:
    with AudioSocket() as daemon, running_agent(daemon.endpoint, Microphone(), microphone.environment) as agent:
        waiting = daemon.expect(Waiting)
        assert "PortAudio can't start: " in waiting.detail
        assert "look at ~/.asoundrc" in waiting.detail
        assert daemon.expect(Waiting, 5) == waiting
        broken_alsa.unlink()
        hello = daemon.expect_after_others(Hello)
        assert hello.device == "default (ALSA)"
        daemon.want(hello)
        daemon.blocks(1)
        agent.terminate()
        assert ended(agent) == (STOPPED, "")


def test_a_portaudio_that_fails_between_two_looks_is_waited_for_too(
    microphone: FakeMicrophone, broken_alsa: Path
) -> None:
    written = broken_alsa.read_text()
    broken_alsa.unlink()
    with (
        AudioSocket() as daemon,
        running_agent(daemon.endpoint, Microphone(name="USB"), microphone.environment) as agent,
    ):
        assert "there is no microphone 'USB'" in daemon.expect(Waiting).detail
        broken_alsa.write_text(written)
        waiting = daemon.expect(Waiting)
        while "no microphone" in waiting.detail:
            waiting = daemon.expect(Waiting)
        assert "PortAudio can't start" in waiting.detail
        broken_alsa.unlink()
        while "can't start" in waiting.detail:
            waiting = daemon.expect(Waiting)
        assert "there is no microphone 'USB'" in waiting.detail
        agent.terminate()
        assert ended(agent) == (STOPPED, "")


def test_a_portaudio_that_cannot_start_is_one_line_of_devices(microphone: FakeMicrophone, broken_alsa: Path) -> None:
    command = [sys.executable, "-m", "streamd", "devices"]
    told = subprocess.run(command, env=microphone.environment, capture_output=True, text=True, check=False)
    assert told.returncode == DeviceError.exit_code
    assert told.stderr.startswith("streamd: PortAudio can't start: ")
    assert told.stderr.count("\n") == 1


class _Stream:
    """PortAudio's stream as it would be: a ramp in every channel, and an overflow when the test says so."""

    read_available: Any = 0

    def __init__(self, samplerate: int, channels: int, **_: Any) -> None:
        self.opened = (samplerate, channels)
        self.overflowed = False
        self._n_channels = channels

    def start(self) -> None: ...

    def close(self, ignore_errors: bool) -> None: ...

    def read(self, n_samples: int) -> tuple[bytes, bool]:
        ramp = np.arange(n_samples * self._n_channels, dtype=np.int16) * 2
        return ramp.tobytes(), self.overflowed


def _portaudio(monkeypatch: pytest.MonkeyPatch, *devices: dict[str, Any]) -> None:
    listed = [
        {"index": i, "hostapi": 0, "default_samplerate": 48000.0, "max_input_channels": 2, **device}
        for i, device in enumerate(devices)
    ]

    def query_devices(kind: str | None = None) -> Any:
        if kind is None:
            return listed
        if not listed:
            raise ValueError("no default")
        return listed[0]

    fake = SimpleNamespace(
        query_devices=query_devices,
        query_hostapis=lambda: ({"name": "ALSA"},),
        RawInputStream=_Stream,
        PortAudioError=RuntimeError,
    )
    monkeypatch.setattr(module, "_fresh_portaudio", lambda: fake)


HARDWARE = {"name": "USB PnP Sound Device: Audio (hw:1,0)"}


def test_a_sound_card_is_opened_with_all_its_channels_and_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    _portaudio(monkeypatch, {"name": "default", "max_input_channels": 32}, HARDWARE)
    device = MicrophoneInput(Microphone(name="usb pnp"))
    assert device._stream.opened == (48_000, 2)
    np.testing.assert_array_equal(device.read(3).samples * 32768, [1, 5, 9])


def test_a_channel_counts_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _portaudio(monkeypatch, HARDWARE)
    np.testing.assert_array_equal(MicrophoneInput(Microphone(channel=2)).read(3).samples * 32768, [2, 6, 10])
    for channel in (0, 3):
        with pytest.raises(DeviceError, match=f"has 2 channels; expected one of them, not {channel}"):
            MicrophoneInput(Microphone(channel=channel))


def test_a_plugin_of_alsa_mixes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    _portaudio(monkeypatch, {"name": "default", "max_input_channels": 32})
    assert MicrophoneInput(Microphone())._stream.opened == (48_000, 1)
    assert MicrophoneInput(Microphone(channel=1, sample_rate=RATE))._stream.opened == (RATE, 2)


def test_no_microphone_and_an_ambiguous_name_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _portaudio(monkeypatch)
    with pytest.raises(DeviceError, match="there is no microphone; plug one in"):
        MicrophoneInput(Microphone())
    _portaudio(monkeypatch, {"name": "Front mic"}, {"name": "Rear mic"})
    with pytest.raises(DeviceError, match="'mic' may be any of 'Front mic', 'Rear mic'; write"):
        MicrophoneInput(Microphone(name="mic"))
    assert MicrophoneInput(Microphone(name="REAR MIC")).device == "Rear mic (ALSA)"


def test_a_sound_card_is_found_by_its_stable_id_and_under_another_number(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"name": "USB PnP Sound Device: Audio (hw:3,0)"}
    ids = {HARDWARE["name"]: "usb-C-Media-00", other["name"]: "pci-usb-0:3:1.0"}
    monkeypatch.setattr(module, "stable_id", ids.get)
    _portaudio(monkeypatch, HARDWARE, other)
    assert MicrophoneInput(Microphone(name="pci-usb-0:3:1.0")).device == "USB PnP Sound Device: Audio (hw:3,0) (ALSA)"
    with pytest.raises(DeviceError, match=r"may be any of 'usb-C-Media-00', 'pci-usb-0:3:1\.0'; write more"):
        MicrophoneInput(Microphone(name="USB PnP"))
    _portaudio(monkeypatch, other)
    assert "hw:3,0" in MicrophoneInput(Microphone(name=HARDWARE["name"])).device


def test_an_overflow_is_counted_by_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    _portaudio(monkeypatch, HARDWARE)
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    device = MicrophoneInput(Microphone())
    for _ in range(5):
        now += 0.1
        assert device.read(4800).n_lost == 0
    # For two seconds nobody read; one tenth of a second is still there after this read.
    now += 2
    device._stream.overflowed, device._stream.read_available = True, 4800
    assert device.read(4800).n_lost == pytest.approx(1.8 * 48_000, abs=1)
    assert device.clock.position == pytest.approx(2.4 * 48_000, abs=1)
    # An overflow that the clock doesn't see has lost something all the same.
    device._stream.read_available = 480_000
    assert device.read(4800).n_lost == 1


def test_what_fails_behind_an_open_microphone_is_a_lost_device(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def __get__(self, stream: _Stream, _: type[_Stream]) -> int:
            raise RuntimeError("Unanticipated host error", -9999, (0, -19, "No such device"))

    _portaudio(monkeypatch, HARDWARE)
    device = MicrophoneInput(Microphone())
    monkeypatch.setattr(_Stream, "read_available", Gone(), raising=False)
    device._stream.overflowed = True
    with pytest.raises(DeviceError, match=r"USB PnP .* is gone: No such device"):
        device.read(4800)


def test_a_list_of_devices_that_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception) -> Any:
        raise error

    _portaudio(monkeypatch, HARDWARE)
    fake = module._fresh_portaudio()
    for error, said in (
        (RuntimeError("PortAudio not initialized", -10000), "can't list the microphones: PortAudio not initialized"),
        (
            UnicodeDecodeError("utf-8", b"caf\xe9", 3, 4, "unexpected end of data"),
            "can't list .* unexpected end of data",
        ),
    ):
        monkeypatch.setattr(fake, "query_hostapis", lambda error=error: fail(error))
        with pytest.raises(DeviceError, match=said):
            module.list_microphones()
