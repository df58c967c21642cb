"""An .onnx read without onnx: its metadata as the onnx package has it, external data wherever it hides."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from streamd import onnx_file
from streamd.errors import ModelError
from tests.tiny_models import graph, manifest


def tiny(kind: str = "window") -> onnx.ModelProto:
    facts = manifest("stream" if kind == "stream" else "window", "log_mel")
    network = graph(facts)
    helper.set_model_props(network, {"streamd": "{}", "author": "nobody"})
    return network


def weight(name: str = "w") -> TensorProto:
    return numpy_helper.from_array(np.arange(6, dtype=np.float32), name)


def moved_out(tensor: TensorProto) -> TensorProto:
    """The same tensor with its numbers in a file beside the model."""
    outside = TensorProto()
    outside.CopyFrom(tensor)
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    pair = outside.external_data.add()
    pair.key, pair.value = "location", "weights.bin"
    return outside


def constant(tensor: TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["c"], value=tensor)


def sparse(tensor: TensorProto, of_values: bool) -> onnx.SparseTensorProto:
    indices = numpy_helper.from_array(np.arange(6, dtype=np.int64), "i")
    return helper.make_sparse_tensor(*((tensor, indices) if of_values else (weight("v"), tensor)), [9])


def branch(tensor: TensorProto, depth: int = 1) -> onnx.NodeProto:
    """A node whose subgraph holds the tensor, or holds a node whose subgraph holds it …"""
    if depth == 0:
        inner = helper.make_graph([constant(weight())], "inner", [], [], [tensor])
    else:
        inner = helper.make_graph([branch(tensor, depth - 1)], "inner", [], [])
    return helper.make_node("If", ["condition"], ["c"], then_branch=inner, else_branch=inner)


def in_initializer(network: onnx.ModelProto, tensor: TensorProto) -> None:
    network.graph.initializer.append(tensor)


def in_attribute(network: onnx.ModelProto, tensor: TensorProto) -> None:
    network.graph.node.append(constant(tensor))


def in_list_of_tensors(network: onnx.ModelProto, tensor: TensorProto) -> None:
    network.graph.node.append(helper.make_node("Odd", [], ["c"], domain="x", several=[weight(), tensor]))


def in_subgraph(network: onnx.ModelProto, tensor: TensorProto) -> None:
    network.graph.node.append(branch(tensor, 0))


def in_sub_sub_subgraph(network: onnx.ModelProto, tensor: TensorProto) -> None:
    network.graph.node.append(branch(tensor, 2))


def in_list_of_graphs(network: onnx.ModelProto, tensor: TensorProto) -> None:
    graphs = [helper.make_graph([], "empty", [], []), helper.make_graph([constant(tensor)], "full", [], [])]
    network.graph.node.append(helper.make_node("Odd", [], ["c"], domain="x", several=graphs))


def in_sparse_initializer(network: onnx.ModelProto, tensor: TensorProto) -> None:
    network.graph.sparse_initializer.append(sparse(tensor, of_values=True))


def in_sparse_indices(network: onnx.ModelProto, tensor: TensorProto) -> None:
    network.graph.sparse_initializer.append(sparse(tensor, of_values=False))


def in_sparse_attribute(network: onnx.ModelProto, tensor: TensorProto) -> None:
    network.graph.node.append(helper.make_node("Constant", [], ["c"], sparse_value=sparse(tensor, of_values=True)))


def in_function(network: onnx.ModelProto, tensor: TensorProto) -> None:
    opsets = [helper.make_opsetid("", 18)]
    network.functions.append(helper.make_function("x", "F", [], ["c"], [constant(tensor)], opsets))


def in_functions_default_attribute(network: onnx.ModelProto, tensor: TensorProto) -> None:
    opsets, default = [helper.make_opsetid("", 18)], helper.make_attribute("value", tensor)
    network.functions.append(
        helper.make_function("x", "F", [], ["c"], [constant(weight())], opsets, attribute_protos=[default])
    )


def in_functions_subgraph(network: onnx.ModelProto, tensor: TensorProto) -> None:
    opsets = [helper.make_opsetid("", 18)]
    network.functions.append(helper.make_function("x", "F", ["condition"], ["c"], [branch(tensor)], opsets))


def in_training_info(network: onnx.ModelProto, tensor: TensorProto) -> None:
    network.training_info.add().algorithm.initializer.append(tensor)


PLACES = [
    in_initializer,
    in_attribute,
    in_list_of_tensors,
    in_subgraph,
    in_sub_sub_subgraph,
    in_list_of_graphs,
    in_sparse_initializer,
    in_sparse_indices,
    in_sparse_attribute,
    in_function,
    in_functions_default_attribute,
    in_functions_subgraph,
    in_training_info,
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_external_data_is_found_and_data_inside_is_not(
    place: Callable[[onnx.ModelProto, TensorProto], None],
) -> None:
    inside, outside = tiny(), tiny()
    place(inside, weight())
    place(outside, moved_out(weight()))
    assert not onnx_file.has_external_data(inside.SerializeToString())
    assert onnx_file.has_external_data(outside.SerializeToString())


@pytest.mark.parametrize("field", ["data_location", "external_data"])
def test_one_sign_of_external_data_is_enough(field: str) -> None:
    tensor = moved_out(weight())
    tensor.ClearField(field)
    network = tiny()
    network.graph.initializer.append(tensor)
    assert onnx_file.has_external_data(network.SerializeToString())


def test_a_file_that_onnx_itself_saved_with_external_data_is_seen(tmp_path: Path) -> None:
    network = tiny()
    network.graph.initializer.append(numpy_helper.from_array(np.zeros(4096, np.float32), "large"))
    for name, apart in (("one", False), ("two", True)):
        file = tmp_path / f"{name}.onnx"
        onnx.save_model(network, file, save_as_external_data=apart, location="weights", size_threshold=1024)
        assert onnx_file.has_external_data(file.read_bytes()) == apart


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=20), st.text(max_size=300), max_size=6))
def test_metadata_is_what_the_onnx_package_reads(properties: dict[str, str]) -> None:
    network = tiny()
    helper.set_model_props(network, properties)
    data = network.SerializeToString()
    read = {pair.key: pair.value for pair in onnx.load_from_string(data).metadata_props}
    assert onnx_file.metadata(data) == read == properties


def test_a_long_manifest_is_read_whole() -> None:
    network, text = tiny(), "å" * 1_000_000
    helper.set_model_props(network, {"streamd": text})
    assert onnx_file.metadata(network.SerializeToString())["streamd"] == text


def read_all(data: bytes) -> str | None:
    """Read a file's words; return the line of the ModelError where it is refused."""
    try:
        onnx_file.metadata(data)
        onnx_file.has_external_data(data)
    except ModelError as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", ["window", "stream"])
def test_a_file_cut_off_anywhere_is_read_or_refused_in_one_line(kind: str) -> None:
    data = tiny(kind).SerializeToString()
    assert read_all(data) is None
    refused = [read_all(data[:length]) for length in range(len(data))]
    # A cut between two fields of the model itself leaves a readable file with less in it.
    assert sum(line is None for line in refused) < 10
    assert all("\n" not in line for line in refused if line)


@settings(max_examples=300)
@given(st.binary(max_size=400))
@example(b"")
@example(b"\x3a")
@example(b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\xff" * 64)
@example(b"\x00" * 64)
@example(b"#!/bin/sh\n")
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_all(data)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=8), st.sampled_from(PLACES))
def test_a_damaged_file_is_read_or_refused(
    damages: list[tuple[int, int]], place: Callable[[onnx.ModelProto, TensorProto], None]
) -> None:
    network = tiny()
    place(network, moved_out(weight()))
    data = bytearray(network.SerializeToString())
    for position, byte in damages:
        data[position % len(data)] = byte
    read_all(bytes(data))


@pytest.mark.parametrize("text", [b"RIFF\x24\x00\x00\x00WAVEfmt ", b"%PDF-1.7\n", b"not a model\n", b"\x89PNG\r\n"])
def test_other_files_are_refused(text: bytes) -> None:
    assert read_all(text * 20)


def test_a_length_that_promises_much_allocates_nothing() -> None:
    promises = b"\x3a" + b"\xff" * 8 + b"\x7f"  # field 7, a graph of 2^63 bytes
    tracemalloc.start()
    assert "truncated" in (read_all(promises) or "")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 16


def test_graphs_nested_ten_thousand_deep_are_read() -> None:
    """No recursion: a hostile file can't overflow a stack."""

    def wrapped(number: int, data: bytes) -> bytes:
        length, rest = b"", len(data)
        while rest >= 0x80:
            length += bytes([rest & 0x7F | 0x80])
            rest >>= 7
        return bytes([number << 3 | 2]) + length + bytes([rest]) + data

    graph_bytes = wrapped(5, moved_out(weight()).SerializeToString())
    for _ in range(10_000):
        graph_bytes = wrapped(1, wrapped(5, wrapped(6, graph_bytes)))  # a graph's node's attribute's graph
    assert onnx_file.has_external_data(wrapped(7, graph_bytes))
