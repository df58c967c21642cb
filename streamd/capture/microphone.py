"""Microphones, through PortAudio with blocking reads.

No callbacks: they need memory that is writable and executable, which a hardened service must not have,
and Python's lock at the wrong moment. PortAudio looks for devices once, when it starts; so it is started
anew whenever a device is looked for.
"""

from __future__ import annotations

import os
import sys
import time
from types import ModuleType

import msgspec
import numpy as np

from streamd.capture.audio import Piece
from streamd.capture.channels import Channels
from streamd.capture.clock import CaptureClock
from streamd.capture.quiet import quiet_stderr
from streamd.capture.resample import from_pcm
from streamd.capture.sound_card import stable_id, without_number
from streamd.capture.specs import Microphone
from streamd.errors import DeviceError

LATENCY_SECONDS = 0.3
"""How much the sound system keeps for us if we are late. Audio comes in steps of a third of it."""


class MicrophoneInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A microphone that is there."""

    name: str
    host_api: str
    """The sound system behind it, in PortAudio's words: ALSA, Core Audio, …"""
    n_channels: int
    native_rate: int
    """Its own sample rate as PortAudio reports it, in Hz."""
    is_default: bool
    stable_id: str | None = None
    """What tells its sound card apart for ever (`sound_card.py`); None where nothing does."""


class MicrophoneInput:
    """An open microphone."""

    live = True
    can_wait = False

    def __init__(self, spec: Microphone) -> None:
        """Open it.

        Raises:
            DeviceError: PortAudio is missing or fails, or there is no such microphone, or it can't be opened.
        """
        self._sounddevice = _fresh_portaudio()
        self._errors = _errors_of(self._sounddevice)
        index, found = _choose(_microphones(self._sounddevice), spec.name)
        is_plugin = found.host_api == "ALSA" and "(hw:" not in found.name
        # A plug-in of ALSA takes any number of channels, and mixes for whoever asks for one.
        n_channels = found.n_channels
        if is_plugin:
            n_channels = 1 if spec.channel == "mix" else min(max(spec.channel, 2), n_channels)
        if spec.channel != "mix" and not 1 <= spec.channel <= n_channels:
            raise DeviceError(
                f"microphone {found.name!r} has {n_channels} channels; expected one of them, not {spec.channel}"
            )
        self._n_channels = n_channels
        self._channel = None if spec.channel == "mix" else spec.channel - 1
        self.device = f"{found.name} ({found.host_api})"
        self.clock = CaptureClock(spec.sample_rate or found.native_rate)
        self._channels = Channels(self.clock.sample_rate)
        try:
            with quiet_stderr():
                self._stream = self._sounddevice.RawInputStream(
                    samplerate=self.clock.sample_rate,
                    channels=n_channels,
                    dtype="int16",
                    device=index,
                    latency=LATENCY_SECONDS,
                )
                self._stream.start()
        except self._errors as error:
            asked = f"{self.clock.sample_rate} Hz, {n_channels} channels"
            raise DeviceError(f"microphone {found.name!r} can't be opened ({asked}): {_reason(error)}") from error

    def read(self, n_samples: int) -> Piece:
        """Return the next n_samples samples; waits until they are captured.

        Raises:
            DeviceError: the microphone is gone.
        """
        try:
            data, overflowed = self._stream.read(n_samples)
            n_unread = self._stream.read_available if overflowed else 0
        except self._errors as error:
            raise DeviceError(f"microphone {self.device} is gone: {_reason(error)}") from error
        samples = np.frombuffer(data, np.int16).reshape(-1, self._n_channels)
        now = time.monotonic()
        n_lost = 0
        if overflowed:
            # PortAudio says that samples were lost, not how many: those that our clock misses.
            n_lost = max(1, self.clock.n_missing(now) - len(samples) - n_unread)
            self.clock.lost(n_lost)
        n_lost += self.clock.heard(len(samples), now)
        heard = from_pcm(samples if self._channel is None else samples[:, [self._channel]])
        return Piece(self._channels.mix(heard), n_lost, self._channels.dead)

    def close(self) -> None:
        """Let go of it."""
        with quiet_stderr():
            self._stream.close(ignore_errors=True)


def list_microphones() -> list[MicrophoneInfo]:
    """Return the microphones that are there now.

    Raises:
        DeviceError: PortAudio is missing, or fails.
    """
    return [info for _, info in _microphones(_fresh_portaudio())]


def _fresh_portaudio() -> ModuleType:
    """Return sounddevice, with PortAudio's list of devices made just now."""
    os.environ.setdefault("JACK_NO_START_SERVER", "1")  # PortAudio asks JACK for its ports, and that would start it
    with quiet_stderr():
        known = sys.modules.get("sounddevice")
        try:
            import sounddevice

            if known:
                while sounddevice._initialized:  # it is not where the last start failed
                    sounddevice._terminate()
                sounddevice._initialize()
        except OSError as error:
            raise DeviceError(
                "PortAudio is missing, which microphones need; install it: "
                "`apt install libportaudio2` on Debian, `brew install portaudio` on macOS"
            ) from error
        except Exception as error:  # of a class that can't be named: it lies in the module that fails to be imported
            hint = "with ALSA, look at ~/.asoundrc and /etc/asound.conf"
            raise DeviceError(f"PortAudio can't start: {_reason(error)}; {hint}") from error
    found: ModuleType = sounddevice
    return found


def _errors_of(sounddevice: ModuleType) -> tuple[type[Exception], ...]:
    """Return what sounddevice raises: also where PortAudio's own words are no UTF-8."""
    return sounddevice.PortAudioError, UnicodeDecodeError


def _microphones(sounddevice: ModuleType) -> list[tuple[int, MicrophoneInfo]]:
    try:
        return _listed(sounddevice)
    except _errors_of(sounddevice) as error:
        raise DeviceError(f"PortAudio can't list the microphones: {_reason(error)}") from error


def _listed(sounddevice: ModuleType) -> list[tuple[int, MicrophoneInfo]]:
    host_apis = sounddevice.query_hostapis()
    try:
        default = sounddevice.query_devices(kind="input")["index"]
    except (sounddevice.PortAudioError, ValueError):
        default = None
    return [
        (
            device["index"],
            MicrophoneInfo(
                name=device["name"],
                host_api=host_apis[device["hostapi"]]["name"],
                n_channels=device["max_input_channels"],
                native_rate=round(device["default_samplerate"]),
                is_default=device["index"] == default,
                stable_id=stable_id(device["name"]),
            ),
        )
        for device in sounddevice.query_devices()
        if device["max_input_channels"] > 0
    ]


def _choose(microphones: list[tuple[int, MicrophoneInfo]], name: str | None) -> tuple[int, MicrophoneInfo]:
    """Return the microphone that is meant by a name or a part of it, or by its stable id, or the default."""
    if not microphones:
        raise DeviceError("there is no microphone; plug one in, or see whether this user may use it (group audio)")
    names = ", ".join(repr(info.name) for _, info in microphones)
    if name is None:
        matching = [one for one in microphones if one[1].is_default]
        if not matching:
            raise DeviceError(f"the system has no default microphone; name one of {names}")
        return matching[0]
    wanted = name.casefold()
    whole = [one for one in microphones if wanted in (one[1].name.casefold(), (one[1].stable_id or "").casefold())]
    # The card may have had another number when its name was written down.
    part = without_number(wanted)
    parts = [one for one in microphones if part in one[1].name.casefold()]
    matching = whole[:1] or parts
    if not matching:
        raise DeviceError(f"there is no microphone {name!r}; there are {names}")
    if len(matching) > 1:
        several = ", ".join(repr(info.stable_id or info.name) for _, info in matching)
        raise DeviceError(f"{name!r} may be any of {several}; write more of the name, or all of one of these")
    return matching[0]


def _reason(error: Exception) -> str:
    """Return the reason in one line: a PortAudioError holds (text, code, (host API, code, text))."""
    match error.args:
        case (str(), _, (_, _, str(text))) if text:
            pass
        case (str(text), *_) if not isinstance(error, UnicodeDecodeError):
            pass
        case _:
            text = str(error) or "no reason given"
    return " ".join(text.split())
