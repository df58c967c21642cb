"""The gates of an export: each finds what it is for, and a failed one leaves no file."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from streamd.decision import DecisionSpec  # noqa: E402
from streamd.errors import ModelError  # noqa: E402
from streamd.logmel import log_mel  # noqa: E402
from streamd.manifest import Golden, Manifest  # noqa: E402
from streamd.model import Model  # noqa: E402
from tests.training import tones  # noqa: E402
from training.design import gates  # noqa: E402
from training.design.gates import export_proved, prove  # noqa: E402
from training.design.stream import stream_facts  # noqa: E402

# An export starts a process that imports torch, and a machine may have other things to do.
pytestmark = pytest.mark.timeout(400)

HEARD = np.concatenate([np.round(32767 * scene.audio).astype(np.int16) for scene in tones.scenes(7000, 20)])


def facts_of(network):
    return Manifest(
        name="tones",
        version="1",
        licence="Apache-2.0",
        description="Two tones.",
        labels=tones.LABELS,
        default_labels=tones.LABELS,
        onset_delay=0,
        offset_delay=0,
        decision=DecisionSpec(offset_threshold=0.45, min_silence_seconds=0.08),
        label_decisions={},
        expected={},
        training={},
        golden=Golden(seed=0, n_samples=0, posterior=b""),
        **stream_facts(network, tones.SPEC, heard=HEARD),
    )


@pytest.fixture(scope="module")
def network():
    """Not trained, but made to move with what it hears, about 0.5."""
    made = tones.recurrent().eval()
    frames = torch.from_numpy(log_mel(HEARD, tones.SPEC))
    made.standardise.measure(frames)
    head = made.chain.parts[-1]
    with torch.no_grad():
        head.weight *= 30
        logits, _ = made.logits(frames[None], made.initial_state(1))
        head.bias -= logits[0].median(dim=0).values
    return made


@pytest.fixture(scope="module")
def proved(network, tmp_path_factory):
    """The path of the file, its manifest and what the gates told."""
    path = tmp_path_factory.mktemp("model") / "tones.onnx"
    return path, *export_proved(network, facts_of(network), path, HEARD)


def test_a_trained_network_becomes_a_file_and_each_gate_tells_what_it_measured(proved):
    path, written, told = proved
    assert [file.name for file in path.parent.iterdir()] == ["tones.onnx"]
    assert Model(path, "cpu").manifest == written
    assert set(told) == {
        "golden answer",
        "torch whole = torch stream",
        "torch whole = onnxruntime",
        "ten minutes",
        "events",
    }
    assert float(told["golden answer"].split()[4]) >= 0.2
    assert float(told["torch whole = onnxruntime"].split()[0]) <= 1e-5
    n_onsets_and_offsets = [int(word) for word in told["events"].split() if word.isdigit()]
    assert min(n_onsets_and_offsets) >= 10


def test_an_untrained_network_leaves_the_old_file_alone(tmp_path):
    network = tones.recurrent().eval()
    with torch.no_grad():
        network.chain.parts[-1].weight *= 0
    (tmp_path / "tones.onnx").write_bytes(b"of yesterday")
    with pytest.raises(ModelError, match=r"no golden signal .* and moves by 0\.2"):
        export_proved(network, facts_of(network), tmp_path / "tones.onnx", HEARD)
    assert [file.name for file in tmp_path.iterdir()] == ["tones.onnx"]
    assert (tmp_path / "tones.onnx").read_bytes() == b"of yesterday"


class Disturbed:
    """A model file whose answers are changed on their way."""

    def __init__(self, model, change):
        self.manifest = model.manifest
        self.initial_state = model.initial_state
        self._model, self._change, self._n_runs = model, change, 0

    def run(self, frames, state):
        self._n_runs += 1
        posteriors, after = self._model.run(frames, state)
        return self._change(posteriors, self._n_runs), after


def test_a_file_that_answers_otherwise_than_torch_is_refused(network, proved):
    model = Disturbed(Model(proved[0], "cpu"), lambda posteriors, _: posteriors + 2e-5)
    with pytest.raises(ModelError, match=r"onnxruntime is 2.*e-05 off torch at once .* \(at most 1e-05\)"):
        prove(network, model, HEARD)


def test_a_network_whose_stream_is_not_its_whole_pass_is_refused(proved):
    padded = tones.recurrent().eval()
    original = padded.chain.parts[0].forward

    def forgetful(x, state):
        return original(x, torch.zeros_like(state))

    padded.chain.parts[0].forward = forgetful
    with pytest.raises(ModelError, match="torch in hops is"):
        prove(padded, Model(proved[0], "cpu"), HEARD)


def test_answers_that_drift_over_ten_minutes_are_refused(network, proved):
    model = Model(proved[0], "cpu")
    hops = gates._a_minute(model.manifest, HEARD)
    assert len(hops) == 750
    drifting = Disturbed(model, lambda posteriors, n_runs: posteriors + n_runs * 2e-6)
    with pytest.raises(ModelError, match="minute 10 of the same audio is"):
        gates._lasts(drifting, hops)
    assert gates._lasts(model, hops).startswith("minute 10 is")


def test_events_that_are_not_those_of_torch_are_refused(network, proved):
    model = Model(proved[0], "cpu")
    hops = gates._a_minute(model.manifest, HEARD)
    deaf = Disturbed(model, lambda posteriors, n_runs: posteriors * (not 300 <= n_runs < 340))
    with pytest.raises(ModelError, match="onsets and offsets from onnxruntime"):
        gates._decides(network, deaf, hops)


def test_only_streams_of_frames_and_recordings_of_seconds_are_taken(network, proved):
    model = Model(proved[0], "cpu")
    with pytest.raises(ValueError, match=r"a recording of 0\.12 s"):
        prove(network, model, HEARD[:1000])
    model.manifest = msgspec.structs.replace(model.manifest, kind="window", warmup_frames=8, n_state=0)
    with pytest.raises(ValueError, match="a window of log_mel"):
        prove(network, model, HEARD)
