"""The exporter: one file that obeys the contract, or none."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from streamd import onnx_file  # noqa: E402
from streamd.decision import DecisionSpec  # noqa: E402
from streamd.errors import ModelError  # noqa: E402
from streamd.golden import golden_signal  # noqa: E402
from streamd.logmel import LogMelSpec  # noqa: E402
from streamd.manifest import Golden, Manifest  # noqa: E402
from streamd.model import Model  # noqa: E402
from training.design import yamnet  # noqa: E402
from training.design.export import check_parity, export, seal  # noqa: E402
from training.expect.default_model import FOLDER, build  # noqa: E402

N_MELS, N_HIDDEN = 8, 6
OLD = b"the model of yesterday"


class Recurrent(torch.nn.Module):
    """A stream: frames (batch, 4, 8) and state (batch, 6) → posterior of the loudest frame, and the new state."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.gru = torch.nn.GRU(N_MELS, N_HIDDEN, batch_first=True)
        self.head = torch.nn.Linear(N_HIDDEN, 2)

    def forward(self, log_mel, state):
        hidden, last = self.gru(log_mel / 40 + 1, state.unsqueeze(0))
        return torch.sigmoid(self.head(hidden)).amax(dim=1), last.squeeze(0)


@pytest.fixture
def manifest():
    return Manifest(
        name="recurrent",
        version="1",
        licence="Apache-2.0",
        description="nothing",
        labels=("one", "two"),
        default_labels=("one",),
        kind="stream",
        input="log_mel",
        sample_rate=16_000,
        log_mel=LogMelSpec(n_mels=N_MELS),
        n_frames=4,
        hop_frames=4,
        warmup_frames=8,
        max_batch=None,
        n_state=N_HIDDEN,
        onset_delay=0,
        offset_delay=0,
        decision=DecisionSpec(),
        label_decisions={},
        expected={},
        training={},
        golden=Golden(seed=0, n_samples=0, posterior=b""),
    )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "recurrent.onnx"
    path.write_bytes(OLD)
    return path


def test_a_stream_becomes_one_file_that_carries_its_state_and_agrees_with_torch(manifest, file):
    network = Recurrent().eval()
    written = export(network, manifest, file, outputs=("posterior", "state_out"))
    model = Model(file, "cpu")
    assert model.manifest == written
    assert list(file.parent.iterdir()) == [file]
    assert not onnx_file.has_external_data(file.read_bytes())
    assert str(FOLDER.parents[1]).encode() not in file.read_bytes()

    frames, posteriors = model.answer(golden_signal(3, 16_000))
    state = torch.zeros(1, N_HIDDEN)
    expected = []
    with torch.no_grad():
        for hop in range(len(frames) // 4):
            posterior, state = network(torch.from_numpy(frames[None, 4 * hop : 4 * hop + 4]), state)
            expected.append(posterior[0].numpy())
    # The first hop is warm-up.
    np.testing.assert_allclose(posteriors, expected[1:], atol=1e-5)


def test_a_graph_that_is_not_the_network_is_found_out():
    network = yamnet.load()
    graph = (FOLDER / "yamnet.onnx").read_bytes()
    facts = Model(FOLDER / "yamnet.onnx", "cpu", verify=False).manifest
    check_parity(network, graph, facts)
    with torch.no_grad():
        network.logits.bias += 1e-3
    with pytest.raises(ModelError, match=r"posterior at batch 1: onnxruntime is .* off torch \(at most 1e-05\)"):
        check_parity(network, graph, facts)


def test_a_graph_without_anything_to_say_is_no_model(manifest, file):
    one = msgspec.structs.replace(manifest, kind="window", n_state=0, warmup_frames=4)
    shape = [onnx.helper.make_tensor_value_info("log_mel", 1, ["batch", 4, N_MELS])]
    posterior = [onnx.helper.make_tensor_value_info("posterior", 1, ["batch", 2])]
    nodes = [
        onnx.helper.make_node("ReduceMean", ["log_mel", "axis"], ["row"], keepdims=0),
        onnx.helper.make_node("Mul", ["row", "zero"], ["zeros"]),
        onnx.helper.make_node("Gemm", ["zeros", "weight"], ["logit"]),
        onnx.helper.make_node("Mul", ["logit", "zero"], ["posterior"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array([1]), "axis"),
        onnx.numpy_helper.from_array(np.float32(0), "zero"),
        onnx.numpy_helper.from_array(np.zeros((N_MELS, 2), np.float32), "weight"),
    ]
    graph = onnx.helper.make_graph(nodes, "silent", shape, posterior, constants)
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(ModelError, match=r"no golden signal gives a posterior between 0\.1 and 0\.9"):
        seal(proto, one, file)
    assert file.read_bytes() == OLD


def test_the_shipped_model_is_what_its_build_makes(tmp_path):
    built = build(folder=tmp_path)
    shipped = Model(FOLDER / "yamnet.onnx", "cpu").manifest
    assert msgspec.structs.replace(built, golden=shipped.golden) == shipped
    assert (tmp_path / "card.md").read_bytes() == (FOLDER / "card.md").read_bytes()
    weights = [
        {tensor.name: tensor.raw_data for tensor in onnx.load(folder / "yamnet.onnx").graph.initializer}
        for folder in (tmp_path, FOLDER)
    ]
    assert weights[0] == weights[1]
