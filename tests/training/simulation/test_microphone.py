"""Microphones: each kind's response, measured with noise, against the curve it says it has."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import welch

from training.prepare.simulation.chance import generator
from training.prepare.simulation.microphone import KINDS, Microphone, MicrophoneRange, draw
from training.prepare.simulation.noise import ColouredNoise

SAMPLE_RATE = 16_000


@pytest.mark.parametrize("kind", KINDS)
def test_noise_through_it_has_the_curve_of_its_kind(kind):
    noise = ColouredNoise(0, 1).make(30 * SAMPLE_RATE, SAMPLE_RATE)
    heard = Microphone(kind, KINDS[kind]).apply(noise, SAMPLE_RATE)
    hz, before = welch(noise, SAMPLE_RATE, nperseg=2048)
    _, after = welch(heard, SAMPLE_RATE, nperseg=2048)
    inside = (hz >= 100) & (hz <= 7500)
    wanted = KINDS[kind].decibels(hz[inside])
    found = 10 * np.log10(after[inside] / before[inside])
    loud = wanted > -30  # below it the window of the measurement leaks
    np.testing.assert_allclose(found[loud], wanted[loud], atol=0.7)


def test_a_phone_has_its_band_and_a_far_one_loses_the_heights():
    hz = np.array([100.0, 1000, 6000])
    phone, far = KINDS["phone"].decibels(hz), KINDS["far"].decibels(hz)
    assert phone[1] > -0.1
    assert max(phone[0], phone[2]) < -25
    assert far[2] < far[1] - 5


def test_specimens_differ_by_about_what_was_asked_for():
    rng = generator(1, "a", "microphone")
    drawn = [draw(rng, MicrophoneRange(kinds=("electret",))) for _ in range(500)]
    deviations = np.array([np.subtract(one.response.db, KINDS["electret"].db) for one in drawn])
    assert deviations.std() == pytest.approx(1.5, abs=0.15)
    edges = np.log2([one.response.low_hz / 80 for one in drawn])
    assert -0.25 <= edges.min() < -0.24
    assert 0.24 < edges.max() <= 0.25


def test_only_the_kinds_asked_for_are_drawn():
    rng = generator(1, "a", "microphone")
    assert {draw(rng, MicrophoneRange()).kind for _ in range(200)} == set(KINDS)
    assert {draw(rng, MicrophoneRange(kinds=("far", "flat"))).kind for _ in range(200)} == {"far", "flat"}
