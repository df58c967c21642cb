"""Audio made again from a log-mel has that log-mel, and nothing that the log-mel doesn't have."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from streamd.logmel import LogMelSpec, log_mel  # noqa: E402
from tests.sounds import crow  # noqa: E402
from training.process.hear import hear, spectrum_of  # noqa: E402
from training.process.log_mel import LogMel, to_log  # noqa: E402

DEFAULT = LogMelSpec()
YAMNET = LogMelSpec(
    win_length=400, fmin=125, fmax=7500, mel_scale="htk", mel_triangle="mel", power=1, log="ln", floor=None, offset=1e-3
)
N = np.arange(24_000)
SOUNDS = {
    "chirp": (0.5 * np.sin(2 * np.pi * (100 * N / 16_000 + 1000 * (N / 16_000) ** 2))).astype(np.float32),
    "noise": (0.1 * np.random.default_rng(0).standard_normal(len(N))).astype(np.float32),
    "crow": crow(),
}


def distance_db(audio: np.ndarray, given: np.ndarray, spec: LogMelSpec) -> np.ndarray:
    return np.abs(log_mel(audio, spec) - given) * spec.decibels_per_unit


# Measured: 1.3, 0.3 and 0.5 dB with the default, 1.1, 0.25 and 0.4 dB with YAMNet's spec.
# A chirp is the hardest: between its line and the floor lie 60 dB that two consecutive frames must share.
@pytest.mark.parametrize("spec", [DEFAULT, YAMNET], ids=["default", "yamnet"])
@pytest.mark.parametrize(("sound", "bound_db"), [("chirp", 1.6), ("noise", 0.4), ("crow", 0.6)])
def test_the_log_mel_of_the_made_audio_is_the_given_one(sound, bound_db, spec):
    given = log_mel(SOUNDS[sound], spec)
    made = hear(given, spec)
    assert len(made) == (len(given) - 1) * spec.hop_length + spec.win_length
    assert distance_db(made, given, spec).mean() < bound_db


def test_without_griffin_lim_it_would_be_far():
    given = log_mel(crow(), DEFAULT)
    assert distance_db(hear(given, DEFAULT, n_iterations=0), given, DEFAULT).mean() > 2


@pytest.mark.parametrize("spec", [DEFAULT, YAMNET], ids=["default", "yamnet"])
def test_the_filters_are_undone_to_a_hundredth_of_a_decibel(spec):
    given = LogMel(spec)(torch.tensor(crow())).double()
    magnitude = spectrum_of(given, spec)
    assert (magnitude >= 0).all()
    again = to_log(magnitude**spec.power @ LogMel(spec).mel.double(), spec)
    assert float((again - given).abs().mean()) * spec.decibels_per_unit < 0.01


def test_a_tone_keeps_its_pitch_to_the_width_of_a_band():
    tone = 0.3 * np.sin(2 * np.pi * 1_000 * N / 16_000)
    made = hear(log_mel(tone.astype(np.float32), DEFAULT), DEFAULT)
    strongest = np.abs(np.fft.rfft(made * np.hanning(len(made)))).argmax() * 16_000 / len(made)
    assert strongest == pytest.approx(1_000, abs=60)


def test_what_no_filter_looks_at_stays_silent():
    narrow = LogMelSpec(fmin=1_000, fmax=3_000, n_mels=20)
    made = hear(log_mel(SOUNDS["noise"], narrow), narrow)
    power = np.abs(np.fft.rfft(made * np.hanning(len(made)))) ** 2
    hz = np.fft.rfftfreq(len(made), 1 / 16_000)
    outside = power[(hz < 900) | (hz > 3_100)].sum()
    assert outside < 1e-3 * power.sum()


def test_silence_is_made_of_the_floor():
    assert not hear(log_mel(np.zeros(4_000, np.float32), DEFAULT), DEFAULT).any()


def test_the_seed_makes_the_same_audio_again():
    given = log_mel(crow(), DEFAULT)
    assert np.array_equal(hear(given, DEFAULT, seed=3), hear(given, DEFAULT, seed=3))
    assert not np.array_equal(hear(given, DEFAULT, seed=3), hear(given, DEFAULT, seed=4))


def test_no_frames_make_no_audio():
    assert hear(np.zeros((0, 64), np.float32), DEFAULT).shape == (0,)
