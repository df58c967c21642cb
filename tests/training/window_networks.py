"""Networks of kind window, written node by node: without torch, in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from streamd.decision import DecisionSpec
from streamd.logmel import LogMelSpec
from streamd.manifest import Golden, Manifest

OPSET = 18


def facts(n_frames: int, hop_frames: int, n_mels: int = 8, n_labels: int = 2, **changed: Any) -> Manifest:
    """Return the manifest of a window; its golden answer is still to be made."""
    labels = tuple(f"sound {i}" for i in range(n_labels))
    fields: dict[str, Any] = {
        "name": "random",
        "version": "1",
        "licence": "Apache-2.0",
        "description": "Hears nothing in particular.",
        "labels": labels,
        "default_labels": labels,
        "kind": "window",
        "input": "log_mel",
        "sample_rate": 16_000,
        "log_mel": LogMelSpec(n_mels=n_mels),
        "n_frames": n_frames,
        "hop_frames": hop_frames,
        "warmup_frames": n_frames,
        "max_batch": None,
        "onset_delay": 1600,
        "offset_delay": 3200,
        "decision": DecisionSpec(onset_threshold=0.7, offset_threshold=0.5),
        "label_decisions": {},
        "expected": {},
        "training": {},
        "golden": Golden(seed=0, n_samples=0, posterior=b""),
    }
    return Manifest(**{**fields, **changed})


class Network:
    """A graph that grows: each call adds a node and returns the name of what it gives."""

    def __init__(self, manifest: Manifest, seed: int = 0) -> None:
        self.manifest = manifest
        self._random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add any node; its name is that of its output."""
        name = name or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: NDArray[Any] | Sequence[int] | float) -> str:
        """Add a constant: integers as int64, others as float32."""
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        self._weights.append(numpy_helper.from_array(array, f"constant_{len(self._weights)}"))
        return self._weights[-1].name

    def weight(self, *shape: int) -> str:
        """Add random weights that keep the size of what goes through them and a ReLU (He et al. 2015)."""
        scale = np.sqrt(2 / np.prod(shape[1:]))
        return self.constant((scale * self._random.standard_normal(shape)).astype(np.float32))

    def standardised(self) -> str:
        """Add what brings log-mel frames about 0 ± 1."""
        scaled = self.node("Mul", self.manifest.input, self.constant(1 / 20))
        return self.node("Add", scaled, self.constant(2.0))

    def conv(self, x: str, n_in: int, n_out: int, kernel: Sequence[int], **attributes: Any) -> str:
        """Add a convolution with bias."""
        bias = self.constant(0.1 * self._random.standard_normal(n_out).astype(np.float32))
        weight = self.weight(n_out, n_in // attributes.get("group", 1), *kernel)
        return self.node("Conv", x, weight, bias, **attributes)

    def head(self, x: str, n_in: int) -> None:
        """Add the last layer: (batch, n_in) → posterior."""
        n_labels = len(self.manifest.labels)
        bias = self.constant(np.linspace(-0.5, 0.5, n_labels))
        logits = self.node("Gemm", x, self.weight(n_labels, n_in), bias, transB=1)
        self.node("Sigmoid", logits, name="posterior")

    def proto(self) -> onnx.ModelProto:
        """Return the graph as it stands."""
        shape: list[str | int] = ["batch", self.manifest.n_frames]
        if self.manifest.log_mel:
            shape.append(self.manifest.log_mel.n_mels)
        inputs = [helper.make_tensor_value_info(self.manifest.input, TensorProto.FLOAT, shape)]
        labels = len(self.manifest.labels)
        outputs = [helper.make_tensor_value_info("posterior", TensorProto.FLOAT, ["batch", labels])]
        graph = helper.make_graph(self._nodes, self.manifest.name, inputs, outputs, self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


VGG_CHANNELS = (16, 32, 64, 128, 160)


def vgg(seconds: float, time_stride: int = 4) -> tuple[onnx.ModelProto, Manifest]:
    """Return a VGG-like network of 283 k parameters: 64 bands, a hop of 80 ms, ten labels.

    Five 3×3 convolutions without padding in time; behind the first three the maximum of two bands, and of two frames
    until time_stride is reached (2, 4 or 8), which is 4 in `training/design/vgg.py`, too; the mean at the end.
    """
    manifest = facts(round(100 * seconds), 8, n_mels=64, n_labels=10, name="vgg")
    network = Network(manifest)
    x = network.node("Unsqueeze", network.standardised(), network.constant([1]))
    step = 1
    for n_in, n_out in zip((1, *VGG_CHANNELS), VGG_CHANNELS, strict=False):
        x = network.node("Relu", network.conv(x, n_in, n_out, (3, 3), pads=[0, 1, 0, 1]))
        if n_out < VGG_CHANNELS[-2]:
            in_time = 2 if step < time_stride else 1
            step *= in_time
            x = network.node("MaxPool", x, kernel_shape=[in_time, 2], strides=[in_time, 2])
    x = network.node("Flatten", network.node("GlobalAveragePool", x))
    network.head(x, VGG_CHANNELS[-1])
    return network.proto(), manifest


def n_parameters(proto: onnx.ModelProto) -> int:
    """Return how many numbers a graph has learnt, or would have."""
    return sum(int(np.prod(one.dims)) for one in proto.graph.initializer if one.data_type == TensorProto.FLOAT)


def write(folder: Path, proto: onnx.ModelProto, manifest: Manifest) -> Path:
    """Write a model file with its golden answer."""
    from training.design.export import seal

    file = folder / f"{manifest.name}.onnx"
    seal(proto, manifest, file)
    return file
