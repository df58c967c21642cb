"""`python -m training prepare DATA`: a data set read, grouped, trimmed and audited, as lines for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from training.prepare.audit import Audit, Finding, audit
from training.prepare.data_set import DataSet, read_data
from training.prepare.groups import Evidence, Group, find_groups, folds
from training.prepare.measure import Measured

_MOST_SHOWN = 12
"""Groups and trims on a screen; of the rest, the number is told."""
_MOST_PATHS = 3


def prepare(data: Path, layout: str | None = None) -> Iterator[str]:
    """Yield what is to be known of a data set, line by line.

    Raises:
        DataError: nothing can be trained on it, or all clips of a label are one group; told after what was found.
        RecordingError: a recording can't be read.
    """
    found = read_data(data, layout)
    groups = find_groups(found.clips)
    known = audit(groups)
    yield from _of_labels(data, found, known)
    yield from _of_groups(groups)
    yield from _of_trims(data, found, known.measured)
    yield from _of_findings(data, known.findings)
    tests = folds(groups)
    yield f"\n{len(tests)} folds that cut no group, of {', '.join(str(len(fold)) for fold in tests)} clips"


def _of_labels(data: Path, found: DataSet, known: Audit) -> Iterator[str]:
    yield f"{data}: read as {found.layout}"
    yield from found.notes
    yield f"\n{'label':<28}{'clips':>7}{'files':>7}{'groups':>8}{'minutes':>9}{'median s':>10}{'SNR dB':>8}"
    for row in known.rows:
        snr = "–" if row.median_snr_db is None else f"{row.median_snr_db:.0f}"
        counts = f"{row.n_clips:>7}{row.n_recordings:>7}{row.n_groups:>8}"
        yield f"{row.label:<28}{counts}{row.seconds / 60:>9.1f}{row.median_seconds:>10.2f}{snr:>8}"
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


def _told_by(evidence: Evidence) -> str:
    return evidence if evidence == "alone" else f"by {evidence}"


def _and_more(n_all: int) -> Iterator[str]:
    if n_all > _MOST_SHOWN:
        yield f"  … and {n_all - _MOST_SHOWN} more"
