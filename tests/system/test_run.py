"""The real daemon: recordings in, events out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from streamd.capture.clock import clock_id
from streamd.events import Event, State, at
from streamd.model import Model
from streamd.replay import replay
from streamd.shipped import model_file
from tests import sounds, tiny_models
from tests.running import a_daemon, brief, collect, events, has_status, wait_for

SAME = ("label", "phase", "score", "peak", "onset_sample", "offset_sample", "onset_seconds", "offset_seconds")


@pytest.fixture(scope="module")
def crows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen seconds with a crow at 3 s and one at 12 s."""
    audio = sounds.scene(16, [(3.0, sounds.crow()), (12.0, sounds.crow())])
    return sounds.save(tmp_path_factory.mktemp("crows") / "crows.wav", audio)


def test_a_recording_live_gives_the_events_of_its_replay(crows: Path) -> None:
    replayed = list(replay([crows], Model(model_file("yamnet")), start=at(0)))
    with a_daemon("sources: {yard: {remote: true}}") as daemon, daemon.subscriber() as subscriber:
        collect(subscriber, has_status("starting"))
        audio_at = f"ipc://{daemon.folder}/audio.sock"
        capture = ["capture", "yard", "--recording", str(crows), "--fast", "--endpoint", audio_at]
        subprocess.run([sys.executable, "-m", "streamd", *capture], check=True, timeout=30)
        told = collect(subscriber, has_status("ended"))
        assert daemon.stop() == 0
    live = events(told)
    assert [event.label for event in live if event.phase == "onset"] == ["Crow", "Crow"]
    assert [[getattr(event, name) for name in SAME] for event in live] == [
        [getattr(event, name) for name in SAME] for event in replayed
    ]


def test_two_sources_and_two_models_are_told_apart(crows: Path, tmp_path: Path) -> None:
    alarm = sounds.save(tmp_path / "alarm.flac", sounds.scene(12, [(3.0, sounds.smoke_alarm(8))]))
    config = f"""
sources:
  yard: {{recording: {crows}}}
  hall: {{recording: {alarm}}}
models:
  - {{file: yamnet, sources: [yard]}}
  - {{file: yamnet, sources: [hall], labels: {{"Smoke detector, smoke alarm": {{onset_threshold: 0.3}}}}}}
"""
    with a_daemon(config) as daemon, daemon.subscriber() as subscriber:
        ended: set[str] = set()

        def both(message: object) -> bool:
            if isinstance(message, State) and message.status == "ended":
                ended.add(message.source)
            return len(ended) == 2

        told = events(collect(subscriber, both))
    assert {event.source for event in told if event.label == "Crow"} == {"yard"}
    assert {event.label for event in told if event.source == "hall"} == {"Smoke detector, smoke alarm"}
    assert all(event.onset_threshold == 0.3 for event in told if event.source == "hall")
    assert len({event.event_id for event in told}) == len(told) // 2


def test_sigterm_closes_open_events_says_goodbye_and_leaves_nothing(tmp_path: Path) -> None:
    alarm = sounds.save(tmp_path / "alarm.wav", sounds.scene(60, [(1.0, sounds.smoke_alarm(58))]))
    with a_daemon(f"sources: {{hall: {{recording: {alarm}}}}}") as daemon, daemon.subscriber() as subscriber:
        collect(subscriber, lambda message: isinstance(message, Event))
        children = daemon.process.children(recursive=True)
        assert children
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 2.0
        told = collect(subscriber, has_status("stopped"))
    (offset, *_) = events(told)
    assert (offset.phase, offset.end_reason) == ("offset", "shutdown")
    last = told[-1]
    assert isinstance(last, State)
    assert list(last.open_events) == []
    assert not any(child.is_running() for child in children)


def fails_on_all_tones(network: onnx.ModelProto) -> None:
    """Make a graph look beyond the end of a table as soon as it hears all its tones at once."""
    steps = [
        helper.make_node("ReduceMin", ["posterior"], ["least"], keepdims=0),
        helper.make_node("Mul", ["least", "three"], ["thirds"]),
        helper.make_node("Cast", ["thirds"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "place"], ["nothing"]),
        helper.make_node("Add", ["raw", "nothing"], ["posterior"]),
    ]
    last = network.graph.node[-1]
    last.output[0] = steps[0].input[0] = "raw"
    network.graph.node.extend(steps)
    for name, values in (("three", np.array(3, np.float32)), ("table", np.zeros(2, np.float32))):
        network.graph.initializer.append(numpy_helper.from_array(values, name))


def test_a_model_that_fails_ends_the_daemon_with_one_line_and_no_event_is_left_open(tmp_path: Path) -> None:
    model = tiny_models.build(tmp_path, "window", "log_mel", rewrite=fails_on_all_tones)
    rate = tiny_models.SAMPLE_RATE
    alone = tiny_models.tone(rate, "Low tone", 0.3)
    audio = np.concatenate([alone, sum(tiny_models.tone(rate, label, 0.3) for label in tiny_models.TONES)])
    recording = sounds.save(tmp_path / "tones.wav", audio.astype(np.float32), rate)
    config = f"sources: {{hall: {{recording: {recording}}}}}\nmodels: [{{file: {model}}}]"
    with a_daemon(config) as daemon, daemon.subscriber() as subscriber:
        told = events(collect(subscriber, has_status("stopped")))
        assert daemon.process.wait(10) == 65
        *_, line = daemon.log().splitlines()
        assert "onnxruntime can't run" in line
        assert "Traceback" not in daemon.log()
    assert [(event.phase, event.end_reason) for event in told] == [("onset", None), ("offset", "shutdown")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_daemon_that_waits_for_its_microphone_ends_at_once(number: int) -> None:
    nowhere = {**os.environ, "PULSE_SERVER": "unix:/nonexistent"}
    with a_daemon('sources: {kitchen: {microphone: "no such microphone"}}', nowhere) as daemon:
        with daemon.subscriber() as subscriber:
            waiting = collect(subscriber, has_status("waiting_for_device"))[-1]
            assert isinstance(waiting, State)
            assert "microphone" in waiting.detail  # none of that name, or no PortAudio to find it with
        wait_for(lambda: "ready after" in daemon.log() or None)
        assert daemon.process.is_running()
        began = time.monotonic()
        daemon.process.send_signal(number)
        assert daemon.process.wait(10) == 0
        assert time.monotonic() - began < 2.0


def test_kill_9_of_the_daemon_leaves_no_process_behind(tmp_path: Path, crows: Path) -> None:
    config = f"""
sources:
  yard: {{recording: {crows}, repeat: true}}
  porch: {{command: [sh, -c, "cat /dev/zero | head -c 100000000; sleep 60"], sample_rate: 16000}}
  attic: {{command: [sh, -c, "sleep 600; true"], sample_rate: 16000}}
"""
    with a_daemon(config) as daemon, daemon.subscriber() as subscriber:
        collect(subscriber, has_status("live", "porch"))
        daemon.agent("yard")
        wait_for(lambda: ["sleep", "600"] in [child.cmdline() for child in daemon.process.children(True)] or None)
        children = daemon.process.children(recursive=True)
        assert len(children) >= 6
        daemon.process.kill()
        daemon.process.wait(10)
        _, alive = psutil.wait_procs(children, timeout=5)
        assert [child.cmdline() for child in alive] == []


def test_a_second_daemon_is_told_who_holds_the_folder(crows: Path) -> None:
    config = f"sources: {{yard: {{recording: {crows}, repeat: true}}}}"
    with a_daemon(config) as first, first.subscriber() as subscriber:
        collect(subscriber, has_status("live"))
        second = psutil.Popen(
            [*first.process.cmdline()], env={**os.environ, "RUNTIME_DIRECTORY": str(first.folder)}, stderr=-1
        )
        _, said = second.communicate(timeout=20)
        assert second.returncode == 69
        assert str(first.process.pid) in said.decode()
        assert len(said.decode().strip().splitlines()) == 1
        collect(subscriber, lambda message: isinstance(message, Event))


def test_status_tells_what_runs_and_on_which_provider(crows: Path) -> None:
    with a_daemon(f"sources: {{yard: {{recording: {crows}, repeat: true}}}}") as daemon:
        with daemon.subscriber(also=["heartbeat"]) as subscriber:
            collect(subscriber, lambda message: isinstance(message, Event))
        status = daemon.status()
    (source,) = status.sources
    (model,) = status.models
    assert (source.name, source.status, source.n_lost) == ("yard", "live", 0)
    assert source.n_samples > 3 * 16_000
    assert source.lag_seconds is not None
    assert 0 <= source.lag_seconds < 2
    assert (model.name, model.provider, model.sources) == ("yamnet", "CPUExecutionProvider", ["yard"])
    assert status.pid == daemon.process.pid
    assert msgspec.json.encode(status)


def test_an_event_is_dated_where_it_sounded_and_told_soon(crows: Path) -> None:
    with a_daemon(f"sources: {{yard: {{recording: {crows}}}}}") as daemon, daemon.subscriber() as subscriber:
        live = collect(subscriber, has_status("live"))[-1]
        (onset, *_) = events(collect(subscriber, lambda message: isinstance(message, Event)))
    assert isinstance(live, State), brief(live)
    since_live = (onset.onset_time - live.time).total_seconds()
    assert since_live == pytest.approx(3.0, abs=1.0)
    assert onset.onset_seconds == pytest.approx(3.0, abs=0.3)
    assert onset.latency_seconds is not None
    assert 0 <= onset.latency_seconds < 1
    assert clock_id()


def test_a_source_that_hears_nothing_but_zeros_says_so_in_state_and_status(tmp_path: Path) -> None:
    muted = sounds.save(tmp_path / "muted.flac", np.zeros(150 * sounds.RATE, np.float32))
    config = f"sources: {{hall: {{recording: {muted}, repeat: true, fast: true}}}}"
    with a_daemon(config) as daemon, daemon.subscriber() as subscriber:
        told = collect(subscriber, lambda message: isinstance(message, State) and message.signal == ("silent",))
        assert isinstance(told[-1], State)
        assert (told[-1].status, "digital silence" in told[-1].detail) == ("live", True)
        status = subprocess.run(
            [sys.executable, "-m", "streamd", "status", "--endpoint", daemon.control_at],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    assert "silent" in status.stdout
