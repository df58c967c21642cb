"""The client: what a daemon publishes, as Python objects, and what was lost on the way, as `Gap`s.

    for message in streamd.subscribe(sources=["kitchen"], labels=["Dog"]):
        print(message)

Each source numbers its Event and State messages from 1. The client subscribes to whole sources and
filters labels itself, so a number that is left out was lost; heartbeats carry the newest number, so
a loss at the tail shows within a second.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import zmq

from streamd import endpoints, refusal
from streamd.errors import EndpointError, MessageError, UsageError
from streamd.events import SOURCE_NAME, Event, Heartbeat, Level, Message, Score, State, decode, slug
from streamd.gap import Gap

log = logging.getLogger(__name__)

SILENCE_SECONDS = 3.0
"""After so long without a heartbeat, a client that was given no endpoint looks for its daemon again."""

_COUNTED = ("event", "state", "heartbeat")


@dataclass
class _Place:
    """Where we are in one source's numbers."""

    run: str
    base_seq: int | None
    """What came up to here is not ours to miss; None as long as that is not known."""
    last_seq: int = 0
    """Newest number known: received, or reported as missing."""
    state_seq: int = 0
    """Newest State received."""


class Ledger:
    """Finds what is missing in the numbers of any number of sources. No sockets, no clock.

    The base line of a source is its first Event or Heartbeat; a State is none, because it may be the
    last one sent again. A source that was known and begins a new run is counted from that run's start.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], _Place] = {}

    def enter(self, message: Event | State | Heartbeat) -> tuple[Gap | None, bool]:
        """Return what this message shows to be missing, and whether it is news (not one sent again)."""
        key = (message.host, message.source)
        place = self._places.get(key)
        if place is None or place.run != message.run:
            place = self._places[key] = _Place(message.run, base_seq=None if place is None else 0)
        if isinstance(message, Heartbeat):
            return self._advance(place, message, message.last_seq, message.last_seq), True
        is_repeat = message.seq <= place.last_seq
        if isinstance(message, State):
            # One from before the base line is in no Gap, so it is news to whoever has no newer one.
            is_early = message.seq <= (place.base_seq or 0)
            is_repeat = message.seq <= place.state_seq or (is_repeat and not is_early)
            place.state_seq = max(place.state_seq, message.seq)
            if place.base_seq is None:
                return None, not is_repeat
        return self._advance(place, message, message.seq - 1, message.seq), not is_repeat

    def _advance(self, place: _Place, message: Event | State | Heartbeat, before: int, last: int) -> Gap | None:
        """Move on to the number `last`, all up to `before` being published earlier; return what that skips."""
        gap = None
        if place.base_seq is None:
            place.base_seq = place.last_seq = last
        elif before > place.last_seq:
            gap = Gap(source=message.source, run=place.run, first_seq=place.last_seq + 1, last_seq=before)
        place.last_seq = max(place.last_seq, last)
        return gap


class Subscription:
    """A connection to a daemon that comes back by itself for ever; for one thread at a time.

    endpoint: where a daemon publishes; None looks for one on this machine, and waits if there is none.
    sources: names to hear of; None is all. labels: sounds to hear of; None is all; States and Gaps pass always.
    also: further kinds of messages to return.
    keys_folder: where keys are for a daemon beyond this machine; None is the user's (`streamd keys list` shows it).

    Raises:
        UsageError: a name that no source can have.
        EndpointError: what was given is no endpoint.
        KeysError: it lies beyond this machine, and our keys or its daemon's lack.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        sources: Iterable[str] | None = None,
        labels: Iterable[str] | None = None,
        also: Sequence[Literal["heartbeat", "score", "level"]] = (),
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
        self._ready: deque[tuple[Message | Gap, bytes]] = deque()
        self._heard_at = time.monotonic()
        self._problem = ""
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
        except BaseException:
            self.close()
            raise

    def poll(self, timeout_seconds: float | None = None) -> Message | Gap | None:
        """Return the next message or Gap; None if there was none for timeout_seconds (None waits for ever)."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not self._ready:
            if not self._wait(deadline):
                return None
            self._take(self._socket.recv_multipart())
        message, self.payload = self._ready.popleft()
        return message

    def _wait(self, deadline: float | None) -> bool:
        """Return True as soon as a message is there, False at the deadline."""
        while True:
            seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._is_given or endpoints.is_beyond(self.endpoint):
                seconds = SILENCE_SECONDS if seconds is None else min(seconds, SILENCE_SECONDS)
            if self._socket.poll(None if seconds is None else round(seconds * 1000)):
                self._heard_at = time.monotonic()
                return True
            self._tell_if_refused()
            if not self._is_given and time.monotonic() - self._heard_at >= SILENCE_SECONDS:
                self._move()
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def _tell_if_refused(self) -> None:
        problem = self._watch.problem()
        if problem and problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem

    def _move(self) -> None:
        """Go to where a daemon is now, if that is elsewhere."""
        self._heard_at = time.monotonic()
        try:
            endpoint = endpoints.find("events")
        except EndpointError:
            return
        if endpoint != self.endpoint:
            log.info("the daemon is at %s now", endpoint)
            self._socket.disconnect(self.endpoint)
            endpoints.connect(self._socket, endpoint)
            self.endpoint = endpoint

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
            gap, is_news = self._ledger.enter(message)
            if gap is not None:
                self._ready.append((gap, b""))
        if isinstance(message, Event) and self._slugs is not None and slug(message.label) not in self._slugs:
            return
        if is_news and type(message) in self._kinds:
            self._ready.append((message, frames[1]))

    def close(self) -> None:
        """Leave the daemon."""
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
    keys_folder: Path | None = None,
) -> Generator[Event | State | Gap, None, None]:
    """Subscribe at once, and return an iterator over what a daemon says; it waits, reconnects and never ends.

    A Gap comes right before the message that showed it. After a restart of the daemon, what the new run
    published before we were back is a Gap too. To stop waiting after a while, or for scores, levels and
    heartbeats, see `streamd.subscribe.Subscription`.

    endpoint: where a daemon publishes; None looks for one on this machine, and waits if there is none.
    sources: names to hear of; None is all.
    labels: sounds to hear of, in any case; None is all. States and Gaps come always.
    keys_folder: where keys are for a daemon beyond this machine; None is the user's (`streamd keys list` shows it).

    Raises:
        UsageError: a name that no source can have.
        EndpointError: what was given is no endpoint.
        KeysError: it lies beyond this machine, and our keys or its daemon's lack.
    """
    return _follow(Subscription(endpoint, sources=sources, labels=labels, keys_folder=keys_folder))


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
