"""`streamd bench` with the real thing: a daemon, a load, a subscriber, a few sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from streamd.bench.measure import Setting, during, parts
from streamd.bench.table import Found
from streamd.errors import EndpointError
from tests import tiny_models

HOP_SECONDS = 0.04
SECONDS = 1.0


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build(tmp_path_factory.mktemp("model"), "stream", "log_mel")


def setting(model: Path, n_per_agent: int = 1) -> Setting:
    return Setting(model=str(model), hop_seconds=HOP_SECONDS, device="cpu", seconds=SECONDS, n_per_agent=n_per_agent)


def test_bench_measures_detector_and_daemon_and_writes_json(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    command = [sys.executable, "-m", "streamd", "bench", "--model", str(tiny), "--sources", "5", "--seconds", "1"]
    done = subprocess.run([*command, "--json", str(file)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode in (0, 1), done.stderr  # 1: on a busy machine not even five sources hold
    found = msgspec.json.decode(file.read_bytes(), type=Found)
    assert found.hop_seconds == HOP_SECONDS
    assert len(found.rows) == 2
    for row in found.rows:
        (result,) = row.results
        assert result.n_sources == 5
        assert result.n_hops >= 0.5 * 5 * result.seconds / HOP_SECONDS
        assert result.n_lost == 0
        assert 0 < result.cpu_percent < 150
    assert done.stdout.splitlines()[-1].startswith("# whole daemon, blocks in and events out: 5 sources")
    assert "not pinned" not in done.stdout or not hasattr(os, "sched_setaffinity")


def test_a_file_that_cant_be_written_is_told_before_anything_is_measured(tiny: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streamd", "bench", "--model", str(tiny), "--json", str(tmp_path / "no" / "file")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 64
    assert len(done.stderr.splitlines()) == 1
    assert "expected a file that can be written" in done.stderr


@pytest.mark.parametrize("n_per_agent", [1, 3])
def test_a_load_of_many_agents_is_heard_whole_and_its_lags_are_in_status(tiny: Path, n_per_agent: int) -> None:
    with setting(tiny, n_per_agent).trial(7) as trial:
        result = during(trial, setting(tiny, n_per_agent), 7)
        status = trial.status()
        assert trial.sent(n_sources=3).n_unsent == 0
    assert result.n_missing == 0
    assert result.n_lost == 0
    assert result.n_hops >= 0.5 * 7 * result.seconds / HOP_SECONDS
    assert [source.status for source in status.sources] == ["live"] * 7
    (model,) = status.models
    assert model.lags is not None
    assert model.lags.n >= result.n_hops
    assert status.cpu_seconds is not None
    assert status.counters.get("blocks.wrong_take", 0) == 0


def test_the_time_of_a_hop_is_told_by_part(tiny: Path) -> None:
    found = parts(setting(tiny), 4)
    assert found.n_hops >= found.n_runs > 0
    assert {"network", "log-mel", "decode", "decision"} <= set(found.cpu_seconds)
    assert all(seconds >= -1e-3 for seconds in found.cpu_seconds.values())
    assert found.cpu_seconds["network"] > 0


def test_of_many_sources_a_run_hears_several_though_each_has_its_own_phase(tiny: Path) -> None:
    found = parts(setting(tiny), 40)
    assert found.n_hops / found.n_runs > 2.5  # 40 hops in 40 ms, turns 8 ms apart


def test_a_trial_that_cant_start_says_why_and_leaves_nobody(tiny: Path) -> None:
    broken = Setting(model=str(tiny.parent / "none.onnx"), hop_seconds=HOP_SECONDS, device="cpu")
    with pytest.raises(EndpointError, match=r"the daemon did not start; its last words: .*none\.onnx"), broken.trial(1):
        pass
