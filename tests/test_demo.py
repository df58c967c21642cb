"""The shipped recording gives what its list says, wherever the hops fall; and `streamd demo` shows it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from streamd import demo, shipped
from streamd.events import Event, at
from streamd.model import Model
from streamd.replay import replay
from tests.running import PATIENCE_SECONDS, wait_for
from tests.sockets import short_folder
from tests.wire import check_payload

MARGIN = 0.15
RECORDING = shipped.demo_file("demo.flac")


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(shipped.model_file("yamnet"))


def test_the_recording_lasts_from_half_a_minute_to_a_minute_and_is_quiet_between_its_sounds() -> None:
    audio, rate = soundfile.read(RECORDING)
    assert 30 <= len(audio) / rate <= 60
    quiet = np.ones(len(audio), np.bool_)
    for sound in demo.sounds():
        quiet[round((sound.onset_seconds - 0.1) * rate) : round((sound.offset_seconds + 0.5) * rate)] = False
    assert quiet.sum() > 15 * rate
    assert 0 < np.sqrt(np.mean(audio[quiet] ** 2)) < 10 ** (-40 / 20)


@pytest.mark.parametrize("phase", range(8))
def test_every_event_is_in_the_list_and_clears_its_threshold_in_every_hop_phase(
    model: Model, tmp_path: Path, phase: int
) -> None:
    audio, rate = soundfile.read(RECORDING, dtype="float32")
    shift = phase * model.manifest.hop_samples // 8 * rate // model.manifest.sample_rate
    shifted = tmp_path / "demo.wav"
    soundfile.write(shifted, np.concatenate([np.zeros(shift, np.float32), audio]), rate, subtype="PCM_16")
    ended = [event for event in replay([shifted], model, start=at(0)) if event.phase == "offset"]
    listed = demo.sounds()
    assert len({sound.label for sound in listed}) == len(listed) >= 4
    assert [event.label for event in ended] == [sound.label for sound in listed]
    for event, sound in zip(ended, listed, strict=True):
        assert sound.is_heard_in(event), f"{event.label} at {event.onset_seconds}"
        assert event.offset_seconds is not None
        assert abs(event.offset_seconds - sound.offset_seconds) < demo.SLACK_SECONDS
        assert event.peak >= event.onset_threshold + MARGIN


def test_a_stranger_or_too_few_sounds_make_the_demo_fail(model: Model) -> None:
    listed = demo.sounds()
    onsets = [event for event in replay([RECORDING], model, start=at(0)) if event.phase == "onset"]
    assert demo._verdict(listed, onsets)[1] == 0
    assert demo._verdict(listed, onsets[:3])[1] == 1
    without_its_first = listed[1:]
    lines, code = demo._verdict(without_its_first, onsets)
    assert code == 1
    assert any("not there" in line and onsets[0].label in line for line in lines)


def test_the_page_of_sources_is_about_this_recording() -> None:
    page = shipped.demo_file("SOURCES.md").read_text()
    assert hashlib.sha256(RECORDING.read_bytes()).hexdigest() in page
    assert [sound.sound for sound in demo.sounds() if f"| {sound.sound} |" not in page] == []


def test_streamd_demo_tells_in_real_time_what_a_replay_of_its_recording_tells(model: Model) -> None:
    """Real agent, real daemon, real ZeroMQ: as long as the recording, and the same to the sample."""
    done = subprocess.run(
        [sys.executable, "-m", "streamd", "demo", "--json"], check=False, capture_output=True, timeout=100
    )
    assert done.returncode == 0, done.stderr.decode()
    messages = [check_payload(line) for line in done.stdout.splitlines()]
    assert messages[-1].status == "ended"
    told = [message for message in messages if isinstance(message, Event)]

    def places(events: Iterable[Event]) -> list[tuple[str, str, int, int | None, str | None]]:
        return [(one.phase, one.label, one.onset_sample, one.offset_sample, one.end_reason) for one in events]

    assert places(told) == places(replay([RECORDING], model, start=at(0)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_interrupted_leaves_nothing_behind(number: signal.Signals) -> None:
    with short_folder() as folder, a_demo(folder) as running:
        assert running.stdout is not None
        assert b"io.streamd.state" in running.stdout.readline()

        def daemon_and_agent() -> list[psutil.Process] | None:
            family = running.children(recursive=True)
            return family if len(family) >= 2 else None

        family = wait_for(daemon_and_agent)
        running.send_signal(number)
        assert running.wait(PATIENCE_SECONDS) == 130
        _, alive = psutil.wait_procs(family, timeout=5)
        assert [one.cmdline() for one in alive] == []
        assert list(folder.iterdir()) == []


@contextmanager
def a_demo(folder: Path) -> Iterator[psutil.Popen]:
    """Start `streamd demo` with a folder for temporary files; it is over at the end, whatever happens."""
    command = [sys.executable, "-m", "streamd", "demo", "--json"]
    running = psutil.Popen(command, env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.PIPE)
    with running:
        try:
            yield running
        finally:
            if running.is_running():
                running.kill()


def test_the_label_list_names_labels_of_the_model(model: Model) -> None:
    assert {sound.label for sound in demo.sounds()} <= set(model.manifest.default_labels)
