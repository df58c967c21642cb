"""A real daemon that hears tones from real agents, and somebody who listens to all it says and keeps the books."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from streamd.decision import DecisionSpec
from streamd.events import Event, Message, Score
from streamd.manifest import Manifest
from streamd.model import Model
from streamd.subscribe import Gap, Subscription
from tests import tiny_models
from tests.faults.harness import Injection
from tests.faults.ledger import Hole, Ledger
from tests.running import RunningDaemon, a_daemon

PATIENCE_SECONDS = 60.0
HOP_SECONDS = 0.1
SLACK_SECONDS = 0.3
"""By which audio that was lost may exceed what was told: a hop before and one after it, and the clock of a sound
system."""


class Told(NamedTuple):
    """A message, and when it came on the monotonic clock."""

    message: Message | Gap
    at: float
    age_seconds: float
    """Of a score: since the last of its audio was captured; of others 0."""


class Reader:
    """Hears a daemon in a thread of its own, so that what a test waits for is never what fills a queue."""

    def __init__(self, subscription: Subscription) -> None:
        self.told: SimpleQueue[Told] = SimpleQueue()
        self._subscription = subscription
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._over.is_set():
            if (message := self._subscription.poll(0.2)) is not None:
                age = time.time() - message.time.timestamp() if isinstance(message, Score) else 0.0
                self.told.put(Told(message, time.monotonic(), age))
        self._subscription.close()

    def close(self) -> None:
        """Stop listening."""
        self._over.set()
        self._thread.join()


class Rig:
    """A daemon under faults."""

    def __init__(self, daemon: RunningDaemon, facts: Manifest, sources: Sequence[str] | None = None) -> None:
        self.daemon = daemon
        self.ledger = Ledger(facts)
        self._reader = Reader(daemon.subscriber(also=["score", "heartbeat"], sources=sources))

    def wait(self, is_it: Callable[[Message | Gap], bool], seconds: float = PATIENCE_SECONDS) -> Told:
        """Return the next message of which `is_it` says yes; all up to it are entered into the ledger."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                told = self._reader.told.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise AssertionError(f"it was not told within {seconds:g} s; {self.daemon.log()[-400:]}") from None
            self.ledger.enter(told.message)
            if is_it(told.message):
                return told

    def heard(self, source: str, after: float = 0.0, seconds: float = PATIENCE_SECONDS) -> float:
        """Wait for a score of a source of audio captured after a wall time; return its monotonic time of arrival."""

        def is_it(message: Message | Gap) -> bool:
            return isinstance(message, Score) and message.source == source and message.time.timestamp() > after

        return self.wait(is_it, seconds).at

    def sounding(self, source: str) -> None:
        """Wait until a sound of a source begins: what strikes it now must close it."""

        def is_it(message: Message | Gap) -> bool:
            return isinstance(message, Event) and (message.source, message.phase) == (source, "onset")

        self.wait(is_it)

    def listen(self, seconds: float) -> list[Told]:
        """Return what is told in so long."""
        deadline = time.monotonic() + seconds
        heard: list[Told] = []
        while (left := deadline - time.monotonic()) > 0:
            try:
                heard.append(self._reader.told.get(timeout=left))
            except Empty:
                break
            self.ledger.enter(heard[-1].message)
        return heard

    @contextmanager
    def accounted(self, injection: Injection) -> Iterator[None]:
        """What is lost inside belongs to an injection; more may not be lost than was told."""
        holes, hidden, invented = len(self.ledger.holes), self.ledger.n_hidden, self.ledger.n_invented
        yield
        found: list[Hole] = self.ledger.holes[holes:]
        injection.lost_seconds += round(sum(hole.seconds for hole in found), 3)
        injection.reported_seconds += round(sum(hole.reported_seconds for hole in found), 3)
        injection.n_hidden += self.ledger.n_hidden - hidden
        for hole in found:
            assert hole.seconds <= hole.reported_seconds + SLACK_SECONDS, f"lost without a word: {hole}"
        assert self.ledger.n_invented == invented, "an event that no model heard"

    def close(self) -> None:
        """Stop listening."""
        self._reader.close()


def tones(file: Path, seconds: float = 4.0) -> Path:
    """Write a recording in which each label sounds once a second or so, in noise."""
    rate = tiny_models.SAMPLE_RATE
    audio = np.random.default_rng(0).normal(0, 0.001, round(seconds * rate)).astype(np.float32)
    for i, label in enumerate([*tiny_models.TONES, next(iter(tiny_models.TONES))]):
        begin = round((0.3 + i) * rate)
        audio[begin : begin + rate // 2] += tiny_models.tone(rate // 2, label)
    soundfile.write(file, audio, rate, subtype="PCM_16")
    return file


class Scene:
    """What daemons of a module share: a tiny model that hears three tones, and a recording of them."""

    def __init__(self, folder: Path) -> None:
        decision = DecisionSpec(onset_threshold=0.6, offset_threshold=0.4, min_silence_seconds=0.1)
        frames = {"n_frames": 10, "hop_frames": 10, "warmup_frames": 20}
        self.model = tiny_models.build(folder, "stream", "log_mel", decision=decision, **frames)
        self.facts = Model(self.model, "cpu").manifest
        self.recording = tones(folder / "tones.wav")

    def config(self, *sources: str, more: str = "") -> str:
        """Return a configuration whose sources are the recording, again and again."""
        lines = [f"  {name}: {{recording: {self.recording}, repeat: true}}" for name in sources]
        return self.with_model("sources:\n" + "\n".join(lines) + f"\n{more}")

    def with_model(self, config: str) -> str:
        """Return a configuration with the tiny model."""
        return f"models: [{{file: {self.model}}}]\ndevice: cpu\n{config}\n"


@contextmanager
def running(
    scene: Scene,
    config: str,
    environment: Mapping[str, str] = os.environ,
    *before: str,
    sources: Sequence[str] | None = None,
) -> Iterator[Rig]:
    """Start a daemon, as a_daemon does, and somebody who listens to sources of it (None: all)."""
    with a_daemon(config, environment, *before) as daemon:
        rig = Rig(daemon, scene.facts, sources)
        try:
            yield rig
        finally:
            rig.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The tiny model and its recording."""
    return Scene(tmp_path_factory.mktemp("scene"))
