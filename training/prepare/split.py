"""Which clips a network learns from, which choose its thresholds, and which tell what it is worth.

No group is in two of them: a network that has heard one half of a recording knows the other by its room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from streamd.errors import DataError
from training.prepare.audio import seconds_of
from training.prepare.clips import Clip
from training.prepare.groups import N_FOLDS, Group, group_folds

Part = Literal["training", "tuning", "test"]

GAP_SECONDS = 10.0
"""Between two pieces of one background recording: a passing car or a spoken sentence is over."""
LEAST_PIECE_SECONDS = 20.0
"""A shorter piece of background says nothing of false alarms; the recording then stays whole."""

PARTS: dict[str, Part] = {
    **dict.fromkeys(("train", "training", "dev_train", "development"), "training"),
    **dict.fromkeys(("val", "valid", "validation", "tune", "tuning", "dev"), "tuning"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "public", "public_eval"), "test"),
}
"""What data sets call their official splits, in lower case."""


@dataclass(frozen=True)
class Split:
    """All clips of a data set, each in one place; a background recording may be in several, in pieces."""

    training: list[Clip]
    tuning: list[Clip]
    """Chooses checkpoints and thresholds; empty where there are too few groups."""
    test: list[Clip]
    reason: str
    """How they were told apart, in a sentence or two."""


def split(groups: Sequence[Group]) -> list[Split]:
    """Return the splits that a data set is to be trained and tested with.

    One, where the data set has official splits or folds, or five groups of each label: a fifth tests, a fifth tunes,
    the rest trains. With fewer groups there is one for each that is left out in turn, and none tunes.

    Raises:
        DataError: all clips of a label are one group, or an official split has a name that nobody knows.
    """
    sounding = [group for group in groups if any(clip.label is not None for clip in group.clips)]
    quiet = [group for group in groups if all(clip.label is None for clip in group.clips)]
    official = _official(sounding)
    found = [official] if official else _folds(sounding)
    return _with_background(found, quiet)


def _official(groups: Sequence[Group]) -> Split | None:
    """Return the split that the data set itself gives; None if it gives none that can be used."""
    names = {clip.split for group in groups for clip in group.clips}
    if None in names or len(names) < 2:
        return None
    part_of, told = _parts_of(sorted(str(name) for name in names))
    parts: dict[Part, list[Group]] = {"training": [], "tuning": [], "test": []}
    n_cut = 0
    for group in groups:
        own = {part_of[str(clip.split)] for clip in group.clips}
        n_cut += len(own) > 1
        # What is in several of them trains: nothing that is tested was heard before.
        part: Part = own.pop() if len(own) == 1 else "training"
        parts[part].append(group)
    if not parts["test"]:
        parts["test"], parts["tuning"] = parts["tuning"], []
        told += "; what validates there tests here"
    if not parts["tuning"] and parts["training"]:
        fifths = _fifths(parts["training"])
        if fifths:
            parts["tuning"], parts["training"] = fifths[0], [group for fifth in fifths[1:] for group in fifth]
        told += "; a fifth of what trains there tunes" if fifths else "; nothing tunes"
    if n_cut:
        told += f"; {n_cut} groups that they cut train whole"
    clips = {name: [clip for group in found for clip in group.clips] for name, found in parts.items()}
    labels = _labels(clip for found in clips.values() for clip in found)
    if any(_labels(clips[name]) != labels for name in ("training", "test")):
        return None
    return Split(clips["training"], clips["tuning"], clips["test"], told)


def _parts_of(names: list[str]) -> tuple[dict[str, Part], str]:
    """Return what each official split is used for, and how that is told."""
    if all(name.strip().lower().removeprefix("fold").strip("_- ").isdigit() for name in names):
        if len(names) < 3:
            raise DataError(f"found the official folds {', '.join(names)}; expected at least three, or train and test")
        first, second = names[:2]
        part_of: dict[str, Part] = dict.fromkeys(names[2:], "training")
        return {first: "test", second: "tuning", **part_of}, f"official folds: {first} tests, {second} tunes"
    unknown = [name for name in names if name.strip().lower() not in PARTS]
    if unknown:
        raise DataError(
            f"found the official split {unknown[0]!r}; expected numbers of folds, or names such as train,"
            " validation and test in the column split"
        )
    return {name: PARTS[name.strip().lower()] for name in names}, "the data set's own splits"


def _fifths(groups: Sequence[Group]) -> list[list[Group]]:
    """Return groups in five folds, or in none if some label has too few."""
    if _fewest_groups(groups) < N_FOLDS:
        return []
    return group_folds(groups)


def _folds(groups: Sequence[Group]) -> list[Split]:
    """Return one split where every label has five groups, else one for each that is left out."""
    found = group_folds(groups)
    if _fewest_groups(groups) >= N_FOLDS:
        # Where groups hold several labels, a fold may lack one: then it trains. So does a fold of one large group: of
        # one group no interval can be told, and it has most to learn from.
        found.sort(key=lambda fold: (-len(_labels(clip for group in fold for clip in group.clips)), -len(fold)))
    clips_of = [[clip for group in fold for clip in group.clips] for fold in found]
    if _fewest_groups(groups) >= N_FOLDS:
        test, tuning, *rest = clips_of
        reason = f"{len(groups)} groups in {len(clips_of)} folds, none cut: one tests, one tunes, {len(rest)} train"
        for what, part in (("tests", test), ("tunes", tuning)):
            missing = _labels(clip for group in groups for clip in group.clips) - _labels(part)
            if missing:
                reason += f"; nothing {what} {', '.join(sorted(missing))}"
        return [Split([clip for fold in rest for clip in fold], tuning, test, reason)]
    fewest = _fewest_groups(groups)
    reason = (
        f"a label has {fewest} groups, fewer than {N_FOLDS}: each is left out once and tested with what was learned"
        " from the others; thresholds are chosen on one half of what was left out and reported on the other"
    )
    return [
        Split([clip for other in clips_of if other is not fold for clip in other], [], fold, reason)
        for fold in clips_of
    ]


def _fewest_groups(groups: Sequence[Group]) -> int:
    n_groups = Counter(label for group in groups for label in _labels(group.clips))
    return min(n_groups.values())


def _labels(clips: Iterable[Clip]) -> set[str]:
    return {clip.label for clip in clips if clip.label is not None}


def _with_background(splits: list[Split], groups: Sequence[Group]) -> list[Split]:
    """Return splits with the recordings of places in them, each second in one part of a split only."""
    if not groups:
        return splits
    if len(splits) == 1:
        [only] = splits
        (training, tuning, test), told = _background_parts(groups, 3)
        return [
            Split(only.training + training, only.tuning + tuning, only.test + test, f"{only.reason}; background {told}")
        ]
    # As with groups of clips: each part is left out once. The first is not, it only trains.
    (always, *parts), told = _background_parts(groups, len(splits) + 1)
    return [
        Split(
            one.training + always + [clip for other in parts if other is not part for clip in other],
            one.tuning,
            one.test + part,
            f"{one.reason}; background {told}",
        )
        for one, part in zip(splits, parts, strict=True)
    ]


def _background_parts(groups: Sequence[Group], n_parts: int) -> tuple[list[list[Clip]], str]:
    """Return background in parts of about the same length: by group, else by file, else by time; and which it was.

    What is too short to be cut is in the first part.
    """
    clips = [clip for group in groups for clip in group.clips]
    if len(groups) >= n_parts:
        return _balanced([group.clips for group in groups], n_parts), "by place or session"
    if len(clips) >= n_parts:
        return _balanced([[clip] for clip in clips], n_parts), "by file: some files may be of one place"
    parts: list[list[Clip]] = [[] for _ in range(n_parts)]
    for clip in clips:
        for part, piece in zip(parts, _pieces(clip, n_parts), strict=False):
            part.append(piece)
    if not parts[-1]:
        return parts, "trains whole: it is too short to be cut, and nothing recorded tests"
    return parts, f"by time, {GAP_SECONDS:g} s between two parts: it is all of one place"


def _balanced(units: Sequence[list[Clip]], n_parts: int) -> list[list[Clip]]:
    lengths = [sum(seconds_of(clip) for clip in unit) for unit in units]
    parts: list[list[Clip]] = [[] for _ in range(n_parts)]
    filled = [0.0] * n_parts
    for i in sorted(range(len(units)), key=lambda i: -lengths[i]):
        least = min(range(n_parts), key=filled.__getitem__)
        parts[least] += units[i]
        filled[least] += lengths[i]
    return parts


def _pieces(clip: Clip, n_pieces: int) -> list[Clip]:
    """Return a recording cut into pieces with a gap between; whole if they were too short."""
    begin, seconds = clip.onset_seconds or 0.0, seconds_of(clip)
    each = (seconds - GAP_SECONDS * (n_pieces - 1)) / n_pieces
    if each < LEAST_PIECE_SECONDS:
        return [clip]
    onsets = [begin + i * (each + GAP_SECONDS) for i in range(n_pieces)]
    return [replace(clip, onset_seconds=onset, offset_seconds=onset + each) for onset in onsets]
