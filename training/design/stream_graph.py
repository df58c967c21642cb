"""The stream's graph as it grows: the window's nodes, the pieces of state that they need, and the row of all pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamd.manifest import Manifest
from training.design.observe import Tensors
from training.design.window_time import Step, Time, refused

PREFIX = "stream/"
"""Before the names of what is added."""

_END = np.iinfo(np.int64).max


class StreamGraph:
    """Add the window's nodes in order, then finish."""

    def __init__(
        self,
        window: onnx.ModelProto,
        tensors: Tensors,
        facts: Manifest,
        times: Mapping[str, Time],
        wanted: Mapping[str, int],
    ) -> None:
        self._window = window
        self._facts = facts
        self._tensors = tensors
        self._times = times
        self._wanted = wanted
        self._opset = max(one.version for one in window.opset_import if one.domain in ("", "ai.onnx"))
        # Which element of the window a tensor's last one is.
        self._newest: dict[str, int] = {facts.input: facts.n_frames - 1}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._made: dict[tuple[str, int, int], str] = {}
        self._sizes: list[int] = []
        self._kept: list[str] = []

    def add(self, node: onnx.NodeProto, step: Step | None) -> None:
        """Add a node of the window's graph, with what it needs around it."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        if step is not None:
            if step.target:
                copy = helper.make_node("Reshape", [node.input[0], ""], node.output, name=node.name)
                copy.input[1] = self._integers(step.target)
            if step.bounds:
                copy.input[1], copy.input[2] = (self._integers(one) for one in step.bounds)
            timed = [i for i, name in enumerate(node.input) if name in self._times]
            if step.out is not None and not self._wanted.keys() & set(node.output):
                return
            for i in timed:
                copy.input[i] = self._needed_by(node, step, node.input[i])
        self._nodes.append(copy)

    def finished(self) -> tuple[onnx.ModelProto, int]:
        """Return the graph, and the length of its state row."""
        facts, n_state = self._facts, sum(self._sizes)
        pieces = [f"{PREFIX}kept_{i}" for i in range(len(self._sizes))]
        # One Split for all: a node costs more than the few numbers it moves.
        split = helper.make_node("Split", ["state", self._integers(self._sizes)], pieces, name=f"{PREFIX}split", axis=1)
        self._node("Concat", self._kept, "state_out", axis=1)
        proto = onnx.ModelProto()
        proto.CopyFrom(self._window)
        graph = proto.graph
        batch = graph.input[0].type.tensor_type.shape.dim[0]
        rows: str | int = batch.dim_param or batch.dim_value
        weights = [*graph.initializer, *self._constants]
        outputs = list(graph.output)
        for part in (graph.node, graph.input, graph.output, graph.initializer, graph.value_info):
            del part[:]
        graph.node.extend(_needed([split, *self._nodes], [*(one.name for one in outputs), "state_out"]))
        used = {name for node in graph.node for name in node.input}
        graph.initializer.extend(weight for weight in weights if weight.name in used)
        bands = [facts.log_mel.n_mels] if facts.log_mel else []
        shapes: dict[str, list[str | int]] = {facts.input: [rows, facts.hop_frames, *bands], "state": [rows, n_state]}
        graph.input.extend(helper.make_tensor_value_info(*one) for one in _floats(shapes))
        graph.output.extend([*outputs, helper.make_tensor_value_info("state_out", TensorProto.FLOAT, [rows, n_state])])
        onnx.checker.check_model(proto)
        return proto, n_state

    def _needed_by(self, node: onnx.NodeProto, step: Step, name: str) -> str:
        """Return the elements of a tensor that a node needs for what it gives in a hop."""
        if step.out is None:
            return self._between(node, step, name, 0, self._times[name].length - 1)
        if step.is_immediate:
            newest = min(self._newest[one] for one in node.input if one in self._times)
        else:
            newest = max(self._wanted[one] for one in node.output if one in self._wanted)
        self._newest.update(dict.fromkeys(node.output, newest))
        oldest = newest + 1 - self._n_new(step.out)
        return self._between(node, step, name, step.begin + oldest * step.stride, step.needed(newest))

    def _between(self, node: onnx.NodeProto, step: Step, name: str, oldest: int, newest: int) -> str:
        """Return the elements of a tensor from the oldest to the newest of these, which may not be new in this hop."""
        time = self._times[name]
        n_new = self._n_new(time)
        n_kept = self._newest[name] + 1 - n_new - oldest
        n_over = self._newest[name] - newest
        if not n_kept and not n_over:
            return name
        shape, kind = list(self._tensors[name].shape), self._tensors[name].dtype
        if step.pooled_before:
            name = self._pooled(node, name, step.pooled_before)
            for axis in step.pooled_before:
                shape[axis] = 1
        key = (name, oldest, newest)
        if key not in self._made:
            if n_kept > 0:
                if kind != np.float32:
                    raise refused(node, f"needs {kind} of hops before; a state holds float32")
                shape[time.axis] = n_kept
                name = self._with_kept(name, shape, time.axis)
            if n_over or n_kept < 0:
                begin = max(0, -n_kept)
                name = self._slice(name, begin, begin + newest + 1 - oldest, time.axis)
            self._made[key] = name
        return self._made[key]

    def _n_new(self, time: Time) -> int:
        return self._facts.hop_frames // time.step

    def _with_kept(self, name: str, shape: Sequence[int], axis: int) -> str:
        """Put a piece of the state in front of a tensor, and keep as much of its end."""
        row = f"{PREFIX}kept_{len(self._sizes)}"
        size = int(np.prod(shape[1:]))
        before = self._node("Reshape", [row, self._integers([-1, *shape[1:]])])
        longer = self._node("Concat", [before, name], axis=axis)
        last = self._slice(longer, -shape[axis], _END, axis)
        self._kept.append(self._node("Reshape", [last, self._integers([-1, size])]))
        self._sizes.append(size)
        return longer

    def _pooled(self, node: onnx.NodeProto, name: str, axes: Sequence[int]) -> str:
        kind = {"GlobalAveragePool": "ReduceMean", "GlobalMaxPool": "ReduceMax"}.get(node.op_type, node.op_type)
        if self._opset >= 18 or kind == "ReduceSum":
            return self._node(kind, [name, self._integers(axes)], keepdims=1)
        return self._node(kind, [name], axes=list(axes), keepdims=1)

    def _slice(self, name: str, begin: int, end: int, axis: int) -> str:
        return self._node("Slice", [name, *(self._integers([one]) for one in (begin, end, axis))])

    def _node(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        name = f"{PREFIX}{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output or name], name=name, **attributes))
        return output or name

    def _integers(self, values: Sequence[int]) -> str:
        name = f"{PREFIX}integers_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name


def _floats(shapes: dict[str, list[str | int]]) -> list[tuple[str, int, list[str | int]]]:
    return [(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]


def _needed(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """Return the nodes without those that nobody asks for."""
    wanted = set(outputs)
    found = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            found.append(node)
    return found[::-1]
