"""Reads an .onnx file's own words without onnx or onnxruntime: its metadata, and where its weights lie.

A model is looked at before any runtime opens it, because a graph may name files outside itself
(external data), and runtimes follow those names.
"""

from __future__ import annotations

from collections.abc import Iterator

from streamd.errors import ModelError

# Field numbers of onnx.proto3.
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_TENSOR_EXTERNAL_DATA, _TENSOR_LOCATION, _LOCATION_EXTERNAL = 13, 14, 1

_INSIDE: dict[str, dict[int, str]] = {
    "model": {_MODEL_GRAPH: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Every way from a model to a tensor: message → field → message."""

_Field = tuple[int, int | memoryview]


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ModelError("no ONNX file: a number of more than 64 bits")


def _fields(data: memoryview) -> Iterator[_Field]:
    """Yield (number, value) of a protobuf message; the value is an int, or bytes where it has a length."""
    at = 0
    try:
        while at < len(data):
            key, at = _varint(data, at)
            number, kind = key >> 3, key & 7
            if kind == 0:
                value, at = _varint(data, at)
                yield number, value
                continue
            if kind == 2:
                length, at = _varint(data, at)
            elif kind in (1, 5):
                length = 8 if kind == 1 else 4
            else:
                raise ModelError("no ONNX file, or a damaged one; expected an .onnx with a manifest of streamd")
            if not number or at + length > len(data):
                raise ModelError("ONNX file that is truncated or damaged; copy it again")
            yield number, data[at : at + length]
            at += length
    except IndexError as error:
        raise ModelError("ONNX file that is truncated or damaged; copy it again") from error


def metadata(data: bytes) -> dict[str, str]:
    """Return the metadata of an ONNX file.

    Raises:
        ModelError: the bytes are no ONNX file, are cut off, or hold no graph.
    """
    found: dict[str, str] = {}
    has_graph = False
    for number, value in _fields(memoryview(data)):
        has_graph |= number == _MODEL_GRAPH and isinstance(value, memoryview)
        if number == _MODEL_METADATA and isinstance(value, memoryview):
            pair = {key: bytes(text) for key, text in _fields(value) if isinstance(text, memoryview)}
            found[pair.get(1, b"").decode("utf-8", "replace")] = pair.get(2, b"").decode("utf-8", "replace")
    if not has_graph:
        raise ModelError("no ONNX file: it holds no graph")
    return found


def has_external_data(data: bytes) -> bool:
    """Return whether any weight of an ONNX file lies outside of it.

    Raises:
        ModelError: the bytes are no ONNX file, or are cut off.
    """
    waiting = [("model", memoryview(data))]
    while waiting:
        message, content = waiting.pop()
        for number, value in _fields(content):
            if message == "tensor" and (
                number == _TENSOR_EXTERNAL_DATA or (number, value) == (_TENSOR_LOCATION, _LOCATION_EXTERNAL)
            ):
                return True
            if number in _INSIDE[message] and isinstance(value, memoryview):
                waiting.append((_INSIDE[message][number], value))
    return False
