"""Poolings: bounds, order, gradients and a case by hand; sparsity measured from labels, and what follows from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from training.design.pooling import Pooling, choose_pooling, pool, shares_on, strong_loss, weak_loss  # noqa: E402
from training.prepare.clips import Clip  # noqa: E402
from training.prepare.simulation.scene import Placed, Scene  # noqa: E402

WEAK = [Pooling.MEAN, Pooling.LINEAR_SOFTMAX, Pooling.MAX]
LOGITS = st.lists(st.floats(-12, 12, width=32), min_size=1, max_size=30)
CLIP = Clip(Path("knock.wav"), "knock", None, None, None, None)


def column(values):
    return torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1)


def logits_of(*posteriors):
    return torch.logit(column(posteriors))


def scene(n_samples, *labels):
    placed = [Placed(label, onset, offset, CLIP) for label, onset, offset in labels]
    return Scene(np.zeros(n_samples, np.float32), 16_000, placed)


@given(LOGITS)
@settings(deadline=None)
def test_pooled_posteriors_lie_among_those_of_the_frames_and_rise_from_mean_over_linear_softmax_to_max(values):
    p = torch.sigmoid(column(values))
    mean, linear, highest = (pool(pooling, column(values)).item() for pooling in WEAK)
    slack = 1e-9
    assert p.min().item() - slack <= mean <= linear + slack
    assert linear <= highest + slack
    assert highest == pytest.approx(p.max().item(), abs=slack)


@given(LOGITS, st.randoms())
@settings(deadline=None)
def test_the_order_of_frames_does_not_matter(values, random):
    shuffled = random.sample(values, len(values))
    for pooling in WEAK:
        torch.testing.assert_close(pool(pooling, column(values)), pool(pooling, column(shuffled)))


@pytest.mark.parametrize("pooling", WEAK)
def test_equal_frames_pool_to_what_they_are(pooling):
    torch.testing.assert_close(pool(pooling, logits_of(0.3, 0.3, 0.3))[0, 0].item(), 0.3)


def test_three_frames_by_hand():
    frames = logits_of(0.8, 0.2, 0.5)
    by_hand = {Pooling.MEAN: 1.5 / 3, Pooling.LINEAR_SOFTMAX: 0.93 / 1.5, Pooling.MAX: 0.8}
    for pooling, posterior in by_hand.items():
        assert pool(pooling, frames).item() == pytest.approx(posterior)
        for target in (0.0, 1.0, 0.25):
            loss = weak_loss(pooling, frames, column([target])[0])
            by_definition = -(target * np.log(posterior) + (1 - target) * np.log(1 - posterior))
            assert loss.item() == pytest.approx(by_definition)


def test_where_each_pooling_pushes():
    """By hand: d/dp of Σp²/Σp is (2p − pooled) / Σp, here with a pooled posterior of 0.62."""
    by_hand = {
        Pooling.MEAN: [1 / 3, 1 / 3, 1 / 3],
        Pooling.LINEAR_SOFTMAX: [(2 * p - 0.62) / 1.5 for p in (0.8, 0.2, 0.5)],
        Pooling.MAX: [1, 0, 0],
    }
    for pooling, slopes in by_hand.items():
        p = column([0.8, 0.2, 0.5]).requires_grad_()
        pool(pooling, torch.logit(p)).sum().backward()
        torch.testing.assert_close(p.grad.flatten(), torch.tensor(slopes, dtype=torch.float64))
    assert by_hand[Pooling.LINEAR_SOFTMAX][1] < 0 < by_hand[Pooling.LINEAR_SOFTMAX][2]


@pytest.mark.parametrize("pooling", WEAK)
def test_gradients_of_the_loss_are_those_of_finite_differences(pooling):
    torch.manual_seed(1)
    logits = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.rand(2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: weak_loss(pooling, x, targets), (logits,))


@pytest.mark.parametrize("pooling", WEAK)
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_a_network_that_is_sure_of_the_wrong_thing_is_still_told_so(pooling, target):
    wrong = torch.full((1, 4, 1), 200.0 if target == 0 else -200.0, requires_grad=True)
    loss = weak_loss(pooling, wrong, torch.tensor([[target]]))
    loss.sum().backward()
    assert loss.item() == pytest.approx(200)
    assert wrong.grad.sum().item() == pytest.approx(1 if target == 0 else -1, rel=1e-4)


def test_frame_wise_loss_is_the_cross_entropy_of_each_frame():
    loss = strong_loss(logits_of(0.8, 0.2), column([1, 1]))
    torch.testing.assert_close(loss, -torch.log(column([0.8, 0.2])))


def test_the_share_of_time_counts_only_scenes_that_hold_the_sound():
    scenes = [
        scene(100, ("knock", 10, 15), ("hum", 20, 100), ("knock", 50, 55)),
        scene(300, ("hum", 0, 280)),
        scene(1000),
    ]
    assert shares_on(scenes) == pytest.approx({"knock": 0.1, "hum": 0.9})


def test_time_in_which_a_label_overlaps_itself_or_leaves_the_scene_counts_once_and_not_at_all():
    assert shares_on([scene(100, ("bird", 10, 50), ("bird", 20, 30), ("bird", 40, 60), ("bird", 90, 200))]) == {
        "bird": 0.6
    }


@pytest.mark.parametrize(
    ("share", "is_strong", "pooling", "reason"),
    [
        (0.01, True, Pooling.FRAME_WISE, "onsets are known"),
        (None, False, Pooling.LINEAR_SOFTMAX, "no onset is known"),
        (0.01, False, Pooling.MAX, "on for 1.0% of the scenes that hold it, under 5%"),
        (0.05, False, Pooling.LINEAR_SOFTMAX, "on for 5.0%"),
        (0.8, False, Pooling.MEAN, "on for 80.0% of the scenes that hold it, 80% or more"),
    ],
)
def test_labels_and_their_sparsity_choose_the_pooling(share, is_strong, pooling, reason):
    choice = choose_pooling(share, is_strong=is_strong)
    assert (choice.pooling, choice.share_on) == (pooling, share)
    assert choice.reason.startswith(reason)


@pytest.mark.parametrize("share", [0.03, 0.042, 0.044, 0.1])
def test_the_least_share_for_linear_softmax_is_where_it_stops_calling_a_right_network_wrong(share):
    n_frames = 10_000
    n_on = round(share * n_frames)
    posteriors = torch.full((1, n_frames, 1), 0.05, dtype=torch.float64)
    posteriors[:, :n_on] = 1 - 1e-9
    assert (pool(Pooling.LINEAR_SOFTMAX, torch.logit(posteriors)).item() > 0.5) == (share > 0.043)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: choose_pooling(1.2, is_strong=False), "on for 1.2 of the time; expected a share of 0 to 1"),
        (lambda: pool(Pooling.FRAME_WISE, torch.zeros(1, 3, 1)), "frame-wise is no pooling"),
        (lambda: pool(Pooling.MAX, torch.zeros(1, 0, 1)), "no frames to pool"),
        (lambda: weak_loss(Pooling.MAX, torch.zeros(2, 3, 1), torch.zeros(2, 3)), r"expected \(2, 1\), one a scene"),
        (lambda: strong_loss(torch.zeros(2, 3, 1), torch.zeros(2, 1)), r"expected \(2, 3, 1\), one a frame"),
    ],
)
def test_what_cannot_be_pooled_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
