"""The agent: opens an input, says hello, and sends the blocks that the daemon wants.

One thread, one loop. The read of a live input paces it; what is not live waits until the daemon has
taken what was sent. Nothing here ends because the daemon or a device does: both come back.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Literal

from streamd.blocks import Answered, Bye, Done, Hello, Refuse, Waiting, encode
from streamd.capture import parent
from streamd.capture.audio import LONGEST_READ_SECONDS, AudioInput, EndOfAudio
from streamd.capture.clock import clock_id
from streamd.capture.link import Link
from streamd.capture.outbox import Outbox
from streamd.capture.renewal import MOST_LOOKS, heed_signals, renew
from streamd.capture.specs import Command, Microphone, Recording, Spec
from streamd.capture.stream import BlockStream
from streamd.errors import DeviceError, EndpointError, MessageError, RecordingError, UsageError
from streamd.events import SOURCE_NAME
from streamd.wall import WallClock

log = logging.getLogger("streamd.capture")

TURN_SECONDS = 0.25
"""The loop sleeps no longer, to see signals."""
ANSWER_SECONDS = 3.0
"""A hello without an answer is said again after this long."""
REFUSED_SECONDS = 5.0
"""A hello that was refused is said again after this long: a daemon may get another configuration."""
PROMPT_SECONDS = 0.2
"""What a daemon takes to answer if it is not busy; audio waits in the sound system meanwhile."""
SIBLING_SECONDS = 0.01
"""Wants for several rates come at once."""
WAITING_SECONDS = 2.0
"""While there is no device, the daemon is told so this often: it sees that the agent lives."""
FIRST_PAUSE_SECONDS = 1.0
HEALTHY_SECONDS = 10.0
"""An input that ran this long is opened again after the first pause."""
LONGEST_PAUSE_SECONDS = {Microphone: 3.0, Command: 30.0, Recording: 4.0}
IDLE_READ_SECONDS = 0.05
SHORTEST_READ_SECONDS = 0.01
LAST_WORD_SECONDS = 0.2
"""On SIGTERM: how long what waits may take to leave, and again to arrive."""
STOPPED = 143
"""Exit code of a child that was asked to end (what a shell says of SIGTERM): its daemon, if that is still there and
did not ask, starts it again."""
HANG_SECONDS = 15.0
"""PortAudio may never return from a call. A process that turns no loop for this long is ended by SIGALRM."""


def run(source: str, spec: Spec, endpoint: str, *, child_of: int | None = None, keys_folder: Path | None = None) -> int:
    """Capture until the recording is over, or SIGTERM or SIGINT; return the exit code: 0, or STOPPED of a child.

    Args:
        source: name of the source.
        spec: what is captured.
        endpoint: the daemon's endpoint for audio.
        child_of: process id of the daemon that started this process, to die with it. Its death is also
            seen from the end of standard input.
        keys_folder: where keys are for a daemon beyond this machine; None is the user's.

    Raises:
        UsageError: the name of the source is none.
        KeysError: the daemon is beyond this machine, and our keys or its lack.
        EndpointError: the endpoint is none, or the daemon went away before it had all of a recording.
        RecordingError: the recording can't be read, or not to its end.
        DeviceError: this process is to begin anew, and can't.
    """
    if child_of is not None:
        # Not SIGKILL: a command is asked to end before it is killed.
        parent.die_with(child_of, signal.SIGTERM)
    if not SOURCE_NAME.fullmatch(source):
        raise UsageError(f"source name {source[:80]!r}; expected lower-case letters, digits and -, at most 63")
    stopping = _stop_on_signals(is_child=child_of is not None)
    link = Link(endpoint, source, keys_folder)
    agent = Agent(source, spec, link, stopping)
    try:
        is_over = agent.work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        agent.close()
        link.close(round(LAST_WORD_SECONDS * 1000))
    if agent.is_worn:
        renew(stopping)
    return 0 if is_over or child_of is None else STOPPED


class Agent:
    """What an agent knows between two turns of its loop."""

    def __init__(self, source: str, spec: Spec, link: Link, stopping: Callable[[], bool]) -> None:
        self._source = source
        self._spec = spec
        self._link = link
        self._stopping = stopping
        self._host = socket.gethostname()
        self._clock_id = clock_id()
        self._wall = WallClock()

        self._audio: AudioInput | None = None
        self._opened_at = self._open_at = self._waiting_at = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        self._lacks = ""
        """Why there is no input."""
        self._n_looks = 0
        self._was_wanted = False

        self._take: str | None = None
        self._hello_at = 0.0
        self._silent_since: float | None = time.monotonic()
        self._complaint = ""
        self._streams: dict[int, BlockStream] = {}
        self._outbox = Outbox(live=not (isinstance(spec, Recording) and spec.fast))

    def work(self) -> bool:
        """Work until the audio is over, which is True, or a signal ends it, or it is worn; errors as `run`."""
        while not (self._stopping() or self.is_worn):
            signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
            try:
                self._turn()
            except EndOfAudio:
                self._hand_over_all(self._end("end", "the recording is over"))
                return True
            except RecordingError as error:
                self._hand_over_all(self._end("device", str(error)))
                self._link.wait(LAST_WORD_SECONDS, to_send=True)  # it may not yet be connected
                self._lacks = str(error)
                self._say_waiting()
                raise
        self._end("shutdown", "the agent was stopped")
        return False

    @property
    def is_worn(self) -> bool:
        """Whether it has looked for its microphone so often that its process is to be renewed, and has none now."""
        return self._n_looks >= MOST_LOOKS and self._audio is None and isinstance(self._spec, Microphone)

    def close(self) -> None:
        """Let go of the input."""
        if self._audio is not None:
            self._audio.close()
            self._audio = None

    def _turn(self) -> None:
        if self._link.was_lost():
            log.warning("%s: the daemon at %s is gone", self._source, self._link.endpoint)
            self._forget_take()
            self._waiting_at = 0.0
        self._heed_answers()
        self._send()
        if self._audio is None:
            self._look_for_device()
            return
        if not self._streams and self._say_hello(self._audio):
            self._link.wait(PROMPT_SECONDS)
        elif self._may_read(self._audio):
            self._capture(self._audio)
        else:
            self._link.wait(TURN_SECONDS, to_send=bool(self._outbox))

    # Towards the daemon

    def _heed_answers(self) -> None:
        were = bool(self._streams)
        for answer in self._link.answers():
            self._heed(answer)
        if self._streams and not were:
            self._was_wanted = True
            self._link.wait(SIBLING_SECONDS)
            for answer in self._link.answers():
                self._heed(answer)

    def _heed(self, answer: Answered | MessageError) -> None:
        if isinstance(answer, MessageError) or (isinstance(answer, Refuse) and not answer.take):
            # One of us doesn't understand the other.
            self._complain(str(answer) if isinstance(answer, MessageError) else f"refused: {answer.reason}")
            self._hello_at = time.monotonic() + REFUSED_SECONDS
            return
        takes = {self._take, *(stream.want.block_take for stream in self._streams.values())}
        if isinstance(answer, Done) or answer.take not in takes or self._audio is None:
            return  # to a hello that another one followed
        self._silent_since = None
        if isinstance(answer, Refuse):
            self._complain(f"refused: {answer.reason}")
            self._forget_take()
            self._hello_at = time.monotonic() + REFUSED_SECONDS
            return
        stream = self._streams.get(answer.sample_rate)
        if stream is None:
            self._complaint = ""
            self._streams[answer.sample_rate] = BlockStream(self._source, answer, self._audio.clock, self._wall)
        elif stream.want != answer:
            self._forget_take()

    def _say_hello(self, audio: AudioInput) -> bool:
        """Say hello if it is time to; tell whether it was said."""
        now = time.monotonic()
        if self._silent_since is not None and now - self._silent_since > ANSWER_SECONDS:
            self._complain(self._link.problem or f"no daemon answers at {self._link.endpoint}; goes on asking")
        if now < self._hello_at or self._outbox:
            return False
        take = os.urandom(6).hex()
        hello = Hello(
            sources=(self._source,),
            take=take,
            host=self._host,
            clock_id=self._clock_id,
            device=audio.device,
            native_rate=audio.clock.sample_rate,
            live=audio.live,
        )
        if not self._link.send([encode(hello)]):
            return False
        self._take = take
        self._hello_at = now + ANSWER_SECONDS
        self._silent_since = self._silent_since or now
        return True

    def _complain(self, line: str) -> None:
        """Log a line that would otherwise be logged every few seconds."""
        if line != self._complaint:
            log.warning("%s: %s", self._source, line)
        self._complaint = line

    def _forget_take(self) -> None:
        """The take is over and nobody is left to be told: the next hello begins another."""
        self._take = None
        self._streams = {}
        self._outbox.clear()
        self._hello_at = 0.0

    def _send(self) -> None:
        while self._outbox and self._link.send(self._outbox.first()):
            self._outbox.drop_first()

    def _end(self, reason: Literal["end", "device", "shutdown"], detail: str) -> str | None:
        """End the take: what is left of it, and then the bye, are on their way; return the take, if there was one."""
        take = self._take if self._streams else None
        for stream in self._streams.values():
            for cut in stream.finish():
                self._outbox.add(cut)
        if take is not None:
            bye = Bye(sources=(self._source,), take=take, reason=reason, detail=detail)
            self._outbox.add(bye)
            if reason == "shutdown":
                self._send_for(LAST_WORD_SECONDS)
                if self._outbox:
                    self._link.send([encode(bye)])
        self._take = None
        self._streams = {}
        self._hello_at = 0.0
        return take

    def _send_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self._send()
        while self._outbox and (left := deadline - time.monotonic()) > 0:
            self._link.wait(left, to_send=True)
            self._send()

    def _hand_over_all(self, take: str | None) -> None:
        """Wait until the daemon says that it has all of the take, or a signal ends that.

        What was sent is not yet there: ZeroMQ drops what its receiver has not taken in when we go away.
        """
        signal.setitimer(signal.ITIMER_REAL, 0)
        while take is not None and not self._stopping():
            self._send()
            if any(isinstance(answer, Done) and answer.take == take for answer in self._link.answers()):
                return
            if self._link.was_lost():
                raise EndpointError(f"the daemon at {self._link.endpoint} went away before it had all of the recording")
            self._link.wait(TURN_SECONDS, to_send=bool(self._outbox))

    # Towards the input

    def _may_read(self, audio: AudioInput) -> bool:
        if not audio.live:
            return bool(self._streams) and not self._outbox
        return bool(self._streams) or self._was_wanted or not audio.can_wait

    def _capture(self, audio: AudioInput) -> None:
        """Read until the next block is whole, about; without a daemon, read and forget."""
        rate = audio.clock.sample_rate
        lacking = [stream.n_lacking for stream in self._streams.values()]
        n_samples = max(min(lacking, default=round(IDLE_READ_SECONDS * rate)), round(SHORTEST_READ_SECONDS * rate))
        try:
            piece = audio.read(min(n_samples, round(LONGEST_READ_SECONDS * rate)))
        except DeviceError as error:
            self._end("device", str(error))
            self.close()
            self._wait_for_device(str(error))
            return
        if piece is None:
            return
        for stream in self._streams.values():
            before = stream.lose(audio.clock.position - len(piece.samples)) if piece.n_lost else []
            for cut in before + stream.push(piece.samples, piece.dead_channels):
                self._outbox.add(cut)
        self._send()

    def _look_for_device(self) -> None:
        now = time.monotonic()
        if now < self._open_at:
            if now >= self._waiting_at:
                self._say_waiting()
            self._link.wait(min(TURN_SECONDS, self._open_at - now))
            return
        self._n_looks += 1
        try:
            self._audio = _open(self._spec, self._source, self._stopping)
        except DeviceError as error:
            self._wait_for_device(str(error))
            return
        self._lacks = ""
        self._opened_at = time.monotonic()
        if self._silent_since is not None:
            self._silent_since = self._opened_at  # until now there was nothing to answer
        audio = self._audio
        log.info("%s: captures %s at %d Hz", self._source, audio.device, audio.clock.sample_rate)

    def _wait_for_device(self, detail: str) -> None:
        """Say what is missing, and look for it again after a pause."""
        now = time.monotonic()
        if self._opened_at and now - self._opened_at > HEALTHY_SECONDS:
            self._pause = FIRST_PAUSE_SECONDS
        self._opened_at = 0.0
        self._open_at = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS[type(self._spec)])
        if detail != self._lacks:
            log.info("%s: %s", self._source, detail)
        self._lacks = detail
        self._say_waiting()

    def _say_waiting(self) -> None:
        self._send_for(LAST_WORD_SECONDS)
        waiting = Waiting(sources=(self._source,), detail=self._lacks)
        if not self._outbox and self._link.send([encode(waiting)]):
            self._waiting_at = time.monotonic() + WAITING_SECONDS


def _open(spec: Spec, source: str, stopping: Callable[[], bool]) -> AudioInput:
    """Open an input; its library is loaded only now, and no other."""
    if isinstance(spec, Recording):
        from streamd.capture.recording import RecordingInput

        return RecordingInput(spec.path, repeat=spec.repeat, fast=spec.fast)
    if isinstance(spec, Command):
        from streamd.capture.command import CommandInput

        return CommandInput(spec, source, stopping)
    from streamd.capture.microphone import MicrophoneInput

    return MicrophoneInput(spec)


def _stop_on_signals(*, is_child: bool) -> Callable[[], bool]:
    """Return what tells whether this process was asked to end.

    To its daemon SIGHUP says to reload; sent to the whole service it is none of a child's business, nor of the
    command that it runs, which inherits that.
    """
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)
    if is_child:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    heed_signals()
    return lambda: bool(asked) or (is_child and parent.is_gone())
