"""The client: what a daemon publishes, as Python objects; what got lost on the way is fetched from its journal.

    for message in streamd.subscribe(sources=["kitchen"], labels=["Dog"]):
        print(message)

Each source numbers its Event and State messages from 1. The client subscribes to whole sources and
filters labels itself, so a number that is left out was lost; heartbeats carry the newest number, so
a loss at the tail shows within a second. What the journal can't give again is a `Gap`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import zmq

from streamd import endpoints, refusal
from streamd.errors import EndpointError, MessageError, UsageError
from streamd.events import SOURCE_NAME, Event, Heartbeat, Level, Message, Score, State, decode, slug
from streamd.gap import Gap
from streamd.history import Since, message_id, place_of
from streamd.ledger import Ledger
from streamd.past import Past, history_of
from streamd.recovery import Recovery

log = logging.getLogger(__name__)

SILENCE_SECONDS = 3.0
"""After so long without a message, a client that was given no endpoint looks where daemons are."""

MAX_UNREAD = 50_000
"""Messages that are kept here while what comes before them is fetched; the others wait in ZeroMQ's queue."""
TICK_SECONDS = 0.05

_COUNTED = ("event", "state", "heartbeat")


class Subscription:
    """A connection to a daemon that comes back by itself for ever; for one thread at a time.

    endpoint: where a daemon publishes; None takes the first on this machine, waits if there is none, and stays where it
        has heard one: who wants a certain one of several names it.
    sources: names to hear of; None is all. labels: sounds to hear of; None is all; States and Gaps pass always.
    also: further kinds of messages to return.
    since: begin with what was published since a time, or after a message (an Event, a State, or its CloudEvents id).
    history: where the journal answers; None is beside the events, where those are at their default place.
    keys_folder: where keys are for a daemon beyond this machine; None is the user's (`streamd keys list` shows it).

    Raises:
        UsageError: a name that no source can have, or no time or message to begin with.
        EndpointError: what was given is no endpoint; from `poll`, nobody has the history that `since` asks for.
        KeysError: it lies beyond this machine, and our keys or its daemon's lack.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        sources: Iterable[str] | None = None,
        labels: Iterable[str] | None = None,
        also: Sequence[Literal["heartbeat", "score", "level"]] = (),
        since: datetime | Event | State | str | None = None,
        history: str | None = None,
        keys_folder: Path | None = None,
    ) -> None:
        names = None if sources is None else _listed(sources)
        for name in names or ():
            if not SOURCE_NAME.fullmatch(name):
                raise UsageError(f"source {name!r}: a source's name has lower-case letters, digits and - only")
        self._slugs = None if labels is None else {slug(label) for label in _listed(labels)}
        self._kinds = {Event, State, Gap} | {
            kind for word, kind in (("heartbeat", Heartbeat), ("score", Score), ("level", Level)) if word in also
        }
        self._is_given = endpoint is not None
        self.endpoint = endpoint or _look()
        """Where it listens now."""
        self.payload = b""
        """The message that `poll` returned last, as it was on the wire; empty for a Gap."""
        self.n_unreadable = 0
        """Messages so far that were no messages of a streamd this version knows."""
        self._ledger = Ledger()
        self._recovery: Recovery | None = None
        self._held: tuple[Message, bytes] | None = None
        """What showed that something is missing; it comes after that."""
        self._unread: deque[list[bytes]] = deque()
        self._ready: deque[tuple[Message | Gap, bytes]] = deque()
        self._was_heard = False
        """Whether a daemon was there. From then on its numbers are what is counted, and no other's."""
        self._elsewhere = ""
        """Where another daemon is, as was told since ours was heard last."""
        self._heard_at = time.monotonic()
        self._problem = ""
        self._tried_at = self._heard_at
        self._keys_folder = keys_folder
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        # Not ZeroMQ's own heartbeats: they would cut off a client that is slow, though alive.
        self._socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 10)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 5)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
        self._watch = refusal.Watch(self._socket, self.endpoint, "--listen", keys_folder)
        try:
            for word in dict.fromkeys((*_COUNTED, *also)):
                for prefix in [f"{word}/"] if names is None else [f"{word}/{name}/" for name in names]:
                    self._socket.subscribe(prefix)
            endpoints.connect(self._socket, self.endpoint, keys_folder)
            if where := history or history_of(self.endpoint):
                self._recovery = Recovery(Past(where, keys_folder), self._ledger)
            if since is not None:
                self._begin_with(since, names)
        except BaseException:
            self.close()
            raise

    def poll(self, timeout_seconds: float | None = None) -> Message | Gap | None:
        """Return the next message or Gap; None if there was none for timeout_seconds (None waits for ever)."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not self._ready:
            if self._recovery is not None and self._recovery.is_busy:
                if not self._recover(self._recovery, deadline):
                    return None
            elif self._held is not None:
                held, self._held = self._held, None
                self._give(*held)
            elif self._unread:
                self._take(self._unread.popleft())
            elif self._wait(deadline):
                self._take(self._socket.recv_multipart())
            else:
                return None
        message, self.payload = self._ready.popleft()
        return message

    def _begin_with(self, since: datetime | Event | State | str, names: Sequence[str] | None) -> None:
        if self._recovery is None:
            raise UsageError(f"since: nobody knows where the history of {self.endpoint} is served; name it (history=…)")
        if isinstance(since, datetime):
            if since.tzinfo is None:
                raise UsageError(f"since: found {since}; expected a time with its zone, such as datetime.now(UTC)")
            self._recovery.want_since(Since(time=since, sources=names))
            return
        after = since if isinstance(since, str) else message_id(since)
        try:
            self._ledger.resume(*place_of(after))
        except MessageError as error:
            raise UsageError(f"since: {error}") from error
        self._recovery.want_since(Since(after=after, sources=names))

    def _recover(self, recovery: Recovery, deadline: float | None) -> bool:
        """Fetch some of what is missing, while what is said now is kept; False at the deadline."""
        found = recovery.work(daemon_is_there=bool(self._unread) or self._held is not None)
        for message, payload in found:
            self._give(message, payload)
        if found or not recovery.is_busy:
            return True
        seconds = TICK_SECONDS if deadline is None else min(TICK_SECONDS, max(0.0, deadline - time.monotonic()))
        if len(self._unread) < MAX_UNREAD:
            poller = zmq.Poller()
            for each in (self._socket, recovery.past.socket):
                poller.register(each, zmq.POLLIN)
            poller.poll(round(seconds * 1000))
            while self._socket.poll(0) and len(self._unread) < MAX_UNREAD:
                self._unread.append(self._socket.recv_multipart())
                self._note_heard()
        else:
            recovery.past.socket.poll(round(seconds * 1000))
        self._tell_if_refused()
        self._look_if_silent()
        return deadline is None or time.monotonic() < deadline

    def _wait(self, deadline: float | None) -> bool:
        """Return True as soon as a message is there, False at the deadline."""
        while True:
            seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._is_given or endpoints.is_beyond(self.endpoint):
                seconds = SILENCE_SECONDS if seconds is None else min(seconds, SILENCE_SECONDS)
            if self._socket.poll(None if seconds is None else round(seconds * 1000)):
                self._note_heard()
                self._problem = ""
                return True
            self._tell_if_refused()
            self._look_if_silent()
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def _tell_if_refused(self) -> None:
        problem = self._watch.problem()
        if problem and time.monotonic() - self._tried_at >= SILENCE_SECONDS:
            self._tried_at = time.monotonic()
            problem = refusal.connect_again(self._socket, self.endpoint, self._keys_folder) or problem
        if problem and problem != self._problem:
            log.warning("%s; tries again", problem)
        self._problem = problem

    def _note_heard(self) -> None:
        self._heard_at = time.monotonic()
        self._was_heard = True
        self._elsewhere = ""

    def _look_if_silent(self) -> None:
        """As long as nothing was heard, go to where a daemon is; afterwards only say where one is."""
        if self._is_given or time.monotonic() - self._heard_at < SILENCE_SECONDS:
            return
        self._heard_at = time.monotonic()
        try:
            endpoint = endpoints.find("events")
        except EndpointError:
            return
        if endpoint in (self.endpoint, self._elsewhere):
            return
        if self._was_heard or (self._recovery is not None and self._recovery.past.has_answered):
            self._elsewhere = endpoint
            log.warning(
                "%s is silent; waits for it. Another daemon is at %s: name it to hear that", self.endpoint, endpoint
            )
            return
        log.info("the daemon is at %s now", endpoint)
        self._socket.disconnect(self.endpoint)
        endpoints.connect(self._socket, endpoint)
        self.endpoint = endpoint
        if self._recovery is not None and (where := history_of(endpoint)):
            self._recovery.past.move(where)

    def _take(self, frames: list[bytes]) -> None:
        """Put what a message says, and what it shows to be missing, among what is ready."""
        try:
            if len(frames) != 2:
                raise MessageError(f"message of {len(frames)} frames; expected a topic and a payload")
            message = decode(frames[1])
        except MessageError as error:
            self.n_unreadable += 1
            if self.n_unreadable == 1:
                log.warning("%s: skipped a %s; is the daemon of another version?", self.endpoint, error)
            return
        is_news = True
        if isinstance(message, Event | State | Heartbeat):
            if isinstance(message, State) and self._recovery is not None:
                self._recovery.is_kept = message.journal in ("kept", "behind")
            if self._recovery is not None and self._ledger.is_unclear(message):
                self._unread.appendleft(frames)
                self._recovery.want_order(message)
                return
            is_news = self._enter(message)
        if is_news and self._recovery is not None and self._recovery.is_busy:
            self._held = message, frames[1]
        elif is_news:
            self._give(message, frames[1])

    def _enter(self, message: Event | State | Heartbeat) -> bool:
        """Note a message, ask for what it shows to be missing, and tell whether it is news."""
        before = self._ledger.before(message)
        gap, is_news = self._ledger.enter(message)
        if self._recovery is None:
            if gap is not None:
                self._ready.append((gap, b""))
            return is_news
        if before is not None:
            self._recovery.want_before(message.run, before)
        if gap is not None:
            self._recovery.want(gap)
        return is_news

    def _give(self, message: Message | Gap, payload: bytes) -> None:
        """Put a message among what is ready, if it was asked for."""
        if isinstance(message, Event) and self._slugs is not None and slug(message.label) not in self._slugs:
            return
        if type(message) in self._kinds:
            self._ready.append((message, payload))

    def close(self) -> None:
        """Leave the daemon."""
        if self._recovery is not None:
            self._recovery.past.close()
        self._watch.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def subscribe(
    endpoint: str | None = None,
    *,
    sources: Iterable[str] | None = None,
    labels: Iterable[str] | None = None,
    since: datetime | Event | State | str | None = None,
    history: str | None = None,
    keys_folder: Path | None = None,
) -> Generator[Event | State | Gap, None, None]:
    """Subscribe at once, and return an iterator over what a daemon says; it waits, reconnects and never ends.

    What is missed, because we were too slow or away, is fetched from the daemon's journal and comes in its place. What
    that does not have is a Gap, right before the message that showed it. To stop waiting after a while, or for scores,
    levels and heartbeats, see `streamd.subscribe.Subscription`.

    endpoint: where a daemon publishes; None takes the first on this machine, waits if there is none, and stays where it
        has heard one: who wants a certain one of several names it.
    sources: names to hear of; None is all.
    labels: sounds to hear of, in any case; None is all. States and Gaps come always.
    since: begin with what was published since a time (with its zone), or after a message: the Event or State itself, or
        its CloudEvents id, from which a program goes on where it was. Of that message's source nothing is missed in
        between, or it is a Gap; of another one, what was lost on the way just before may be: see docs/events.md.
    history: where the journal answers; None is beside the events, where those are at their default place.
    keys_folder: where keys are for a daemon beyond this machine; None is the user's (`streamd keys list` shows it).

    Raises:
        UsageError: a name that no source can have, or no time or message to begin with.
        EndpointError: what was given is no endpoint; later, nobody has the history that `since` asks for.
        KeysError: it lies beyond this machine, and our keys or its daemon's lack.
    """
    return _follow(
        Subscription(endpoint, sources=sources, labels=labels, since=since, history=history, keys_folder=keys_folder)
    )


def _follow(subscription: Subscription) -> Generator[Event | State | Gap, None, None]:
    with subscription:
        while True:
            message = subscription.poll()
            if isinstance(message, Event | State | Gap):
                yield message


def _listed(names: Iterable[str]) -> list[str]:
    """Return names as a list; a single name is a list of one, not of its letters."""
    return [names] if isinstance(names, str) else list(names)


def _look() -> str:
    try:
        return endpoints.find("events")
    except EndpointError as error:
        log.warning("%s; waiting for one", error)
        return endpoints.places("events")[0]
