"""Where labels differ is found, by groups that were left out, and nothing is found where nothing is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfilt

pytest.importorskip("sklearn")

from streamd.errors import DataError
from streamd.logmel import LogMelSpec
from training.prepare.clips import Clip
from training.prepare.command import know
from training.prepare.measure import measure
from training.prepare.simulation.recipe import DRY
from training.process.command import compared, process, see
from training.process.examples import Example, examples_of, true_rate, wide_enough
from training.process.probe import probe, score_of
from training.process.representations import representations
from training.process.separability import centre_hz, separability

SAMPLE_RATE = 16_000


def band(low_hz: float, high_hz: float, seed: int, seconds: float = 0.4) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, round(seconds * SAMPLE_RATE))
    filtered = sosfilt(butter(4, (low_hz, high_hz), "bandpass", fs=SAMPLE_RATE, output="sos"), noise)
    return np.asarray(0.1 * filtered / filtered.std(), np.float32)


def two_labels(n_groups: int = 6, *, differ: bool = True) -> list[Example]:
    """Return clips of two labels that are alike but between 2 and 3 kHz."""
    examples = []
    for i in range(5 * n_groups):
        hum = band(100, 1000, i) * np.random.default_rng(i).uniform(0.5, 2)
        for label in ("dull", "bright"):
            extra = 0.3 * band(2000, 3000, 1000 + i) if label == "bright" and differ else 0
            hiss = np.random.default_rng(2000 + i).normal(0, 1e-3, len(hum))
            examples.append(Example(label, f"group {i % n_groups}", (hum + extra + hiss).astype(np.float32)))
    return examples


def test_the_bands_in_which_labels_differ_stand_out():
    spec = LogMelSpec()
    seen = separability(two_labels(), spec)
    hz = centre_hz(spec)
    assert seen is not None
    assert seen[(hz > 2100) & (hz < 2900)].min() == 1.0
    assert seen[(hz > 200) & (hz < 900)].max() < 0.75
    assert hz[0] > 50
    assert hz[-1] < 8000
    assert (np.diff(hz) > 0).all()


def test_with_one_kind_of_clips_there_is_nothing_to_compare():
    dull = [one for one in two_labels() if one.label == "dull"]
    assert separability(dull, LogMelSpec()) is None
    assert probe(dull, SAMPLE_RATE) is None


def test_the_probe_finds_the_octave_that_tells_the_labels_and_the_lowest_rate_that_holds_it():
    found = probe(two_labels(), SAMPLE_RATE)
    assert found is not None
    assert found.whole.accuracy == 1.0
    octaves = {low: score.accuracy for low, _, score in found.octaves}
    assert octaves[2000.0] == 1.0
    assert max(octaves[250.0], octaves[500.0]) < 0.8
    assert found.enough_rate == 8000
    assert found.chance == 0.5
    assert "in 100% (61% to 100%)" in found.sentence, "six groups of six may still be 61 %"
    assert "in 100% from what 8 kHz can hold" in found.sentence


def test_labels_that_do_not_differ_are_told_by_chance():
    found = probe(two_labels(differ=False), SAMPLE_RATE)
    assert found is not None
    assert found.whole.interval[0] <= 0.5
    assert "not in their levels" in found.sentence


def test_a_group_is_never_learnt_from_and_tested_on():
    """Each group's label shows only by a tone of the group's own: whoever learns others' can't tell it."""
    rng = np.random.default_rng(0)
    examples = []
    for i, hz in enumerate(np.geomspace(200, 6000, 12)):
        tone = 0.1 * np.sin(2 * np.pi * hz * np.arange(6400) / SAMPLE_RATE)
        for _ in range(6):
            noisy = (tone + rng.normal(0, 1e-3, 6400)).astype(np.float32)
            examples.append(Example("ab"[i % 2], str(i), noisy))
    found = probe(examples, SAMPLE_RATE)
    assert found is not None
    assert found.whole.accuracy < 0.75


def test_two_groups_are_the_fewest_that_can_be_asked():
    assert probe(two_labels(1), SAMPLE_RATE) is None
    assert probe(two_labels(2), SAMPLE_RATE) is not None


def test_balanced_accuracy_counts_labels_and_its_interval_counts_groups():
    labels = ["a"] * 90 + ["b"] * 10
    groups = [str(i // 10) for i in range(90)] + [str(i) for i in range(10)]
    score = score_of(np.array([True] * 90 + [False] * 10), labels, groups)
    assert score.accuracy == 0.5
    one_group_wrong = score_of(np.array([False] * 10 + [True] * 80 + [True] * 10), labels, groups)
    assert one_group_wrong.interval[0] < one_group_wrong.accuracy < one_group_wrong.interval[1] == 1.0


def test_the_true_rate_is_that_of_nearly_all_and_narrower_clips_are_left_out(tmp_path):
    clips = []
    for i in range(20):
        rate = 8000 if i == 0 else 16_000
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, np.random.default_rng(i).normal(0, 0.1, rate), rate)
        clips.append(Clip(path, "x", None, None, str(i), None))
    measured = {clip.path: measure(clip.path) for clip in clips}
    assert true_rate(clips, measured) == 16_000
    assert wide_enough(clips, measured, 16_000) == clips[1:]
    narrow_place = replace(clips[0], label=None)
    assert true_rate([*clips, narrow_place], measured) == 8000, "no kind may be left out as a whole"


def test_background_is_cut_as_long_as_sounds_and_one_recording_of_it_into_blocks(tmp_path):
    clips = []
    for i in range(4):
        soundfile.write(tmp_path / f"{i}.wav", band(500, 3000, i), SAMPLE_RATE)
        clips.append(Clip(tmp_path / f"{i}.wav", "x", None, None, str(i), None))
    soundfile.write(tmp_path / "place.wav", band(500, 3000, 9, seconds=8), SAMPLE_RATE)
    examples = examples_of([*clips, Clip(tmp_path / "place.wav", None, None, None, "place", None)], SAMPLE_RATE)
    background = [one for one in examples if one.label is None]
    assert len(background) == 20
    assert {len(one.audio) for one in background} == {round(0.4 * SAMPLE_RATE)}
    assert len({one.group for one in background}) == 5


def data_set(folder: Path) -> Path:
    for i, one in enumerate(two_labels(3)):
        (folder / str(one.label)).mkdir(parents=True, exist_ok=True)
        quiet = np.zeros(1600, np.float32)
        path = folder / str(one.label) / f"{one.group.replace(' ', '')}-{i}.wav"
        soundfile.write(path, np.concatenate([quiet, one.audio, quiet]), SAMPLE_RATE)
    rows = [f"{path.relative_to(folder)},{path.stem.split('-')[0]}" for path in folder.rglob("*.wav")]
    (folder / "labels.csv").write_text("path,source\n" + "\n".join(rows) + "\n")
    return folder


def test_a_folder_is_seen_compared_and_heard(tmp_path, monkeypatch):
    data, out = data_set(tmp_path / "data"), tmp_path / "out"
    monkeypatch.setattr("training.process.compare.N_EPOCHS", 1)
    monkeypatch.setattr("training.process.compare.representations", lambda spec: representations(spec)[-1:])
    told = list(see(data, out, recipe=replace(DRY, seconds=2.0), compare_all=True, n_scenes=2))
    assert told[0] == f"{data}: 30 clips of 3 groups"
    (last_of_table,) = (i for i, line in enumerate(told) if "chance is 50%; times" in line)
    assert told[last_of_table - 1].startswith("mel, dB, bands below 4 kHz")
    assert [line.split(",")[0] for line in told[last_of_table + 1 :]] == [f"{out}/1.wav", f"{out}/2.wav"]
    assert sorted(path.name for path in out.glob("*.wav")) == ["1-heard.wav", "1.wav", "2-heard.wav", "2.wav"]
    assert sorted(path.name for path in out.glob("*.png")) == ["1.png", "2.png", "bands.png"]


def test_one_label_alone_can_not_be_compared(tmp_path):
    data = data_set(tmp_path / "data")
    for path in (data / "dull").iterdir():
        path.unlink()
    (data / "dull").rmdir()
    (data / "labels.csv").unlink()
    with pytest.raises(DataError, match="expected two groups of two kinds"):
        list(compared(know(data), LogMelSpec()))


def test_a_folder_is_told_about_with_a_picture(tmp_path):
    lines = process(know(data_set(tmp_path / "data")), LogMelSpec(), tmp_path / "out")
    told = []
    while True:
        try:
            told.append(next(lines))
        except StopIteration as end:
            done = end.value
            break
    assert done.separability.shape == done.band_hz.shape == (64,)
    assert done.probe.whole.accuracy > 0.9
    assert done.suggested.sample_rate == 8000
    assert done.suggested.fmin < 2100 < 2900 < done.suggested.fmax
    assert done.suggestion == told[-2]
    assert (tmp_path / "out" / "bands.png").read_bytes()[:4] == b"\x89PNG"
