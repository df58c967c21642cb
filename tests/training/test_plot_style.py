"""The one style of all pictures: on a page it follows the page's colours, in a file it stands alone."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from training.process.plot_style import SERIES, figure, page_colours, save, style, svg


def drawn(label: str = "knock", hatch: str | None = None) -> str:
    with style():
        made = figure()
        axes = made.add_subplot()
        axes.plot([1, 2, 3], [1, 3, 2], **SERIES[0].line, label=label)
        axes.axvspan(1, 2, facecolor="none", edgecolor=SERIES[1].colour, hatch=hatch)
        axes.legend()
        axes.set_xlabel(label)
        return svg(made, "picture", f"of {label}")


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb" (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_picture_on_a_page_has_only_the_pages_own_colours():
    declared = set(re.findall(r"--[a-z0-9-]+(?=:)", page_colours(dark=False)))
    assert declared == set(re.findall(r"--[a-z0-9-]+(?=:)", page_colours(dark=True)))
    picture = drawn(hatch="//")
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", picture)) <= declared
    assert "currentColor" in picture
    assert not re.findall(r"#[0-9a-f]{6}(?![0-9a-z])", picture)


@pytest.mark.parametrize(("dark", "page"), [(False, "#ffffff"), (True, "#16191d")])
def test_lines_stand_out_from_the_page_three_to_one_as_wcag_asks(dark, page):
    colours = dict(re.findall(r"(--series-\d|--mark): (#[0-9a-f]{6})", page_colours(dark=dark)))
    assert len(colours) == len(SERIES) + 1
    for name, colour in colours.items():
        bright, dim = sorted((luminance(colour), luminance(page)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 3, name


def test_no_series_is_told_by_its_colour_alone():
    assert len({str(one.dash) for one in SERIES}) == len({one.marker for one in SERIES}) == len(SERIES)


def test_ids_begin_with_the_pictures_name_and_every_reference_is_met():
    root = ET.fromstring(drawn(hatch="//"))
    ids = [one.attrib["id"] for one in root.iter() if "id" in one.attrib]
    assert ids
    assert all(name.startswith("picture-") for name in ids)
    assert len(set(ids)) == len(ids)
    values = " ".join(value for one in root.iter() for value in one.attrib.values())
    assert {*re.findall(r"url\(#([^)]+)\)", values), *re.findall(r"(?<!\()#(picture-\S+)", values)} == set(ids)


def test_a_picture_brings_no_rule_for_the_rest_of_the_page_and_no_address():
    picture = drawn()
    assert "<style" not in picture
    assert "//" not in picture
    assert picture.startswith("<svg ")


@pytest.mark.parametrize("label", ["$x^2$", "<script>alert(1)</script>", "狗吠 🐶", "a & b", "naïve\tname"])
def test_any_label_is_shown_as_it_is_and_warns_of_nothing(label):
    root = ET.fromstring(drawn(label))
    assert label in ["".join(one.itertext()) for one in root.iter("text")]
    assert root.attrib["aria-label"] == f"of {label}"


def test_the_same_picture_has_the_same_bytes():
    assert drawn() == drawn()


def test_a_file_is_a_picture_on_white(tmp_path):
    with style():
        made = figure(2, 1)
        made.add_subplot().plot([0, 1], [0, 1])
        save(made, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == (300, 150)
        assert picture.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
