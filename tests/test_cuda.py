"""What runs on a GPU, run on the processor: the same graph, the same memory, the same batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from streamd import cuda
from streamd.cuda import LEAST_ROWS, DeviceRows
from streamd.device_graph import BEGINS, FRAMES, MEMORY, ROWS, SAMPLES, device_graph, n_remembered, n_tail
from streamd.errors import DeviceLostError
from streamd.logmel import log_mel
from streamd.model import Model, load_onnxruntime
from streamd.rows import Rows
from streamd.shipped import demo_file
from tests import tiny_models
from tests.sounds import uneven_noise

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    return tiny_models.of_every_kind(tmp_path_factory.mktemp("models"))


@settings(max_examples=15, deadline=None)
@given(name=st.sampled_from(tiny_models.NAMES), seed=st.integers(0, 99))
def test_it_answers_what_the_processors_rows_answer(models: dict[str, Model], name: str, seed: int) -> None:
    """Whatever the batches are, and whoever begins anew: age 0 is all that a source needs to begin."""
    facts = models[name].manifest
    there, here = DeviceRows(models[name], 8), Rows(models[name], 8)
    chance = np.random.default_rng(seed)
    for row in range(6):
        there.join(row), here.join(row)
    ages = np.zeros(6, np.int64)
    for turn in range(30):
        rows = chance.permutation(6)[: chance.integers(1, 7)]
        samples = np.stack([uneven_noise(facts.hop_samples, 1000 * seed + 10 * turn + int(row)) for row in rows])
        found, expected = there.run(rows, samples, ages[rows]), here.run(rows, samples, ages[rows])
        known = ages[rows] >= facts.n_cold_hops
        np.testing.assert_allclose(found[known], expected[known], atol=1e-4)
        ages[rows] += 1
        if chance.random() < 0.2:
            ages[chance.integers(6)] = 0


@pytest.mark.parametrize("name", ["speech", "yamnet"])
def test_the_shipped_models_answer_the_same_with_their_log_mel_in_the_graph(
    models: dict[str, Model], name: str
) -> None:
    facts = models[name].manifest
    there, here = DeviceRows(models[name], 4), Rows(models[name], 4)
    for row in range(3):
        there.join(row), here.join(row)
    for age in range(facts.n_cold_hops + facts.n_warmup_hops + 6):
        samples = np.stack([uneven_noise(facts.hop_samples, 10 * age + row) for row in range(3)])
        ages = np.full(3, age)
        found, expected = there.run(np.arange(3), samples, ages), here.run(np.arange(3), samples, ages)
        if age >= facts.n_cold_hops:
            np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["speech", "yamnet"])
def test_the_graphs_log_mel_is_the_daemons(models: dict[str, Model], name: str) -> None:
    """At most 0.05 dB off, on noise and on the demo recording's sounds: float32 against a float64 transform."""
    import soundfile

    facts = models[name].manifest
    assert facts.log_mel is not None
    demo = soundfile.read(demo_file("demo.flac"), dtype="float32")[0]
    for audio in (uneven_noise(40 * facts.hop_samples, 3), demo):
        graph = onnx.load_from_string(device_graph(models[name].file.read_bytes(), facts))
        graph.graph.output.append(helper.make_tensor_value_info(FRAMES, TensorProto.FLOAT, None))
        session = load_onnxruntime().InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        hop, tail = facts.hop_samples, n_tail(facts)
        worst = 0.0
        for begin in range(0, len(audio) - hop - tail, hop):
            memory = np.zeros((1, n_remembered(facts)), np.float32)
            memory[0, :tail] = audio[begin : begin + tail]
            feeds = {SAMPLES: audio[None, begin + tail : begin + tail + hop], MEMORY: memory}
            feeds |= {ROWS: np.zeros(1, np.int64), BEGINS: np.ones((1, 1), np.bool_)}
            [found] = session.run([FRAMES], feeds)
            expected = log_mel(audio[begin : begin + tail + hop], facts.log_mel)[-facts.hop_frames :]
            worst = max(worst, float(np.abs(found[0] - expected).max()))
        assert worst * facts.log_mel.decibels_per_unit < 0.05


def test_more_sources_than_there_was_room_for_keep_what_they_know(models: dict[str, Model]) -> None:
    model = models["tiny-stream-log_mel"]
    facts = model.manifest
    there, alone = DeviceRows(model, 4), Rows(model, 4)
    there.join(0), alone.join(0)
    for age in range(12):
        if age == 6:
            for row in range(1, LEAST_ROWS + 3):
                there.join(row)
        samples, ages = uneven_noise(facts.hop_samples, age)[None], np.array([age])
        found, expected = there.run(np.array([0]), samples, ages), alone.run(np.array([0]), samples, ages)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_failing_run_says_that_the_device_is_lost(models: dict[str, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    model = models["tiny-stream-log_mel"]
    there = DeviceRows(model, 4)
    there.join(0)
    monkeypatch.setattr(there, "_session", None)
    there._batches.clear()
    with pytest.raises(DeviceLostError, match=r"tiny-stream-log_mel.*can't run a batch of 1"):
        there.run(np.array([0]), np.zeros((1, model.manifest.hop_samples), np.float32), np.zeros(1, np.int64))


def test_a_full_device_says_so_when_it_runs_and_not_when_a_source_joins(
    models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run has somebody who tries again on another device; a source that begins has not."""
    model = models["tiny-stream-log_mel"]
    there = DeviceRows(model, 4)

    def refuse(n_rows: int) -> None:
        raise RuntimeError("CUDA failure 2: out of memory")

    monkeypatch.setattr(there, "_allocate", refuse)
    there.join(LEAST_ROWS)
    with pytest.raises(DeviceLostError, match=rf"can't hold {2 * LEAST_ROWS} sources: CUDA failure 2: out of memory"):
        there.run(np.array([LEAST_ROWS]), np.zeros((1, model.manifest.hop_samples), np.float32), np.zeros(1, np.int64))


def test_a_session_that_cannot_be_opened_is_a_lost_device(
    models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(graph: bytes, provider: str) -> None:
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")

    monkeypatch.setattr(cuda, "open_session", refuse)
    with pytest.raises(DeviceLostError, match="can't open a session: CUDA failure 700"):
        DeviceRows(models["tiny-stream-log_mel"], 4)


def test_a_window_of_one_hop_of_samples_has_nothing_to_remember(tmp_path: Path) -> None:
    model = Model(tiny_models.build(tmp_path, "window", "samples", n_frames=320, hop_frames=320, warmup_frames=320))
    there, here = DeviceRows(model, 2), Rows(model, 2)
    for row in range(2):
        there.join(row), here.join(row)
    for age in range(3):
        samples = np.stack([uneven_noise(320, 10 * age + row) for row in range(2)])
        ages = np.full(2, age)
        expected = here.run(np.arange(2), samples, ages)
        np.testing.assert_allclose(there.run(np.arange(2), samples, ages), expected, atol=1e-4)


def test_answers_stay_what_they_were_when_later_ones_are_made(models: dict[str, Model]) -> None:
    model = models["speech"]
    there = DeviceRows(model, 2)
    there.join(0)
    answers = []
    for age in range(12):
        answers.append(there.run(np.array([0]), uneven_noise(model.manifest.hop_samples, age)[None], np.array([age])))
    assert len({answer.tobytes() for answer in answers}) == 12
