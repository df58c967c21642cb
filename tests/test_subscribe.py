from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

import streamd
from streamd import endpoints, history
from streamd import events as wire
from streamd.errors import EndpointError, UsageError
from streamd.events import Event, Heartbeat, Message, State
from streamd.history import Newest, Page
from streamd.publish import Publisher
from streamd.subscribe import Gap, Ledger, Subscription
from tests import samples
from tests.sockets import (
    PATIENCE_SECONDS,
    Context,
    Ear,
    a_context,
    a_publisher,
    another_publisher,
    let_work,
    short_folder,
)
from tests.wire import check_payload

Heard = Event | State | Gap
END = "z-end"
"""A source that says when a test is over; its topics sort after all others, and subscriptions go in that order."""


@pytest.fixture
def context() -> Iterator[Context]:
    with a_context() as context:
        yield context


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


class Leak(threading.Thread):
    """A proxy between a publisher and a client that loses what it is told to lose."""

    def __init__(self, context: Context, upstream: str, downstream: str, lost: Sequence[bool]) -> None:
        super().__init__(daemon=True)
        self.passed: list[Message] = []
        self._lost = iter(lost)
        self._front, self._back = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
        self._front.connect(upstream)
        self._back.bind(downstream)
        self.start()

    def run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._front, zmq.POLLIN)
        poller.register(self._back, zmq.POLLIN)
        try:
            while True:
                ready = dict(poller.poll())
                if self._back in ready:
                    self._front.send_multipart(self._back.recv_multipart())
                if self._front in ready:
                    frames = self._front.recv_multipart()
                    message = wire.decode(frames[1])
                    if message.source == END:
                        self._lost = iter(())
                    elif next(self._lost, False):
                        continue
                    else:
                        self.passed.append(message)
                    self._back.send_multipart(frames)
        except zmq.ContextTerminated:
            self._front.close(linger=0)
            self._back.close(linger=0)


@dataclass
class _Known:
    run: str
    base: int | None
    have: set[int] = field(default_factory=set)
    told: set[int] = field(default_factory=set)


def expected(passed: Iterable[Message], labels: set[str] | None) -> list[Heard]:
    """What a client has to say of the messages that reached it: by sets, not by counting."""
    heard: list[Heard] = []
    sources: dict[str, _Known] = {}
    for message in passed:
        assert isinstance(message, Event | State | Heartbeat)
        known = sources.get(message.source)
        if known is None or known.run != message.run:
            known = sources[message.source] = _Known(message.run, None if known is None else 0)
        published = message.last_seq if isinstance(message, Heartbeat) else message.seq
        earlier = published if isinstance(message, Heartbeat) else published - 1
        if known.base is None and not isinstance(message, State):
            known.base = published
        if known.base is not None:
            missing = set(range(known.base + 1, earlier + 1)) - known.have - known.told
            if missing:
                first, last = min(missing), max(missing)
                assert len(missing) == last - first + 1
                heard.append(Gap(source=message.source, run=message.run, first_seq=first, last_seq=last))
                known.told |= missing
        if isinstance(message, Heartbeat) or message.seq in known.have | known.told:
            continue
        known.have.add(message.seq)
        if isinstance(message, State) or labels is None or message.label in labels:
            heard.append(message)
    return heard


# What happens: a source says something of a label, tells its state, all hearts beat, somebody else subscribes.
an_act = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(["kitchen", "porch"]), st.sampled_from(["Dog", "Cat"])),
    st.tuples(st.just("state"), st.sampled_from(["kitchen", "porch"])),
    st.just(("beat",)),
    st.just(("join",)),
)


@pytest.mark.parametrize(
    ("sources", "labels"),
    [(None, None), (["kitchen"], None), (None, {"Dog"}), (["porch"], {"Cat"})],
    ids=["all", "one source", "one label", "both"],
)
@settings(max_examples=150)
@given(
    before=st.lists(an_act, max_size=6),
    acts=st.lists(an_act, max_size=25),
    lost=st.lists(st.booleans() | st.just(True), max_size=40),
)
def test_every_loss_is_a_gap_and_nothing_else_is(
    sources: list[str] | None,
    labels: set[str] | None,
    before: list[tuple[str, ...]],
    acts: list[tuple[str, ...]],
    lost: list[bool],
) -> None:
    with a_context() as context, short_folder() as folder:
        publisher = a_publisher(context, f"ipc://{folder}/up")
        for act in before:
            _do(act, publisher, context, folder)
        leak = Leak(context, f"ipc://{folder}/up", f"ipc://{folder}/down", lost)
        names = None if sources is None else [*sources, END]
        with Subscription(f"ipc://{folder}/down", sources=names, labels=labels) as subscription:
            last_prefix = b"state/" if names is None else f"state/{END}/".encode()
            let_work(publisher, lambda: last_prefix in publisher._subscribed)
            for act in acts:
                _do(act, publisher, context, folder)
            # Nothing is lost from here on: the last heartbeats show what is missing at the tail.
            publisher.send(samples.state(publisher, END, "nears"))
            publisher.heartbeat({"kitchen": None, "porch": None})
            publisher.send(samples.state(publisher, END, "is here"))
            heard = _until_the_end(subscription)
        publisher.close()
        context.term()
        assert heard == expected(leak.passed, labels)


def _do(act: tuple[str, ...], publisher: Publisher, context: Context, folder: Path) -> None:
    match act:
        case "event", source, label:
            publisher.send(samples.onset(publisher, source, label))
        case "state", source:
            publisher.send(samples.state(publisher, source))
        case ("beat",):
            publisher.heartbeat({"kitchen": None, "porch": 0.1})
        case ("join",):
            ear = Ear(context, f"ipc://{folder}/up", "state/", "state/z-join/")
            let_work(publisher, lambda: b"state/z-join/" in publisher._subscribed)
            ear.close()
            let_work(publisher, lambda: b"state/z-join/" not in publisher._subscribed)


def _until_the_end(subscription: Subscription) -> list[Heard]:
    heard: list[Heard] = []
    while True:
        message = subscription.poll(PATIENCE_SECONDS)
        assert isinstance(message, Event | State | Gap), "the end was not heard"
        if message.source == END:
            if isinstance(message, State) and message.detail == "is here":
                return heard
            continue
        if subscription.payload:
            assert check_payload(subscription.payload) == message
        heard.append(message)


@given(st.data())
def test_the_ledger_agrees_with_sets_through_any_losses_and_restarts(data: st.DataObject) -> None:
    ledger = Ledger()
    passed: list[Message] = []
    said: list[Heard] = []
    for run in range(data.draw(st.integers(1, 3))):
        seq, state = 0, None
        for act in data.draw(st.lists(st.sampled_from(["event", "state", "beat", "again"]), max_size=15)):
            if act == "beat":
                message: Event | State | Heartbeat | None = msgspec.structs.replace(samples.HEARTBEAT, last_seq=seq)
            elif act == "again":
                message = state
            else:
                seq += 1
                message = msgspec.structs.replace(samples.ONSET if act == "event" else samples.STATE, seq=seq)
                state = message if isinstance(message, State) else state
            if message is None or data.draw(st.booleans()):
                continue
            message = msgspec.structs.replace(message, run=f"run {run}")
            passed.append(message)
            gap, is_news = ledger.enter(message)
            said += [gap] if gap else []
            said += [message] if is_news and not isinstance(message, Heartbeat) else []
    assert said == expected(passed, None)


def follow(publisher: Publisher, endpoint: str) -> Subscription:
    """Return a client that has a base line."""
    subscription = Subscription(endpoint, also=["heartbeat"])
    publisher.send(samples.state(publisher, END))
    # Subscriptions go in alphabetical order: with states, the last of them has arrived.
    let_work(publisher, lambda: isinstance(subscription.poll(0), State))
    return subscription


def numbers(heard: Iterable[Message | Gap | None], run: str, source: str = "kitchen") -> tuple[list[int], list[int]]:
    """Return the numbers of a run that came, and those that were said to be missing."""
    came: list[int] = []
    missing: list[int] = []
    for message in heard:
        if isinstance(message, Event | State) and (message.run, message.source) == (run, source):
            came.append(message.seq)
        elif isinstance(message, Gap) and (message.run, message.source) == (run, source):
            missing += range(message.first_seq, message.last_seq + 1)
            assert message.n_missing == message.last_seq - message.first_seq + 1
    return came, missing


def hear_until(subscription: Subscription, publisher: Publisher, seq: int) -> list[Message | Gap]:
    """Return all up to the heartbeat of the kitchen with this number."""
    heard: list[Message | Gap] = []

    def is_heard() -> bool:
        while (message := subscription.poll(0)) is not None:
            heard.append(message)
            if isinstance(message, Heartbeat) and message.source == "kitchen" and message.last_seq == seq:
                return True
        return False

    let_work(publisher, is_heard)
    return heard


def test_after_a_restart_what_the_new_run_said_before_we_were_back_is_a_gap(context: Context, folder: Path) -> None:
    first = a_publisher(context, f"ipc://{folder}/e", "run 1")
    with follow(first, f"ipc://{folder}/e") as subscription:
        first.send(samples.onset(first))
        first.heartbeat({"kitchen": None})
        assert numbers(hear_until(subscription, first, 1), "run 1") == ([1], [])
        first.close()
        second = another_publisher(context, f"ipc://{folder}/e", "run 2")
        for _ in range(3):
            second.send(samples.onset(second))
        second.send(samples.state(second))
        second.send(samples.onset(second))
        came, missing = numbers(hear_until(subscription, second, 5), "run 2")
        assert sorted(came + missing) == [1, 2, 3, 4, 5]
        second.send(samples.onset(second))
        second.heartbeat({"kitchen": None})
        assert numbers(hear_until(subscription, second, 6), "run 2") == ([6], [])
        second.close()


def test_after_a_broken_connection_what_was_said_meanwhile_is_a_gap(context: Context, folder: Path) -> None:
    publisher = a_publisher(context, f"ipc://{folder}/up")
    with a_context() as wires:
        leak = Leak(wires, f"ipc://{folder}/up", f"ipc://{folder}/down", [])
        subscription = follow(publisher, f"ipc://{folder}/down")
        publisher.send(samples.state(publisher))
        publisher.heartbeat({"kitchen": None})
        assert numbers(hear_until(subscription, publisher, 1), "3f2a") == ([1], [])
        wires.term()
        leak.join()
    let_work(publisher, lambda: not publisher._subscribed)
    publisher.send(bark := samples.onset(publisher))
    publisher.send(samples.offset(publisher, bark))
    with a_context() as wires:
        leak = Leak(wires, f"ipc://{folder}/up", f"ipc://{folder}/down", [])
        # The greeting alone shows it: nothing new has to happen first.
        assert numbers(hear_until(subscription, publisher, 3), "3f2a") == ([], [2, 3])
        wires.term()
        leak.join()
    subscription.close()
    publisher.close()


def test_who_comes_late_learns_how_things_are_and_misses_nothing(context: Context, folder: Path) -> None:
    publisher = a_publisher(context, f"ipc://{folder}/e")
    publisher.send(samples.state(publisher))
    publisher.send(bark := samples.onset(publisher))
    with Subscription(f"ipc://{folder}/e", also=["heartbeat"]) as subscription:
        heard = hear_until(subscription, publisher, 2)
        assert numbers(heard, "3f2a") == ([1], [])
        assert isinstance(heard[0], State)
        assert heard[0].open_events == [bark]
        publisher.send(samples.offset(publisher, bark))
        publisher.heartbeat({"kitchen": None})
        assert numbers(hear_until(subscription, publisher, 3), "3f2a") == ([3], [])
    publisher.close()


def test_who_is_there_first_waits_and_misses_nothing(context: Context, folder: Path) -> None:
    with Subscription(f"ipc://{folder}/e", also=["heartbeat"]) as subscription:
        assert subscription.poll(0) is None
        publisher = a_publisher(context, f"ipc://{folder}/e")
        let_work(publisher, lambda: b"state/" in publisher._subscribed)
        publisher.send(samples.state(publisher))
        publisher.send(samples.onset(publisher))
        publisher.heartbeat({"kitchen": None})
        assert numbers(hear_until(subscription, publisher, 2), "3f2a") == ([1, 2], [])
        publisher.close()


def test_what_a_slow_client_loses_it_is_told(context: Context, folder: Path) -> None:
    publisher = a_publisher(context, f"ipc://{folder}/e")
    with follow(publisher, f"ipc://{folder}/e") as subscription:
        publisher.heartbeat({"kitchen": None})
        hear_until(subscription, publisher, 0)
        n_messages = 20_000
        for _ in range(n_messages):
            publisher.send(samples.onset(publisher))
        heard = []
        while (message := subscription.poll(0.2)) is not None:
            heard.append(message)
        publisher.heartbeat({"kitchen": None})
        heard += hear_until(subscription, publisher, n_messages)
        came, missing = numbers(heard, "3f2a")
        assert missing
        assert sorted(came + missing) == list(range(1, n_messages + 1))
    publisher.close()


def test_a_state_that_is_sent_again_for_others_comes_once(context: Context, folder: Path) -> None:
    publisher = a_publisher(context, f"ipc://{folder}/up")
    with follow(publisher, f"ipc://{folder}/up") as subscription:
        publisher.send(samples.state(publisher))
        for _ in range(3):
            _do(("join",), publisher, context, folder)
        publisher.send(samples.onset(publisher))
        publisher.heartbeat({"kitchen": None})
        assert numbers(hear_until(subscription, publisher, 2), "3f2a") == ([1, 2], [])
    publisher.close()


@pytest.mark.parametrize("n_stored", [5, 7])
def test_who_goes_on_after_a_message_is_told_neither_the_last_state_again_nor_what_is_stored_later(
    n_stored: int,
) -> None:
    ledger = Ledger()
    last = msgspec.structs.replace(samples.STATE, seq=7)
    ledger.resume(last.run, last.source, last.seq)
    ledger.settle(
        [Newest(run=last.run, host=last.host, source=source, seq=n_stored) for source in (last.source, "porch")]
    )
    assert ledger.enter(last) == (None, False)
    assert ledger.enter(msgspec.structs.replace(last, source="porch", seq=n_stored)) == (None, False)
    assert ledger.enter(msgspec.structs.replace(last, seq=8)) == (None, True)


def test_the_last_state_is_news_in_a_history_since_a_time_that_did_not_reach_back_to_it() -> None:
    ledger = Ledger()
    ledger.settle([Newest(run=samples.STATE.run, host=samples.STATE.host, source="kitchen", seq=samples.STATE.seq)])
    assert ledger.enter(samples.STATE) == (None, True)


def test_who_goes_on_after_a_message_is_not_told_the_last_state_of_another_source_again() -> None:
    ledger = Ledger()
    last = samples.ONSET
    ledger.resume(last.run, "kitchen", 7)
    newer = msgspec.structs.replace(last, source="porch", seq=6)
    assert ledger.enter(newer, is_past=True) == (None, True)
    ledger.settle([Newest(run=last.run, host=last.host, source="porch", seq=6)])
    state = msgspec.structs.replace(samples.STATE, source="porch", run=last.run, host=last.host)
    assert ledger.enter(msgspec.structs.replace(state, seq=5)) == (None, False)
    assert ledger.enter(msgspec.structs.replace(state, seq=7)) == (None, True)


@pytest.mark.parametrize("goes_on", [True, False])
def test_what_waited_of_a_run_that_is_over_in_history_is_no_news_of_any_source(goes_on: bool) -> None:
    ledger = Ledger()
    kitchen = msgspec.structs.replace(samples.ONSET, run="run 1", seq=2)
    porch = msgspec.structs.replace(samples.STATE, run="run 1", source="porch", seq=9)
    if goes_on:  # after what was waiting, too
        ledger.resume("run 1", "kitchen", 2)
    else:
        assert ledger.enter(kitchen, is_past=True) == (None, True)
    for source in ("kitchen", "porch"):
        again = msgspec.structs.replace(samples.STATE, run="run 2", source=source, seq=1)
        ledger.enter(again, is_past=True)
    ledger.settle([Newest(run="run 2", host=kitchen.host, source=source, seq=1) for source in ("kitchen", "porch")])
    beat = msgspec.structs.replace(samples.HEARTBEAT, run="run 1", last_seq=2)
    for message in (kitchen, porch, beat):
        assert ledger.before(message) is None
        assert ledger.enter(message) == (None, False)
    for source in ("kitchen", "porch"):
        again = msgspec.structs.replace(samples.STATE, run="run 2", source=source, seq=1)
        assert ledger.enter(again) == (None, False)
        assert ledger.enter(msgspec.structs.replace(again, seq=2)) == (None, True)


@pytest.mark.parametrize("labels", [["Dog"], ["DOG", "Bird"], "dog"])
def test_labels_are_filtered_by_the_client_in_any_case(context: Context, folder: Path, labels: list[str] | str) -> None:
    publisher = a_publisher(context, f"ipc://{folder}/e")
    with Subscription(f"ipc://{folder}/e", labels=labels) as subscription:
        let_work(publisher, lambda: b"state/" in publisher._subscribed)
        publisher.send(samples.onset(publisher, label="Cat"))
        publisher.send(bark := samples.onset(publisher))
        publisher.send(state := samples.state(publisher))
        assert subscription.poll(PATIENCE_SECONDS) == bark
        assert subscription.poll(PATIENCE_SECONDS) == state
    publisher.close()


def test_what_else_was_asked_for_comes_with_its_payload(context: Context, folder: Path) -> None:
    publisher = a_publisher(context, f"ipc://{folder}/e")
    with Subscription(f"ipc://{folder}/e", sources="kitchen", also=["score", "level", "heartbeat"]) as subscription:
        let_work(publisher, lambda: publisher.wants_level("kitchen") and b"state/kitchen/" in publisher._subscribed)
        assert publisher.wants_scores("kitchen", "yamnet")
        assert not publisher.wants_level("porch")
        for message in (samples.SCORE, samples.LEVEL, samples.HEARTBEAT):
            publisher.send(message)
            assert subscription.poll(PATIENCE_SECONDS) == message
            assert subscription.payload == wire.encode(message)
        # A Gap is of our own making, and was never on the wire.
        publisher.send(msgspec.structs.replace(samples.STATE, seq=9))
        assert isinstance(subscription.poll(PATIENCE_SECONDS), Gap)
        assert subscription.payload == b""
    publisher.close()


def test_a_message_of_another_version_is_skipped_and_told_once(
    context: Context, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = a_publisher(context, f"ipc://{folder}/e")
    with Subscription(f"ipc://{folder}/e") as subscription:
        let_work(publisher, lambda: b"state/" in publisher._subscribed)
        for frames in ([b"event/x/", b"{}"], [b"event/x/"], [b"state/", b"{}", b""], [b"heartbeat/", b"\xff"]):
            publisher.socket.send_multipart(frames)
        publisher.send(bark := samples.onset(publisher))
        assert subscription.poll(PATIENCE_SECONDS) == bark
        assert subscription.n_unreadable == 4
    publisher.close()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "is the daemon of another version?" in caplog.text


def test_subscribe_works_from_a_plain_thread_and_listens_from_its_call_on(context: Context, folder: Path) -> None:
    publisher = a_publisher(context, f"ipc://{folder}/e")
    messages = streamd.subscribe(f"ipc://{folder}/e", sources=["kitchen"], labels=["Dog"])
    let_work(publisher, lambda: b"state/kitchen/" in publisher._subscribed)
    publisher.send(bark := samples.onset(publisher))
    heard: list[Heard] = []
    thread = threading.Thread(target=lambda: heard.append(next(messages)))
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert heard == [bark]
    messages.close()
    let_work(publisher, lambda: not publisher._subscribed)
    publisher.close()


def test_silence_is_none(folder: Path) -> None:
    with Subscription(f"ipc://{folder}/e") as subscription:
        assert subscription.poll(0) is None
        assert subscription.poll(0.01) is None


@pytest.mark.parametrize("name", ["Kitchen", "kitchen/", "", "a b", "é"])
def test_a_name_that_no_source_has_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="lower-case letters, digits and - only"):
        streamd.subscribe("ipc:///tmp/nobody", sources=[name])


@pytest.mark.parametrize("endpoint", ["kitchen", "tcp://", "ipc://" + "x" * 200])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(EndpointError, match=f"^{endpoint}: "):
        streamd.subscribe(endpoint)


@pytest.fixture
def places(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Endpoints of events where this machine has no daemon yet: the user's own, and two services; silence is short."""
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr("streamd.endpoints.SYSTEM_FOLDER", folder / "system")
    monkeypatch.setattr(sys.modules["streamd.subscribe"], "SILENCE_SECONDS", 0.05)
    folders = {"mine": folder / "streamd", "main": folder / "system" / "main", "porch": folder / "system" / "porch"}
    return {name: endpoints.default_endpoints(where)["events"] for name, where in folders.items()}


def a_daemon(context: Context, endpoint: str, run: str) -> Publisher:
    Path(endpoint.removeprefix("ipc://")).parent.mkdir(exist_ok=True, parents=True)
    publisher = another_publisher(context, endpoint, run)
    publisher.send(samples.state(publisher))
    return publisher


def hear_one(subscription: Subscription, publisher: Publisher) -> Message | Gap:
    heard: list[Message | Gap] = []

    def is_heard() -> bool:
        heard.extend([message] if (message := subscription.poll(0)) else [])
        return bool(heard)

    let_work(publisher, is_heard)
    return heard[0]


@pytest.mark.parametrize("where", ["mine", "main", "porch"])
def test_without_an_endpoint_it_waits_for_a_daemon_wherever_one_starts(
    context: Context, places: dict[str, str], caplog: pytest.LogCaptureFixture, where: str
) -> None:
    with Subscription() as subscription:
        assert subscription.endpoint == places["mine"]
        assert "no daemon answers at" in caplog.text
        assert subscription.poll(0.1) is None
        publisher = a_daemon(context, places[where], where)
        assert hear_one(subscription, publisher).run == where
        assert subscription.endpoint == places[where]
        publisher.close()


@pytest.mark.parametrize(("ours", "another"), [("main", "porch"), ("porch", "mine")])
def test_a_daemon_that_was_heard_is_waited_for_whoever_else_is_there(
    context: Context, places: dict[str, str], caplog: pytest.LogCaptureFixture, ours: str, another: str
) -> None:
    publisher = a_daemon(context, places[ours], "run 1")
    with Subscription() as subscription:
        assert hear_one(subscription, publisher).run == "run 1"
        publisher.heartbeat({"kitchen": None})
        publisher.close()
        other = a_daemon(context, places[another], "another's")
        said = f"{places[ours]} is silent; waits for it. Another daemon is at {places[another]}: name it to hear that"
        let_work(other, lambda: subscription.poll(0.01) is not None or said in caplog.text)
        assert subscription.poll(0.2) is None  # some times SILENCE_SECONDS
        assert caplog.text.count("is silent") == 1
        publisher = another_publisher(context, places[ours], "run 2")
        publisher.send(samples.onset(publisher))
        publisher.send(samples.state(publisher))
        heard = [hear_one(subscription, publisher), hear_one(subscription, publisher)]
        assert numbers(heard, "run 2") == ([2], [1])  # nothing of its next run is missed unsaid
        other.close()
        publisher.close()


def test_whose_history_was_read_is_waited_for_though_nothing_was_heard_live(
    context: Context, places: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    publisher = a_daemon(context, places["main"], "run 1")
    journal = context.socket(zmq.ROUTER)
    journal.bind(places["main"].replace("events.sock", "history.sock"))
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    with Subscription(sources=["attic"], since=long_ago) as subscription:
        assert subscription.poll(0.05) is None
        peer, question = journal.recv_multipart()
        ref = history.decode_request(question).ref
        attic = msgspec.structs.replace(samples.STATE, source="attic", run="run 1")
        page = Page(ref=ref, messages=[msgspec.Raw(wire.encode(attic))], next=None, newest=[])
        journal.send_multipart([peer, history.encode(page)])
        assert subscription.poll(PATIENCE_SECONDS) == attic
        publisher.close()
        other = a_daemon(context, places["porch"], "another's")
        let_work(other, lambda: subscription.poll(0.01) is not None or "is silent; waits for it" in caplog.text)
        assert subscription.endpoint == places["main"]
        other.close()
    journal.close(linger=0)
