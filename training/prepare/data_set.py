"""A data set as the rest of training takes it: read as it lies there, relabelled, checked before anything long."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import soundfile

from streamd.capture.recording import RecordingReader
from streamd.errors import DataError, RecordingError
from streamd.spelling import did_you_mean
from training.prepare.clips import Clip
from training.prepare.labels import LabelRecipe, relabelled
from training.prepare.layouts import NAMES, OWN_TABLE, PRESETS, FolderLayout, Layout
from training.prepare.readers import has_labels, read_folders, read_tables, recording_of


@dataclass(frozen=True)
class DataSet:
    """Clips and how they were found."""

    layout: str
    """A preset's name, "labels.csv" or "folders"."""
    clips: list[Clip]
    notes: list[str]
    """A line for each thing that was left out."""


def read_data(
    data: Path, layout: str | None = None, labels: LabelRecipe | None = None, *, to_train: bool = True
) -> DataSet:
    """Return the clips of a data set: as a preset says, or as it lies there (`recognised`), with a recipe's labels.

    Every recording is opened and its end looked for, so that a bad one is told of now. What is only to be tested with
    (not to_train) may have one clip of a label.

    Raises:
        DataError: one line on what is wrong with it: no clips, a label with none or one, recordings that can't be read.
    """
    name = recognised(data) if layout is None else layout
    clips, notes = _read(data, name)
    clips = relabelled(clips, labels or LabelRecipe())
    _check_labels(data, clips, least=2 if to_train else 1)
    _check_recordings(clips)
    return DataSet(name, clips, notes)


def recognised(data: Path) -> str:
    """Return the name of the layout that a data set has.

    In order: a user's own labels.csv with labels; a preset by its tables or lists; a folder per label.
    """
    if has_labels(data / "labels.csv"):
        return "labels.csv"
    return next((name for name, layout in PRESETS.items() if _is_laid_out(data, layout)), "folders")


def _is_laid_out(data: Path, layout: Layout) -> bool:
    if isinstance(layout, FolderLayout):
        return all((data / name).is_file() for name, _ in layout.split_lists)
    found = [(one, table) for one in layout for table in data.glob(one.tables)]
    # Any text would do for a label track, but for the recording beside it.
    return any(one.recording != "{table}" or recording_of(table.with_suffix("")).is_file() for one, table in found)


def _read(data: Path, name: str) -> tuple[list[Clip], list[str]]:
    if name == "folders":
        return read_folders(data, FolderLayout()), []
    if name == "labels.csv":
        return read_tables(data, (OWN_TABLE,))
    if name not in PRESETS:
        raise DataError(f"unknown layout {name!r}; expected one of {', '.join(NAMES)}{did_you_mean(name, NAMES)}")
    layout = PRESETS[name]
    return (read_folders(data, layout), []) if isinstance(layout, FolderLayout) else read_tables(data, layout)


def _check_labels(data: Path, clips: list[Clip], least: int) -> None:
    counts = Counter(clip.label for clip in clips if clip.label is not None)
    if not counts:
        raise DataError(f"{data}: found background only; expected clips of at least one label")
    for label, n_clips in counts.items():
        if n_clips < least:
            raise DataError(
                f"{data}: the label {label!r} has one clip; expected at least two, from two recordings:"
                " one to learn from, one to see whether it was learned"
            )


def _check_recordings(clips: list[Clip]) -> None:
    errors: dict[Path, str] = {}
    durations: dict[Path, float] = {}
    for path in dict.fromkeys(clip.path for clip in clips):
        try:
            durations[path] = _duration_seconds(path)
        except RecordingError as error:
            errors[path] = str(error)
    if errors:
        others = f" ({len(errors) - 1} more can't be read either)" if len(errors) > 1 else ""
        raise DataError(f"{next(iter(errors.values()))}; repair or remove it{others}")
    for clip in clips:
        if clip.onset_seconds is not None and clip.onset_seconds >= durations[clip.path]:
            raise DataError(
                f"{clip.path}: {clip.label!r} begins at {clip.onset_seconds:g} s, after the recording's end at"
                f" {durations[clip.path]:.2f} s; correct the onset"
            )


def _duration_seconds(path: Path) -> float:
    RecordingReader(str(path)).close()
    return float(soundfile.info(path).duration)
