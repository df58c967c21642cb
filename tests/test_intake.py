"""What the daemon's ear makes of messages: real sockets, real sources, and agents that misbehave."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import zmq
from numpy.typing import NDArray

from streamd import blocks, intake, sources, supervisor
from streamd.blocks import Answered, Block, Bye, Done, Hello, Refuse, Said, Waiting, Want, block_take
from streamd.counters import Counters
from streamd.detector import Detector
from streamd.errors import EndpointError
from streamd.intake import Intake
from streamd.listeners import Listener
from streamd.model import Model
from streamd.publish import Publisher
from streamd.sources import LiveSource
from tests import tiny_models
from tests.sockets import PATIENCE_MS, Context, a_context, short_folder

FAST_RATE = 16_000


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    """One at 8 kHz with a hop of 320 samples, one at 16 kHz, and one at 16 kHz with half the hop."""
    folder = tmp_path_factory.mktemp("models")
    return [
        Model(tiny_models.build(folder, "window", "log_mel"), "cpu"),
        Model(tiny_models.build(folder, "window", "samples", name="twice", sample_rate=FAST_RATE), "cpu"),
        Model(
            tiny_models.build(folder, "window", "samples", name="often", sample_rate=FAST_RATE, hop_frames=160), "cpu"
        ),
    ]


class Daemon:
    """An intake, and the sources behind it."""

    def __init__(self, context: Context, folder: str, models: dict[str, list[Model]]) -> None:
        self.endpoint = f"ipc://{folder}/audio"
        self.counters = Counters()
        self.intake = Intake(context, [self.endpoint], self.counters)
        publisher = Publisher(context, [f"ipc://{folder}/events"], "3f2a", "pi", self.counters)
        self.sources = {
            name: LiveSource(
                name=name,
                listeners=[Listener(i, Detector(model), (name,)) for i, model in enumerate(heard_by)],
                publisher=publisher,
                counters=self.counters,
                step=self._step,
                clock_id="here",
                max_lag_seconds=2.0,
            )
            for name, heard_by in models.items()
        }

    def _step(self, listener: Listener) -> None:
        for hop in listener.detector.step():
            self.sources[hop.source].heard(listener, hop)

    def turn(self) -> None:
        """Wait for what was sent, and take it in, as the loop does."""
        assert self.intake.socket.poll(PATIENCE_MS)
        self.intake.take_in(self.sources)
        for source in self.sources.values():
            for listener in source.listeners:
                self._step(listener)

    def counted(self, name: str) -> int:
        return self.counters.read().get(name, 0)


class Agent:
    """An agent's end of the socket, that says what a test makes it say."""

    def __init__(self, context: Context, daemon: Daemon) -> None:
        self._daemon = daemon
        self.socket = context.socket(zmq.DEALER)
        self.socket.connect(daemon.endpoint)

    def say(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames)
        self._daemon.turn()

    def tell(self, message: Said) -> None:
        self.say(blocks.encode(message))

    def hello(self, take: str, *sources: str) -> None:
        hello = Hello(
            sources=sources, take=take, host="pi", clock_id="here", device="a fake", native_rate=48_000, live=True
        )
        self.tell(hello)

    def block(self, take: str, pcm: NDArray[np.int16], first_sample: int, *sources: str, rate: int = 8_000) -> None:
        header = Block(
            sources=sources,
            take=block_take(take, rate),
            first_sample=first_sample,
            sample_rate=rate,
            captured_at=time.time(),
            monotonic=time.monotonic() - len(pcm) / rate,
        )
        self.say(*blocks.encode_block(header, pcm))

    def answers(self, n: int) -> list[Answered]:
        """Return the next n answers; there must be no more."""
        found: list[Answered] = []
        for _ in range(n):
            assert self.socket.poll(PATIENCE_MS), found
            found.append(blocks.decode_answer(self.socket.recv_multipart()))
        assert not self.socket.poll(20)
        return found


@contextmanager
def a_daemon(**models: list[Model]) -> Iterator[tuple[Daemon, Agent]]:
    with short_folder() as folder, a_context() as context:
        daemon = Daemon(context, str(folder), models)
        yield daemon, Agent(context, daemon)


def silence(n_samples: int, n_sources: int = 1) -> NDArray[np.int16]:
    return np.zeros((n_samples, n_sources), np.int16)


def test_an_agent_that_dies_while_its_messages_wait_does_not_take_the_daemon_with_it() -> None:
    peer = """
import sys, zmq
line = zmq.Context().socket(zmq.DEALER)
line.connect(sys.argv[1])
while True:
    line.send(bytes(10_000))
"""
    program = f"""
import subprocess, sys, time, zmq
from streamd.counters import Counters
from streamd.intake import Intake
with zmq.Context() as context:
    intake = Intake(context, sys.argv[1:], Counters())
    agent = subprocess.Popen([sys.executable, "-c", {peer!r}, sys.argv[1]])
    assert intake.socket.poll(20_000)
    time.sleep(0.5)  # its queue is full by then
    agent.kill()
    agent.wait()
    time.sleep(3)  # longer than from one heartbeat to the next
    intake.close()
"""
    with short_folder() as folder:
        subprocess.run([sys.executable, "-c", program, f"ipc://{folder}/audio"], check=True, timeout=60)


def test_a_hello_is_answered_by_what_each_rate_needs(models: list[Model]) -> None:
    with a_daemon(kitchen=models) as (_, agent):
        agent.hello("t", "kitchen")
        wants = agent.answers(2)
    assert wants == [
        Want(take="t", block_take="t-8000", sample_rate=8_000, n_samples=320),
        Want(take="t", block_take="t-16000", sample_rate=FAST_RATE, n_samples=160),  # the shortest hop of two
    ]


def test_a_hello_of_a_source_that_is_not_configured_is_refused_by_name(models: list[Model]) -> None:
    with a_daemon(kitchen=models, porch=models) as (daemon, agent):
        agent.hello("t", "kitchen", "cellar")
        (refused,) = agent.answers(1)
        assert daemon.counted("hellos.refused") == 1
        assert daemon.sources["kitchen"].hello is None
    assert isinstance(refused, Refuse)
    assert refused.take == "t"
    assert "cellar" in refused.reason
    assert "kitchen, porch" in refused.reason


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"\xff\xfe"],
        [b"{}"],
        [b"[" * 60_000],
        [b'{"kind":"' + 60_000 * b"x" + b'"}'],
        [b" " * 1_000_000],
        [b'{"kind":"hello"}'],
        [blocks.encode(Waiting(sources=("kitchen",), detail="")).replace(b'"v":1', b'"v":2')],
        [blocks.encode(Waiting(sources=("../etc",), detail=""))],
        [b"", blocks.encode(Waiting(sources=("kitchen",), detail=""))],
    ],
)
def test_what_is_no_message_is_refused_and_counted(frames: list[bytes], models: list[Model]) -> None:
    with a_daemon(kitchen=models) as (daemon, agent):
        agent.say(*frames)
        (refused,) = agent.answers(1)
        assert daemon.counted("messages.refused") == 1
        agent.hello("t", "kitchen")
        assert len(agent.answers(2)) == 2
    assert isinstance(refused, Refuse)
    assert refused.take == ""
    assert len(refused.reason.splitlines()) == 1
    assert len(refused.reason) <= blocks.MAX_TEXT


@pytest.mark.parametrize("n_bytes", [0, 3, blocks.MAX_BLOCK_BYTES])
def test_a_block_of_an_odd_size_is_refused(n_bytes: int, models: list[Model]) -> None:
    with a_daemon(kitchen=models, porch=models) as (daemon, agent):
        agent.hello("t", "kitchen", "porch")
        header = Block(
            sources=("kitchen", "porch", "attic"),
            take="t-8000",
            first_sample=0,
            sample_rate=8_000,
            captured_at=0.0,
            monotonic=0.0,
        )
        agent.say(blocks.encode(header), b"\0" * n_bytes)
        assert isinstance(agent.answers(3)[-1], Refuse)
        assert daemon.counted("messages.refused") == 1


def test_messages_of_unknown_sources_are_counted(models: list[Model]) -> None:
    with a_daemon(kitchen=models) as (daemon, agent):
        agent.tell(Waiting(sources=("cellar", "kitchen"), detail="no device"))
        agent.block("t", silence(320, 2), 0, "cellar", "kitchen")
        assert daemon.counted("messages.unknown_source") == 2
        assert daemon.sources["kitchen"].status == "starting"


def test_sources_side_by_side_in_one_block_are_heard_apart(models: list[Model]) -> None:
    tone = (tiny_models.tone(8_000, "Low tone") * 32767).astype(np.int16)
    other = (tiny_models.tone(8_000, "High tone") * 32767).astype(np.int16)
    with a_daemon(left=models[:1], right=models[:1]) as (daemon, agent):
        agent.hello("t", "left", "right")
        assert len(agent.answers(1)) == 1
        agent.block("t", np.stack([tone, other], axis=1), 0, "left", "right")
        left, right = daemon.sources.values()
        assert left.n_samples == right.n_samples == 8_000
        assert [event.label for event in left.publisher.open_events("left")] == ["Low tone"]
        assert [event.label for event in right.publisher.open_events("right")] == ["High tone"]


def test_sources_of_one_agent_may_need_different_rates(models: list[Model]) -> None:
    with a_daemon(left=models[:2], right=models[1:]) as (daemon, agent):
        agent.hello("t", "left", "right")
        assert agent.answers(2) == [
            Want(take="t", block_take="t-8000", sample_rate=8_000, n_samples=320),
            Want(take="t", block_take="t-16000", sample_rate=FAST_RATE, n_samples=160),
        ]
        agent.block("t", silence(320, 2), 0, "left", "right")
        agent.block("t", silence(160, 2), 0, "left", "right", rate=FAST_RATE)
        agent.block("t", silence(160, 2), 160, "left", "right", rate=FAST_RATE)
        assert agent.answers(0) == []
        left, right = daemon.sources.values()
        assert (left.n_samples, right.n_samples) == (320, 320)
        assert daemon.counted("blocks.wrong_take") == 0


def test_a_block_may_be_longer_than_wanted_but_not_longer_than_a_second(models: list[Model]) -> None:
    with a_daemon(kitchen=models[:1]) as (daemon, agent):
        agent.hello("t", "kitchen")
        agent.block("t", silence(8_000), 0, "kitchen")
        agent.block("t", silence(1), 8_000, "kitchen")
        assert daemon.sources["kitchen"].n_samples == 8_001
        agent.answers(1)
        agent.block("t", silence(8_001), 8_001, "kitchen")
        assert isinstance(agent.answers(1)[0], Refuse)
        assert daemon.counted("blocks.too_long") == 1
        assert daemon.sources["kitchen"].n_samples == 8_001
        assert daemon.sources["kitchen"].losses.n_samples == 0


@pytest.mark.parametrize("clock_id", ["here", "elsewhere"])
def test_a_daemon_with_more_to_do_than_time_hears_nothing_too_old_whichever_clock_dates_it(
    clock_id: str, models: list[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Six blocks come in each turn, and four can be heard; what is shed takes no time.
    n_sent, n_taken, now, block_seconds = 0, 0, 5000.0, 0.04
    oldest, told_too_small, n_late_turns = 0.0, 0.0, 0
    with a_daemon(kitchen=models[:1]) as (daemon, agent):
        monkeypatch.setattr(sources.time, "monotonic", lambda: now)
        agent.tell(
            Hello(
                sources=("kitchen",),
                take="one",
                host="pi",
                clock_id=clock_id,
                device="a fake",
                native_rate=48_000,
                live=True,
            )
        )
        source = daemon.sources["kitchen"]
        for i in range(500):
            now += 6 * block_seconds
            for _ in range(6):
                header = Block(
                    sources=("kitchen",),
                    take=block_take("one", 8_000),
                    first_sample=n_sent * 320,
                    sample_rate=8_000,
                    captured_at=1.8e9 + n_sent * block_seconds,
                    monotonic=5000.0 + n_sent * block_seconds,
                )
                agent.socket.send_multipart(blocks.encode_block(header, silence(320)))
                n_sent += 1
            n_heard = 0
            while n_heard < (4 if i > 10 else 6) and n_taken < n_sent:
                assert daemon.intake.socket.poll(PATIENCE_MS)
                before = source.n_samples
                daemon.intake.take_in(daemon.sources, 1)
                for listener in source.listeners:
                    daemon._step(listener)
                n_taken += 1
                if source.n_samples > before:
                    n_heard += 1
                    age = now - 5000.0 - n_taken * block_seconds
                    oldest = max(oldest, age)
                    n_late_turns += age > 1
                    if (lag := source.lag_seconds()) is not None:
                        told_too_small = max(told_too_small, age - lag)
            if n_taken == n_sent:
                daemon.intake.take_in(daemon.sources, 1)  # it learns that nothing waits
        assert source.n_samples > 300 * 4 * 320
    assert n_late_turns > 100
    assert oldest <= 2.0 + block_seconds
    assert told_too_small < 0.1


def test_the_latest_hello_wins_and_the_other_agent_is_told_when_that_one_has_left(models: list[Model]) -> None:
    with a_daemon(kitchen=models[:1]) as (daemon, first), a_context() as context:
        first.hello("one", "kitchen")
        first.block("one", silence(320), 0, "kitchen")
        assert len(first.answers(1)) == 1
        second = Agent(context, daemon)
        second.hello("two", "kitchen")
        second.block("two", silence(320), 0, "kitchen")
        first.block("one", silence(320), 320, "kitchen")
        assert first.answers(0) == []
        assert daemon.counted("blocks.wrong_take") == 1
        second.tell(Bye(sources=("kitchen",), take="two", reason="shutdown", detail="stopped"))
        assert second.answers(2)[-1] == Done(take="two")
        first.block("one", silence(320), 640, "kitchen")
        (refused,) = first.answers(1)
        assert isinstance(refused, Refuse)
        assert refused.take == "one-8000"
        first.hello("three", "kitchen")
        first.block("three", silence(320), 0, "kitchen")
        assert daemon.sources["kitchen"].status == "live"


def test_a_bye_is_answered_whatever_it_says(models: list[Model]) -> None:
    with a_daemon(kitchen=models[:1]) as (daemon, agent):
        for sources in (("kitchen",), ("cellar",)):
            agent.tell(Bye(sources=sources, take="of-long-ago", reason="end", detail=""))
            assert agent.answers(1) == [Done(take="of-long-ago")]
        assert daemon.counted("byes.wrong_take") == 1
        assert daemon.sources["kitchen"].status == "starting"


def test_one_turn_takes_in_only_so_much_that_hops_do_not_wait_long(models: list[Model]) -> None:
    with a_daemon(kitchen=models[:1]) as (daemon, flood):
        n_messages = 3 * intake.MAX_MESSAGES
        for _ in range(n_messages):
            flood.socket.send(b"flood")
        counted = 0
        while counted < n_messages:
            daemon.turn()
            assert daemon.counted("messages.refused") - counted <= intake.MAX_MESSAGES
            counted = daemon.counted("messages.refused")


def test_who_was_not_heard_has_said_nothing_once_more_was_heard_than_can_have_waited(models: list[Model]) -> None:
    with a_daemon(kitchen=models[:1]) as (daemon, flood):

        def look_after(n_turns: int) -> bool:
            """Take in so much, with more waiting all the time."""
            for _ in range(n_turns):
                for _ in range(intake.MAX_MESSAGES + 1):
                    flood.socket.send(b"flood")
                daemon.turn()
            assert daemon.intake.socket.poll(PATIENCE_MS)
            return daemon.intake.misses_nobody(1)

        n_turns = intake.QUEUE_BLOCKS // intake.MAX_MESSAGES
        assert daemon.intake.misses_nobody(1), "nothing waits"
        assert not look_after(n_turns)
        assert look_after(1)
        daemon.intake._asked_at -= supervisor.FROZEN_SECONDS  # it was stopped meanwhile: what came then is still unread
        assert not look_after(n_turns)
        while daemon.intake.socket.poll(200):
            daemon.turn()
        assert daemon.intake.misses_nobody(1)
        assert not look_after(1), "what came since may be anybody's"


def test_an_endpoint_that_cannot_be_bound_is_named() -> None:
    with a_context() as context, pytest.raises(EndpointError, match="ipc:///nonexistent/audio"):
        Intake(context, ["ipc:///nonexistent/audio"], Counters())
