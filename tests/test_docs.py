"""The docs are true: every key, field, command, option and file has its place in them, and links lead somewhere."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import msgspec
import pytest

from streamd import arguments, cli, config_shape, events
from streamd.events import decode
from streamd.gap import Gap

ROOT = Path(__file__).parent.parent
FOLDERS_OF_PAGES = (".", "docs", "models/*", "examples/*")
PAGES = sorted(page for folder in FOLDERS_OF_PAGES for page in ROOT.glob(f"{folder}/*.md"))
MESSAGES = [
    events.Event,
    events.State,
    events.AudioGap,
    events.ClockReport,
    events.Heartbeat,
    events.Score,
    events.Level,
    events.Envelope,
]
SECTIONS = [
    config_shape.StreamdYaml,
    config_shape.SourceSection,
    config_shape.ModelSection,
    config_shape.LabelSection,
    config_shape.EndpointsSection,
    config_shape.JournalSection,
    config_shape.RecorderSection,
    config_shape.RecordedLabelSection,
]


def words(page: str) -> set[str]:
    """Everything a page has between backticks."""
    text = (ROOT / page).read_text()
    return {word for quoted in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"[\w-]+", quoted)}


@pytest.mark.parametrize("message", [*MESSAGES, Gap], ids=lambda message: message.__name__)
def test_every_field_of_every_message_is_in_the_reference(message: type[msgspec.Struct]) -> None:
    assert set(message.__struct_fields__) - words("docs/events.md") == set()


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_key_of_the_configuration_is_in_the_reference(section: type[msgspec.Struct]) -> None:
    keys = set(section.__struct_fields__) - {"sources", "models"}  # these have chapters
    assert keys - words("docs/configuration.md") == set()


def test_every_value_that_a_message_may_take_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "events.md").read_text()
    for schema in events.json_schema()["$defs"].values():
        for field in schema.get("properties", {}).values():
            for choice in [field, *field.get("anyOf", [])]:
                assert {value for value in choice.get("enum", []) if f"`{value}`" not in text} <= {None}


def test_every_command_and_option_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    source = ast.parse(Path(arguments.__file__).read_text())
    literals = {
        node.value for node in ast.walk(source) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    options = {literal for literal in literals if re.fullmatch(r"--[a-z-]+", literal)} - {"--version", "--config"}
    assert options
    assert {option for option in options if option not in text} == set()
    for command in cli._COMMANDS:
        assert f"`streamd {command}" in text


def test_every_module_is_in_the_architecture() -> None:
    known = words("docs/architecture.md")
    small = {"__init__", "__main__", "errors", "counters", "endpoints", "environment", "shipped", "spelling"}
    modules = {file.stem for file in ROOT.glob("streamd/*.py")} - small
    assert modules - known == set()


def test_the_message_in_the_readme_is_one() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    message = decode(text.encode())
    assert isinstance(message, events.Event)
    assert set(json.loads(text)["data"]) == set(events.Event.__struct_fields__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def test_examples_are_short() -> None:
    for file in ROOT.glob("examples/*.py"):
        assert len(file.read_text().splitlines()) < 40, file
