"""openWakeWord's graphs as one stream model say what they say by hand, and what openWakeWord's own code says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

onnx = pytest.importorskip("onnx")

from examples.openwakeword.adopt import adopt_openwakeword  # noqa: E402
from examples.openwakeword.facts import HOP_SAMPLES, SPEC  # noqa: E402
from examples.openwakeword.graphs import packaged_graph  # noqa: E402
from examples.openwakeword.head import write_head  # noqa: E402
from streamd.detector import Detector  # noqa: E402
from streamd.errors import ModelError  # noqa: E402
from streamd.logmel import tables  # noqa: E402
from streamd.model import Model, load_onnxruntime  # noqa: E402
from tests.training.voice import voice  # noqa: E402

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv" / "peers" / "detectors" / "bin" / "python"


@pytest.fixture(scope="module", autouse=True)
def _package():
    try:
        packaged_graph("melspectrogram")
    except ModelError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def heard():
    """Noise, a voice made by formula and a real crow, then digital silence, where decibels are cut off."""
    samples = voice(12.0)
    with np.load(ROOT / "tests" / "data" / "yamnet_reference.npz") as arrays:
        crow = np.rint(arrays["crow/waveform"] * 32767).astype(np.int16)
    samples[100_000 : 100_000 + len(crow)] = crow
    samples[140_000:160_000] = 0
    return samples[: len(samples) // HOP_SAMPLES * HOP_SAMPLES]


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    path = tmp_path_factory.mktemp("head") / "stand-in.onnx"
    write_head(path)
    return path


@pytest.fixture(scope="module")
def by_hand(heard, head):
    """The scores of the three graphs with the buffers that openWakeWord has around them, hop by hop."""
    runtime = load_onnxruntime()
    graphs = (packaged_graph("melspectrogram"), packaged_graph("embedding_model"), onnx.load(head))
    mel, embedding, last = (
        runtime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"]) for graph in graphs
    )
    frames, embeddings, scores = np.ones((76, 32), np.float32), np.zeros((16, 96), np.float32), []
    for end in range(HOP_SAMPLES, len(heard) + 1, HOP_SAMPLES):
        new = heard[max(0, end - HOP_SAMPLES - 480) : end].astype(np.float32)
        decibels = mel.run(None, {"input": new[None]})[0].reshape(-1, 32)
        frames = np.concatenate([frames, decibels / 10 + 2])[-76:].astype(np.float32)
        vector = embedding.run(None, {"input_1": frames[None, :, :, None]})[0].reshape(1, 96)
        embeddings = np.concatenate([embeddings, vector])[-16:]
        scores.append(last.run(None, {"embeddings": embeddings[None]})[0].item())
    assert 0.2 < np.mean(np.array(scores) > 0.25) < 0.8  # else the comparison would prove little
    return np.array(scores)


@pytest.fixture(scope="module")
def adopted(head, tmp_path_factory):
    """Give the model in a form."""
    folder = tmp_path_factory.mktemp("adopted")

    def made(form):
        path = folder / f"{form}.onnx"
        if not path.exists():
            adopt_openwakeword(head, path, "Stand-in", form)
        return Model(path, "cpu")

    return made


@pytest.fixture(params=["as-they-are", "new-frames"])
def model(request, adopted):
    return adopted(request.param)


def test_the_model_gives_the_scores_of_the_three_graphs(model, heard, by_hand):
    facts = model.manifest
    assert (facts.kind, facts.input, facts.max_batch) == ("stream", "samples", 1)
    _, posteriors = model.answer(heard)
    np.testing.assert_allclose(posteriors[:, 0], by_hand[facts.n_warmup_hops :], atol=1e-5)


def test_the_detector_gives_them_too_for_two_sources_in_any_blocks(model, heard, by_hand):
    detector = Detector(model)
    found = {"kitchen": [], "porch": []}
    for source in found:
        detector.start(source)
    for begin in range(0, len(heard), 1000):
        detector.push("kitchen", heard[begin : begin + 1000])
        if begin % 7000 == 6000:
            detector.push("porch", heard[begin - 6000 : begin + 1000])
        for hop in detector.step():
            found[hop.source].append(hop.posteriors[0])
    warm = model.manifest.n_warmup_hops
    for scores in found.values():
        assert len(scores) > 100
        np.testing.assert_allclose(scores, by_hand[warm : warm + len(scores)], atol=1e-5)


def test_our_log_mel_has_the_window_and_the_filters_of_the_mel_graph():
    weights = {one.name: onnx.numpy_helper.to_array(one) for one in packaged_graph("melspectrogram").graph.initializer}
    found = tables(SPEC)
    np.testing.assert_allclose(found.mel, weights["1.melW"], atol=1e-8)
    # The real part of the lowest bin is the window itself: 400 samples in the middle of 512.
    np.testing.assert_allclose(found.window, weights["0.stft.conv_real.weight"][0, 0, 56:456], atol=1e-7)


def test_behind_our_log_mel_the_scores_are_those_of_audio_184_samples_later(adopted, heard, by_hand):
    """The mel graph leaves out the newest 184 samples of a hop; on frames of the same samples both say the same."""
    model = adopted("log-mel")
    # Its second hop begins its frames at sample 56 + 800, and the first of ours begins with the audio.
    _, posteriors = model.answer(heard[2 * HOP_SAMPLES - 480 - HOP_SAMPLES + 56 :])
    expected = by_hand[1 + model.manifest.n_warmup_hops :]
    np.testing.assert_allclose(posteriors[: len(expected), 0], expected[: len(posteriors)], atol=1e-4)


def test_before_its_first_score_it_has_forgotten_how_it_began(model, heard):
    """The warm-up is no longer than needed, and no shorter: a hop less, and the begin is still heard."""
    facts = model.manifest
    state = np.random.default_rng(0).normal(0, 3, (1, facts.n_state)).astype(np.float32)
    cold = model.initial_state(1)
    distances = []
    for hop in heard[: (facts.n_warmup_hops + 2) * HOP_SAMPLES].reshape(-1, 1, HOP_SAMPLES):
        samples = hop.astype(np.float32) / 32768
        (one, state), (other, cold) = model.run(samples, state), model.run(samples, cold)
        distances.append(float(np.abs(one - other).max()))
    assert max(distances[facts.n_warmup_hops :]) == 0
    assert distances[facts.n_warmup_hops - 2] > 1e-4


def test_openwakewords_own_code_says_the_same(model, heard, head, tmp_path):
    if not PEERS.exists():
        pytest.skip(f"no openWakeWord in {PEERS}; benchmarks/peers/make_venv.sh installs it (600 MB)")
    recording = tmp_path / "heard.wav"
    soundfile.write(recording, heard, 16_000, subtype="PCM_16")
    command = [PEERS, ROOT / "benchmarks" / "peers" / "hear.py", "openwakeword", head, recording]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    scores = np.array(json.loads(said.splitlines()[-1]))
    _, posteriors = model.answer(heard)
    np.testing.assert_allclose(posteriors[:, 0], scores[model.manifest.n_warmup_hops :], atol=1e-4)


def test_a_head_that_knows_only_its_word_is_adopted_too(head, tmp_path, monkeypatch):
    """A ready head gives next to nothing to golden signals, which are no word. (All 500 of them take 20 s.)"""
    monkeypatch.setattr("training.design.export.N_GOLDEN_SIGNALS", 5)
    proto = onnx.load(head)
    (bias,) = [tensor for tensor in proto.graph.initializer if tensor.name == "bias3"]
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(1, -6, np.float32), "bias3"))
    onnx.save(proto, tmp_path / "deaf.onnx")
    assert adopt_openwakeword(tmp_path / "deaf.onnx", tmp_path / "wake.onnx", "Hey you").labels == ("Hey you",)


def test_a_head_of_other_ends_is_refused_in_a_line(tmp_path):
    proto = packaged_graph("embedding_model")
    proto.graph.output.append(proto.graph.output[0])
    onnx.save(proto, tmp_path / "two.onnx")
    with pytest.raises(ModelError, match="head: graph with inputs: 1, outputs: 2; expected one each"):
        adopt_openwakeword(tmp_path / "two.onnx", tmp_path / "wake.onnx", "Hey you")
