"""A stand-in for a head of openWakeWord's, whose own are downloads under CC-BY-NC-SA: their layers, weights by seed.

Two dense layers of 64 with layer norm over the last 16 embeddings, as docs/models/hey_jarvis.md of openWakeWord has
them: 102,849 numbers. It recognises nothing; it costs what theirs cost.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

N_EMBEDDINGS, N_VALUES = 16, 96
"""What a head hears: the last embeddings, 1.28 s of them."""
N_HIDDEN = 64
OPSET = 17
SEED, SPREAD = 2, 3.0
"""Chosen so that scores of speech and of golden signals lie all over 0 to 1: a comparison of them proves more."""


def write_head(path: Path, seed: int = SEED) -> None:
    """Write a head: `embeddings` (1, 16, 96) → `score` (1, 1)."""
    rng = np.random.default_rng(seed)
    sizes = (N_EMBEDDINGS * N_VALUES, N_HIDDEN, N_HIDDEN, 1)
    nodes = [helper.make_node("Flatten", ["embeddings"], ["layer0"])]
    weights = {}
    for i, (n_in, n_out) in enumerate(pairwise(sizes), 1):
        is_last = n_out == 1
        weights[f"weight{i}"] = rng.normal(0, SPREAD if is_last else 1, (n_in, n_out)) / np.sqrt(n_in)
        weights[f"bias{i}"] = rng.normal(0, 0.1, n_out)
        nodes.append(helper.make_node("Gemm", [f"layer{i - 1}", f"weight{i}", f"bias{i}"], [f"dense{i}"]))
        if is_last:
            nodes.append(helper.make_node("Sigmoid", [f"dense{i}"], ["score"]))
            continue
        weights[f"scale{i}"], weights[f"shift{i}"] = np.ones(n_out), np.zeros(n_out)
        normed = [f"dense{i}", f"scale{i}", f"shift{i}"]
        nodes.append(helper.make_node("LayerNormalization", normed, [f"normed{i}"]))
        nodes.append(helper.make_node("Relu", [f"normed{i}"], [f"layer{i}"]))
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, [1, N_EMBEDDINGS, N_VALUES])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString(deterministic=True))
