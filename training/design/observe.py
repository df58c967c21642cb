"""What flows through an ONNX graph: every tensor of one run, so that shapes and constants are seen and not guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from streamd.model import load_onnxruntime

Tensors = dict[str, NDArray[Any]]


def tensors_of(proto: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
    """Run a graph once, unoptimised, and return each of its tensors by name: inputs, weights, all that nodes give."""
    told = onnx.ModelProto()
    told.CopyFrom(proto)
    del told.graph.output[:]
    names = [name for node in proto.graph.node for name in node.output if name]
    told.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    runtime = load_onnxruntime()
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(told.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    return found | dict(feeds) | dict(zip(names, session.run(None, dict(feeds)), strict=True))


def multiply_adds(proto: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> int:
    """Return the multiplications with addition of one run: of convolutions and matrix products, where the work is."""
    tensors = tensors_of(proto, feeds)
    counted = 0
    for node in proto.graph.node:
        if node.op_type == "Conv":
            counted += tensors[node.output[0]].size * int(np.prod(tensors[node.input[1]].shape[1:]))
        elif node.op_type in ("MatMul", "Gemm"):
            transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
            counted += tensors[node.output[0]].size * tensors[node.input[0]].shape[0 if transposed else -1]
    return counted
