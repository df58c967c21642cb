"""Foreign ONNX graphs, adopted: a shell of a few nodes makes them speak the contract; they themselves stay untouched.

The shell renames inputs and outputs, fixes inputs that never change (a sample rate), packs all states into one row a
source, and keeps in that row the earlier samples that some graphs want handed in again before each hop.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from streamd.errors import ModelError
from streamd.logmel import log_mel, to_float
from streamd.manifest import Manifest
from streamd.model import Model
from training.design.export import seal, write

WARM = 0.01
"""A stream is warm when half of all starts give a posterior within this of one that has heard everything.

Half, not all: a recurrent network may remember a voice of half a minute ago, as silero's does, and to wait for the
last of it would make it deaf for as long.
"""

MAX_WARMUP_SECONDS = 10.0

N_STARTS = 64

_PREFIX = "foreign/"
"""Before every name of the foreign graph, so that none meets a name of the shell."""


@dataclass(frozen=True)
class State:
    """One state of a foreign graph."""

    read: str
    """Name of the input."""
    written: str
    """Name of the output."""
    shape: tuple[int, ...]
    """Without the batch axis."""
    batch_axis: int = 0
    """Where the graph has its batch axis: LSTM states have it second."""

    @property
    def size(self) -> int:
        """Numbers in the state of one source."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Wiring:
    """How a foreign graph's inputs and outputs are used."""

    input: str
    """Takes log-mel frames or samples, batch first."""
    posterior: str
    """Gives numbers 0…1, one for each label."""
    states: tuple[State, ...] = ()
    constants: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    """Inputs that never change."""
    n_context: int = 0
    """Samples of the hop before that go in front of each hop."""

    @property
    def n_state(self) -> int:
        """Numbers in one source's state row: the context first, then the states in order."""
        return self.n_context + sum(state.size for state in self.states)


def adopt(
    foreign: onnx.ModelProto,
    wiring: Wiring,
    manifest: Manifest,
    path: Path,
    heard: NDArray[np.int16] | None = None,
    *,
    least_at_all: float = math.inf,
) -> Manifest:
    """Write a foreign graph as a model file.

    Args:
        foreign: the graph; opset 13 or later.
        wiring: what its inputs and outputs mean.
        manifest: its facts; n_state and the golden answer are filled in here.
        path: the .onnx to write.
        heard: for a stream that may remember for ever, a recording (n_samples,) like those it is made for: its warm-up
            is measured on it. None: the manifest's warmup_frames cover all that the stream can remember.
        least_at_all: as of `seal`, for a graph that is deaf to the golden signals.

    Returns:
        The manifest as written.

    Raises:
        ModelError: names that the graph hasn't, a warm-up that never ends, or a graph that breaks the contract.
        ValueError: a stream whose manifest has no warm-up, and no recording.
    """
    _check_names(foreign, wiring)
    is_stream = manifest.kind == "stream"
    facts = msgspec.structs.replace(manifest, n_state=wiring.n_state) if is_stream else manifest
    proto = _wrapped(foreign, wiring, facts)
    if heard is None and is_stream and facts.warmup_frames == facts.n_frames:
        raise ValueError("adopt a stream with a recording to measure its warm-up on, or with the warm-up it needs")
    if heard is None or not is_stream:
        return seal(proto, facts, path, least_at_all=least_at_all)
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / path.name
        write(proto, facts, draft)
        warmup_frames = (1 + warmup_hops(Model(draft, "cpu", verify=False), heard)) * facts.hop_frames
    facts = msgspec.structs.replace(facts, warmup_frames=warmup_frames)
    return seal(proto, facts, path, least_at_all=least_at_all)


def warmup_hops(model: Model, heard: NDArray[np.int16]) -> int:
    """Return how many hops a stream that starts somewhere needs, to agree with one that heard everything before.

    Args:
        model: a stream.
        heard: a recording (n_samples,) at its rate.

    Raises:
        ModelError: it doesn't within MAX_WARMUP_SECONDS.
    """
    facts = model.manifest
    frames = log_mel(heard, facts.log_mel) if facts.log_mel else to_float(heard)
    n_hops = len(frames) // facts.hop_frames
    hops = frames[: n_hops * facts.hop_frames].reshape(n_hops, 1, facts.hop_frames, *frames.shape[1:])
    return settled_hops(partial(_posteriors, model), hops, facts.hop_seconds)


def settled_hops(
    posteriors_of: Callable[[NDArray[np.float32]], NDArray[np.float32]], hops: NDArray[np.float32], hop_seconds: float
) -> int:
    """Return how many hops a stream needs after a start, as `warmup_hops` does, of anything that answers hops.

    Args:
        posteriors_of: gives posteriors (n, n_labels) to any n hops, from a fresh state on.
        hops: inputs of a recording in order, the first axis hops.
        hop_seconds: length of one.

    Raises:
        ModelError: as of `warmup_hops`.
    """
    n_hops = len(hops)
    n_tried = min(math.ceil(MAX_WARMUP_SECONDS / hop_seconds), n_hops // 2)
    whole = posteriors_of(hops)
    off = [
        np.abs(posteriors_of(hops[start : start + n_tried]) - whole[start : start + n_tried]).max(axis=1)
        for start in np.linspace(0, n_hops - n_tried, N_STARTS + 1).astype(int)[1:]
    ]
    typical = np.median(off, axis=0)
    near = np.nonzero(typical < WARM)[0]
    if not len(near):
        raise ModelError(f"{n_tried} hops after a start posteriors are still {typical[-1]:.3g} off (below {WARM})")
    return int(near[0])


def _posteriors(model: Model, hops: NDArray[np.float32]) -> NDArray[np.float32]:
    state: NDArray[np.float32] | None = model.initial_state(1)
    found = []
    for hop in hops:
        posterior, state = model.run(hop, state)
        found.append(posterior[0])
    return np.array(found)


def _check_names(foreign: onnx.ModelProto, wiring: Wiring) -> None:
    wanted = {wiring.input, *wiring.constants, *(state.read for state in wiring.states)}
    weights = {tensor.name for tensor in foreign.graph.initializer}
    inputs = {value.name for value in foreign.graph.input} - weights
    outputs = {value.name for value in foreign.graph.output}
    if inputs != wanted:
        raise ModelError(f"graph with inputs {sorted(inputs)}; the wiring has {sorted(wanted)}")
    missing = {wiring.posterior, *(state.written for state in wiring.states)} - outputs
    if missing:
        raise ModelError(f"graph without outputs {sorted(missing)}; it has {sorted(outputs)}")


def _wrapped(foreign: onnx.ModelProto, wiring: Wiring, manifest: Manifest) -> onnx.ModelProto:
    """Return the graph inside its shell."""
    proto = compose.add_prefix(foreign, _PREFIX)
    graph = proto.graph
    shell = _Shell()
    if wiring.n_context:
        context = shell.slice("state", 0, wiring.n_context)
        fed = shell.node("Concat", [context, manifest.input], axis=1, output=_PREFIX + wiring.input)
        kept = [shell.slice(fed, -wiring.n_context, np.iinfo(np.int64).max)]
    else:
        shell.node("Identity", [manifest.input], output=_PREFIX + wiring.input)
        kept = []
    begin = wiring.n_context
    before, after = shell.nodes, _Shell(shell)
    for state in wiring.states:
        shell.unpack(state, begin, _PREFIX + state.read)
        kept.append(after.pack(state, _PREFIX + state.written))
        begin += state.size
    shape = after.constant(np.array([-1, len(manifest.labels)], np.int64))
    after.node("Reshape", [_PREFIX + wiring.posterior, shape], output="posterior")
    outputs = {"posterior": len(manifest.labels)}
    inputs: dict[str, list[int]] = {manifest.input: _input_shape(manifest)}
    if manifest.kind == "stream":
        after.node("Concat", kept, axis=1, output="state_out")
        inputs["state"] = [wiring.n_state]
        outputs["state_out"] = wiring.n_state
    nodes = [*before, *graph.node, *after.nodes]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend(after.constants)
    for name, value in wiring.constants.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), _PREFIX + name))
    for name, axes in inputs.items():
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *axes]))
    for name, size in outputs.items():
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]))
    onnx.checker.check_model(proto)
    return proto


def _input_shape(manifest: Manifest) -> list[int]:
    return [manifest.n_frames, manifest.log_mel.n_mels] if manifest.log_mel else [manifest.n_frames]


class _Shell:
    """Nodes around the foreign graph; those after it share constants and the counter of names with those before."""

    def __init__(self, first: _Shell | None = None) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = first.constants if first else []
        self._names: list[str] = first._names if first else []

    def node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or self._name(kind.lower())
        self.nodes.append(helper.make_node(kind, inputs, [output], name=self._name("node"), **attributes))
        return output

    def constant(self, value: NDArray[np.int64]) -> str:
        name = self._name("constant")
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def slice(self, name: str, begin: int, end: int) -> str:
        """Return columns of a (batch, n) tensor."""
        limits = [self.constant(np.array([value], np.int64)) for value in (begin, end, 1)]
        return self.node("Slice", [name, *limits])

    def unpack(self, state: State, begin: int, output: str) -> None:
        """Cut a state out of the row and give it the foreign graph's shape."""
        row = self.slice("state", begin, begin + state.size)
        shaped = self.node("Reshape", [row, self.constant(np.array([-1, *state.shape], np.int64))])
        axes = list(range(1, len(state.shape) + 1))
        axes.insert(state.batch_axis, 0)
        self.node("Transpose", [shaped], perm=axes, output=output)

    def pack(self, state: State, name: str) -> str:
        """Make a new state a part of a row again."""
        axes = [axis for axis in range(len(state.shape) + 1) if axis != state.batch_axis]
        batch_first = self.node("Transpose", [name], perm=[state.batch_axis, *axes])
        return self.node("Reshape", [batch_first, self.constant(np.array([-1, state.size], np.int64))])

    def _name(self, word: str) -> str:
        self._names.append(f"shell/{word}_{len(self._names)}")
        return self._names[-1]
