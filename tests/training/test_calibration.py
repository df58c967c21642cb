"""Calibration against sums made by hand, against Murphy's decomposition, and on tones through a tiny model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("onnx")
pytest.importorskip("scipy")

from streamd.model import Model
from tests import tiny_models
from tests.tiny_models import SAMPLE_RATE, tone
from training.expect.calibration import calibration, hops_of
from training.expect.event_match import Sound
from training.expect.play import LabelledStream, Played, play

LOW = "Low tone"
hops = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def arrays(pairs: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p for p, _ in pairs], np.float64), np.array([t for _, t in pairs], np.bool_)


@given(hops, st.integers(1, 12))
def test_bins_error_and_brier_are_the_sums_that_their_papers_write(pairs, n_bins):
    found = calibration(*arrays(pairs), n_bins)
    error = 0.0
    for i, one in enumerate(found.bins):
        mine = [(p, t) for p, t in pairs if i / n_bins <= p and (p < (i + 1) / n_bins or i == n_bins - 1)]
        assert (one.low, one.high, one.n_hops) == (i / n_bins, (i + 1) / n_bins, len(mine))
        if not mine:
            assert one.mean_posterior is one.share_present is None
            continue
        mean, share = sum(p for p, _ in mine) / len(mine), sum(t for _, t in mine) / len(mine)
        assert (one.mean_posterior, one.share_present) == pytest.approx((mean, share))
        error += len(mine) / len(pairs) * abs(mean - share)
    assert found.expected_error == pytest.approx(error, abs=1e-12)
    assert found.brier == pytest.approx(sum((p - t) ** 2 for p, t in pairs) / len(pairs))


@given(st.lists(st.tuples(st.sampled_from([0.05, 0.25, 0.55, 0.95]), st.booleans()), min_size=1, max_size=60))
def test_brier_is_reliability_minus_resolution_plus_uncertainty(pairs):
    # Murphy (1973): exact where all posteriors of a bin are equal.
    found = calibration(*arrays(pairs))
    share = np.mean([t for _, t in pairs])
    full = [one for one in found.bins if one.n_hops]
    reliability = sum(one.n_hops * (one.mean_posterior - one.share_present) ** 2 for one in full) / len(pairs)
    resolution = sum(one.n_hops * (one.share_present - share) ** 2 for one in full) / len(pairs)
    assert found.brier == pytest.approx(reliability - resolution + share * (1 - share), abs=1e-12)


def test_posteriors_that_are_chances_are_calibrated_and_sharpened_ones_are_not():
    random = np.random.default_rng(0)
    chances = random.random(100_000)
    present = random.random(100_000) < chances
    honest, bold = calibration(chances, present), calibration(np.clip(2 * chances - 0.5, 0, 1), present)
    assert honest.expected_error < 0.01
    assert honest.brier == pytest.approx(1 / 6, abs=0.005)  # mean of c·(1 − c)
    assert bold.expected_error == pytest.approx(1 / 8, abs=0.01)
    assert bold.brier > honest.brier
    assert all(one.share_present == pytest.approx(one.mean_posterior, abs=0.03) for one in honest.bins)


def test_a_model_that_hears_its_tone_is_right_wherever_no_edge_is_near(tmp_path):
    model = Model(tiny_models.build(tmp_path, "stream", "log_mel"), "cpu")
    samples = np.random.default_rng(0).normal(0, 1e-4, 20 * SAMPLE_RATE).astype(np.float32)
    sounds = [Sound(LOW, 2.0, 5.0), Sound(LOW, 9.0, 9.5), Sound("High tone", 12.0, 14.0)]
    for sound in sounds:
        begin, end = round(sound.onset_seconds * SAMPLE_RATE), round(sound.offset_seconds * SAMPLE_RATE)
        samples[begin:end] += tone(end - begin, sound.label, 0.8)
    played = play(model, [LabelledStream("room", samples, tuple(sounds))])
    posteriors, present = hops_of(played, model.manifest, LOW)
    hop_seconds = model.manifest.hop_seconds
    left_out = len(played[0].posteriors) - len(posteriors)
    assert left_out * hop_seconds == pytest.approx(4 * 0.4, abs=4 * hop_seconds)  # four edges, 0.2 s to each side
    assert present.sum() * hop_seconds == pytest.approx(3.5 - 4 * 0.2, abs=0.2)
    assert ((posteriors > 0.5) == present).all()
    found = calibration(posteriors, present)
    assert found.brier < 0.01
    assert found.bins[-1].share_present == 1.0
    assert found.bins[0].share_present == 0.0


def test_a_hop_speaks_of_the_audio_a_delay_before_its_end():
    facts = tiny_models.manifest("stream", "log_mel", onset_delay=1600, offset_delay=8000)  # 0.2 s and 1 s
    ends = np.arange(1, 501) * 0.04
    stream = LabelledStream("room", np.zeros(0, np.int16), (Sound(LOW, 5.0, 10.0),))
    posteriors = np.repeat(ends[:, None] / 20, 3, axis=1).astype(np.float32)
    found, present = hops_of([Played(stream, posteriors, ends, ())], facts, LOW)
    there = 20 * found[present]
    assert (there.min(), there.max()) == pytest.approx((5.4, 10.8), abs=0.05)  # 0.2 s, the collar, off each end
    away = 20 * found[~present]
    assert not ((away > 5.0) & (away < 11.2)).any()


def test_no_hop_and_a_posterior_that_is_none_are_refused():
    with pytest.raises(ValueError, match="0 posteriors and 0 truths"):
        calibration(np.zeros(0), np.zeros(0, np.bool_))
    with pytest.raises(ValueError, match="2 posteriors and 1 truths"):
        calibration(np.zeros(2), np.zeros(1, np.bool_))
    for wrong in (-0.1, 1.5, np.nan):
        with pytest.raises(ValueError, match="expected 0 to 1"):
            calibration(np.array([0.5, wrong]), np.zeros(2, np.bool_))
