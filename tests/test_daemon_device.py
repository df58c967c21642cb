"""The daemon whose GPU is lost: a Daemon of real sockets, whose models run on rows that fail when they are told to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streamd import config, detector, device_loss
from streamd.blocks import Block, Hello, block_take
from streamd.daemon import Daemon
from streamd.errors import DeviceLostError
from streamd.events import Event, Message, State
from streamd.model import Device, Model
from streamd.rows import Rows
from tests import tiny_models
from tests.sockets import Context, Ear, a_context, let_work, short_folder
from tests.tiny_models import SAMPLE_RATE, tone

LOUD = (tone(SAMPLE_RATE, "Low tone") * 32768).astype(np.int16)
QUIET = np.zeros(SAMPLE_RATE, np.int16)


class Gpu:
    """Stands for one: what runs on it fails once it is lost, and what comes after it is the processor."""

    lost = False


class RowsOnGpu(Rows):
    """Rows that a lost GPU takes with it."""

    def run(self, rows: NDArray[np.intp], samples: NDArray[np.float32], ages: NDArray[np.int64]) -> NDArray[np.float32]:
        """Hear one hop."""
        if Gpu.lost:
            raise DeviceLostError("the GPU is gone")
        return super().run(rows, samples, ages)


class Rig:
    """A daemon of two sources that two models hear, and who listens to it."""

    def __init__(
        self, stack: ExitStack, context: Context, folder: Path, device_lost: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = tiny_models.build(folder, "stream", "log_mel")
        other = tiny_models.build(folder, "stream", "log_mel", name="tiny-other")
        text = f"""
sources: {{attic: {{remote: true}}, hall: {{remote: true}}}}
models: [{{file: {one}}}, {{file: {other}}}]
device_lost: {device_lost}
"""
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
        monkeypatch.setenv("STATE_DIRECTORY", str(folder))
        monkeypatch.setattr(Gpu, "lost", False)
        monkeypatch.setattr(detector, "rows_on_device", RowsOnGpu)
        monkeypatch.setattr(device_loss, "Model", self._load)
        self.daemon = Daemon(config.parse(text.encode(), "streamd.yaml", folder), stack)
        self.first_score_samples = self.daemon._listeners[0].model.manifest.first_score_samples
        publisher = self.daemon._publisher
        self.ear = Ear(context, f"ipc://{folder}/events.sock", "event/", "state/", "heartbeat/")
        let_work(publisher, lambda: bool(publisher.heartbeat({"here": None}) or self.ear.socket.poll(0)))
        self._n = self._n_asked = 0
        for name, source in self.daemon._sources.items():
            source.begin(
                Hello(
                    sources=(name,), take="t", host="h", clock_id="x", device="d", native_rate=SAMPLE_RATE, live=False
                )
            )

    def _load(self, file: Path, device: Device) -> Model:
        if device == "cuda":
            raise DeviceLostError("the GPU is still gone")
        for listener in self.daemon._listeners:
            listener.detector._rows_of = Rows
        return Model(file, "cpu")

    def hear(self, pcm: NDArray[np.int16]) -> None:
        """Both sources hear the same."""
        for name, source in self.daemon._sources.items():
            header = Block(
                sources=(name,),
                take=block_take("t", SAMPLE_RATE),
                first_sample=self._n,
                sample_rate=SAMPLE_RATE,
                captured_at=time.time(),
                monotonic=time.monotonic(),
            )
            source.hear(header, pcm)
        self._n += len(pcm)
        for listener in self.daemon._listeners:
            self.daemon._step(listener)

    def told(self) -> list[Message]:
        """Return what was published since it was last asked."""
        self._n_asked += 1
        mark = f"mark-{self._n_asked}"
        self.daemon._publisher.heartbeat({mark: None})
        messages: list[Message] = []
        while (message := self.ear.hear()).source != mark:
            messages.append(message)
        return messages


@pytest.fixture
def rig(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with a_context() as context, short_folder() as folder, ExitStack() as stack:
        yield Rig(stack, context, folder, request.param, monkeypatch)


def shapes(messages: list[Message]) -> list[tuple[str, int, str, str | None]]:
    """Source, model, phase and reason of every event."""
    return sorted(
        (one.source, int(one.event_id.split("-")[1]), one.phase, one.end_reason)
        for one in messages
        if isinstance(one, Event)
    )


BOTH = [("attic", 0), ("attic", 1), ("hall", 0), ("hall", 1)]


@pytest.mark.parametrize("rig", ["cpu"], indirect=True)
def test_a_lost_gpu_closes_what_is_open_says_degraded_for_each_model_and_no_audio_is_lost(rig: Rig) -> None:
    rig.hear(LOUD)
    assert shapes(rig.told()) == [(*one, "onset", None) for one in BOTH]
    Gpu.lost = True
    rig.hear(LOUD)
    told = rig.told()
    ended = [(*one, "offset", "device") for one in BOTH]
    begun = [(*one, "onset", None) for one in BOTH]
    assert shapes(told) == sorted(ended + begun)
    offsets = {(one.source, one.event_id): one.offset_sample for one in told if isinstance(one, Event)}
    onsets = [one.onset_sample for one in told if isinstance(one, Event) and one.phase == "onset"]
    # The new session hears the audio that the lost one was given last.
    assert max(onsets) <= SAMPLE_RATE + rig.first_score_samples
    assert max(sample or 0 for sample in offsets.values()) <= SAMPLE_RATE
    states = [one for one in told if isinstance(one, State)]
    assert {one.status for one in states} == {"degraded"}
    assert not any(one.gap for one in states)
    last = {one.source: one.detail for one in states}
    assert all(detail.count("runs on the CPU: its GPU was lost") == 2 for detail in last.values())
    rig.hear(QUIET)
    assert shapes(rig.told()) == [(*one, "offset", "silence") for one in BOTH]


@pytest.mark.parametrize("rig", ["stop"], indirect=True)
def test_a_daemon_that_wants_its_gpu_or_nothing_stops_with_every_event_closed(rig: Rig) -> None:
    """Both of its models fail: the first ends the loop, the second is met while the events are closed."""
    rig.hear(LOUD)
    rig.told()
    Gpu.lost = True
    with pytest.raises(DeviceLostError, match="the GPU is gone"):
        rig.hear(LOUD)
    rig.daemon.stop()
    told = rig.told()
    assert shapes(told) == [(*one, "offset", "shutdown") for one in BOTH]
    assert {one.source for one in told if isinstance(one, State) and one.status == "stopped"} == {"attic", "hall"}
