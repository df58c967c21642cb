"""Our networks as model files: the daemon's stream is the torch network run once over the whole recording."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from streamd.decision import DecisionSpec  # noqa: E402
from streamd.detector import Detector  # noqa: E402
from streamd.golden import golden_signal  # noqa: E402
from streamd.logmel import LogMelSpec, log_mel  # noqa: E402
from streamd.manifest import Golden, Manifest  # noqa: E402
from streamd.model import Model  # noqa: E402
from training.design.crnn import N_HIDDEN, Crnn  # noqa: E402
from training.design.receptive_field import n_cold_outputs, n_frames_seen  # noqa: E402
from training.design.stream import Hop, export_stream, stream_facts  # noqa: E402
from training.design.tc_resnet import TcResNet  # noqa: E402
from training.design.vgg import Vgg  # noqa: E402

SPEC = LogMelSpec(n_mels=32)
HOP = 8


def ready(network):
    """The same network, its bands and batch norms measured on a recording."""
    frames = torch.from_numpy(log_mel(golden_signal(2, 160_000), SPEC))[:960]
    network.standardise.measure(frames)
    with torch.no_grad():
        for _ in range(20):
            network.train()(frames.reshape(4, 240, SPEC.n_mels), network.initial_state(4))
    return network.eval()


def manifest_of(network):
    return Manifest(
        name="random",
        version="1",
        licence="Apache-2.0",
        description="Nothing: its weights are random.",
        labels=("One", "Two"),
        default_labels=("One",),
        onset_delay=0,
        offset_delay=0,
        decision=DecisionSpec(),
        label_decisions={},
        expected={},
        training={},
        golden=Golden(seed=0, n_samples=0, posterior=b""),
        **stream_facts(network, SPEC, HOP),
    )


def heard_once(network, samples, state=None):
    """Posteriors (n_hops, 2): torch runs once over the whole recording, then each hop takes its highest frame."""
    frames = log_mel(samples, SPEC)
    n_hops = len(frames) // HOP
    state = network.initial_state(1) if state is None else state
    with torch.no_grad():
        posteriors, _ = network(torch.from_numpy(frames[None, : n_hops * HOP]), state)
    return posteriors.reshape(n_hops, HOP // network.time_stride, 2).amax(dim=1).numpy()


def made(kind, **options):
    torch.manual_seed(11)
    return ready(kind(SPEC.n_mels, 2, **options))


@pytest.mark.parametrize(("kind", "n_blocks"), [(Vgg, 3), (TcResNet, 2)])
def test_the_stream_of_an_exported_network_is_the_torch_network_run_once_over_the_whole_recording(
    kind, n_blocks, tmp_path
):
    network = made(kind, n_blocks=n_blocks)
    file = tmp_path / "random.onnx"
    facts = export_stream(network, manifest_of(network), file)
    assert list(tmp_path.iterdir()) == [file]
    model = Model(file, "cpu")
    assert model.manifest == facts
    assert facts.warmup_frames >= n_frames_seen(network.layers)

    recordings = {"one": golden_signal(5, 80_000), "two": golden_signal(12, 64_321)}
    _, answered = model.answer(recordings["one"])
    expected = heard_once(network, recordings["one"])
    assert np.ptp(expected, axis=0).min() > 0.05
    np.testing.assert_allclose(answered, expected[facts.n_warmup_hops :], atol=1e-5)

    detector = Detector(model)
    found = {source: [] for source in recordings}
    for source in recordings:
        detector.start(source)
    for begin in range(0, 80_000, 777):
        for source, samples in recordings.items():
            detector.push(source, samples[begin : begin + 777])
        for hop in detector.step():
            found[hop.source].append(hop.posteriors)
    for source, samples in recordings.items():
        # The detector leaves out the first samples, so that hops end where blocks do.
        expected = heard_once(network, samples[facts.lead_samples :])
        np.testing.assert_allclose(found[source], expected[facts.n_warmup_hops :], atol=1e-5)


def test_a_recurrent_network_warms_up_for_as_long_as_it_is_seen_to_remember():
    network = made(Crnn)
    gru = next(part for part in network.modules() if isinstance(part, torch.nn.GRU))
    with torch.no_grad():
        # The more its update gate is shut, the longer it remembers; and a head that tells what it remembers.
        gru.bias_ih_l0[N_HIDDEN : 2 * N_HIDDEN] += 3
        network.chain.parts[-1].weight *= 10
    heard = golden_signal(3, 160_000)
    # Starts in the middle of the recording, beside one that heard all of it.
    whole, off = heard_once(network, heard), []
    for begin in range(6, 62, 5):
        late = heard_once(network, heard[begin * HOP * SPEC.hop_length :])[:60]
        off.append(np.abs(late - whole[begin : begin + 60]).max(axis=1))
    first_near = int(np.argmax(np.median(off, axis=0) < 0.01))
    assert first_near > 8
    warmup_frames = stream_facts(network, SPEC, HOP, heard)["warmup_frames"]
    assert warmup_frames / HOP == pytest.approx(1 + first_near, abs=2)


def test_a_recurrent_network_that_forgets_at_once_warms_up_for_its_convolutions():
    network = made(Crnn)
    with torch.no_grad():
        network.chain.parts[-1].weight.zero_()
    assert stream_facts(network, SPEC, HOP, golden_signal(3, 80_000))["warmup_frames"] == 20


@pytest.mark.parametrize(("n_blocks", "time_stride"), [(1, 2), (2, 4), (3, 8), (4, 1), (4, 4)])
def test_no_posterior_is_believed_that_depends_on_how_the_state_began(n_blocks, time_stride):
    network = made(Vgg, n_blocks=n_blocks, time_stride=time_stride)
    samples = golden_signal(5, 32_000)
    off = np.abs(heard_once(network, samples) - heard_once(network, samples, torch.randn(1, network.n_state)))
    n_warmup_hops = manifest_of(network).n_warmup_hops
    assert off[n_warmup_hops:].max() < 1e-5
    assert off[0].max() > 1e-3
    # And none longer than that: the hop before has an output that sees what was before the start.
    assert (n_warmup_hops - 1) * HOP // time_stride < n_cold_outputs(network.layers)


def test_a_hop_answers_with_its_highest_frame():
    network = made(Vgg, n_blocks=2)
    frames, state = torch.randn(3, HOP, SPEC.n_mels) * 20 - 40, network.initial_state(3)
    with torch.no_grad():
        posterior, state_out = Hop(network)(frames, state)
        each, last = network(frames, state)
    assert each.shape == (3, 2, 2)
    assert torch.equal(posterior, torch.maximum(each[:, 0], each[:, 1]))
    assert torch.equal(state_out, last)


def test_a_log_mel_or_hop_that_is_not_the_networks_is_refused():
    network = made(Vgg, n_blocks=3)
    with pytest.raises(ValueError, match="a network of 32 bands and a log-mel of 64"):
        stream_facts(network, LogMelSpec(), HOP)
    with pytest.raises(ValueError, match="a hop of 6 frames; expected a multiple of the time stride 4"):
        stream_facts(network, SPEC, 6)


def test_a_network_that_is_not_ready_is_refused_before_anything_long_begins(tmp_path):
    with pytest.raises(ValueError, match="a recurrent network and no recording to measure its warm-up on"):
        manifest_of(made(Crnn))
    network = made(Vgg)
    with pytest.raises(ValueError, match=r"call eval\(\) first"):
        export_stream(network.train(), manifest_of(network), tmp_path / "random.onnx")
