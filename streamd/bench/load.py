"""The load: one process that speaks the protocol of many agents, each with a connection of its own.

Every agent has a take and sends its blocks in real time, at its own phase of a block. A block that ZeroMQ doesn't take,
because the daemon has not fetched those of two seconds, is dropped, and the next one says so.

On its standard output: a line when all agents begin to send, and an answer to each line of its standard input, an
`Asked` in JSON.
"""

from __future__ import annotations

import math
import os
import select
import socket
import sys
import time
from dataclasses import dataclass

import msgspec
import numpy as np
import zmq

from streamd import endpoints
from streamd.bench.jobs import LoadJob, tell
from streamd.bench.pace import Sounds, sleep_until, turns
from streamd.blocks import Block, Bye, Hello, Want, decode_answer, encode, encode_block
from streamd.capture.clock import clock_id, wall_offset
from streamd.errors import EndpointError
from streamd.lags import Lags
from streamd.requests import LagReport

QUEUE_SECONDS = 2.0
"""What waits for a daemon at most, as in a real agent."""
ANSWER_SECONDS = 30.0
"""How long the daemon may take to answer all hellos."""
LEAD_SECONDS = 0.2
"""Between the last answer and the first block."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A line of standard input."""

    n_sources: int | None = None
    """From now on only so many of the sources; the other agents say bye. None leaves them as they are."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: everything since the beginning."""

    n_blocks: int
    n_unsent: int
    """Blocks that ZeroMQ did not take."""
    late: LagReport
    """How long after its time each block was sent."""


@dataclass(eq=False)
class _Agent:
    sources: tuple[str, ...]
    take: str
    socket: zmq.Socket[bytes]
    n_lost: int = 0
    """Samples since the last block that was sent."""


def run(job: LoadJob) -> int:
    """Speak for all agents until standard input ends."""
    n_agents = math.ceil(len(job.sources) / job.n_per_agent)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, n_agents + 8)
    try:
        groups = [job.sources[i : i + job.n_per_agent] for i in range(0, len(job.sources), job.n_per_agent)]
        agents = [_agent(context, job.endpoint, group) for group in groups]
        want = _wants(agents)
        sounds = Sounds(len(job.sources), want.sample_rate, want.n_samples, job.seed)
        _Sender(job, agents, want, sounds).send()
    finally:
        context.destroy(linger=0)
    return 0


def _agent(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, sources: tuple[str, ...]) -> _Agent:
    """Connect an agent; it has not said anything yet."""
    one = context.socket(zmq.DEALER)
    endpoints.connect(one, endpoint)
    return _Agent(sources, os.urandom(6).hex(), one)


def _wants(agents: list[_Agent]) -> Want:
    """Say hello for all agents and return what is wanted of them.

    Raises:
        EndpointError: some are refused or not answered.
    """
    host, clock = socket.gethostname(), clock_id()
    for agent in agents:
        hello = Hello(
            sources=agent.sources,
            take=agent.take,
            host=host,
            clock_id=clock,
            device="streamd bench",
            native_rate=0,
            live=True,
        )
        agent.socket.send(encode(hello))
    deadline = time.monotonic() + ANSWER_SECONDS
    want: Want | None = None
    for agent in agents:
        if not agent.socket.poll(max(0, round(1000 * (deadline - time.monotonic())))):
            raise EndpointError(f"no daemon answered all of {len(agents)} agents in {ANSWER_SECONDS:g} s")
        answer = decode_answer(agent.socket.recv_multipart())
        if not isinstance(answer, Want):
            raise EndpointError(f"the daemon answered a hello by {answer}")
        # Now that it is known how long a block is.
        agent.socket.setsockopt(zmq.SNDHWM, max(1, round(QUEUE_SECONDS * answer.sample_rate / answer.n_samples)))
        want = answer
    if want is None:
        raise EndpointError("a load without sources")
    return want


class _Sender:
    """All agents while they send."""

    def __init__(self, job: LoadJob, agents: list[_Agent], want: Want, sounds: Sounds) -> None:
        self._job = job
        self._agents = agents
        self._want = want
        self._sounds = sounds
        self._late = Lags()
        self._n_blocks = self._n_unsent = 0
        self._n_active = len(agents)

    def send(self) -> None:
        """Send until standard input ends."""
        block_seconds = self._want.n_samples / self._want.sample_rate
        begin = time.monotonic() + LEAD_SECONDS
        wall = wall_offset()
        tell("sends")
        for i, number, when in turns(len(self._agents), block_seconds, begin, self._job.seed):
            if i >= self._n_active:
                continue
            late = sleep_until(when)
            self._late.add(late)
            self._send_block(i, number, when - block_seconds, wall)
            if select.select([sys.stdin], [], [], 0)[0] and not self._heed(sys.stdin.readline()):
                return

    def _send_block(self, i: int, number: int, captured: float, wall: float) -> None:
        agent, want = self._agents[i], self._want
        first = i * self._job.n_per_agent
        pcm = [self._sounds.block(first + j, number) for j in range(len(agent.sources))]
        header = Block(
            sources=agent.sources,
            take=f"{agent.take}-{want.sample_rate}",
            first_sample=number * want.n_samples,
            sample_rate=want.sample_rate,
            captured_at=wall + captured,
            monotonic=captured,
            n_lost=agent.n_lost,
            flags=("agent_queue",) if agent.n_lost else (),
        )
        try:
            agent.socket.send_multipart(
                encode_block(header, pcm[0] if len(pcm) == 1 else np.stack(pcm, 1)), zmq.NOBLOCK
            )
            self._n_blocks += 1
            agent.n_lost = 0
        except zmq.Again:
            self._n_unsent += 1
            agent.n_lost += want.n_samples

    def _heed(self, line: str) -> bool:
        """Answer a line; tell whether there was one."""
        if not line:
            return False
        asked = msgspec.json.decode(line, type=Asked)
        if asked.n_sources is not None:
            n_active = math.ceil(asked.n_sources / self._job.n_per_agent)
            for agent in self._agents[n_active : self._n_active]:
                bye = Bye(sources=agent.sources, take=agent.take, reason="end", detail="no longer needed")
                agent.socket.send(encode(bye))
            self._n_active = n_active
        tell(Sent(n_blocks=self._n_blocks, n_unsent=self._n_unsent, late=self._late.report()))
        return True
