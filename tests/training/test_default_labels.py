"""How thresholds are chosen: on the choosing half alone, whatever else is counted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("scipy")

from training.design import yamnet
from training.expect import default_labels
from training.expect.default_labels import THRESHOLDS
from training.prepare.negatives import SAMPLE_RATE, Origin, Stream

HOURS = 6
DOG = "Dog"


def stream(folder: Path, name: str, kind: str, half: str) -> Stream:
    """Hours that take no room on a disk."""
    path = folder / f"{name}-{half}.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=(HOURS * 3600 * SAMPLE_RATE,))
    return Stream(name, kind, half, path)


def choose(folder: Path, monkeypatch: pytest.MonkeyPatch, streams: list[Stream], dogs: dict[str, int]):
    """Choose where each stream named in `dogs` has so many false dogs up to a threshold of 0.5, and half above."""
    labels = tuple(yamnet.labels())
    names = list(dict.fromkeys(one.name for one in streams))
    origins = [Origin(name, next(s.kind for s in streams if s.name == name), "GPL-2", "1", "") for name in names]

    def count_onsets(heard, specs, _hop_seconds):
        counts = np.zeros((len(heard), len(specs)), np.int64)
        n = [dogs.get(f"{one.name}-{one.half}", 0) for one in heard]
        counts[:, labels.index(DOG)] = [i // (1 if specs[0].onset_threshold < 0.5 else 2) for i in n]
        return counts

    monkeypatch.setattr(default_labels, "prepare", lambda cache: streams)
    monkeypatch.setattr(Stream, "recorded_hours", lambda one: 0.5 * HOURS)
    monkeypatch.setattr(default_labels, "origins", lambda cache: origins)
    monkeypatch.setattr(default_labels, "posteriors", lambda model, one, cache: one)
    monkeypatch.setattr(default_labels, "count_onsets", count_onsets)
    model = SimpleNamespace(manifest=SimpleNamespace(labels=labels, hop_seconds=0.24))
    return default_labels.choose(model, folder)


def dog_of(choice) -> default_labels.Row:
    return next(row for row in choice.rows if row.label == DOG)


def test_what_is_only_counted_on_changes_no_threshold_but_the_counts(tmp_path, monkeypatch):
    halves = [stream(tmp_path, name, name, half) for name in ("music", "made") for half in ("choose", "check")]
    dogs = {"music-choose": 10, "music-check": 4, "made-check": 2}
    before = choose(tmp_path, monkeypatch, halves, dogs)
    more = stream(tmp_path, "later", "music", "check")
    after = choose(tmp_path, monkeypatch, [*halves, more], dogs | {"later-check": 40})

    assert dog_of(before).onset_threshold == dog_of(after).onset_threshold == THRESHOLDS[4] == 0.5
    assert [row.decision() for row in before.rows] == [row.decision() for row in after.rows]
    assert before.default_labels == after.default_labels
    assert (dog_of(before).real.hours, dog_of(before).real.n_events) == (0.5 * HOURS, 2)
    assert (dog_of(after).real.hours, dog_of(after).real.n_events) == (HOURS, 22)
    assert (dog_of(after).made.hours, dog_of(after).made.n_events) == (HOURS, 1)
    assert (dog_of(after).chosen_on.hours, dog_of(after).chosen_on.n_events) == (2 * HOURS, 5)
    assert after.count("music", "speech").n_events == 22
    assert after.count("made").n_events == 1
    assert after.count_of_recordings(halved=True).n_events == 2
    assert after.count_of_recordings(halved=False).n_events == 20
    later = next(one for one in after.heard if one.name == "later")
    assert later.hours == (0.0, 0.5 * HOURS)


def test_made_hours_cannot_thin_out_the_false_alarms_of_recordings(tmp_path, monkeypatch):
    halves = [stream(tmp_path, name, name, half) for name in ("music", "made") for half in ("choose", "check")]
    with pytest.raises(ValueError, match=r"40 events in 3\.0 hours"):
        choose(tmp_path, monkeypatch, halves, {"music-check": 40})
