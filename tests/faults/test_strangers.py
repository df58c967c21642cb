"""A daemon that is reached over tcp: strangers at its ports, and an agent with a key that floods it."""

from __future__ import annotations

import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import zmq

from streamd import keys
from tests.faults.flooder import WAYS
from tests.faults.harness import faults
from tests.faults.rig import Rig, Scene, running, scene
from tests.faults.test_subscribers import SOURCES, bytes_for, undisturbed
from tests.running import wait_for
from tests.sockets import PATIENCE_SECONDS, Context, a_context, free_port

__all__ = ["scene"]  # a fixture

WORDS = "events", "audio", "control"
HANDSHAKE_SECONDS = 5.0
UNDER_FLOOD_SECONDS = 1.0
"""Flooder and daemon have a core each then, and share them with who listens; what is older would be shed."""


class Reached:
    """A rig whose daemon can be reached at two ports a word: on this machine without keys, from elsewhere with them."""

    def __init__(self, rig: Rig, ports: dict[tuple[str, bool], int], flooder: keys.KeyPair, daemon_key: str) -> None:
        self.rig = rig
        self.ports = ports
        self.flooder = flooder
        self.daemon_key = daemon_key
        self._strangers = 0

    def _not_established(self) -> int:
        counters = self.rig.daemon.status().counters
        return counters["connections.accepted"] - counters["connections.established"]

    def wait_for_strangers(self, n: int) -> None:
        """Wait until n strangers more are counted; who is just being let in is among them for a moment."""
        self._strangers += n
        wait_for(lambda: self._not_established() == self._strangers or None)

    def wait_for(self, count: Callable[[], int], least: int) -> None:
        """Wait until a count is at least so much."""
        wait_for(lambda: True if count() >= least else None)

    def refused(self) -> int:
        return self.rig.daemon.status().counters.get("auth.refused", 0)

    def connect(self, context: Context, kind: int, word: str, pair: keys.KeyPair | None) -> zmq.Socket[bytes]:
        line = context.socket(kind)
        line.setsockopt(zmq.LINGER, 0)
        if pair is not None:
            line.setsockopt_string(zmq.CURVE_SECRETKEY, pair.secret)
            line.setsockopt_string(zmq.CURVE_PUBLICKEY, pair.public)
            line.setsockopt_string(zmq.CURVE_SERVERKEY, self.daemon_key)
        line.connect(f"tcp://127.0.0.1:{self.ports[word, True]}")
        return line


@pytest.fixture(scope="module")
def reached(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    folder: Path = tmp_path_factory.mktemp("config")
    ours = keys.make(folder / "streamd" / "keys")
    flooder = keys.make(folder / "flooder")
    doors = [(word, guarded) for guarded in (False, True) for word in WORDS]
    ports = {door: free_port() for door in doors}
    more = f"  flood: {{remote: true, key: '{flooder.public}'}}\nendpoints:\n" + "".join(
        f"  {word}: [ipc://{word}.sock, tcp://127.0.0.1:{ports[word, False]}, tcp://0.0.0.0:{ports[word, True]}]\n"
        for word in WORDS
    )
    environment = {**os.environ, "XDG_CONFIG_HOME": str(folder)}
    with running(scene, scene.config(*SOURCES, more=more), environment, sources=SOURCES) as rig:
        for name in SOURCES:
            rig.heard(name)
        yield Reached(rig, ports, flooder, ours.public)


def test_garbage_at_any_tcp_port_is_cut_off_and_counted(reached: Reached) -> None:
    how = """random bytes, ZMTP greetings with garbage behind them, HTTP, and nothing at all, at tcp ports with and
        without keys; each is counted as accepted and not as established"""
    with faults("tcp_garbage", 11, "garbage on a tcp port", how, through="real", long=60, short=3) as kept:
        for i in range(kept.n):
            chance = random.Random(i)
            with kept.injection() as one, undisturbed(reached.rig, one):
                port = list(reached.ports.values())[2 * i % len(reached.ports) + i // 3 % 2]
                for _ in range(5):
                    with socket.create_connection(("127.0.0.1", port)) as line, suppress(OSError):
                        line.sendall(bytes_for(chance))
                reached.wait_for_strangers(5)


def test_half_open_connections_are_cut_off_after_the_time_of_a_handshake(reached: Reached) -> None:
    how = "33 connections at once to each of six tcp ports that say nothing; the daemon cuts off all within 10 s"
    with faults("half_open", 11, "half-open connections", how, through="real", long=20) as kept:
        for _ in range(kept.n):
            with kept.injection() as one, undisturbed(reached.rig, one):
                lines = [
                    socket.create_connection(("127.0.0.1", port)) for port in reached.ports.values() for _ in range(33)
                ]
                began = time.monotonic()
                for line in lines:
                    line.settimeout(20.0)
                    with suppress(ConnectionResetError):
                        while line.recv(4096):
                            pass
                    line.close()
                assert time.monotonic() - began < HANDSHAKE_SECONDS + 5
                reached.wait_for_strangers(len(lines))
                one.survived = bool(reached.rig.daemon.status().pid)


def test_keys_that_nobody_authorised_are_refused_and_counted_by_the_hundred(reached: Reached) -> None:
    how = "20 connections with new keys, and with the key of an agent, to what they may not reach; none gets a message"
    with (
        faults("refused_keys", 11, "refused keys", how, through="real", long=30) as kept,
        a_context() as context,
    ):
        for _ in range(kept.n):
            with kept.injection() as one, undisturbed(reached.rig, one):
                before = reached.refused()
                lines = []
                for j in range(20):
                    public, secret = zmq.curve_keypair()
                    stranger = keys.KeyPair(public.decode(), secret.decode())
                    line = reached.connect(context, zmq.SUB, "events", stranger if j % 2 else reached.flooder)
                    line.subscribe("")
                    lines.append(line)
                reached.wait_for(reached.refused, before + 20)
                for line in lines:
                    assert not line.poll(0)
                    line.close()
        kept.notes["connections"] = 20 * len(kept.injections)


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_that_floods_harms_nobody_else(reached: Reached, way: str) -> None:
    how = """a process with an agent's key sends for a second, as fast as the daemon takes it: garbage, hellos, blocks
        of a hop, of the longest that may be, of a recording, or in the name of others"""
    with faults(f"flood_{way}", 11, f"flooding agent ({way})", how, through="real", long=15) as kept:
        rates = []
        for _ in range(kept.n):
            with kept.injection() as one, undisturbed(reached.rig, one, UNDER_FLOOD_SECONDS):
                port = reached.ports["audio", True]
                arguments = [str(port), reached.flooder.secret, reached.daemon_key, way]
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.faults.flooder", *arguments], stdout=subprocess.PIPE, text=True
                )
                out, _err = process.communicate(timeout=PATIENCE_SECONDS)
                assert process.returncode == 0
                rates.append(int(out))
        kept.notes["messages a second (median)"] = statistics.median(rates)
