"""The daemon's mouth: a ZeroMQ XPUB that tells every subscriber what is heard, and never waits for one.

    event = Event(run=publisher.run, host=publisher.host, seq=publisher.next_seq("kitchen"), …)
    publisher.send(event)

A number is taken and the message built before it is sent, and who keeps messages has each of them first.
Who subscribes to a source's state gets the last one again and a heartbeat: from then on every loss shows.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import zmq

from streamd import endpoints
from streamd.counters import Counters
from streamd.events import (
    AudioGap,
    ClockReport,
    Event,
    Heartbeat,
    JournalState,
    Message,
    SignalProblem,
    SourceStatus,
    State,
    at,
    encode,
    slug,
    topic,
)

QUEUE_MESSAGES = 1000
"""Messages that wait for one subscriber; those beyond are lost to it, and its client sees the gap."""

LINGER_MS = 500
"""How long the last messages may take to leave when the daemon stops."""

MAX_SUBSCRIPTION_BYTES = 512
"""What a subscriber may send at once; a longer message ends its connection. Not 256: handshakes of
CURVE are longer."""

MAX_WAITING = 2
"""Subscriptions of one connection that wait here for ZeroMQ. It takes all that wait into a queue without a bound
whenever we call it, many times a turn; so the others must wait with who sent them. With 1 nobody gets in by a key."""

MAX_AT_ONCE = 256
"""Subscriptions taken in before the daemon's loop goes on: nobody's may hold up the audio."""

MAX_SUBSCRIPTIONS = 4096
"""Different ones that are known at once. Who has one beyond gets what is published, but no scores are made for it."""

GREET_SECONDS = 0.005
"""For so long a new subscriber waits for its greeting, so that all it asks for has come. Not for longer: it begins to
count a source's messages with that, if it has heard no event."""

MAX_GREETINGS_A_SECOND = 1000
"""Messages of greetings. Everybody who asked for the same hears them, so who comes again and again must not call one
each time: the next greeting waits as long as the last one's number takes at this rate."""

MAX_GREETED_APART = 64
"""So many new subscriptions are greeted with what they asked for; of more, nobody looks for what that is."""

_GREETED = (b"state/", b"heartbeat/")
_ON_DEMAND = (b"score/", b"level/")
_SHORTEST_ON_DEMAND = min(map(len, _ON_DEMAND))


class Publisher:
    """Publishes the messages of one run of the daemon.

    Raises:
        EndpointError: an endpoint can't be bound.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        listen_at: Sequence[str],
        run: str,
        host: str,
        counters: Counters,
        bind: Callable[[zmq.Socket[Any], Sequence[str]], None] = endpoints.bind_all,
    ) -> None:
        self.run = run
        self.host = host
        self.socket = context.socket(zmq.XPUB)
        """For the daemon's poller: readable when somebody subscribed or left."""
        self.n_sent = 0
        """Messages of every kind, whether or not somebody is there to get them."""
        self.keep: Callable[[bytes], None] | None = None
        """Gets every Event and State, as it goes on the wire, right before it does; it must not wait for anything."""
        self.journal: JournalState | None = None
        self.note = ""
        """What every State says beside its own detail."""
        self._counters = counters
        self._taken: Counter[str] = Counter()
        self._sent: dict[str, int] = {}
        self._states: dict[str, State] = {}
        self._open: defaultdict[str, dict[str, Event]] = defaultdict(dict)
        self._lags: dict[str, float | None] = {}
        # Verbose reports every subscription, but an unsubscription only when its last subscriber has
        # gone, by message or by disconnecting: so a set is the whole book-keeping.
        self._subscribed: set[bytes] = set()
        self._on_demand: set[bytes] = set()
        """Those of them that begin with a word that is made on demand."""
        self._ungreeted: set[bytes] = set()
        self._greet_at = 0.0
        self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.socket.setsockopt(zmq.SNDHWM, QUEUE_MESSAGES)
        self.socket.setsockopt(zmq.RCVHWM, MAX_WAITING)
        self.socket.setsockopt(zmq.LINGER, LINGER_MS)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_SUBSCRIPTION_BYTES)
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, endpoints.HANDSHAKE_MS)
        self.socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        bind(self.socket, listen_at)

    def next_seq(self, source: str) -> int:
        """Take the number of this source's next Event or State; each that is taken must be sent, in order."""
        self._taken[source] += 1
        return self._taken[source]

    def open_events(self, source: str) -> list[Event]:
        """Return the onsets sent for a source whose offset was not, oldest first."""
        return list(self._open[source].values())

    def state(
        self,
        source: str,
        *,
        status: SourceStatus,
        detail: str,
        time: datetime,
        take: str | None = None,
        sample_rate: int | None = None,
        gap: AudioGap | None = None,
        signal: tuple[SignalProblem, ...] = (),
        clock: ClockReport | None = None,
    ) -> State:
        """Make the next State of a source, with its open events; it is not sent yet."""
        return State(
            run=self.run,
            host=self.host,
            source=source,
            seq=self.next_seq(source),
            time=time,
            status=status,
            detail="; ".join(part for part in (detail, self.note) if part),
            take=take,
            sample_rate=sample_rate,
            gap=gap,
            open_events=self.open_events(source),
            signal=signal,
            journal=self.journal,
            clock=clock,
        )

    def send(self, message: Message) -> None:
        """Publish a message. Never waits: what a subscriber's full queue can't take is lost to that one only."""
        match message:
            case Event(phase="onset"):
                self._open[message.source][message.event_id] = message
            case Event(phase="offset"):
                self._open[message.source].pop(message.event_id, None)
            case State():
                self._states[message.source] = message
        payload = encode(message)
        if isinstance(message, Event | State):
            self._sent[message.source] = message.seq
            if self.keep is not None:
                self.keep(payload)
        self._counters.add(f"published.{type(message).__name__.lower()}")
        self._put(message, payload)

    def heartbeat(self, lag_by_source: Mapping[str, float | None]) -> None:
        """Publish a heartbeat of each source; to be called once a second.

        lag_by_source: age in seconds of the newest audio that was scored, None before the first.
        """
        self._lags = dict(lag_by_source)
        for source in {**self._lags, **self._sent}:  # one that is there no more may have had its events closed
            self._beat(source)

    def wants_scores(self, source: str, model: str) -> bool:
        """Return whether somebody asked for the scores of this source and model, by a topic from "score/" on."""
        return bool(self._on_demand) and self._is_asked_for(f"score/{source}/{slug(model)}/".encode())

    def wants_level(self, source: str) -> bool:
        """Return whether somebody asked for the level of this source, by a topic from "level/" on."""
        return bool(self._on_demand) and self._is_asked_for(f"level/{source}/".encode())

    def _is_asked_for(self, topic: bytes) -> bool:
        # Whether its beginnings are among them, not whether one of them is its beginning: there may be thousands.
        return any(topic[:n] in self._on_demand for n in range(_SHORTEST_ON_DEMAND, len(topic) + 1))

    def on_readable(self) -> None:
        """Take in who subscribed and who left, at most MAX_AT_ONCE; `greet_due` greets the new."""
        for _ in range(MAX_AT_ONCE):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            for frame in frames:
                kind, prefix = frame[:1], frame[1:]
                if kind == b"\x01":
                    self._note(prefix)
                elif kind == b"\x00":  # of _ungreeted nothing: a crafted one names what others asked for
                    self._subscribed.discard(prefix)
                    self._on_demand.discard(prefix)
                else:
                    self._counters.add("published.bad_subscription")

    def greet_due(self) -> float:
        """Greet those who subscribed with last states and heartbeats, if it is time.

        Returns:
            The monotonic time at which those who still wait will be greeted; infinity if nobody waits.
        """
        if not self._ungreeted:
            return math.inf
        if time.monotonic() < self._greet_at:
            return self._greet_at
        n_before = self.n_sent
        self._greet(tuple(self._ungreeted))
        self._ungreeted.clear()
        self._greet_at = time.monotonic() + (self.n_sent - n_before) / MAX_GREETINGS_A_SECOND
        return math.inf

    def _note(self, prefix: bytes) -> None:
        if prefix.startswith(_GREETED) or any(word.startswith(prefix) for word in _GREETED):
            if not self._ungreeted:
                self._greet_at = max(self._greet_at, time.monotonic() + GREET_SECONDS)
            self._ungreeted.add(prefix)
            if len(self._ungreeted) > MAX_GREETED_APART:
                self._ungreeted = {b""}
        if len(self._subscribed) >= MAX_SUBSCRIPTIONS and prefix not in self._subscribed:
            self._counters.add("published.too_many_subscriptions")
            return
        self._subscribed.add(prefix)
        if prefix.startswith(_ON_DEMAND):
            self._on_demand.add(prefix)

    def _greet(self, prefixes: tuple[bytes, ...]) -> None:
        for source in dict.fromkeys([*self._states, *self._sent, *self._lags]):
            state = self._states.get(source)
            asked_state = f"state/{source}/".encode().startswith(prefixes)
            if state is not None and asked_state:
                # The same message but for its open events: the book has moved on since it was sent.
                self._put(msgspec.structs.replace(state, open_events=self.open_events(source)))
            if asked_state or f"heartbeat/{source}/".encode().startswith(prefixes):
                self._beat(source)

    def _beat(self, source: str) -> None:
        # The number that was sent, not the one that was taken: a heartbeat must not run ahead of its messages.
        self._put(
            Heartbeat(
                run=self.run,
                host=self.host,
                source=source,
                time=at(time.time()),
                last_seq=self._sent.get(source, 0),
                lag_seconds=self._lags.get(source),
            )
        )

    def _put(self, message: Message, payload: bytes | None = None) -> None:
        self.socket.send_multipart([topic(message).encode(), payload or encode(message)], zmq.NOBLOCK)
        self.n_sent += 1

    def close(self) -> None:
        """Close the socket; the last messages get LINGER_MS to leave, while the context is terminated."""
        self.socket.close()
