"""The whole: from a folder of clips to a model and its report, in processes of their own, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from streamd.model import Model
from training import train
from training.__main__ import main
from training.expect import report
from training.kept import export_again
from training.prepare.simulation.recipe import Recipe
from training.prepare.simulation.room import RoomRange

RATE = 8_000
RECIPE = """\
licence: CC-BY-SA-4.0
log_mel: {sample_rate: 8000, n_fft: 256, win_length: 256, hop_length: 80, n_mels: 24, fmax: 3800}
simulation: {room: false, codec: false}
network: {name: tc-resnet, blocks: 1}
fit: {n_steps: 60, batch: 8}
"""
"""As small as it may be: what is asked here is whether the parts fit together, not how good the model is."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings of a beep, four clips each; a minute and a half of what else is heard there."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for label in ("beep", "background"):
        (folder / label).mkdir()
    rows = ["path,source"]
    for group in range(6):
        for i in range(4):
            time_s = np.arange(round(0.4 * RATE)) / RATE
            beep = 0.3 * np.sin(2 * np.pi * random.uniform(950, 1050) * time_s) * np.hanning(len(time_s))
            clip = np.concatenate([np.zeros(RATE // 4), beep, np.zeros(RATE // 4)])
            name = f"beep/machine-{group}-{i}.wav"
            soundfile.write(folder / name, clip + 1e-4 * random.standard_normal(len(clip)), RATE)
            rows.append(f"{name},machine {group}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    for i in range(3):
        soundfile.write(folder / "background" / f"{'abc'[i]}.wav", 0.02 * random.standard_normal(30 * RATE), RATE)
    (folder / "recipe.yaml").write_text(RECIPE)
    origins = ["source,licence,package,version,sha256"]
    origins += [f"machine {group},CC-BY-SA-{group % 2 + 3}.0,machines,1.{group},ab12" for group in range(5)]
    (folder / "origins.csv").write_text("\n".join(origins) + "\n")
    return folder


def command(data: Path, out: Path, *more: str) -> list[str]:
    asked = ["train", str(data), "-o", str(out), "--minutes", "0.5", "--recipe", str(data / "recipe.yaml"), *more]
    return [sys.executable, "-m", "training", *asked]


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("unbroken") / "beeper"
    done = subprocess.run(command(data, out), check=False, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return out


pytestmark = pytest.mark.timeout(500)


def test_a_folder_of_clips_becomes_a_model_that_hears_them(data: Path, trained: Path) -> None:
    model = Model(trained / "beeper.onnx", "cpu")
    assert model.manifest.labels == ("beep",)
    found = report.read(trained / "report.json")
    assert found.model_sha256 == model.sha256
    assert found.prepare is not None
    assert found.prepare.n_groups == 6 + 1  # places that sound alike are one
    assert [condition.kind for condition in found.expect.conditions] == ["real", "simulated"]
    assert (trained / "report.html").stat().st_size > 10_000
    assert "beep" in (trained / "card.md").read_text()
    # The decision of the report is that of the file.
    (real, _) = found.expect.conditions
    assert real.labels[0].threshold == model.manifest.decision_of("beep").onset_threshold


def test_everything_learned_from_is_told_with_its_licence_wherever_the_model_goes(trained: Path) -> None:
    manifest = Model(trained / "beeper.onnx", "cpu").manifest
    assert manifest.licence == "CC-BY-SA-4.0"
    assert "person's decision" in manifest.training["licence_of_the_weights"]
    told = {one["source"]: one for one in manifest.training["sources"]}
    machines = {name for name in told if name.startswith("machine")}
    assert len(machines) == 4  # one of six only tests, and another one with it
    for name in machines - {"machine 5"}:
        assert told[name]["licence"] == f"CC-BY-SA-{int(name[-1]) % 2 + 3}.0"
        assert told[name]["package"] == f"machines 1.{name[-1]}"
        assert told[name]["package_sha256"] == "ab12"
    assert {one["licence"] for name, one in told.items() if name not in machines} == {"not told"}
    found = report.read(trained / "report.json")
    assert found.sources == [(one["source"], one["licence"], one["sha256"]) for one in told.values()]
    card = (trained / "card.md").read_text()
    assert "licence: CC-BY-SA-4.0" in card
    assert all(name in card for name in machines)
    assert "a person’s decision" in card


def test_recorded_rooms_are_told_among_what_was_learned_from(tmp_path: Path) -> None:
    (tmp_path / "halls").mkdir()
    soundfile.write(tmp_path / "halls" / "bath.wav", np.eye(1, 400)[0], RATE)
    table = tmp_path / "origins.csv"
    table.write_text("source,licence\nhalls,CC0-1.0\n")
    recipe = Recipe(room=RoomRange(recorded=str(tmp_path / "halls")))
    (told,) = train._learned_from([], [], recipe, table)
    assert (told.source, told.licence, len(told.sha256)) == ("halls", "CC0-1.0", 64)
    assert train._learned_from([], [], recipe.without("room"), table) == []
    (line,) = train._of_rooms(recipe)
    assert line.startswith("rooms are computed, and recorded as often: impulse responses in ")


def test_what_is_tested_was_in_no_lesson(data: Path, trained: Path) -> None:
    found = report.read(trained / "report.json")
    assert "share nothing" in found.expect.disjoint
    assert found.prepare is not None
    assert "one tests, one tunes" in found.prepare.split


def test_a_run_that_was_killed_ends_with_the_model_of_an_unbroken_one(
    data: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "beeper"
    broken = subprocess.Popen(
        command(data, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while not list(out.glob("beeper-run/*/checkpoint.pt")):
        assert broken.poll() is None, "it ended before it wrote a checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.01)  # a file that appears can't be awaited without a library for it
    os.killpg(broken.pid, signal.SIGKILL)
    broken.wait()
    assert not (out / "beeper.onnx").exists()
    subprocess.run(command(data, out), check=True, capture_output=True, timeout=400)
    one, other = (torch.load(folder / "beeper-run" / "network.pt", weights_only=True) for folder in (trained, out))
    assert all(torch.equal(one["weights"][name], other["weights"][name]) for name in one["weights"])
    # All of the manifest but how long things took.
    assert json.loads(one["manifest"]) == json.loads(other["manifest"])


def test_a_model_is_exported_again_from_what_its_run_kept(trained: Path, tmp_path: Path) -> None:
    lines = list(export_again(trained, tmp_path / "again.onnx"))
    assert any("ten minutes" in line for line in lines)
    one, other = Model(trained / "beeper.onnx", "cpu"), Model(tmp_path / "again.onnx", "cpu")
    assert one.manifest == other.manifest


def test_silent_clips_get_one_line_before_anything_long_begins(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "data" / "knock").mkdir(parents=True)
    for name in ("pump_1", "pump_2", "saw_1", "saw_2"):
        soundfile.write(tmp_path / "data" / "knock" / f"{name}.wav", np.zeros(RATE), RATE)
    assert main(["train", str(tmp_path / "data"), "-o", str(tmp_path / "out")]) == 65
    assert capsys.readouterr().err.strip().endswith("are silent; expected recordings with the sound")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf"])
def test_minutes_that_are_none_get_one_line(minutes: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["train", str(tmp_path), "-o", str(tmp_path / "out"), f"--minutes={minutes}"]) == 64
    assert "expected a positive number" in capsys.readouterr().err
