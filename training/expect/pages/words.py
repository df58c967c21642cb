"""How numbers are written for people: never more than was measured, never a share without its interval and count."""

from __future__ import annotations

import math
import re

from training.expect.report import Cell, Condition, Interval, LabelResult

BACKGROUNDS = {
    "given": "your own background recordings",
    "shipped": "background recordings that come with the tools, none of your place",
    "generated": "generated background only: not a promise for your room",
}
"""What false alarms were counted in; the last is the heading of every such figure."""
FEASIBLE = {"yes": "Yes", "partly": "Partly", "no": "No", "unknown": "Can’t be said yet"}


def number(value: float) -> str:
    """Return three digits, without an exponent where people read numbers: 0.012, 1.5, 37, 1 234 567."""
    if not math.isfinite(value):
        return "–"
    if value < 0:
        return f"\u2212{number(-value)}"
    if isinstance(value, int) or value >= 100:
        return f"{value:,.0f}".replace(",", "\u202f")
    if 0 < value < 1e-4:
        return f"{value:.3g}"
    digits = 2 - math.floor(math.log10(value)) if value else 0
    text = f"{value:.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def hundredths(value: float) -> str:
    """Return two digits behind the point, so that a column of them can be compared at a glance: 0.70."""
    return f"{value:.2f}"


def duration(seconds: float) -> str:
    """Return a time that something took: 3.2 s, 47 min, 2.5 h."""
    if seconds < 120:
        return f"{number(seconds)} s"
    return f"{number(round(seconds / 60))} min" if seconds < 7200 else f"{number(seconds / 3600)} h"


def large(value: float) -> str:
    """Return a cost or a size in thousands, millions or billions: 91.6 thousand, 12 million."""
    for unit, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if abs(value) >= unit:
            return f"{number(value / unit)} {name}"
    return number(value)


def percent(share: float) -> str:
    """Return a share of 0 to 1 as "71"; near the ends with a digit more, so that 0 and 100 are what they say."""
    near_an_end = 0 < share < 0.01 or 0.99 < share < 1
    return f"{min(max(100 * share, 0.1), 99.9):.1f}" if near_an_end else f"{100 * share:.0f}"


def share(n: int, of: int, part: float | None, interval: Interval | None) -> str:
    """Return a share with its interval and count, "71 % (52 to 84 %; 20 of 28)"; without an interval only the count."""
    if not of or part is None:
        return "no sounds"
    if interval is None:
        return f"{n}\u00a0of\u00a0{of}"
    low, high = interval
    return f"{percent(part)}\u00a0% ({percent(low)} to {percent(high)}\u00a0%; {n}\u00a0of\u00a0{of})"


def recall(result: LabelResult) -> str:
    """Return the recall of a label in a condition, as far as it can be told."""
    return share(result.n_heard, result.n_sounds, result.recall, result.recall_interval)


def cell(one: Cell) -> str:
    """Return the recall of a cell of the matrix, as far as it can be told."""
    return share(round(one.recall * one.n_sounds), one.n_sounds, one.recall, one.recall_interval)


def value(middle: float, interval: Interval | None) -> str:
    """Return a number with its interval, "0.71 (0.52 to 0.84)"; or with the word that it has none."""
    if interval is None:
        return f"{number(middle)} (no interval)"
    return f"{number(middle)} ({number(interval[0])} to {number(interval[1])})"


def alarms(result: LabelResult) -> str:
    """Return what may be said of false alarms, without the heading that every page gives to generated background."""
    said = result.alarms.removeprefix(f"{_sentence(BACKGROUNDS['generated'])}. ")
    return re.sub(r"(?<=\d) (?=h\b|%)", "\u00a0", said)  # no number on another line than its unit


def background(condition: Condition) -> str:
    """Return what false alarms were counted in, as a heading."""
    return _sentence(BACKGROUNDS[condition.background])


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]
