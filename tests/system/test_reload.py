"""A real daemon reads its configuration again: by SIGHUP, by `streamd reload`, while it hears."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamd.control import ask_reload
from streamd.events import Event, State
from streamd.requests import ReloadReport
from streamd.subscribe import Subscription
from tests import sounds, tiny_models
from tests.running import RunningDaemon, a_daemon, collect, events, has_status, wait_for

RATE = tiny_models.SAMPLE_RATE


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models that hear the same tones."""
    folder = tmp_path_factory.mktemp("models")
    tiny_models.build(folder, "window", "log_mel", name="one")
    tiny_models.build(folder, "stream", "log_mel", name="two")
    tiny_models.build(folder, "window", "samples", name="fast", sample_rate=2 * RATE)
    return folder


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute: a low tone without end, and a high one for half of every second."""
    second = np.arange(RATE) < RATE // 2
    audio = tiny_models.tone(60 * RATE, "Low tone", 0.3) + tiny_models.tone(60 * RATE, "High tone", 0.3) * np.tile(
        second, 60
    )
    return sounds.save(tmp_path_factory.mktemp("tones") / "tones.wav", audio.astype(np.float32), RATE)


def is_onset(label: str, source: str | None = None):
    return lambda message: (
        isinstance(message, Event)
        and (message.phase, message.label) == ("onset", label)
        and source in (None, message.source)
    )


def reload(daemon: RunningDaemon, config: str) -> ReloadReport:
    """Write another configuration, and have it read."""
    (daemon.folder / "streamd.yaml").write_text(config)
    return ask_reload(daemon.control_at, 60)


def reloaded(subscriber: Subscription, source: str) -> list:
    """Return all that is told up to the State by which a source says that the configuration was read again."""
    return collect(
        subscriber,
        lambda message: isinstance(message, State) and message.source == source and "was read again" in message.detail,
    )


def test_what_a_reload_leaves_alone_goes_on_unbroken_and_what_it_changes_ends_with_its_reason(
    models: Path, tones: Path
) -> None:
    before = f"""
sources: {{hall: {{recording: {tones}}}, yard: {{recording: {tones}}}}}
models:
  - {{file: {models}/one.onnx, sources: [hall], labels: {{Low tone: {{}}}}}}
  - {{file: {models}/two.onnx, sources: [hall, yard], labels: {{Low tone: {{}}}}}}
"""
    after = f"""
sources: {{hall: {{recording: {tones}}}, yard: {{recording: {tones}}}, porch: {{recording: {tones}}}}}
models:
  - {{file: {models}/two.onnx, labels: {{Low tone: {{}}}}}}
  - {{file: {models}/one.onnx, sources: [hall], labels: {{High tone: {{onset_threshold: 0.7}}}}}}
"""
    with a_daemon(before) as daemon, daemon.subscriber() as subscriber:
        wait_for(lambda: len(daemon.status().sources[0].open_events) == 2 or None)
        wait_for(lambda: len(daemon.status().sources[1].open_events) == 1 or None)
        agents = {name: daemon.agent(name).pid for name in ("hall", "yard")}
        report = reload(daemon, after)
        assert {name: daemon.agent(name).pid for name in agents} == agents
        assert (report.outcome, list(report.mistakes)) == ("done", [])
        told = collect(subscriber, is_onset("High tone", "hall"))
        told += collect(subscriber, is_onset("Low tone", "porch"))
        assert daemon.stop() == 0
        told += collect(subscriber, has_status("stopped", "porch"))
    by_model = {
        (event.source, event.model, event.label): [
            (each.phase, each.end_reason)
            for each in events(told)
            if (each.source, each.model, each.label) == (event.source, event.model, event.label)
        ]
        for event in events(told)
    }
    assert by_model["hall", "one", "Low tone"] == [("onset", None), ("offset", "reload")]
    for source in ("hall", "yard", "porch"):
        assert by_model[source, "two", "Low tone"] == [("onset", None), ("offset", "shutdown")]
    assert by_model["hall", "one", "High tone"][0] == ("onset", None)
    seqs = [message.seq for message in told if isinstance(message, Event | State) and message.source == "hall"]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert len({event.take for event in events(told) if event.source == "hall"}) == 1
    assert len({event.event_id for event in events(told) if event.phase == "onset"}) == sum(
        event.phase == "onset" for event in events(told)
    )
