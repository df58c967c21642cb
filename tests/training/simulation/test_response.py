"""Responses of loudspeakers and microphones, measured on what comes out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, freqz

from training.prepare.simulation import loudspeaker
from training.prepare.simulation.chance import generator
from training.prepare.simulation.loudspeaker import LoudspeakerRange
from training.prepare.simulation.response import Response

SAMPLE_RATE = 16_000


def measured_db(response, frequencies, sample_rate=SAMPLE_RATE):
    """What a click becomes, at some frequencies."""
    click = np.zeros(sample_rate, np.float32)
    click[0] = 1
    out = response.apply(click, sample_rate)
    return 20 * np.log10(np.abs(freqz(out, worN=frequencies, fs=sample_rate)[1]))


@pytest.mark.parametrize("order", [1, 2, 4])
def test_edges_are_those_of_a_butterworth_filter(order):
    frequencies = np.geomspace(120, 7000, 30)
    low = butter(order, 2 * np.pi * 300, "highpass", analog=True)
    high = butter(order, 2 * np.pi * 3400, analog=True)
    wanted = np.zeros(len(frequencies))
    for b, a in (low, high):
        s = 2j * np.pi * frequencies
        wanted += 20 * np.log10(np.abs(np.polyval(b, s) / np.polyval(a, s)))
    found = measured_db(Response(300, order, 3400, order), frequencies)
    np.testing.assert_allclose(found, wanted, atol=0.1)


@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
def test_the_curve_comes_out_at_its_points(sample_rate):
    hz, db = (150, 400, 1000, 2500, 6000), (-6, 3, 0, 5, -10)
    found = measured_db(Response(hz=hz, db=db), hz, sample_rate)
    np.testing.assert_allclose(found, db, atol=0.3)


def test_nothing_comes_before_it_is_asked_for_and_the_answer_begins_at_once():
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[8000] = 1
    out = Response(300, 4, 3400, 4).apply(click, SAMPLE_RATE)
    assert np.abs(out[:8000]).max() < 1e-6
    assert np.abs(out[8000:8010]).max() == np.abs(out).max()


def test_a_response_without_edges_or_curve_changes_nothing():
    audio = generator(1, "a", "b").standard_normal(5000).astype(np.float32)
    np.testing.assert_allclose(Response().apply(audio, SAMPLE_RATE), audio, atol=1e-5)


def test_loudspeakers_are_drawn_within_their_range():
    rng = generator(1, "a", "loudspeaker")
    drawn = [loudspeaker.draw(rng, LoudspeakerRange()) for _ in range(100)]
    assert all(80 <= one.low_hz <= 500 and 6000 <= one.high_hz <= 18_000 for one in drawn)
