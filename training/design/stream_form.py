"""A window's network as a stream: the same nodes, each on what is new in a hop and what it needs of the hops before.

Every posterior is the one that the window gives to the newest n_frames: nothing is trained, nothing approximated. From
where time is pooled on, the graph is left as it is (Rybakov et al. 2020, https://arxiv.org/abs/2005.06720, keep buffers
in the same places).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

import numpy as np
import onnx
from numpy.typing import NDArray

from streamd.errors import ModelError
from streamd.manifest import Manifest
from training.design.observe import Tensors, tensors_of
from training.design.stream_graph import PREFIX, StreamGraph
from training.design.window_rules import step_of
from training.design.window_time import Operation, Step, Time, refused

N_ROWS = 3
"""Rows of the run that shows the shapes: a number by which the batch axis is known."""

OLDEST_OPSET = 13


def example(facts: Manifest, n_rows: int, n_frames: int) -> dict[str, NDArray[np.float32]]:
    """Return an input of noise, (n_rows, n_frames, n_mels) or (n_rows, n_frames)."""
    shape = (n_rows, n_frames, facts.log_mel.n_mels) if facts.log_mel else (n_rows, n_frames)
    return {facts.input: np.random.default_rng(0).standard_normal(shape, np.float32)}


def stream_form(window: onnx.ModelProto, facts: Manifest) -> tuple[onnx.ModelProto, int]:
    """Rewrite a window's graph.

    Args:
        window: a graph of the contract, of kind window.
        facts: its manifest.

    Returns:
        A graph of kind stream, and how many numbers its state row has.

    Raises:
        ModelError: it has no stream form; names the node, and why.
    """
    _check(window, facts)
    tensors = tensors_of(window, example(facts, facts.max_batch or N_ROWS, facts.n_frames))
    times: dict[str, Time] = {facts.input: Time(1, facts.n_frames, 1)}
    plan = list(_walk(window.graph, tensors, facts, times))
    building = StreamGraph(window, tensors, facts, times, _wanted(plan, times))
    for node, step in plan:
        building.add(node, step)
    return building.finished()


def _check(window: onnx.ModelProto, facts: Manifest) -> None:
    if facts.kind != "window":
        raise ModelError(f"a model of kind {facts.kind}; expected a window")
    if facts.hop_frames == facts.n_frames:
        raise ModelError(f"windows of {facts.n_frames} frames that don't overlap: no frame is heard twice")
    opset = max(one.version for one in window.opset_import if one.domain in ("", "ai.onnx"))
    if opset < OLDEST_OPSET:
        raise ModelError(f"a graph of opset {opset}; expected {OLDEST_OPSET} or later: convert it first")
    if window.functions:
        raise ModelError("a graph with functions of its own; expected plain operations: inline them first")
    names = {name for node in window.graph.node for name in node.output}
    taken = sorted(name for name in names if name in ("state", "state_out") or name.startswith(PREFIX))
    if taken:
        raise ModelError(f"tensors {taken} in the graph: a stream has these names for its own; rename them first")


def _walk(
    graph: onnx.GraphProto, tensors: Tensors, facts: Manifest, times: dict[str, Time]
) -> Iterator[tuple[onnx.NodeProto, Step | None]]:
    """Yield each node that the stream has, in order, and how it is run; None: as it is. Fills `times` on the way."""
    of_window: set[str] = set()  # tensors that tell of the whole window
    lengths: set[str] = set()  # how many elements there are: true in the window form only
    for node in graph.node:
        operation = Operation(node, tensors, times, facts.hop_frames)
        inside = set(node.input)
        step = None
        if any(attribute.HasField("g") for attribute in node.attribute):
            raise operation.refused("has a graph inside; expected plain operations")
        if operation.timed and node.op_type in ("Shape", "Size"):
            lengths.update(node.output)
            continue
        if operation.timed:
            # What a Reshape or Slice computes from lengths is written out as the numbers that the window form has.
            meant = node.input[:1] if node.op_type in ("Reshape", "Slice") else node.input
            if inside & of_window or lengths.intersection(meant):
                raise operation.refused("mixes single frames with what is only known of the whole window")
            step = step_of(operation)
            if step.out is None:
                of_window.update(node.output)
            else:
                times.update(dict.fromkeys(node.output, step.out))
        elif inside & of_window:
            step = _with_numbers(operation, lengths) if inside & lengths else None
            of_window.update(node.output)
        elif inside & lengths:
            lengths.update(node.output)
        yield node, step
    for output in graph.output:
        if output.name not in of_window:
            maker = next(node for node in graph.node if output.name in node.output)
            raise refused(maker, f"gives {output.name!r} without pooling over time; expected mean or max at the end")


def _with_numbers(operation: Operation, lengths: Set[str]) -> Step:
    """A shape that was computed from the window's length is written out as numbers."""
    if operation.kind != "Reshape" or operation.node.input[0] in lengths:
        raise operation.refused("computes with the length of the window")
    return Step(None, target=(0, *operation.out_shape()[1:]))


def _wanted(plan: Sequence[tuple[onnx.NodeProto, Step | None]], times: Mapping[str, Time]) -> dict[str, int]:
    """Return of each tensor the newest element of the window that somebody needs.

    Where strides leave some frames at a window's end unused, nothing needs what is newest. That delay is taken once,
    by the first node that has a state, rather than by each of the strides.
    """
    wanted: dict[str, int] = {}
    for node, step in reversed(plan):
        asked = [wanted[name] for name in node.output if name in wanted]
        if step is not None and (step.out is None or asked):
            for name in times.keys() & set(node.input):
                newest = times[name].length - 1 if step.out is None else step.needed(max(asked))
                wanted[name] = max(newest, wanted.get(name, 0))
    return wanted
