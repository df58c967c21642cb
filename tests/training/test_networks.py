"""Our networks: their stream is the whole pass, what they assume of time and frequency holds, and they learn."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from training.design import vgg  # noqa: E402
from training.design.crnn import Crnn  # noqa: E402
from training.design.receptive_field import n_cold_outputs, n_frames_seen  # noqa: E402
from training.design.vgg import Vgg  # noqa: E402

N_MELS = 16

MADE = {
    "vgg": lambda: Vgg(N_MELS, 2, 2),
    "deep vgg": lambda: Vgg(N_MELS, 2, 4, 2),
    "vgg without coordinate": lambda: Vgg(N_MELS, 2, 2, frequency_coordinate=False),
    "crnn": lambda: Crnn(N_MELS, 2),
    "crnn without coordinate": lambda: Crnn(N_MELS, 2, 1, frequency_coordinate=False),
}


def seasoned(network):
    """The same network, its batch norms having seen something."""
    with torch.no_grad():
        for _ in range(5):
            network.train()(torch.randn(4, 64, network.n_mels), network.initial_state(4))
    return network.eval()


def heard_once(network, frames):
    with torch.no_grad():
        return network(frames, network.initial_state(len(frames)))[0]


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
@pytest.mark.parametrize("n_strides", [1, 2, 7])
def test_a_stream_in_hops_is_the_whole_pass(make, n_strides):
    torch.manual_seed(3)
    network = seasoned(make())
    hop = n_strides * network.time_stride
    frames = torch.randn(2, 12 * hop, N_MELS)
    state, outputs = network.initial_state(2), []
    with torch.no_grad():
        for piece in frames.split(hop, dim=1):
            posterior, state = network(piece, state)
            outputs.append(posterior)
    whole = heard_once(network, frames)
    assert whole.shape == (2, 12 * n_strides, 2)
    assert ((whole > 0) & (whole < 1)).all()
    torch.testing.assert_close(torch.cat(outputs, dim=1), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("time_stride", [1, 4, 8])
def test_every_block_of_the_vgg_sees_twice_as_far_whether_it_strides_or_dilates(time_stride):
    fields = [n_frames_seen(vgg.layers(n, time_stride)) for n in range(1, 7)]
    assert fields == [5, 13, 29, 61, 125, 253]
    assert Vgg(N_MELS, 1, 3, time_stride).layers == tuple(vgg.layers(3, time_stride))
    assert Vgg(N_MELS, 1, 3, time_stride).time_stride == time_stride


def test_the_vgg_knows_nothing_of_what_came_before_its_receptive_field_and_the_crnn_does():
    torch.manual_seed(4)
    for network, remembers in ((seasoned(Vgg(N_MELS, 1, 2)), False), (seasoned(Crnn(N_MELS, 1)), True)):
        frames = torch.randn(2, 40, N_MELS)
        frames[1, 20:] = frames[0, 20:]
        # The first output all of whose frames are the same in both.
        first = 20 // network.time_stride + n_cold_outputs(network.layers)
        one, other = heard_once(network, frames)[:, first:]
        assert ((one - other).abs().max() > 1e-5) == remembers


def test_a_sound_is_the_same_sound_a_time_stride_later():
    torch.manual_seed(4)
    network = seasoned(Vgg(N_MELS, 1, 2))
    frames = torch.randn(1, 60, N_MELS)
    later = torch.cat([torch.randn(1, network.time_stride, N_MELS), frames], dim=1)
    n_cold = n_cold_outputs(network.layers)
    torch.testing.assert_close(
        heard_once(network, later)[:, 1 + n_cold :], heard_once(network, frames)[:, n_cold:], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("knows_where", [False, True])
def test_only_a_frequency_coordinate_tells_blocks_in_which_band_a_pattern_is(knows_where):
    torch.manual_seed(6)
    network = seasoned(Vgg(64, 1, 2, frequency_coordinate=knows_where))
    frames = torch.zeros(1, 40, 64)
    frames[0, :, 20:26] = torch.randn(40, 6)
    features, state = network.standardise(torch.cat([frames, frames.roll(16, dims=2)])), network.initial_state(2)
    blocks, rows = network.chain.parts[:-2], state.split(network.chain.n_states, dim=1)
    with torch.no_grad():
        for block, row in zip(blocks, rows, strict=True):
            features, _ = block(features, row)
    # Sixteen log-mel bands are four of what two blocks leave; near the ends of the axis the padding is seen.
    low, high = features[0, :, 4:, 3:9], features[1, :, 4:, 7:13]
    assert low.shape == (32, 6, 6)
    assert low.std() > 0.01
    assert torch.allclose(low, high, atol=1e-5) != knows_where


@pytest.mark.parametrize("make", [lambda: Vgg(N_MELS, 1, 2), lambda: Crnn(N_MELS, 1)], ids=["vgg", "crnn"])
def test_a_rising_tone_is_told_from_a_falling_one_after_a_few_steps(make):
    torch.manual_seed(8)
    network = make()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    rising = torch.eye(N_MELS) * 4

    def scenes(n):
        is_rising = torch.rand(n) < 0.5
        tones = torch.where(is_rising[:, None, None], rising, rising.flip(0))
        return torch.cat([torch.zeros(n, 8, N_MELS), tones], dim=1) + torch.randn(n, 24, N_MELS), is_rising.float()

    for _ in range(80):
        frames, target = scenes(32)
        logits, _ = network.logits(frames, network.initial_state(32))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, -1, 0], target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    frames, target = scenes(200)
    right = (heard_once(network.eval(), frames)[:, -1, 0] > 0.5) == (target > 0.5)
    assert right.float().mean() > 0.95


def test_the_networks_are_small_enough_for_what_they_are_for():
    sizes = [sum(weight.numel() for weight in network.parameters()) for network in (Vgg(64, 1), Crnn(64, 1))]
    assert max(sizes) < 150_000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Vgg(N_MELS, 1, 7), "7 blocks; expected 1 to 6"),
        (lambda: Vgg(N_MELS, 1, 2, 3), "time stride 3; expected a power of two"),
        (lambda: Crnn(N_MELS, 1, 3), "time stride 3; expected 1, 2, 4 or 8"),
        (lambda: Crnn(8, 1), "8 bands; expected at least 16"),
    ],
)
def test_a_network_that_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
