"""How every picture of training looks: one style, for pages (SVG inside HTML) and for files (PNG).

No colour stands alone: a series has a colour, a dash and a marker of its own. On a page colours are variables of the
style sheet, so that a picture turns dark with its page; text stays text, in the page's font.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, GRID, PAPER = "#1c2024", "#d3d7dc", "#fefefe"
"""Text and axes; lines that only guide the eye; what lies under a legend."""
MARK = "#b3261e"
"""What a person asked for or has to notice: a budget, a chosen step."""


@dataclass(frozen=True)
class Series:
    """How one of several lines is told from the others, with and without colour."""

    colour: str
    dash: str | tuple[float, tuple[float, ...]]
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Keywords for Axes.plot."""
        return {"color": self.colour, "linestyle": self.dash, "marker": self.marker}


SERIES = (
    Series("#0068a8", "solid", "o"),
    Series("#c24a00", (0, (5, 2)), "s"),
    Series("#007a5c", (0, (1.5, 1.5)), "^"),
    Series("#8e3f86", (0, (6, 2, 1.5, 2)), "D"),
    Series("#6a6100", (0, (8, 2)), "v"),
    Series("#4b5560", (0, (3, 1, 1, 1, 1, 1)), "P"),
)
"""More than six lines in one picture can't be told apart: show the ones that matter, and the rest in a table."""

_VARIABLES = {
    INK: "currentColor",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    MARK: "var(--mark)",
    **{one.colour: f"var(--series-{i})" for i, one in enumerate(SERIES, start=1)},
}
"""What each colour becomes on a page; `page_colours` writes their values."""

_DARK = {
    "--grid": "#3f454d",
    "--paper": "#16191d",
    "--mark": "#ff8a80",
    **{
        f"--series-{i}": colour
        for i, colour in enumerate(("#6cb8f5", "#ff9f66", "#4fd0a8", "#e3a1dc", "#d6cc5e", "#b9c2cc"), start=1)
    },
}

_RC: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same picture on every machine
    "font.size": 9.5,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.facecolor": PAPER,
    "legend.edgecolor": GRID,
    "legend.fontsize": 9,
    "legend.framealpha": 0.9,
    "legend.handlelength": 3.2,  # long enough to show a dash
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "streamd",  # the same picture gets the same bytes
    "text.color": INK,
    "text.parse_math": False,  # a label may hold a $
    "xtick.color": INK,
    "ytick.color": INK,
}

_SVG, _HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


@contextmanager
def style() -> Iterator[None]:
    """Draw and save in the style inside of this; labels in any script are let through, the page's fonts have them."""
    with mpl.rc_context(_RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        warnings.filterwarnings("ignore", r"Matplotlib currently does not support .* natively", UserWarning)
        yield


def figure(width_inches: float = 4.5, height_inches: float = 2.8) -> Figure:
    """Return an empty figure, to be drawn on inside of `style`; it needs no screen, and nobody has to close it."""
    made = Figure(figsize=(width_inches, height_inches), layout="constrained")
    FigureCanvasAgg(made)
    return made


def svg(drawn: Figure, name: str, title: str) -> str:
    """Return a figure as an <svg> element for inside a page: no prolog, no style sheet, no namespace, no request.

    Args:
        drawn: the figure; call this inside of `style`, too.
        name: begins the ids inside, so that two pictures on a page don't share any: letters and hyphens.
        title: what it shows, for who can't see it.
    """
    file = io.BytesIO()
    drawn.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = ET.fromstring(file.getvalue())  # noqa: S314
    _, _, width, height = root.attrib["viewBox"].split()
    for key in list(root.attrib):
        del root.attrib[key]
    root.attrib.update({"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": title})
    for sheet in [one for one in root if one.tag == f"{_SVG}defs" and one.find(f"{_SVG}style") is not None]:
        root.remove(sheet)  # its rule is for every element, and would be so for those of the page
    used = {href.removeprefix("#") for one in root.iter() if (href := one.get(_HREF))}
    used.update(re.findall(r"url\(#([^)]+)\)", " ".join(value for one in root.iter() for value in one.attrib.values())))
    for one in root.iter():
        _rename(one, name, used)
    return ET.tostring(root, encoding="unicode")


def save(drawn: Figure, path: Path) -> None:
    """Write a figure as a PNG on white, to be looked at by itself; call it inside of `style`."""
    drawn.savefig(path, dpi=150, facecolor="#ffffff")


def page_colours(*, dark: bool) -> str:
    """Return the declarations that give the pictures' colours their values, for a rule of a style sheet."""
    light = {
        name.removeprefix("var(").removesuffix(")"): colour
        for colour, name in _VARIABLES.items()
        if name.startswith("var(")
    }
    return " ".join(f"{name}: {colour};" for name, colour in (_DARK if dark else light).items())


def _rename(element: ET.Element, name: str, used: set[str]) -> None:
    """Take an element out of its namespace; ids begin with a name, colours become variables, no font is named."""
    element.tag = element.tag.removeprefix(_SVG)
    if (href := element.attrib.pop(_HREF, None)) is not None:
        element.set("href", f"#{name}-{href.removeprefix('#')}")
    if (own := element.attrib.pop("id", None)) in used:
        element.set("id", f"{name}-{own}")
    for key, value in element.attrib.items():
        if key in ("style", "clip-path", "fill", "stroke"):
            told = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", value)
            told = re.sub(r"font-family: [^;]+(; )?", "", told)
            element.set(key, re.sub(r"#[0-9a-f]{6}", lambda found: _VARIABLES.get(found[0], found[0]), told))
