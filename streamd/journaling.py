"""The journal of a running daemon: its process, what earlier runs left open, and how all hear of its troubles."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from streamd.counters import Counters
from streamd.endpoints import Word
from streamd.errors import EndpointError
from streamd.events import Event
from streamd.journal.contract import JournalSpec
from streamd.journal.link import CHILD, JournalLink
from streamd.publish import Publisher
from streamd.report import ended_by_restart
from streamd.requests import JournalReport
from streamd.sources import LiveSource
from streamd.supervisor import Supervisor

log = logging.getLogger("streamd")

HANG_SECONDS = 60.0
"""A journal that confirms nothing for so long, and says nothing of why, is started again: a disk may hang a while."""


class Journaling:
    """From its making on, everything that is published goes to the journal first; with no spec it goes nowhere."""

    def __init__(
        self,
        spec: JournalSpec | None,
        publisher: Publisher,
        supervisor: Supervisor,
        listen_at: Mapping[Word, Sequence[str]],
        counters: Counters,
    ) -> None:
        self._publisher = publisher
        self._supervisor = supervisor
        self._link: JournalLink | None = None
        self._is_started = False
        self._ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket = self._ends[0].fileno()
        """For the daemon's poller, as a file: readable when the journal has said something."""
        publisher.journal = "off"
        if spec is None:
            return
        try:
            self._link = JournalLink(
                spec, publisher.run, listen_at["history"], counters, self._ends, self._close_left_open
            )
        except EndpointError as error:  # hearing does not depend on it
            publisher.note = f"events are not stored: {error}"
            log.error("%s", publisher.note)
            return
        publisher.journal = "kept"
        publisher.keep = self._link.keep

    def start(self) -> None:
        """Start the journal's process."""
        if self._link:
            supervisor = self._supervisor
            self._is_started = True
            self._link.attach(lambda: supervisor.pipe(CHILD), lambda: supervisor.pid(CHILD))
            supervisor.start(CHILD, self._link.command, self._link.output)

    def on_readable(self) -> None:
        """Take in what the journal says."""
        if self._link:
            self._link.on_readable()

    def _close_left_open(self, onset: Event, last_sign: datetime) -> None:
        """Publish the offset that an earlier run still owed: in this run, since nobody counts in that one any more."""
        publisher = self._publisher
        seq = publisher.next_seq(onset.source)
        publisher.send(ended_by_restart(onset, last_sign, run=publisher.run, host=publisher.host, seq=seq))

    def look(self, sources: Iterable[LiveSource]) -> None:
        """Have all sources say when the journal falls behind and has caught up; to be called every second."""
        if self._link is None:
            return
        self._supervisor.watch(CHILD, self._link.progress_at, HANG_SECONDS)
        publisher = self._publisher
        state, note = self._link.state()
        if (state, note) == (publisher.journal, publisher.note):
            return
        log.warning("%s", note or "the journal has caught up: all events are stored")
        publisher.journal, publisher.note = state, note
        for source in sources:
            source.say_again()

    def report(self) -> JournalReport:
        """Return how the journal fares, for `status`."""
        publisher, link = self._publisher, self._link
        return JournalReport(
            state=publisher.journal or "off",
            detail=publisher.note,
            file=link.file if link else None,
            n_waiting=link.n_waiting if link else 0,
            n_lost=link.n_lost if link else 0,
            restarts=self._supervisor.n_restarts(CHILD),
        )

    def stop_children(self, timeout_seconds: float) -> None:
        """Have the journal end, and with it all children; what it did not confirm by then waits for the next daemon."""
        if self._link:
            if (
                self._is_started and self._link.n_waiting and self._supervisor.pid(CHILD) is None
            ):  # it has died, and would be back too late
                self._supervisor.start(CHILD, self._link.command, self._link.output)
            self._link.finish(lambda: self._supervisor.end_input(CHILD))
        self._supervisor.stop(timeout_seconds)
        if self._link:
            self._link.close()
        for end in self._ends:
            end.close()
