"""The lean network of the speech detector: its budget, and that its stream is the whole pass."""

from __future__ import annotations

import pytest
import torch

from streamd.logmel import LogMelSpec
from training.design.cost import macs_per_second
from training.design.speech_net import HOP_FRAMES, SpeechNet
from training.design.streaming import StreamNetwork

SPEC = LogMelSpec(hop_length=256)


@pytest.fixture
def network() -> StreamNetwork:
    torch.manual_seed(0)
    made = SpeechNet(SPEC.n_mels, 1)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features) / 10
    return made.eval()


def test_it_keeps_to_the_budget_of_a_detector_that_runs_all_the_time(network: StreamNetwork) -> None:
    assert macs_per_second(network, SPEC, HOP_FRAMES) <= 12e6
    assert sum(weight.numel() for weight in network.parameters()) < 150_000


def test_it_answers_once_a_hop(network: StreamNetwork) -> None:
    assert network.time_stride == HOP_FRAMES
    posteriors, _ = network(torch.randn(2, 5 * HOP_FRAMES, SPEC.n_mels), network.initial_state(2))
    assert posteriors.shape == (2, 5, 1)


def test_hop_by_hop_it_says_what_it_says_to_the_whole(network: StreamNetwork) -> None:
    frames = torch.randn(2, 30 * HOP_FRAMES, SPEC.n_mels)
    with torch.no_grad():
        whole, _ = network(frames, network.initial_state(2))
        state, parts = network.initial_state(2), []
        for piece in frames.split((3 * HOP_FRAMES, HOP_FRAMES, 26 * HOP_FRAMES), dim=1):
            part, state = network(piece, state)
            parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=0)


def test_too_few_bands_are_refused() -> None:
    with pytest.raises(ValueError, match="8 bands; expected at least 16"):
        SpeechNet(8, 1)
