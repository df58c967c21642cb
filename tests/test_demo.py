"""The shipped recording gives what its list says, wherever the hops fall; and `streamd demo` shows it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from streamd import demo, shipped
from streamd.events import at
from streamd.model import Model
from streamd.replay import replay
from tests.running import wait_for

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
    for event in ended:
        assert any(sound.is_heard_in(event) for sound in listed), f"{event.label} at {event.onset_seconds}"
        assert event.peak >= event.onset_threshold + MARGIN
    assert {event.label for event in ended} == {sound.label for sound in listed}
    assert len({event.label for event in ended}) >= 4


def test_a_stranger_or_too_few_sounds_make_the_demo_fail(model: Model) -> None:
    listed = demo.sounds()
    onsets = [event for event in replay([RECORDING], model, start=at(0)) if event.phase == "onset"]
    assert demo._verdict(listed, onsets)[1] == 0
    assert demo._verdict(listed, onsets[:3])[1] == 1
    without_its_first = listed[1:]
    lines, code = demo._verdict(without_its_first, onsets)
    assert code == 1
    assert any("not there" in line and onsets[0].label in line for line in lines)


def test_the_demo_interrupted_leaves_nothing_behind(tmp_path: Path) -> None:
    running = psutil.Popen(
        [sys.executable, "-m", "streamd", "demo", "--json"],
        env={**os.environ, "TMPDIR": tempfile.mkdtemp(prefix="d-", dir="/tmp")},
        stdout=subprocess.PIPE,
    )
    folder = Path(running.environ()["TMPDIR"])
    assert b"io.streamd.state" in running.stdout.readline()

    def daemon_and_agent() -> list[psutil.Process] | None:
        family = running.children(recursive=True)
        return family if len(family) >= 2 else None

    family = wait_for(daemon_and_agent)
    running.send_signal(signal.SIGINT)
    assert running.wait(15) == 130
    running.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert [one.cmdline() for one in alive] == []
    assert list(folder.iterdir()) == []
    folder.rmdir()


def test_the_label_list_names_labels_of_the_model(model: Model) -> None:
    assert {sound.label for sound in demo.sounds()} <= set(model.manifest.default_labels)
