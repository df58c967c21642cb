"""The journal's database: every Event and State once, in the order of their publication.

SQLite in WAL mode with synchronous NORMAL (https://www.sqlite.org/wal.html): what is committed survives the death of
any process at once, and a power cut once it was checkpointed. Times are whole microseconds since 1970.
"""

from __future__ import annotations

import itertools
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import msgspec

from streamd.errors import MessageError
from streamd.events import Event, State, at, decode, envelope
from streamd.history import MOST_ON_A_PAGE, Missing, Newest, Page, Since, place_of
from streamd.journal.contract import LeftOpen
from streamd.wall import EARLIEST, STEP_SECONDS

log = logging.getLogger("streamd.journal")

MOST_BYTES_ON_A_PAGE = 512 << 10
BUSY_SECONDS = 5.0
"""How long another process may hold the database: the journal of a daemon that has died, at its end."""
CHECK_SECONDS = 20.0
"""How long a file is looked through at most before it is used: events wait in memory meanwhile."""
N_STEPS_BETWEEN_WORDS = 100_000
"""Of SQLite's machine: some milliseconds, where no disk has to be waited for."""
N_TIDIED_AT_ONCE = 2000
MOST_AGED_AT_ONCE = 0.1
"""The part of all messages that may go for its age at one look."""
_VERSION = 1
_SCHEMA = """
BEGIN;
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of publication
    run TEXT NOT NULL, source TEXT NOT NULL, seq INTEGER NOT NULL,
    time INTEGER NOT NULL, -- of the message
    stored INTEGER NOT NULL,
    event_id TEXT, phase TEXT,
    payload BLOB NOT NULL,
    UNIQUE (run, source, seq)
);
CREATE INDEX messages_by_time ON messages (time);
CREATE INDEX events_by_id ON messages (event_id, phase) WHERE event_id IS NOT NULL;
CREATE TABLE newest (
    host TEXT NOT NULL, source TEXT NOT NULL, run TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (host, source)
) WITHOUT ROWID;
CREATE TABLE runs (run TEXT PRIMARY KEY, ended INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
COMMIT;
"""


class Store:
    """One open database. Every method raises sqlite3.Error where the disk or the file fails.

    Raises:
        sqlite3.Error: it can't be opened, is broken, or is of another version.
    """

    def __init__(self, file: Path, *, is_checked: bool, on_busy: Callable[[], None] = lambda: None) -> None:
        """Open a database, or make one.

        Args:
            file: the database.
            is_checked: somebody has looked through all of it already.
            on_busy: called again and again while anything here takes long.
        """
        self.file = file
        self._database = sqlite3.connect(
            f"file:{quote(str(file))}?mode=rwc", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        self._database.set_progress_handler(on_busy, N_STEPS_BETWEEN_WORDS)
        try:
            self._prepare()
            if not is_checked:
                self._check()
        except BaseException:
            self._database.close()
            raise
        self._inode = file.stat().st_ino

    def _prepare(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):  # whole, so no DatabaseError as such (keeper.py)
            raise sqlite3.NotSupportedError(
                f"another version of streamd made it ({version}; expected {_VERSION}): run that one, or move it away"
            )
        self._database.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file: before anything is written
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute("PRAGMA journal_size_limit = 4194304")
        if version == 0:
            self._database.executescript(_SCHEMA)

    def _check(self) -> None:
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()  # before the interrupt: an SQLite that was interrupted may take what it has not seen for lost
            self._database.interrupt()

        timer = threading.Timer(CHECK_SECONDS, give_up)
        timer.start()
        try:
            (found,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError:
            if not is_late.is_set():
                raise
        finally:
            timer.cancel()
            timer.join()
        if is_late.is_set():
            log.warning(
                "%s: looked through for %g s, and not to its end: damage in the rest shows when that is read",
                self.file,
                CHECK_SECONDS,
            )
        elif found != "ok":
            raise sqlite3.DatabaseError(str(found).replace("\n", " "))

    def is_there(self) -> bool:
        """Tell whether the file is still the one that was opened: who writes to one that was removed loses it all."""
        try:
            return self.file.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def add(self, payloads: Iterable[bytes]) -> int:
        """Store messages, all or none; those that are there already are left alone. Return how many are no messages."""
        n_unreadable = 0
        stored = _microseconds(time.time())
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for payload in payloads:
                try:
                    message = decode(payload)
                except MessageError:
                    n_unreadable += 1
                    continue
                if isinstance(message, Event | State):
                    self._insert(message, payload, stored)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        return n_unreadable

    def _insert(self, message: Event | State, payload: bytes, stored: int) -> None:
        event = message if isinstance(message, Event) else None
        when = _microseconds(envelope(message).time.timestamp())
        place = message.run, message.source, message.seq
        (was_here,) = self._database.execute(
            "SELECT EXISTS (SELECT 1 FROM newest WHERE host = ? AND source = ? AND run = ? AND seq >= ?)",
            (message.host, place[1], place[0], place[2]),
        ).fetchone()
        if was_here:  # and may be deleted by now: a backlog may hand over again what was confirmed
            return
        kind = (event.event_id, event.phase) if event else (None, None)
        cursor = self._database.execute(
            "INSERT OR IGNORE INTO messages (run, source, seq, time, stored, event_id, phase, payload)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*place, when, stored, *kind, payload),
        )
        if cursor.rowcount:
            self._database.execute(
                "INSERT OR REPLACE INTO newest VALUES (?, ?, ?, ?)", (message.host, place[1], place[0], place[2])
            )

    def end(self, run: str) -> None:
        """Note that a run is over now."""
        self._database.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", (run, _microseconds(time.time())))

    def left_open(self, run: str) -> list[LeftOpen]:
        """Return the onsets of all runs but this one that have no offset, oldest first."""
        rows = self._database.execute(
            "SELECT payload, coalesce((SELECT ended FROM runs WHERE run = onset.run),"
            " (SELECT max(time) FROM messages WHERE run = onset.run))"
            " FROM messages AS onset WHERE event_id IS NOT NULL AND phase = 'onset' AND run != ? AND NOT EXISTS"
            " (SELECT 1 FROM messages WHERE event_id = onset.event_id AND phase = 'offset') ORDER BY id",
            (run,),
        )
        found = []
        for payload, last_sign in rows:
            onset = decode(payload)
            if isinstance(onset, Event):
                found.append(LeftOpen(onset=onset, last_sign=at(last_sign / 1e6)))
        return found

    def since(self, request: Since, run: str = "") -> Page:
        """Return a page of what was published since a time or after a message; raises MessageError on no id.

        run: the one whose messages are still to come.
        """
        cursor = request.cursor
        if cursor is None:
            cursor = self._before(request.time, request.after, run, only_if_known=request.only_if_known)
        where, names = "id > ?", []
        if request.sources is not None:
            names = list(request.sources)
            where += f" AND source IN ({','.join('?' * len(names))})"
        rows = self._database.execute(
            f"SELECT id, payload FROM messages WHERE {where} ORDER BY id LIMIT ?",  # noqa: S608 - no value is in it
            (cursor, *names, MOST_ON_A_PAGE + 1),
        ).fetchall()
        taken = _first_page(rows)
        if len(taken) < len(rows):
            return _page(request.ref, taken, taken[-1][0], ())
        newest = self._database.execute("SELECT run, host, source, seq FROM newest")
        return _page(
            request.ref, taken, None, [Newest(run=r, host=h, source=s, seq=n) for r, h, s, n in newest.fetchall()]
        )

    def _before(self, moment: datetime | None, after: str | None, run: str, *, only_if_known: bool) -> int:
        """Return the id before the first message that is asked for."""
        if after is not None:
            place = place_of(after)
            (found,) = self._database.execute(
                "SELECT coalesce((SELECT id FROM messages WHERE run = ?1 AND source = ?2 AND seq = ?3),"
                " (SELECT min(id) - 1 FROM messages WHERE run = ?1 AND source = ?2 AND seq > ?3),"
                " CASE WHEN ?4 THEN (SELECT max(id) FROM messages WHERE run = ?1) END,"
                " CASE WHEN ?5 THEN (SELECT max(id) FROM messages) END, 0)",
                (
                    *place,
                    self._was_never_stored(*place),
                    only_if_known or (place[0] == run and not self._has_any_of(run)),
                ),
            ).fetchone()
        elif moment is not None:
            (found,) = self._database.execute(
                "SELECT coalesce((SELECT min(id) - 1 FROM messages WHERE time >= ?),"
                " (SELECT max(id) FROM messages), 0)",
                (_microseconds(moment.timestamp()),),
            ).fetchone()
        else:
            return 0
        return int(found)

    def _has_any_of(self, run: str) -> bool:
        """Tell whether anything of a run that is not over was ever stored."""
        return bool(self._database.execute("SELECT EXISTS (SELECT 1 FROM newest WHERE run = ?)", (run,)).fetchone()[0])

    def _was_never_stored(self, run: str, source: str, seq: int) -> bool:
        """Tell whether a message that is not here will come yet, or was lost; else it was deleted."""
        (is_later_than_all, is_in_the_last_run, follows_one) = self._database.execute(
            "SELECT NOT EXISTS (SELECT 1 FROM newest WHERE run = ?1 AND source = ?2 AND seq >= ?3),"
            " ?1 = (SELECT run FROM messages ORDER BY id DESC LIMIT 1),"
            " EXISTS (SELECT 1 FROM messages WHERE run = ?1 AND source = ?2 AND seq < ?3)",
            (run, source, seq),
        ).fetchone()
        return bool(is_later_than_all and (is_in_the_last_run or follows_one))

    def missing(self, request: Missing) -> Page:
        """Return a page of the messages of a source and run that have certain numbers, as far as they are here."""
        place = request.run, request.source
        last = 1 << 62 if request.last_seq is None else request.last_seq
        rows = self._database.execute(
            "SELECT seq, payload FROM messages WHERE run = ? AND source = ? AND seq BETWEEN ? AND ?"
            " ORDER BY seq LIMIT ?",
            (*place, request.first_seq, last, MOST_ON_A_PAGE + 1),
        ).fetchall()
        taken = _first_page(rows)
        if len(taken) < len(rows):
            return _page(request.ref, taken, taken[-1][0] + 1, ())
        (seq,) = self._database.execute("SELECT max(seq) FROM messages WHERE run = ? AND source = ?", place).fetchone()
        newest = [] if seq is None else [Newest(run=place[0], host="", source=place[1], seq=seq)]
        return _page(request.ref, taken, None, newest)

    def newest_id(self) -> int:
        """Return the id of the message that was stored last; 0 if there is none."""
        return int(self._database.execute("SELECT coalesce(max(id), 0) FROM messages").fetchone()[0])

    def date_anew(self, after_id: int, step_seconds: float) -> None:
        """Move the dates of what was stored after an id by a step of the wall clock, which made it no older or younger.

        What was stored since the step has a right date: none is moved into the future, or back if it is not there.
        """
        now = _microseconds(time.time())
        self._database.execute(
            "UPDATE messages SET stored = stored + ?1 WHERE id > ?2 AND stored + ?1 <= ?3 AND (?1 > 0 OR stored > ?4)",
            (_microseconds(step_seconds), after_id, now + _microseconds(STEP_SECONDS), now),
        )

    def tidy(self, max_days: float, max_bytes: float) -> bool:
        """Delete some of what is too old or too much; return whether there is still too much.

        Deletion goes by the order of publication: what came after a message that is young is not too old, whatever its
        date says, since a host may boot with the date of its system's release. What bears the time of a clock that was
        not set goes with what is too old after it; what bears one that is still to come says nothing, and stays. Onsets
        without an offset stay, for whoever has to end them. What is too old goes little by little: the clock may be
        wrong for a while.
        """
        now = time.time()
        too_old = _microseconds(max(0.0, now - max_days * 86_400))
        (last,) = self._database.execute(
            "SELECT coalesce(max(id), 0) FROM messages WHERE stored BETWEEN ?1 AND ?2 AND id <"
            " coalesce((SELECT min(id) FROM messages WHERE stored > ?2 AND stored <= ?3), 1 << 62)",
            (_microseconds(EARLIEST), too_old, _microseconds(now)),
        ).fetchone()
        n_aged = n_deleted = 0
        if last:
            at_most = 1 + int(self._n_messages() * MOST_AGED_AT_ONCE)
            n_aged = self._delete(f"id <= {int(last)} AND stored <= {too_old}", min(at_most, N_TIDIED_AT_ONCE))
        if (n_bytes := self._n_bytes()) > max_bytes:
            n_too_many = 1 + int(self._n_messages() * (1 - max_bytes / n_bytes))
            n_deleted = self._delete("1", min(n_too_many, N_TIDIED_AT_ONCE))
        if n_aged or n_deleted:
            # As a script: `execute` takes one step of it, which frees one page.
            self._database.executescript("PRAGMA incremental_vacuum")
        return n_deleted > 0

    def _delete(self, where: str, at_most: int) -> int:
        return self._database.execute(
            f"DELETE FROM messages WHERE id IN (SELECT id FROM messages AS m WHERE {where}"  # noqa: S608
            " AND (phase IS NOT 'onset' OR EXISTS"
            " (SELECT 1 FROM messages WHERE event_id = m.event_id AND phase = 'offset')) ORDER BY id LIMIT ?)",
            (at_most,),
        ).rowcount

    def _n_messages(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM messages").fetchone()[0])

    def _n_bytes(self) -> int:
        sizes = [
            self._database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        ]
        return int((sizes[0] - sizes[1]) * sizes[2])

    def sync(self) -> None:
        """Have all that was committed on the disk: from now on it survives a power cut."""
        self._database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _first_page(rows: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Return as many rows from the first on as are one page; at least one, if there is any."""
    sizes = itertools.accumulate(len(payload) for _, payload in rows)
    return [
        row
        for n, (row, size) in enumerate(zip(rows, sizes, strict=True))
        if n == 0 or (n < MOST_ON_A_PAGE and size <= MOST_BYTES_ON_A_PAGE)
    ]


def _page(ref: int, rows: Sequence[tuple[int, bytes]], following: int | None, newest: Sequence[Newest]) -> Page:
    return Page(ref=ref, messages=[msgspec.Raw(payload) for _, payload in rows], next=following, newest=newest)


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)
