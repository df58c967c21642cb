"""Which clips come from the same recording, speaker, kit or session: what no split may cut.

A network that has heard one half of a recording knows the other half by its room and its noise, and a score on it says
nothing of any other room. So groups are found before anything is trained, from the best evidence there is: a `source`
that the data set gives, else names that clips share, else noise floors that match.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamd.errors import DataError
from training.prepare.audio import SILENCE_DB, read_audio
from training.prepare.clips import Clip

Evidence = Literal["source", "file name", "noise floor", "alone"]
Floor = NDArray[np.float64]

N_FOLDS = 5
"""As many as ESC-50 has; with ten, a test fold of sixty clips holds six and its figures jump."""

LEAST_FOLDS = 3
"""That hold a label, if it has as many groups: one tests, one tunes, and one is left to learn from."""

MATCH_DB = 2.0
"""Root mean square over the bands up to which two floors are one. Pieces of half a second and more of one recording
with a steady noise lie within it, as the tests show. It joins what was cut from one recording, and can't tell a
speaker: floors of words that one person spoke into one microphone on several days mostly differ by more."""

_FRAME_SECONDS = 0.032
_QUIET_SHARE = 0.2
"""Of all frames, the quietest are taken for the floor: most clips pause that long, before the sound or after it."""
_LEAST_QUIET = 6
"""Frames; fewer scatter by more than MATCH_DB between two pieces of the same noise."""
_LEAST_RANGE_DB = 10.0
"""From the floor to the loudest frame; with less, what is quietest is still the sound."""
_MOST_SECONDS = 60
"""Of a recording are read for its floor: an hour of background has the same one."""
_BAND_EDGES_HZ = np.geomspace(100, 8000, 9)
"""Eight bands; above 100 Hz, for what is below comes and goes with steps and wind."""


@dataclass(frozen=True)
class Group:
    """Clips that belong together; `name` is the source of each of them, and no other group's."""

    name: str
    evidence: Evidence
    clips: list[Clip]


def find_groups(clips: Iterable[Clip]) -> list[Group]:
    """Return all clips in groups, biggest first, each clip with its group's name as source.

    Only recordings whose group neither a source nor a name tells are read.

    Raises:
        RecordingError: one of them can't be read.
    """
    of_path: dict[Path, list[Clip]] = defaultdict(list)
    for clip in clips:
        of_path[clip.path].append(clip)
    names = _names_shared(of_path)
    open_paths = []
    members: dict[tuple[Evidence, str], list[Clip]] = defaultdict(list)
    for path, own in of_path.items():
        source = next((clip.source for clip in own if clip.source is not None), None)
        if source is not None:
            members["source", source] += own
        elif path in names:
            members["file name", names[path]] += own
        else:
            open_paths.append(path)
    for alike in _alike(open_paths, of_path):
        evidence: Evidence = "noise floor" if len(alike) > 1 else "alone"
        name = f"{alike[0].parent.name}/{alike[0].stem}" + (" and alike" if len(alike) > 1 else "")
        for path in alike:
            members[evidence, name] += of_path[path]
    n_called = Counter(name for _, name in members)
    groups = []
    for (evidence, name), found in members.items():
        # Two that happen to have one name stay two; a source keeps it, for tables beside the data name it.
        unique = name if n_called[name] == 1 or evidence == "source" else f"{name} (by {evidence})"
        groups.append(Group(unique, evidence, [replace(clip, source=unique) for clip in found]))
    return sorted(groups, key=_order)


def folds(groups: Iterable[Group], n_folds: int = N_FOLDS) -> list[list[Clip]]:
    """Return all clips in folds with about the same share of every label, no group in two of them.

    As `group_folds` puts the groups.

    Raises:
        DataError: all clips of a label are one group: nothing would be left to learn from, or to test on.
    """
    return [[clip for group in fold for clip in group.clips] for fold in group_folds(groups, n_folds)]


def group_folds(groups: Iterable[Group], n_folds: int = N_FOLDS) -> list[list[Group]]:
    """Return groups in folds with about the same share of every label.

    Each fold is tested once with the others to learn from. With fewer than n_folds groups of some label, each of that
    label's groups is left out once, and some folds lack the label. The number of folds is the lesser of n_folds and
    the most groups that any label has; more only where labels that share groups would else be in fewer folds than
    LEAST_FOLDS. The same groups give the same folds, in any order.

    Raises:
        DataError: all clips of a label are one group: nothing would be left to learn from, or to test on.
    """
    groups = sorted(groups, key=_order)
    n_left = Counter(label for group in groups for label in _labels(group))
    for label, n_groups in n_left.items():
        if n_groups < 2:
            only = next(group for group in groups if label in _labels(group))
            raise DataError(
                f"all clips of {label!r} come from one recording or session ({only.name!r}, by {only.evidence});"
                " add clips of another one, or tell them apart in labels.csv's column source"
            )
    needed = {label: min(n_groups, LEAST_FOLDS) for label, n_groups in n_left.items()}
    n_clips = Counter(clip.label for group in groups for clip in group.clips)
    result: list[list[Group]] = [[] for _ in range(min(n_folds, max(n_left.values())))]
    shares: list[Counter[str | None]] = [Counter() for _ in result]
    for group in groups:
        own, labels = Counter(clip.label for clip in group.clips), _labels(group)
        n_left.subtract(labels)

        def keeps_apart(fold: int, labels: set[str] = labels) -> bool:
            """Tell whether each label could still come to be in as many folds as it needs."""
            held = {label: sum(label in other for i, other in enumerate(shares) if i != fold) for label in labels}
            return all(held[label] + 1 + n_left[label] >= needed[label] for label in labels)

        def fullness(fold: int, own: Counter[str | None] = own) -> tuple[float, int]:
            """Return how full a fold would be of this group's labels, as a share of all their clips."""
            filled = sum((shares[fold][label] + n) / n_clips[label] for label, n in own.items())
            return filled, sum(len(other.clips) for other in result[fold])

        best = min(filter(keeps_apart, range(len(result))), key=fullness, default=len(result))
        if best == len(result):
            result.append([])
            shares.append(Counter())
        result[best].append(group)
        shares[best] += own
    return result


def _order(group: Group) -> tuple[int, str, str]:
    return -len(group.clips), group.name, group.evidence


def _labels(group: Group) -> set[str]:
    return {clip.label for clip in group.clips if clip.label is not None}


def noise_floor(samples: NDArray[np.float32], sample_rate: int, *, least_range_db: float = _LEAST_RANGE_DB) -> Floor:
    """Return the level of what is quietest in a clip in bands from 100 Hz to 8 kHz, in dB, shape (n_bands,).

    NaN where nothing can be told: a band above the clip's own bandwidth, digital silence, and all of a clip whose sound
    fills it.
    """
    n = round(_FRAME_SECONDS * sample_rate)
    unknown = np.full(len(_BAND_EDGES_HZ) - 1, np.nan)
    if len(samples) < n:
        return unknown
    frames = np.lib.stride_tricks.sliding_window_view(samples, n)[:: n // 2]
    window = np.hanning(n + 1)[:-1]
    bins = np.searchsorted(np.fft.rfftfreq(n, 1 / sample_rate), _BAND_EDGES_HZ)
    bands = np.array(
        [np.add.reduceat(np.abs(np.fft.rfft(frame * window)) ** 2, bins.clip(max=n // 2))[:-1] for frame in frames]
    ) * (2 / n / np.sum(window**2))
    loudness = 10 * np.log10(np.maximum(bands.sum(axis=1), 1e-30))
    quiet = np.argsort(loudness)[: math.ceil(_QUIET_SHARE * len(frames))]
    range_db = loudness.max() - loudness[quiet].max()
    if len(quiet) < _LEAST_QUIET or range_db < least_range_db:
        return unknown
    floor = 10 * np.log10(np.maximum(bands[quiet].mean(axis=0), 1e-30))
    reached = (floor > SILENCE_DB - 20) & (bins[:-1] < n // 2)
    return np.where(reached, floor, np.nan)


def _names_shared(paths: dict[Path, list[Clip]]) -> dict[Path, str]:
    """Return the name that a path shares with others: its stem without the counter at its end.

    A name that says no more than a label is none: the label itself, or one that never stands beside another name.
    """
    names = {path: re.sub(r"[\s_.(-]*\d+\)?$", "", path.stem) for path in paths}
    of_label: dict[str | None, set[str]] = defaultdict(set)
    for path, clips in paths.items():
        for clip in clips:
            of_label[clip.label].add(names[path])
    empty = {""} | {_folded(label) for label in of_label if label}
    empty |= {_folded(n) for n in names.values() if all(len(found) == 1 for found in of_label.values() if n in found)}
    counts = Counter(names.values())
    return {path: name for path, name in names.items() if counts[name] > 1 and _folded(name) not in empty}


def _folded(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def _alike(paths: list[Path], clips: dict[Path, list[Clip]]) -> list[list[Path]]:
    """Return recordings in lists of those whose noise floors match the mean of the floors before them in the list."""
    lists: list[list[Path]] = []
    sums: list[Floor] = []
    for path in sorted(paths):
        # Without a sound, all of a recording is its floor.
        has_sound = any(clip.label is not None for clip in clips[path])
        floor = noise_floor(*read_audio(path, _MOST_SECONDS), least_range_db=_LEAST_RANGE_DB if has_sound else 0.0)
        distances = [_distance_db(floor, total / len(found)) for total, found in zip(sums, lists, strict=True)]
        nearest = int(np.argmin(distances)) if distances else -1
        if nearest >= 0 and distances[nearest] <= MATCH_DB:
            lists[nearest].append(path)
            sums[nearest] = sums[nearest] + floor
        else:
            lists.append([path])
            sums.append(floor)
    return lists


def _distance_db(one: Floor, other: Floor) -> float:
    """Return the root mean square of the difference; infinity where bands are known of only one, or of neither."""
    known = ~np.isnan(one)
    if not known.any() or not np.array_equal(known, ~np.isnan(other)):
        return math.inf
    return float(np.sqrt(np.mean((one - other)[known] ** 2)))
