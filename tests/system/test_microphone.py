"""What the microphone hears is what a replay hears: real PortAudio, agent, daemon and subscriber."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zmq
from numpy.typing import NDArray

from streamd.blocks import Block, decode_said
from streamd.events import Event, at
from streamd.model import Model
from streamd.replay import replay
from streamd.shipped import model_file
from tests import sounds
from tests.conftest import FakeMicrophone
from tests.running import a_daemon, collect, events, has_status

LABELS = ["Crow", "Smoke detector, smoke alarm"]
MARGIN = 0.15
SLACK_SECONDS = 0.05


class Tap:
    """Stands between an agent and the daemon, passes everything on and keeps the audio."""

    def __init__(self, agent_at: str, daemon_at: str) -> None:
        self.blocks: list[NDArray[np.int16]] = []
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._agent = self._context.socket(zmq.ROUTER)
        self._agent.bind(agent_at)
        self._daemon = self._context.socket(zmq.DEALER)
        self._daemon.connect(daemon_at)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._pass_on)
        self._thread.start()

    def _pass_on(self) -> None:
        poller = zmq.Poller()
        poller.register(self._agent, zmq.POLLIN)
        poller.register(self._daemon, zmq.POLLIN)
        who = b""
        while not self._over.is_set():
            awake = dict(poller.poll(50))
            if self._agent in awake:
                who, *frames = self._agent.recv_multipart()
                message, pcm = decode_said(frames)
                if isinstance(message, Block) and pcm is not None:
                    self.blocks.append(pcm[:, 0])
                self._daemon.send_multipart(frames)
            if self._daemon in awake:
                self._agent.send_multipart([who, *self._daemon.recv_multipart()])

    def close(self) -> NDArray[np.int16]:
        """Stop, and return all audio that went through."""
        self._over.set()
        self._thread.join()
        self._context.destroy(linger=0)
        return np.concatenate(self.blocks)


@contextmanager
def an_agent(microphone: FakeMicrophone, endpoint: str) -> Iterator[subprocess.Popen[bytes]]:
    command = ["capture", "mic", "--microphone", "default", "--sample-rate", "16000", "--endpoint", endpoint]
    agent = subprocess.Popen([sys.executable, "-m", "streamd", *command], env=microphone.environment)
    try:
        yield agent
    finally:
        agent.terminate()
        agent.wait(10)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(model_file("yamnet"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    audio = sounds.scene(15, [(2.0, sounds.crow()), (5.0, sounds.smoke_alarm(6.4))])
    return sounds.save(tmp_path_factory.mktemp("scene") / "scene.wav", audio)


def test_the_sounds_clear_their_thresholds_in_every_hop_phase(model: Model, scene: Path, tmp_path: Path) -> None:
    decisions = {label: model.manifest.decision_of(label) for label in model.manifest.default_labels}
    whole = sounds.load(scene)
    for phase in range(0, model.manifest.hop_samples, model.manifest.hop_samples // 8):
        shifted = sounds.save(tmp_path / "shifted.wav", np.concatenate([np.zeros(phase, np.float32), whole]))
        found = [event for event in replay([shifted], model, decisions, start=at(0)) if event.phase == "offset"]
        assert [event.label for event in found] == LABELS
        assert all(event.peak >= event.onset_threshold + MARGIN for event in found)


def test_a_microphone_gives_the_events_of_a_replay_of_what_it_heard(
    microphone: FakeMicrophone, model: Model, scene: Path, tmp_path: Path
) -> None:
    played = sounds.load(scene)
    (expected_crow, expected_alarm) = [
        event.onset_seconds for event in replay([scene], model, start=at(0)) if event.phase == "onset"
    ]
    with a_daemon("sources: {mic: {remote: true}}") as daemon, daemon.subscriber() as subscriber:
        collect(subscriber, has_status("starting"))
        tap = Tap(f"ipc://{daemon.folder}/tap.sock", f"ipc://{daemon.folder}/audio.sock")
        with an_agent(microphone, f"ipc://{daemon.folder}/tap.sock"):
            collect(subscriber, has_status("live"))
            microphone.play(scene)
            offsets: set[str] = set()

            def all_over(message: object) -> bool:
                if isinstance(message, Event) and message.phase == "offset":
                    offsets.add(message.label)
                return offsets == set(LABELS)

            live = events(collect(subscriber, all_over))
        collect(subscriber, has_status("stopped"))
        heard = tap.close()
        assert daemon.status().sources[0].n_lost == 0

    first = int(np.argmax(heard != 0))
    recording = (played * 32768).round().astype(np.int16)
    begin = first - int(np.argmax(recording != 0))
    assert np.array_equal(heard[begin : begin + len(recording)], recording), "PortAudio did not hear what was played"

    assert [event.label for event in live if event.phase == "onset"] == LABELS
    slack = model.manifest.hop_seconds + SLACK_SECONDS
    onsets = [event.onset_seconds - begin / sounds.RATE for event in live if event.phase == "onset"]
    assert onsets == pytest.approx([expected_crow, expected_alarm], abs=slack)

    again = sounds.save(tmp_path / "heard.wav", heard.astype(np.float32) / 32768)
    facts = ("label", "phase", "score", "peak", "onset_sample", "offset_sample", "end_reason")
    replayed = [[getattr(event, name) for name in facts] for event in replay([again], model, start=at(0))]
    assert [[getattr(event, name) for name in facts] for event in live] == replayed
