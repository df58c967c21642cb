"""Any losses, restarts and a journal that lags: every message is told once, in its source's order.

What is published goes to a real store and, where it is not lost, to a real client. Each test compares what the client
tells with what was published. No message goes over a socket, so that thousands of stories are told in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import zmq
from hypothesis import example, given
from hypothesis import strategies as st

from streamd import recovery
from streamd.events import Event, Message, State, encode
from streamd.gap import Gap
from streamd.history import Missing, Page, Since, message_id
from streamd.journal import store as stores
from streamd.journal.store import Store
from streamd.subscribe import Subscription
from tests import samples
from tests.sockets import short_folder

SOURCES = ("attic", "kitchen", "porch")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)

Published = Event | State
Place = tuple[str, str, int]

an_act = st.one_of(
    st.tuples(st.sampled_from(["event", "event", "state"]), st.sampled_from(SOURCES), st.booleans()),
    st.tuples(st.just("hearts beat"), st.just(""), st.booleans()),
    st.tuples(st.just("somebody else subscribes"), st.just(""), st.booleans()),
    st.tuples(
        st.sampled_from(["the daemon is started again", "the connection breaks", "it is back"]),
        st.just(""),
        st.just(False),
    ),
    st.tuples(st.sampled_from(["the journal stores one", "the journal stores all"]), st.just(""), st.just(False)),
    st.tuples(st.sampled_from(["the client takes one", "the client takes all"]), st.just(""), st.just(False)),
)
Act = tuple[str, str, bool]


class World:
    """A daemon with its journal, and what it publishes."""

    def __init__(self, folder: Path) -> None:
        self.published: list[Published] = []
        self.store = Store(folder / "journal.db", is_checked=True)
        self._unstored: deque[bytes] = deque()
        self._n_runs = 0
        self._newest: dict[str, int] = {}
        self._states: dict[str, State] = {}

    @property
    def run(self) -> str:
        return f"{self._n_runs:04x}"

    def say(self, kind: str, source: str) -> Published:
        seq = self._newest[source] = self._newest.get(source, 0) + 1
        now = BEGIN + timedelta(seconds=len(self.published))
        message: Published
        if kind == "event":
            message = msgspec.structs.replace(
                samples.ONSET, run=self.run, source=source, seq=seq, event_id=f"{self.run}{source}{seq}", onset_time=now
            )
        else:
            message = self._states[source] = msgspec.structs.replace(
                samples.STATE, run=self.run, source=source, seq=seq, time=now, journal="kept"
            )
        self.published.append(message)
        self._unstored.append(encode(message))
        return message

    def hearts(self) -> list[Message]:
        return [
            msgspec.structs.replace(samples.HEARTBEAT, run=self.run, source=source, last_seq=seq)
            for source, seq in self._newest.items()
        ]

    def greeting(self) -> list[Message]:
        return [*self._states.values(), *self.hearts()]

    def keep(self, n_messages: int = 1000) -> None:
        self.store.add([self._unstored.popleft() for _ in range(min(n_messages, len(self._unstored)))])

    def happens(self, act: str, source: str) -> list[Message]:
        """Return what the daemon says."""
        match act:
            case "event" | "state":
                return [self.say(act, source)]
            case "hearts beat":
                return self.hearts()
            case "somebody else subscribes":
                return self.greeting()
            case "the daemon is started again":
                self.start_again()
            case "the journal stores one":
                self.keep(1)
            case "the journal stores all":
                self.keep()
        return []

    def start_again(self) -> None:
        self.keep()  # what a dead daemon left behind is stored first
        self._n_runs += 1
        self._newest, self._states = {}, {}
        for source in SOURCES:
            self.say("state", source)


class StorePast:
    """Answers as the journal's process does, at once."""

    endpoint = "the store"

    def __init__(self, world: World) -> None:
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.has_answered = False
        self._world = world
        self._request: Since | Missing | None = None

    def ask(self, request: Since | Missing) -> None:
        self._request = request

    def answer(self) -> Page | None:
        request, self._request = self._request, None
        self.has_answered = True
        if isinstance(request, Missing):
            return self._world.store.missing(request)
        return None if request is None else self._world.store.since(request, self._world.run)

    def close(self) -> None:
        self.socket.close()


class Client:
    """A real client of it, and all that it has told."""

    def __init__(self, world: World, since: str | datetime | None = None, sources: list[str] | None = None) -> None:
        self.told: list[Published] = []
        self.gaps: list[Gap] = []
        self.begins: dict[str, int] = {}
        """How much was published before a source's first event or heartbeat was heard, or its next run began."""
        self._first_runs: dict[str, str] = {}
        self._world = world
        self._subscription = Subscription("ipc:///nobody/events.sock", sources=sources, since=since)
        assert self._subscription._recovery is not None
        self._subscription._recovery.past.close()
        self._subscription._recovery.past = StorePast(world)  # type: ignore[assignment]
        self._sources = sources or SOURCES
        self.hear(world.greeting())

    def hear(self, messages: list[Message] | list[Published]) -> None:
        for message in messages:
            published = self._world.published
            if self._first_runs.setdefault(message.source, message.run) != message.run:
                begin_of_run = next(n for n, each in enumerate(published) if each.run == message.run)
                self.begins.setdefault(message.source, begin_of_run)
            elif not isinstance(message, State):
                self.begins.setdefault(message.source, len(published) - isinstance(message, Event))
            if message.source in self._sources:
                self._subscription._unread.append([b"topic/", encode(message)])

    def take(self) -> bool:
        message = self._subscription.poll(0)
        if isinstance(message, Gap):
            self.gaps.append(message)
        elif isinstance(message, Event | State):
            self.told.append(message)
        return message is not None

    def work(self) -> None:
        while self.take():
            pass

    def end(self) -> None:
        """Nothing is lost any more, and the journal has it all."""
        self._world.keep()
        self.hear(self._world.greeting())
        subscription = self._subscription
        for _ in range(10_000):
            self.work()
            if not (
                subscription._unread
                or subscription._held
                or (subscription._recovery and subscription._recovery.is_busy)
            ):
                return
        raise AssertionError("it never ends")

    def close(self) -> None:
        self._subscription.close()


def live(world: World, acts: list[Act], *clients: Client) -> None:
    """Let things happen to the daemon, the journal and who listens; what isn't heard is lost on the way."""
    is_connected = True
    for act, source, is_heard in acts:
        was_connected = is_connected
        if act in ("the daemon is started again", "the connection breaks"):
            is_connected = False
        elif act == "it is back":
            is_connected = True
        said = world.happens(act, source)
        for client in clients:
            if act == "the client takes one":
                client.take()
            elif act == "the client takes all":
                client.work()
            elif is_connected and not was_connected:
                client.hear(world.greeting())
            elif is_connected and is_heard:
                client.hear(said)


@pytest.fixture(autouse=True)
def a_fast_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, no end of patience, and small pages."""
    monkeypatch.setattr(recovery, "PAUSE_SECONDS", 0.0)
    for name in ("PATIENCE_SECONDS", "SINCE_PATIENCE_SECONDS"):
        monkeypatch.setattr(recovery, name, 600.0)
    monkeypatch.setattr(stores, "MOST_ON_A_PAGE", 3)


@contextmanager
def a_world(before: list[Act]) -> Iterator[World]:
    with short_folder() as folder:
        world = World(folder)
        live(world, before)
        world.keep()
        yield world
        world.store.close()


def places(messages: list[Published], source: str) -> list[Place]:
    return [(message.run, message.source, message.seq) for message in messages if message.source == source]


TAKES_ALL = ("the client takes all", "", False)
STARTS_AGAIN = ("the daemon is started again", "", False)
some_acts = st.lists(an_act, max_size=40)


@given(before=some_acts, later=some_acts)
def test_who_listens_is_told_all_from_the_first_event_or_heartbeat_on(before: list[Act], later: list[Act]) -> None:
    with a_world(before) as world:
        client = Client(world)
        live(world, later, client)
        client.end()
        client.close()
        assert client.gaps == []
        for source in SOURCES:
            begin = client.begins.get(source, len(world.published))
            # A State that was heard before is told, too.
            earlier = [m for m in client.told if m.source == source and m in world.published[:begin]]
            assert all(isinstance(message, State) for message in earlier)
            assert len(earlier) == len(set(places(earlier, source)))
            told = [message for message in client.told if message not in earlier]
            assert places(told, source) == places(world.published[begin:], source)


@example(before=[], later=[TAKES_ALL, STARTS_AGAIN, STARTS_AGAIN], which=0)  # sources that history has not seen yet
@given(before=some_acts, later=some_acts, which=st.integers(0, 1000))
def test_who_goes_on_after_a_message_is_told_all_that_came_after_it(
    before: list[Act], later: list[Act], which: int
) -> None:
    with a_world([("event", "attic", False), *before]) as world:
        last = which % len(world.published)
        client = Client(world, since=message_id(world.published[last]))
        live(world, later, client)
        client.end()
        client.close()
        assert client.gaps == []
        for source in SOURCES:
            assert places(client.told, source) == places(world.published[last + 1 :], source)


@example(before=[], later=[STARTS_AGAIN], which=1)  # nothing was said since then by the run that was listened to
@given(before=some_acts, later=some_acts, which=st.integers(0, 1000))
def test_who_begins_at_a_time_is_told_all_from_then_on(before: list[Act], later: list[Act], which: int) -> None:
    with a_world([("event", "attic", False), *before]) as world:
        first = which % (len(world.published) + 1)
        client = Client(world, since=BEGIN + timedelta(seconds=first))
        live(world, later, client)
        client.end()
        client.close()
        assert client.gaps == []
        for source in SOURCES:
            # The last State from before that, sent again, is news, too.
            earlier = [m for m in client.told if m.source == source and m in world.published[:first]]
            assert [type(message) for message in earlier] in ([], [State])
            told = [message for message in client.told if message not in earlier]
            assert places(told, source) == places(world.published[first:], source)


@given(first=some_acts, meanwhile=some_acts, later=some_acts)
def test_who_keeps_one_id_for_each_source_misses_nothing_though_it_ends_at_any_moment(
    first: list[Act], meanwhile: list[Act], later: list[Act]
) -> None:
    with a_world([("event", source, False) for source in SOURCES]) as world:
        told: dict[str, list[Published]] = {}
        for n_life, acts in enumerate((first, later)):
            if n_life:
                live(world, meanwhile)
            had = {
                source: told[source][-1] if told.get(source) else world.published[n] for n, source in enumerate(SOURCES)
            }
            clients = {source: Client(world, message_id(had[source]), [source]) for source in SOURCES}
            live(world, acts, *clients.values())
            for source, client in clients.items():
                if n_life:
                    client.end()
                assert client.gaps == []
                client.close()
                told[source] = told.get(source, []) + client.told
        for source in SOURCES:
            assert places(told[source], source) == places(world.published, source)[1:]
