"""What is to be known of a data set before anything is trained on it: what there is, and what is wrong with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from training.prepare.clips import Clip
from training.prepare.groups import N_FOLDS, Group
from training.prepare.measure import Measured, measure
from training.prepare.trim import Trim

BACKGROUND = "(background)"

NARROW_SHARE = 0.8
"""Of half the sample rate; a codec's or a converter's own filter leaves more than that."""
CLIPPED_SHARE = 0.001
"""A sample in a thousand: a few clipped peaks change no log-mel by a decibel."""
DC_LIMIT = 0.01
"""1 % of full scale, -40 dB: beyond what a sound card's converter has."""
CLEAN_DB = 20.0
"""A clip is clean enough to simulate from where its own noise is this far below its sound: noise that is added at up
to 20 dB then is what is heard."""
DRY_SECONDS = 0.4
"""The reverberation of a furnished living room (IEC 60268-13 asks for 0.3 to 0.6 s of a room to listen in). A clip that
dies away faster is dry enough to simulate rooms on: what they add is longer than what it brings."""
FASTEST_SHARE = 0.25
"""Of the clips of a group die away faster than its room is taken to: most sounds outlast their own room now and then,
hardly any group rings in three quarters of its clips without one."""
GIVEN_AWAY = 0.9
"""Of pairs of a clip with the label and one without, those that loudness alone puts in order, this way or that."""
FEWEST_COMPARED = 8
"""Clips on both sides; of eight against eight without any difference, one in 200 comes to GIVEN_AWAY."""


@dataclass(frozen=True)
class LabelRow:
    """One label, or the background, in numbers."""

    label: str
    n_clips: int
    n_recordings: int
    n_groups: int
    seconds: float
    """All sounds together: from onset to offset where they are known, else the whole clip."""
    median_seconds: float
    median_snr_db: float | None
    """Over the clips that show a floor; None where none does."""
    median_decay_seconds: float | None
    """In which its sounds fall by 60 dB, over the clips in which it can be told; None where it can in none."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, in a line, and the recordings it is about."""

    text: str
    paths: list[Path]


@dataclass(frozen=True)
class Audit:
    """All there is to know."""

    rows: list[LabelRow]
    findings: list[Finding]
    measured: dict[Path, Measured]
    clean_share: float | None
    """Of the recordings with a label that show a floor, those clean enough to simulate from; None: none shows one."""
    dry_share: float | None
    """Of the recordings with a label whose decay can be told, those of groups dry enough to simulate rooms on."""


def audit(groups: Iterable[Group], trim: Trim | None = None) -> Audit:
    """Measure all recordings of some groups and say what stands out; `trim` says how sounds are told from floors.

    Raises:
        RecordingError: a recording can't be read.
    """
    clips = [clip for group in groups for clip in group.clips]
    measured = {path: measure(path, trim) for path in sorted({clip.path for clip in clips})}
    decays = _decays(clips, measured)
    findings = [
        *_recordings_that_stand_out(clips, measured),
        *_rooms(clips, decays),
        *_duplicates(clips, measured),
        *_leaks(clips),
        *_few_groups(clips),
        *_loudness(clips, measured),
    ]
    labels = sorted({clip.label for clip in clips if clip.label is not None})
    rows = [_row(label, [clip for clip in clips if clip.label == label], measured) for label in labels]
    background = [clip for clip in clips if clip.label is None]
    if background:
        rows.append(_row(BACKGROUND, background, measured))
    floors = [snr for path in {c.path for c in clips if c.label} if (snr := measured[path].snr_db) is not None]
    in_rooms = [_is_wet(found) for found in decays.values() for _ in found]
    return Audit(
        rows,
        findings,
        measured,
        clean_share=float(np.mean(np.array(floors) >= CLEAN_DB)) if floors else None,
        dry_share=float(1 - np.mean(in_rooms)) if in_rooms else None,
    )


def _row(label: str, clips: list[Clip], measured: dict[Path, Measured]) -> LabelRow:
    seconds = [_seconds(clip, measured) for clip in clips]
    snrs = [snr for path in {clip.path for clip in clips} if (snr := measured[path].snr_db) is not None]
    decays = [d for path in {clip.path for clip in clips} if (d := measured[path].decay_seconds) is not None]
    return LabelRow(
        label,
        len(clips),
        len({clip.path for clip in clips}),
        len({clip.source for clip in clips}),
        sum(seconds),
        float(np.median(seconds)),
        float(np.median(snrs)) if snrs and label != BACKGROUND else None,
        float(np.median(decays)) if decays and label != BACKGROUND else None,
    )


def _seconds(clip: Clip, measured: dict[Path, Measured]) -> float:
    if clip.onset_seconds is not None and clip.offset_seconds is not None:
        return clip.offset_seconds - clip.onset_seconds
    return measured[clip.path].duration_seconds


def _recordings_that_stand_out(clips: list[Clip], measured: dict[Path, Measured]) -> Iterable[Finding]:
    """Yield what is wrong with single recordings."""
    rates = Counter(m.sample_rate for m in measured.values())
    if len(rates) > 1:
        told = ", ".join(f"{n} at {rate} Hz" for rate, n in sorted(rates.items()))
        least = [path for path, m in measured.items() if m.sample_rate == min(rates)]
        yield Finding(
            f"recordings have several sample rates ({told}): the lowest bounds what all can be told by", least
        )
    sounding = {path for path, m in measured.items() if m.found.verdict != "silent"}
    labelled = {clip.path for clip in clips if clip.label is not None}
    kinds = (
        ("are silent: nothing is above -70 dB of full scale", labelled - sounding),
        (
            "end in a cliff far below half their sample rate: they were recorded at a lower rate, or coded",
            {p for p in sounding if (measured[p].cutoff_hz or np.inf) < NARROW_SHARE * measured[p].sample_rate / 2},
        ),
        ("are clipped", {p for p in sounding if measured[p].clipped_share > CLIPPED_SHARE}),
        ("have a constant offset (DC) of over 1 %", {p for p, m in measured.items() if abs(m.dc) > DC_LIMIT}),
        (
            f"have their own noise less than {CLEAN_DB:.0f} dB below the sound: too noisy to simulate from",
            {p for p in labelled & sounding if (snr := measured[p].snr_db) is not None and snr < CLEAN_DB},
        ),
    )
    for text, paths in kinds:
        if paths:
            yield Finding(f"{len(paths)} of {len(measured)} recordings {text}", sorted(paths))


def _decays(clips: list[Clip], measured: dict[Path, Measured]) -> dict[str | None, list[float]]:
    """Return the decays of each group with a label: a room is told by all that was recorded in it, not by one clip."""
    decays: dict[str | None, list[float]] = defaultdict(list)
    for path, source in {clip.path: clip.source for clip in clips if clip.label is not None}.items():
        if (seconds := measured[path].decay_seconds) is not None:
            decays[source].append(seconds)
    return decays


def _is_wet(decays: list[float]) -> bool:
    return bool(np.quantile(decays, FASTEST_SHARE) > DRY_SECONDS)


def _rooms(clips: list[Clip], decays: dict[str | None, list[float]]) -> Iterable[Finding]:
    wet = {source for source, found in decays.items() if _is_wet(found)}
    if wet:
        n_clips = sum(len(decays[source]) for source in wet)
        yield Finding(
            f"{n_clips} of {sum(map(len, decays.values()))} recordings are of groups that take more than"
            f" {DRY_SECONDS:g} s to fall by 60 dB: their rooms are in them already (or they ring by themselves);"
            " not dry enough to simulate rooms on",
            sorted({clip.path for clip in clips if clip.label is not None and clip.source in wet}),
        )


def _duplicates(clips: list[Clip], measured: dict[Path, Measured]) -> Iterable[Finding]:
    """Yield audio that is there twice; silence is equal to silence and is told elsewhere."""
    of_path: dict[Path, list[Clip]] = defaultdict(list)
    for clip in clips:
        of_path[clip.path].append(clip)
    of_digest: dict[str, list[Path]] = defaultdict(list)
    for path, m in measured.items():
        if m.found.verdict != "silent":
            of_digest[m.digest].append(path)
    copies = [paths for paths in of_digest.values() if len(paths) > 1]
    if copies:
        n_spare = sum(len(paths) - 1 for paths in copies)
        yield Finding(
            f"{n_spare} recordings are copies of another's audio: remove them", [p for c in copies for p in c]
        )
    for text, values in (
        ("has different labels", lambda path: frozenset(clip.label for clip in of_path[path])),
        ("is in different groups: a split would cut it", lambda path: frozenset(c.source for c in of_path[path])),
        ("is in different official splits", lambda path: frozenset(clip.split for clip in of_path[path])),
    ):
        apart = [paths for paths in copies if len({values(path) for path in paths}) > 1]
        if apart:
            yield Finding(f"the same audio {text}, {len(apart)} times", [p for paths in apart for p in paths])


def _leaks(clips: list[Clip]) -> Iterable[Finding]:
    """Yield groups that official splits cut."""
    splits: dict[str | None, set[str]] = defaultdict(set)
    for clip in clips:
        if clip.label is not None and clip.split is not None:
            splits[clip.source].add(clip.split)
    cut = {source for source, found in splits.items() if len(found) > 1}
    if cut:
        paths = sorted({clip.path for clip in clips if clip.source in cut})
        names = ", ".join(sorted(map(str, cut))[:3]) + (", …" if len(cut) > 3 else "")
        yield Finding(f"the official splits cut {len(cut)} groups ({names}): a score on them is too high", paths)


def _few_groups(clips: list[Clip]) -> Iterable[Finding]:
    for label in sorted({clip.label for clip in clips if clip.label is not None}):
        own = [clip for clip in clips if clip.label == label]
        n_groups = len({clip.source for clip in own})
        if n_groups < N_FOLDS:
            yield Finding(
                f"{label!r} comes from {n_groups} group{'s' if n_groups > 1 else ''}; expected {N_FOLDS} or more:"
                " with fewer, what is measured says little of the next one",
                sorted({clip.path for clip in own}),
            )


def _loudness(clips: list[Clip], measured: dict[Path, Measured]) -> Iterable[Finding]:
    """Yield labels that loudness alone tells from all other clips: a network would learn the gain of a microphone."""
    labels_of: dict[Path, set[str | None]] = defaultdict(set)
    for clip in clips:
        labels_of[clip.path].add(clip.label)
    ranks = dict(zip(measured, rankdata([m.loudness_db for m in measured.values()]), strict=True))
    for label in sorted({clip.label for clip in clips if clip.label is not None}):
        own = [path for path, labels in labels_of.items() if label in labels]
        n_own, n_others = len(own), len(measured) - len(own)
        if min(n_own, n_others) < FEWEST_COMPARED:
            continue
        # Mann and Whitney's U as a share of all pairs, which is the area under the ROC curve.
        area = (sum(ranks[path] for path in own) - n_own * (n_own + 1) / 2) / (n_own * n_others)
        if max(area, 1 - area) >= GIVEN_AWAY:
            louder = "louder" if area > 0.5 else "quieter"
            yield Finding(
                f"loudness alone gives {label!r} away: its clips are {louder} than the others in"
                f" {max(area, 1 - area):.0%} of pairs; record both at one distance and gain",
                sorted(own),
            )
