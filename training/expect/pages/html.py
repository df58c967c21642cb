"""report.html: all that a report holds on one page that asks nothing of the network.

Jinja escapes whatever a template shows, so that a label named "<script>" is a label; only pictures and the style
sheet, which are made here, are put in as they are. A name the template doesn't know stops it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.expect.pages import matrix, words
from training.expect.report import Condition, Report
from training.process.plot_style import page_colours

_FOLDER = Path(__file__).parent


def page(report: Report, figures: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        report: what it shows.
        figures: pictures by name, from `figures.figures`; where one is missing the page says so.
    """
    sheet = (_FOLDER / "report.css").read_text()
    sheet = sheet.replace("LIGHT", page_colours(dark=False)).replace("DARK", page_colours(dark=True))
    design, process = report.design, report.process
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            prepare=report.prepare,
            process=process,
            bands=list(zip(process.band_hz, process.separability, strict=True)) if process else [],
            design=design,
            checkpoint_keys=list(dict.fromkeys(key for one in design.checkpoints for key in one)) if design else [],
            expect=report.expect,
            conditions=report.expect.conditions,
            feasible=words.FEASIBLE[report.expect.feasible],
            matrix=matrix.tables(report.expect.matrix),
            figures={name: Markup(drawn) for name, drawn in figures.items()},  # noqa: S704 - made by plot_style, escaped there
            css=Markup(sheet),  # noqa: S704 - a file of ours
        )
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        anything=_anything,
        alarms=words.alarms,
        background=words.background,
        base64=lambda content: base64.b64encode(content).decode(),
        confusion_table=confusion_table,
        duration=words.duration,
        hundredths=words.hundredths,
        large=words.large,
        number=words.number,
        percent=words.percent,
        position=_position,
        recall=words.recall,
        value=words.value,
    )
    return made


def confusion_table(condition: Condition) -> dict[str, Any]:
    """Return the confusion of a condition as `columns` of names and `rows` of (name, counts); nothing by nothing is
    None, for what is neither sound nor event can't be counted."""
    known = [one.label for one in condition.labels]
    labels = list(dict.fromkeys([*known, *(name for pair in condition.confusion for name in pair[:2] if name)]))
    counts = {(sound, event): n for sound, event, n in condition.confusion}
    names: list[str | None] = [*labels, None]
    rows = [
        (
            "no sound" if sound is None else sound,
            [None if sound is None and event is None else counts.get((sound, event), 0) for event in names],
        )
        for sound in names
    ]
    return {"columns": ["no event" if name is None else name for name in names], "rows": rows}


def _anything(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return words.number(value) if is_number else str(value)  # type: ignore[arg-type]


def _position(seconds: float) -> str:
    """Return a place in a stream as people find it in a player: 12.3 s, or 1:02.3."""
    minutes, tenths = divmod(round(10 * seconds), 600)
    return f"{minutes}:{tenths / 10:04.1f}" if minutes else f"{tenths / 10:.1f} s"
