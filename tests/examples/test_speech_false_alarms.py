"""False alarms of a speech model: what is counted on what, and that the shipped folder says just that."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("onnx")
pytest.importorskip("scipy")

from examples.speech import false_alarms as counting
from examples.speech.card import card
from examples.speech.ship import ship
from streamd.model import Model
from tests import tiny_models
from tests.tiny_models import SAMPLE_RATE, tone
from training.expect.intervals import poisson_interval

LOW = "Low tone"
SECONDS = 40
SPLITS = {"trained-on": "train", "compared-on": "test", "new": "count"}


@pytest.fixture(autouse=True)
def a_minute_of_made_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MADE", {"digital-silence": lambda half: np.zeros(30 * SAMPLE_RATE, np.int16)})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One track of each package; in all of them sound as many tones as the package's place in the list."""
    lines = ["path,label,onset,offset,source,split"]
    for n_tones, (package, split) in enumerate(SPLITS.items(), start=1):
        track = tmp_path / "music" / package / f"{package}.flac"
        track.parent.mkdir(parents=True)
        audio = np.zeros(SECONDS * SAMPLE_RATE, np.float32)
        for begin in range(SAMPLE_RATE, (1 + 8 * n_tones) * SAMPLE_RATE, 8 * SAMPLE_RATE):
            audio[begin : begin + 4 * SAMPLE_RATE] = tone(4 * SAMPLE_RATE, LOW)
        soundfile.write(track, audio, SAMPLE_RATE)
        lines.append(f"{track.relative_to(tmp_path)},background,,,{package}/track,{split}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    heard = {"sung.ogg": "YAMNet hears a voice in 30% of its windows", "twice.ogg": "a copy of another"}
    facts = {"version": "1.0", "licence": "GPL-2", "sha256": "f" * 64, "kind": "music", "left_out": heard}
    (tmp_path / "sources.json").write_text(json.dumps([facts | {"package": package} for package in SPLITS]))
    return tmp_path


def only_low(folder: Path, **changed: object) -> Path:
    return tiny_models.build(folder, "stream", "log_mel", **changed)


def test_music_that_was_trained_on_is_not_counted_and_recordings_and_made_sounds_are_counted_apart(data: Path) -> None:
    found = counting.false_alarms(Model(only_low(data), "cpu"), data)
    assert [(one["name"], one["n_events"]) for one in found["heard"]] == [
        ("compared-on", 2),
        ("new", 3),
        ("digital-silence", 0),
    ]
    real, made = found["real"], found["made"]
    assert (real["n_events"], made["n_events"]) == (5, 0)
    hours = 2 * (SECONDS - 0.2) / 3600
    assert real["per_hour_interval_95"] == pytest.approx(poisson_interval(5, hours), rel=2e-3)
    assert made["per_hour_interval_95"][0] == 0
    assert [one["n_events"] for one in found["real_by_kind"].values()] == [2, 3]
    assert real["part_of_time"] == pytest.approx(5 * 4 / (2 * SECONDS), rel=0.05)


def test_a_package_says_what_it_is_and_how_many_tracks_were_left_out_for_voices(data: Path) -> None:
    first, *_, made = counting.false_alarms(Model(only_low(data), "cpu"), data)["heard"]
    assert (first["version"], first["licence"], first["sha256"]) == ("1.0", "GPL-2", "f" * 64)
    assert (first["n_recordings"], first["n_left_out"]) == (1, 1)
    assert "licence" not in made


def test_what_is_shipped_is_the_seed_with_its_counts_and_a_card_made_from_it(data: Path, tmp_path: Path) -> None:
    run = data / "runs" / "seed-1"
    run.mkdir(parents=True)
    source = dict.fromkeys(("package", "version", "licence", "kind", "minutes", "used", "sha256"), "x")
    training = {
        **dict.fromkeys(("network", "licence", "scenes", "script"), "x"),
        "seed": 1,
        "target_delay_seconds": 0.128,
        "sources": [source],
    }
    only_low(run, training=training).rename(run / "speech.onnx")
    row = {"cell": "music at 0 dB", "seed 0": 0.9, "silero": 0.8, "difference": 0.1, "interval": [0.05, 0.15]}
    compared = {"lags_seconds": {"seed 0": 0.2, "silero": 0.1}, "test": {"title": "Czech", "rows": [row] * 3}}
    (data / "compare.json").write_text(json.dumps(compared))

    shipped = tmp_path / "shipped"
    ship(1, shipped, data)

    assert sorted(path.name for path in shipped.iterdir()) == ["card.md", "speech.onnx"]
    facts = Model(shipped / "speech.onnx", "cpu").manifest
    assert facts.expected["false_alarms"]["real"]["n_events"] == 5
    page = (shipped / "card.md").read_text(encoding="utf-8")
    assert page == card(facts)
    assert "| new 1.0 | GPL-2 | 1 | 1 | 0.01 | 3 |" in page
    assert "trained-on" not in page
