"""The control on shuffled labels, with fits that learn, that know nothing, and that cheat."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("sklearn")
pytest.importorskip("scipy")

from sklearn.metrics import average_precision_score

from training.expect.shuffled import average_precision, comparable, shuffled, shuffled_control
from training.prepare.clips import Clip

LABELS = ("hat", "kick", "snare")


def kits(n_kits: int, first: int = 0, labels: tuple[str, ...] = LABELS) -> list[Clip]:
    return [
        Clip(Path(f"kit {kit}/{label} {i}.wav"), label, None, None, f"kit {kit}", None)
        for kit in range(first, first + n_kits)
        for label in labels
        for i in range(3)
    ]


def sound_of(clip: Clip) -> int:
    """What it really is: the name of its file, which labels don't change."""
    return LABELS.index(clip.path.stem.split(maxsplit=1)[0])


TRAINING, HELD_OUT = kits(9), kits(6, 100)


def learner(clips: list[Clip]) -> np.ndarray:
    """Gives every held-out clip the share of each label among training clips of the same sound, and some noise."""
    seen = np.zeros((3, 3))
    for clip in clips:
        seen[sound_of(clip), LABELS.index(clip.label)] += 1
    shares = seen / seen.sum(axis=1, keepdims=True)
    noise = np.random.default_rng(0).normal(0, 0.01, (len(HELD_OUT), 3))
    return np.array([shares[sound_of(clip)] for clip in HELD_OUT]) + noise


def cheat(clips: list[Clip]) -> np.ndarray:
    """Knows the held-out labels from elsewhere, whatever it is trained on."""
    return np.eye(3)[[LABELS.index(clip.label) for clip in HELD_OUT]]


def test_a_model_that_only_learns_labels_falls_to_chance():
    control = shuffled_control(TRAINING, HELD_OUT, learner)
    assert not control.leaks
    assert control.chance == pytest.approx(1 / 3, abs=0.1)
    assert "fell to chance" in control.sentence
    assert control.as_reported() == (control.average_precision, control.chance)
    # The same learner knows everything where the labels are true: the control has something to take away.
    right = learner(TRAINING).argmax(axis=1) == [sound_of(clip) for clip in HELD_OUT]
    assert right.all()


def test_a_model_that_knows_without_having_learned_is_told_on():
    control = shuffled_control(TRAINING, HELD_OUT, cheat)
    assert control.average_precision == 1.0
    assert control.leaks
    assert "something leaks" in control.sentence


def test_labels_move_by_group_and_are_spread_evenly_over_all_labels():
    mixed = shuffled(TRAINING)
    moved = Counter((old.label, new.label) for old, new in zip(TRAINING, mixed, strict=True))
    assert set(moved.values()) == {9}  # each of three labels becomes each of three in three kits of three clips
    of_unit = {(old.source, old.label): set() for old in TRAINING}
    for old, new in zip(TRAINING, mixed, strict=True):
        of_unit[old.source, old.label].add(new.label)
        assert replace(new, label=old.label) == old
    assert all(len(labels) == 1 for labels in of_unit.values())
    assert shuffled(TRAINING) == mixed
    assert shuffled(TRAINING, seed=1) != mixed


def test_background_stays_background_where_there_are_several_labels():
    place = Clip(Path("place.wav"), None, None, None, "place", None)
    assert shuffled([*TRAINING, place])[-1] == place
    assert comparable([*TRAINING, place]) == [*TRAINING, place]


def one_label(folder: Path, n_groups: int) -> list[Clip]:
    folder.mkdir()
    found = []
    for group in range(n_groups):
        path = folder / f"kick {group}.wav"
        soundfile.write(path, np.zeros(800), 1000)
        found.append(Clip(path, "kick", None, None, f"kit {group}", None))
    soundfile.write(folder / "place.wav", np.zeros(60_000), 1000)
    return [*found, Clip(folder / "place.wav", None, None, None, "place", None)]


def test_a_single_label_changes_places_with_stretches_of_background(tmp_path):
    training, held_out = (comparable(one_label(tmp_path / name, 8)) for name in ("training", "test"))
    assert Counter(clip.label for clip in training) == {"kick": 8, None: 8}
    stretches = [clip for clip in training if clip.label is None]
    assert all(clip.offset_seconds - clip.onset_seconds == pytest.approx(0.8) for clip in stretches)
    assert len({clip.onset_seconds for clip in stretches}) == 8
    moved = Counter((old.label, new.label) for old, new in zip(training, shuffled(training), strict=True))
    assert set(moved.values()) == {4}
    there = np.array([[float(clip.label == "kick")] for clip in held_out])
    assert shuffled_control(training, held_out, lambda clips: there).leaks
    noise = np.random.default_rng(1).random((16, 1))
    assert not shuffled_control(training, held_out, lambda clips: noise).leaks


def test_average_precision_is_that_of_scikit_learn_also_where_scores_are_equal():
    rng = np.random.default_rng(0)
    for n_values in (3, 1000):
        scores = rng.integers(n_values, size=60) / n_values
        truth = rng.random(60) < 0.3
        assert average_precision(truth, scores) == pytest.approx(average_precision_score(truth, scores))


def test_what_can_not_be_shuffled_is_refused_with_the_reason(tmp_path):
    with pytest.raises(ValueError, match="one label and no background"):
        comparable(kits(5, labels=("kick",)))
    with pytest.raises(ValueError, match=r"1 group\(s\) of the rarest"):
        shuffled(kits(1))
    with pytest.raises(ValueError, match="expected one for each of 54 clips and 3 labels"):
        shuffled_control(TRAINING, HELD_OUT, lambda clips: np.zeros((3, 3)))
