"""card.md: the page that goes with a trained model wherever it goes."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.expect.pages import words
from training.expect.pages.matrix import tables
from training.expect.report import Cell, Report

N_WEAK = 5
"""Weaknesses that are named: more wouldn't be read."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~&#$])")
"""What Markdown would take for itself, in the middle of a line."""


def model_card(report: Report) -> str:
    """Return the card of the model that a report is about, in Markdown."""
    conditions = report.expect.conditions
    configuration = _configuration(report.model, _labels(report))
    environment = Environment(  # noqa: S701 - not HTML: what is shown is escaped for Markdown, by finalize
        loader=FileSystemLoader(Path(__file__).parent),
        finalize=_text,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        alarms=words.alarms,
        background=words.background,
        cell=words.cell,
        code=_code,
        hundredths=words.hundredths,
        large=words.large,
        number=words.number,
        recall=words.recall,
    )
    page = environment.get_template("card.md.j2").render(
        report=report,
        prepare=report.prepare,
        process=report.process,
        design=report.design,
        expect=report.expect,
        feasible=words.FEASIBLE[report.expect.feasible],
        labels=_labels(report),
        weak_cells=_weak_cells(report.expect.matrix),
        confused=_confused([pair for condition in conditions for pair in condition.confusion]),
        configuration=Markup(configuration),  # noqa: S704 - for Markdown, where a fence ends it
    )
    before, lines, after = page.partition(configuration)
    return _one_blank_line(before) + lines + _one_blank_line(after)


def _one_blank_line(text: str) -> str:
    """Return text without the blank lines that parts left out have left behind."""
    return re.sub(r"\n{3,}", "\n\n", text)


def _labels(report: Report) -> list[str]:
    return list(dict.fromkeys(one.label for condition in report.expect.conditions for one in condition.labels))


def _weak_cells(cells: list[Cell]) -> list[tuple[str, Cell]]:
    """Return the cells of lowest recall that lie under the best one, worst first, and where they are."""
    found = {
        id(one): (", ".join(part for part in (row, column, table.fixed) if part not in ("", "recall")), one)
        for table in tables(cells)
        for row, row_cells in table.rows
        for column, one in zip(table.columns, row_cells, strict=True)
        if one is not None
    }
    best = max((one.recall for _, one in found.values()), default=0.0)
    weaker = [(where, one) for where, one in found.values() if one.recall < best]
    return sorted(weaker, key=lambda item: item[1].recall)[:N_WEAK]


def _confused(pairs: list[tuple[str | None, str | None, int]]) -> list[tuple[str, str, int]]:
    """Return which label was taken for which other, and how often in all conditions, most often first."""
    n: dict[tuple[str, str], int] = {}
    for sound, event, count in pairs:
        if count and sound is not None and event is not None and sound != event:
            n[sound, event] = n.get((sound, event), 0) + count
    often = sorted(n.items(), key=lambda item: -item[1])[:N_WEAK]
    return [(sound, event, count) for (sound, event), count in often]


def _configuration(model: str, labels: list[str]) -> str:
    """Return the lines for streamd.yaml as a block of code."""
    section = {"models": [{"file": f"{model}.onnx", "labels": {label: {} for label in labels}}]}
    lines = yaml.safe_dump(section, allow_unicode=True, sort_keys=False, width=1000)
    longest = max((len(run) for run in re.findall("`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}yaml\n{lines}{fence}"


def _code(text: str) -> Markup:
    """Return text as code within a line; not for tables, whose bars code doesn't hide."""
    line = " ".join(text.split()) or " "
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if "`" in line else ""
    return Markup(f"{fence}{pad}{line}{pad}{fence}")  # noqa: S704 - for Markdown


def _text(value: object) -> str:
    """Return what a template shows so that Markdown takes none of it for itself; one line stays one line."""
    if isinstance(value, Markup):
        return value
    return _SPECIAL.sub(r"\\\1", re.sub(r"[\r\n]+", " ", str(value)))
