"""`python -m training export --stream FILE`: a stream that gives the window's events, or no file."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from streamd.detector import Detector  # noqa: E402
from streamd.errors import ModelError  # noqa: E402
from streamd.model import Model  # noqa: E402
from streamd.shipped import model_file  # noqa: E402
from tests.training.window_networks import Network, facts, vgg, write  # noqa: E402
from training.__main__ import main  # noqa: E402
from training.design import export_stream_form as module  # noqa: E402
from training.design.export import export  # noqa: E402
from training.design.export_stream_form import export_stream_form, noise_bursts  # noqa: E402
from training.design.stream_form import stream_form  # noqa: E402

OLD = b"the stream of yesterday"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VGG-like network of one second, whose thresholds lie amid what it says of noise."""
    folder = tmp_path_factory.mktemp("window")
    file = write(folder, *vgg(1.0))
    model = Model(file, "cpu")
    _, posteriors = model.answer(noise_bursts(10 * 16_000, 16_000))
    middle = {label: float(np.median(posteriors[:, i])) for i, label in enumerate(model.manifest.labels)}
    decisions = {
        label: msgspec.structs.replace(model.manifest.decision, onset_threshold=level, offset_threshold=0.98 * level)
        for label, level in middle.items()
    }
    write(folder, onnx.load(file), msgspec.structs.replace(model.manifest, label_decisions=decisions))
    return file


def detections(model, recording):
    detector = Detector(model)
    detector.start("kitchen")
    found = []
    for begin in range(0, len(recording), 1000):
        detector.push("kitchen", recording[begin : begin + 1000])
        for hop in detector.step():
            found += hop.detections
    return [(one.label, one.onset_sample, one.offset_sample, one.end_reason) for one in found]


def test_the_stream_lies_beside_its_window_and_gives_the_same_events(window, capsys):
    assert main(["export", "--stream", str(window)]) == 0
    proved, told = capsys.readouterr().out.splitlines()
    assert proved.startswith("equal: at most ")
    assert "9.3 times fewer multiply-adds a hop: 5.38 M instead of 50.3 M" in proved
    file = window.with_name("vgg-stream.onnx")
    assert told.startswith(f"{file}: vgg, a stream, ")
    assert sorted(window.parent.iterdir()) == [file, window]
    one, other = Model(window, "cpu"), Model(file, "cpu")
    recording = np.tile(noise_bursts(10 * 16_000, 16_000), 2)
    events = detections(one, recording)
    # The stream's first score comes a hop later where the window is no multiple of the hop: what was on by then is not
    # compared, what comes after it is.
    first = other.manifest.first_score_samples + 16_000
    assert len([event for event in events if event[1] > first]) > 20
    assert [event for event in detections(other, recording) if event[1] > first] == [
        event for event in events if event[1] > first
    ]


def test_its_manifest_is_the_windows_but_for_what_makes_it_a_stream(window, tmp_path):
    list(export_stream_form(window, tmp_path / "new.onnx"))
    before, after = Model(window, "cpu").manifest, Model(tmp_path / "new.onnx", "cpu").manifest
    assert (after.kind, after.n_frames, after.hop_frames, after.warmup_frames) == ("stream", 8, 8, 100)
    assert after.training["stream_form_of"] == Model(window, "cpu").sha256
    changed = ("kind", "n_frames", "warmup_frames", "n_state", "training", "golden")
    assert msgspec.structs.replace(after, **{name: getattr(before, name) for name in changed}) == before


def test_a_network_out_of_torch_is_rewritten_as_it_was_exported(tmp_path):
    torch.manual_seed(3)
    layers = torch.nn
    network = layers.Sequential(
        layers.Unflatten(1, (1, -1)),
        layers.Conv2d(1, 4, 3, padding=(0, 1)),
        layers.BatchNorm2d(4),
        layers.ReLU(),
        layers.MaxPool2d(2),
        layers.Conv2d(4, 8, 3, padding=(0, 1), dilation=(2, 1)),
        layers.ReLU(),
        layers.AdaptiveAvgPool2d(1),
        layers.Flatten(),
        layers.Linear(8, 2),
        layers.Sigmoid(),
    ).eval()
    file = tmp_path / "torch.onnx"
    export(network, facts(31, 4), file)
    lines = list(export_stream_form(file))
    assert lines[0].startswith("equal: ")
    assert (tmp_path / "torch-stream.onnx").exists()


def test_rows_that_may_not_share_a_run_stay_alone(tmp_path):
    manifest = facts(20, 4, max_batch=1)
    network = Network(manifest)
    x = network.node("Transpose", network.standardised(), perm=[0, 2, 1])
    x = network.node("Relu", network.conv(x, 8, 4, [3]))
    network.head(network.node("ReduceMean", x, network.constant([2]), keepdims=0), 4)
    file = write(tmp_path, network.proto(), manifest)
    list(export_stream_form(file))
    assert Model(tmp_path / "random-stream.onnx", "cpu").manifest.max_batch == 1


def test_the_shipped_yamnet_is_refused_for_the_padding_of_its_first_convolution(tmp_path, capsys):
    file = shutil.copy(model_file("yamnet"), tmp_path / "yamnet.onnx")
    assert main(["export", "--stream", str(file)]) == ModelError.exit_code
    assert capsys.readouterr().err == (
        f"training: {file}: no stream form: node 'node_conv2d' (Conv) pads in time; "
        "only what is not padded is the same in two windows\n"
    )
    assert list(tmp_path.iterdir()) == [file]


def test_a_stream_that_is_not_equal_leaves_the_older_file_as_it_was(window, tmp_path, monkeypatch):
    def wrong(proto, manifest):
        rewritten, n_state = stream_form(proto, manifest)
        bias = next(one for one in rewritten.graph.initializer if one.dims == [10])
        bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(1e-3), bias.name))
        return rewritten, n_state

    monkeypatch.setattr(module, "stream_form", wrong)
    path = tmp_path / "new.onnx"
    path.write_bytes(OLD)
    with pytest.raises(ModelError, match=r"the stream form is 0\.000\d+ off the window form at batch 1 and 3"):
        list(export_stream_form(window, path))
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("wrong", [["OUT"], [], ["--stream", "a.onnx", "OUT"], ["OUT", "a.onnx", "-o", "b.onnx"]])
def test_half_of_one_command_and_half_of_the_other_is_refused_in_one_line(wrong, capsys):
    assert main(["export", *wrong]) == 64
    assert capsys.readouterr().err == (
        "training: expected `export OUT FILE.onnx`, or `export --stream FILE [-o FILE.onnx]`\n"
    )
