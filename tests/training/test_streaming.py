"""Parts with state: pieces of any length add up to the whole, and the state row is what its docstring says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from training.design.receptive_field import n_cold_outputs, n_frames_seen  # noqa: E402
from training.design.streaming import Chain, ConvBlock, Flatten, Gru, StreamNetwork  # noqa: E402

N_MELS = 8


def conv_parts():
    return [
        ConvBlock(1, 4, N_MELS, frequency_coordinate=True),
        ConvBlock(4, 5, N_MELS, stride=2, pool=2),
        ConvBlock(5, 5, 4, kernel=5, dilation=2),
        ConvBlock(5, 6, 4, stride=2, pool=2),
        Flatten(),
    ]


def made(*, is_recurrent):
    """A network of every kind of part, with batch norms that have seen something, and its standardised bands."""
    torch.manual_seed(5)
    memory = [torch.nn.Linear(12, 7), torch.nn.ReLU(), Gru(7, 5), torch.nn.Linear(5, 3)]
    network = StreamNetwork(N_MELS, 3, conv_parts() + (memory if is_recurrent else [torch.nn.Linear(12, 3)]))
    frames = heard(400)
    network.standardise.measure(frames[0])
    for _ in range(20):
        network(frames, network.initial_state(2))
    return network.eval()


def heard(n_frames, batch=2):
    """Decibels of a noise whose bands differ in level."""
    return -40 + 20 * torch.randn(batch, n_frames, N_MELS) + torch.linspace(0, -30, N_MELS)


NETWORKS = {name: made(is_recurrent=name == "recurrent") for name in ("convolutional", "recurrent")}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@given(n_strides=st.lists(st.integers(1, 20), min_size=1, max_size=12), seed=st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_a_stream_in_any_pieces_is_the_whole_pass(network, n_strides, seed):
    torch.manual_seed(seed)
    pieces = [n * network.time_stride for n in n_strides]
    frames = heard(sum(pieces))
    with torch.no_grad():
        whole, last = network(frames, network.initial_state(2))
        state, outputs = network.initial_state(2), []
        for piece in frames.split(pieces, dim=1):
            posterior, state = network(piece, state)
            outputs.append(posterior)
    assert whole.shape == (2, sum(n_strides), 3)
    torch.testing.assert_close(torch.cat(outputs, dim=1), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(state, last, atol=1e-5, rtol=1e-5)


def test_after_the_cold_outputs_a_window_that_starts_anywhere_agrees_with_the_stream_and_before_it_does_not():
    network = NETWORKS["convolutional"]
    n_cold, stride = n_cold_outputs(network.layers), network.time_stride
    torch.manual_seed(0)
    frames = heard(100 * stride)
    start = 40
    with torch.no_grad():
        whole, _ = network(frames, network.initial_state(2))
        late, _ = network(frames[:, start * stride :], network.initial_state(2))
    off = (whole[:, start:] - late).abs().amax(dim=(0, 2))
    assert off[n_cold:].max() < 1e-5
    assert off[n_cold - 1] > 1e-5


@pytest.mark.parametrize(("kernel", "dilation", "stride"), [(3, 1, 1), (3, 1, 2), (5, 2, 1), (3, 4, 2)])
def test_a_block_keeps_its_newest_frames_flattened_from_channels_frames_and_bands(kernel, dilation, stride):
    block = ConvBlock(2, 3, 4, kernel=kernel, dilation=dilation, stride=stride).eval()
    n_kept = (kernel - 1) * dilation - (stride - 1)
    x = torch.randn(1, 2, 12, 4)
    y, state = block(x, torch.zeros(1, block.n_state))
    assert y.shape == (1, 3, 12 // stride, 4)
    assert block.n_state == 2 * n_kept * 4
    torch.testing.assert_close(state.reshape(1, 2, n_kept, 4), x[:, :, -n_kept:])


def test_a_block_that_strides_sees_the_newest_frame_at_once():
    block = ConvBlock(1, 8, 4, stride=2).eval()
    x = torch.randn(1, 1, 2, 4, requires_grad=True)
    y, _ = block(x, torch.zeros(1, block.n_state))
    y.sum().backward()
    assert x.grad[0, 0, 1].abs().max() > 0


def test_a_row_holds_the_states_of_the_parts_in_their_order():
    torch.manual_seed(1)
    blocks = [ConvBlock(1, 2, N_MELS, pool=2), ConvBlock(2, 3, 4)]
    gru = Gru(12, 5)
    chain = Chain([*blocks, Flatten(), gru]).eval()
    assert chain.n_states == [2 * N_MELS, 2 * 2 * 4, 5]
    x, states = torch.randn(3, 1, 6, N_MELS), [torch.randn(3, n) for n in chain.n_states]
    with torch.no_grad():
        y, row = chain(x, torch.cat(states, dim=1))
        one, first = blocks[0](x, states[0])
        two, second = blocks[1](one, states[1])
        three, third = gru(Flatten()(two), states[2])
    torch.testing.assert_close(y, three)
    torch.testing.assert_close(row, torch.cat([first, second, third], dim=1))


def test_sources_of_one_batch_do_not_touch_each_other():
    network = NETWORKS["recurrent"]
    frames = heard(40, batch=3)
    frames[1] += 60
    with torch.no_grad():
        together, rows = network(frames, network.initial_state(3))
        for i in range(3):
            alone, row = network(frames[i : i + 1], network.initial_state(1))
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=0)
            torch.testing.assert_close(rows[i : i + 1], row, atol=1e-5, rtol=1e-5)


def test_the_frequency_coordinate_is_a_further_channel_of_the_input():
    torch.manual_seed(2)
    block = ConvBlock(2, 3, 6, frequency_coordinate=True).eval()
    plain = ConvBlock(3, 3, 6).eval()
    with torch.no_grad():
        plain.conv.weight[:, :2] = block.conv.weight
        plain.conv.weight[:, 2:] = 0
        plain.conv.weight[:, 2, 1] = block.where.weight[:, 0, 0]
        x = torch.randn(1, 2, 7, 6)
        ramp = torch.linspace(-1, 1, 6).expand(1, 1, 7, 6)
        y, _ = block(x, torch.zeros(1, block.n_state))
        with_channel, _ = plain(torch.cat([x, ramp], dim=1), torch.zeros(1, plain.n_state))
    # The frames before the first have no coordinates in `plain`, so its first output is another.
    torch.testing.assert_close(y[:, :, 1:], with_channel[:, :, 1:])


def test_bands_are_standardised_by_the_training_set_and_a_dead_one_stays_finite():
    network = made(is_recurrent=False)
    frames = heard(5_000)[0]
    frames[:, 3] = -70
    network.standardise.measure(frames)
    channel = network.standardise(frames[None])[0, 0]
    torch.testing.assert_close(channel.mean(dim=0), torch.zeros(N_MELS), atol=1e-3, rtol=0)
    alive = [band for band in range(N_MELS) if band != 3]
    torch.testing.assert_close(channel.std(dim=0)[alive], torch.ones(N_MELS - 1), atol=1e-3, rtol=0)
    assert channel[:, 3].abs().max() < 1e-1


def test_frames_that_do_not_fill_the_strides_are_refused():
    network = NETWORKS["convolutional"]
    with pytest.raises(ValueError, match="6 frames; expected a multiple of 4, the time stride"):
        network(heard(6), network.initial_state(2))


@pytest.mark.parametrize("wrong", [{"kernel": 2}, {"stride": 3}, {"kernel": 1}])
def test_a_block_that_would_skip_frames_or_has_no_middle_is_refused(wrong):
    with pytest.raises(ValueError, match="expected an odd kernel with a stride of at most"):
        ConvBlock(1, 1, 4, **wrong)


def test_training_reaches_every_weight_through_a_state_that_is_carried_over():
    network = made(is_recurrent=True).train()
    state = network.initial_state(2)
    for _ in range(2):
        logits, state = network.logits(heard(n_frames_seen(network.layers) // 4 * 4), state)
    torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.rand_like(logits)).backward()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in network.parameters())
