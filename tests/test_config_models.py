from __future__ import annotations

from pathlib import Path

from streamd.config_models import check_against_models
from tests.test_config import parse
from tests.tiny_models import manifest


def test_labels_are_checked_against_the_models_with_the_lines_they_were_written_on(tmp_path: Path) -> None:
    (tmp_path / "tones.onnx").touch()
    text = """\
models:
  - file: tones.onnx
    labels:
      Low tone: {}
      low ton: {}
      Dog: {}
      High tone: {offset_threshold: 0.7}
"""
    parsed = parse(text, tmp_path)
    facts = manifest("window", "log_mel")
    strange = "model tiny-window-log_mel has no such label"
    late = (
        "offset_threshold 0.7 is above 0.6, the model's onset_threshold; "
        "a sound would end before it begins: lower it, or give onset_threshold too"
    )
    assert check_against_models(parsed, {parsed.models[0].file: facts}) == [
        f"streamd.yaml:5: models[0].labels.'low ton': {strange}; did you mean 'Low tone'?",
        f"streamd.yaml:6: models[0].labels.Dog: {strange}; `streamd model {tmp_path}/tones.onnx` lists its 3 labels",
        f"streamd.yaml:7: models[0].labels.'High tone': {late}",
    ]
    fine = parse("models: [{file: tones.onnx, labels: all}]", tmp_path)
    assert check_against_models(fine, {fine.models[0].file: facts}) == []


def test_a_label_that_no_model_has_is_a_mistake_of_the_recorder_too() -> None:
    parsed = parse("recorder:\n  folder: x\n  labels:\n    Low tone: {}\n    Loww tone: {}\n")
    (use,) = parsed.models
    assert check_against_models(parsed, {use.file: manifest("window", "log_mel")}) == [
        "streamd.yaml:5: recorder.labels.'Loww tone': no model has such a label; did you mean 'Low tone'?"
    ]
    assert check_against_models(parsed, {}) == []
