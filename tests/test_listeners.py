"""Models of a configuration: loaded once, refused together, each with its line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from streamd import config, detector, listeners
from streamd.detector import AnyRows
from streamd.errors import ConfigError
from streamd.listeners import load_listeners, wants_of
from streamd.model import CPU, CUDA, Device, Model
from streamd.rows import Rows
from tests import tiny_models


def test_a_model_that_two_entries_name_is_loaded_once_and_decided_twice(tmp_path: Path) -> None:
    file = tiny_models.build(tmp_path, "window", "log_mel")
    text = f"""
sources: {{hall: {{}}, yard: {{remote: true}}}}
models:
  - {{file: {file}, sources: [hall]}}
  - {{file: {file}, sources: [yard], labels: {{High tone: {{onset_threshold: 0.9}}}}}}
"""
    hall, yard = load_listeners(config.parse(text.encode(), "streamd.yaml", tmp_path))
    assert hall.model is yard.model
    assert (hall.index, yard.index) == (0, 1)
    assert hall.detector.labels == tuple(tiny_models.TONES)
    assert yard.detector.labels == ("High tone",)
    assert yard.detector.decisions["High tone"].onset_threshold == 0.9


def test_refused_models_and_unknown_labels_are_told_together_each_with_its_line(tmp_path: Path) -> None:
    file = tiny_models.build(tmp_path, "window", "log_mel")
    (tmp_path / "notes.onnx").write_text("no model at all")
    text = f"""
sources: {{hall: {{}}, yard: {{remote: true}}}}
models:
  - {{file: notes.onnx, sources: [hall]}}
  - {{file: {file}, sources: [yard], labels: {{Hihg tone: {{}}}}}}
"""
    with pytest.raises(ConfigError) as error:
        load_listeners(config.parse(text.encode(), "streamd.yaml", tmp_path))
    refused, unknown = error.value.mistakes
    assert refused.startswith("streamd.yaml:4: models[0].file: ")
    assert "notes.onnx" in refused
    assert unknown.startswith("streamd.yaml:5: ")
    assert "did you mean 'High tone'" in unknown


def test_models_of_one_name_may_not_hear_the_same_source(tmp_path: Path) -> None:
    old, new, other = (
        tiny_models.build(tmp_path, "window", "log_mel", name=name) for name in ("tones-1", "tones.1", "tones-2")
    )

    def config_of(*sources: str) -> config.Config:
        entries = "".join(
            f"\n  - {{file: {file}, sources: [{heard}]}}"
            for file, heard in zip((old, new, other), sources, strict=True)
        )
        text = f"sources: {{hall: {{}}, yard: {{remote: true}}}}\nmodels:{entries}\n"
        return config.parse(text.encode(), "streamd.yaml", tmp_path)

    with pytest.raises(ConfigError) as error:
        load_listeners(config_of("hall", "yard, hall", "hall"))
    (line,) = error.value.mistakes
    assert line == (
        f"streamd.yaml:4: models[1].file: its name is 'tones.1', that of {old} is 'tones-1', and both listen to hall;"
        " expected names that differ in letters or digits: rename one model, or give each sources of its own"
    )
    running = load_listeners(config_of("hall", "yard", "hall"))
    with pytest.raises(ConfigError, match="both listen to yard"):
        load_listeners(config_of("hall, yard", "yard", "hall"), running)


@pytest.fixture
def gpu_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model opens on the GPU, and its form with the log-mel in the graph doesn't."""

    class OnGpu(Model):
        def __init__(self, file: Path, device: Device = "auto") -> None:
            super().__init__(file, "cpu")
            if device != "cpu":
                self.provider = CUDA

    def rows_of(model: Model, max_batch: int) -> AnyRows:
        if model.provider == CUDA:
            raise model.refuse("its operators are of set 11; a GPU needs set 13 or newer: export it again")
        return Rows(model, max_batch)

    monkeypatch.setattr(listeners, "Model", OnGpu)
    monkeypatch.setattr(detector, "rows_on_device", rows_of)


@pytest.mark.usefixtures("gpu_that_refuses")
def test_what_a_gpu_refuses_runs_on_the_cpu_unless_the_gpu_was_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tiny_models.build(tmp_path, "window", "log_mel")
    text = f"sources: {{hall: {{}}}}\nmodels: [{{file: {file}}}]\n"
    [one] = load_listeners(config.parse(text.encode(), "streamd.yaml", tmp_path))
    assert one.model.provider == CPU
    assert "set 11; a GPU needs set 13 or newer: export it again; it runs on the CPU" in caplog.text
    with pytest.raises(ConfigError, match=r"streamd.yaml:2: models\[0\].file: .*export it again"):
        load_listeners(config.parse((text + "device: cuda\n").encode(), "streamd.yaml", tmp_path))


@pytest.mark.parametrize(
    ("hop_samples", "n_samples"), [(160, 160), (8000, 8000), (8080, 4040), (48000, 8000), (16007, 5336)]
)
def test_a_block_is_as_long_as_a_hop_or_a_part_of_one_that_is_longer_than_a_second(
    hop_samples: int, n_samples: int
) -> None:
    facts = SimpleNamespace(sample_rate=8000, hop_samples=hop_samples)
    [want] = wants_of([SimpleNamespace(model=SimpleNamespace(manifest=facts))], "one")  # type: ignore[list-item]
    assert (want.sample_rate, want.n_samples) == (8000, n_samples)
