"""Under which licence each recording came: what a model that learned from it has to tell wherever it goes."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamd.errors import DataError
from training.prepare.groups import Group

TABLE = "origins.csv"
"""Beside the data: source and licence (an SPDX expression), and perhaps package, version and sha256 of the package."""

NOT_TOLD = "not told"
"""In place of a licence that no table has."""

WHO_DECIDES = "follows from a person's decision about these sources; no program can make it"
"""The licence of the weights."""


@dataclass(frozen=True)
class Licensed:
    """Something that was learned from: a group of clips, recorded rooms, or weights that somebody else trained."""

    source: str
    licence: str
    sha256: str
    """Of its content."""
    package: str | None = None
    """Name and version of what it was fetched as."""
    package_sha256: str | None = None


def licensed(groups: Iterable[Group], table: Path) -> list[Licensed]:
    """Return what each group came under, as far as a table tells; it needn't be there.

    Raises:
        DataError: the table is no such table.
    """
    rows = _rows(table)
    return [_licensed(group.name, {clip.path for clip in group.clips}, rows.get(group.name, {})) for group in groups]


def licensed_files(source: str, files: Iterable[Path], table: Path) -> Licensed:
    """Return what files that hold no clips came under, with the source that they have in the table; as `licensed`."""
    return _licensed(source, files, _rows(table).get(source, {}))


def as_facts(found: Sequence[Licensed]) -> dict[str, Any]:
    """Return what a manifest tells of it, for its field `training`."""
    sources = [{name: value for name, value in vars(one).items() if value is not None} for one in found]
    return {"sources": sources, "licence_of_the_weights": WHO_DECIDES}


def in_facts(training: Mapping[str, Any]) -> list[Licensed]:
    """Return what a manifest tells of it; nothing of one that was written by other programs."""
    try:
        return [Licensed(**one) for one in training.get("sources", [])]
    except TypeError:
        return []


def _licensed(source: str, files: Iterable[Path], row: Mapping[str, str]) -> Licensed:
    package = " ".join(row[name] for name in ("package", "version") if row.get(name))
    return Licensed(
        source=source,
        licence=row.get("licence") or NOT_TOLD,
        sha256=_digest(files),
        package=package or None,
        package_sha256=row.get("sha256") or None,
    )


def _digest(files: Iterable[Path]) -> str:
    """Return the SHA-256 over files, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _rows(table: Path) -> dict[str, dict[str, str]]:
    if not table.is_file():
        return {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            read = csv.DictReader(file)
            columns = list(read.fieldnames or [])
            rows = list(read)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{table}: this is no table ({error}); expected CSV with the columns source, licence"
        ) from error
    missing = [name for name in ("source", "licence") if name not in columns]
    if missing:
        raise DataError(f"{table}: found no column {missing[0]} in {', '.join(columns)}; expected source and licence")
    return {row["source"]: row for row in rows if row["source"]}
