"""What a subscriber missed comes from a real journal, in its place; numbers without holes prove it."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import streamd
from streamd import recovery
from streamd.errors import EndpointError, UsageError
from streamd.events import Event, Message, State
from streamd.gap import Gap
from streamd.history import Since, message_id
from streamd.past import recall
from streamd.subscribe import Subscription
from tests import samples
from tests.journal.talker import Talkers, some_talkers
from tests.sockets import Context, a_context, a_publisher, another_publisher, let_work, short_folder

PATIENCE_SECONDS = 20.0
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def talkers() -> Iterator[Talkers]:
    with some_talkers() as talkers:
        yield talkers


@pytest.fixture
def context() -> Iterator[Context]:
    with a_context() as context:
        yield context


def events_at(talkers: Talkers) -> str:
    return f"ipc://{talkers.folder}/events.sock"


def hear(subscription: Subscription, until: Callable[[list[Message | Gap]], bool]) -> list[Message | Gap]:
    """Return what a subscription says until that is enough."""
    heard: list[Message | Gap] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until(heard):
        assert time.monotonic() < deadline, f"waited in vain; the last of {len(heard)}: {heard[-3:]}"
        if (message := subscription.poll(0.1)) is not None:
            heard.append(message)
    return heard


def assert_whole(heard: list[Message | Gap], *, from_one: bool = True) -> None:
    """Numbers of each run and source go up by one, and nothing is said to be missing."""
    assert [message for message in heard if isinstance(message, Gap)] == []
    told = [message for message in heard if isinstance(message, Event | State)]
    for run, source in {(message.run, message.source) for message in told}:
        numbers = [message.seq for message in told if (message.run, message.source) == (run, source)]
        assert numbers == list(range(1 if from_one else numbers[0], numbers[-1] + 1)), (run, source)


def test_since_a_time_nothing_is_missing_and_nothing_comes_twice(talkers: Talkers) -> None:
    talkers.start()
    talkers.hear(at_least=1500)  # three pages
    with Subscription(events_at(talkers), since=LONG_AGO) as subscription:
        heard = hear(subscription, lambda heard: len(heard) > 2500)
    assert_whole(heard)


def test_nothing_comes_twice_though_the_daemon_is_started_again_while_history_is_read(talkers: Talkers) -> None:
    talkers.start()
    talkers.hear(at_least=1500)
    with Subscription(events_at(talkers), since=LONG_AGO) as subscription:
        heard = hear(subscription, lambda heard: len(heard) == 1)  # a slow program: of the first page
        talkers.hear(at_least=300)  # meanwhile the daemon goes on
        heard += hear(subscription, lambda heard: len(heard) == 1)
        talkers.kill(talkers.process, talkers.journal())
        talkers.start()
        talkers.hear(at_least=300)
        first = heard[0].run
        heard += hear(subscription, lambda heard: sum(each.run != first for each in heard) > 1000)
    assert_whole(heard)
    assert len([run for run, _ in itertools.groupby(heard, key=lambda each: each.run)]) == 2


def test_who_goes_on_after_a_message_misses_nothing_though_daemon_and_journal_were_killed(talkers: Talkers) -> None:
    talkers.start()
    with Subscription(events_at(talkers), since=LONG_AGO) as subscription:
        first = hear(subscription, lambda heard: len(heard) > 300)
    talkers.kill(talkers.process, talkers.journal())
    talkers.start()
    last = first[-1]
    assert isinstance(last, Event | State)
    for since in (last, message_id(last)):
        with Subscription(events_at(talkers), since=since) as subscription:
            rest = hear(
                subscription,
                lambda heard: sum(isinstance(each, Event) and each.run != last.run for each in heard) > 300,
            )
        assert_whole(first + rest)
        runs = {key for key in talkers.heard if key[0] == last.run}
        assert runs <= {(each.run, each.source, each.seq) for each in first + rest if isinstance(each, Event | State)}


def test_what_was_said_while_the_connection_was_broken_is_fetched(talkers: Talkers) -> None:
    talkers.start()
    with Subscription(events_at(talkers)) as subscription:
        first = hear(subscription, lambda heard: len(heard) > 100)
        subscription._socket.disconnect(subscription.endpoint)
        talkers.hear(at_least=3000)
        subscription._socket.connect(subscription.endpoint)
        last = first[-1]
        rest = hear(subscription, lambda heard: len(heard) > 3500)
    assert isinstance(last, Event | State)
    numbers = itertools.groupby(sorted((each.source, each.seq) for each in first + rest), key=lambda each: each[0])
    for _, group in numbers:
        seqs = [seq for _, seq in group]
        assert seqs == list(range(seqs[0], seqs[-1] + 1))
    assert not any(isinstance(message, Gap) for message in rest)


@pytest.mark.parametrize("n_kills", [1, 3])
def test_the_end_of_a_run_and_whole_runs_that_nobody_listened_to_are_fetched(talkers: Talkers, n_kills: int) -> None:
    talkers.start()
    with Subscription(events_at(talkers)) as subscription:
        first = hear(subscription, lambda heard: len(heard) > 100)
        subscription._socket.disconnect(subscription.endpoint)
        for _ in range(n_kills):
            talkers.hear(at_least=300)
            talkers.kill(talkers.process, talkers.journal())
            dead = set(talkers.heard)
            talkers.start()
        subscription._socket.connect(subscription.endpoint)
        known = {run for run, _, _ in dead}
        rest = hear(subscription, lambda heard: len({each.source for each in heard if each.run not in known}) == 2)
    told = {(each.run, each.source, each.seq) for each in first + rest if not isinstance(each, Gap)}
    assert len(told) == len(first + rest)
    run = first[-1].run
    assert {key for key in dead if key[0] != run} <= told
    of_the_dead = {key for key in dead if key[0] == run}
    begin = {each.source: each.seq for each in reversed(first)}  # it came late, and so knows nothing of the first
    assert {key for key in of_the_dead if key[2] >= begin[key[1]]} <= told


@pytest.mark.parametrize("patience_seconds", [0.5, PATIENCE_SECONDS])
def test_the_end_of_a_run_that_the_next_journal_cannot_store_for_a_while_is_waited_for_or_said_to_be_unknown(
    talkers: Talkers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, patience_seconds: float
) -> None:
    monkeypatch.setattr(recovery, "PATIENCE_SECONDS", patience_seconds)
    talkers.pause_seconds = 0.02
    talkers.start()
    with Subscription(events_at(talkers)) as subscription:
        first = hear(subscription, lambda heard: len(heard) > 10)
        journal = talkers.journal()
        disk = sqlite3.connect(talkers.folder / "journal.db", isolation_level=None)
        disk.execute("BEGIN IMMEDIATE")  # takes nothing
        subscription._socket.disconnect(subscription.endpoint)
        talkers.hear()  # what was said before doesn't count
        talkers.hear(at_least=30)
        talkers.kill(talkers.process, journal)
        dead = set(talkers.heard)
        talkers.start()
        subscription._socket.connect(subscription.endpoint)
        if patience_seconds > 1:
            first += hear(subscription, lambda _: "events wait in memory" in talkers.log())
            in_between = time.monotonic() + 0.8  # now it answers, before it tries again
            first += hear(subscription, lambda _: time.monotonic() > in_between)
        else:
            first += hear(subscription, lambda heard: len({m.source for m in heard if m.run != first[0].run}) == 2)
        disk.execute("ROLLBACK")
        disk.close()
        known = {run for run, _, _ in dead}
        rest = hear(subscription, lambda heard: len({m.source for m in heard if m.run not in known}) == 2)
    told = {(m.run, m.source, m.seq) for m in first + rest if isinstance(m, Event | State)}
    # From the porch there are States only, from which nothing is counted.
    begin = min(m.seq for m in first if isinstance(m, Event) and m.source == "kitchen" and m.run in known)
    is_whole = {key for key in dead if key[1] == "kitchen" and key[2] >= begin} <= told
    assert is_whole == (patience_seconds > 1)
    assert is_whole != ("before the next run, is not known" in caplog.text)


def test_only_the_sources_and_labels_that_were_asked_for_come_from_history_too(talkers: Talkers) -> None:
    talkers.start()
    talkers.hear(at_least=300)
    with Subscription(events_at(talkers), sources=["porch"], since=LONG_AGO) as subscription:
        heard = hear(subscription, lambda heard: len(heard) > 200)
    assert {message.source for message in heard} == {"porch"}
    assert_whole(heard)
    with Subscription(events_at(talkers), labels=["Cat"], since=LONG_AGO) as subscription:
        heard = hear(subscription, lambda heard: len(heard) > 200)
    assert {type(message) for message in heard} == {State}


def test_since_tomorrow_there_is_only_what_is_said_from_now_on(talkers: Talkers) -> None:
    talkers.start()
    talkers.hear_until_stored()
    known = len(talkers.heard)
    with Subscription(events_at(talkers), since=datetime.now(UTC) + timedelta(days=100)) as subscription:
        heard = hear(subscription, lambda heard: len(heard) > 100)
    assert_whole(heard, from_one=False)
    assert min(message.seq for message in heard if message.source == "porch") > known // 4


def test_recall_returns_what_is_there_and_ends(talkers: Talkers) -> None:
    talkers.start()
    talkers.hear_until_stored()
    found = [message for message, _ in recall(Since(), f"ipc://{talkers.folder}/history.sock")]
    assert_whole(list(found))
    assert len(found) > 10


def test_without_a_journal_a_gap_is_a_gap(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "PATIENCE_SECONDS", 0.2)
    with short_folder() as folder:
        publisher = a_publisher(context, f"ipc://{folder}/events.sock")
        with Subscription(f"ipc://{folder}/events.sock") as subscription:
            publisher.send(samples.state(publisher))
            let_work(publisher, lambda: subscription.poll(0) is not None)
            publisher.send(samples.onset(publisher))
            publisher.next_seq("kitchen")  # lost
            publisher.send(samples.onset(publisher))
            assert isinstance(subscription.poll(5), Event)
            assert subscription.poll(5) == Gap(source="kitchen", run=publisher.run, first_seq=3, last_seq=3)
            assert isinstance(subscription.poll(5), Event)
        publisher.close()


def test_who_wants_the_past_of_a_daemon_without_a_journal_is_told(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "SINCE_PATIENCE_SECONDS", 0.2)
    with short_folder() as folder:
        publisher = another_publisher(context, f"ipc://{folder}/events.sock", "3f2a")
        with Subscription(f"ipc://{folder}/events.sock", since=LONG_AGO) as subscription:
            assert subscription.poll(0.3) is None  # nobody is there yet, as far as it knows
            publisher.send(samples.state(publisher))

            refusals: list[str] = []

            def refuses() -> bool:
                try:
                    subscription.poll(0)
                except EndpointError as error:
                    refusals.append(str(error))
                return bool(refusals)

            let_work(publisher, refuses)
            said = f"ipc://{folder}/history.sock: a daemon is there, but no history; is its journal off?"
            assert refusals == [said]
        publisher.close()


@pytest.mark.parametrize(
    ("since", "mistake"),
    [
        (datetime(2026, 1, 1), "expected a time with its zone"),  # noqa: DTZ001 - it has none on purpose
        ("kitchen", "expected that of an event or a state"),
        ("run-kitchen-x", "expected that of an event or a state"),
    ],
)
def test_what_is_no_place_to_begin_is_refused(since: datetime | str, mistake: str) -> None:
    with pytest.raises(UsageError, match=mistake):
        streamd.subscribe("ipc:///tmp/nobody/events.sock", since=since)


def test_since_needs_to_know_where_history_is_served() -> None:
    with pytest.raises(UsageError, match="nobody knows where the history"):
        streamd.subscribe("tcp://127.0.0.1:9", since=LONG_AGO)
