from __future__ import annotations

import itertools
import math
import socket as sockets
import time
import timeit
from collections.abc import Iterator

import msgspec
import pytest
import zmq

from streamd.counters import Counters
from streamd.errors import EndpointError
from streamd.events import Event, Heartbeat, State
from streamd.publish import (
    GREET_SECONDS,
    MAX_AT_ONCE,
    MAX_GREETED_APART,
    MAX_GREETINGS_A_SECOND,
    MAX_SUBSCRIPTION_BYTES,
    MAX_SUBSCRIPTIONS,
    QUEUE_MESSAGES,
    Publisher,
)
from tests import samples
from tests.sockets import PATIENCE_MS, Context, Ear, a_context, a_publisher, let_work, short_folder

doormen = itertools.count()


@pytest.fixture
def context() -> Iterator[Context]:
    with a_context() as context:
        yield context


@pytest.fixture(params=["ipc", "tcp"])
def publisher(context: Context, request: pytest.FixtureRequest) -> Iterator[Publisher]:
    with short_folder() as folder:
        publisher = a_publisher(context, f"ipc://{folder}/e" if request.param == "ipc" else "tcp://127.0.0.1:*")
        yield publisher
        publisher.close()


def where(publisher: Publisher) -> str:
    return publisher.socket.get_string(zmq.LAST_ENDPOINT)


def let_greet(publisher: Publisher, prefix: str) -> None:
    """Let a publisher work until it has greeted who subscribed to this, and everybody before."""
    let_work(publisher, lambda: prefix.encode() in publisher._subscribed and publisher.greet_due() == math.inf)


def an_ear(context: Context, publisher: Publisher, *prefixes: str) -> Ear:
    """Return a subscriber whose every subscription has reached the publisher, with nothing yet to hear."""
    doorman = f"z-doorman-{next(doormen)}"  # its topic comes after all others, and subscriptions go in that order
    publisher.send(samples.state(publisher, doorman))
    ear = Ear(context, where(publisher), *prefixes, f"state/{doorman}/")
    let_greet(publisher, f"state/{doorman}/")
    publisher.send(ready := samples.state(publisher, doorman, "ready"))
    while ear.hear() != ready:
        pass
    return ear


def test_events_and_states_of_a_source_are_counted_together_from_one(context: Context, publisher: Publisher) -> None:
    ear = an_ear(context, publisher, "event/", "state/")
    bark = samples.onset(publisher)
    sent: list[Event | State] = [
        bark,
        samples.state(publisher),
        samples.onset(publisher, "porch"),
        samples.offset(publisher, bark),
    ]
    for message in sent:
        publisher.send(message)
    assert [(message.source, message.seq) for message in sent] == [
        ("kitchen", 1),
        ("kitchen", 2),
        ("porch", 1),
        ("kitchen", 3),
    ]
    assert [ear.hear() for _ in sent] == sent


@pytest.mark.parametrize("prefix", ["state/kitchen/", "state/", "st", ""])
def test_a_new_subscriber_gets_the_last_state_and_a_heartbeat(
    context: Context, publisher: Publisher, prefix: str
) -> None:
    publisher.send(samples.state(publisher, detail="old"))
    last = samples.state(publisher, detail="new")
    publisher.send(last)
    publisher.send(samples.onset(publisher))
    ear = Ear(context, where(publisher), prefix, "heartbeat/")
    again, heartbeat = ear.hear(publisher), ear.hear(publisher)
    assert isinstance(again, State)
    assert (again.detail, again.seq, again.time) == ("new", 2, last.time)
    assert isinstance(heartbeat, Heartbeat)
    assert (heartbeat.source, heartbeat.last_seq, heartbeat.run) == ("kitchen", 3, publisher.run)


def test_the_second_who_subscribes_is_greeted_as_the_first_was(context: Context, publisher: Publisher) -> None:
    publisher.send(samples.state(publisher))
    for _ in range(2):
        ear = Ear(context, where(publisher), "state/", "heartbeat/")
        assert isinstance(ear.hear(publisher), State)
        assert isinstance(ear.hear(publisher), Heartbeat)


def test_who_subscribes_to_heartbeats_gets_one_at_once(context: Context, publisher: Publisher) -> None:
    publisher.heartbeat({"kitchen": None})
    publisher.send(samples.onset(publisher, "porch"))
    ear = Ear(context, where(publisher), "heartbeat/")
    heard = [ear.hear(publisher), ear.hear(publisher)]
    assert {(beat.source, beat.last_seq) for beat in heard if isinstance(beat, Heartbeat)} == {
        ("kitchen", 0),
        ("porch", 1),
    }


def test_a_subscriber_that_comes_and_goes_without_end_does_not_flood_the_others(
    context: Context, publisher: Publisher
) -> None:
    n_sources = 16
    for n in range(n_sources):
        publisher.send(samples.state(publisher, f"s{n}"))
    an_ear(context, publisher, "state/", "heartbeat/")
    stranger = context.socket(zmq.XSUB)
    stranger.connect(where(publisher))
    began, n_before = time.monotonic(), publisher.n_sent
    for n in range(200):
        stranger.send(b"\x01state/")
        stranger.send(b"\x01x%d/" % n)
        let_work(publisher, lambda n=n: b"x%d/" % n in publisher._subscribed)  # type: ignore[misc]
        stranger.send(b"\x00state/")
    let_work(publisher, lambda: publisher.n_sent > n_before)
    most = 2 * (n_sources + 1) + MAX_GREETINGS_A_SECOND * (time.monotonic() - began)
    assert publisher.n_sent - n_before <= most
    stranger.close(linger=0)


def test_the_more_a_greeting_takes_the_later_comes_the_next(context: Context, publisher: Publisher) -> None:
    n_sources = MAX_GREETINGS_A_SECOND // 4
    for n in range(n_sources):
        publisher.send(samples.state(publisher, f"s{n}"))
    Ear(context, where(publisher), "state/").hear(publisher)
    greeted_at = time.monotonic()
    ear = Ear(context, where(publisher), "state/s3/")
    ear.hear(publisher)
    assert time.monotonic() - greeted_at > 2 * n_sources / MAX_GREETINGS_A_SECOND - GREET_SECONDS


def test_of_more_new_subscriptions_than_are_looked_at_each_is_greeted(context: Context, publisher: Publisher) -> None:
    publisher.send(state := samples.state(publisher))
    ear = Ear(context, where(publisher), "state/kitchen/", *(f"state/z{n}/" for n in range(3 * MAX_GREETED_APART)))
    assert ear.hear(publisher) == state


@pytest.mark.parametrize("prefix", ["event/", "event/kitchen/dog/", "state/porch/", "heartbeat/porch/"])
def test_who_asked_for_something_else_is_not_greeted(context: Context, publisher: Publisher, prefix: str) -> None:
    publisher.send(samples.state(publisher))
    ear = Ear(context, where(publisher), prefix, "state/zoo/")
    let_greet(publisher, "state/zoo/")
    publisher.send(live := samples.state(publisher, "zoo"))
    assert ear.hear() == live


def test_a_state_that_is_sent_again_has_the_events_that_are_open_now(context: Context, publisher: Publisher) -> None:
    before = samples.onset(publisher, label="Cat")
    publisher.send(before)
    publisher.send(state := samples.state(publisher))
    assert state.open_events == [before]
    publisher.send(samples.offset(publisher, before))
    bark = samples.onset(publisher)
    publisher.send(bark)
    again = Ear(context, where(publisher), "state/kitchen/").hear(publisher)
    assert again == msgspec.structs.replace(state, open_events=[bark])


def test_an_event_is_open_from_its_onset_to_its_offset(publisher: Publisher) -> None:
    bark, miaow = samples.onset(publisher), samples.onset(publisher, label="Cat")
    publisher.send(bark)
    publisher.send(miaow)
    assert publisher.open_events("kitchen") == [bark, miaow]
    assert publisher.open_events("porch") == []
    publisher.send(samples.offset(publisher, bark))
    assert samples.state(publisher).open_events == [miaow]


def test_a_heartbeat_never_runs_ahead_of_what_was_sent(context: Context, publisher: Publisher) -> None:
    ear = an_ear(context, publisher, "heartbeat/kitchen/")
    publisher.send(samples.onset(publisher))
    samples.onset(publisher)  # with the journal, not yet published
    publisher.heartbeat({"kitchen": 0.25})
    heartbeat = ear.hear()
    assert isinstance(heartbeat, Heartbeat)
    assert (heartbeat.last_seq, heartbeat.lag_seconds) == (1, 0.25)


@pytest.mark.parametrize(
    ("prefix", "scores", "level"),
    [
        ("", False, False),
        ("s", False, False),
        ("score", False, False),
        ("score/", True, False),
        ("score/kit", True, False),
        ("score/kitchen/", True, False),
        ("score/kitchen/yamnet/", True, False),
        ("score/kitchen/yamnet/x", False, False),
        ("score/porch/", False, False),
        ("l", False, False),
        ("level", False, False),
        ("level/", False, True),
        ("level/kitchen/", False, True),
        ("level/porch/", False, False),
        ("event/", False, False),
    ],
)
def test_scores_and_levels_are_made_only_for_who_asks_by_their_word(
    context: Context, publisher: Publisher, prefix: str, scores: bool, level: bool
) -> None:
    an_ear(context, publisher, prefix)
    assert publisher.wants_scores("kitchen", "YAMNet") is scores
    assert publisher.wants_level("kitchen") is level


def test_scores_are_made_until_the_last_who_asked_has_left(context: Context, publisher: Publisher) -> None:
    def wanted() -> bool:
        return publisher.wants_scores("kitchen", "yamnet")

    one, other = (an_ear(context, publisher, "score/kitchen/", "event/") for _ in range(2))
    third = an_ear(context, publisher, "score/")
    assert wanted()
    one.socket.unsubscribe("score/kitchen/")
    third.close()  # without a word
    one.socket.subscribe("state/kitchen/")
    publisher.send(samples.state(publisher))
    one.hear(publisher)  # so the publisher knows all that `one` said
    assert wanted()
    other.close()
    let_work(publisher, lambda: not wanted())
    an_ear(context, publisher, "score/kitchen/")
    assert wanted()


def test_a_subscriber_that_reads_nothing_delays_nobody(context: Context, publisher: Publisher) -> None:
    stuck = an_ear(context, publisher, "event/kitchen/")
    good = an_ear(context, publisher, "event/kitchen/")
    n_messages = 30 * QUEUE_MESSAGES
    bark = samples.onset(publisher)
    for seq in range(1, n_messages + 1):
        publisher.send(msgspec.structs.replace(bark, seq=seq))
        if seq % 200 == 0:
            heard = [good.socket.recv_multipart() for _ in range(200)]
            assert f'"seq":{seq},'.encode() in heard[-1][1]
    received = 0
    while stuck.socket.poll(200):
        stuck.socket.recv_multipart()
        received += 1
    assert received < n_messages  # its queue was bounded


def test_strangers_who_send_garbage_disturb_nobody(context: Context) -> None:
    counters = Counters()
    publisher = Publisher(context, ["tcp://127.0.0.1:*"], "3f2a", "pi", counters)
    ear = an_ear(context, publisher, "event/")
    port = int(where(publisher).rpartition(":")[2])
    for garbage in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 400, b"\xff" + bytes(8) + b"\x7f\x03"):
        with sockets.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(garbage)
    rude = context.socket(zmq.XSUB)
    rude.connect(where(publisher))
    rude.send(b"hello")
    rude.send(b"")
    let_work(publisher, lambda: counters.read().get("published.bad_subscription", 0) == 2)
    rude.send(b"\x01" + b"x" * MAX_SUBSCRIPTION_BYTES)  # ends its connection
    publisher.send(bark := samples.onset(publisher))
    assert ear.hear() == bark
    rude.close(linger=0)
    publisher.close()


def test_who_subscribes_without_end_holds_up_nobody(context: Context, publisher: Publisher) -> None:
    stranger = context.socket(zmq.XSUB)
    stranger.connect(where(publisher))
    n_subscriptions = 3 * MAX_AT_ONCE
    for n in range(n_subscriptions):
        stranger.send(b"\x01score/%d/" % n)
    while (n_before := len(publisher._subscribed)) < n_subscriptions:
        assert publisher.socket.poll(PATIENCE_MS)
        publisher.on_readable()
        assert len(publisher._subscribed) - n_before <= MAX_AT_ONCE
    stranger.close(linger=0)


def test_subscriptions_that_come_faster_than_they_are_taken_in_wait_with_who_sent_them(context: Context) -> None:
    own: Context = zmq.Context()
    with short_folder() as folder:
        publisher = a_publisher(own, f"ipc://{folder}/e")
        stranger = context.socket(zmq.XSUB)
        stranger.setsockopt(zmq.SNDHWM, 0)
        stranger.connect(where(publisher))
        for _ in range(150_000):
            stranger.send(b"\x01state/")
            stranger.send(b"\x00state/")
        for _ in range(100):  # turns of a daemon that has other work
            time.sleep(0.005)
            publisher.send(samples.LEVEL)
            if publisher.socket.poll(0):
                publisher.on_readable()
        publisher.socket.unbind(where(publisher))  # nothing more comes from the stranger
        stranger.close(linger=0)
        n_waiting = 0
        while publisher.socket.poll(100):
            publisher.socket.recv(zmq.NOBLOCK)
            n_waiting += 1
        assert n_waiting < 30_000  # what the kernel's buffers hold, at eight bytes each
        publisher.close()
        own.destroy(linger=0)


def test_more_subscriptions_than_can_be_kept_are_counted_and_greeted_and_forgotten_when_they_leave(
    context: Context, publisher: Publisher
) -> None:
    stranger = context.socket(zmq.XSUB)
    stranger.setsockopt(zmq.SNDHWM, 0)
    stranger.connect(where(publisher))
    n_beyond = 100
    for n in range(MAX_SUBSCRIPTIONS + n_beyond):
        stranger.send(b"\x01score/x%d/" % n)
    too_many = "published.too_many_subscriptions"
    let_work(publisher, lambda: publisher._counters.read().get(too_many, 0) == n_beyond)
    assert len(publisher._subscribed) == MAX_SUBSCRIPTIONS
    assert publisher.wants_scores("x7", "yamnet")
    assert not publisher.wants_scores("kitchen", "yamnet")
    publisher.send(samples.state(publisher))
    ear = Ear(context, where(publisher), "state/kitchen/", "score/kitchen/")
    assert isinstance(ear.hear(publisher), State)
    stranger.close(linger=0)
    let_work(publisher, lambda: not publisher._subscribed)
    assert not publisher.wants_scores("x7", "yamnet")
    an_ear(context, publisher, "score/kitchen/")
    assert publisher.wants_scores("kitchen", "yamnet")


def test_what_a_hop_asks_costs_as_much_for_thousands_of_subscriptions_as_for_one(publisher: Publisher) -> None:
    def seconds() -> float:
        return min(timeit.repeat(lambda: publisher.wants_scores("kitchen", "yamnet"), number=1, repeat=500))

    publisher._note(b"score/x/")
    before = seconds()
    for n in range(MAX_SUBSCRIPTIONS - 1):
        publisher._note(b"score/x%d/" % n)
    assert seconds() < 4 * before


def test_the_last_messages_leave_before_the_end(context: Context) -> None:
    own: Context = zmq.Context()
    publisher = a_publisher(own, "tcp://127.0.0.1:*")
    ear = an_ear(context, publisher, "event/")
    sent: list[Event] = [samples.onset(publisher) for _ in range(500)]
    for event in sent:
        publisher.send(event)
    publisher.close()
    own.term()
    assert [ear.hear() for _ in sent] == sent


def test_an_endpoint_in_use_is_one_clear_line(context: Context) -> None:
    with sockets.create_server(("127.0.0.1", 0)) as other:
        endpoint = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(EndpointError, match=rf"^{endpoint}: can't listen there: Address already in use$"):
            Publisher(context, [endpoint], "3f2a", "pi", Counters())


def test_what_is_published_is_counted(publisher: Publisher) -> None:
    counters = publisher._counters
    publisher.send(samples.onset(publisher))
    publisher.send(samples.state(publisher))
    publisher.send(samples.LEVEL)
    assert counters.read() == {"published.event": 1, "published.level": 1, "published.state": 1}
