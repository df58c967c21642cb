"""What is measured of a recording is what was put into it."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import soxr

from training.prepare.measure import bandwidth_hz, clipped_share, cutoff_hz, measure


def noise(seconds: float, sample_rate: int, rms: float = 0.1) -> np.ndarray:
    return np.random.default_rng(1).normal(0, rms, round(seconds * sample_rate)).astype(np.float32)


@pytest.mark.parametrize("recorded_at", [8000, 11_025, 16_000, 22_050, 32_000])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_a_file_blown_up_to_44_khz_shows_where_its_own_rate_ended(tmp_path, recorded_at, subtype):
    soundfile.write(tmp_path / "a.wav", soxr.resample(noise(1.0, recorded_at), recorded_at, 44_100), 44_100, subtype)
    found = measure(tmp_path / "a.wav")
    assert found.bandwidth_hz == pytest.approx(recorded_at / 2, rel=0.06)
    assert found.cutoff_hz == pytest.approx(recorded_at / 2, rel=0.1)


@pytest.mark.parametrize("db_per_octave", [0, 6, 12, 24])
def test_a_dull_sound_has_no_cliff(db_per_octave):
    spectrum = np.fft.rfft(noise(1.0, 44_100))
    hz = np.maximum(np.fft.rfftfreq(44_100, 1 / 44_100), 100)
    dull = np.fft.irfft(spectrum * (hz / 100) ** (-db_per_octave / 6.02), 44_100)
    assert cutoff_hz(dull.astype(np.float32), 44_100) is None


def test_the_bandwidth_of_a_tone_ends_at_the_tone_and_silence_has_none():
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    assert bandwidth_hz(tone + np.float32(0.3), 16_000) == pytest.approx(1000, abs=200)
    assert bandwidth_hz(np.zeros(16_000, np.float32), 16_000) == 0
    assert 0 < bandwidth_hz(tone[:40], 16_000) <= 8000
    assert cutoff_hz(np.zeros(16_000, np.float32), 16_000) is None
    assert cutoff_hz(noise(1.0, 4000), 4000) is None


def test_clipping_is_counted_at_full_scale_and_where_a_clip_was_turned_down_after_it():
    wave = (2 * np.sin(2 * np.pi * 100 * np.arange(16_000) / 16_000)).astype(np.float32)
    # A sine of twice the range is beyond it for two thirds of the time.
    assert clipped_share(wave.clip(-1, 1)) == pytest.approx(2 / 3, abs=0.01)
    assert clipped_share(wave.clip(-1, 1) * np.float32(0.3)) == pytest.approx(2 / 3, abs=0.01)
    assert clipped_share(wave / 2) < 0.001
    assert clipped_share(noise(1.0, 16_000)) == 0
    faint = np.rint(noise(1.0, 16_000, 1e-5) * 32768) / 32768
    assert clipped_share(faint.astype(np.float32)) == 0


def test_levels_are_those_of_the_sound_and_of_its_floor(tmp_path):
    samples = noise(2.0, 16_000, 10 ** (-60 / 20))
    samples[8000:16_000] += noise(0.5, 16_000, 10 ** (-20 / 20))
    soundfile.write(tmp_path / "a.wav", samples + 0.05, 16_000, "FLOAT")
    found = measure(tmp_path / "a.wav")
    assert found.dc == pytest.approx(0.05, abs=0.001)
    assert found.loudness_db == pytest.approx(-20, abs=0.5)
    assert found.snr_db == pytest.approx(40, abs=1)
    assert found.duration_seconds == 2.0


def test_equal_audio_has_one_digest_in_wav_and_flac_and_no_other_rate_has_it(tmp_path):
    samples = np.rint(noise(0.5, 16_000) * 32768).astype(np.int16)
    for name, rate in (("a.wav", 16_000), ("b.flac", 16_000), ("c.wav", 8000)):
        soundfile.write(tmp_path / name, samples, rate)
    digests = [measure(tmp_path / name).digest for name in ("a.wav", "b.flac", "c.wav")]
    assert digests[0] == digests[1] != digests[2]
