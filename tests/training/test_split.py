"""No group is in two parts of a split, every label is where it is needed, and the reason says how."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import assume, example, given
from hypothesis import strategies as st

from streamd.errors import DataError
from training.prepare.clips import Clip
from training.prepare.groups import Group, find_groups
from training.prepare.split import GAP_SECONDS, split


def group(name, *labels, n_clips=3, official=None):
    names = [official] * len(labels) * n_clips if not isinstance(official, list) else official
    clips = [label for label in labels for _ in range(n_clips)]
    return Group(
        name,
        "source",
        [
            Clip(Path(f"{name}/{label}{i}.wav"), label, None, None, name, own)
            for i, (label, own) in enumerate(zip(clips, names, strict=True))
        ],
    )


def background(folder, *seconds, apart=True):
    """Recordings of places that last so long, each in a group of its own or all in one."""
    clips = []
    for i, one in enumerate(seconds):
        path = folder / f"{i}.wav"
        soundfile.write(path, np.zeros(round(one * 100)), 100)
        clips.append(Clip(path, None, None, None, f"place {i}" if apart else "place", None))
    return [Group(clip.source, "alone", [clip]) for clip in clips] if apart else [Group("place", "noise floor", clips)]


def sources(clips):
    return {clip.source for clip in clips}


def labels(clips):
    return {clip.label for clip in clips} - {None}


def assert_apart(one):
    for a, b in combinations([one.training, one.tuning, one.test], 2):
        assert not sources(a) & sources(b)


def test_five_groups_of_each_label_make_one_split_of_three_parts():
    groups = [group(f"kit {i}", "kick", "snare") for i in range(8)]
    [only] = split(groups)
    assert_apart(only)
    assert labels(only.training) == labels(only.tuning) == labels(only.test) == {"kick", "snare"}
    assert sorted(map(str, only.training + only.tuning + only.test)) == sorted(str(c) for g in groups for c in g.clips)
    assert "8 groups in 5 folds" in only.reason


@given(
    sizes=st.lists(st.integers(1, 9), min_size=5, max_size=20),
    both=st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_a_group_is_never_cut_and_no_clip_is_lost(sizes, both):
    groups = [
        group(f"g{i}", *(["a", "b"] if two else ["a"]), n_clips=n)
        for i, (n, two) in enumerate(zip(sizes, both, strict=False))
    ]
    if sum("b" in labels(g.clips) for g in groups) == 1:
        groups.append(group("more", "b"))
    found = split(groups)
    n_clips = sum(len(g.clips) for g in groups)
    for one in found:
        assert_apart(one)
        assert len(one.training) + len(one.tuning) + len(one.test) == n_clips
        assert len({*one.training, *one.tuning, *one.test}) == n_clips
        assert one.training
        assert one.test


def test_with_three_groups_each_is_left_out_once_and_nothing_tunes():
    found = split([group(f"day {i}", "knock", n_clips=5 + i) for i in range(3)])
    assert Counter(source for one in found for source in sources(one.test)) == {"day 0": 1, "day 1": 1, "day 2": 1}
    for one in found:
        assert_apart(one)
        assert one.tuning == []
        assert len(one.training) + len(one.test) == 18
        assert "3 groups" in one.reason


def test_one_group_is_refused():
    with pytest.raises(DataError, match="one recording or session"):
        split([group("only", "knock", n_clips=60)])


def test_official_splits_are_kept():
    groups = [group(f"{name} {i}", "a", "b", official=name) for name in ("train", "validation", "test") for i in (0, 1)]
    [only] = split(groups)
    assert sources(only.training) == {"train 0", "train 1"}
    assert sources(only.tuning) == {"validation 0", "validation 1"}
    assert sources(only.test) == {"test 0", "test 1"}
    assert "own splits" in only.reason


def test_official_folds_test_and_tune_with_the_first_two():
    groups = [group(f"clip {fold}-{i}", "a", official=fold) for fold in "12345" for i in range(3)]
    [only] = split(groups)
    assert sources(only.test) == {f"clip 1-{i}" for i in range(3)}
    assert sources(only.tuning) == {f"clip 2-{i}" for i in range(3)}
    assert len(only.training) == 27


def test_without_an_official_validation_a_fifth_of_what_trains_tunes():
    groups = [group(f"{name} {i}", "a", official=name) for name in ("train", "eval") for i in range(10)]
    [only] = split(groups)
    assert_apart(only)
    assert len(sources(only.tuning)) == 2
    assert sources(only.test) == {f"eval {i}" for i in range(10)}


def test_without_an_official_test_the_validation_tests():
    groups = [group(f"{name} {i}", "a", official=name) for name in ("train", "valid") for i in range(6)]
    [only] = split(groups)
    assert sources(only.test) == {f"valid {i}" for i in range(6)}
    assert_apart(only)


def test_a_group_that_official_splits_cut_trains_whole():
    groups = [group(f"{name} {i}", "a", official=name) for name in ("train", "val", "test") for i in range(2)]
    groups.append(group("cut", "a", n_clips=2, official=["train", "test"]))
    [only] = split(groups)
    assert "cut" in sources(only.training)
    assert_apart(only)
    assert "1 group" in only.reason


def test_a_split_name_that_nobody_knows_is_refused():
    groups = [group(f"{name} {i}", "a", official=name) for name in ("train", "tset") for i in range(6)]
    with pytest.raises(DataError, match="'tset'"):
        split(groups)


def test_official_splits_without_a_label_to_test_are_not_used():
    groups = [group(f"a{i}", "a", official="train" if i else "test") for i in range(6)]
    groups += [group(f"b{i}", "b", official="train") for i in range(6)]
    [only] = split(groups)
    assert labels(only.test) == {"a", "b"}


def sounding():
    return [group(f"kit {i}", "kick") for i in range(5)]


def quiet(clips):
    return [clip for clip in clips if clip.label is None]


def test_background_is_split_by_place_where_there_are_three(tmp_path):
    [only] = split(sounding() + background(tmp_path, 60, 50, 40, 30))
    assert_apart(only)
    assert [len(quiet(part)) for part in (only.training, only.tuning, only.test)] == [1, 1, 2]
    assert "by place" in only.reason


def test_background_of_one_place_is_split_by_file(tmp_path):
    [only] = split(sounding() + background(tmp_path, 60, 50, 40, apart=False))
    assert [len(quiet(part)) for part in (only.training, only.tuning, only.test)] == [1, 1, 1]
    assert "by file" in only.reason


def test_one_long_background_recording_is_cut_in_time_with_a_gap(tmp_path):
    [only] = split(sounding() + background(tmp_path, 620))
    pieces = [quiet(part)[0] for part in (only.training, only.tuning, only.test)]
    assert [(one.onset_seconds, one.offset_seconds) for one in pieces] == [(0, 200), (210, 410), (420, 620)]
    assert GAP_SECONDS == 10
    assert "by time" in only.reason


def test_a_short_background_recording_trains_whole_and_that_is_said(tmp_path):
    [only] = split(sounding() + background(tmp_path, 30))
    assert [len(quiet(part)) for part in (only.training, only.tuning, only.test)] == [1, 0, 0]
    assert "too short" in only.reason


def test_with_few_groups_each_part_of_the_background_is_left_out_once(tmp_path):
    found = split([group(f"day {i}", "knock") for i in range(3)] + background(tmp_path, 620))
    tested = [quiet(one.test)[0] for one in found]
    assert len({clip.onset_seconds for clip in tested}) == 3
    for one, clip in zip(found, tested, strict=True):
        assert len(quiet(one.training)) == 3
        assert clip not in one.training


def test_with_few_groups_a_short_background_trains_in_all_of_them(tmp_path):
    for one in split([group(f"day {i}", "knock") for i in range(3)] + background(tmp_path, 30)):
        assert (len(quiet(one.training)), len(quiet(one.test))) == (1, 0)


def test_a_fold_that_lacks_a_label_trains_and_does_not_test():
    holds = ["ab", "b", "a", "ab", "a", "b", "a", "ab", "b", "a", "c", "c", "c", "ac", "bc"]
    [only] = split([group(f"kit {i}", *held, n_clips=1 + i) for i, held in enumerate(holds)])
    assert labels(only.training) == labels(only.test) == {"a", "b", "c"}


@example([{"a", "c"}, {"b", "c"}, {"a", "b"}])  # two folds are too few
@given(st.lists(st.sets(st.sampled_from("abcdef"), min_size=1), min_size=2, max_size=24))
def test_what_tests_or_tunes_leaves_something_of_each_of_its_labels_to_learn_from(held):
    groups = [group(f"g{i}", *sorted(names), n_clips=1 + i % 4) for i, names in enumerate(held)]
    n_groups = Counter(label for one in groups for label in labels(one.clips))
    assume(min(n_groups.values()) > 1)
    for one in split(groups):
        assert labels(one.test) | labels(one.tuning) <= labels(one.training)


def test_groups_of_one_name_are_two_groups():
    clips = [Clip(Path(f"nowhere/kitchen_{i}.wav"), "ab"[i % 2], None, None, None, None) for i in range(6)]
    clips += [Clip(Path(f"nowhere/hall{n}_{i}.wav"), "ab"[i], None, None, None, None) for n in "xyzvw" for i in (0, 1)]
    clips += [Clip(Path(f"nowhere/{i}.wav"), "ab"[i % 2], None, None, "kitchen", None) for i in range(4)]
    clips = [replace(clip, split="train") for clip in clips]
    clips += [Clip(Path(f"nowhere/test_{i}.wav"), "ab"[i], None, None, "studio", "test") for i in (0, 1)]
    groups = find_groups(clips)
    assert len({one.name for one in groups}) == len(groups) == 8
    assert {"kitchen", "kitchen (by file name)"} < {one.name for one in groups}
    [only] = split(groups)
    assert_apart(only)
    assert len({clip.path for part in (only.training, only.tuning, only.test) for clip in part}) == len(clips)
