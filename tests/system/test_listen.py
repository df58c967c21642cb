"""`streamd listen` beside `streamd run`: several sources and models of two sample rates, told apart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from streamd.events import Event
from tests import sounds, tiny_models
from tests.conftest import FakeMicrophone
from tests.running import PATIENCE_SECONDS, a_daemon, collect, has_status
from tests.wire import check_payload


def test_listen_tells_two_sources_and_two_models_apart(microphone: FakeMicrophone, tmp_path: Path) -> None:
    tiny = tiny_models.build(tmp_path, "window", "log_mel")
    silence = np.zeros(4 * sounds.RATE, np.float32)
    seconds = np.arange(sounds.RATE) / sounds.RATE
    beep = (0.5 * np.sin(2 * np.pi * tiny_models.TONES["Middle tone"] * seconds)).astype(np.float32)
    loop = sounds.save(tmp_path / "loop.wav", sounds.scene(6, [(1.0, sounds.crow()), (4.0, beep)]))
    played = sounds.save(tmp_path / "played.wav", np.concatenate([sounds.crow(), silence]))
    config = f"""
sources:
  mic: {{microphone: default, sample_rate: 16000}}
  loop: {{recording: {loop}, repeat: true}}
models:
  - {{file: yamnet, labels: {{Crow: {{}}}}}}
  - {{file: {tiny}, sources: [loop]}}
"""
    with a_daemon(config, microphone.environment) as daemon:
        with daemon.subscriber() as subscriber:
            collect(subscriber, has_status("live", "mic"))
        listen = subprocess.Popen(
            [sys.executable, "-m", "streamd", "listen", "--json"],
            env={**os.environ, "RUNTIME_DIRECTORY": str(daemon.folder)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert listen.stdout is not None
        first = json.loads(listen.stdout.readline())  # the last State: it is subscribed
        assert first["type"] == "io.streamd.state"
        microphone.play(played)
        expected = {("mic", "Crow", "yamnet"), ("loop", "Crow", "yamnet")}
        expected |= {("loop", "Middle tone", "tiny-window-log_mel")}
        heard: dict[tuple[str, str, str], Event] = {}
        while not expected <= set(heard):
            message = check_payload(listen.stdout.readline().encode())
            if isinstance(message, Event):
                heard[message.source, message.label, message.model] = message
        listen.send_signal(signal.SIGINT)
        assert listen.wait(PATIENCE_SECONDS) == 0
        listen.stdout.close()
        status = daemon.status()
    assert {source.name: list(source.sample_rates) for source in status.sources} == {
        "mic": [16000],
        "loop": [16000, 8000],
    }
    rates = {key: event.sample_rate for key, event in heard.items()}
    assert rates["loop", "Middle tone", "tiny-window-log_mel"] == 8000
    assert rates["loop", "Crow", "yamnet"] == 16000
    assert len({event.take for event in heard.values()}) == 3
    assert all(source.n_lost == 0 for source in status.sources)
