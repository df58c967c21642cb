"""The two readers: a folder per label, and tables. They look at names and tables, never at audio."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Formatter

from streamd.errors import DataError
from streamd.spelling import did_you_mean
from training.prepare.clips import Clip
from training.prepare.layouts import OWN_TABLE, FolderLayout, TableLayout

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
"""Of recordings, in the order in which one is looked for when a table leaves the suffix out."""

NOTE_SUFFIXES = {".csv", ".tsv", ".txt", ".md", ".json", ".xml", ".yaml", ".yml", ".pdf", ".png", ".jpg", ".html"}
"""Of files that may lie beside recordings. Anything else is taken for one: a clip in a format that can't be read
must be told of, not left out."""

BACKGROUND = "background"
"""The label in a table that means none, as an empty cell does."""


def read_folders(data: Path, layout: FolderLayout) -> list[Clip]:
    """Return the clips of a folder per label, in the order of their names.

    A labels.csv in DATA with the columns path and source says what belongs together.

    Raises:
        DataError: there is no folder with recordings, or a label's folder is empty.
    """
    folders = sorted(path for path in _entries(data) if path.is_dir())
    if not any(folder.name != layout.background for folder in folders):
        here = sum(path.suffix.lower() in SUFFIXES for path in _entries(data))
        raise DataError(
            f"{data}: found {here} recordings and no folder of a label; expected DATA/<label>/*.wav, one folder a label"
        )
    sources = _own_sources(data)
    splits = {
        line.strip(): split
        for name, split in layout.split_lists
        if (data / name).is_file()
        for line in _text(data / name).splitlines()
    }
    clips = []
    for folder in folders:
        recordings = sorted(_recordings_below(folder))
        if not recordings:
            raise DataError(f"{folder}: found no recording in this label's folder; add clips or remove the folder")
        label = None if folder.name == layout.background else folder.name
        for path in recordings:
            name = path.relative_to(data).as_posix()
            source = sources.get(name) or (_matched(layout.source, path.stem) if layout.source else None)
            clips.append(Clip(path, label, None, None, source, splits.get(name, layout.other_split)))
    return clips


def read_tables(data: Path, layouts: tuple[TableLayout, ...]) -> tuple[list[Clip], list[str]]:
    """Return the clips of all tables of some layouts, in the tables' order, and notes on what was left out.

    Raises:
        DataError: a table, a column or a recording is missing, or a cell makes no sense.
    """
    clips: list[Clip] = []
    notes = []
    found = [(layout, table) for layout in layouts for table in sorted(data.glob(layout.tables))]
    for layout, table in found:
        rows = list(_rows(data, table, layout))
        missing = Counter(not path.is_file() for path, _ in rows)[True]
        if missing and not layout.may_lack_recordings:
            first = next(path for path, _ in rows if not path.is_file())
            raise DataError(
                f"{table}: {missing} of its {len(rows)} rows name a recording that isn't there, the first {first};"
                " add the recordings or remove the rows"
            )
        if missing:
            notes.append(f"{table.relative_to(data)}: {missing} of {len(rows)} rows name a recording that isn't here")
        clips += [clip for path, clip in rows if path.is_file()]
    if not clips:
        tables = " or ".join(layout.tables for layout in layouts)
        raise DataError(f"{data}: found no clip through {tables}; expected rows whose recordings are there")
    return list(dict.fromkeys(clips)), notes


def has_labels(table: Path) -> bool:
    """Tell whether a labels.csv is a user's own table, and not only one of sources beside folders."""
    if not table.is_file():
        return False
    header = _header(table, OWN_TABLE)
    return "source" not in header or bool(did_you_mean("label", header))


def recording_of(path: Path) -> Path:
    """Return the recording that a table means by a path which may lack its suffix; the path itself if there is none."""
    if path.is_file() and path.suffix.lower() not in NOTE_SUFFIXES:
        return path
    with_suffix = (path.with_name(path.name + suffix) for suffix in SUFFIXES)
    return next((found for found in with_suffix if found.is_file()), path)


def _rows(data: Path, table: Path, layout: TableLayout) -> Iterator[tuple[Path, Clip]]:
    """Yield the recording that a row names, whether it is there or not, and each of the row's clips."""
    fixed = Path(layout.tables.split("*")[0]) if "*" in layout.tables else Path(layout.tables).parent
    name = table.relative_to(data / fixed).with_suffix("")
    own = {"table": name.as_posix(), "table_folder": name.parts[0]}
    if layout.recording == "{table}" and not recording_of(data / name).is_file():
        return  # some other text
    header = _header(table, layout)
    if not _may_be_read(table, layout, set(header)):
        return
    with table.open(encoding="utf-8-sig", newline="") as opened:
        delimiter = _delimiter(table)
        if delimiter == "\t":  # nothing is quoted there: a quotation mark in a label track is one
            cells = csv.reader(opened, delimiter=delimiter, quoting=csv.QUOTE_NONE)
        else:
            cells = csv.reader(opened, delimiter=delimiter)
        for row in cells:
            # Below a label that has a range of frequencies, Audacity writes a line of that range.
            if row == header or not any(row) or row[0] == "\\":
                continue
            values = _Cells({**dict(zip(header, row, strict=False)), **own})
            where = f"{table}:{cells.line_num}"
            path = recording_of(data / layout.recording.format_map(values))
            onset, offset = _times(values, layout, where)
            source = layout.source.format_map(values)
            if layout.source_pattern:
                source = _matched(layout.source_pattern, source) or ""
            split = layout.split.format_map(values)
            text = layout.label.format_map(values)
            for label in text.split(layout.label_separator) if layout.label_separator else [text]:
                known = None if label.strip() in ("", BACKGROUND) else label.strip()
                yield path, Clip(path, known, onset, offset, source or None, split or None)


class _Cells(dict[str, str]):
    """The cells of one row by their columns; a column that the table lacks is empty."""

    def __missing__(self, _column: str) -> str:
        return ""


def _header(table: Path, layout: TableLayout) -> list[str]:
    if layout.columns:
        return list(layout.columns)
    first_line = next(iter(_text(table).splitlines()), "")
    return next(csv.reader([first_line], delimiter=_delimiter(table)), [])


def _may_be_read(table: Path, layout: TableLayout, columns: set[str]) -> bool:
    """Tell whether a table has the columns that it needs; DataError if it should."""
    for names in (_columns_in(layout.recording), _columns_in(layout.label)):
        if names & columns or not names:
            continue
        if "*" in layout.tables:
            return False  # a list of recordings without labels
        missing = sorted(names)[0]
        found = ", ".join(sorted(columns))
        raise DataError(f"{table}: the column {missing!r} is missing; found {found}{did_you_mean(missing, columns)}")
    if layout is OWN_TABLE:
        optional = set[str]().union(*map(_columns_in, (layout.onset, layout.offset, layout.source, layout.split)))
        for column in sorted(columns - optional):
            if likely := did_you_mean(column, optional - columns):
                raise DataError(f"{table}: unknown column {column!r}{likely}")
    return True


def _times(values: Mapping[str, str], layout: TableLayout, where: str) -> tuple[float | None, float | None]:
    texts = layout.onset.format_map(values).strip(), layout.offset.format_map(values).strip()
    if texts == ("", ""):
        return None, None
    try:
        onset, offset = (float(text.replace(",", ".")) for text in texts)
    except ValueError:
        raise DataError(f"{where}: found onset {texts[0]!r} and offset {texts[1]!r}; expected two times in s") from None
    if not (math.isfinite(offset) and 0 <= onset < offset):
        raise DataError(f"{where}: found onset {onset:g} s and offset {offset:g} s; expected 0 ≤ onset < offset")
    return onset, offset


def _own_sources(data: Path) -> dict[str, str]:
    table = data / "labels.csv"
    if not table.is_file():
        return {}
    rows = list(csv.DictReader(_text(table).splitlines(), delimiter=_delimiter(table)))
    if rows and not {"path", "source"} <= set(rows[0]):
        raise DataError(f"{table}: found the columns {', '.join(map(str, rows[0]))}; expected path and source")
    for row in rows:
        if not (data / row["path"]).is_file():
            raise DataError(f"{table}: {row['path']}: there is no such recording; expected a path below {data}")
    return {Path(row["path"]).as_posix(): row["source"] for row in rows}


def _columns_in(text: str) -> set[str]:
    """Return the columns in a layout's text; {table} and {table_folder} are none."""
    return {column for _, column, _, _ in Formatter().parse(text) if column} - {"table", "table_folder"}


def _delimiter(table: Path) -> str:
    """Return what stands between cells: tabs in .tsv and .txt; semicolons where a spreadsheet's language has them."""
    if table.suffix.lower() != ".csv":
        return "\t"
    first_line = next(iter(_text(table).splitlines()), "")
    return ";" if ";" in first_line and "," not in first_line else ","


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: this text is not UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected a text file") from error


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}; expected a folder with a data set") from error


def _recordings_below(folder: Path) -> Iterator[Path]:
    for path in _entries(folder):
        if path.is_dir():
            yield from _recordings_below(path)
        elif path.suffix.lower() not in NOTE_SUFFIXES:
            yield path


def _matched(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1] if match else None
