"""`streamd demo`: a real daemon hears a shipped recording, and a subscriber prints what it is told.

Nothing is simulated: the daemon is a process with a folder of its own, its agent plays the recording in real time,
and events come over ZeroMQ. `demo.tsv` beside the recording says what sounds when; SOURCES.md where it is from.
"""

from __future__ import annotations

import csv
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from streamd import shipped
from streamd.capture import parent
from streamd.environment import child_command
from streamd.errors import EndpointError
from streamd.events import Event, State
from streamd.gap import Gap
from streamd.subscribe import Subscription
from streamd.terminal import Output

SLACK_SECONDS = 1.5
"""How far an event may lie from its sound in the list: a window of the model and some."""
PATIENCE_SECONDS = 15.0
"""A daemon that says nothing for this long, not even a heartbeat, is stuck."""
STOP_SECONDS = 5.0
_TICK_SECONDS = 0.2


@dataclass(frozen=True)
class Sound:
    """An entry of the list: what sounds, and when."""

    onset_seconds: float
    offset_seconds: float
    label: str
    sound: str
    """In words."""

    def is_heard_in(self, event: Event) -> bool:
        """Tell whether an onset is of this sound."""
        begin, end = self.onset_seconds - SLACK_SECONDS, self.offset_seconds + SLACK_SECONDS
        return event.label == self.label and begin <= event.onset_seconds <= end


def sounds() -> list[Sound]:
    """Return what sounds in the shipped recording."""
    with shipped.demo_file("demo.tsv").open(encoding="utf-8", newline="") as file:
        return [
            Sound(float(row["onset"]), float(row["offset"]), row["label"], row["sound"])
            for row in csv.DictReader(file, delimiter="\t")
        ]


def run(*, json: bool = False) -> int:
    """Play the recording and print what is heard; json prints the messages alone.

    Returns:
        0 if every event is of a sound in the list and at least four sounds were heard, else 1.

    Raises:
        EndpointError: the daemon did not start, or fell silent; its last words are in the message.
    """
    listed = sounds()
    output = Output(sys.stdout, as_json=json)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up after us in that case, too
    seconds = max(sound.offset_seconds for sound in listed)
    output.say(
        f"A daemon starts, and hears a recording in real time: {len(listed)} sounds in a quiet room, {seconds:.0f} s.",
        "But for the lines 'playing', this is what a subscriber is told: of a sound when it begins, and again when",
        "it has been silent for some seconds. Ctrl-C ends it.",
        "",
    )
    onsets = []
    to_play = list(listed)
    began = math.inf
    with tempfile.TemporaryDirectory(prefix="streamd-demo-") as folder, closing(_hear(Path(folder))) as told:
        try:
            for message, payload in told:
                if isinstance(message, State) and message.status in ("live", "degraded"):
                    began = min(began, time.monotonic())
                while to_play and time.monotonic() - began >= to_play[0].onset_seconds:
                    output.say(f"playing: {to_play.pop(0).sound}")
                if message is not None:
                    output.message(message, payload)
                if isinstance(message, Event) and message.phase == "onset":
                    onsets.append(message)
        except KeyboardInterrupt:
            return 130
    verdict, code = _verdict(listed, onsets)
    output.say("", *verdict)
    return code


def _hear(folder: Path) -> Generator[tuple[Event | State | Gap | None, bytes], None, None]:
    """Yield what a daemon tells of the recording until it is over; None now and then while it says nothing."""
    with _a_daemon(folder) as daemon, Subscription(f"ipc://{folder}/events.sock", also=["heartbeat"]) as subscription:
        waited = 0.0
        while True:
            message = subscription.poll(_TICK_SECONDS)
            waited = 0.0 if message is not None else waited + _TICK_SECONDS
            if daemon.poll() is not None or waited >= PATIENCE_SECONDS:
                said = (folder / "log").read_text(encoding="utf-8", errors="replace").strip()
                raise EndpointError(f"the daemon of the demo is gone or silent; it said: {said or 'nothing'}")
            if message is None or isinstance(message, Event | State | Gap):
                yield message, subscription.payload
            if isinstance(message, State) and message.status == "ended":
                return


@contextmanager
def _a_daemon(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon that has a folder to itself and plays the recording; it never outlives us."""
    config = folder / "streamd.yaml"
    # JSON is YAML too, whatever characters a path has.
    sources = {"demo": {"recording": str(shipped.demo_file("demo.flac"))}}
    config.write_bytes(msgspec.json.encode({"sources": sources, "journal": False}))
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            child_command("streamd", "run", "-c", str(config)),
            env={**os.environ, "RUNTIME_DIRECTORY": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=parent.die_with_me(),  # noqa: PLW1509 - this process has one thread
        )
    try:
        yield daemon
    finally:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _verdict(listed: Sequence[Sound], onsets: Sequence[Event]) -> tuple[list[str], int]:
    """Compare what was heard with the list; return what to say of it, and the exit code."""
    strangers = [event for event in onsets if not any(sound.is_heard_in(event) for sound in listed)]
    heard = [sound for sound in listed if any(sound.is_heard_in(event) for event in onsets)]
    missed = [sound for sound in listed if sound not in heard]
    lines = [f"Heard {len(heard)} of {len(listed)} sounds, and {len(strangers)} that were not there."]
    lines += [f"  missed: {sound.label} at {sound.onset_seconds:.1f} s ({sound.sound})" for sound in missed]
    lines += [f"  not there: {event.label} at {event.onset_seconds:.1f} s" for event in strangers]
    lines += [
        "Next, with a microphone: `streamd run`, and in another terminal `streamd listen`, with --scores for more.",
    ]
    return lines, 0 if len(heard) >= 4 and not strangers else 1
