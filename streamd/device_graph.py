"""A model's graph with all around it that runs on a device, too: log-mel, windows and what each source remembers.

What crosses the bus in a run is samples and row numbers in, posteriors out. The memory of all sources is one matrix, a
row each, that stays on the device: end of the audio, log-mel frames before the newest, state. The graph gathers the
rows of a batch, hears a hop, and returns the matrix with these rows exchanged. Frames come from the tables of `logmel`;
the Fourier transform is a product with a matrix that the window is folded into.

Needs the package `onnx`, which comes with the extra gpu; nothing imports this where the processor is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from streamd.errors import ModelError
from streamd.logmel import LogMelSpec, tables
from streamd.manifest import Manifest

SAMPLES, ROWS, BEGINS = "streamd/samples", "streamd/rows", "streamd/begins"
MEMORY, MEMORY_OUT = "streamd/memory", "streamd/memory_out"
FRAMES = "streamd/frames"
"""The new log-mel frames, (batch, hop_frames, n_mels): inside the graph, for a test to look at."""
LEAST_OPSET = 13
"""What is added here means the same in every operator set from this one on."""


def n_tail(facts: Manifest) -> int:
    """Return how many samples before a hop its first new frame begins."""
    if facts.log_mel is None:
        return 0
    return max(0, (facts.hop_frames - 1) * facts.log_mel.hop_length + facts.log_mel.win_length - facts.hop_samples)


def n_past(facts: Manifest) -> int:
    """Return how many numbers of a window are older than the newest hop."""
    return (facts.n_frames - facts.hop_frames) * (facts.log_mel.n_mels if facts.log_mel else 1)


def n_remembered(facts: Manifest) -> int:
    """Return the length of a source's row of memory: 1, unused, where nothing needs to be remembered."""
    return max(1, n_tail(facts) + n_past(facts) + facts.n_state)


def device_graph(file: bytes, facts: Manifest) -> bytes:
    """Return the graph of a model file as one that hears samples.

    Inputs: SAMPLES (batch, hop_samples) float32 in [-1, 1); ROWS (batch,) int64, distinct; BEGINS (batch, 1) bool, true
    where a row has no state yet; MEMORY (n_rows, n_remembered). Outputs: posterior (batch, n_labels), MEMORY_OUT.

    Raises:
        ModelError: the model is of an operator set older than LEAST_OPSET.
    """
    model = onnx.load_from_string(file)
    opset = max(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
    if opset < LEAST_OPSET:
        raise ModelError(f"its operators are of set {opset}; a GPU needs set {LEAST_OPSET} or newer: export it again")
    graph = model.graph
    own = list(graph.node)
    before, after = _Nodes(graph), _Nodes(graph)
    kept = _before(before, facts)
    if facts.kind == "stream":
        kept.append("state_out")
    if not kept:
        kept.append(before.part(SAMPLES, 0, 1))
    at = after.add("Reshape", ROWS, after.integers(-1, 1))
    after.add("ScatterND", MEMORY, at, after.concat(kept), output=MEMORY_OUT)

    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:], model.metadata_props[:]
    graph.node.extend([*before.made, *own, *after.made])
    value, number = helper.make_tensor_value_info, TensorProto.FLOAT
    memory: list[str | int | None] = ["n_rows", n_remembered(facts)]
    graph.input.extend(
        [
            value(SAMPLES, number, ["batch", facts.hop_samples]),
            value(ROWS, TensorProto.INT64, ["batch"]),
            value(BEGINS, TensorProto.BOOL, ["batch", 1]),
            value(MEMORY, number, memory),
        ]
    )
    graph.output.extend([value("posterior", number, ["batch", len(facts.labels)]), value(MEMORY_OUT, number, memory)])
    return bytes(model.SerializeToString())


def _before(nodes: _Nodes, facts: Manifest) -> list[str]:
    """Add what makes the model's own inputs; return the new memory but for the state, piece by piece."""
    row = nodes.add("Gather", MEMORY, ROWS, axis=0)
    tail, window = n_tail(facts), n_past(facts)
    kept = []
    new = SAMPLES
    if facts.log_mel is not None:
        audio = nodes.concat([nodes.part(row, 0, tail), SAMPLES]) if tail else SAMPLES
        n_audio = tail + facts.hop_samples
        if tail:
            kept.append(nodes.part(audio, n_audio - tail, n_audio))
        new = _log_mel(nodes, audio, n_audio, facts.hop_frames, facts.log_mel)
    if window:
        # Flat: frames one after the other are as good as samples.
        flat = nodes.add("Reshape", new, nodes.integers(0, -1))
        n_new = window // (facts.n_frames - facts.hop_frames) * facts.hop_frames
        whole = nodes.concat([nodes.part(row, tail, tail + window), flat])
        kept.append(nodes.part(whole, n_new, n_new + window))
        shape = (0, facts.n_frames, *((facts.log_mel.n_mels,) if facts.log_mel else ()))
        new = nodes.add("Reshape", whole, nodes.integers(*shape))
    nodes.add("Identity", new, output=facts.input)
    if facts.kind == "stream":
        known = nodes.part(row, tail + window, n_remembered(facts))
        nodes.add("Where", BEGINS, nodes.constant(facts.initial_row()[None]), known, output="state")
    return kept


def _log_mel(nodes: _Nodes, audio: str, n_audio: int, n_frames: int, spec: LogMelSpec) -> str:
    """Add the log-mel of the last n_frames frames of audio (batch, n_audio); return (batch, n_frames, n_mels)."""
    window, mel = tables(spec)
    first = n_audio - ((n_frames - 1) * spec.hop_length + spec.win_length)
    places = first + np.arange(n_frames)[:, None] * spec.hop_length + np.arange(spec.win_length)
    frames = nodes.add("Gather", audio, nodes.constant(places), axis=1)
    n_bins = spec.n_fft // 2 + 1
    angle = 2 * np.pi / spec.n_fft * np.outer(np.arange(spec.win_length), np.arange(n_bins))
    fourier = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) * window[:, None].astype(np.float64)
    spectrum = nodes.add("MatMul", frames, nodes.constant(fourier.astype(np.float32)))
    squares = nodes.add("Mul", spectrum, spectrum)
    # Both halves meet the same filters: their sum is taken by the product.
    if spec.power == 2:
        bands = nodes.add("MatMul", squares, nodes.constant(np.concatenate([mel, mel])))
    else:
        halves = [nodes.part(squares, begin, begin + n_bins, axis=2) for begin in (0, n_bins)]
        bands = nodes.add("MatMul", nodes.add("Sqrt", nodes.add("Add", *halves)), nodes.constant(mel))
    if spec.offset is not None:
        bands = nodes.add("Add", bands, nodes.constant(np.float32(spec.offset)))
    else:
        bands = nodes.add("Max", bands, nodes.constant(np.float32(spec.floor or 0)))
    scale = 1.0 if spec.log == "ln" else 20 / spec.power / np.log(10)
    return nodes.add("Mul", nodes.add("Log", bands), nodes.constant(np.float32(scale)), output=FRAMES)


class _Nodes:
    """Nodes in order, each made of names, with constants that go into a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.made: list[onnx.NodeProto] = []
        self._graph = graph

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return the name of what it gives."""
        output = output or f"streamd/{len(self._graph.initializer)}/{len(self.made)}/{op}"
        self.made.append(helper.make_node(op, inputs, [output], name=f"{output}/node", **attributes))
        return output

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """Add a constant and return its name."""
        name = f"streamd/constant {len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name

    def integers(self, *values: int) -> str:
        """Add integers as a constant."""
        return self.constant(np.array(values, np.int64))

    def concat(self, parts: Sequence[str]) -> str:
        """Add a concatenation of rows; of one part it is that part."""
        return self.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]

    def part(self, value: str, begin: int, end: int, axis: int = 1) -> str:
        """Add a slice along an axis."""
        return self.add("Slice", value, *(self.integers(one) for one in (begin, end, axis)))
