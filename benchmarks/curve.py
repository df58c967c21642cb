"""Claim: keys cost little: a connection begins some milliseconds later, and a question is answered about as soon."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path

import _harness as harness
import zmq

from streamd import keys, requests
from streamd.requests import StatusRequest

N_CONNECTIONS = 200
N_ROUNDS, N_QUESTIONS = 15, 100


def free_port() -> int:
    """Return a port that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as line:
        return int(line.getsockname()[1])


def main() -> None:
    """Ask one daemon at its two ports in turns."""
    ports = {"plain": free_port(), "CURVE": free_port()}
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    question = requests.encode(StatusRequest())
    with tempfile.TemporaryDirectory() as name:
        ours = keys.make(Path(name) / "streamd" / "keys")
        asker = keys.make(Path(name) / "asker")
        keys.authorize(Path(name) / "streamd" / "keys", asker.public, ["control"])
        config = f"""
sources: {{nobody: {{remote: true}}}}
models: [{{file: speech}}]
endpoints: {{control: ["tcp://127.0.0.1:{ports["plain"]}", "tcp://0.0.0.0:{ports["CURVE"]}"]}}
"""

        def connect(way: str) -> zmq.Socket[bytes]:
            line = context.socket(zmq.REQ)
            line.setsockopt(zmq.LINGER, 0)
            if way == "CURVE":
                line.setsockopt_string(zmq.CURVE_SECRETKEY, asker.secret)
                line.setsockopt_string(zmq.CURVE_PUBLICKEY, asker.public)
                line.setsockopt_string(zmq.CURVE_SERVERKEY, ours.public)
            line.connect(f"tcp://127.0.0.1:{ports[way]}")
            return line

        def ask(line: zmq.Socket[bytes]) -> float:
            begin = time.perf_counter()
            line.send(question)
            if not line.poll(5_000):
                raise RuntimeError("no answer in 5 s")
            line.recv()
            return time.perf_counter() - begin

        with harness.daemon(config, {**os.environ, "XDG_CONFIG_HOME": name}) as daemon:
            daemon.wait_until_it_says("ready after")
            first: dict[str, list[float]] = {way: [] for way in ports}
            for _ in range(N_CONNECTIONS):
                for way in ports:
                    begin = time.perf_counter()
                    with connect(way) as line:
                        ask(line)
                        first[way].append(1000 * (time.perf_counter() - begin))
            later: dict[str, list[float]] = {way: [] for way in ports}
            lines = {way: connect(way) for way in ports}
            for _ in range(N_ROUNDS):
                for way, line in lines.items():
                    later[way].append(1e6 * sum(ask(line) for _ in range(N_QUESTIONS)) / N_QUESTIONS)
            for line in lines.values():
                line.close()
    figures = [
        harness.Figure.of("from connecting to the first answer, plain", first["plain"], "ms"),
        harness.Figure.of("from connecting to the first answer, with keys", first["CURVE"], "ms"),
        harness.Figure.of("a question and its answer, plain", later["plain"], "µs"),
        harness.Figure.of("a question and its answer, with keys", later["CURVE"], "µs"),
    ]
    how = f"""One daemon is asked for its status over loopback at a port that needs no keys and at one that does, in
        turns: {N_CONNECTIONS} new connections each, and {N_ROUNDS} rounds of {N_QUESTIONS} questions on one that
        stays. With keys, a new connection asks the daemon's loop whether it may come in."""
    harness.save(__file__, how, figures)


if __name__ == "__main__":
    main()
