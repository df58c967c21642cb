"""A model file is opened, proved by its own golden answer and run; or refused with one clear line."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from streamd import manifest as manifests
from streamd.errors import DeviceError, ModelError
from streamd.logmel import log_mel
from streamd.manifest import Manifest
from streamd.model import Model, load_onnxruntime
from tests import tiny_models
from tests.tiny_models import LOUD_DB, SPEC, TONES, Input, Kind, tone

KINDS: list[tuple[Kind, Input]] = [
    ("window", "log_mel"),
    ("window", "samples"),
    ("stream", "log_mel"),
    ("stream", "samples"),
]
every_kind = pytest.mark.parametrize(("kind", "which"), KINDS)


def refusal(file: Path) -> str:
    """The line with which a file is refused, after its own name."""
    with pytest.raises(ModelError) as error:
        Model(file, "cpu")
    line = str(error.value)
    assert "\n" not in line
    assert line.startswith(f"{file}: ")
    return line.removeprefix(f"{file}: ")


def rewritten(file: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """The same file after a change to what the onnx package sees in it."""
    network = onnx.load(file)
    change(network)
    file.write_bytes(network.SerializeToString())
    return file


def with_facts(file: Path, change: Callable[[Manifest], Manifest]) -> Path:
    """The same file with another manifest."""
    network = onnx.load(file)
    (text,) = [pair.value for pair in network.metadata_props]
    return tiny_models.write(file, change(manifests.decode(text)), network)


@every_kind
def test_both_kinds_with_both_inputs_load_and_run(kind: Kind, which: Input, tmp_path: Path) -> None:
    file = tiny_models.build(tmp_path, kind, which)
    model = Model(file)
    facts = model.manifest
    assert facts.name == f"tiny-{kind}-{which}"
    assert model.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert model.run_seconds > 0
    shape = (5, facts.n_frames, SPEC.n_mels) if which == "log_mel" else (5, facts.n_frames)
    inputs = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    state = model.initial_state(5) if kind == "stream" else None
    posteriors, new_state = model.run(inputs, state)
    assert posteriors.shape == (5, len(TONES))
    assert posteriors.dtype == np.float32
    assert (new_state is None) == (kind == "window")
    if new_state is not None:
        assert new_state.shape == (5, facts.n_state)


@every_kind
def test_the_answer_to_a_recording_has_each_sound_where_it_is(kind: Kind, which: Input, tmp_path: Path) -> None:
    model = Model(tiny_models.build(tmp_path, kind, which), "cpu")
    quiet = np.zeros(4_000, np.float32)
    recording = np.concatenate([part for label in TONES for part in (quiet, tone(4_000, label))])
    frames, posteriors = model.answer(recording)
    facts = model.manifest
    width = SPEC.win_length if which == "log_mel" else 1
    step = SPEC.hop_length if which == "log_mel" else 1
    assert len(frames) == (len(recording) - width) // step + 1
    ends = [
        (facts.n_frames - 1 + (hop + facts.n_warmup_hops) * facts.hop_frames) * step + width
        for hop in range(len(posteriors))
    ]
    assert ends[-1] <= len(recording) < ends[-1] + facts.hop_samples
    for label in range(len(TONES)):
        for end, posterior in zip(ends, posteriors, strict=True):
            since = end - (4_000 + label * 8_000)
            if 2_000 <= since <= 4_000:
                assert posterior[label] > 0.8
                assert np.delete(posterior, label).max() < 0.2
            if 6_000 <= since <= 8_000:
                assert posterior.max() < 0.2


def test_the_answer_is_what_numpy_makes_of_the_graph(tmp_path: Path) -> None:
    model = Model(tiny_models.build(tmp_path, "window", "log_mel"), "cpu")
    facts = model.manifest
    recording = np.random.default_rng(0).normal(0, 0.1, 20_000).astype(np.float32)
    _, posteriors = model.answer(recording)
    full = [log_mel(tone(8_000, label, 1.0), SPEC).mean(axis=0) for label in TONES]
    frames = log_mel(recording, SPEC)
    for hop, posterior in enumerate(posteriors):
        mean = frames[hop * facts.hop_frames :][: facts.n_frames].mean(axis=0)
        level = np.array([mean[unit.argmax()] - unit.max() for unit in full])
        np.testing.assert_allclose(posterior, 1 / (1 + np.exp(-(level - LOUD_DB) / 6)), atol=1e-5)


def test_int16_and_float_samples_give_one_answer(tmp_path: Path) -> None:
    model = Model(tiny_models.build(tmp_path, "stream", "samples"), "cpu")
    samples = (tone(9_000, "High tone") * 32768).astype(np.int16)
    for one, other in zip(model.answer(samples), model.answer(samples / np.float32(32768)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_recording_that_is_too_short_has_no_answer(tmp_path: Path) -> None:
    model = Model(tiny_models.build(tmp_path, "stream", "log_mel"), "cpu")
    facts = model.manifest
    too_short = facts.span_samples + facts.n_warmup_hops * facts.hop_samples - 1
    assert model.answer(np.zeros(too_short, np.float32))[1].shape == (0, len(TONES))
    assert model.answer(np.zeros(too_short + 1, np.float32))[1].shape == (1, len(TONES))
    assert model.answer(np.zeros(0, np.float32))[1].shape == (0, len(TONES))


# Files that are no model.


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.onnx") == "can't be read (No such file or directory); expected a model file (.onnx)"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "can't be read (Is a directory); expected a model file (.onnx)"


@pytest.mark.parametrize("content", [b"", b"not a model\n", b"RIFF\x24\x00\x00\x00WAVEfmt ", b"\x00" * 4096])
def test_a_file_that_is_no_onnx_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "other.onnx"
    file.write_bytes(content)
    assert "ONNX file" in refusal(file)


@every_kind
def test_a_file_truncated_anywhere_is_refused(kind: Kind, which: Input, tmp_path: Path) -> None:
    file = tiny_models.build(tmp_path, kind, which)
    data = file.read_bytes()
    for length in [*range(0, len(data), len(data) // 40), *range(len(data) - 5, len(data))]:
        file.write_bytes(data[:length])
        assert refusal(file)


def test_an_onnx_file_without_a_manifest_is_refused(tmp_path: Path) -> None:
    file = rewritten(tiny_models.build(tmp_path, "window", "log_mel"), lambda onnx: onnx.ClearField("metadata_props"))
    assert refusal(file) == "ONNX file without a manifest; wrap it with training/design/adopt.py"


def with_text(file: Path, change: Callable[[str], str]) -> Path:
    def replace(network: onnx.ModelProto) -> None:
        network.metadata_props[0].value = change(network.metadata_props[0].value)

    return rewritten(file, replace)


def test_a_manifest_of_another_format_is_refused(tmp_path: Path) -> None:
    file = tiny_models.build(tmp_path, "window", "log_mel")
    with_text(file, lambda text: text.replace('"format":1', '"format":2'))
    assert refusal(file) == "manifest of format 2; this version reads 1: use a newer streamd"


def test_a_manifest_that_lacks_a_field_is_refused_and_the_field_named(tmp_path: Path) -> None:
    file = tiny_models.build(tmp_path, "window", "log_mel")
    with_text(file, lambda text: text.replace('"sample_rate"', '"rate"', 1))
    assert "missing required field `sample_rate`" in refusal(file)


def test_external_data_is_refused_before_anything_follows_it(tmp_path: Path) -> None:
    file = tiny_models.build(tmp_path, "window", "log_mel")
    network = onnx.load(file)
    onnx.save_model(network, file, save_as_external_data=True, location="weights", size_threshold=0)
    assert "weights lie outside the file" in refusal(file)


# Graphs that break the contract.


def change_shape(where: str, name: str, *shape: int | str) -> Callable[[onnx.ModelProto], None]:
    def change(network: onnx.ModelProto) -> None:
        for value in getattr(network.graph, where):
            if value.name == name:
                value.CopyFrom(helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, shape))

    return change


def fewer_labels(facts: Manifest) -> Manifest:
    return msgspec.structs.replace(facts, labels=facts.labels[:2], default_labels=())


def longer_window(facts: Manifest) -> Manifest:
    return msgspec.structs.replace(facts, n_frames=16, warmup_frames=16)


def longer_state(facts: Manifest) -> Manifest:
    return msgspec.structs.replace(facts, n_state=4, initial_state=b"")


def more_bands(facts: Manifest) -> Manifest:
    spec = msgspec.structs.replace(SPEC, n_mels=20)
    return msgspec.structs.replace(facts, log_mel=spec)


@pytest.mark.parametrize(
    ("kind", "change", "line"),
    [
        ("window", fewer_labels, "output posterior of shape ['batch', 3]; expected a free batch axis and (2,)"),
        ("window", longer_window, "input log_mel of shape ['batch', 15, 16]; expected a free batch axis and (16, 16)"),
        ("window", more_bands, "input log_mel of shape ['batch', 15, 16]; expected a free batch axis and (15, 20)"),
        ("stream", longer_state, "input state of shape ['batch', 3]; expected a free batch axis and (4,)"),
    ],
)
def test_shapes_that_are_not_those_of_the_manifest_are_refused(
    kind: Kind, change: Callable[[Manifest], Manifest], line: str, tmp_path: Path
) -> None:
    assert refusal(with_facts(tiny_models.build(tmp_path, kind, "log_mel"), change)) == line


def test_a_fixed_batch_is_refused_unless_the_manifest_says_one(tmp_path: Path) -> None:
    def fix(network: onnx.ModelProto) -> None:
        change_shape("input", "log_mel", 1, 15, 16)(network)
        change_shape("output", "posterior", 1, 3)(network)

    file = rewritten(tiny_models.build(tmp_path, "window", "log_mel"), fix)
    assert refusal(file) == "input log_mel of shape [1, 15, 16]; expected a free batch axis and (15, 16)"
    file = rewritten(tiny_models.build(tmp_path, "window", "log_mel", max_batch=1), fix)
    assert Model(file, "cpu").manifest.max_batch == 1


def test_a_graph_that_secretly_takes_one_row_is_refused(tmp_path: Path) -> None:
    """Its inputs promise a free batch axis; padding of one row inside doesn't keep the promise."""

    def pad(network: onnx.ModelProto) -> None:
        network.graph.initializer.append(numpy_helper.from_array(np.array([2, 16], np.int64), "two_frames"))
        network.graph.node[0].input[0] = "padded"
        nodes = [
            helper.make_node("Shape", ["log_mel"], ["rows"], start=0, end=1),
            helper.make_node("Div", ["rows", "rows"], ["one"]),  # no shape inference sees through this
            helper.make_node("Concat", ["one", "two_frames"], ["shape"], axis=0),
            helper.make_node("ConstantOfShape", ["shape"], ["padding"]),
            helper.make_node("Concat", ["padding", "log_mel"], ["padded"], axis=1),
        ]
        for node in reversed(nodes):
            network.graph.node.insert(0, node)

    file = tiny_models.build(tmp_path, "window", "log_mel", pad, max_batch=1)
    assert Model(file, "cpu").manifest.max_batch == 1
    with_facts(file, lambda facts: msgspec.structs.replace(facts, max_batch=None))
    assert refusal(file).startswith("onnxruntime can't run a batch of 2: ")


def test_a_graph_that_loses_a_row_is_refused(tmp_path: Path) -> None:
    def keep_the_first(network: onnx.ModelProto) -> None:
        network.graph.node[-1].output[0] = "of_all"
        network.graph.node.append(helper.make_node("Shape", ["log_mel"], ["rows"], start=0, end=1))
        network.graph.node.append(helper.make_node("Sub", ["rows", "rows"], ["none"]))
        network.graph.node.append(helper.make_node("Div", ["rows", "rows"], ["one"]))
        network.graph.node.append(helper.make_node("Slice", ["of_all", "none", "one"], ["posterior"]))

    file = rewritten(tiny_models.build(tmp_path, "window", "log_mel"), keep_the_first)
    assert refusal(file) == "a batch of 2 gives 1 rows of posteriors; its manifest needs max_batch 1"


def rename(where: str, old: str, new: str) -> Callable[[onnx.ModelProto], None]:
    def change(network: onnx.ModelProto) -> None:
        for value in getattr(network.graph, where):
            value.name = value.name.replace(old, new)
        for node in network.graph.node:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]

    return change


@pytest.mark.parametrize(
    ("where", "old", "new", "line"),
    [
        ("input", "log_mel", "mel", "graph without input 'log_mel'; it has mel, state"),
        ("input", "state", "hidden", "graph without input 'state'; it has log_mel, hidden"),
        ("output", "posterior", "scores", "graph without output 'posterior'; it has scores, state_out"),
    ],
)
def test_a_name_that_is_not_the_contracts_is_refused(where: str, old: str, new: str, line: str, tmp_path: Path) -> None:
    assert refusal(rewritten(tiny_models.build(tmp_path, "stream", "log_mel"), rename(where, old, new))) == line


def test_an_input_that_nobody_feeds_is_refused(tmp_path: Path) -> None:
    def add(network: onnx.ModelProto) -> None:
        network.graph.input.append(helper.make_tensor_value_info("sr", TensorProto.INT64, []))
        network.graph.node.append(helper.make_node("Identity", ["sr"], ["unused"]))

    file = rewritten(tiny_models.build(tmp_path, "window", "samples"), add)
    assert refusal(file) == "graph with further inputs ['sr']; the contract has samples"


def test_numbers_that_are_no_float32_are_refused(tmp_path: Path) -> None:
    def double(network: onnx.ModelProto) -> None:
        network.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
        rename("initializer", "posterior", "single")(network)
        network.graph.node[-1].output[0] = "single"
        network.graph.node.append(helper.make_node("Cast", ["single"], ["posterior"], to=TensorProto.DOUBLE))

    file = rewritten(tiny_models.build(tmp_path, "window", "log_mel"), double)
    assert refusal(file) == "output posterior is a tensor(double); expected tensor(float)"


def test_an_operator_that_onnxruntime_lacks_is_refused(tmp_path: Path) -> None:
    def strange(network: onnx.ModelProto) -> None:
        network.graph.node[-1].op_type = "Telepathy"

    file = rewritten(tiny_models.build(tmp_path, "window", "log_mel"), strange)
    assert refusal(file).startswith("onnxruntime refuses it: ")


def test_an_embedding_beside_the_posterior_is_welcome(tmp_path: Path) -> None:
    def add(network: onnx.ModelProto) -> None:
        network.graph.output.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 3]))
        network.graph.node.append(helper.make_node("Identity", ["logit"], ["embedding"]))

    Model(rewritten(tiny_models.build(tmp_path, "window", "log_mel"), add), "cpu")


# Golden answers.


def swap_bands(network: onnx.ModelProto) -> None:
    """Feed the network two of its mel bands in each other's place."""
    order = np.arange(SPEC.n_mels)
    bands = [int(log_mel(tone(8_000, label), SPEC).mean(axis=0).argmax()) for label in ("Low tone", "Middle tone")]
    order[bands] = order[bands[::-1]]
    network.graph.initializer.append(numpy_helper.from_array(order, "order"))
    network.graph.node[0].input[0] = "swapped"
    network.graph.node.insert(0, helper.make_node("Gather", ["log_mel", "order"], ["swapped"], axis=2))


@pytest.mark.parametrize("kind", ["window", "stream"])
def test_a_network_with_two_mel_bands_swapped_is_refused(kind: Kind, tmp_path: Path) -> None:
    line = refusal(rewritten(tiny_models.build(tmp_path, kind, "log_mel"), swap_bands))
    assert line.startswith("its posteriors here are ")
    assert line.endswith(" off its golden answer (at most 0.0001)")


def with_golden(file: Path, **change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Path:
    """The same file with another log_mel or posterior (rows, columns) in its golden answer."""

    def replace(facts: Manifest) -> Manifest:
        golden = facts.golden
        for name, new in change.items():
            width = SPEC.n_mels if name == "log_mel" else len(TONES)
            rows = np.frombuffer(getattr(golden, name), "<f4").reshape(-1, width)
            golden = msgspec.structs.replace(golden, **{name: new(rows.copy()).astype("<f4").tobytes()})
        return msgspec.structs.replace(facts, golden=golden)

    return with_facts(file, replace)


def late(n_rows: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    return lambda rows: np.concatenate([rows[:n_rows], rows[:-n_rows]])


def two_columns_swapped(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([rows[:, 1::-1], rows[:, 2:]], axis=1)


@pytest.mark.parametrize("kind", ["window", "stream"])
def test_a_log_mel_with_two_bands_swapped_is_refused(kind: Kind, tmp_path: Path) -> None:
    file = with_golden(tiny_models.build(tmp_path, kind, "log_mel"), log_mel=two_columns_swapped)
    assert refusal(file).startswith("its log-mel here is ")


@pytest.mark.parametrize("kind", ["window", "stream"])
def test_a_log_mel_shifted_by_one_hop_is_refused(kind: Kind, tmp_path: Path) -> None:
    file = with_golden(tiny_models.build(tmp_path, kind, "log_mel"), log_mel=late(1))
    assert refusal(file).startswith("its log-mel here is ")


@every_kind
def test_posteriors_shifted_by_one_hop_are_refused(kind: Kind, which: Input, tmp_path: Path) -> None:
    file = with_golden(tiny_models.build(tmp_path, kind, which), posterior=late(1))
    assert refusal(file).startswith("its posteriors here are ")


@every_kind
def test_posteriors_of_swapped_labels_are_refused(kind: Kind, which: Input, tmp_path: Path) -> None:
    file = with_golden(tiny_models.build(tmp_path, kind, which), posterior=two_columns_swapped)
    assert refusal(file).startswith("its posteriors here are ")


@pytest.mark.parametrize(
    ("name", "off", "is_fine"),
    [("log_mel", 0.8e-3, True), ("log_mel", 1.2e-3, False), ("posterior", 0.8e-4, True), ("posterior", 1.2e-4, False)],
)
def test_a_golden_answer_may_be_off_by_what_rounding_explains(
    name: str, off: float, is_fine: bool, tmp_path: Path
) -> None:
    def nudge(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        rows[2, 1] += off
        return rows

    file = with_golden(tiny_models.build(tmp_path, "window", "log_mel"), **{name: nudge})
    if is_fine:
        Model(file, "cpu")
    else:
        assert "off its golden answer" in refusal(file)


@pytest.mark.parametrize("wrong", [lambda rows: rows[:0], lambda rows: rows[:-1], lambda rows: rows * np.nan])
@pytest.mark.parametrize("name", ["log_mel", "posterior"])
def test_a_golden_answer_of_nothing_or_of_no_numbers_is_refused(name: str, wrong: Any, tmp_path: Path) -> None:
    file = with_golden(tiny_models.build(tmp_path, "window", "log_mel"), **{name: wrong})
    assert "off its golden answer" in refusal(file)


def test_a_network_that_answers_nan_is_refused(tmp_path: Path) -> None:
    def root_of_what_is_negative(network: onnx.ModelProto) -> None:
        network.graph.node[-1].op_type = "Sqrt"

    file = rewritten(tiny_models.build(tmp_path, "window", "log_mel"), root_of_what_is_negative)
    assert "no numbers from 0 to 1" in refusal(file)


def louder_than_the_batch(network: onnx.ModelProto) -> None:
    """Levels count from the loudest cell of all rows, as openWakeWord's mel graph does it."""
    network.graph.node[0].input[0] = "relative"
    network.graph.node.insert(0, helper.make_node("ReduceMax", ["log_mel"], ["loudest"], keepdims=0))
    network.graph.node.insert(1, helper.make_node("Sub", ["log_mel", "loudest"], ["relative"]))


@pytest.mark.parametrize("kind", ["window", "stream"])
def test_rows_that_influence_each_other_need_a_batch_of_one(kind: Kind, tmp_path: Path) -> None:
    file = tiny_models.build(tmp_path, kind, "log_mel", louder_than_the_batch, max_batch=1)
    assert Model(file, "cpu").manifest.max_batch == 1
    with_facts(file, lambda facts: msgspec.structs.replace(facts, max_batch=None))
    line = refusal(file)
    assert line.startswith("rows of one batch change each other by ")
    assert line.endswith("; its manifest needs max_batch 1")


# Devices and runtimes.


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    return tiny_models.build(tmp_path, "stream", "log_mel")


def has_cuda() -> bool:
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def test_the_cpu_is_what_runs_where_it_was_asked_for(tiny_file: Path) -> None:
    assert Model(tiny_file, "cpu").provider == "CPUExecutionProvider"


@pytest.mark.skipif(has_cuda(), reason="this onnxruntime has CUDA")
def test_without_cuda_auto_takes_the_cpu_and_cuda_says_what_is_missing(tiny_file: Path) -> None:
    assert Model(tiny_file, "auto").provider == "CPUExecutionProvider"
    with pytest.raises(DeviceError) as error:
        Model(tiny_file, "cuda")
    assert str(error.value) == (
        "device cuda: this onnxruntime has no CUDA; pip uninstall onnxruntime, pip install 'streamd[gpu]'"
    )


@pytest.mark.skipif(has_cuda(), reason="this onnxruntime has CUDA")
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_cuda_that_is_promised_and_does_not_start_is_never_replaced_in_silence(
    tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promised = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: promised)
    assert Model(tiny_file, "auto").provider == "CPUExecutionProvider"
    with pytest.raises(DeviceError, match="fell back to the CPU; CUDA 13 and cuDNN 9 are needed") as error:
        Model(tiny_file, "cuda")
    assert "\n" not in str(error.value)


def test_one_thread_that_does_not_spin(tiny_file: Path) -> None:
    tasks = Path("/proc/self/task")
    n_before = len(list(tasks.iterdir())) if tasks.exists() else 0
    model = Model(tiny_file, "cpu")
    n_after = len(list(tasks.iterdir())) if tasks.exists() else 0
    assert n_after == n_before
    options = model.session.get_session_options()
    assert options.intra_op_num_threads == options.inter_op_num_threads == 1
    for pool in ("intra", "inter"):
        assert options.get_session_config_entry(f"session.{pool}_op.allow_spinning") == "0"


def test_both_runtimes_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"onnxruntime": "1.27.0", "onnxruntime-gpu": "1.26.0"}
    monkeypatch.setattr(metadata, "version", lambda name: versions[name])
    with pytest.raises(DeviceError) as error:
        load_onnxruntime()
    assert str(error.value) == (
        "onnxruntime 1.27.0 and onnxruntime-gpu 1.26.0 are both installed and overwrite each other; "
        "pip uninstall both, then pip install 'streamd[cpu]' or 'streamd[gpu]'"
    )


def test_a_runtime_that_lost_its_files_to_the_other_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    with pytest.raises(DeviceError, match=r"^onnxruntime has lost files, .*; pip uninstall both, then pip install"):
        load_onnxruntime()


WITHOUT_RUNTIME = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "onnxruntime":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
from pathlib import Path
from streamd.errors import DeviceError
from streamd.model import Model
try:
    Model(Path(sys.argv[1]))
except DeviceError as error:
    print(error)
"""


def test_no_runtime_at_all_is_one_line_that_says_what_to_install(tiny_file: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_RUNTIME, tiny_file]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert result.stderr == ""
    assert result.stdout == (
        "onnxruntime can't be used (No module named 'onnxruntime'); "
        "pip install 'streamd[cpu]', or 'streamd[gpu]' for an NVIDIA GPU\n"
    )


def test_a_network_whose_sigmoid_is_missing_is_refused(tmp_path: Path) -> None:
    def without_sigmoid(network: onnx.ModelProto) -> None:
        (sigmoid,) = [node for node in network.graph.node if node.op_type == "Sigmoid"]
        sigmoid.op_type = "Identity"

    with pytest.raises(ModelError, match="no numbers from 0 to 1"):
        Model(tiny_models.build(tmp_path, "window", "log_mel", without_sigmoid), "cpu")
