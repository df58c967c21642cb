"""Batch-norm statistics on streamed scenes are those of one whole pass over the same frames."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from training.design import calibrate_batch_norm  # noqa: E402
from training.design.calibrate_batch_norm import calibrate  # noqa: E402
from training.design.crnn import Crnn  # noqa: E402
from training.design.receptive_field import n_cold_outputs  # noqa: E402
from training.design.streaming import ConvBlock, Flatten, StreamNetwork  # noqa: E402
from training.design.tc_resnet import TcResNet  # noqa: E402
from training.design.vgg import Vgg  # noqa: E402

N_MELS = 16

MADE = {
    "vgg": lambda: Vgg(N_MELS, 2, 3),
    "crnn": lambda: Crnn(N_MELS, 2),
    "tc_resnet": lambda: TcResNet(N_MELS, 2),
}


def made(kind):
    torch.manual_seed(9)
    return MADE[kind]()


def scenes(*n_frames, batch=2):
    """Frames whose level wanders, as that of rooms does."""
    torch.manual_seed(10)
    return [3 * torch.randn(batch, n, N_MELS) + torch.randn(batch, 1, N_MELS) for n in n_frames]


def norms_of(network):
    return {name: module for name, module in network.named_modules() if isinstance(module, calibrate_batch_norm.Norm)}


def heard_in_one_pass(network, scene):
    """What each norm hears in evaluation mode in one pass over a whole scene, its cold frames cut away."""
    heard, hooks = {}, []
    n_cold = n_cold_outputs(network.layers) * network.time_stride
    for name, norm in norms_of(network).items():
        hooks.append(norm.register_forward_pre_hook(lambda _, inputs, name=name: heard.update({name: inputs[0]})))
    with torch.no_grad():
        network.eval()(scene, network.initial_state(len(scene)))
    for hook in hooks:
        hook.remove()
    warm = {}
    for name, x in heard.items():
        frames_a_step = scene.shape[1] // x.shape[2]
        warm[name] = x[:, :, n_cold // frames_a_step :].transpose(0, 1).flatten(1)
    return warm


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("piece_frames", [8, 512])
def test_statistics_are_those_of_one_whole_pass_over_the_same_frames(kind, piece_frames, monkeypatch):
    monkeypatch.setattr(calibrate_batch_norm, "PIECE_FRAMES", piece_frames)
    network, heard = made(kind), scenes(160, 240, 208)
    calibrate(network, heard)
    passes = [heard_in_one_pass(network, scene) for scene in heard]
    norms = norms_of(network)
    assert len(norms) >= 4
    for name, norm in norms.items():
        x = torch.cat([one[name] for one in passes], dim=1)
        torch.testing.assert_close(norm.running_mean, x.mean(dim=1), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(norm.running_var, x.var(dim=1), atol=1e-6, rtol=1e-4)


def test_where_nothing_is_cold_they_are_torchs_own_of_a_pass_in_training_mode():
    """One convolution over three frames is cold for two; these are its state, and torch gets them as that."""
    torch.manual_seed(9)
    network = StreamNetwork(N_MELS, 1, [ConvBlock(1, 4, N_MELS), Flatten(), torch.nn.Linear(4 * N_MELS, 1)])
    (scene,) = scenes(600)
    calibrate(network, [scene])
    norm = network.chain.parts[0].norm
    found = norm.running_mean.clone(), norm.running_var.clone()
    norm.momentum = 1.0  # What the last batch says is all there is.
    n_cold = n_cold_outputs(network.layers)
    network.train()(scene[:, n_cold:], network.standardise(scene[:, :n_cold]).flatten(1))
    torch.testing.assert_close(found, (norm.running_mean, norm.running_var), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", MADE)
def test_what_the_statistics_were_before_does_not_matter(kind):
    found = []
    for spoilt in (False, True):
        network = made(kind)
        for norm in norms_of(network).values():
            if spoilt:
                norm.running_mean.fill_(50)
                norm.running_var.fill_(1e-3)
        calibrate(network, scenes(160, 240))
        found.append([(norm.running_mean, norm.running_var) for norm in norms_of(network).values()])
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("is_training", [False, True])
def test_weights_and_mode_stay_and_nothing_is_left_hooked(is_training):
    network = made("tc_resnet").train(is_training)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    calibrate(network, scenes(160))
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"{name}.running_{what}" for name in norms_of(network) for what in ("mean", "var")}
    assert network.training == is_training
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("n_frames", "message"),
    [
        ([], "scenes of 0 frames; expected more than the 28"),
        ([160, 28], "scenes of 28 frames; expected more than the 28 until the network is warm"),
        ([162], "expected a multiple of 4, the time stride"),
    ],
)
def test_scenes_that_say_nothing_are_refused_and_leave_the_network_in_its_mode(n_frames, message):
    network = Vgg(N_MELS, 2, 3).train()
    with pytest.raises(ValueError, match=message):
        calibrate(network, scenes(*n_frames))
    assert network.training
