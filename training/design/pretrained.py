"""A head on a frozen embedding: for few clips, the network that was trained on other people's millions.

The embedding is any graph of the contract with an output `embedding`: YAMNet's layers (`yamnet_layers.py`), or that of
a file. The head (`head.py`) is fitted on windows with a sound of known age (`aged_windows.py`); in the model file it is
one matrix a part, and the window's graph ends in `posterior`.

What it assumes of time and of frequency is what the embedding does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from streamd.errors import DataError
from streamd.logmel import log_mel, to_float
from streamd.manifest import Manifest
from streamd.model import load_onnxruntime
from training.design.aged_windows import windows
from training.design.export import seal
from training.design.head import EDGE, Examples, Floats, Head
from training.prepare.simulation.material import Sound


class Embedding:
    """A frozen graph: windows of samples or log-mel in, embeddings out, by onnxruntime on one thread."""

    def __init__(self, graph: bytes, manifest: Manifest) -> None:
        runtime = load_onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        self.manifest = manifest
        self._session = runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def of(self, audio: NDArray[np.int16], batch: int = 32) -> Floats:
        """Return embeddings (n, n_embedding) of windows (n, n_samples)."""
        spec = self.manifest.log_mel
        found = []
        for begin in range(0, len(audio), batch):
            rows = audio[begin : begin + batch]
            inputs = np.stack([log_mel(row, spec) if spec else to_float(row) for row in rows])
            found.append(self._session.run(["embedding"], {self.manifest.input: inputs})[0])
        return np.concatenate(found)


def examples(embedding: Embedding, sounds: Sequence[Sound], labels: Sequence[str], seed: int) -> Examples:
    """Draw windows of sounds and embed them. A sound without a source is a group of its own.

    Raises:
        DataError: the embedding is a stream: its answers depend on what it heard before.
    """
    facts = embedding.manifest
    if facts.kind != "window":
        raise DataError(f"{facts.name} is a stream; a head on an embedding needs a model of kind window")
    drawn = windows(sounds, facts.sample_rate, facts.span_samples, seed)
    numbers = np.array([list(labels).index(sound.label) for sound in sounds])
    groups = np.array([sound.clip.source or str(sound.clip.path) for sound in sounds])
    target = np.where(drawn.asked, numbers[drawn.sound], len(labels))
    return Examples(embedding.of(drawn.audio), target, groups[drawn.sound])


def export_head(graph: bytes, head: Head, manifest: Manifest, path: Path) -> Manifest:
    """Write a frozen graph with a head on its output `embedding` as a model file of kind window.

    Raises:
        ModelError: as of `seal`.
    """
    proto = onnx.load_from_string(graph)
    nodes, constants, mean = proto.graph.node, proto.graph.initializer, []

    def constant(name: str, value: NDArray[np.generic]) -> str:
        constants.append(numpy_helper.from_array(value, f"head/{name}"))
        return f"head/{name}"

    def node(kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [name], name=f"{name}/node", **attributes))
        return name

    columns = constant("columns", np.array([1]))
    begin = 0
    for number, (weight, bias) in enumerate(zip(head.weights, head.biases, strict=True)):
        limits = [
            constant(f"{word}_{number}", np.array([at])) for word, at in (("a", begin), ("b", begin + len(weight)))
        ]
        part = node("Slice", ["embedding", *limits, columns], f"head/part_{number}")
        product = node("MatMul", [part, constant(f"weight_{number}", weight)], f"head/product_{number}")
        logits = node("Add", [product, constant(f"bias_{number}", bias)], f"head/logits_{number}")
        mean.append(node("Softmax", [logits], f"head/softmax_{number}", axis=1))
        begin += len(weight)
    averaged = node("Mean", mean, "head/mean")
    ends = [constant("from", np.array([0])), constant("to", np.array([head.n_labels]))]
    labels = node("Slice", [averaged, *ends, columns], "head/of_labels")
    low, high = constant("low", np.array(EDGE, np.float32)), constant("high", np.array(1 - EDGE, np.float32))
    inside = node("Clip", [labels, low, high], "head/inside")
    other = node("Sub", [constant("one", np.array(1, np.float32)), inside], "head/other")
    odds = node("Log", [node("Div", [inside, other], "head/odds")], "head/log_odds")
    scaled = node("Mul", [odds, constant("slope", np.array(head.slope, np.float32))], "head/scaled")
    node(
        "Sigmoid",
        [node("Add", [scaled, constant("offset", np.array(head.offset, np.float32))], "head/calibrated")],
        "posterior",
    )
    outputs = proto.graph.output
    for value in [value for value in outputs if value.name == "posterior"]:
        outputs.remove(value)
    posterior = helper.make_tensor_value_info("posterior", TensorProto.FLOAT, ["batch", head.n_labels])
    outputs.insert(0, posterior)
    return seal(proto, manifest, path)
