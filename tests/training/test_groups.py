"""Groups come from sources, names and noise floors, and no fold cuts one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import DataError
from training.prepare.clips import Clip
from training.prepare.groups import Group, find_groups, folds

SAMPLE_RATE = 16_000


def clip(path: Path, label: str | None = "knock", source: str | None = None) -> Clip:
    return Clip(path, label, None, None, source, None)


def room(seconds: float, place: int) -> np.ndarray:
    """Steady noise of one of twelve places, which lie 4 dB in level or 3 dB an octave in colour apart."""
    n = round(seconds * SAMPLE_RATE)
    white = np.fft.rfft(np.random.default_rng(place).standard_normal(n))
    hz = np.maximum(np.fft.rfftfreq(n, 1 / SAMPLE_RATE), 50)
    noise = np.fft.irfft(white * hz ** -(0.5 * (place % 2)), n)
    return noise / noise.std() * 10 ** ((-70 + 4 * (place // 2)) / 20)


def write_pieces(folder: Path, place: int, n_pieces: int, first: int = 0) -> list[Path]:
    """Cut pieces of 0.7 to 2 s, each with a knock of another loudness, from one recording."""
    rng = np.random.default_rng([place, 1])
    recording = room(2.0 * n_pieces, place)
    paths = []
    for i in range(n_pieces):
        piece = recording[2 * i * SAMPLE_RATE :][: round(rng.uniform(0.7, 2.0) * SAMPLE_RATE)].copy()
        decay = np.exp(-np.arange(2000) / 400) * rng.uniform(0.1, 0.9)
        piece[3000:5000] += decay * rng.choice([-1.0, 1.0], 2000) * 0.5
        paths.append(folder / f"{first + i:03}.flac")
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(paths[-1], piece, SAMPLE_RATE)
    return paths


def test_a_source_is_the_group_and_its_recordings_are_not_even_read():
    clips = [clip(Path(f"nowhere/{i}.wav"), source="ab"[i % 2]) for i in range(4)]
    assert [(g.name, g.evidence, len(g.clips)) for g in find_groups(clips)] == [
        ("a", "source", 2),
        ("b", "source", 2),
    ]


def test_clips_of_one_recording_stay_together_even_if_only_one_has_a_source():
    path = Path("nowhere/tape.wav")
    (group,) = find_groups([clip(path), clip(path, "cough", "attic")])
    assert group.name == "attic"
    assert {c.source for c in group.clips} == {"attic"}


def test_names_that_differ_in_a_counter_are_one_group_across_labels():
    names = ["kitchen_01", "kitchen_02", "kitchen (3)", "hall-7", "hall-8"]
    clips = [clip(Path(f"nowhere/{name}.wav"), "knock" if i % 2 else "cough") for i, name in enumerate(names)]
    assert [(g.name, g.evidence, len(g.clips)) for g in find_groups(clips)] == [
        ("kitchen", "file name", 3),
        ("hall", "file name", 2),
    ]


def test_a_name_that_all_clips_have_groups_nothing_but_one_that_some_have_does():
    clips = [clip(Path(f"nowhere/kitchen_{i}.wav"), "cough", "x" if i else None) for i in range(3)]
    clips += [clip(Path(f"nowhere/kitchen_{i}.wav")) for i in range(3, 6)]
    clips += [clip(Path(f"nowhere/hall_{i}.wav")) for i in range(2)]
    assert {g.name: (g.evidence, len(g.clips)) for g in find_groups(clips)} == {
        "x": ("source", 2),
        "kitchen": ("file name", 4),
        "hall": ("file name", 2),
    }


@pytest.mark.parametrize("name", ["{:03}", "knock_{}", "Knock {}", "clip{}"])
def test_sixty_clips_cut_from_one_recording_are_one_group_whatever_their_names(tmp_path, name):
    paths = write_pieces(tmp_path / "knock", place=3, n_pieces=60)
    clips = [clip(path.rename(path.with_name(f"{name.format(i)}.flac"))) for i, path in enumerate(paths)]
    groups = find_groups(clips)
    assert len(groups) == 1
    assert groups[0].evidence == "noise floor"
    with pytest.raises(DataError, match="all clips of 'knock' come from one recording or session") as raised:
        folds(groups)
    assert "labels.csv" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_pieces_of_ten_places_are_told_apart_by_their_noise(tmp_path):
    place_of = {path: place for place in range(10) for path in write_pieces(tmp_path / "knock", place, 6, place * 6)}
    groups = find_groups([clip(path) for path in place_of])
    places = [{place_of[c.path] for c in group.clips} for group in groups]
    assert all(len(found) == 1 for found in places)  # none holds two places
    assert len(groups) == 10


def test_digital_silence_and_sounds_that_fill_their_clip_join_nothing(tmp_path):
    paths = [tmp_path / f"{i}.wav" for i in range(4)]
    tone = 0.1 * np.sin(np.arange(SAMPLE_RATE) * 0.3)
    half = np.concatenate([np.zeros(SAMPLE_RATE), tone])
    for path, samples in zip(paths, (tone, tone, half, half), strict=True):
        soundfile.write(path, samples, SAMPLE_RATE)
    assert [g.evidence for g in find_groups([clip(path) for path in paths])] == ["alone"] * 4


def test_background_of_one_place_is_one_group(tmp_path):
    whole = room(6.0, 1)
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", whole[i * 2 * SAMPLE_RATE :][: 2 * SAMPLE_RATE], SAMPLE_RATE, "FLOAT")
    assert len(find_groups([clip(tmp_path / f"{i}.wav", None) for i in range(3)])) == 1


def groups_of(sizes: list[dict[str | None, int]]) -> list[Group]:
    return [
        Group(f"g{g}", "source", [clip(Path(f"{g}-{la}-{i}"), la, f"g{g}") for la, n in size.items() for i in range(n)])
        for g, size in enumerate(sizes)
    ]


@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b", None]), st.integers(1, 9), min_size=1), max_size=12),
    st.randoms(),
)
def test_folds_keep_every_clip_once_cut_no_group_and_do_not_depend_on_order(sizes, random):
    groups = groups_of([{"a": 1, "b": 1}, {"a": 2, "b": 1}, *sizes])
    found = folds(groups)
    assert Counter(c.path for fold in found for c in fold) == Counter(c.path for g in groups for c in g.clips)
    where = {(c.source, i) for i, fold in enumerate(found) for c in fold}
    assert len(where) == len(groups)
    random.shuffle(groups)
    assert folds(groups) == found


def test_folds_hold_about_the_same_of_each_label():
    found = folds(groups_of([{"a": 4}, {"b": 2}] * 10 + [{None: 1}] * 5))
    assert [Counter(c.label for c in fold) for fold in found] == [{"a": 8, "b": 4, None: 1}] * 5


def test_three_groups_are_left_out_one_at_a_time():
    found = folds(groups_of([{"a": 30}, {"a": 3}, {"a": 1}]))
    assert [len(fold) for fold in found] == [30, 3, 1]
