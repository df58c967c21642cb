"""The recorder's process: `python -m streamd.recorder SPEC`, started by the daemon, ended by the end of its input."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import time

import msgspec

from streamd.errors import MessageError
from streamd.pipe import FrameReader
from streamd.recorder.desk import Desk
from streamd.recorder.messages import LAST_SECONDS, RecorderSpec, Report, decode, encode_report
from streamd.recorder.shelf import Shelf

log = logging.getLogger("streamd.recorder")

REPORT_SECONDS = 1.0
NICENESS = 5
"""Hearing comes first."""
_READ_BYTES = 1 << 18
_STDIN, _STDOUT = 0, 1


def main(arguments: list[str]) -> int:
    """Record until the input ends; return the exit code."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    spec = msgspec.json.decode(arguments[0], type=RecorderSpec)
    os.nice(NICENESS)
    # The last events come after the daemon was asked to stop, and a hang-up may be sent to a whole unit.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    desk, shelf = Desk(spec), Shelf(spec)
    shelf.start()
    try:
        _record(desk, shelf)
    except MessageError as error:
        log.error("recorder: %s", error)
        return error.exit_code
    for recording in desk.close():
        shelf.put(recording)
    shelf.close(LAST_SECONDS)
    _say(shelf.report())
    return 0


def _record(desk: Desk, shelf: Shelf) -> None:
    frames = FrameReader()
    poll = select.poll()
    poll.register(_STDIN, select.POLLIN)
    said, say_at = None, 0.0
    while True:
        poll.poll(REPORT_SECONDS * 1000)
        if poll.poll(0):
            data = os.read(_STDIN, _READ_BYTES)
            if not data:
                return
            for payload in frames.feed(data):
                for recording in desk.take_in(*decode(payload)):
                    shelf.put(recording)
        report, now = shelf.report(), time.monotonic()
        if report != said or now >= say_at:
            _say(report)
            said, say_at = report, now + REPORT_SECONDS


def _say(report: Report) -> None:
    try:
        os.write(_STDOUT, encode_report(report))  # a datagram
    except OSError:
        return  # the daemon has enough to read, or is gone


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
