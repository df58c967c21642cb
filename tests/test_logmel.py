"""The log-mel spectrogram: no chunking changes a bit; librosa and YAMNet's own front end are the truth."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import librosa
import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamd.logmel import LogMel, LogMelSpec, log_mel, tables, to_float

Floats = NDArray[np.float32]

YAMNET = LogMelSpec(
    win_length=400,
    fmin=125,
    fmax=7500,
    mel_scale="htk",
    mel_triangle="mel",
    power=1,
    log="ln",
    floor=None,
    offset=0.001,
)

# The floor of a magnitude is that of a power, 70 dB under 1: farther down in the valleys between two
# tones lies nothing but the rounding of float32.
# From 8 to 48 kHz, windows shorter than the FFT, hops that divide nothing or leave samples out, an odd n_fft.
GRID = [
    LogMelSpec(),
    LogMelSpec(mel_norm="slaney"),
    LogMelSpec(mel_scale="htk", mel_norm="slaney", power=1, floor=3e-4),
    LogMelSpec(win_length=400, power=1, floor=3e-4),
    LogMelSpec(win_length=401, hop_length=97, mel_scale="htk"),
    LogMelSpec(log="ln", floor=1e-5),
    LogMelSpec(log="ln", floor=None, offset=1e-3, mel_norm="slaney", power=1),
    LogMelSpec(floor=None, offset=1e-6, fmin=0, fmax=4000, n_mels=32),
    LogMelSpec(sample_rate=8000, n_fft=256, win_length=200, hop_length=80, n_mels=23, fmin=20, fmax=4000),
    LogMelSpec(sample_rate=32000, n_fft=1024, win_length=1024, hop_length=320, fmin=50, fmax=14000),
    LogMelSpec(sample_rate=44100, n_fft=2048, win_length=1764, hop_length=441, n_mels=128, fmin=0, fmax=22050),
    LogMelSpec(sample_rate=48000, n_fft=1023, win_length=960, hop_length=480, n_mels=40, fmin=100, fmax=20000),
    LogMelSpec(hop_length=700),
]


@st.composite
def specs(draw: st.DrawFn) -> LogMelSpec:
    sample_rate = draw(st.sampled_from([8000, 16000, 44100]))
    n_fft = draw(st.sampled_from([64, 200, 256, 400, 512]))
    win_length = draw(st.integers(n_fft // 2, n_fft))
    logarithm: dict[str, Any] = draw(st.sampled_from([{}, {"log": "ln"}, {"log": "ln", "floor": None, "offset": 1e-3}]))
    spec = LogMelSpec(
        sample_rate=sample_rate,
        n_fft=n_fft,
        win_length=win_length,
        hop_length=draw(st.integers(win_length // 4, win_length + 40)),
        n_mels=draw(st.integers(1, 12)),
        fmin=draw(st.sampled_from([0.0, 60.0, 300.0])),
        fmax=draw(st.sampled_from([0.3, 0.5])) * sample_rate,
        mel_scale=draw(st.sampled_from(["slaney", "htk"])),
        mel_triangle=draw(st.sampled_from(["hz", "mel"])),
        mel_norm=draw(st.sampled_from(["none", "slaney"])),
        power=draw(st.sampled_from([1, 2])),
        **logarithm,
    )
    try:
        tables(spec)
    except ValueError:
        assume(False)
    return spec


def noise(n_samples: int, seed: int = 0, level: float = 0.1) -> Floats:
    return (level * np.random.default_rng(seed).standard_normal(n_samples)).clip(-1, 0.9999).astype(np.float32)


def pushed(spec: LogMelSpec, samples: NDArray[np.int16] | Floats, cuts: list[int], skip: int = 0) -> Floats:
    """What streaming gives when the samples are cut at these positions."""
    stream = LogMel(spec)
    stream.reset(skip)
    return np.concatenate([stream.push(block) for block in np.split(samples, sorted(cuts))])


def assert_same_bits(actual: Floats, expected: Floats) -> None:
    assert actual.dtype == expected.dtype == np.float32
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


@settings(max_examples=80)
@given(spec=specs(), seed=st.integers(0, 99), as_int16=st.booleans(), data=st.data())
def test_no_chunking_changes_a_bit(spec: LogMelSpec, seed: int, as_int16: bool, data: st.DataObject) -> None:
    n_samples = data.draw(st.integers(0, spec.win_length + 40 * spec.hop_length), "n_samples")
    skip = data.draw(st.integers(0, 3 * spec.hop_length), "skip")
    cuts = data.draw(st.lists(st.integers(0, n_samples), max_size=30), "cuts")
    samples = noise(n_samples, seed)
    block = (samples * 32767).astype(np.int16) if as_int16 else samples
    assert_same_bits(pushed(spec, block, cuts, skip), log_mel(block[skip:], spec))


@pytest.mark.parametrize("spec", GRID)
@pytest.mark.parametrize("block", [1, 159, 160, 161, 1280, 100_000])
def test_any_block_size_gives_the_bits_of_the_whole_clip(spec: LogMelSpec, block: int) -> None:
    samples = noise(6_000 if block == 1 else 120_000)
    assert_same_bits(pushed(spec, samples, list(range(block, len(samples), block))), log_mel(samples, spec))


@settings(max_examples=25)
@given(spec=specs(), n_samples=st.integers(0, 4000))
def test_there_are_as_many_frames_as_fit(spec: LogMelSpec, n_samples: int) -> None:
    starts = range(0, n_samples - spec.win_length + 1, spec.hop_length)
    assert log_mel(noise(n_samples), spec).shape == (len(starts), spec.n_mels)


@settings(max_examples=25)
@given(spec=specs(), t=st.integers(0, 30))
def test_a_frame_is_made_of_its_own_samples_alone(spec: LogMelSpec, t: int) -> None:
    samples = noise(spec.win_length + 30 * spec.hop_length)
    alone = samples[t * spec.hop_length :][: spec.win_length]
    np.testing.assert_allclose(log_mel(alone, spec)[0], log_mel(samples, spec)[t], rtol=1e-6, atol=1e-4)


@settings(max_examples=25)
@given(spec=specs(), n_quiet=st.integers(0, 3000))
def test_a_loud_later_part_changes_no_bit_of_an_earlier_frame(spec: LogMelSpec, n_quiet: int) -> None:
    quiet = noise(n_quiet, level=1e-3)
    loud = noise(2000, seed=1, level=0.9)
    before = log_mel(quiet, spec)
    assert_same_bits(log_mel(np.concatenate([quiet, loud]), spec)[: len(before)], before)


def test_a_reset_forgets_everything() -> None:
    samples = noise(20_000)
    stream = LogMel(LogMelSpec())
    stream.push(noise(12_345, seed=1))
    stream.reset()
    assert_same_bits(stream.push(samples), log_mel(samples, LogMelSpec()))


def test_int16_is_the_float_of_32768_parts() -> None:
    samples = np.array([-32768, -1, 0, 1, 32767], np.int16)
    np.testing.assert_array_equal(to_float(samples), np.array([-32768, -1, 0, 1, 32767]) / 32768)
    clip = (noise(5_000) * 32767).astype(np.int16)
    assert_same_bits(log_mel(clip, LogMelSpec()), log_mel(to_float(clip), LogMelSpec()))


def by_librosa(samples: Floats, spec: LogMelSpec) -> NDArray[np.float64]:
    """The same spectrogram by librosa in float64. It puts a short window into the middle of n_fft."""
    margin = (spec.n_fft - spec.win_length) // 2
    rest = spec.n_fft - spec.win_length - margin
    mel = librosa.feature.melspectrogram(
        y=np.pad(samples.astype(np.float64), (margin, rest)),
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        win_length=spec.win_length,
        hop_length=spec.hop_length,
        center=False,
        power=spec.power,
        n_mels=spec.n_mels,
        fmin=spec.fmin,
        fmax=spec.fmax,
        htk=spec.mel_scale == "htk",
        norm=None if spec.mel_norm == "none" else "slaney",
        dtype=np.float64,
    ).T
    x = np.maximum(mel, spec.floor) if spec.floor is not None else mel + spec.offset
    return np.log(x) if spec.log == "ln" else 20 / spec.power * np.log10(x)


def off_in_db(samples: Floats, spec: LogMelSpec) -> float:
    ours, theirs = log_mel(samples, spec), by_librosa(samples, spec)
    assert len(ours) > 10
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() * spec.decibels_per_unit)


@pytest.mark.parametrize("spec", GRID)
def test_noise_is_what_librosa_says_within_a_thousandth_of_a_decibel(spec: LogMelSpec) -> None:
    for level in (0.3, 0.01, 1e-4):
        assert off_in_db(noise(40_000, level=level), spec) <= 1e-3


@pytest.mark.parametrize("spec", GRID)
def test_tones_are_what_librosa_says_within_a_twentieth_of_a_decibel(spec: LogMelSpec) -> None:
    time = np.arange(30_000) / spec.sample_rate
    for fraction in (0.011, 0.1, 0.25, 0.4321):
        for level in (0.9, 0.05):
            tone = (level * np.sin(2 * np.pi * fraction * spec.sample_rate * time)).astype(np.float32)
            assert off_in_db(tone, spec) <= 5e-2


@pytest.mark.parametrize(("signal", "tolerance"), [("noise", 1e-4), ("chirp", 6e-3), ("silence", 1e-5)])
def test_yamnets_own_log_mel_comes_out(signal: str, tolerance: float) -> None:
    """The reference is float32 TensorFlow: in the valleys of a chirp it is itself 5e-3 off float64."""
    with np.load(Path(__file__).parent / "data" / "yamnet_reference.npz") as reference:
        waveform, expected = reference[f"{signal}/waveform"], reference[f"{signal}/log_mel"]
    frames = log_mel(waveform, YAMNET)
    # YAMNet pads the last patch with zeros; we never do.
    assert 0 <= len(expected) - len(frames) <= 96
    np.testing.assert_allclose(frames, expected[: len(frames)], rtol=0, atol=tolerance)


def test_slaney_filters_have_area_one_and_plain_ones_peak_one() -> None:
    spec = LogMelSpec(n_fft=1 << 16, win_length=1 << 16, n_mels=40)
    width = spec.sample_rate / spec.n_fft
    plain, slaney = (tables(msgspec.structs.replace(spec, mel_norm=norm)).mel for norm in ("none", "slaney"))
    np.testing.assert_allclose(plain.max(axis=0), 1, atol=1e-2)
    np.testing.assert_allclose(slaney.sum(axis=0) * width, 1, atol=1e-2)


def test_tables_are_made_once_and_cannot_be_written_over() -> None:
    window, mel = tables(LogMelSpec())
    assert tables(LogMelSpec()).mel is mel
    assert window.dtype == mel.dtype == np.float32
    assert window.shape == (512,)
    assert mel.shape == (257, 64)
    for table in (window, mel):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1


def test_an_empty_band_is_refused_and_named() -> None:
    with pytest.raises(ValueError, match=r"mel band 3 of 200 \(94 to 124 Hz\) holds no bin of an FFT of 512") as error:
        tables(LogMelSpec(n_mels=200))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"win_length": 513},
        {"win_length": 0},
        {"hop_length": 0},
        {"n_mels": 0},
        {"n_fft": 1 << 21, "win_length": 1 << 21},
        {"fmin": -1.0},
        {"fmin": 8000.0},
        {"fmax": 8001.0},
        {"fmax": float("nan")},
        {"sample_rate": 0},
        {"floor": None},
        {"offset": 1e-3},
        {"floor": 0.0},
        {"floor": -1e-7},
        {"floor": float("nan")},
        {"floor": None, "offset": 0.0},
    ],
    ids=str,
)
def test_a_spec_that_cannot_be_is_refused_in_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected") as error:
        LogMelSpec(**wrong)
    assert "\n" not in str(error.value)


def test_a_spec_survives_json() -> None:
    for spec in [*GRID, YAMNET]:
        assert msgspec.json.decode(msgspec.json.encode(spec), type=LogMelSpec) == spec


def test_a_difference_of_one_says_how_many_decibels_it_is() -> None:
    samples = noise(4_000)
    for spec in (*GRID[:4], LogMelSpec(log="ln"), LogMelSpec(log="ln", power=1)):
        louder = np.subtract(log_mel(samples, spec), log_mel(samples * np.float32(0.5), spec))
        np.testing.assert_allclose(louder * spec.decibels_per_unit, 20 * np.log10(2), atol=1e-3)


def test_minutes_in_one_push_need_little_more_than_the_audio_itself_and_leave_nothing_behind() -> None:
    samples = noise(3 * 60 * 16_000)
    stream = LogMel(LogMelSpec())
    stream.push(samples[:1_000])
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    frames = stream.push(samples)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # All frames at once would be three times the audio, and their complex spectrum as much again.
    assert peak - before < 2 * samples.nbytes + 2 * frames.nbytes + (8 << 20)
    assert after - before - frames.nbytes < 1 << 16
