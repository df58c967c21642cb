"""Models of a configuration: loaded once, refused together, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd import config
from streamd.errors import ConfigError
from streamd.listeners import load_listeners
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
