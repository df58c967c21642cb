"""The recorder of a running daemon: its process, and how sources say that it can't record."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import ExitStack

from streamd.counters import Counters
from streamd.recorder.link import RecorderLink
from streamd.recorder.messages import LAST_SECONDS, RecorderSpec
from streamd.requests import RecorderReport
from streamd.sources import LiveSource
from streamd.supervisor import Supervisor

log = logging.getLogger("streamd")

CHILD = "recorder process"
"""Its name with the supervisor: no source can have it."""
PATIENCE_SECONDS = 20.0
"""A recorder that says nothing for so long is killed and started again; a disk that hangs does not silence it."""


class Recording:
    """What records, if the configuration asks for it; without a spec nothing does, and nothing here does anything."""

    def __init__(self, spec: RecorderSpec | None, supervisor: Supervisor, counters: Counters, stack: ExitStack) -> None:
        """Start its process; what must be closed goes to the stack."""
        self._supervisor = supervisor
        self._counters = counters
        self.link: RecorderLink | None = None
        """What sources hand their audio and events to."""
        if spec is not None:
            self.link = link = RecorderLink(spec, counters)
            stack.callback(link.close)
            link.pipe_of = lambda: supervisor.pipe(CHILD)
            supervisor.start(CHILD, link.command, link.output)
            stack.callback(self._finish)  # before the supervisor, which is older, ends all children

    def look(self, sources: Iterable[LiveSource]) -> None:
        """Hear what the recorder says, and have all sources say it if it concerns them; to be called every second."""
        if self.link is None:
            return
        is_news = self.link.look()
        self._supervisor.watch(CHILD, self.link.heard_at, PATIENCE_SECONDS)
        if is_news:
            log.warning("%s", self.link.note or "all is recorded again")
            for source in sources:
                source.say_again()

    def report(self) -> RecorderReport | None:
        """Return how it fares, for `status`; None: nothing is recorded."""
        if self.link is None:
            return None
        told, counts = self.link.report, self._counters.read()
        return RecorderReport(
            folder=self.link.folder,
            detail=self.link.note,
            n_recorded=told.n_recorded,
            n_near_misses=told.n_near_misses,
            n_without_audio=told.n_without_audio,
            n_cut=told.n_cut,
            n_lost=told.n_lost,
            n_removed=told.n_removed,
            n_waiting=told.n_waiting,
            n_bytes=told.n_bytes,
            n_lost_events=counts.get("recorder.lost_events", 0),
            n_lost_samples=counts.get("recorder.lost_samples", 0),
            restarts=self._supervisor.n_restarts(CHILD),
        )

    def _finish(self) -> None:
        """Have it write what it has, and end."""
        if self.link is not None:
            self.link.look()
            self._supervisor.end_input(CHILD)
            self._supervisor.wait_for_end(CHILD, LAST_SECONDS + 0.5)
