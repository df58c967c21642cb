"""What the speech example's figures rest on: the label rule, the AUC and its bootstrap, lags, banks of scenes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from examples.speech.activity import SAMPLE_RATE, active, spans, stretches
from examples.speech.auc import Counts, interval, on_grid, resamples
from examples.speech.scenes import Bank, narrow

SECOND = SAMPLE_RATE


def tone(seconds: float, level: float) -> np.ndarray:
    return level * np.sin(2 * np.pi * 400 * np.arange(round(seconds * SECOND)) / SECOND)


def test_speech_is_what_lies_within_30_db_of_the_loud_frames_with_short_gaps_filled() -> None:
    quiet = tone(0.5, 0.5 * 10 ** (-29 / 20))
    parts = [np.zeros(SECOND), tone(1, 0.5), np.zeros(SECOND * 19 // 100), quiet, np.zeros(SECOND // 5), tone(1, 0.5)]
    clip = np.concatenate([*parts, tone(1, 0.5 * 10 ** (-31 / 20))]).astype(np.float32)
    np.testing.assert_allclose(stretches(clip), [(1.0, 2.69), (2.89, 3.89)])


def test_silence_is_no_speech() -> None:
    assert not active(np.zeros(SECOND, np.int16)).any()
    assert spans(np.zeros(0, np.bool_)) == []


def test_the_auc_is_that_of_scikit_learn_with_ties_and_with_streams_drawn_again() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((6, 500)) < 0.4
    scores = np.round(rng.normal(truth * 0.7), 1)
    judged = rng.random(truth.shape) < 0.9
    counts = Counts.of(scores, truth, judged)
    assert counts.auc()[0] == pytest.approx(roc_auc_score(truth[judged], scores[judged]), abs=1e-9)
    drawn = [0, 0, 3, 5, 5, 5]
    weights = np.bincount(drawn, minlength=6)[None].astype(float)
    repeated = roc_auc_score(
        np.concatenate([truth[i][judged[i]] for i in drawn]), np.concatenate([scores[i][judged[i]] for i in drawn])
    )
    assert counts.auc(weights)[0] == pytest.approx(repeated, abs=1e-9)


def test_a_paired_bootstrap_draws_as_many_streams_as_there_are() -> None:
    drawn = resamples(7)
    assert (drawn.sum(axis=1) == 7).all()
    assert interval(np.arange(1001.0)) == (25.0, 975.0)


def test_a_frame_has_the_score_of_the_last_hop_that_had_ended_by_its_lag() -> None:
    ends, posteriors = np.array([0.128, 0.256, 0.384]), np.array([0.1, 0.2, 0.3])
    now = on_grid(ends, posteriors, 0.0, 40)
    assert np.isnan(now[:12]).all()
    assert now[[13, 24, 26, 39]].tolist() == [0.1, 0.1, 0.2, 0.3]
    later = on_grid(ends, posteriors, 0.128, 40)
    assert later[0] == 0.1
    assert later[13] == 0.2


def test_a_bank_gives_every_scene_once_in_each_pass_and_labels_half_a_stretch_shorter() -> None:
    audio = np.arange(5, dtype=np.int16)[:, None] * np.ones(100, np.int16)
    made = Bank(audio, [[(10, 60), (70, 75)]] * 5).scenes(seed=3, margin=10)
    scenes = list(made(0, 10))
    firsts = [round(float(scene.audio[0]) * 32768) for scene in scenes]
    assert sorted(firsts[:5]) == sorted(firsts[5:]) == [0, 1, 2, 3, 4]
    assert firsts[:5] != firsts[5:]
    assert [round(float(scene.audio[0]) * 32768) for scene in made(7, 2)] == firsts[7:9]
    assert [(label.onset_sample, label.offset_sample) for label in scenes[0].labels] == [(20, 50), (72, 73)]


def test_narrow_audio_has_nothing_above_4_khz() -> None:
    noise = np.random.default_rng(0).standard_normal(SECOND).astype(np.float32)
    power = np.abs(np.fft.rfft(narrow(noise)[: SECOND // 2 * 2])) ** 2
    half = len(power) // 2
    assert power[half + half // 20 :].sum() < 1e-4 * power[:half].sum()
