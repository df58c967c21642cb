"""Foreign graphs in the shell of the contract: silero-vad gives the scores of its own package."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from streamd.detector import Detector  # noqa: E402
from streamd.errors import ModelError  # noqa: E402
from streamd.logmel import LogMelSpec  # noqa: E402
from streamd.model import Model  # noqa: E402
from tests.training.voice import voice  # noqa: E402
from training.design.adopt import State, Wiring, adopt  # noqa: E402
from training.design.silero import HOP_SAMPLES, WIRING, adopt_silero, packaged_graph  # noqa: E402

REFERENCE = Path(__file__).parents[1] / "data" / "yamnet_reference.npz"
LIMITS = onnx.helper.make_tensor_value_info


@pytest.fixture(scope="module")
def graph():
    try:
        return packaged_graph()
    except ModelError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def heard():
    """A voice made by formula, and a real crow in the middle of it."""
    samples = voice(30.0)
    with np.load(REFERENCE) as arrays:
        crow = np.rint(arrays["crow/waveform"] * 32767).astype(np.int16)
    samples[200_000 : 200_000 + len(crow)] = crow
    return samples


@pytest.fixture(scope="module")
def silero(graph, heard, tmp_path_factory):
    path = tmp_path_factory.mktemp("silero") / "silero.onnx"
    adopt_silero(graph, path, heard)
    return Model(path, "cpu")


@pytest.fixture(scope="module")
def own_scores(graph, heard):
    """What the package's own code says of the recording, hop by hop."""
    from silero_vad.utils_vad import OnnxWrapper

    package = OnnxWrapper(str(graph), force_onnx_cpu=True)
    hops = heard[: len(heard) // HOP_SAMPLES * HOP_SAMPLES].reshape(-1, HOP_SAMPLES) / np.float32(32768)
    scores = np.array([package(torch.from_numpy(hop), 16_000).item() for hop in hops])
    assert 0.2 < np.mean(scores > 0.5) < 0.8  # else the comparison would prove little
    return scores


def test_the_adopted_graph_gives_the_scores_of_its_own_package(silero, heard, own_scores):
    facts = silero.manifest
    assert (facts.kind, facts.input, facts.n_state) == ("stream", "samples", 64 + 2 * 128)
    _, posteriors = silero.answer(heard)
    np.testing.assert_allclose(posteriors[:, 0], own_scores[facts.n_warmup_hops :], atol=1e-5)


def test_the_detector_gives_them_too_for_two_sources_in_any_blocks(silero, heard, own_scores):
    detector = Detector(silero)
    posteriors = {"kitchen": [], "porch": []}
    for source in posteriors:
        detector.start(source)
    for begin in range(0, len(heard), 1000):
        detector.push("kitchen", heard[begin : begin + 1000])
        if begin % 7000 == 6000:
            detector.push("porch", heard[begin - 6000 : begin + 1000])
        for hop in detector.step():
            posteriors[hop.source].append(hop.posteriors[0])
    warm = silero.manifest.n_warmup_hops
    for found in posteriors.values():
        np.testing.assert_allclose(found, own_scores[warm : warm + len(found)], atol=1e-5)
        assert len(found) > 800


def test_its_warm_up_is_measured_and_shorter_than_two_seconds(silero):
    assert 0 < silero.manifest.n_warmup_hops * silero.manifest.hop_seconds < 2


def test_a_wiring_that_forgets_an_input_is_told_which(graph, silero, tmp_path):
    wiring = Wiring(input="input", posterior="output", states=WIRING.states)
    with pytest.raises(ModelError, match=r"graph with inputs \['input', 'sr', 'state'\]; the wiring has"):
        adopt(onnx.load(graph), wiring, silero.manifest, tmp_path / "silero.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_window_is_adopted_by_its_names_alone(silero, tmp_path):
    nodes = [
        onnx.helper.make_node("ReduceMean", ["mel", "axis"], ["row"], keepdims=0),
        onnx.helper.make_node("Mul", ["row", "slope"], ["scaled"]),
        onnx.helper.make_node("Sigmoid", ["scaled"], ["scores"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array([1]), "axis"),
        onnx.numpy_helper.from_array(np.float32(0.02), "slope"),
    ]
    graph = onnx.helper.make_graph(
        nodes, "loudness", [LIMITS("mel", 1, ["n", 10, 2])], [LIMITS("scores", 1, ["n", 2])], constants
    )
    foreign = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    facts = msgspec.structs.replace(
        silero.manifest,
        name="loudness",
        labels=("Low", "High"),
        default_labels=(),
        kind="window",
        input="log_mel",
        log_mel=LogMelSpec(n_mels=2),
        n_frames=10,
        hop_frames=5,
        warmup_frames=10,
        n_state=0,
    )
    adopt(foreign, Wiring(input="mel", posterior="scores"), facts, tmp_path / "loudness.onnx")
    model = Model(tmp_path / "loudness.onnx", "cpu")
    frames = np.random.default_rng(0).uniform(-70, 0, (3, 10, 2)).astype(np.float32)
    expected = 1 / (1 + np.exp(-0.02 * frames.mean(axis=1)))
    np.testing.assert_allclose(model.run(frames)[0], expected, atol=1e-6)


def test_states_of_any_shape_come_back_from_the_row(silero, heard, tmp_path):
    """Two sums of all samples heard, one with its batch axis last: the row must not mix them up."""
    nodes = [
        onnx.helper.make_node("ReduceMean", ["x", "axis"], ["mean"], keepdims=1),
        onnx.helper.make_node("Mul", ["a", "decay"], ["fading"]),
        onnx.helper.make_node("Add", ["fading", "mean"], ["a_next"]),
        onnx.helper.make_node("Transpose", ["mean"], ["turned"], perm=[1, 0]),
        onnx.helper.make_node("Sub", ["b", "turned"], ["b_next"]),
        onnx.helper.make_node("Sigmoid", ["a_next"], ["wide"]),
        onnx.helper.make_node("ReduceMean", ["wide", "axis"], ["score"], keepdims=1),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array([1]), "axis"),
        onnx.numpy_helper.from_array(np.float32(0.5), "decay"),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "sums",
        [LIMITS("x", 1, ["n", 100]), LIMITS("a", 1, ["n", 3]), LIMITS("b", 1, [2, "n"])],
        [LIMITS("score", 1, ["n", 1]), LIMITS("a_next", 1, ["n", 3]), LIMITS("b_next", 1, [2, "n"])],
        constants,
    )
    foreign = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    wiring = Wiring(
        input="x",
        posterior="score",
        states=(State("a", "a_next", (3,)), State("b", "b_next", (2,), batch_axis=1)),
    )
    facts = msgspec.structs.replace(
        silero.manifest, name="sums", n_frames=100, hop_frames=100, warmup_frames=100, n_state=wiring.n_state
    )
    adopt(foreign, wiring, facts, tmp_path / "sums.onnx", heard)
    model = Model(tmp_path / "sums.onnx", "cpu")
    inputs = np.random.default_rng(0).normal(size=(2, 100)).astype(np.float32)
    before = np.arange(10, dtype=np.float32).reshape(2, 5)
    _, after = model.run(inputs, before)
    mean = inputs.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(after, np.hstack([before[:, :3] / 2 + mean, before[:, 3:] - mean]), atol=1e-6)
