"""The daemon's end of the journal: every message goes there before it is published, and never waits for it.

    link.keep(payload)  # into the backlog and the pipe
    publish(payload)

What the journal has not confirmed stays in the backlog. A journal that is started again gets all of that once more, and
stores once what it is told twice.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from streamd.counters import Counters
from streamd.environment import child_command
from streamd.errors import EndpointError, MessageError
from streamd.events import Event, JournalState, Time
from streamd.journal.backlog import backlog_of
from streamd.journal.contract import ASKS_WHAT_IS_OPEN, JournalSpec, Report, Start, decode_report
from streamd.pipe import Pipe

log = logging.getLogger("streamd")

CHILD = "journal process"
"""Its name with the supervisor: no source can have it."""
PATIENCE_SECONDS = 3.0
"""Who has not confirmed anything for this long, while something waits, is in trouble."""
FIRST_PATIENCE_SECONDS = 10.0
"""Until it has confirmed anything at all: a program that starts on a busy machine."""
FINISH_SECONDS = 0.5
"""How long a daemon that stops may take to write its last messages into the pipe."""
MOST_BYTES = 1 << 20
MOST_REPORTS_AT_ONCE = 256


class JournalLink:
    """What the daemon knows of its journal.

    Raises:
        EndpointError: the journal is another daemon's, or this machine has no place in memory for the backlog.
    """

    def __init__(
        self,
        spec: JournalSpec,
        run: str,
        listen_at: Sequence[str],
        counters: Counters,
        ends: tuple[socket.socket, socket.socket],
        on_left_open: Callable[[Event, Time], None],
    ) -> None:
        """Begin; nothing is started.

        Args:
            spec: where the journal lies.
            run: the daemon's.
            listen_at: endpoints of history.
            counters: get what is confirmed, handed over later, and lost.
            ends: of a pair of datagram sockets, ours and the child's; its owner closes them.
            on_left_open: called once with each event that an earlier run left open, and that run's last sign of life.
        """
        self._spec = spec
        self._counters = counters
        self._on_left_open = on_left_open
        try:
            self._backlog = backlog_of(Path(spec.file))
        except EndpointError as error:
            raise EndpointError(f"{spec.file}: {error}") from error
        self._backlog.add(ASKS_WHAT_IS_OPEN, outlives=False)  # behind what a dead daemon left, which may close some
        self._closed: set[str] = set()
        self._pipe_of: Callable[[], Pipe | None] = lambda: None
        self._pid_of: Callable[[], int | None] = lambda: None
        self._pipe: Pipe | None = None
        self._pid: int | None = None
        self._n_confirmed = 0
        self._counted: dict[str, int] = {}
        """What that child has counted."""
        self._told = ""
        self._told_at = 0.0
        """When the journal said its last word, of whatever."""
        self._n_lost = 0
        self._ever_confirmed = False
        self._since = time.monotonic()
        """Since when nothing moved though something waits."""
        self._socket, self._child_end = ends
        self._socket.setblocking(False)
        start = Start(spec=spec, run=run, listen_at=listen_at)
        self.command = child_command("streamd.journal", msgspec.json.encode(start).decode())
        self.output = self._child_end.fileno()
        """What the child must have as its standard output."""

    def attach(self, pipe_of: Callable[[], Pipe | None], pid_of: Callable[[], int | None]) -> None:
        """Say where the child's pipe and its pid can be asked for, whichever child runs."""
        self._pipe_of, self._pid_of = pipe_of, pid_of

    def keep(self, payload: bytes) -> None:
        """Take in a message that is about to be published. Never waits and never fails."""
        if not len(self._backlog):
            self._since = time.monotonic()
        if not self._backlog.add(payload):
            self._n_lost += 1
            self._counters.add("journal.lost")
            return
        self._hand_over()
        if self._backlog.n_waiting or self._pipe is None or self._pipe.n_waiting_bytes:
            self._counters.add("journal.handed_over_later")

    def on_readable(self) -> None:
        """Take in what the journal says, and hand over what it has room for now."""
        for _ in range(MOST_REPORTS_AT_ONCE):
            try:
                data = self._socket.recv(MOST_BYTES)
            except BlockingIOError:
                break
            try:
                self._heed(decode_report(data))
            except MessageError as error:
                log.error("%s", error)
        self._hand_over()

    def _heed(self, report: Report) -> None:
        self._hand_over()  # the first word of a new child: from now on its frames are counted
        if report.pid != self._pid:
            return
        if report.left_open is not None and report.left_open.onset.event_id not in self._closed:
            self._closed.add(report.left_open.onset.event_id)
            self._on_left_open(report.left_open.onset, report.left_open.last_sign)
        n_new = report.n_confirmed - self._n_confirmed
        if n_new > 0:
            self._backlog.confirm(n_new)
            self._counters.add("journal.confirmed", n_new)
            self._n_confirmed = report.n_confirmed
            self._since = time.monotonic()
            self._ever_confirmed = True
        self._told, self._told_at = report.trouble, time.monotonic()
        for name, n in report.counters.items():
            self._counters.add(name, n - self._counted.get(name, 0))
        self._counted = report.counters

    def _hand_over(self) -> None:
        pipe = self._pipe_of()
        if pipe is not self._pipe:  # a new child has read nothing so far
            self._pipe, self._pid = pipe, self._pid_of()
            self._n_confirmed = 0
            self._counted = {}
            self._told = ""
            self._backlog.send_again()
            if ASKS_WHAT_IS_OPEN not in self._backlog:  # each journal learns by it that nothing was left behind
                self._backlog.add(ASKS_WHAT_IS_OPEN, outlives=False)
        if pipe is None:
            return
        pipe.flush()
        while not pipe.n_waiting_bytes and (payload := self._backlog.next()) is not None and pipe.send(payload):
            self._backlog.sent()

    def state(self) -> tuple[JournalState, str]:
        """Return how it is with the journal, and why, in words; to be called every second."""
        self._hand_over()
        patience = PATIENCE_SECONDS if self._ever_confirmed else FIRST_PATIENCE_SECONDS
        if self._told:
            why = f"events are not stored: {self._told}"
        elif len(self._backlog) and time.monotonic() - self._since > patience:
            why = "events are not stored: the journal does not answer"
        else:
            return "kept", ""
        return "behind", why if not self._n_lost else f"{why}; some were lost to it"

    @property
    def progress_at(self) -> float:
        """Monotonic time of its last progress; who has nothing to do gets on, and who says what keeps it from it."""
        if not len(self._backlog):
            return time.monotonic()
        return max(self._since, self._told_at) if self._told else self._since

    @property
    def n_waiting(self) -> int:
        """Messages that are not confirmed."""
        return len(self._backlog)

    @property
    def n_lost(self) -> int:
        """Messages that the backlog had no room for."""
        return self._n_lost

    @property
    def file(self) -> str:
        """The database."""
        return self._spec.file

    def finish(self, end_input: Callable[[], None]) -> None:
        """Write the last messages into the pipe, if there is soon room for them, and end it."""
        deadline = time.monotonic() + FINISH_SECONDS
        self._hand_over()
        while self._backlog.n_waiting or (self._pipe is not None and self._pipe.n_waiting_bytes):
            if self._pipe is None or self._pipe.is_broken or time.monotonic() > deadline:
                break
            time.sleep(0.01)
            self._hand_over()
        end_input()

    def close(self) -> None:
        """Hear the last word of a journal that has ended; say what still waits, which is for the next daemon."""
        while len(self._backlog):
            try:
                report = decode_report(self._socket.recv(MOST_BYTES))
            except BlockingIOError:
                break
            except MessageError as error:
                log.error("%s", error)
                continue
            if report.pid == self._pid:
                self._backlog.confirm(report.n_confirmed - self._n_confirmed)
                self._n_confirmed = report.n_confirmed
        if n_left := self._backlog.n_left:
            log.warning(
                "%d events and states are not stored: %s; %s in %s for the next daemon, and a reboot before that takes"
                " them",
                n_left,
                self._told or self._spec.file,
                "they wait" if self._backlog.is_whole else "only some of them wait",
                self._backlog.file,
            )
        self._backlog.close()
