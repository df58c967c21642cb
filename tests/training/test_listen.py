"""Simulated clips are written as they are, as a picture, and as the network hears them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch")

from streamd.logmel import LogMelSpec, log_mel
from training.prepare.clips import Clip
from training.prepare.simulation.chance import Range
from training.prepare.simulation.conditions import Conditions
from training.prepare.simulation.material import Material, Sound
from training.prepare.simulation.recipe import DRY
from training.process.listen import write_scenes

SPEC = LogMelSpec()


def conditions(peak: float) -> Conditions:
    time = np.arange(8000) / 16_000
    chirp = (peak * np.sin(2 * np.pi * (500 + 2000 * time) * time)).astype(np.float32)
    material = Material(16_000, (Sound(Clip(Path("x.wav"), "whistle", None, None, None, None), chirp),))
    return Conditions("test", replace(DRY, seconds=1.5, pause_seconds=Range(0.2, 0.3)), material)


def test_each_scene_is_a_clip_a_picture_and_what_is_left_of_it(tmp_path):
    lines = list(write_scenes(conditions(0.5), SPEC, 2, tmp_path / "hear"))
    files = sorted(path.name for path in (tmp_path / "hear").iterdir())
    assert files == ["1-heard.wav", "1.png", "1.wav", "2-heard.wav", "2.png", "2.wav"]
    assert len(lines) == 2
    assert lines[0].startswith(str(tmp_path / "hear" / "1.wav"))
    assert "whistle at 0." in lines[0]
    scene, rate = soundfile.read(tmp_path / "hear" / "1.wav", dtype="float32")
    heard, heard_rate = soundfile.read(tmp_path / "hear" / "1-heard.wav", dtype="float32")
    assert rate == heard_rate == 16_000
    one, other = log_mel(scene, SPEC), log_mel(heard, SPEC)
    loud = one > -40
    assert np.abs(one - other)[loud].mean() < 4, "the sound itself is there again"


def test_what_is_above_full_scale_is_made_quieter_and_not_clipped(tmp_path):
    list(write_scenes(conditions(3.0), SPEC, 1, tmp_path))
    scene, _ = soundfile.read(tmp_path / "1.wav", dtype="float32")
    assert np.abs(scene).max() == pytest.approx(1.0, abs=1e-3)
    assert np.mean(np.abs(scene) > 0.999) < 0.02
