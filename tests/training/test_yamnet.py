"""The default model against YAMNet's own answers, and what a user relies on in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from streamd.logmel import log_mel  # noqa: E402
from streamd.model import Model, load_onnxruntime  # noqa: E402
from training.design import yamnet  # noqa: E402

ROOT = Path(__file__).parents[2]
FILE = ROOT / "models" / "yamnet" / "yamnet.onnx"
REFERENCE = ROOT / "tests" / "data" / "yamnet_reference.npz"
SIGNALS = ("chirp", "noise", "silence", "crow")
STEP = 48
"""Frames between two windows of the reference."""


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def model():
    return Model(FILE, "cpu")


def windows(frames, n_windows):
    return np.stack([frames[STEP * i : STEP * i + yamnet.N_FRAMES] for i in range(n_windows)])


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_network_gives_the_scores_and_embeddings_of_the_original(signal, reference):
    scores, embeddings = reference[f"{signal}/scores"], reference[f"{signal}/embeddings"]
    inputs = windows(reference[f"{signal}/log_mel"], len(scores))
    posterior, embedding = yamnet.load()(torch.from_numpy(inputs))
    np.testing.assert_allclose(posterior.numpy(), scores, atol=1e-5)
    np.testing.assert_allclose(embedding.numpy(), embeddings, atol=5e-5)


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_shipped_file_gives_the_scores_and_embeddings_of_the_original(signal, reference):
    scores, embeddings = reference[f"{signal}/scores"], reference[f"{signal}/embeddings"]
    inputs = windows(reference[f"{signal}/log_mel"], len(scores))
    session = load_onnxruntime().InferenceSession(FILE, providers=["CPUExecutionProvider"])
    posterior, embedding = session.run(["posterior", "embedding"], {"log_mel": inputs})
    np.testing.assert_allclose(posterior, scores, atol=1e-5)
    np.testing.assert_allclose(embedding, embeddings, atol=5e-5)


@pytest.mark.parametrize("signal", SIGNALS)
def test_from_the_waveform_the_scores_are_those_of_the_original(signal, reference, model):
    scores, waveform = reference[f"{signal}/scores"], reference[f"{signal}/waveform"]
    # The original pads a recording with silence to whole windows.
    whole = (STEP * (len(scores) - 1) + yamnet.N_FRAMES - 1) * 160 + 400
    padded = np.pad(waveform, (0, max(0, whole - len(waveform))))
    posterior, _ = model.run(windows(log_mel(padded, model.manifest.log_mel), len(scores)))
    np.testing.assert_allclose(posterior, scores, atol=2e-4)


def test_its_labels_are_those_of_the_class_map_in_order(model):
    assert model.manifest.labels == tuple(yamnet.labels())
    assert len(model.manifest.labels) == 521
