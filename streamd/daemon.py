"""The daemon: starts agents, loads models, and runs one loop from blocks in to events out.

There are no locks because there is one thread: whoever wakes it (audio, a subscriber, a question, a
signal, the clock), the loop takes in all audio that waits, runs every hop that is ready, and sleeps.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from types import FrameType

import zmq

import streamd
from streamd import endpoints, environment
from streamd.agents import Agents
from streamd.capture.clock import clock_id
from streamd.config import Config, Source
from streamd.control import ControlServer
from streamd.counters import Counters
from streamd.detector import MAX_BATCH_ON_GPU
from streamd.device_loss import DeviceLoss
from streamd.errors import DeviceError, DeviceLostError, ModelError, StreamdError
from streamd.gate import Gate
from streamd.intake import MAX_MESSAGES, Intake
from streamd.journaling import Journaling
from streamd.listeners import Listener, load_listeners
from streamd.model import CUDA
from streamd.progress import Progress, in_words
from streamd.publish import Publisher
from streamd.recording import Recording
from streamd.reload import Refusal, Reloads, Running
from streamd.requests import Answer, Reloading, ReloadRequest, Request, Status
from streamd.sd_notify import Notifier
from streamd.source_report import source_report
from streamd.sources import LiveSource
from streamd.supervisor import Cause, Supervisor
from streamd.swap import Plan, swap
from streamd.wake import Terminal, Wake

log = logging.getLogger("streamd")

HEARTBEAT_SECONDS = 1.0
TURN_SECONDS = 0.008
"""From one turn to the next where it has time: of many sources a wake-up then hears several at once, for a third less
CPU. A source alone has its turns a hop apart, and waits for nobody."""
STOP_SECONDS = 1.0
"""Agents that have not ended by then are killed."""


def run(config: Config, file: Path | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT, or its terminal is closed; return the exit code.

    Args:
        config: what it begins with.
        file: where that was read from, and what a reload reads again; None: the default configuration.

    Raises:
        StreamdError: it can't start, or a model failed: one line says why.
    """
    environment.many_files()
    with ExitStack() as stack:
        daemon = Daemon(config, stack, file)
        try:
            daemon.loop()
        finally:
            daemon.stop()
    return 0


class Daemon:
    """One run: everything that is started is handed to an ExitStack, which stops it in reverse order."""

    def __init__(self, config: Config, stack: ExitStack, file: Path | None = None) -> None:
        self._began = time.monotonic()
        self._run = os.urandom(6).hex()
        self._host = socket.gethostname()
        self._config = config
        self._counters = Counters()
        self._stopping = self._closing = self._ready = self._hung_up = False
        self._next_turn = 0.0
        self._terminal = Terminal()
        self._wake = Wake(stack, self._on_signal)
        folder = endpoints.runtime_folder()
        stack.callback(endpoints.Lock(folder, str(config.document.file)).close)
        self._listen_at = endpoints.listen_at(folder, config.endpoints)
        context = stack.enter_context(zmq.Context[zmq.Socket[bytes]]())
        self._gate = stack.enter_context(closing(Gate(context, config.key_pair, config.permissions, self._counters)))
        bind = partial(self._gate.bind, "events")
        self._publisher = Publisher(context, self._listen_at["events"], self._run, self._host, self._counters, bind)
        stack.callback(self._publisher.close)
        self._notifier = stack.enter_context(closing(Notifier()))
        self._progress = Progress(self._notifier, self._publisher)
        bind = partial(self._gate.bind, "control")
        self._control = ControlServer(context, self._listen_at["control"], self._answer, self._counters, bind)
        stack.callback(self._control.close)
        audio_at = self._listen_at["audio"]
        self._intake = stack.enter_context(closing(Intake(context, audio_at, self._counters, self._gate)))
        self._sources: dict[str, LiveSource] = {}
        self._failed: set[Listener] = set()
        # Agents start while the models load: on two cores the one costs no time beside the other.
        self._supervisor = Supervisor(self._on_death)
        self._journal = Journaling(config.journal, self._publisher, self._supervisor, self._listen_at, self._counters)
        stack.callback(self._journal.stop_children, STOP_SECONDS)
        self._agents = Agents(self._supervisor, audio_at[0])
        self._agents.start_all(config.sources)
        self._recording = Recording(config.recorder, self._supervisor, self._counters, stack)
        self._listeners = load_listeners(config)
        self._device_loss = DeviceLoss(config.device_lost)
        environment.give_back_memory()
        self._journal.start()
        self._reloads = stack.enter_context(closing(Reloads(file, self._listeners, self._wake.wake)))
        for source in config.sources:
            heard_by = [one for one in self._listeners if source.name in one.sources]
            self._sources[source.name] = self._new_source(source, heard_by, config)

    def _new_source(self, source: Source, listeners: Sequence[Listener], config: Config) -> LiveSource:
        live = LiveSource(
            name=source.name,
            listeners=listeners,
            publisher=self._publisher,
            counters=self._counters,
            step=self._step,
            clock_id=clock_id(),
            max_lag_seconds=config.max_lag_seconds,
            recorder=self._recording.link,
        )
        live.say("starting", "waits for its agent to say hello" if source.capture is None else "its agent starts")
        return live

    def loop(self) -> None:
        """Work until a signal ends it."""
        poller = zmq.Poller()
        with_doors = (self._publisher, self._control, self._gate, self._journal)
        doors = {one.socket: one.on_readable for one in with_doors if one.socket is not None}
        for channel in (self._intake.socket, self._wake.socket, *doors):
            poller.register(channel, zmq.POLLIN)
        next_heartbeat = time.monotonic()
        while not self._stopping:
            if not self._ready and not any(self._is_starting(source) for source in self._config.sources):
                self._ready = True
                self._notifier.ready(in_words(self._sources.values()))
                log.info("ready after %.2f s", time.monotonic() - self._began)
            wake_at = min(next_heartbeat, self._supervisor.restart_due() or math.inf, self._publisher.greet_due())
            awake = dict(poller.poll(math.ceil(max(0.0, wake_at - time.monotonic()) * 1000)))
            if self._intake.socket in awake:
                if (wait := self._next_turn - time.monotonic()) > 0:
                    time.sleep(wait)
                self._take_in()
            for channel in awake.keys() & doors.keys():
                doors[channel]()
            if self._wake.socket.fileno() in awake:
                self._on_wake()
            if time.monotonic() >= next_heartbeat:
                next_heartbeat = max(next_heartbeat + HEARTBEAT_SECONDS, time.monotonic())
                self._beat()

    def _beat(self) -> None:
        """Do what is done once a second."""
        self._gate.count()
        if self._intake.misses_nobody(len(self._sources)):
            killed = self._agents.kill_stalled(self._sources)
            for name in self._sources.keys() - killed:
                self._sources[name].check_silence()
        self._journal.look(self._sources.values())
        self._publisher.heartbeat({name: source.lag_seconds() for name, source in self._sources.items()})
        self._progress.look(self._sources.values(), self._listeners)
        self._recording.look(self._sources.values())

    def _is_starting(self, source: Source) -> bool:
        # A device whose opening hangs must not hold up the start for ever: one end of its agent, and that is told.
        is_starting = source.capture is not None and self._sources[source.name].status == "starting"
        return is_starting and not self._supervisor.n_restarts(source.name)

    def stop(self) -> None:
        """Close open events and say goodbye; processes and sockets are the ExitStack's.

        Here no failure of a model is raised: what else is open must be closed.
        """
        self._closing = True
        self._notifier.stopping()
        for source in self._sources.values():
            source.close("shutdown")
            source.say("stopped", "the daemon was stopped")
        self._publisher.heartbeat(dict.fromkeys(self._sources))

    def _take_in(self) -> None:
        """Take in the audio that waits, then run every hop that is ready."""
        # A GPU hears a thousand sources in one run, if it gets them at once.
        on_gpu = any(listener.model.provider == CUDA for listener in self._listeners)
        began = time.monotonic()
        is_all = self._intake.take_in(self._sources, MAX_BATCH_ON_GPU if on_gpu else MAX_MESSAGES)
        self._next_turn = began + TURN_SECONDS if is_all else began
        for listener in self._listeners:
            self._step(listener)

    def _step(self, listener: Listener) -> None:
        if listener in self._failed:
            return
        try:
            for hop in listener.step():
                self._sources[hop.source].heard(listener, hop)
        except DeviceLostError as error:
            self._recover(listener, error)
        except ModelError as error:
            self._fail(listener, error)

    def _fail(self, listener: Listener, error: StreamdError) -> None:
        """Stop: a model is needed that can't be run. What is open is still closed."""
        self._failed.add(listener)
        if not self._closing:
            raise error
        log.error("%s", error)

    def _recover(self, listener: Listener, error: DeviceLostError) -> None:
        self._counters.add("devices.lost")
        if self._closing:
            self._fail(listener, error)
            return
        try:
            degraded, closed = self._device_loss.recover(listener, error)
        except (DeviceError, ModelError) as final:
            self._fail(listener, final)
            return
        for name in listener.sources:
            self._sources[name].lost_device(listener, degraded, [one for one in closed if one.source == name])
        self._step(listener)  # what the lost device left, which a gap or an end must not meet unheard

    def _on_death(self, name: str, how: str, cause: Cause) -> None:
        self._counters.add(f"restarts.{cause}")
        if name in self._sources:  # not while the models load: then it has yet to be heard of
            self._sources[name].died(how)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._hung_up = True
        elif number != signal.SIGCHLD:
            self._stopping = True

    def _on_wake(self) -> None:
        self._wake.clear()
        self._supervisor.reap()
        if self._hung_up:  # its terminal was closed, or somebody wants a reload
            self._hung_up = False
            if self._terminal.is_gone():
                self._stopping = True
            else:
                self._ask_reload()
        if (outcome := self._reloads.take()) is not None:
            self._end_reload(outcome)

    def _ask_reload(self) -> int:
        if self._ready:
            self._notifier.reloading()
        slowed = {listener for source in self._sources.values() for listener in source.degraded}
        return self._reloads.ask(Running(self._config, self._listeners, slowed))

    def _end_reload(self, outcome: Plan | Refusal) -> None:
        """Make what was loaded what runs, between two hops; or say why not."""
        if not isinstance(outcome, Refusal):
            swap(outcome, self._config, self._sources, self._new_source, self._intake, self._agents)
            self._config, self._listeners = outcome.config, list(outcome.listeners)
            self._gate.admit(outcome.config.permissions)
            self._device_loss = DeviceLoss(outcome.config.device_lost)
            self._progress = Progress(self._notifier, self._publisher)  # it counts the work of those that were
        self._counters.add("reloads.refused" if isinstance(outcome, Refusal) else "reloads.done")
        for source in self._sources.values():
            source.say_again(outcome.in_words())
        if self._ready:
            self._notifier.ready(in_words(self._sources.values()))
        if self._reloads.is_asked_again:
            self._ask_reload()

    def _answer(self, request: Request) -> Answer:
        if isinstance(request, ReloadRequest):
            return Reloading(number=self._ask_reload())
        return Status(
            version=streamd.__version__,
            run=self._run,
            host=self._host,
            pid=os.getpid(),
            uptime_seconds=round(time.monotonic() - self._began, 3),
            endpoints={word: " ".join(where) for word, where in self._listen_at.items()},
            sources=[source_report(one, self._supervisor.n_restarts(name)) for name, one in self._sources.items()],
            models=[one.report() for one in self._listeners],
            counters=self._counters.read(),
            cpu_seconds=round(time.process_time(), 6),
            reload=self._reloads.report,
            journal=self._journal.report(),
            recorder=self._recording.report(),
        )
