"""`expect MODEL DATA` with a tiny model on tiny folders: the report says what is in them, and bad ones get one line."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("onnx")
pytest.importorskip("scipy")
pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from streamd.errors import DataError
from tests import tiny_models
from tests.tiny_models import SAMPLE_RATE, tone
from tests.training.tone_streams import HIGH, LOW
from training.__main__ import main
from training.expect import command, report
from training.expect.command import evaluate, report_on
from training.expect.expectation import GENERATED
from training.prepare.licences import Licensed, as_facts


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build(tmp_path_factory.mktemp("model"), "stream", "log_mel", onset_delay=800, offset_delay=300)


def recording(path: Path, label: str | None, seconds: float = 0.5, seed: int = 0) -> None:
    """A tone of half a second in faint noise of its own level, so that each recording is a group of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).normal(0, 3e-4 * 2**seed, round((seconds + 0.6) * SAMPLE_RATE))
    if label is not None:
        samples[2400 : 2400 + round(seconds * SAMPLE_RATE)] += tone(round(seconds * SAMPLE_RATE), label)
    soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Labels as people write folders' names; a folder the model doesn't know."""
    for i, name in enumerate(["morning", "noon", "night"]):
        recording(tmp_path / "data" / "low-tone" / f"{name}.wav", LOW, seed=i)
        recording(tmp_path / "data" / "High Tone" / f"{name}.wav", HIGH, seed=i)
    recording(tmp_path / "data" / "whistle" / "one.wav", HIGH)
    return tmp_path / "data"


def test_a_model_is_reported_on_with_all_of_the_data(file: Path, data: Path, tmp_path: Path):
    before = file.read_bytes()
    lines = list(evaluate(str(file), data, tmp_path / "out", command="expect", simulated_seconds=60))
    assert file.read_bytes() == before
    found = report.read(tmp_path / "out" / "report.json")
    assert {"report.html", "card.md"} <= {one.name for one in (tmp_path / "out").iterdir()}
    real, simulated = found.expect.conditions
    assert (real.kind, simulated.kind) == ("real", "simulated")
    assert [(one.label, one.n_sounds, one.n_groups, one.n_heard) for one in real.labels] == [
        (LOW, 3, 3, 3),
        (HIGH, 3, 3, 3),
    ]
    assert all(one.alarms.startswith(GENERATED) for condition in (real, simulated) for one in condition.labels)
    assert simulated.hours == pytest.approx(120 / 3600, rel=0.3)
    assert simulated.labels[0].n_sounds > 3
    assert found.prepare is None
    assert any("1 clips of 'whistle': tiny-stream-log_mel doesn't have these labels" in line for line in found.left_out)
    assert "no threshold could be chosen" not in found.expect.thresholds
    assert any(line.startswith("  Low tone, threshold 0.6: recall 1.00 (0.") for line in lines)


def test_what_the_model_learned_from_is_told_as_its_manifest_has_it(data: Path, tmp_path: Path):
    learned = [Licensed("kit 1", "GPL-2.0-only", "ab12"), Licensed("kit 2", "CC-BY-SA-3.0", "cd34", "drums 1.0")]
    own = tiny_models.build(tmp_path, "stream", "log_mel", training=as_facts(learned))
    list(evaluate(str(own), data, tmp_path / "out", simulated_seconds=0))
    found = report.read(tmp_path / "out" / "report.json")
    assert found.sources == [("kit 1", "GPL-2.0-only", "ab12"), ("kit 2", "CC-BY-SA-3.0", "cd34")]
    assert "| kit 2 | CC-BY-SA-3.0 | cd34 |" in (tmp_path / "out" / "card.md").read_text()


def test_background_that_is_given_is_played_whole_and_nothing_is_generated(file: Path, data: Path, tmp_path: Path):
    recording(data / "background" / "hall.wav", None, seconds=20, seed=3)
    found = report_on(file, data, tmp_path / "rooms", simulated_seconds=0)
    [real] = found.expect.conditions
    assert (real.background, real.n_streams) == ("given", 4)
    assert not any(one.alarms.startswith(GENERATED) for one in real.labels)
    assert real.labels[0].hours * 3600 > 20


def test_sounds_are_found_as_the_recipe_says(file: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two tones 0.6 s apart are two sounds, unless the recipe says that pauses in a sound may be longer."""
    first, *_ = (data / "low-tone").glob("*.wav")
    samples, _ = soundfile.read(first)
    soundfile.write(first, np.concatenate([samples, samples]), SAMPLE_RATE)
    (tmp_path / "r.yaml").write_text("trim: {longest_gap_seconds: 1}")
    monkeypatch.setattr(command, "evaluate", partial(evaluate, simulated_seconds=0))
    asked = ["expect", str(file), str(data), "-o", str(tmp_path / "out")]
    for more, n_sounds in (([], 4), (["--recipe", str(tmp_path / "r.yaml")], 3)):
        assert main([*asked, *more]) == 0
        [real] = report.read(tmp_path / "out" / "report.json").expect.conditions
        assert real.labels[0].n_sounds == n_sounds


def test_labels_that_the_model_lacks_are_told_in_one_line(file: Path, tmp_path: Path):
    recording(tmp_path / "lo-tone" / "one.wav", LOW)
    with pytest.raises(DataError, match=r"found the labels 'lo-tone'; tiny-stream-log_mel has 'Low tone', .*") as error:
        report_on(file, tmp_path, tmp_path / "rooms")
    assert "\n" not in str(error.value)
