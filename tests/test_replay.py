"""Replay: any recording in, the very messages out, as a user's shell sees them."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from streamd.events import Event, at
from streamd.model import Model
from streamd.replay import replay, source_name
from streamd.shipped import model_file
from tests import sounds
from tests.wire import check_payload

RATES = [8_000, 16_000, 22_050, 44_100, 48_000, 96_000]
CROW_AT = 3.0


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(model_file("yamnet"))


def crow_file(folder: Path, rate: int, n_channels: int = 1, suffix: str = ".wav") -> Path:
    """A crow at 3 s at any rate; in stereo it sounds from the left only, twice as loud."""
    audio = soxr.resample(0.5 * sounds.scene(8, [(CROW_AT, sounds.crow())]), sounds.RATE, rate)
    if n_channels == 2:
        audio = np.stack([2 * audio, np.zeros_like(audio)], axis=1)
    file = folder / f"crow-{rate}-{n_channels}{suffix}"
    soundfile.write(file, audio, rate)
    return file


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streamd", "replay", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("rate", "n_channels", "suffix"),
    [(rate, channels, ".wav") for rate in RATES for channels in (1, 2)]
    + [(rate, 2, suffix) for rate, suffix in ((48_000, ".flac"), (44_100, ".ogg"), (44_100, ".mp3"), (16_000, ".mp3"))],
)
def test_a_crow_is_a_crow_in_every_format(
    model: Model, tmp_path: Path, rate: int, n_channels: int, suffix: str
) -> None:
    file = crow_file(tmp_path, rate, n_channels, suffix)
    found = list(replay([file], model, start=at(0)))
    assert [(event.label, event.phase) for event in found] == [("Crow", "onset"), ("Crow", "offset")]
    assert found[0].onset_seconds == pytest.approx(CROW_AT, abs=0.3)
    assert found[0].sample_rate == model.manifest.sample_rate


def test_json_is_one_message_a_line_with_the_fields_of_the_wire(tmp_path: Path) -> None:
    file = crow_file(tmp_path, 16_000)
    done = run(file, "--json", "--start", "2026-01-01T10:00:00Z")
    assert done.returncode == 0
    onset, offset = [check_payload(line.encode()) for line in done.stdout.splitlines()]
    assert isinstance(onset, Event)
    assert isinstance(offset, Event)
    assert onset.event_id == offset.event_id
    assert onset.onset_time == at(1767261600 + onset.onset_seconds)
    assert (onset.latency_seconds, onset.take) == (None, str(file))


def test_a_replay_begins_in_1970_unless_told_otherwise_and_repeats_itself(tmp_path: Path) -> None:
    file = crow_file(tmp_path, 16_000)
    first, second = run(file, "--json"), run(file, "--json")
    assert first.stdout == second.stdout
    assert json.loads(first.stdout.splitlines()[0])["time"].startswith("1970-01-01T00:00:0")


def test_padding_moves_positions_but_not_times(model: Model, tmp_path: Path) -> None:
    file = crow_file(tmp_path, 16_000)
    plain = next(replay([file], model, start=at(0)))
    padded = next(replay([file], model, pad_seconds=2.4, start=at(0)))
    assert padded.onset_sample == plain.onset_sample + round(2.4 * 16_000)  # ten hops: the same grid
    assert padded.onset_time == plain.onset_time


def test_a_file_shorter_than_the_first_score_says_so_and_names_pad(tmp_path: Path) -> None:
    file = sounds.save(tmp_path / "short.wav", sounds.crow())
    done = run(file)
    assert done.returncode == 65
    assert done.stdout == ""
    assert "0.48 s long" in done.stderr
    assert "--pad SECONDS" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Crow" in run(file, "--pad", "2").stdout


def test_labels_and_thresholds_are_those_that_were_asked_for(tmp_path: Path) -> None:
    file = crow_file(tmp_path, 16_000)
    assert run(file, "--labels", "Smoke detector, smoke alarm,Dog").stdout == ""
    everything = run(file, "--labels", "all", "--onset-threshold", "0.2").stdout
    assert {"Crow", "Caw", "Bird"} <= {line.split("\t")[3] for line in everything.splitlines()}
    wrong = run(file, "--labels", "Dgo")
    assert wrong.returncode == 64
    assert "did you mean 'Dog'" in wrong.stderr


def _text(file: Path) -> None:
    file.write_text("This is no sound at all.\n" * 50)


def _empty(file: Path) -> None:
    file.touch()


def _header_only(file: Path) -> None:
    soundfile.write(file, np.zeros(0, np.float32), 16_000)


def _truncated(file: Path) -> None:
    soundfile.write(file, sounds.scene(8, []), 16_000)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def _truncated_flac(file: Path) -> None:
    flac = file.with_suffix(".flac")
    soundfile.write(flac, sounds.scene(8, []), 16_000)
    file.write_bytes(flac.read_bytes()[:60_000])


def _not_a_number(file: Path) -> None:
    audio = sounds.scene(8, [])
    audio[70_000] = np.nan
    soundfile.write(file, audio, 16_000, subtype="FLOAT")


def _directory(file: Path) -> None:
    file.mkdir()


def _missing(file: Path) -> None:
    del file


def _wild_header(file: Path) -> None:
    file.write_bytes(b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVEfmt " + b"\xff" * 64)


@pytest.mark.parametrize(
    "spoil",
    [_text, _empty, _header_only, _truncated, _truncated_flac, _not_a_number, _directory, _missing, _wild_header],
    ids=lambda spoil: spoil.__name__,
)
def test_what_is_no_recording_gets_one_clear_line(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    file = tmp_path / "door.wav"
    spoil(file)
    done = run(file)
    assert done.returncode == 65
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"streamd: {file}")
    assert "Traceback" not in done.stderr


def test_any_file_name_makes_a_valid_source() -> None:
    assert source_name(Path("/x/Front Door (2).wav")) == "front-door-2"
    assert source_name(Path("犬.wav")) == "recording"
