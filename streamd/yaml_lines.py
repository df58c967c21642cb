"""YAML into typed structs, with every mistake found at once and named with its line.

The shape is a tree of msgspec structs; what their types and `Meta` allow is what is read, so that a
JSON Schema made from the same structs can't differ. Nothing is constructed from tags, words are
read for what is expected of them (a label called `Yes` stays text), and size, depth and the number
of values are bounded, aliases included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec.inspect as shapes
import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from streamd.errors import ConfigError
from streamd.spelling import did_you_mean

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_VALUES = 100_000
MAX_MISTAKES = 50

Path = tuple[str | int, ...]
"""Keys and list positions from the top of a document to a value."""

_T = TypeVar("_T")
_WRONG = object()
_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}"
    for name in ["str", "int", "float", "bool", "null", "timestamp", "merge", "value", "map", "seq"]
}
_NOT_TEXT = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")}
_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def spell(path: Path) -> str:
    """Return a path as people write it: models[0].labels.Dog."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if re.fullmatch(r"[\w-]{1,63}", step) else _shorten(step))
    return text


@dataclass(frozen=True)
class Document:
    """Where the values of one file are, and what is wrong with them."""

    file: str
    lines: dict[Path, int] = field(default_factory=dict)
    """Line of every key and value, from 1."""
    mistakes: list[tuple[int, str]] = field(default_factory=list)
    """(line, "file:line: key: what is wrong")."""

    def where(self, path: Path) -> str:
        """Return "file:line: key" of a value; of the nearest one around it if it is not there."""
        line = self._line(path)
        return ": ".join(part for part in (f"{self.file}:{line}" if line else self.file, spell(path)) if part)

    def mistake(self, path: Path, text: str) -> None:
        """Note what is wrong with the value at a path.

        Raises:
            ConfigError: there are more mistakes than anybody wants to read.
        """
        entry = (self._line(path), f"{self.where(path)}: {text}")
        if entry not in self.mistakes:
            self.mistakes.append(entry)
        if len(self.mistakes) == MAX_MISTAKES:
            self.mistakes.append((10**9, f"{self.file}: more than {MAX_MISTAKES - 1} mistakes; the rest is not shown"))
            self.check()

    def check(self) -> None:
        """Raise ConfigError with all mistakes so far, in the order of their lines, if there are any."""
        if self.mistakes:
            raise ConfigError([text for _, text in sorted(self.mistakes, key=lambda entry: entry[0])])

    def _line(self, path: Path) -> int:
        return next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), 0)


def read(data: bytes, file: str, shape: type[_T]) -> tuple[_T, Document]:
    """Read YAML of a struct's shape. An empty document is an empty mapping.

    What is wrong is left out of the struct and noted in the document, so that the caller can go on
    to look for other mistakes before it calls `Document.check`.

    Raises:
        ConfigError: the bytes are no YAML, or too large, too deep, or have too many mistakes.
    """
    document = Document(file)
    node = _compose(data, file)
    document.lines[()] = 1
    reader = _Reader(document)
    value = reader.read(node, shapes.type_info(shape), ())
    if value is _WRONG:
        document.check()
    return value, document


class _Loader(yaml.SafeLoader):
    """Composes nodes, no deeper than MAX_DEPTH."""

    _depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_DEPTH} levels inside each other", problem_mark=mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _compose(data: bytes, file: str) -> Node:
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{file}: larger than {MAX_BYTES >> 20} MiB; is this a configuration of streamd?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{file}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{file}:{line}: character {chr(error.character)!r} is not allowed in YAML") from None
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{file}:{mark.line + 1 if mark else 1}: not YAML: {_one_line(said)}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two: PyYAML on "\UFFFFFFFF"
        raise ConfigError(f"{file}:{loader.line + 1}: not YAML: {_one_line(str(error))}") from None
    finally:
        loader.dispose()
    return node or MappingNode("tag:yaml.org,2002:map", [])


class _Reader:
    """Walks nodes and shape side by side; the shape bounds the depth, MAX_VALUES the width."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._n_values = 0

    def read(self, node: Node, shape: shapes.Type, path: Path) -> Any:
        """Return the value of a node, or _WRONG after noting why."""
        self._n_values += 1
        if self._n_values > MAX_VALUES:
            self._document.mistake(path, f"more than {MAX_VALUES} values, aliases written out")
            self._document.check()
        shape, title = _unwrap(shape)
        options = shape.types if isinstance(shape, shapes.UnionType) else (shape,)
        if node.tag not in _PLAIN_TAGS:
            return self._wrong(path, f"found the tag {_shorten(node.tag)}; expected none: tags are not read")
        for option in options:
            if isinstance(option, shapes.StructType) and (isinstance(node, MappingNode) or _is_null(node)):
                return self._struct(node, option, path)
            if isinstance(option, shapes.DictType) and isinstance(node, MappingNode):
                return self._dict(node, option, path)
            if isinstance(option, shapes.VarTupleType) and isinstance(node, SequenceNode):
                return self._tuple(node, option, path)
            if isinstance(node, ScalarNode) and (value := _scalar(node, option)) is not _WRONG:
                return value
        return self._wrong(path, _unlike(node, options, title))

    def _wrong(self, path: Path, text: str) -> object:
        self._document.mistake(path, text)
        return _WRONG

    def _entries(self, node: Node, path: Path) -> Iterator[tuple[ScalarNode, Node, Path]]:
        """Yield key, value and path of a mapping's entries; keys that are no text or come again are mistakes."""
        first_lines: dict[str, int] = {}
        for key, value in node.value if isinstance(node, MappingNode) else []:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                self._document.lines[(*path, "?")] = line
                self._document.mistake((*path, "?"), f"found {_found(key)} as a key; expected text")
                continue
            here = (*path, key.value)
            self._document.lines[here] = line
            if key.value in first_lines:
                self._document.mistake(here, f"is already on line {first_lines[key.value]}; one of the two has to go")
                continue
            first_lines[key.value] = line
            yield key, value, here

    def _struct(self, node: Node, shape: shapes.StructType, path: Path) -> Any:
        fields = {each.name: each for each in shape.fields}
        values = {}
        for key, value_node, here in self._entries(node, path):
            if key.value not in fields:
                guess = did_you_mean(key.value, fields)
                self._document.mistake(here, f"unknown key{guess or '; expected ' + ', '.join(fields)}")
            elif (value := self.read(value_node, fields[key.value].type, here)) is not _WRONG:
                values[key.value] = value
        missing = [name for name, each in fields.items() if each.required and (*path, name) not in self._document.lines]
        for name in missing:
            self._document.mistake(path, f"{name} is missing")
        if any(each.required and name not in values for name, each in fields.items()):
            return _WRONG
        return shape.cls(**values)

    def _dict(self, node: Node, shape: shapes.DictType, path: Path) -> Any:
        key_shape, title = _unwrap(shape.key_type)
        values = {}
        for key, value_node, here in self._entries(node, path):
            value = self.read(value_node, shape.value_type, here)  # under a wrong name too: all mistakes at once
            if not isinstance(key_shape, shapes.StrType) or not _is_text(key.value, key_shape):
                self._document.mistake(here, _unlike(key, (key_shape,), title))
            elif value is not _WRONG:
                values[key.value] = value
        if not node.value and shape.min_length:
            return self._wrong(path, "is empty; expected at least one entry, or leave the key out")
        return values

    def _tuple(self, node: SequenceNode, shape: shapes.VarTupleType, path: Path) -> Any:
        values = []
        for i, item in enumerate(node.value):
            here = (*path, i)
            self._document.lines[here] = item.start_mark.line + 1
            if (value := self.read(item, shape.item_type, here)) is not _WRONG:
                values.append(value)
        if not node.value and shape.min_length:
            return self._wrong(path, "is empty; expected at least one entry, or leave the key out")
        return tuple(values)


def _unwrap(shape: shapes.Type) -> tuple[shapes.Type, str]:
    """Return a shape without its Meta, and the Meta's title: the expectation in words."""
    if isinstance(shape, shapes.Metadata):
        return shape.type, (shape.extra_json_schema or {}).get("title", "")
    return shape, ""


def _scalar(node: ScalarNode, shape: shapes.Type) -> Any:
    """Return a scalar as the shape wants it, or _WRONG."""
    text, is_plain = node.value, node.style is None
    match shape:
        case shapes.StrType() if not (is_plain and node.tag in _NOT_TEXT):
            return text if _is_text(text, shape) else _WRONG
        case shapes.LiteralType() if text in shape.values:
            return text
        case shapes.BoolType() if is_plain:
            return _BOOLS.get(text.lower(), _WRONG)
        case shapes.IntType() | shapes.FloatType() if is_plain:
            try:
                number = int(text) if isinstance(shape, shapes.IntType) else float(text)
            except ValueError:
                return _WRONG
            return number if _in_range(number, shape) else _WRONG
    return _WRONG


def _is_text(text: str, shape: shapes.StrType) -> bool:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return False
    return shape.min_length in (None, *range(len(text) + 1)) and (
        shape.pattern is None or re.fullmatch(shape.pattern, text) is not None
    )


def _in_range(number: float, shape: shapes.IntType | shapes.FloatType) -> bool:
    return (
        math.isfinite(number)
        and (shape.ge is None or number >= shape.ge)
        and (shape.gt is None or number > shape.gt)
        and (shape.le is None or number <= shape.le)
    )


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _unlike(node: Node, options: Sequence[shapes.Type], title: str) -> str:
    """Return "found …; expected …" for a node that is none of the options."""
    text = f"found {_found(node)}; expected {title or ' or '.join(_expected(option) for option in options)}"
    if isinstance(node, ScalarNode) and node.value:
        wants_text = any(isinstance(option, shapes.StrType) for option in options)
        if wants_text and node.style is None and node.tag in _NOT_TEXT:
            text += "; put it in quotes"
        if node.style is not None and any(_scalar(_unquoted(node), option) is not _WRONG for option in options):
            text += "; leave out the quotes"
    return text


def _unquoted(node: ScalarNode) -> ScalarNode:
    return ScalarNode(node.tag, node.value)


def _found(node: Node) -> str:
    if isinstance(node, ScalarNode):
        if node.style is None and node.tag in _NOT_TEXT:
            return node.value[:60] or "nothing"
        return _shorten(node.value)
    return "a mapping" if isinstance(node, MappingNode) else "a list"


def _expected(shape: shapes.Type) -> str:
    match shape:
        case shapes.StructType() | shapes.DictType():
            return "a mapping"
        case shapes.VarTupleType():
            return "a list"
        case shapes.LiteralType():
            return " or ".join(str(word) for word in shape.values)
        case shapes.BoolType():
            return "true or false"
        case shapes.IntType() | shapes.FloatType():
            kind = "a whole number" if isinstance(shape, shapes.IntType) else "a number"
            if shape.gt is not None:
                return f"{kind} above {shape.gt:g}, up to {shape.le:g}"
            return f"{kind} from {shape.ge:g} to {shape.le:g}"
    return "text"


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 63 else text[:60] + "...")


def _one_line(text: str) -> str:
    return " ".join(text.split())
