"""Reads an .onnx file's own words without onnx or onnxruntime: its metadata, and where its weights lie.

A model is looked at before any runtime opens it, because a graph may name files outside itself
(external data), and runtimes follow those names.
"""

from __future__ import annotations

from collections.abc import Iterator

from streamd.errors import ModelError

# Field numbers of onnx.proto3.
_MODEL_GRAPH, _MODEL_METADATA, _MODEL_FUNCTIONS = 7, 14, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_TENSOR_EXTERNAL_DATA, _TENSOR_LOCATION, _LOCATION_EXTERNAL = 13, 14, 1

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
                raise ModelError("no ONNX file, or a damaged one")
            if not number or at + length > len(data):
                raise ModelError("ONNX file that is truncated or damaged; copy it again")
            yield number, data[at : at + length]
            at += length
    except IndexError as error:
        raise ModelError("ONNX file that is truncated or damaged; copy it again") from error


def _children(data: memoryview, *numbers: int) -> Iterator[memoryview]:
    for number, value in _fields(data):
        if number in numbers and isinstance(value, memoryview):
            yield value


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
    """Return whether any weight of an ONNX file lies outside of it."""
    model = memoryview(data)
    graphs = list(_children(model, _MODEL_GRAPH))
    nodes = [node for function in _children(model, _MODEL_FUNCTIONS) for node in _children(function, 7)]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            nodes += _children(graph, _GRAPH_NODE)
            tensors = list(_children(graph, _GRAPH_INITIALIZER))
            for sparse in _children(graph, _GRAPH_SPARSE):
                tensors += _children(sparse, 1, 2)
        else:
            tensors = []
            for attribute in _children(nodes.pop(), 5):
                tensors += _children(attribute, 5, 10)
                graphs += _children(attribute, 6, 11)
                for sparse in _children(attribute, 22, 23):
                    tensors += _children(sparse, 1, 2)
        for tensor in tensors:
            for number, value in _fields(tensor):
                if number == _TENSOR_EXTERNAL_DATA or (number, value) == (_TENSOR_LOCATION, _LOCATION_EXTERNAL):
                    return True
    return False
