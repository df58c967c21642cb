"""What the daemon and its journal tell each other.

The journal's standard input is a pipe of frames: published messages as they are on the wire, and questions. Its
standard output is a socket that takes whole reports, one JSON object each. The pipe ends when the daemon does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streamd.errors import MessageError
from streamd.events import BROKEN_JSON, Event, Time

ASKS_WHAT_IS_OPEN = b"?"
"""A frame that asks for the events that earlier runs left open; every other frame is a message."""


class JournalSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Where a journal lies, and how much of it is kept."""

    file: str
    """The database; its folder is made if need be."""
    max_days: float
    """What is older is deleted."""
    max_megabytes: float
    """The oldest is deleted where the file would grow beyond this."""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal's process is started with."""

    spec: JournalSpec
    run: str
    """The daemon's."""
    listen_at: Sequence[str]
    """Endpoints of history."""


class LeftOpen(msgspec.Struct, frozen=True, kw_only=True):
    """An onset of an earlier run whose offset was never published."""

    onset: Event
    last_sign: Time
    """When the journal last had a sign of life from that run: its end, if the journal outlived it."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How far the journal is."""

    pid: int
    """Its process: what was said by one that has died since counts no more."""
    n_confirmed: int
    """Frames of its pipe that are stored, or answered, since it was started."""
    trouble: str = ""
    """Why nothing can be stored now, in words, told every second; empty if nothing hinders."""
    left_open: LeftOpen | None = None
    counters: dict[str, int] = {}  # msgspec copies it
    """What the gate before its socket counted since it was started (gate.py)."""


_reports = msgspec.json.Decoder(Report)


def decode_report(data: bytes) -> Report:
    """Return a report; raises MessageError if it is none."""
    try:
        return _reports.decode(data)
    except BROKEN_JSON as error:
        raise MessageError(f"report of the journal that is not understood: {error}") from error


def default_file() -> Path:
    """Return where a journal lies unless the configuration says: in the state folder of the service or the user.

    It is `$STATE_DIRECTORY` (systemd sets it), else `$XDG_STATE_HOME/streamd`, else `~/.local/state/streamd`.
    """
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given) / "journal.db"
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state else Path("~/.local/state").expanduser()) / "streamd" / "journal.db"
