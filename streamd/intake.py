"""The daemon's ear: a ZeroMQ ROUTER that hears every agent and hands what they say to the sources."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
import zmq

from streamd import blocks, endpoints
from streamd.blocks import Block, Bye, Done, Hello, Refuse, Waiting, Want
from streamd.counters import Counters
from streamd.errors import MessageError
from streamd.gate import Gate
from streamd.sources import LiveSource
from streamd.supervisor import FROZEN_SECONDS

MAX_MESSAGES = 32
"""Messages taken in before hops are run: a recording sent as fast as possible must not hold up the rest."""
QUEUE_BLOCKS = 64
"""Blocks that wait in the socket for each agent; its own queue holds the rest and sheds by the loss rule."""

# As plain numbers: pyzmq's own, which are enumerations, cost more than what they ask for.
_EVENTS, _POLLIN, _NOBLOCK = int(zmq.EVENTS), int(zmq.POLLIN), int(zmq.NOBLOCK)


class Intake:
    """Receives from agents and answers them; it never waits.

    Raises:
        EndpointError: an endpoint can't be bound.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        listen_at: Sequence[str],
        counters: Counters,
        gate: Gate | None = None,
    ) -> None:
        self._counters = counters
        self._senders: dict[str, bytes] = {}
        """Whose hello was accepted last, by source."""
        self._gate = gate
        self._n_taken = 0
        self._is_behind = False
        """Whether the last turn left something unread."""
        self._asked_at = 0.0
        self._key: str | None = None
        """Who sent the last message; None: somebody on this machine, who needs no key."""
        self.socket = context.socket(zmq.ROUTER)
        """For the daemon's poller: readable when an agent said something."""
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVHWM, QUEUE_BLOCKS)
        self.socket.setsockopt(zmq.MAXMSGSIZE, blocks.MAX_BLOCK_BYTES)
        # No heartbeats from this end: libzmq 4.3.5 ends its process when it is to send one to a peer that died while
        # its messages wait unread (out_event of stream_engine_base.cpp). Those of the agents say for how long they
        # hold, which tells both ends of the other's end (capture/link.py).
        self.socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        # Who connects and says nothing is soon gone.
        self.socket.setsockopt(zmq.HANDSHAKE_IVL, endpoints.HANDSHAKE_MS)
        if gate is None:
            endpoints.bind_all(self.socket, listen_at)
        else:
            gate.bind("audio", self.socket, listen_at)

    def take_in(self, sources: Mapping[str, LiveSource], most: int = MAX_MESSAGES) -> bool:
        """Take in what waits, at most so many messages, and hand it to the sources it is about; tell if it was all."""
        for _ in range(most):
            if not int(self.socket.get(_EVENTS)) & _POLLIN:
                self._is_behind = False
                return True
            sender, *frames = self._receive()
            self._n_taken += 1
            try:
                message, pcm = blocks.decode_said(frames)
            except MessageError as error:
                self._counters.add("messages.refused")
                self._refuse(sender, "", str(error))
                continue
            if self._gate is not None and self._gate.socket is not None and not self._may_speak(sender, message):
                continue
            if isinstance(message, Block):
                self._hear(sender, message, pcm, sources)
            elif isinstance(message, Hello):
                self._welcome(sender, message, sources)
            elif self._knows(message, sources):
                for name in message.sources:
                    if isinstance(message, Waiting):
                        sources[name].wait(message.detail)
                    else:
                        sources[name].end(message)
            if isinstance(message, Bye):
                self._reply(sender, Done(take=message.take))
        self._is_behind = True
        return False

    def misses_nobody(self, n_sources: int) -> bool:
        """Tell whether who was not heard has said nothing, as far as it can be; to be asked every second.

        That is so where nothing waits unread. And where there always is something, of a recording that is played as
        fast as it is heard: a ROUTER takes from everybody in turns, so once more was taken than may have waited of all
        sources, what waits now is not from who was not heard.
        """
        is_empty = not self.socket.poll(0)
        now = time.monotonic()
        if is_empty or now - self._asked_at > FROZEN_SECONDS:
            self._n_taken = 0
        self._asked_at = now
        return is_empty or self._n_taken > QUEUE_BLOCKS * n_sources

    def _receive(self) -> list[memoryview]:
        """Return the frames of the next message: views of ZeroMQ's memory, at half the price of copies."""
        frames: list[memoryview] = []
        more = True
        while more:
            frame = self.socket.recv(_NOBLOCK, False)
            if not frames and self._gate is not None and self._gate.socket is not None:
                self._key = self._gate.key_of(frame)
            frames.append(frame.buffer)
            more = frame.more
        return frames

    def _may_speak(self, sender: memoryview, message: blocks.Said) -> bool:
        """Tell whether whoever sent the last message may speak for all its sources; if not, they are told."""
        if self._gate is None:
            return True
        forbidden = [name for name in message.sources if not self._gate.may_speak(self._key, name)]
        if forbidden:
            take = message.take if isinstance(message, Hello | Block) else ""
            reason = f"{'this key' if self._key else 'who has no key'} may not speak for {', '.join(forbidden)}"
            self._refuse(sender, take, reason)
        return not forbidden

    def _knows(self, message: Waiting | Bye | Block, sources: Mapping[str, LiveSource]) -> bool:
        n_unknown = sum(name not in sources for name in message.sources)
        if n_unknown:
            self._counters.add("messages.unknown_source", n_unknown)
        return not n_unknown

    def _hear(
        self, sender: memoryview, block: Block, pcm: blocks.Pcm | None, sources: Mapping[str, LiveSource]
    ) -> None:
        if pcm is None or not self._knows(block, sources):
            return
        # Turned round once: of samples that lie side by side, each would fetch those of all.
        for name, samples in zip(block.sources, np.ascontiguousarray(pcm.T), strict=True):
            if not sources[name].hear(block, samples, is_behind=self._is_behind):
                self._refuse(sender, block.take, "this take is over; begin another")

    def _welcome(self, sender: memoryview, hello: Hello, sources: Mapping[str, LiveSource]) -> None:
        unknown = [name for name in hello.sources if name not in sources]
        if unknown:
            self._counters.add("hellos.refused")
            reason = f"no source is called {', '.join(unknown)}; the configuration has {', '.join(sources)}"
            self._refuse(sender, hello.take, reason)
            return
        for name in hello.sources:
            sources[name].begin(hello)
            self._senders[name] = bytes(sender)
        for want in merged(want for name in hello.sources for want in sources[name].wants(hello.take)):
            self._reply(sender, want)

    def answer(self, source: str, answer: blocks.Answered) -> None:
        """Say something to the agent whose hello for a source was accepted last, if there is one."""
        if (sender := self._senders.get(source)) is not None:
            self._reply(sender, answer)

    def _refuse(self, to: memoryview, take: str, reason: str) -> None:
        # Cut off: some of it is what they said themselves.
        self._reply(to, Refuse(take=take, reason=reason[: blocks.MAX_TEXT]))

    def _reply(self, to: memoryview | bytes, answer: blocks.Answered) -> None:
        # A router drops what it can't deliver: an agent that went away says hello again.
        self.socket.send_multipart([bytes(to), blocks.encode(answer)], zmq.NOBLOCK)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def merged(wants: Iterable[Want]) -> list[Want]:
    """Return what is wanted of an agent for all its sources: for each rate the shortest block."""
    by_rate: dict[int, Want] = {}
    for want in wants:
        other = by_rate.get(want.sample_rate, want)
        by_rate[want.sample_rate] = msgspec.structs.replace(want, n_samples=min(want.n_samples, other.n_samples))
    return list(by_rate.values())
