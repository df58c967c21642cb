"""`python -m training prepare DATA`, as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.training.trees import folders
from training.__main__ import main
from training.prepare import demo_sounds
from training.prepare.command import Known, prepare
from training.prepare.trim import Trim

SAMPLE_RATE = 16_000


def knocks(folder: Path, place: int, n_clips: int) -> None:
    """Write clips of a second in which something knocks at 0.5 s, in one place's noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(place)
    for i in range(n_clips):
        clip = rng.normal(0, 10 ** ((-75 + 5 * place) / 20), SAMPLE_RATE)
        clip[8000:9600] += rng.normal(0, 0.2, 1600) * np.exp(-np.arange(1600) / 500)
        soundfile.write(folder / f"{place}{i:02}.wav", clip.clip(-1, 1), SAMPLE_RATE)


def test_a_folder_of_clips_is_told_about_from_the_command_line(tmp_path):
    for place in range(6):
        knocks(tmp_path / "knock", place, 5)
    done = subprocess.run(
        [sys.executable, "-m", "training", "prepare", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{tmp_path}: read as folders"
    (row,) = (line.split() for line in lines if line.startswith("knock "))
    assert row[:6] == ["knock", "30", "30", "6", "0.5", "1.00"]
    assert "sample rates: 16000 Hz (30)" in lines
    assert "6 groups (6 by noise floor)" in lines
    assert "sounds inside their clips: 30 found" in lines
    (trim,) = (line for line in lines if "knock/000.wav: 0." in line)
    onset, offset = (float(text) for text in trim.split(": ")[1].split(" s")[0].split("–"))
    assert onset == pytest.approx(0.48, abs=0.02)
    assert 0.55 < offset < 0.66
    assert float(row[7]) == pytest.approx(0.2, abs=0.05), "0.22 s, but for the end, which is cut off"
    assert "meh:" in lines
    assert "  'knock' comes from 6 groups: 10 would tell more of the next one" in lines
    assert lines[-1] == "5 folds that cut no group, of 10, 5, 5, 5, 5 clips"


def test_clips_of_one_recording_end_with_the_line_that_says_so(tmp_path, capsys):
    knocks(tmp_path / "knock", 2, 60)
    assert main(["prepare", str(tmp_path)]) == 65
    told = capsys.readouterr()
    assert "1 group (1 by noise floor)" in told.out
    assert "\nugh:\n  'knock' comes from one recording or session" in told.out
    assert told.err.startswith("training: all clips of 'knock' come from one recording or session")
    assert told.err.count("\n") == 1


def test_a_bad_data_set_gets_one_line_and_nothing_else(tmp_path, capsys):
    assert main(["prepare", str(folders(tmp_path, knock=1))]) == 65
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("training: ")
    assert told.err.count("\n") == 1


def test_a_layout_can_be_named_and_help_names_them_all(tmp_path, capsys, monkeypatch):
    assert main(["prepare", str(folders(tmp_path, knock=2)), "--layout", "esc-50"]) == 65
    assert "meta/esc50.csv" in capsys.readouterr().err
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit):
        main(["prepare", "--help"])
    assert "folders, labels.csv, esc-50, urbansound8k, speech-commands, fsd50k" in capsys.readouterr().out


def test_a_sound_that_is_known_ends_with_the_lines_that_need_no_training(tmp_path):
    (tmp_path / "honk").mkdir()
    for i in range(16):
        audio = np.random.default_rng(i).uniform(0.1, 0.9) * demo_sounds.car_horn()
        soundfile.write(tmp_path / "honk" / f"{'abcdefgh'[i % 8]}-{i}.wav", audio, demo_sounds.SAMPLE_RATE)
    (tmp_path / "labels.csv").write_text(
        "path,source\n" + "".join(f"honk/{'abcdefgh'[i % 8]}-{i}.wav,{i % 8}\n" for i in range(16))
    )
    lines, known = drained(prepare(tmp_path))
    assert "lucky" in known.verdict.word
    assert lines[-2] == f"\nin streamd.yaml:\n{known.hearings.configuration}"
    assert known.answer_to("honk").known == "Vehicle horn, car horn, honking"
    assert known.answer_to("nothing") is None
    assert known.evidence == {"source": 8}
    assert known.background_minutes == 0.0


def test_how_sounds_are_told_from_their_floor_is_adjustable_and_nobody_needs_to_listen(tmp_path):
    for place in range(6):
        knocks(tmp_path / "knock", place, 3)
    _, gentle = drained(prepare(tmp_path, trim=Trim(above_floor_db=6), hear=False))
    _, strict = drained(prepare(tmp_path, trim=Trim(above_floor_db=25), hear=False))
    assert gentle.hearings is None
    later = [
        gentle.audit.measured[path].found.offset_sample - found.found.offset_sample
        for path, found in strict.audit.measured.items()
    ]
    assert min(later) >= 0
    assert max(later) > 0


def test_the_first_line_comes_before_any_audio_is_measured(tmp_path, monkeypatch):
    def unmeasured(*arguments: object) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr("training.prepare.command.audit", unmeasured)
    lines = prepare(folders(tmp_path, knock=2))
    assert next(lines).endswith("read as folders")
    with pytest.raises(AssertionError, match="measured"):
        list(lines)


def drained(lines: Generator[str, None, Known]) -> tuple[list[str], Known]:
    """Return all lines, and what is returned behind them."""
    told = []
    while True:
        try:
            told.append(next(lines))
        except StopIteration as end:
            return told, end.value
