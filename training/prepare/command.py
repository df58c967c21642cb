"""`python -m training prepare DATA`: a data set read, grouped, trimmed, audited and heard, as lines for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from training.prepare.audit import BACKGROUND, Audit, Finding, audit
from training.prepare.data_set import DataSet, read_data
from training.prepare.groups import Evidence, Group, find_groups, folds
from training.prepare.hears import Answer, Hearings, hear_known
from training.prepare.labels import LabelRecipe
from training.prepare.measure import Measured
from training.prepare.trim import Trim
from training.prepare.verdict import Verdict, verdict

_MOST_SHOWN = 12
"""Groups and trims on a screen; of the rest, the number is told."""
_MOST_PATHS = 3
_TOLD_APART = 0.9
"""A posterior that separates less is no hint."""


@dataclass(frozen=True)
class Known:
    """What is known of a data set."""

    data: Path
    found: DataSet
    groups: list[Group]
    audit: Audit
    hearings: Hearings | None
    """None: the shipped model was not asked."""
    verdict: Verdict

    @property
    def evidence(self) -> dict[str, int]:
        """How groups with a label were told apart: their number by kind of evidence."""
        sounding = [group for group in self.groups if any(clip.label is not None for clip in group.clips)]
        return dict(Counter(group.evidence for group in sounding))

    @property
    def background_minutes(self) -> float:
        """Of recordings without the sounds."""
        return sum((row.seconds / 60 for row in self.audit.rows if row.label == BACKGROUND), 0.0)

    def answer_to(self, label: str) -> Answer | None:
        """Return how the label of the shipped model that knows a label best answers to it; None: none does."""
        hearings = self.hearings.labels if self.hearings else []
        return next((one.answers for one in hearings if one.label == label), None)


def prepare(
    data: Path,
    layout: str | None = None,
    labels: LabelRecipe | None = None,
    trim: Trim | None = None,
    *,
    hear: bool = True,
) -> Generator[str, None, Known]:
    """Yield what is to be known of a data set, line by line as it is found out; return it as data in the end.

    Args:
        data: the folder.
        layout: a preset's name; None: what it looks like.
        labels: those that a recipe joins, renames or drops.
        trim: how a sound is told from its clip's floor.
        hear: whether the shipped model is asked what it knows already.

    Raises:
        DataError: nothing can be trained on it, or all clips of a label are one group; told after what was found.
        RecordingError: a recording can't be read.
    """
    found = read_data(data, layout, labels)
    yield f"{data}: read as {found.layout}"
    yield from found.notes
    groups = find_groups(found.clips)
    yield from _of_groups(groups)
    known = audit(groups, trim)
    yield from _of_labels(known)
    yield from _of_trims(data, found, known.measured)
    yield from _of_findings(data, known.findings)
    hearings = None
    if hear:
        hearings = hear_known(clip for group in groups for clip in group.clips)
        yield from _of_hearings(hearings)
    said = verdict(known, hearings, groups)
    yield f"\n{said.word}:"
    yield from (f"  {line}" for line in said.why)
    if hearings is not None and hearings.configuration is not None:
        yield f"\nin streamd.yaml:\n{hearings.configuration}"
    tests = folds(groups)
    yield f"\n{len(tests)} folds that cut no group, of {', '.join(str(len(fold)) for fold in tests)} clips"
    return Known(data, found, groups, known, hearings, said)


def know(data: Path, layout: str | None = None, labels: LabelRecipe | None = None, trim: Trim | None = None) -> Known:
    """Return what is known of a data set without a line of it, and without what the shipped model knows; as prepare."""
    lines = prepare(data, layout, labels, trim, hear=False)
    while True:
        try:
            next(lines)
        except StopIteration as end:
            known: Known = end.value
            return known


def _of_labels(known: Audit) -> Iterator[str]:
    counted = f"{'clips':>7}{'files':>7}{'groups':>8}"
    yield f"\n{'label':<28}{counted}{'minutes':>9}{'median s':>10}{'SNR dB':>8}{'decay s':>9}"
    for row in known.rows:
        snr = "–" if row.median_snr_db is None else f"{row.median_snr_db:.0f}"
        decay = "–" if row.median_decay_seconds is None else f"{row.median_decay_seconds:.2f}"
        counts = f"{row.n_clips:>7}{row.n_recordings:>7}{row.n_groups:>8}"
        yield f"{row.label:<28}{counts}{row.seconds / 60:>9.1f}{row.median_seconds:>10.2f}{snr:>8}{decay:>9}"
    rates = Counter(m.sample_rate for m in known.measured.values())
    yield "sample rates: " + ", ".join(f"{rate} Hz ({n})" for rate, n in sorted(rates.items()))


def _of_groups(groups: list[Group]) -> Iterator[str]:
    kinds = Counter(group.evidence for group in groups)
    told = ", ".join(f"{n} {_told_by(kind)}" for kind, n in sorted(kinds.items()))
    yield f"\n{len(groups)} {'group' if len(groups) == 1 else 'groups'} ({told})"
    if kinds["alone"]:
        yield "  if some that stand alone share a speaker, a day or a device, say so: labels.csv with path and source"
    for group in groups[:_MOST_SHOWN]:
        clips = "1 clip" if len(group.clips) == 1 else f"{len(group.clips)} clips"
        yield f"  {group.name}: {clips}, {_told_by(group.evidence)}"
    yield from _and_more(len(groups))


def _of_trims(data: Path, found: DataSet, measured: dict[Path, Measured]) -> Iterator[str]:
    """Yield where the sound lies in clips that don't say it themselves."""
    paths = [clip.path for clip in found.clips if clip.label is not None and clip.onset_seconds is None]
    if not paths:
        return
    verdicts = Counter(measured[path].found.verdict for path in paths)
    yield "\nsounds inside their clips: " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(verdicts.items()))
    inside = [path for path in paths if measured[path].found.verdict == "found"]
    for path in inside[:_MOST_SHOWN]:
        m = measured[path]
        onset, offset = m.found.onset_sample / m.sample_rate, m.found.offset_sample / m.sample_rate
        sounds = f", {m.found.n_sounds} sounds" if m.found.n_sounds > 1 else ""
        yield f"  {path.relative_to(data)}: {onset:.2f}–{offset:.2f} s of {m.duration_seconds:.2f} s{sounds}"
    yield from _and_more(len(inside))


def _of_findings(data: Path, findings: Iterable[Finding]) -> Iterator[str]:
    lines = [
        f"  {finding.text} ({', '.join(str(path.relative_to(data)) for path in finding.paths[:_MOST_PATHS])}"
        f"{', …' if len(finding.paths) > _MOST_PATHS else ''})"
        for finding in findings
    ]
    yield "\nwhat stands out:" if lines else "\nnothing stands out"
    yield from lines


def _of_hearings(hearings: Hearings) -> Iterator[str]:
    left_out = f", {hearings.n_left_out} were too many" if hearings.n_left_out else ""
    yield f"\nwhat {hearings.model} answers already, of its own labels ({hearings.n_played} clips played{left_out}):"
    for one in hearings.labels:
        found, closest = one.answers, one.closest
        if found is None:
            told = "nothing"
        else:
            told = f"{found.known!r} to {found.n_answered} of {found.n_clips} clips"
            if found.n_others:
                told += f", to {found.n_others_answered} of {found.n_others} others"
            if found.background_seconds:
                told += f", {found.n_false_alarms} times in {found.background_seconds / 60:.1f} min of background"
            told += f" (median of their highest posteriors {found.median_posterior:.2f})"
        hint = ""
        if closest.separation is not None and closest.separation >= _TOLD_APART and closest != found:
            hint = f"; the posterior of {closest.known!r} tells them apart in {closest.separation:.0%} of pairs"
        yield f"  {one.label}: {told}{hint}"


def _told_by(evidence: Evidence) -> str:
    return evidence if evidence == "alone" else f"by {evidence}"


def _and_more(n_all: int) -> Iterator[str]:
    if n_all > _MOST_SHOWN:
        yield f"  … and {n_all - _MOST_SHOWN} more"
