"""streamd.yaml: which sources are heard, by which models, and who is told.

Every mistake of a file is found at once, each as one line `file:line: key: what is wrong`. The
configuration holds no acoustic fact about a model: those are inside the model file. Relative paths
count from the folder of the configuration.
"""

from __future__ import annotations

import ipaddress
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from streamd import admission, endpoints, shipped, yaml_lines
from streamd.capture.specs import Command, Microphone, Recording, Spec
from streamd.config_shape import (
    EndpointsSection,
    JournalSection,
    LabelSection,
    ModelSection,
    SourceSection,
    StreamdYaml,
)
from streamd.errors import ConfigError, ModelError
from streamd.journal.contract import JournalSpec, default_file
from streamd.keys import KeyPair, Permissions
from streamd.override import DecisionOverride
from streamd.recorder.configured import spec_of
from streamd.recorder.messages import RecorderSpec
from streamd.spelling import did_you_mean
from streamd.yaml_lines import Document

DEFAULT_SOURCE = "microphone"
"""Name of the only source where the configuration names none: the system's default input."""
DEFAULT_MODEL = "yamnet"
"""The only model where the configuration names none; it listens to every source."""

OPTIONS = {
    "microphone": {"channel", "sample_rate"},
    "command": {"sample_rate", "n_channels"},
    "recording": {"repeat", "fast"},
    "remote": {"key"},
}
"""What a source may be, and the keys that belong to each kind."""


@dataclass(frozen=True)
class Source:
    """A named stream of audio."""

    name: str
    capture: Spec | None
    """What the daemon's own agent captures; None: an agent is started by hand and says hello."""


@dataclass(frozen=True)
class ModelUse:
    """A model, who it listens to and what it tells."""

    file: Path
    sources: tuple[str, ...]
    labels: Mapping[str, DecisionOverride] | Literal["all"] | None
    """Labels that are on; None: the model's default labels."""


@dataclass(frozen=True)
class Endpoints:
    """Where the daemon binds; an empty tuple stands for the default in the runtime folder."""

    events: tuple[str, ...] = ()
    audio: tuple[str, ...] = ()
    control: tuple[str, ...] = ()
    history: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """A configuration without mistakes, as far as they can be seen before the models are loaded."""

    sources: tuple[Source, ...]
    models: tuple[ModelUse, ...]
    device: Literal["auto", "cpu", "cuda"]
    device_lost: Literal["cpu", "stop"]
    endpoints: Endpoints
    journal: JournalSpec | None
    """Where events are kept; None: nowhere."""
    recorder: RecorderSpec | None
    """None: nothing is recorded."""
    max_lag_seconds: float
    key_pair: KeyPair | None
    """The daemon's own keys; None if it can't be reached from beyond this machine."""
    permissions: Permissions
    """What other keys may do."""
    document: Document
    """Where everything is written, for mistakes that show only later."""


def load(file: Path | None, keys_folder: Path | None = None) -> Config:
    """Return the configuration in a file; without one, the default: default microphone, default model.

    keys_folder: where the daemon's keys are, if it needs some; None: where this process has its own.

    Raises:
        ConfigError: the file can't be read, or has mistakes: all of them, one line each.
    """
    if file is None:
        return parse(b"", "default configuration", Path.cwd())
    try:
        with file.open("rb") as opened:
            data = opened.read(yaml_lines.MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}; expected a configuration, a YAML file") from error
    return parse(data, str(file), file.absolute().parent, keys_folder)


def parse(data: bytes, file: str, folder: Path, keys_folder: Path | None = None) -> Config:
    """Return the configuration in the bytes of a file that lies in a folder; keys_folder: as of `load`.

    Raises:
        ConfigError: all mistakes, one line each.
    """
    given, document = yaml_lines.read(data, file, StreamdYaml)
    names = _names(document)
    pair, permissions = admission.read(given, document, keys_folder)
    config = Config(
        sources=tuple(
            Source(name, _capture(section, ("sources", name), document, folder))
            for name, section in given.sources.items()
        )
        or (Source(DEFAULT_SOURCE, Microphone()),),
        models=_models(given, names, document, folder),
        device=given.device,
        device_lost=given.device_lost,
        endpoints=_endpoints(given.endpoints, document, folder),
        journal=_journal(given.journal, document, folder),
        recorder=None if given.recorder is UNSET else spec_of(given.recorder, _path(given.recorder.folder, folder)),
        max_lag_seconds=given.max_lag_seconds,
        key_pair=pair,
        permissions=permissions,
        document=document,
    )
    document.check()
    _check_that_all_are_heard(config)
    return config


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of streamd.yaml, for editors and for the reference."""
    schema = msgspec.json.schema(StreamdYaml)
    source = schema["$defs"]["SourceSection"]
    options = sorted(set[str]().union(*OPTIONS.values()))
    strangers = [(kind, option) for kind, own in OPTIONS.items() for option in options if option not in own]
    source["not"] = {"anyOf": [{"required": list(pair)} for pair in [*combinations(OPTIONS, 2), *strangers]]}
    source["dependentRequired"] = {
        "n_channels": ["command", "sample_rate"],
        "repeat": ["recording"],
        "fast": ["recording"],
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Configuration of streamd"}


def _names(document: Document) -> tuple[str, ...]:
    """Return the names of all sources, those with mistakes too: who mentions them is not wrong as well."""
    if ("sources",) not in document.lines:
        return (DEFAULT_SOURCE,)
    return tuple(str(path[1]) for path in document.lines if len(path) == 2 and path[0] == "sources")


def _capture(section: SourceSection, path: yaml_lines.Path, document: Document, folder: Path) -> Spec | None:
    given = {name for name in section.__struct_fields__ if (*path, name) in document.lines}
    kinds = [kind for kind in OPTIONS if kind in given]
    if len(kinds) > 1:
        document.mistake(path, f"has {' and '.join(kinds)}; a source is one of them: make two sources of it")
        return None
    kind = kinds[0] if kinds else "microphone"
    for option in sorted(given - {kind} - OPTIONS[kind]):
        owners = " or ".join(other for other, options in OPTIONS.items() if option in options)
        document.mistake((*path, option), f"belongs to a {owners} source; this is a {kind} source")
    if section.remote is False:
        document.mistake((*path, "remote"), "found false; expected true, or another kind of source")
    if kind == "remote":
        return None
    if section.recording is not UNSET:
        return _recording(section, path, document, folder)
    if section.command is not UNSET:
        return _command(section.command, section, path, document, folder)
    return Microphone(
        name=None if section.microphone is UNSET else section.microphone,
        channel=section.channel,
        sample_rate=None if section.sample_rate is UNSET else section.sample_rate,
    )


def _recording(section: SourceSection, path: yaml_lines.Path, document: Document, folder: Path) -> Recording:
    file = _path(str(section.recording), folder)
    if problem := _unreadable(file):
        document.mistake((*path, "recording"), f"{file}: {problem}; expected a recording")
    return Recording(path=str(file), repeat=section.repeat, fast=section.fast)


def _command(
    arguments: tuple[str, ...], section: SourceSection, path: yaml_lines.Path, document: Document, folder: Path
) -> Command:
    if not arguments:  # what it had was no text, and that is noted
        return Command(arguments=arguments)
    program, *rest = arguments
    if "/" in program:
        program = str(_path(program, folder))
    if shutil.which(program) is None:
        document.mistake((*path, "command"), f"there is no program {program!r}; expected one that can be run here")
    if section.n_channels is not UNSET and section.sample_rate is UNSET:
        document.mistake((*path, "n_channels"), "is for raw PCM, which needs sample_rate too; leave both out for WAV")
    return Command(arguments=(program, *rest), sample_rate=section.sample_rate, n_channels=section.n_channels)


def _models(given: StreamdYaml, names: tuple[str, ...], document: Document, folder: Path) -> tuple[ModelUse, ...]:
    sections = (ModelSection(file=DEFAULT_MODEL),) if given.models is UNSET else given.models
    uses = []
    for i, section in enumerate(sections):
        path = ("models", i)
        sources = names if section.sources is UNSET else section.sources
        for j, name in enumerate(sources):
            if names and name not in names:
                guess = did_you_mean(name, names) or f"; expected one of {', '.join(names)}"
                document.mistake((*path, "sources", j), f"there is no source {name!r}{guess}")
            if name in sources[:j]:
                document.mistake((*path, "sources", j), f"{name!r} is there twice")
        labels = section.labels
        uses.append(
            ModelUse(
                file=_model_file(section.file, (*path, "file"), document, folder),
                sources=sources,
                labels=None
                if labels is UNSET
                else labels
                if labels == "all"
                else {label: _override(each, (*path, "labels", label), document) for label, each in labels.items()},
            )
        )
    return tuple(uses)


def _model_file(text: str, path: yaml_lines.Path, document: Document, folder: Path) -> Path:
    is_path = "/" in text or text.endswith(".onnx")
    try:
        return shipped.find_model(str(_path(text, folder)) if is_path else text)
    except (ModelError, OSError) as error:
        document.mistake(path, str(error))
        return Path(text)


def _override(section: LabelSection, path: yaml_lines.Path, document: Document) -> DecisionOverride:
    values = {name: value for name in section.__struct_fields__ if (value := getattr(section, name)) is not UNSET}
    onset, offset = values.get("onset_threshold", 1.0), values.get("offset_threshold", 0.0)
    if offset > onset:
        document.mistake(
            (*path, "offset_threshold"),
            f"{offset:g} is above onset_threshold {onset:g}; expected at most that: a sound would end before it begins",
        )
    return DecisionOverride(values, document.where(path))


def _journal(section: JournalSection | bool, document: Document, folder: Path) -> JournalSpec | None:
    if section is False:
        return None
    if section is True:
        section = JournalSection()
    try:
        file = default_file() if section.file is UNSET else _path(section.file, folder)
    except RuntimeError:
        document.mistake(("journal",), "there is no home folder to keep events in; name a file, or set STATE_DIRECTORY")
        return None
    return JournalSpec(file=str(file), max_days=section.max_days, max_megabytes=section.max_megabytes)


def _endpoints(section: EndpointsSection, document: Document, folder: Path) -> Endpoints:
    found: dict[str, tuple[str, ...]] = {}
    for name in section.__struct_fields__:
        given = getattr(section, name)
        texts = () if given is UNSET else (given,) if isinstance(given, str) else given
        for text in texts:
            if problem := _endpoint_problem(text, folder):
                document.mistake(("endpoints", name), f"found {text!r}; {problem}")
            if any(text in others for others in found.values()) or texts.count(text) > 1:
                document.mistake(
                    ("endpoints", name), f"{text!r} is there twice; expected an endpoint of its own for each"
                )
        found[name] = tuple(_absolute(text, folder) for text in texts)
    return Endpoints(**found)


def _endpoint_problem(text: str, folder: Path) -> str:
    """Return what is wrong with an endpoint, or ""."""
    expected = "expected ipc://PATH or tcp://ADDRESS:PORT"
    if text.startswith("ipc://"):
        if text == "ipc://" or text.startswith(("ipc://@", "ipc://*")):
            return expected
        n_bytes = len(_absolute(text, folder).encode()) - len("ipc://")
        longest = endpoints.MAX_PATH_BYTES
        return f"its path has {n_bytes} bytes; expected at most {longest}" if n_bytes > longest else ""
    found = re.fullmatch(r"tcp://(?:\[([^]]*)\]|([^:/]*)):([0-9]{1,5})", text)
    if found is None or not 0 < int(found[3]) <= 65_535:
        return expected
    try:
        ipaddress.ip_address(found[1] or found[2])
    except ValueError:
        return f"{expected}: an address of this machine, or 0.0.0.0 for all it has"
    return ""


def _absolute(endpoint: str, folder: Path) -> str:
    scheme, _, path = endpoint.partition("://")
    return f"ipc://{_path(path, folder)}" if scheme == "ipc" else endpoint


def _path(text: str, folder: Path) -> Path:
    try:
        return folder / Path(text).expanduser()
    except RuntimeError:  # ~somebody who is not there
        return folder / text


def _unreadable(file: Path) -> str:
    """Return why a file can't be a recording, or ""."""
    try:
        return "" if file.is_file() else "is no file" if file.exists() else "does not exist"
    except OSError as error:
        return error.strerror or "can't be read"


def _check_that_all_are_heard(config: Config) -> None:
    """Raise ConfigError if a source has no model, or the same one twice."""
    for source in config.sources:
        path = ("sources", source.name)
        files = [use.file for use in config.models if source.name in use.sources]
        if not files:
            config.document.mistake(path, "no model listens to it; name it in the sources of one")
        for file in files:
            if files.count(file) > 1:
                config.document.mistake(path, f"{file.stem} listens to it twice; expected one entry for both")
    config.document.check()
