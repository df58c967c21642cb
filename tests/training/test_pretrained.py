"""A head on a frozen embedding: it learns, is calibrated, and its file answers as it does."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import soundfile
import torch
from onnx import TensorProto, helper, numpy_helper

from streamd.decision import DecisionSpec
from streamd.errors import DataError
from streamd.logmel import log_mel
from streamd.manifest import Golden, Manifest
from streamd.model import Model
from training.design import yamnet, yamnet_layers
from training.design.aged_windows import Drawn, ringing_out, windows
from training.design.export import traced
from training.design.head import Examples, fit_head
from training.design.pretrained import Embedding, examples, export_head
from training.expect.play import LabelledStream, play
from training.prepare.clips import Clip
from training.prepare.simulation.material import Sound

RATE = 16_000
N_SAMPLES = 8_000


def _sound(hz: float, source: str, label: str, seconds: float = 0.4) -> Sound:
    time = np.arange(round(seconds * RATE)) / RATE
    audio = (np.sin(2 * np.pi * hz * time) * np.exp(-time / 0.1)).astype(np.float32)
    return Sound(Clip(Path(f"{source}-{label}.wav"), label, 0.0, seconds, source, None), audio)


def _manifest(labels: tuple[str, ...]) -> Manifest:
    return Manifest(
        name="tones",
        version="1",
        licence="CC0-1.0",
        description="",
        labels=labels,
        default_labels=labels,
        kind="window",
        input="samples",
        sample_rate=RATE,
        log_mel=None,
        n_frames=N_SAMPLES,
        hop_frames=1_600,
        warmup_frames=N_SAMPLES,
        max_batch=None,
        onset_delay=0,
        offset_delay=0,
        decision=DecisionSpec(),
        label_decisions={},
        expected={},
        training={},
        golden=Golden(seed=0, n_samples=0, posterior=b""),
    )


@cache
def _graph() -> bytes:
    """How strongly some tones sound in a window of samples: an embedding that anybody can check."""
    time = np.arange(N_SAMPLES) / RATE
    tones = [np.exp(2j * np.pi * hz * time) for hz in np.geomspace(150, 6000, 24)]
    bank = np.stack([part for tone in tones for part in (tone.real, tone.imag)], axis=1).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["samples", "bank"], ["product"]),
        helper.make_node("Abs", ["product"], ["strength"]),
        helper.make_node("Add", ["strength", "offset"], ["above"]),
        helper.make_node("Log", ["above"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tones",
        [helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", N_SAMPLES])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", bank.shape[1]])],
        [numpy_helper.from_array(bank, "bank"), numpy_helper.from_array(np.array(0.1, np.float32), "offset")],
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString())


@cache
def _examples() -> Examples:
    pitches = {"low": (300, 320, 340, 310), "high": (1500, 1600, 1550, 1650)}
    sounds = [_sound(hz, f"kit{kit}", label) for label, four in pitches.items() for kit, hz in enumerate(four)]
    return examples(Embedding(_graph(), _manifest(("low", "high"))), sounds, ("low", "high"), seed=0)


def test_a_head_learns_to_tell_labels_and_none_apart() -> None:
    given = _examples()
    head = fit_head(given, 2, parts=(20, 28))
    posteriors = head.posteriors(given.embedding)
    asked = given.target < 2
    assert (posteriors[asked].argmax(axis=1) == given.target[asked]).mean() > 0.95
    assert posteriors[asked].max(axis=1).mean() > posteriors[~asked].max(axis=1).mean() + 0.2


def test_the_file_answers_as_the_head_does(tmp_path: Path) -> None:
    given = _examples()
    head = fit_head(given, 2, parts=(20, 28))
    path = tmp_path / "tones.onnx"
    export_head(_graph(), head, _manifest(("low", "high")), path)
    model = Model(path, "cpu")
    drawn = windows([_sound(320, "new", "low")], RATE, N_SAMPLES, seed=1)
    embedding = Embedding(_graph(), _manifest(("low", "high"))).of(drawn.audio)
    found = np.concatenate([model.run((row / np.float32(32768))[None], None)[0] for row in drawn.audio])
    np.testing.assert_allclose(found, head.posteriors(embedding), atol=1e-5)
    assert onnx.load(path).graph.output[0].name == "posterior"


def test_clips_of_one_group_are_refused() -> None:
    given = _examples()
    one = Examples(given.embedding, given.target, np.full(len(given.target), "kit0"))
    with pytest.raises(DataError, match="two groups"):
        fit_head(one, 2)


def test_windows_are_the_same_from_the_same_seed_and_ask_only_where_enough_was_heard() -> None:
    sounds = [_sound(300, "kit", "low", seconds=1.5)]
    once, again = (windows(sounds, RATE, N_SAMPLES, seed=3, drawn=Drawn(4, 2, 1)) for _ in range(2))
    np.testing.assert_array_equal(once.audio, again.audio)
    assert once.asked.tolist() == [True] * 4 + [False] * 3
    assert np.abs(once.audio[:4]).max(axis=1).min() > 1000


def test_the_layers_hear_the_very_bands_of_yamnet() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 3000, 32_000).astype(np.int16)
    frames = log_mel(noise, yamnet_layers.LOG_MEL)[:96]
    inner = yamnet_layers.LOG_MEL
    assert inner.n_mels == yamnet_layers.N_BELOW + yamnet.N_MELS + yamnet_layers.N_ABOVE
    layers = yamnet_layers.YamnetLayers()
    with torch.no_grad():
        embedding = layers(torch.from_numpy(frames)[None])
        first = yamnet_layers.N_BELOW
        window = torch.from_numpy(frames[:, first : first + yamnet.N_MELS])[None] - np.log(2)
        _, last = yamnet.load()(window)
    assert embedding.shape == (1, sum(layers.parts))
    # The last 1024 numbers are YAMNet's own embedding.
    torch.testing.assert_close(embedding[:, -1024:], last, atol=1e-4, rtol=1e-4)


@pytest.mark.timeout(400)  # an export takes ten seconds, and minutes beside other work
def test_a_head_on_yamnets_layers_hears_new_clips_through_the_detector(tmp_path: Path) -> None:
    rate = yamnet_layers.LOG_MEL.sample_rate
    rng = np.random.default_rng(0)

    def hit(label: str, kit: int) -> Sound:
        time = np.arange(rate // 2) / rate
        tone = np.sin(2 * np.pi * (150 + 10 * kit) * time) if label == "thud" else rng.standard_normal(len(time))
        audio = (0.3 * tone * np.exp(-time / 0.1)).astype(np.float32)
        return Sound(Clip(Path(f"{kit}-{label}.wav"), label, 0.0, 0.5, f"kit{kit}", None), audio)

    sounds = [hit(label, kit) for label in ("thud", "hiss") for kit in range(3)]
    draft = msgspec.structs.replace(_manifest(("thud", "hiss")), **yamnet_layers.window_facts())
    path = tmp_path / "hits.onnx"
    layers = yamnet_layers.YamnetLayers().eval()
    graph = traced(layers, draft, ("embedding",))
    head = fit_head(examples(Embedding(graph, draft), sounds, draft.labels, seed=0), 2, layers.parts)
    export_head(graph, head, draft, path)
    silence = np.zeros(rate, np.float32)
    streams = [
        LabelledStream(label, np.concatenate([silence, hit(label, 5).audio, silence]), ()) for label in ("thud", "hiss")
    ]
    thud, hiss = (played.posteriors.max(axis=0) for played in play(Model(path, "cpu"), streams))
    assert thud[0] > max(0.5, thud[1])
    assert hiss[1] > max(0.5, hiss[0])


def test_sounds_ring_out_up_to_the_next_one_and_keep_their_attack(tmp_path: Path) -> None:
    rate = 16_000
    time = np.arange(rate) / rate
    hit = (0.5 * np.sin(2 * np.pi * 400 * time) * np.exp(-time / 0.1)).astype(np.float32)
    path = tmp_path / "two-hits.wav"
    soundfile.write(path, np.concatenate([np.zeros(rate // 2, np.float32), hit, hit]), rate)
    clip = Clip(path, "low", 0.5, 0.7, "kit", None)
    sounds = [Sound(clip, hit[:3200]), Sound(replace(clip, onset_seconds=1.5, offset_seconds=1.7), hit[:3200])]
    first, second = ringing_out(sounds, rate)
    assert (first.clip.offset_seconds, second.clip.offset_seconds) == (1.5, 2.5)
    np.testing.assert_allclose(first.audio[80:], hit, atol=1e-3)
