"""How far networks look back: the formula against gradients, and the depth that fits events."""

from __future__ import annotations

import re

import pytest

torch = pytest.importorskip("torch")

from streamd.logmel import LogMelSpec  # noqa: E402
from training.design.receptive_field import (  # noqa: E402
    Layer,
    choose_depth,
    n_cold_outputs,
    n_frames_seen,
    seconds_seen,
    total_stride,
)
from training.design.streaming import Chain, ConvBlock  # noqa: E402

SPEC = LogMelSpec()

STACKS = {
    "plain": [Layer(3)] * 4,
    "strides": [Layer(3), Layer(3, 1, 2), Layer(3), Layer(3, 1, 2)],
    "dilations": [Layer(3, 1), Layer(3, 2), Layer(3, 4)],
    "mixed": [Layer(5, 1, 2), Layer(3, 2, 2), Layer(5), Layer(3, 3)],
}


def doubling(n_blocks):
    """Each block looks about twice as far: 5, 13, 29, 61 frames."""
    return [Layer(3), Layer(3, 1, 2)] * n_blocks


@pytest.mark.parametrize("layers", STACKS.values(), ids=STACKS)
def test_gradients_reach_exactly_as_many_frames_as_the_formula_says(layers):
    torch.manual_seed(0)
    chain = Chain(ConvBlock(1 if not i else 8, 8, 2, **layer._asdict()) for i, layer in enumerate(layers)).eval()
    n_frames = 20 * total_stride(layers)
    frames = torch.randn(8, 1, n_frames, 2, requires_grad=True)
    y, _ = chain(frames, torch.zeros(8, chain.n_state))
    y[:, :, -1].sum().backward()
    seen = frames.grad.abs().sum(dim=(0, 1, 3)).nonzero()[:, 0].tolist()
    # Up to the newest frame, and none of them left out.
    assert seen == list(range(n_frames - n_frames_seen(layers), n_frames))
    assert chain.layers == tuple(layers)


def test_seconds_count_the_whole_window_of_the_first_and_the_last_frame():
    # Two 3×3 convolutions at a window of 32 ms and a hop of 10 ms.
    assert n_frames_seen([Layer(3), Layer(3)]) == 5
    assert seconds_seen([Layer(3), Layer(3)], SPEC) == pytest.approx(0.032 + 4 * 0.010)
    assert seconds_seen([], SPEC) == pytest.approx(0.032)


@pytest.mark.parametrize("layers", STACKS.values(), ids=STACKS)
def test_the_first_output_that_is_not_cold_is_the_first_with_a_full_field(layers):
    cold, stride = n_cold_outputs(layers), total_stride(layers)
    assert (cold + 1) * stride >= n_frames_seen(layers) > cold * stride


def test_the_depth_is_the_least_that_covers_nine_events_of_ten():
    depth = choose_depth([0.2] * 9, doubling, SPEC, max_blocks=6)
    assert depth.n_blocks == 3
    assert depth.receptive_field_seconds == pytest.approx(0.032 + 0.28)
    assert depth.event_seconds == pytest.approx(0.2)
    assert depth.warning is None
    # One long event among many does not set the depth.
    assert choose_depth([0.2] * 99 + [60.0], doubling, SPEC, max_blocks=6).n_blocks == 3


@pytest.mark.parametrize(
    ("seconds", "n_blocks", "warning"),
    [
        (0.023, 1, r"sees 0\.07 s, 3\.1 times an event \(90th percentile 0\.02 s\): it may learn what lies around"),
        (0.025, 1, None),
        (1.2, 4, None),
        (1.3, 4, r"sees 0\.63 s, 0\.49 times an event \(90th percentile 1\.30 s\): it can't know an event as a whole"),
    ],
)
def test_a_field_that_does_not_fit_the_events_warns_in_one_line(seconds, n_blocks, warning):
    depth = choose_depth([seconds], doubling, SPEC, max_blocks=4)
    assert depth.n_blocks == n_blocks
    if warning is None:
        assert depth.warning is None
    else:
        assert depth.warning is not None
        assert "\n" not in depth.warning
        assert re.search(warning, depth.warning)


@pytest.mark.parametrize("events", [[], [0.0], [0.3, -1.0], [float("nan")]])
def test_events_without_a_length_are_refused(events):
    with pytest.raises(ValueError, match=r"no events|not a positive number of seconds"):
        choose_depth(events, doubling, SPEC, max_blocks=4)
