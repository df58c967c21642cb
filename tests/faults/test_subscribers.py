"""Whoever listens, or comes to a port with anything at all: nobody else may lose by it."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import zmq

from tests.faults.harness import Injection, faults
from tests.faults.rig import Rig, Scene, running, scene
from tests.running import wait_for
from tests.sockets import a_context

__all__ = ["scene"]  # a fixture

SOURCES = ["s0", "s1"]
ON_TIME_SECONDS = 1.0
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
"""ZMTP 3.0: who says that is taken for a peer (https://rfc.zeromq.org/spec/23)."""


@contextmanager
def undisturbed(rig: Rig, injection: Injection, on_time_seconds: float = ON_TIME_SECONDS) -> Iterator[None]:
    """Hold that another subscriber loses nothing and hears everything in time, meanwhile and for a moment after."""
    with rig.accounted(injection):
        yield
        told = rig.listen(0.3)
        scores = [one.age_seconds for one in told if one.age_seconds]
        assert scores
        assert max(scores) < on_time_seconds, f"a score was {max(scores):.2f} s old"
        injection.n_hidden += rig.ledger.n_told_missing
        rig.ledger.n_told_missing = 0
    assert not injection.lost_seconds


@pytest.fixture(scope="module")
def rig(scene: Scene) -> Iterator[Rig]:
    with running(scene, scene.config(*SOURCES)) as rig:
        for name in SOURCES:
            rig.heard(name)
        yield rig


def test_a_subscriber_that_never_reads_costs_nobody_else_anything(rig: Rig) -> None:
    how = "a ZeroMQ subscriber of everything, scores included, that never reads; all stay to the end"
    with (
        faults("stuck_subscriber", 11, "stuck subscriber", how, through="real", long=24) as kept,
        a_context() as context,
    ):
        all_stuck = []
        for _ in range(kept.n):
            with kept.injection() as one, undisturbed(rig, one):
                stuck = context.socket(zmq.SUB)
                all_stuck.append(stuck)
                stuck.setsockopt(zmq.RCVHWM, 1)
                stuck.setsockopt(zmq.RCVBUF, 1024)
                stuck.subscribe("")
                stuck.subscribe("score/")
                stuck.connect(rig.daemon.events_at)
                one.survived = bool(rig.daemon.status().pid)


def test_a_thousand_subscribers_come_and_go(rig: Rig) -> None:
    how = "25 subscribers connect, subscribe to this and that and leave again, some before they are let in"
    with (
        faults("passing_subscribers", 11, "subscribers that come and go", how, through="real", long=30) as kept,
        a_context() as context,
    ):
        for i in range(kept.n):
            chance = random.Random(i)
            with kept.injection() as one, undisturbed(rig, one):
                for _ in range(25):
                    passing = context.socket(zmq.SUB)
                    passing.subscribe(chance.choice(["", "event/", "score/", "state/s0/", "x" * 200]))
                    passing.connect(rig.daemon.events_at)
                    if chance.random() < 0.5:
                        passing.poll(20)
                    passing.close(0)
        kept.notes["subscribers"] = 25 * len(kept.injections)


def test_a_listener_that_is_stopped_or_killed_costs_nobody_else_anything(rig: Rig) -> None:
    how = (
        "a `streamd listen` process is stopped (SIGSTOP), killed, or its output closed: what broken consumers look like"
    )
    with faults("dead_consumer", 16, "consumer down", how, through="real", long=21) as kept:
        for i in range(kept.n):
            command = [sys.executable, "-m", "streamd", "listen", "--json", "--endpoint", rig.daemon.events_at]
            listener = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            try:
                with kept.injection() as one, undisturbed(rig, one):
                    assert listener.stdout is not None
                    assert listener.stdout.readline()
                    if i % 3 == 2:
                        listener.stdout.close()
                    else:
                        listener.send_signal((signal.SIGSTOP, signal.SIGKILL)[i % 3])
                    rig.listen(1.0)
            finally:
                listener.kill()
                listener.communicate() if i % 3 != 2 else listener.wait()


def bytes_for(chance: random.Random) -> bytes:
    """Return what somebody might send who speaks no ZeroMQ, or only the beginning of it."""
    noise = chance.randbytes(chance.choice([0, 1, 10, 64, 1000, 100_000]))
    frame = b"\x06" + (1 << 62).to_bytes(8, "big")
    return chance.choice([noise, GREETING + noise, GREETING + frame + noise, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])


def test_garbage_on_any_socket_and_half_open_connections_are_survived(rig: Rig) -> None:
    how = """random bytes, ZMTP greetings with garbage behind them, frames that say they are 4 EiB long, HTTP, and
        connections that say nothing and stay, on the sockets for events, audio and control"""
    folder = rig.daemon.folder
    with faults("garbage", 11, "garbage on a port", how, through="real", long=90, short=3) as kept:
        open_ones: list[socket.socket] = []
        for i in range(kept.n):
            chance = random.Random(i)
            with kept.injection() as one, undisturbed(rig, one):
                for _ in range(5):
                    line = socket.socket(socket.AF_UNIX)
                    line.settimeout(1.0)
                    line.connect(str(folder / f"{('events', 'audio', 'control')[i % 3]}.sock"))
                    with suppress(OSError):  # it may hang up on us
                        line.sendall(bytes_for(chance))
                    open_ones.append(line)
                for line in open_ones[: -20 or None] if chance.random() < 0.3 else []:
                    line.close()
                one.survived = bool(rig.daemon.status().pid)
        for line in open_ones:
            line.close()


def counter_of(rig: Rig, word: str) -> Callable[[], int]:
    """Return what tells how many messages to an endpoint were refused or answered from now on, but for its own."""
    names = {
        "audio": ("messages.refused", "messages.unknown_source", "hellos.refused"),
        "control": ("control.refused", "control.answered"),
    }
    if word not in names:
        return lambda: 20  # ZeroMQ itself takes most of what is no subscription

    def total() -> int:
        counters = rig.daemon.status().counters
        return sum(counters.get(name, 0) for name in names[word])

    before, n_asked = total(), 0

    def counted() -> int:
        nonlocal n_asked
        n_asked += 1
        return total() - before - (n_asked + 1 if word == "control" else 0)  # and the question whether it lives

    return counted


def test_nonsense_in_the_right_wrapping_is_refused_and_counted(rig: Rig) -> None:
    how = """messages of one to four random frames, and true messages with parts changed, over real ZeroMQ sockets to
        audio, control and events; the daemon goes on, and each to audio or control is answered or counted"""
    folder = rig.daemon.folder
    # Of a source that is not there: whoever may speak here may take over one that is.
    true = [
        b'{"kind":"hello","v":1,"sources":["nobody"],"take":"t","host":"h","clock_id":"c","device":"d","native_rate":1,"live":true}',
        b'{"kind":"block","v":1,"sources":["nobody"],"take":"t","first_sample":0,"sample_rate":8000,"captured_at":0,"monotonic":0}',
        b'{"kind":"bye","v":1,"sources":["nobody"],"take":"t","reason":"device","detail":""}',
        b'{"ask":"status"}',
    ]
    with (
        faults("nonsense", 11, "malicious peer", how, through="real", long=90, short=3) as kept,
        a_context() as context,
    ):
        for i in range(kept.n):
            chance = random.Random(i)
            word, kind = (("audio", zmq.DEALER), ("control", zmq.DEALER), ("events", zmq.XSUB))[i % 3]
            with kept.injection() as one, undisturbed(rig, one):
                counted = counter_of(rig, word)
                line = context.socket(kind)
                line.connect(f"ipc://{folder}/{word}.sock")
                for _ in range(20):
                    frames = [chance.randbytes(chance.choice([0, 1, 30, 3000])) for _ in range(chance.randint(1, 4))]
                    if chance.random() < 0.5:
                        message = bytearray(chance.choice(true))
                        at = chance.randrange(len(message) - 1)
                        message[at : at + chance.randint(1, 3)] = chance.randbytes(chance.randint(0, 3))
                        frames[0] = bytes(message)
                    line.send_multipart(frames)
                began = time.monotonic()
                one.survived = bool(rig.daemon.status().pid)
                assert time.monotonic() - began < 1.0
                wait_for(lambda counted=counted: True if counted() >= 20 else None)
                line.close(0)
        kept.notes["messages"] = 20 * len(kept.injections)
