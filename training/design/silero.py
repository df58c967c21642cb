"""Silero VAD, adopted: voice activity by the graph in the Python package silero-vad (MIT), as a stream of samples."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from streamd.decision import DecisionSpec
from streamd.errors import ModelError
from streamd.manifest import Golden, Manifest
from training.design.adopt import State, Wiring, adopt

SAMPLE_RATE = 16_000
HOP_SAMPLES = 512

WIRING = Wiring(
    input="input",
    posterior="output",
    states=(State(read="state", written="stateN", shape=(2, 128), batch_axis=1),),
    constants={"sr": np.array(SAMPLE_RATE, np.int64)},
    n_context=64,
)
"""As the package's own OnnxWrapper feeds it at 16 kHz."""


def packaged_graph() -> Path:
    """Return the graph in the installed package; ModelError if it is not installed."""
    found = importlib.util.find_spec("silero_vad")
    if found is None or found.origin is None:
        raise ModelError("silero-vad is not installed; pip install --no-deps silero-vad")
    return Path(found.origin).parent / "data" / "silero_vad.onnx"


def adopt_silero(graph: Path, path: Path, heard: NDArray[np.int16]) -> Manifest:
    """Write silero_vad.onnx of silero-vad 6 as a model file.

    Args:
        graph: the package's silero_vad/data/silero_vad.onnx.
        path: the .onnx to write.
        heard: a recording with speech (n_samples,) at 16 kHz, to measure the warm-up on.

    Raises:
        ModelError: it is another graph, or adoption fails.
    """
    manifest = Manifest(
        name="silero-vad",
        version="6",
        licence="MIT",
        description="Whether somebody speaks.",
        labels=("Speech",),
        default_labels=("Speech",),
        kind="stream",
        input="samples",
        sample_rate=SAMPLE_RATE,
        log_mel=None,
        n_frames=HOP_SAMPLES,
        hop_frames=HOP_SAMPLES,
        warmup_frames=HOP_SAMPLES,
        max_batch=None,
        n_state=WIRING.n_state,
        onset_delay=HOP_SAMPLES,
        offset_delay=0,
        # The package's defaults: 0.5, 0.15 less to end, at least 250 ms of speech, 100 ms of silence.
        decision=DecisionSpec(onset_threshold=0.5, offset_threshold=0.35, n_confirm=8, min_silence_seconds=0.1),
        label_decisions={},
        expected={"recall": "not measured here", "false_alarms": "not measured here", "delays": "not measured here"},
        training={"graph": "silero-vad, https://github.com/snakers4/silero-vad; MIT; copyright Silero Team"},
        golden=Golden(seed=0, n_samples=0, posterior=b""),
    )
    return adopt(onnx.load(graph), WIRING, manifest, path, heard)
