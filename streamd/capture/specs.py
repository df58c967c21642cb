"""What an agent captures, as the configuration and the command line say it and as JSON on an agent's own.

Imports nothing heavy: the configuration is built from these.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from streamd.errors import UsageError


class Microphone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=True):
    """An input of the sound system."""

    name: str | None = None
    """Its name or a part of it; None: the system's default input."""
    channel: int | Literal["mix"] = "mix"
    """Which channel is heard, counted from 1, or the mean of all."""
    sample_rate: int | None = None
    """Rate to open it at, in Hz. None: its own. PortAudio reports 44,100 Hz for inputs of PulseAudio and
    PipeWire, whatever is behind them."""


class Recording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=True):
    """A WAV, FLAC, OGG or MP3 file, played in real time as if it were a microphone."""

    path: str
    repeat: bool = False
    """Play it again and again, as one unbroken take."""
    fast: bool = False
    """Play it as fast as the daemon takes it; nothing is ever shed then."""


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=True):
    """A program that writes audio to its standard output. No shell is involved."""

    arguments: tuple[str, ...]
    """The program and its arguments."""
    sample_rate: int | UnsetType = UNSET
    """Of raw 16-bit little-endian PCM, in Hz; left out: the program writes a WAV stream."""
    n_channels: int | UnsetType = UNSET
    """Of raw PCM; left out: one. They are mixed."""


Spec = Microphone | Recording | Command
"""What an agent captures."""

_decoder: msgspec.json.Decoder[Spec] = msgspec.json.Decoder(Spec)


def encode(spec: Spec) -> str:
    """Return a spec as JSON, the form in which an agent gets it."""
    return msgspec.json.encode(spec).decode()


def decode(text: str) -> Spec:
    """Return the spec in a JSON text.

    Raises:
        UsageError: it is none.
    """
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError as error:
        raise UsageError(f"{text[:200]!r} says not what to capture: {error}") from error
