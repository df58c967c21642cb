"""Claim: detector and daemon cost little more than the log-mel and the network that they run.

The baseline is a bare loop: the same log-mel and the same bound onnxruntime calls, in the same shapes of batches, on
samples that lie in memory, and nothing else. The daemon hears blocks that come as fast as it takes them.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import _harness as harness
import numpy as np
import zmq
from numpy.typing import NDArray

from streamd.blocks import Block, Hello, Want, decode_answer, encode, encode_block
from streamd.bound import Bound
from streamd.capture.clock import clock_id
from streamd.counters import Counters
from streamd.detector import MAX_BATCH, Detector
from streamd.intake import Intake
from streamd.listeners import Listener
from streamd.model import Model
from streamd.publish import Publisher
from streamd.rows import Frames
from streamd.shipped import model_file
from streamd.sources import LiveSource

N_SOURCES = 64
N_HOPS = 40
N_ROUNDS = 9
N_DIFFERENT = 4
N_PER_AGENT = 16
SCALE = np.float32(1 / 32768)
Pcm = NDArray[np.int16]


def bare(model: Model, blocks: list[Pcm]) -> harness.Work:
    """Return the work of N_HOPS hops of all sources: log-mel, state, network."""
    facts = model.manifest
    if facts.log_mel is None:
        raise SystemExit("the model speech hears samples; expected log-mel")
    bound, frames = Bound(model, MAX_BATCH), Frames(facts.log_mel, facts.hop_frames)
    frames.join(N_SOURCES - 1)
    batches = [np.arange(i, min(i + MAX_BATCH, N_SOURCES)) for i in range(0, N_SOURCES, MAX_BATCH)]

    def work() -> None:
        for k in range(N_HOPS):
            samples = blocks[k % N_DIFFERENT] * SCALE
            for rows in batches:
                run = bound.of(len(rows))
                run.inputs[:] = frames.of(rows, samples[rows[0] : rows[-1] + 1], np.zeros(len(rows), np.int64))
                if run.state is not None and run.state_out is not None:
                    run.state[:] = run.state_out
                run()

    return work


def detector(model: Model, blocks: list[Pcm]) -> harness.Work:
    """Return the same work of a detector."""
    one = Detector(model)
    names = [f"source-{i}" for i in range(N_SOURCES)]
    for name in names:
        one.start(name)

    def work() -> None:
        for k in range(N_HOPS):
            for name, block in zip(names, blocks[k % N_DIFFERENT], strict=True):
                one.push(name, block)
            deque(one.step(), 0)

    return work


def threads() -> set[str]:
    """Return the threads of this process."""
    return {task.name for task in Path("/proc/self/task").iterdir()}


class Daemon:
    """The daemon's ear, sources, detector and mouth, in this process; what it hears comes over ZeroMQ."""

    def __init__(self, folder: Path, model: Model, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        before = threads()
        counters = Counters()
        names = tuple(f"source-{i}" for i in range(N_SOURCES))
        self.endpoint = f"ipc://{folder}/audio"
        self.intake = Intake(context, [self.endpoint], counters)
        self.publisher = Publisher(context, [f"ipc://{folder}/events"], "run", "host", counters)
        self._threads = threads() - before
        self._listener = Listener(0, Detector(model), names)
        self.sources = {
            name: LiveSource(
                name=name,
                listeners=[self._listener],
                publisher=self.publisher,
                counters=counters,
                step=lambda _: None,  # nothing here is lost or ends
                clock_id=clock_id(),
                max_lag_seconds=60.0,
            )
            for name in names
        }

    def cpu_seconds(self) -> float:
        """CPU time so far of this thread and of ZeroMQ's that work for the daemon."""
        stats = (Path(f"/proc/self/task/{thread}/schedstat").read_text() for thread in self._threads)
        return time.thread_time() + sum(int(stat.split()[0]) for stat in stats) / 1e9

    def step(self) -> int:
        """Run what is ready; return how many hops that were."""
        n_heard = 0
        for hop in self._listener.detector.step():
            self.sources[hop.source].heard(self._listener, hop)
            n_heard += 1
        return n_heard


class Agents:
    """The agents, in this process too: only what the daemon does meanwhile is measured."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], daemon: Daemon, blocks: list[Pcm], n_per_agent: int
    ) -> None:
        self._blocks, self._n_per_agent = blocks, n_per_agent
        self._number = 0
        names = tuple(daemon.sources)
        self._agents: list[tuple[tuple[str, ...], zmq.Socket[bytes], Want]] = []
        for i in range(0, N_SOURCES, n_per_agent):
            socket = context.socket(zmq.DEALER)
            socket.connect(daemon.endpoint)
            group = names[i : i + n_per_agent]
            hello = Hello(
                sources=group, take=str(i), host="host", clock_id=clock_id(), device="", native_rate=0, live=True
            )
            socket.send(encode(hello))
            while not socket.poll(5):
                daemon.intake.take_in(daemon.sources)
            answer = decode_answer(socket.recv_multipart())
            if not isinstance(answer, Want):
                raise RuntimeError(f"the hello of {group} was answered by {answer}")
            self._agents.append((group, socket, answer))

    def send(self) -> None:
        """Send a block of every agent."""
        pcm = self._blocks[self._number % N_DIFFERENT]
        for i, (group, socket, want) in enumerate(self._agents):
            header = Block(
                sources=group,
                take=want.block_take,
                first_sample=self._number * want.n_samples,
                sample_rate=want.sample_rate,
                captured_at=time.time(),
                monotonic=time.monotonic() - want.n_samples / want.sample_rate,
            )
            first = i * self._n_per_agent
            socket.send_multipart(encode_block(header, pcm[first : first + self._n_per_agent].T))
        self._number += 1


def daemon_seconds(daemon: Daemon, agents: Agents) -> float:
    """Return the CPU time of N_HOPS hops of all sources, from a message on its way to events sent."""
    spent = 0.0
    for _ in range(N_HOPS):
        began = daemon.cpu_seconds()
        sending = time.thread_time()
        agents.send()
        sending = time.thread_time() - sending
        n_heard = 0
        while n_heard < N_SOURCES:
            daemon.intake.socket.poll(1000)
            daemon.intake.take_in(daemon.sources)
            n_heard += daemon.step()
        spent += daemon.cpu_seconds() - began - sending
    return spent


@contextmanager
def rig(model: Model, blocks: list[Pcm], n_per_agent: int) -> Iterator[tuple[Daemon, Agents]]:
    """Make a daemon and its agents, all heard already."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    others: zmq.Context[zmq.Socket[bytes]] = zmq.Context()  # with threads of their own
    try:
        with tempfile.TemporaryDirectory(prefix="sd-") as folder:
            daemon = Daemon(Path(folder), model, context)
            agents = Agents(others, daemon, blocks, n_per_agent)
            for _ in range(model.manifest.n_cold_hops + model.manifest.n_warmup_hops):
                agents.send()
                deadline = time.monotonic() + 0.2
                while time.monotonic() < deadline and daemon.intake.socket.poll(20):
                    daemon.intake.take_in(daemon.sources)
                    daemon.step()
            yield daemon, agents
    finally:
        others.destroy(linger=0)
        context.destroy(linger=0)


def main() -> None:
    """Measure, in turns."""
    model = Model(model_file("speech"), "cpu")
    rng = np.random.default_rng(0)
    shape = N_SOURCES, model.manifest.hop_samples
    blocks = [(300 * rng.standard_normal(shape)).astype(np.int16) for _ in range(N_DIFFERENT)]
    works = {"bare loop": bare(model, blocks), "detector": detector(model, blocks)}
    daemons = {f"daemon, {N_SOURCES // n} agents of {n}": n for n in (1, N_PER_AGENT)}
    found: dict[str, list[float]] = {name: [] for name in (*works, *daemons)}
    with ExitStack() as stack:
        rigs = {name: stack.enter_context(rig(model, blocks, n)) for name, n in daemons.items()}
        for work in works.values():
            work()
        for _ in range(N_ROUNDS):
            for name, work in works.items():
                began = time.thread_time()
                work()
                found[name].append(time.thread_time() - began)
            for name, (daemon, agents) in rigs.items():
                found[name].append(daemon_seconds(daemon, agents))
    bare_loop = found["bare loop"]
    figures = [
        harness.Figure.of(
            f"{name}, hot, {N_SOURCES} sources: CPU ÷ bare loop of log-mel and network",
            harness.ratios(found[name], bare_loop),
            "×",
            "≤ 1.4",
        )
        for name in ("detector", *daemons)
    ]
    table = [
        {"a hop of one source by": name, "CPU, µs": round(1e6 * statistics.median(times) / N_HOPS / N_SOURCES, 1)}
        for name, times in found.items()
    ]
    how = f"""The speech model, {N_SOURCES} sources, {N_HOPS} hops of each a round, {N_ROUNDS} rounds in turns, one
        process; CPU time. The bare loop computes the log-mel of {MAX_BATCH} sources at a time with the daemon's code
        and runs the network on memory that onnxruntime is bound to, and does nothing else. The detector is handed the
        same samples source by source. The daemon's parts (ROUTER, decoding, sources, detector, decision, publisher)
        take them from messages over ipc, of agents with a source each, or with {N_PER_AGENT} side by side in a block;
        the daemon's ZeroMQ threads are counted in, the agents and theirs are not. Aimed at: 1.15."""
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    main()
