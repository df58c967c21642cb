"""A store that outlives what happens to disks: full, read-only, gone and back, or its file broken."""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from streamd.errors import MessageError
from streamd.history import Answer, Missing, Refused, Request
from streamd.journal.contract import JournalSpec, LeftOpen
from streamd.journal.store import Store
from streamd.wall import WallClock

log = logging.getLogger("streamd.journal")

TIDY_SECONDS = 60.0
N_STORED_BEFORE_TIDYING = 2000
SETTLING_SECONDS = 3600.0
"""At the start, and after a step of the wall clock, nothing is too old for so long: it may be wrong for a while."""
LARGE_STEP_SECONDS = 3600.0
"""A step that makes a difference to what is kept for days: what this process has stored is dated anew after it."""
_FAILURES = (sqlite3.Error, OSError)
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Keeper:
    """Keeps messages in the database of a spec, and says why where it can't; it is opened anew after each failure."""

    def __init__(self, spec: JournalSpec, on_busy: Callable[[], None] = lambda: None) -> None:
        """Keep nothing yet; on_busy is called again and again while anything here takes long."""
        self._on_busy = on_busy
        self._troubles = {"store": "", "sync": ""}
        """What can't be done now, and why in words: what has no room in the file may still have some in its log."""
        self._spec = spec
        self._file = Path(spec.file)
        self._store: Store | None = None
        self._is_checked = False
        self._is_dirty = False
        self._n_stored = N_STORED_BEFORE_TIDYING  # at the start, once
        self._tidied_at = 0.0
        self._wall = WallClock()
        self._n_steps = 0
        self._step_seconds = 0.0
        """By how much the clock was set since what was stored was dated."""
        self._age_counts_from = time.monotonic() + SETTLING_SECONDS
        self._first_id = 1 << 62
        """Of what this process stores, or less."""

    @property
    def trouble(self) -> str:
        """Why not all can be stored now, in words; empty if nothing hinders."""
        return self._troubles["store"] or self._troubles["sync"]

    def keep(self, payloads: Sequence[bytes]) -> bool:
        """Store messages; False if that can't be done now: try again later."""
        try:
            n_unreadable = self._opened().add(payloads)
        except _FAILURES as error:
            return self._failed(error)
        if n_unreadable:
            log.warning("%d frames are no messages of this version; not stored", n_unreadable)
        self._over("store")
        self._is_dirty = True
        self._n_stored += len(payloads)
        return True

    def left_open(self, run: str) -> list[LeftOpen] | None:
        """Return what earlier runs left open; None if that can't be told now: try again later."""
        try:
            return self._opened().left_open(run)
        except _FAILURES as error:
            self._failed(error)
            return None

    def end(self, run: str) -> None:
        """Note that a run is over now, if that can be done."""
        try:
            self._opened().end(run)
        except _FAILURES as error:
            self._failed(error)

    def answer(self, request: Request, run: str = "") -> Answer:
        """Answer a question for history; run: the one whose messages are still to come."""
        try:
            store = self._opened()
            return store.missing(request) if isinstance(request, Missing) else store.since(request, run)
        except MessageError as error:
            return Refused(reason=str(error), ref=request.ref)
        except _FAILURES as error:
            self._failed(error)
            return Refused(reason=f"{self._file}: {error}", ref=request.ref)

    def rest(self) -> None:
        """Do what can wait, to be called every second: what was stored survives a power cut, the oldest goes."""
        max_days = self._spec.max_days if self._may_judge_age() else math.inf
        if self._store is None and not self._is_dirty:
            return
        try:
            store = self._opened()
            if abs(self._step_seconds) >= LARGE_STEP_SECONDS:
                store.date_anew(self._first_id - 1, self._step_seconds)
                self._step_seconds, self._is_dirty = 0.0, True
            if self._is_dirty:
                store.sync()
                self._is_dirty = False
                self._over("sync")
            is_due = self._n_stored >= N_STORED_BEFORE_TIDYING or time.monotonic() - self._tidied_at > TIDY_SECONDS
            if is_due:
                self._is_dirty = store.tidy(max_days, self._spec.max_megabytes * 1e6)
                if not self._is_dirty:
                    self._n_stored, self._tidied_at = 0, time.monotonic()
        except _FAILURES as error:
            self._failed(error, "sync")

    def _may_judge_age(self) -> bool:
        self._wall.look()
        clock = self._wall.report()
        if clock.n_steps != self._n_steps:
            self._n_steps, self._age_counts_from = clock.n_steps, time.monotonic() + SETTLING_SECONDS
            self._step_seconds += clock.last_step_seconds
        return time.monotonic() >= self._age_counts_from

    def close(self) -> None:
        """Close the database."""
        if self._store is not None:
            store, self._store = self._store, None
            try:
                store.close()
            except sqlite3.Error as error:
                log.warning("%s: %s", self._file, error)

    def _opened(self) -> Store:
        if self._store is not None and not self._store.is_there():
            log.warning("%s was taken away; a new one is begun", self._file)
            self.close()
        if self._store is None:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._store = Store(self._file, is_checked=self._is_checked, on_busy=self._on_busy)
            except sqlite3.DatabaseError as error:
                if not _is_broken(error):
                    raise
                self._set_aside(error)
                self._store = Store(self._file, is_checked=False, on_busy=self._on_busy)
            self._is_checked = True
            self._first_id = min(self._first_id, self._store.newest_id() + 1)  # a file that is begun anew has less
        return self._store

    def _over(self, what: str) -> None:
        had, self._troubles[what] = self.trouble, ""
        if had and not self.trouble:
            log.warning("%s: events are stored again", self._file)

    def _failed(self, error: Exception, what: str = "store") -> bool:
        self.close()
        if isinstance(error, sqlite3.DatabaseError) and _is_broken(error):
            try:
                self._set_aside(error)
            except OSError as worse:
                error = worse
            else:
                return False  # a new one is begun at the next try
        text = f"{self._file}: {error.strerror if isinstance(error, OSError) else error}"
        if text != self._troubles[what]:
            log.warning("%s; events wait in memory", text)
        self._troubles[what] = text
        return False

    def _set_aside(self, error: sqlite3.Error) -> None:
        """Move a broken database out of the way, and the one that was moved before it away for good."""
        aside = self._file.with_name(self._file.name + ".broken")
        for end in ("-wal", "-shm", ""):  # the file last: without it, there is nothing to set aside
            part = self._file.with_name(self._file.name + end)
            if part.exists():
                part.replace(aside.with_name(aside.name + end))
        log.error("%s: %s; it was set aside as %s, and a new one is begun", self._file, error, aside)


def _is_broken(error: sqlite3.Error) -> bool:
    """Tell whether it is the file's contents that are wrong, not the disk or another process."""
    code = getattr(error, "sqlite_errorcode", None)
    return type(error) is sqlite3.DatabaseError and (code is None or code & 0xFF in _BROKEN)
