"""The log-mel on torch against the daemon's own, and what training needs of it beyond that."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from streamd.logmel import LogMelSpec, log_mel  # noqa: E402
from tests.sounds import crow  # noqa: E402
from training.process.log_mel import LogMel, from_log, to_log  # noqa: E402

YAMNET = LogMelSpec(
    win_length=400, fmin=125, fmax=7500, mel_scale="htk", mel_triangle="mel", power=1, log="ln", floor=None, offset=1e-3
)
SPECS = {
    "default": LogMelSpec(),
    "yamnet": YAMNET,
    "magnitudes, area norm": LogMelSpec(mel_scale="htk", mel_norm="slaney", power=1, floor=3e-4),
    "short window, odd hop": LogMelSpec(win_length=401, hop_length=97),
    "8 kHz, ln": LogMelSpec(
        sample_rate=8000, n_fft=256, win_length=200, hop_length=80, n_mels=23, fmax=4000, log="ln", floor=1e-5
    ),
    "44.1 kHz": LogMelSpec(sample_rate=44_100, n_fft=2048, win_length=1764, hop_length=441, n_mels=128, fmax=22_050),
    "odd n_fft, offset": LogMelSpec(
        sample_rate=48_000, n_fft=1023, win_length=960, hop_length=480, n_mels=40, fmax=20_000, floor=None, offset=1e-6
    ),
    "hop beyond the window": LogMelSpec(hop_length=700),
}
TOLERANCE_DB = 2e-5
"""float32 steps by 7.6e-6 between -64 and -128 dB: two or three of the last rounding's steps, nothing more."""


def signals(sample_rate: int) -> dict[str, np.ndarray]:
    n = np.arange(sample_rate)
    rng = np.random.default_rng(0)
    made = {
        "noise": 0.1 * rng.standard_normal(len(n)),
        "full-scale tone": 0.99 * np.sin(2 * np.pi * 440 * n / sample_rate),
        "chirp": 0.9 * np.sin(2 * np.pi * (100 * n / sample_rate + 1500 * (n / sample_rate) ** 2)),
        "one bit": rng.integers(-1, 2, len(n)) / 32768,
        "silence": np.zeros(len(n)),
        "crow": np.pad(crow(), (0, len(n)))[: len(n)],
    }
    return {name: audio.astype(np.float32) for name, audio in made.items()}


@pytest.mark.parametrize("name", SPECS)
def test_torch_gives_the_frames_of_the_daemon(name):
    spec = SPECS[name]
    heard = signals(spec.sample_rate)
    frames = LogMel(spec)(torch.tensor(np.stack(list(heard.values()))))
    assert frames.dtype == torch.float32
    for row, (signal, audio) in zip(frames, heard.items(), strict=True):
        difference_db = np.abs(row.numpy() - log_mel(audio, spec)).max() * spec.decibels_per_unit
        assert difference_db < TOLERANCE_DB, signal


def test_a_loop_that_trains_in_half_precision_changes_no_frame():
    audio = torch.tensor(crow())[None]
    front_end = LogMel(LogMelSpec())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = front_end(audio)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, front_end(audio))


def test_int16_samples_are_those_divided_by_32768():
    pcm = (crow() * 32767).astype(np.int16)
    frames = LogMel(LogMelSpec())(torch.tensor(pcm)[None])[0].numpy()
    np.testing.assert_allclose(frames, log_mel(pcm, LogMelSpec()), atol=TOLERANCE_DB, rtol=0)


def test_audio_shorter_than_a_window_has_no_frame():
    assert LogMel(LogMelSpec())(torch.zeros(3, 511)).shape == (3, 0, 64)
    assert LogMel(LogMelSpec())(torch.zeros(3, 512)).shape == (3, 1, 64)


@pytest.mark.parametrize("name", ["default", "yamnet", "magnitudes, area norm"])
def test_a_gradient_reaches_the_samples_and_silence_does_not_break_it(name):
    audio = torch.zeros(2, 4000)
    audio[0] = 0.1 * torch.randn(4000, generator=torch.Generator().manual_seed(0))
    audio.requires_grad_()
    LogMel(SPECS[name])(audio).sum().backward()
    assert torch.isfinite(audio.grad).all()
    # The very first sample is under the window's zero.
    assert (audio.grad[0, 1:3000] != 0).float().mean() > 0.99


def test_the_gradient_is_the_slope():
    generator = torch.Generator().manual_seed(0)
    spec = LogMelSpec(n_fft=64, win_length=64, hop_length=32, n_mels=6, fmin=300)
    samples = torch.randn(1, 128, generator=generator).requires_grad_()
    LogMel(spec)(samples).sum().backward()
    step = torch.randn(1, 128, generator=generator)
    with torch.no_grad():
        rise = LogMel(spec)(samples + 1e-3 * step).double().sum() - LogMel(spec)(samples - 1e-3 * step).double().sum()
    assert float((samples.grad * step).sum()) == pytest.approx(float(rise) / 2e-3, rel=5e-3)


def test_a_checkpoint_brings_no_filters_of_its_own():
    assert LogMel(LogMelSpec()).state_dict() == {}


@pytest.mark.parametrize("name", SPECS)
def test_the_logarithm_can_be_undone_down_to_its_floor(name):
    spec = SPECS[name]
    passed = torch.tensor([0.0, 1e-2, 1.0, 300.0], dtype=torch.float64)
    np.testing.assert_allclose(from_log(to_log(passed, spec), spec), passed, rtol=1e-9, atol=1e-12)
