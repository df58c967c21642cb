"""Small real model files of the contract: each label is a tone, and its posterior is how loud that tone is now.

A few ONNX operators do it, so that sounds made in a test really begin and end, at every kind of model and input.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from streamd import manifest as manifests
from streamd.decision import DecisionSpec
from streamd.golden import golden_signal
from streamd.logmel import LogMelSpec, log_mel
from streamd.manifest import Golden, Manifest
from streamd.model import Model
from streamd.shipped import model_file

Floats = NDArray[np.float32]
Kind = Literal["window", "stream"]
Input = Literal["log_mel", "samples"]

NAMES = tuple(f"tiny-{kind}-{which}" for kind, which in product(get_args(Kind), get_args(Input)))
"""Of what `build` makes of each kind and input."""

SAMPLE_RATE = 8_000
TONES = {"Low tone": 437.5, "Middle tone": 1062.5, "High tone": 2437.5}
"""Labels, and the frequency in Hz each of them hears."""
SPEC = LogMelSpec(
    sample_rate=SAMPLE_RATE, n_fft=256, win_length=200, hop_length=80, n_mels=16, fmin=100, fmax=4_000, mel_scale="htk"
)
KEPT = 0.5
"""How much of its state a stream keeps in each hop."""
LOUD_DB = -20.0
"""A tone of this level (0 dB is full scale) has posterior 0.5."""


def manifest(kind: Kind, which: Input, **changed: Any) -> Manifest:
    """The facts of a tiny model: a hop is 40 ms, a window 0.16 s, a stream warms up for 0.2 s."""
    frame = SPEC.hop_length if which == "samples" else 1
    # No multiple of the hop: the first window has to wait for its grid.
    n_frames = (4 if kind == "stream" else 15) * frame
    facts: dict[str, Any] = {
        "name": f"tiny-{kind}-{which}",
        "version": "1",
        "licence": "Apache-2.0",
        "description": "Hears three tones.",
        "labels": tuple(TONES),
        "default_labels": tuple(TONES),
        "kind": kind,
        "input": which,
        "sample_rate": SAMPLE_RATE,
        "log_mel": SPEC if which == "log_mel" else None,
        "n_frames": n_frames,
        "hop_frames": 4 * frame,
        "warmup_frames": (20 if kind == "stream" else 15) * frame,
        "max_batch": None,
        "n_state": len(TONES) if kind == "stream" else 0,
        "initial_state": np.full(len(TONES), -60, "<f4").tobytes() if kind == "stream" else b"",
        "onset_delay": 100,
        "offset_delay": 300,
        "decision": DecisionSpec(onset_threshold=0.6, offset_threshold=0.4, min_silence_seconds=0.08),
        "label_decisions": {},
        "expected": {},
        "training": {},
        "golden": Golden(seed=0, n_samples=0, posterior=b""),
    }
    return Manifest(**{**facts, **changed})


def graph(facts: Manifest) -> onnx.ModelProto:
    """Loudness of each tone in dB (a stream smooths it over hops in its state), then a sigmoid."""
    tensors: dict[str, Floats] = {"slope": np.array(1 / 6, np.float32), "middle": np.array(LOUD_DB, np.float32)}
    if facts.log_mel is not None:
        tensors["bands"], tensors["full"] = _bands(facts.log_mel)
        level = [
            helper.make_node("ReduceMean", ["log_mel", "time"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["mean", "bands"], ["band"]),
            helper.make_node("Sub", ["band", "full"], ["level"]),
        ]
        shape: list[str | int] = ["batch", facts.n_frames, facts.log_mel.n_mels]
    else:
        tensors["waves"], tensors["tiny"] = _waves(facts.n_frames), np.array(1e-7, np.float32)
        tensors["db"] = np.array(10 / np.log(10), np.float32)
        level = [
            helper.make_node("MatMul", ["samples", "waves"], ["products"]),
            helper.make_node("Mul", ["products", "products"], ["squares"]),
            helper.make_node("Reshape", ["squares", "pairs"], ["paired"]),
            helper.make_node("ReduceSum", ["paired", "pair"], ["power"], keepdims=0),
            helper.make_node("Add", ["power", "tiny"], ["audible"]),
            helper.make_node("Log", ["audible"], ["logarithm"]),
            helper.make_node("Mul", ["logarithm", "db"], ["level"]),
        ]
        shape = ["batch", facts.n_frames]
    inputs = [helper.make_tensor_value_info(facts.input, TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("posterior", TensorProto.FLOAT, ["batch", len(facts.labels)])]
    loudness = "level"
    if facts.kind == "stream":
        tensors["kept"], tensors["new"] = np.array(KEPT, np.float32), np.array(1 - KEPT, np.float32)
        level += [
            helper.make_node("Mul", ["state", "kept"], ["old_part"]),
            helper.make_node("Mul", ["level", "new"], ["new_part"]),
            helper.make_node("Add", ["old_part", "new_part"], ["state_out"]),
        ]
        inputs.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, ["batch", facts.n_state]))
        outputs.append(helper.make_tensor_value_info("state_out", TensorProto.FLOAT, ["batch", facts.n_state]))
        loudness = "state_out"
    head = [
        helper.make_node("Sub", [loudness, "middle"], ["over"]),
        helper.make_node("Mul", ["over", "slope"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["posterior"]),
    ]
    shapes = {"time": [1], "pair": [2], "pairs": [-1, len(TONES), 2]}
    initializers = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    initializers += [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in shapes.items()]
    used = {name for node in level + head for name in node.input}
    kept = [tensor for tensor in initializers if tensor.name in used]
    return model_of(helper.make_graph(level + head, facts.name, inputs, outputs, kept))


def model_of(network: onnx.GraphProto) -> onnx.ModelProto:
    """A graph as a model that every onnxruntime from 1.17 on reads."""
    return helper.make_model(network, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _bands(spec: LogMelSpec) -> tuple[Floats, Floats]:
    """Weights (n_mels, n_labels) that pick each tone's band, and what a tone of level 1 gives there (n_labels,)."""
    frames = [log_mel(tone(SAMPLE_RATE, label, 1.0), spec).mean(axis=0) for label in TONES]
    band = [int(frame.argmax()) for frame in frames]
    full = [frame.max() for frame in frames]
    return np.eye(spec.n_mels, dtype=np.float32)[:, band], np.array(full, np.float32)


def _waves(n_samples: int) -> Floats:
    """Cosine and sine of each tone under a Hann window, (n_samples, 2·n_labels): a tone of level 1 gives power 1."""
    time = np.arange(n_samples) / SAMPLE_RATE
    window = np.hanning(n_samples + 1)[:-1]
    parts = [wave(2 * np.pi * hz * time) for hz in TONES.values() for wave in (np.cos, np.sin)]
    return (np.stack(parts, axis=1) * (window / window.sum() * 2)[:, None]).astype(np.float32)


def write(file: Path, facts: Manifest, network: onnx.ModelProto) -> Path:
    """Write a model file as it is: graph and manifest, nothing checked."""
    network = onnx.ModelProto.FromString(network.SerializeToString())
    helper.set_model_props(network, {manifests.METADATA_KEY: manifests.encode(facts)})
    file.write_bytes(network.SerializeToString())
    return file


def with_golden(file: Path, facts: Manifest, network: onnx.ModelProto, seed: int = 0) -> Manifest:
    """The same facts with the answer that the network gives to the golden signal."""
    n_samples = facts.span_samples + (facts.n_warmup_hops + 9) * facts.hop_samples
    draft = Model(write(file, facts, network), "cpu", verify=False)
    frames, posteriors = draft.answer(golden_signal(seed, n_samples))
    golden = Golden(
        seed=seed,
        n_samples=n_samples,
        log_mel=frames.tobytes() if facts.log_mel else b"",
        posterior=posteriors.tobytes(),
    )
    return msgspec.structs.replace(facts, golden=golden)


def build(
    folder: Path,
    kind: Kind,
    which: Input,
    rewrite: Callable[[onnx.ModelProto], None] = lambda network: None,
    **changed: Any,
) -> Path:
    """Write a tiny model that gives its own golden answer, and return its file.

    `rewrite` may change the graph before, `changed` the manifest.
    """
    facts = manifest(kind, which, **changed)
    network = graph(facts)
    rewrite(network)
    file = folder / f"{facts.name}.onnx"
    return write(file, with_golden(file, facts, network), network)


def of_every_kind(folder: Path) -> dict[str, Model]:
    """Build a model of each kind and input, and return them by name with the shipped ones."""
    files = [build(folder, kind, which) for kind, which in product(get_args(Kind), get_args(Input))]
    files += [model_file(name) for name in ("yamnet", "speech")]
    return {model.manifest.name: model for model in (Model(file, "cpu") for file in files)}


def tone(n_samples: int, label: str, level: float = 0.5) -> Floats:
    """A sine at a label's frequency, shape (n_samples,)."""
    time = np.arange(n_samples) / SAMPLE_RATE
    return (level * np.sin(2 * np.pi * TONES[label] * time)).astype(np.float32)
