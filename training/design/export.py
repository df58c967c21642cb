"""From a network in torch to a model file: one .onnx that holds its weights, its manifest and its golden answer.

Nothing is left behind by an export that fails a gate: the file gets its name only after the gates.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from streamd import manifest as manifests
from streamd.decision import hops
from streamd.errors import ModelError
from streamd.golden import golden_signal
from streamd.logmel import log_mel, to_float
from streamd.manifest import Golden, Manifest
from streamd.model import Model, load_onnxruntime

OPSET = 20

PARITY = 1e-5
"""How far onnxruntime may be from torch, in posteriors; in other outputs relative to their largest number."""

N_GOLDEN_HOPS = 8
GOLDEN_SECONDS = 1.0
"""A golden answer is at least that many hops and that long: a voice detector says nothing to 8 hops of 32 ms."""

N_GOLDEN_SIGNALS = 500
"""All chirps, then strokes: of those that were taught knocks some answer to none of the chirps."""

Floats = NDArray[np.float32]


def export(
    network: nn.Module,
    manifest: Manifest,
    path: Path,
    outputs: tuple[str, ...] = ("posterior",),
    *,
    least_move: float = 0.0,
    least_at_all: float = math.inf,
) -> Manifest:
    """Write a network as a model file.

    Args:
        network: in evaluation mode, on the CPU. A window: input → outputs. A stream: input, state → outputs.
        manifest: its facts; the golden answer is made here.
        path: the .onnx to write. An older one stays as it is until the new one is proved.
        outputs: names of what the network returns, in order: posterior, then state_out of a stream, embedding.
        least_move: by how much some posterior of the golden answer must move, on one of the signals that there are.
        least_at_all: by how much it must move where none of them gives as much: a network may know them for noise.

    Returns:
        The manifest as written, with the golden answer.

    Raises:
        ModelError: onnxruntime doesn't give torch's answer at batch 1 and 3, or the file doesn't verify.
    """
    graph = traced(network, manifest, outputs)
    return seal(onnx.load_from_string(graph), manifest, path, least_move=least_move, least_at_all=least_at_all)


def traced(network: nn.Module, manifest: Manifest, outputs: tuple[str, ...]) -> bytes:
    """Return the ONNX graph of a network, which gives torch's answers; arguments and errors as of `export`."""
    # A second export in one process fails, or silently freezes an axis: each gets a process of its own.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        graph = process.submit(_trace, network, _example(manifest, 2), _inputs(manifest), outputs).result()
    _check_axes(onnx.load_from_string(graph))
    check_parity(network, graph, manifest)
    return graph


def seal(
    proto: onnx.ModelProto,
    manifest: Manifest,
    path: Path,
    *,
    least_move: float = 0.0,
    least_at_all: float = math.inf,
) -> Manifest:
    """Write a graph that obeys the contract with its manifest, after it gave and repeated its golden answer.

    Raises:
        ModelError: the graph breaks the contract, or no golden signal gives a posterior between 0.1 and 0.9.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        draft = Path(folder) / path.name
        write(proto, manifest, draft)
        golden = _golden(Model(draft, "cpu", verify=False), least_move, least_at_all)
        complete = msgspec.structs.replace(manifest, golden=golden)
        write(proto, complete, draft)
        proved = Model(draft, "cpu")
        draft.replace(path)
    return proved.manifest


def n_golden_samples(manifest: Manifest) -> int:
    """Return how long a golden signal must be: the warm-up, then eight hops or a second."""
    n_hops = max(N_GOLDEN_HOPS, hops(GOLDEN_SECONDS, manifest.hop_seconds))
    return manifest.span_samples + (manifest.n_warmup_hops + n_hops - 1) * manifest.hop_samples


def _golden(model: Model, least_move: float, least_at_all: float) -> Golden:
    n_samples = n_golden_samples(model.manifest)
    best, most = None, -math.inf
    for seed in range(N_GOLDEN_SIGNALS):
        frames, posteriors = model.answer(golden_signal(seed, n_samples))
        move = float(np.ptp(posteriors, axis=0).max())
        suits = move >= least_move and bool(np.any((posteriors > 0.1) & (posteriors < 0.9)))
        if suits or move > most:
            log_mel = frames.astype("<f4").tobytes() if model.manifest.log_mel else b""
            posterior = posteriors.astype("<f4").tobytes()
            best, most = Golden(seed=seed, n_samples=n_samples, log_mel=log_mel, posterior=posterior), move
        if suits and best:
            return best
    if best and most >= least_at_all:
        return best
    moving = f" and moves by {least_move}" if least_move else ""
    raise ModelError(f"no golden signal gives a posterior between 0.1 and 0.9{moving}: has the network been trained?")


def _inputs(manifest: Manifest) -> tuple[str, ...]:
    return (manifest.input, "state") if manifest.kind == "stream" else (manifest.input,)


def _example(manifest: Manifest, batch: int) -> tuple[torch.Tensor, ...]:
    """Return inputs of that many unlike rows: a row of the golden signal each, later ones later in it."""
    span, hop = manifest.span_samples, manifest.hop_samples
    signal = golden_signal(0, span + (batch - 1) * hop)
    rows = np.stack([_frames(manifest, signal[row * hop : row * hop + span]) for row in range(batch)])
    if manifest.kind == "window":
        return (torch.from_numpy(rows),)
    return torch.from_numpy(rows), torch.from_numpy(np.tile(manifest.initial_row(), (batch, 1)))


def _frames(manifest: Manifest, samples: NDArray[np.int16]) -> Floats:
    return log_mel(samples, manifest.log_mel) if manifest.log_mel else to_float(samples)


def _trace(
    network: nn.Module, example: tuple[torch.Tensor, ...], inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> bytes:
    """Return the ONNX graph of a network. The batch axis of the example must be 2 or more, or it is frozen at 1."""
    # It tells the absence of torchvision, and of its own future, at every export.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", FutureWarning)
    # That a GRU's weights are constants, and that two axes are one and the same: both are meant.
    warnings.simplefilter("ignore", UserWarning)
    program = torch.onnx.export(
        network,
        example,
        dynamo=True,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=tuple({0: "batch"} for _ in inputs),
        opset_version=OPSET,
        external_data=False,
        verbose=False,
    )
    if program is None:
        raise ModelError("torch exported no graph")
    proto = program.model_proto
    _forget_where_it_was_made(proto)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _forget_where_it_was_made(proto: onnx.ModelProto) -> None:
    """Remove source lines and paths of the machine that exported it: the same network gives the same bytes."""
    graph = proto.graph
    proto.doc_string = graph.doc_string = ""
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
    del graph.value_info[:]


def _check_axes(proto: onnx.ModelProto) -> None:
    for value in (*proto.graph.input, *proto.graph.output):
        axis = value.type.tensor_type.shape.dim[0]
        if axis.dim_param != "batch":
            raise ModelError(f"{value.name}: the exporter froze the batch axis at {axis.dim_value}; it must be free")


def check_parity(network: nn.Module, graph: bytes, manifest: Manifest) -> None:
    """Run torch and onnxruntime side by side at batch 1 and 3, a stream for several hops with its state.

    Raises:
        ModelError: an output is further off than PARITY.
    """
    session = load_onnxruntime().InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    for batch in (1, 3):
        rows, *states = _example(manifest, batch)
        state = states[0] if states else None
        for _ in range(N_GOLDEN_HOPS if states else 1):
            inputs = (rows,) if state is None else (rows, state)
            with torch.no_grad():
                result = network(*inputs)
            expected = result if isinstance(result, tuple) else (result,)
            feeds = dict(zip(_inputs(manifest), (tensor.numpy() for tensor in inputs), strict=True))
            found = session.run(None, feeds)
            for name, one, other in zip(names, expected, found, strict=True):
                scale = 1.0 if name == "posterior" else max(1.0, float(one.abs().max()))
                off = float(np.abs(one.numpy() - other).max()) / scale
                if not off <= PARITY:
                    raise ModelError(f"{name} at batch {batch}: onnxruntime is {off:.3g} off torch (at most {PARITY})")
            if state is not None:
                state = expected[names.index("state_out")]


def write(proto: onnx.ModelProto, manifest: Manifest, path: Path) -> None:
    """Write a graph with its manifest as they are, unproved."""
    del proto.metadata_props[:]
    proto.metadata_props.add(key=manifests.METADATA_KEY, value=manifests.encode(manifest))
    path.write_bytes(proto.SerializeToString(deterministic=True))
