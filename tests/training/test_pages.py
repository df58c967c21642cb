"""The pages of a report: whole, honest, safe with any name, and without a request to anybody."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
import yaml
from markdown_it import MarkdownIt

from streamd.config import load
from tests.training import reports
from training.expect import report as contents
from training.expect.expectation import GENERATED
from training.expect.intervals import alarms_per_hour
from training.expect.pages import write_pages
from training.expect.pages.figures import figures
from training.expect.pages.html import page
from training.expect.pages.matrix import tables
from training.expect.pages.model_card import model_card
from training.expect.pages.words import number, percent
from training.expect.report import Report

HOSTILE = """<script>alert("1")</script>'"><img src=x onerror=y> | `a` *b* _c_ [d](e) {{ f }} ${g}$ & \\ """
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.sheet = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.sheet += data
        else:
            self.texts.append(data)

    def values(self, *names: str) -> list[str]:
        return [value for _, name, value in self.attributes if name in names]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def full() -> Report:
    return reports.full()


@pytest.fixture(scope="module")
def drawn(full) -> dict[str, str]:
    return figures(full)


@pytest.fixture(scope="module")
def whole(full, drawn) -> Page:
    return Page(page(full, drawn))


@pytest.fixture(scope="module")
def least() -> Page:
    report = reports.least()
    return Page(page(report, figures(report)))


def plain(report: Report) -> Any:
    """Return a report as JSON holds it: dictionaries and lists."""
    return msgspec.json.decode(msgspec.json.encode(report))


def short(report: Report) -> Report:
    """Return a report whose long lists have two entries: the page writes all entries alike."""

    def cut(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cut(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [cut(inner) for inner in (value[:2] if len(value) > 5 else value)]
        return value

    return msgspec.convert(cut(plain(report)), Report)


def changes(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield every number in plain data with another in its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from changes(inner, (*where, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from changes(inner, (*where, i))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        part = isinstance(value, float) and 0 <= value <= 1
        yield where, (value + (0.31 if value < 0.5 else -0.31) if part else type(value)(3 * value + 1000))


def put(data: Any, where: tuple[Any, ...], value: Any) -> Any:
    """Return plain data in which one place holds something else."""
    if not where:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[where[0]] = put(data[where[0]], where[1:], value)
    return copy


def everywhere(value: Any, text: str, where: str = "") -> Any:
    """Return plain data in which every string that people write has a text at its end, with a number of its own."""
    if isinstance(value, dict):
        return {key: everywhere(inner, text, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [everywhere(inner, text, where) for inner in value]
    fixed = {"verdict", "kind", "background", "familiarity", "feasible", "flac"}
    is_word = where in fixed and isinstance(value, str) and " " not in value
    return value + text if isinstance(value, str) and not is_word and value != "false alarm" else value


@pytest.mark.parametrize("which", ["whole", "least"])
def test_the_page_asks_nothing_of_anybody(which, request):
    found = request.getfixturevalue(which)
    assert not {"script", "iframe", "object", "embed", "base", "img", "form"} & set(found.tags)
    assert all(value.startswith("data:audio/flac;base64,") for value in found.values("src"))
    assert not found.values("srcset", "poster", "action", "background", "xlink:href", "http-equiv")
    assert not [name for _, name, _ in found.attributes if name.startswith(("on", "xmlns"))]
    assert "@import" not in found.sheet
    assert "url(" not in found.sheet
    links = [(name, value) for tag, name, value in found.attributes if tag == "link"]
    ids = found.values("id")
    assert len(set(ids)) == len(ids)
    rest = [value for _, name, value in found.attributes if name != "src"]
    referred = {href.removeprefix("#") for href in found.values("href")}
    referred.update(name for value in rest for name in re.findall(r"url\(#([^)]+)\)", value))
    assert referred <= {*ids, "data:,"}
    assert [href for href in found.values("href") if not href.startswith("#")] == ["data:,"]
    assert links == [("rel", "icon"), ("href", "data:,")]  # or a browser would ask a server for one
    assert sum(value.count("url(") for value in rest) == sum(value.count("url(#") for value in rest)
    assert "://" not in " ".join([*rest, found.text])


def test_every_error_can_be_heard_as_it_was_cut(full, whole):
    heard = [base64.b64decode(value.removeprefix("data:audio/flac;base64,")) for value in whole.values("src")]
    assert heard == [one.flac for one in full.expect.errors]
    audio, rate = soundfile.read(io.BytesIO(heard[7]))
    assert (rate, len(audio)) == (16_000, 40_000)
    assert np.abs(audio).max() > 0.1


def test_no_number_of_the_report_is_left_out(full):
    data = plain(short(full))
    before = page(short(full), {})
    unseen = [  # not the format: the page is for people
        where
        for where, other in changes(data)
        if where != ("format",) and page(msgspec.convert(put(data, where, other), Report), {}) == before
    ]
    assert unseen == []


def test_every_picture_and_every_chapter_is_there(drawn, whole):
    assert whole.tags.count("svg") == 13
    assert set(drawn) == {
        *("separability", "field", "losses", "learning", "stages"),
        *(f"{name}-{i}" for name in ("det", "operating", "delay", "calibration") for i in (0, 1)),
    }
    for chapter in ("Prepare", "Process", "Design", "Expect"):
        assert chapter in whole.texts
    assert whole.text.index("Feasible? Partly .".replace(" .", "")) < whole.text.index("The data: what there is")
    assert "Nothing to draw" not in whole.text
    assert all(label for tag, name, label in whole.attributes if tag == "svg" and name == "aria-label")


def test_a_name_is_never_taken_for_markup(full, whole):
    hostile = msgspec.convert(everywhere(plain(full), HOSTILE), Report)
    found, clean = Page(page(hostile, {})), Page(page(full, {}))
    assert found.tags == clean.tags
    assert [name for _, name, _ in found.attributes] == [name for _, name, _ in clean.attributes]
    assert f"bearing squeal{HOSTILE}".strip() in {text.strip() for text in found.texts}
    assert found.text.count("alert(") > 200
    drawn = Page(page(hostile, figures(hostile)))
    assert set(drawn.tags) == set(whole.tags)
    assert {(tag, name) for tag, name, _ in drawn.attributes} == {(tag, name) for tag, name, _ in whole.attributes}


def test_what_was_not_measured_is_said_and_how_to_measure_it(least):
    assert least.text.count("Not measured in this run: train --thorough measures it.") == 5
    assert least.text.count("A finished model was evaluated") == 3
    assert "Feasible? Can’t be said yet" in least.text
    assert "False alarms were not measured" in least.text
    assert "10 of 14 (too few groups for an interval: nothing can be said of others)" in least.text
    assert "No error was kept to be heard." in least.text


@pytest.mark.parametrize("which", ["whole", "least"])
def test_no_percent_without_its_interval_and_count(which, request):
    text = request.getfixturevalue(which).text
    told = r"[\d.]+ % ?\(?[\d.]+ to [\d.]+ % ?(?:; \d+ of \d+\)|of \d+ sounds)"
    assert len(re.findall(told, text)) == (42 if which == "whole" else 0)
    rest = re.sub(told, "", text)
    rest = re.sub(r"95 % intervals?|at 95 %|the middle 90 % of what training drew", "", rest)
    assert "%" not in rest


def test_nothing_says_0_an_hour(full, drawn):
    least = reports.least()
    for text in (page(full, drawn), model_card(full), page(least, figures(least)), model_card(least)):
        assert not re.search(r"\b0(\.0*)?[\s\u00a0]*(false alarms |alarms )?(an hour|per hour|/h)", text)
    assert "none counted</td>" in page(full, {})


def test_generated_background_is_a_heading_on_the_page_and_on_the_card(full, whole, least):
    words = "Generated background only: not a promise for your room."
    assert whole.text.count(words) == 1
    assert least.text.count(words) == 2
    card = model_card(full)
    assert card.index("### unseen rooms") < card.index(f"**{words}**")
    assert card.index(words) < card.index("| label | recall |", card.index("### unseen rooms"))


def test_the_heading_of_generated_background_is_not_said_again_in_every_row():
    report = reports.least()
    (condition,) = report.expect.conditions
    headed = [msgspec.structs.replace(one, alarms=GENERATED + alarms_per_hour(0, 0.5, 0.5)) for one in condition.labels]
    conditions = [msgspec.structs.replace(condition, labels=headed)]
    again = msgspec.structs.replace(report, expect=msgspec.structs.replace(report.expect, conditions=conditions))
    assert Page(page(again, {})).text.count(GENERATED.strip()) == 2
    assert model_card(again).count(GENERATED.strip()) == 1


def test_the_budget_is_in_the_picture_however_few_the_hours_are(full):
    condition = msgspec.structs.replace(
        full.expect.conditions[0], labels=[reports.result("knock", 0.9, 20, 5, 0.1)], confusion=[], calibration=[]
    )
    expect = msgspec.structs.replace(full.expect, conditions=[condition], matrix=[], stages=[], learning_curve=[])
    drawn = figures(msgspec.structs.replace(full, expect=expect))["det-0"]
    begins = re.findall(r'<path d="M ([\d.]+) [^"]*" clip-path="[^"]*" style="[^"]*var\(--mark\)', drawn)
    assert len(begins) == 1
    assert 30 < float(begins[0]) < 300


def test_a_card_names_sources_with_licence_and_checksum_and_who_decides_on_the_weights(full):
    card = model_card(full)
    for name, licence, sha256 in full.sources:
        assert f"| {name} | {licence} | {sha256} |" in card
    assert "The licence of the weights follows from a person’s decision" in card
    assert "bearing squeal | 93\u00a0% (77 to 100\u00a0%; 26\u00a0of\u00a028)" in card
    assert "street at 0 dB, RT60 1.2 s, far, 6 m: 10\u00a0% (4 to 23\u00a0%; 4\u00a0of\u00a040), extrapolated" in card


@pytest.mark.parametrize("text", ["", HOSTILE, " ``` ```` ", "\n# heading\n\n- list", "狗吠"])
def test_a_card_is_markdown_whatever_things_are_called(full, text):
    data = everywhere(plain(full), text) if text else plain(full)
    named = msgspec.convert(data, Report)
    tokens = MarkdownIt("commonmark").enable("table").parse(model_card(named))
    clean = MarkdownIt("commonmark").enable("table").parse(model_card(full))
    assert [one.type for one in tokens] == [one.type for one in clean]
    inline = [child.type for one in tokens for child in one.children or []]
    assert not {"html_inline", "link_open", "image"} & set(inline)
    (fence,) = (one.content for one in tokens if one.type == "fence")
    (model,) = yaml.safe_load(fence)["models"]
    assert model == {"file": f"{named.model}.onnx", "labels": {f"{label}{text}": {} for label in reports.LABELS}}


def test_the_lines_for_streamd_yaml_are_what_the_daemon_reads(tmp_path):
    card = model_card(reports.full())
    lines = card.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "streamd.yaml").write_text(lines)
    (tmp_path / "workshop.onnx").write_bytes(b"")
    (model,) = load(tmp_path / "streamd.yaml").models
    assert list(model.labels) == list(reports.LABELS)


def test_three_files_are_written_and_the_json_is_the_report(tmp_path):
    report = reports.least()
    write_pages(report, tmp_path / "new" / "folder")
    assert sorted(one.name for one in (tmp_path / "new" / "folder").iterdir()) == [
        "card.md",
        "report.html",
        "report.json",
    ]
    assert contents.read(tmp_path / "new" / "folder" / "report.json") == report


def test_pages_are_made_without_a_screen_and_without_pyplot(tmp_path):
    code = """
import sys, warnings
warnings.simplefilter("error")
from pathlib import Path
from tests.training.reports import least
from training.expect.expectation import GENERATED
from training.expect.intervals import alarms_per_hour
from training.expect.pages import write_pages
write_pages(least(), Path(sys.argv[1]))
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "False\n"
    assert done.stderr == ""


def test_the_same_report_makes_the_same_page(least):
    report = reports.least()
    assert Page(page(report, figures(report))).attributes == least.attributes


def test_many_labels_fill_tables_and_leave_pictures_readable():
    report = reports.full()
    first = report.expect.conditions[0]
    results = [reports.result(f"label {i}", 0.9 - 0.02 * i, 20 + i, 5, 3.0) for i in range(30)]
    crowd = msgspec.structs.replace(first, labels=results)
    many = msgspec.structs.replace(report, expect=msgspec.structs.replace(report.expect, conditions=[crowd]))
    drawn = figures(many)
    assert re.findall(r"label \d+", drawn["det-0"]) == [f"label {i}" for i in range(24, 30)]
    assert "The six labels that are heard least." in page(many, drawn)


def test_a_label_without_sounds_or_without_hours_stops_nothing():
    report = reports.full()
    empty = msgspec.structs.replace(
        reports.least().expect.conditions[0].labels[0], n_sounds=0, n_heard=0, n_groups=0, recall=None
    )
    point = contents.DetPoint(threshold=0.5, recall=None, n_false_alarms=0, hours=0.0)
    empty = msgspec.structs.replace(empty, det=[point])
    condition = msgspec.structs.replace(report.expect.conditions[0], labels=[empty], confusion=[], calibration=[])
    bare = msgspec.structs.replace(report, expect=msgspec.structs.replace(report.expect, conditions=[condition]))
    assert "no sounds" in Page(page(bare, figures(bare))).text
    assert "no sounds" in model_card(bare)


def test_the_matrix_holds_every_cell_and_says_what_a_table_has_in_common():
    cells = reports.matrix()
    found = tables(cells)
    shown = {id(one) for table in found for _, row in table.rows for one in row if one is not None}
    assert shown == {id(one) for one in cells}
    assert [(table.title, table.fixed) for table in found] == [
        ("Noise", "RT60 0.4 s, phone, 1.5 m"),
        ("Room", "home at 10 dB, phone, 1.5 m"),
        ("Microphone", "home at 10 dB, RT60 0.4 s, 1.5 m"),
        ("Distance", "home at 10 dB, RT60 0.4 s, phone"),
        ("Several at once", ""),
    ]
    noise, room, _, distance, _ = found
    assert noise.columns == ["−5 dB", "0 dB", "10 dB", "20 dB", "no noise"]
    assert [name for name, _ in noise.rows] == ["white", "babble", "home", "street", "no noise"]
    assert room.columns == ["no room", "RT60 0.2 s", "RT60 0.4 s", "RT60 0.8 s", "RT60 1.2 s"]
    assert distance.columns == ["0.5 m", "1.5 m", "3 m", "6 m"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0, "0"),
        (0.0123, "0.0123"),
        (0.7, "0.7"),
        (1.499, "1.5"),
        (37.26, "37.3"),
        (99.97, "100"),
        (1234567, "1\u202f234\u202f567"),
        (-0.011, "−0.011"),
        (1e-7, "1e-07"),
        (float("nan"), "–"),
    ],
)
def test_numbers_are_written_as_people_read_them(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0"), (1.0, "100"), (0.5, "50"), (0.9996, "99.9"), (0.996, "99.6"), (0.0001, "0.1")]
)
def test_only_all_is_100_percent_and_only_none_is_0(share, text):
    assert percent(share) == text
