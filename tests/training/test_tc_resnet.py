"""The residual network: its stream is the whole pass, its branches keep step, its field and cost are as reckoned."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from streamd.logmel import LogMelSpec  # noqa: E402
from training.design import tc_resnet  # noqa: E402
from training.design.cost import macs_per_second  # noqa: E402
from training.design.crnn import Crnn  # noqa: E402
from training.design.receptive_field import Layer, n_frames_seen  # noqa: E402
from training.design.streaming import StreamNetwork  # noqa: E402
from training.design.tc_resnet import ResidualBlock, TcResNet  # noqa: E402

N_MELS = 12


def made(n_blocks, time_stride):
    """A network whose batch norms have seen something."""
    torch.manual_seed(7)
    network = TcResNet(N_MELS, 2, n_blocks, time_stride)
    with torch.no_grad():
        for _ in range(5):
            network(torch.randn(4, 128, N_MELS), network.initial_state(4))
    return network.eval()


NETWORKS = {"default": made(2, 4), "strides and dilates": made(3, 4), "only dilates": made(2, 1), "deepest": made(4, 8)}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@given(n_strides=st.lists(st.integers(1, 20), min_size=1, max_size=10), seed=st.integers(0, 2**16))
@settings(max_examples=30, deadline=None)
def test_a_stream_in_any_pieces_is_the_whole_pass(network, n_strides, seed):
    torch.manual_seed(seed)
    pieces = [n * network.time_stride for n in n_strides]
    frames = torch.randn(2, sum(pieces), N_MELS)
    with torch.no_grad():
        whole, last = network(frames, network.initial_state(2))
        state, outputs = network.initial_state(2), []
        for piece in frames.split(pieces, dim=1):
            posterior, state = network(piece, state)
            outputs.append(posterior)
    assert whole.shape == (2, sum(n_strides), 2)
    torch.testing.assert_close(torch.cat(outputs, dim=1), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(state, last, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_the_gradient_of_an_output_reaches_its_receptive_field_and_no_further(network):
    n_seen, stride = n_frames_seen(network.layers), network.time_stride
    n_outputs = -(-n_seen // stride) + 4
    reached = torch.zeros(n_outputs * stride, dtype=torch.bool)
    for seed in range(3):  # A ReLU may be off at the far end for one input; hardly for three.
        torch.manual_seed(seed)
        frames = torch.randn(1, n_outputs * stride, N_MELS, requires_grad=True)
        logits, _ = network.logits(frames, network.initial_state(1))
        output = n_outputs - 2
        logits[0, output].sum().backward()
        reached |= frames.grad[0].abs().amax(dim=1) > 0
    newest = (output + 1) * stride - 1
    assert reached.nonzero().flatten().tolist()[-1] == newest
    assert reached.nonzero().flatten().tolist()[0] == newest - n_seen + 1


@pytest.mark.parametrize("time_stride", [2, 4, 8])
def test_every_block_sees_twice_as_far_whether_it_strides_or_dilates(time_stride):
    assert [n_frames_seen(tc_resnet.layers(n, time_stride)) for n in range(1, 5)] == [27, 75, 171, 363]


@pytest.mark.parametrize("stride", [1, 2])
def test_both_branches_of_a_block_have_the_same_delay(stride):
    """Convolutions that pass on their newest frame make a block that doubles it, if the shortcut is in time."""
    block = ResidualBlock(3, 3, Layer(9, stride=stride), Layer(9)).eval()
    with torch.no_grad():
        for conv in (block.convs.parts[0].conv, block.convs.parts[2].conv):
            conv.weight.zero_()
            conv.weight[:, :, -1] = torch.eye(3)
        block.shortcut[0].weight[:, :, 0] = torch.eye(3)
        x = torch.rand(2, 3, 10)
        y, _ = block(x, torch.zeros(2, block.n_state))
    torch.testing.assert_close(y, 2 * x[:, :, stride - 1 :: stride], atol=1e-4, rtol=1e-4)


def test_no_band_shares_its_weights_with_another():
    """Each band has a place of its own: the same pattern a band higher is another pattern, also far from the ends."""
    network = NETWORKS["default"]
    frames = torch.zeros(2, 80, N_MELS)
    frames[0, :, 5] = frames[1, :, 6] = torch.randn(80)
    with torch.no_grad():
        posteriors, _ = network(frames, network.initial_state(2))
    assert (posteriors[0] - posteriors[1]).abs().max() > 1e-3


def test_a_second_of_audio_costs_what_is_reckoned_by_hand_and_stays_under_twelve_million():
    spec = LogMelSpec(n_mels=64, hop_length=160)  # 100 frames a second
    first = 64 * 16 * 3
    block_1 = 16 * 24 * 9 + 24 * 24 * 9 + 16 * 24
    block_2 = 24 * 32 * 9 + 32 * 32 * 9 + 24 * 32
    block_3 = 32 * 48 * 9 + 48 * 48 * 9 + 32 * 48
    block_4 = 48 * 64 * 9 + 64 * 64 * 9 + 48 * 64
    default = 100 * first + 50 * block_1 + 25 * (block_2 + 32 * 3)
    deepest = 100 * first + 50 * block_1 + 25 * (block_2 + block_3 + block_4 + 64 * 3)
    assert macs_per_second(TcResNet(64, 3), spec, 8) == default
    assert macs_per_second(TcResNet(64, 3, 4), spec, 8) == deepest
    assert default < deepest < 12e6


def test_costs_of_convolutions_over_frequency_and_of_recurrent_units_are_reckoned_too():
    spec = LogMelSpec(n_mels=64, hop_length=160)
    crnn = Crnn(64, 1, 1, frequency_coordinate=False)
    convs = 9 * (64 * 16 + 32 * 16 * 32 + 16 * 32 * 48 + 8 * 48 * 64)
    after = 4 * 64 * 64 + 3 * 96 * (64 + 96) + 96
    assert macs_per_second(crnn, spec, 8) == 100 * (convs + after)
    assert crnn.training


def test_frames_that_do_not_fill_a_hop_have_no_cost():
    with pytest.raises(ValueError, match="6 frames; expected a multiple of 4"):
        macs_per_second(TcResNet(N_MELS, 1), LogMelSpec(n_mels=N_MELS), 6)


def test_it_learns_a_rising_tone_from_a_falling_one_in_a_few_steps():
    torch.manual_seed(8)
    network: StreamNetwork = TcResNet(N_MELS, 1)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    rising = torch.eye(N_MELS) * 4

    def scenes(n):
        is_rising = torch.rand(n) < 0.5
        tones = torch.where(is_rising[:, None, None], rising, rising.flip(0))
        return torch.cat([torch.zeros(n, 8, N_MELS), tones], dim=1) + torch.randn(n, 8 + N_MELS, N_MELS), is_rising

    for _ in range(80):
        frames, target = scenes(32)
        logits, _ = network.logits(frames, network.initial_state(32))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, -1, 0], target.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    frames, target = scenes(200)
    with torch.no_grad():
        posteriors, _ = network.eval()(frames, network.initial_state(200))
    assert ((posteriors[:, -1, 0] > 0.5) == target).float().mean() > 0.95


@pytest.mark.parametrize(
    ("n_blocks", "time_stride", "message"),
    [(0, 4, "0 blocks; expected 1 to 4"), (5, 4, "5 blocks; expected 1 to 4"), (2, 3, "time stride 3; expected a")],
)
def test_a_network_that_cannot_be_is_refused(n_blocks, time_stride, message):
    with pytest.raises(ValueError, match=message):
        TcResNet(N_MELS, 1, n_blocks, time_stride)
