"""Pitch: the frequency moves, time does not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.voice import voice
from training.prepare.simulation.activity import active_samples
from training.prepare.simulation.chance import generator
from training.prepare.simulation.pitch import Pitch, PitchRange, draw, stretched

SAMPLE_RATE = 16_000


def peak_hz(audio):
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 16 * SAMPLE_RATE))
    return np.argmax(spectrum) / 16


@pytest.mark.parametrize("semitones", [-3.5, -1.0, 0.0, 1.0, 4.0])
@pytest.mark.parametrize("hz", [110.0, 440.0, 3000.0])
def test_a_tone_moves_by_the_semitones_and_stays_as_long(semitones, hz):
    tone = np.sin(2 * np.pi * hz * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    out = Pitch(semitones).apply(tone, SAMPLE_RATE)
    assert out.shape == tone.shape
    assert out.dtype == np.float32
    moved = 12 * np.log2(peak_hz(out[1600:-1600]) / hz)
    assert moved == pytest.approx(semitones, abs=0.25)


@pytest.mark.parametrize("semitones", [-2.0, 2.0])
def test_a_burst_stays_where_it_is(semitones):
    audio = np.zeros(SAMPLE_RATE, np.float32)
    audio[6000:9000] = 0.3 * generator(1, "a", "b").standard_normal(3000)
    where = np.flatnonzero(active_samples(Pitch(semitones).apply(audio, SAMPLE_RATE), SAMPLE_RATE))
    assert where[0] == pytest.approx(6000, abs=480)
    assert where[-1] == pytest.approx(9000, abs=480)


def test_a_stretch_by_one_changes_nothing():
    speech = voice(2).astype(np.float32) / 32_768
    np.testing.assert_allclose(stretched(speech, 1.0, SAMPLE_RATE), speech, atol=1e-6)


def test_a_voice_keeps_its_level_and_its_pauses():
    speech = voice(6).astype(np.float32) / 32_768
    out = Pitch(2.0).apply(speech, SAMPLE_RATE)
    frames = [np.sqrt(np.mean(one[:95_200].reshape(-1, 800) ** 2, axis=1)) for one in (speech, out)]
    assert np.corrcoef(*frames)[0, 1] > 0.95
    assert np.mean(frames[1] ** 2) == pytest.approx(np.mean(frames[0] ** 2), rel=0.2)


@pytest.mark.parametrize("n_samples", [1, 100, 5000])
def test_short_clips_work_too(n_samples):
    audio = np.ones(n_samples, np.float32)
    assert Pitch(1.0).apply(audio, SAMPLE_RATE).shape == audio.shape


def test_what_is_drawn_lies_in_its_range():
    rng = generator(1, "a", "pitch")
    assert all(abs(draw(rng, PitchRange()).semitones) <= 1 for _ in range(100))
