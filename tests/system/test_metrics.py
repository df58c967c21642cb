"""`streamd metrics` beside a real daemon: what a browser on this machine gets, and who else gets nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests import sounds, tiny_models
from tests.running import a_daemon, collect, has_status


def scrape(url: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return the samples of every name."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_prometheus_reads_what_the_daemon_says_and_that_it_is_gone(tmp_path: Path) -> None:
    model = tiny_models.build(tmp_path, "window", "log_mel")
    recording = sounds.save(tmp_path / "tone.wav", tiny_models.tone(16_000, "Low tone"), tiny_models.SAMPLE_RATE)
    config = f"sources: {{hall: {{recording: {recording}}}}}\nmodels: [{{file: {model}}}]"
    with a_daemon(config) as daemon, daemon.subscriber() as subscriber:
        collect(subscriber, has_status("ended"))
        status = daemon.status()
        command = [sys.executable, "-m", "streamd", "metrics", "--port", "0", "--endpoint", daemon.control_at]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
            assert serving.stdout is not None
            url = serving.stdout.readline().strip()
            found = scrape(url)
            [listening] = [one for one in psutil.Process(serving.pid).net_connections("tcp") if one.status == "LISTEN"]
            assert listening.laddr.ip == "127.0.0.1"
            assert daemon.stop() == 0
            assert scrape(url) == {"streamd_up": [({}, 0.0)]}
            serving.send_signal(signal.SIGTERM)
            assert serving.wait(30) == 0
    assert found["streamd_up"] == [({}, 1.0)]
    assert found["streamd_heard_samples_total"] == [({"source": "hall"}, status.sources[0].n_samples)]
    assert ({"label": "low-tone", "phase": "onset"}, 1.0) in found["streamd_events_total"]
    [(about, _)] = found["streamd_model_info"]
    assert (about["sha256"], about["provider"]) == (status.models[0].sha256, "CPUExecutionProvider")
    [(_, seconds)] = found["streamd_inference_seconds_total"]
    [(_, n_runs)] = found["streamd_inference_runs_total"]
    assert n_runs == 16_000 // 320
    assert 0 < seconds < 10


def test_status_is_printed_every_second_while_it_is_watched(tmp_path: Path) -> None:
    model = tiny_models.build(tmp_path, "window", "log_mel")
    with a_daemon(f"sources: {{hall: {{remote: true}}}}\nmodels: [{{file: {model}}}]") as daemon:
        before = daemon.status().uptime_seconds
        command = [sys.executable, "-m", "streamd", "status", "--watch", "--json", "--endpoint", daemon.control_at]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            told = [json.loads(watching.stdout.readline())["uptime_seconds"] for _ in range(2)]
            watching.send_signal(signal.SIGINT)
            assert watching.wait(30) == 0
    assert before < told[0] < told[1]


def test_a_port_that_is_taken_and_a_library_that_is_not_there_are_a_line_each(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "streamd", "metrics", "--port", port]
        taken = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert taken.returncode == 69
    assert taken.stderr == f"streamd: port {port}: Address already in use; take another one with --port\n"
    (tmp_path / "prometheus_client.py").write_text("raise ImportError('not here')")
    without = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    lacking = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=without)
    assert lacking.returncode == 69
    assert "pip install 'streamd[metrics]'" in lacking.stderr
    assert "Traceback" not in lacking.stderr
