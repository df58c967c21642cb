"""An audit names what is wrong with a data set, and nothing where nothing is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.prepare.audit import BACKGROUND, audit
from training.prepare.clips import Clip
from training.prepare.groups import find_groups

SAMPLE_RATE = 16_000


def burst(seed: int, level_db: float = -15.0, floor_db: float = -70.0) -> np.ndarray:
    """A second with a noise in the middle third of it."""
    rng = np.random.default_rng(seed)
    clip = rng.normal(0, 10 ** (floor_db / 20), SAMPLE_RATE)
    clip[5000:11_000] += rng.normal(0, 10 ** (level_db / 20), 6000)
    return clip.clip(-0.99, 0.99)


class Tree:
    """Recordings with a label, a group and a split each, and the audit of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clips: list[Clip] = []

    def add(self, samples, label="knock", source=None, split=None, sample_rate=SAMPLE_RATE) -> Path:
        path = self.folder / f"{len(self.clips)}.wav"
        soundfile.write(path, samples, sample_rate)
        self.clips.append(Clip(path, label, None, None, source or f"s{len(self.clips)}", split))
        return path

    def audit(self):
        return audit(find_groups(self.clips))

    def findings(self) -> dict[str, list[Path]]:
        return {finding.text: finding.paths for finding in self.audit().findings}

    def finding(self, words: str) -> list[Path]:
        (paths,) = (paths for text, paths in self.findings().items() if words in text)
        return paths


@pytest.fixture
def tree(tmp_path):
    """Five good clips of five groups: nothing to find."""
    tree = Tree(tmp_path)
    for i in range(5):
        tree.add(burst(i))
    return tree


def test_a_good_data_set_has_no_findings_and_its_numbers_are_told(tree):
    tree.add(burst(9, level_db=-80), None)
    found = tree.audit()
    assert found.findings == []
    knock, background = found.rows
    assert (knock.label, knock.n_clips, knock.n_recordings, knock.n_groups) == ("knock", 5, 5, 5)
    assert knock.seconds == 5.0
    assert knock.median_seconds == 1.0
    assert knock.median_snr_db == pytest.approx(55, abs=1.5)
    assert (background.label, background.n_clips, background.median_snr_db) == (BACKGROUND, 1, None)


def test_sounds_inside_a_recording_count_with_their_own_length(tree):
    path = tree.clips[0].path
    tree.clips += [Clip(path, "knock", 0.3, 0.5, "s1", None), Clip(path, "knock", 0.6, 0.7, "s1", None)]
    (knock,) = tree.audit().rows
    assert (knock.n_clips, knock.n_recordings) == (7, 5)
    assert knock.seconds == pytest.approx(5.3)


def test_single_recordings_that_stand_out_are_named(tree):
    narrow = burst(20)
    spectrum = np.fft.rfft(narrow)
    spectrum[4000:] = 0
    bad = {
        "silent": tree.add(np.zeros(SAMPLE_RATE)),
        "end in a cliff": tree.add(np.fft.irfft(spectrum).clip(-0.99, 0.99)),
        "clipped": tree.add((burst(21) * 8).clip(-1, 1)),
        "constant offset": tree.add(burst(22, level_db=-30) + 0.1),
        "too noisy to simulate": tree.add(burst(23, floor_db=-30)),
        "several sample rates": tree.add(burst(24), sample_rate=8000),
    }
    assert len(tree.findings()) == len(bad)
    for words, path in bad.items():
        assert tree.finding(words) == [path]


def test_copies_are_found_and_worse_ones_told_apart(tree):
    copies = [tree.clips[0].path, tree.add(burst(0), "cough", "elsewhere", "test")]
    for i in range(4):
        tree.add(burst(30 + i), "cough")
    assert sorted(tree.finding("1 recordings are copies")) == sorted(copies)
    for words in ("different labels", "different groups", "different official splits"):
        assert sorted(tree.finding(words)) == sorted(copies)


def test_silent_recordings_are_no_copies_of_each_other(tree):
    tree.add(np.zeros(SAMPLE_RATE))
    tree.add(np.zeros(SAMPLE_RATE))
    assert not any("copies" in text for text in tree.findings())


def test_an_official_split_that_cuts_a_group_is_a_leak(tree):
    cut = [tree.add(burst(40 + i), source="speaker", split=split) for i, split in enumerate(("train", "test"))]
    tree.add(burst(50), source="other", split="test")
    assert tree.finding("official splits cut 1 groups (speaker)") == cut


def test_few_groups_are_told(tmp_path):
    tree = Tree(tmp_path)
    for i in range(6):
        tree.add(burst(i), source=f"s{i % 2}")
    assert len(tree.finding("'knock' comes from 2 groups; expected 5 or more")) == 6


def test_loudness_that_gives_the_label_away_is_told_and_equal_loudness_is_not(tmp_path):
    tree = Tree(tmp_path)
    for i in range(10):
        tree.add(burst(i, level_db=-12 - i % 3))
        tree.add(burst(100 + i, level_db=-30 - i % 3), "cough")
        tree.add(burst(200 + i, level_db=-(25, 35)[i % 2]), "clap")
    texts = list(tree.findings())
    assert any("'knock' away: its clips are louder" in text for text in texts)
    assert not any("'clap'" in text for text in texts)
