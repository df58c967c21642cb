"""Recordings of all formats, and all the ways in which they are none."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from streamd.capture.audio import EndOfAudio
from streamd.capture.recording import RecordingInput, RecordingReader, read_recording
from streamd.capture.resample import to_pcm
from streamd.errors import RecordingError

RATES = [8_000, 16_000, 22_050, 44_100, 48_000, 96_000]


def tone(rate: int, n_seconds: float = 3.0) -> np.ndarray:
    """A tone of 440 Hz and noise."""
    n_samples = int(rate * n_seconds)
    noise = np.random.default_rng(1).standard_normal(n_samples)
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(n_samples) / rate) + 0.01 * noise


def read(path: Path, rate: int = 16_000) -> np.ndarray:
    """Read a recording whole."""
    return np.concatenate(list(read_recording(path, rate)))


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize(
    ("ending", "rate"),
    [(ending, rate) for ending in ("wav", "flac", "ogg", "mp3") for rate in RATES if (ending, rate) != ("mp3", 96_000)],
)
def test_every_format_rate_and_number_of_channels_is_heard(
    ending: str, rate: int, n_channels: int, tmp_path: Path
) -> None:
    path = tmp_path / f"tone.{ending}"
    soundfile.write(path, np.stack([tone(rate)] * n_channels, axis=1), rate)
    heard = read(path) / 32768
    assert len(heard) == 48_000
    middle = heard[8_000:24_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))) / (len(middle) / 4)
    assert int(spectrum.argmax()) == 440
    assert spectrum[440] == pytest.approx(0.3, rel=0.03)


def test_channels_are_mixed_and_resampled_as_a_whole_clip_would_be(tmp_path: Path) -> None:
    samples = (np.random.default_rng(2).standard_normal((130_000, 3)) * 0.1).astype(np.float32)
    soundfile.write(tmp_path / "three.wav", samples, 44_100, subtype="FLOAT")
    whole = to_pcm(soxr.resample(samples.mean(axis=1), 44_100, 16_000, quality="HQ"))
    np.testing.assert_allclose(read(tmp_path / "three.wav"), whole, atol=1)


def test_pcm_of_the_same_rate_is_read_bit_by_bit(tmp_path: Path) -> None:
    pcm = np.random.default_rng(3).integers(-32768, 32768, 20_000).astype(np.int16)
    for ending in ("wav", "flac"):
        soundfile.write(tmp_path / f"pcm.{ending}", pcm, 16_000)
        np.testing.assert_array_equal(read(tmp_path / f"pcm.{ending}"), pcm)


def refusal(path: Path) -> str:
    """Return the one line with which a recording is refused."""
    with pytest.raises(RecordingError) as refused:
        read(path)
    line = str(refused.value)
    assert line.startswith(str(path))
    assert "\n" not in line
    return line


def test_what_is_no_recording_gets_one_line_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    assert "the file is empty" in refusal(tmp_path / "empty.wav")
    for name in ("text.wav", "text.raw", "text.mp3", "text"):
        (tmp_path / name).write_text("This is no audio.\n" * 100)
        assert "can't be read as a recording" in refusal(tmp_path / name)
    assert "this is a folder" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "none.wav")
    assert "File name too long" in refusal(tmp_path / ("x" * 300))
    soundfile.write(tmp_path / "silent.wav", np.zeros(0), 16_000)
    assert "holds no samples" in refusal(tmp_path / "silent.wav")


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_recording_that_is_cut_off_is_refused_before_any_of_it_is_heard(
    ending: str, part: float, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"cut.{ending}"
    soundfile.write(path, tone(16_000, 5), 16_000)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(RecordingError) as refused:
        next(iter(read_recording(path, 16_000)))
    assert str(refused.value).startswith(f"{path}: the file is cut off")
    assert capfd.readouterr().err == "", "libmpg123 is kept quiet"


def test_a_wav_that_was_written_to_a_pipe_has_no_length_and_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe.wav"
    soundfile.write(path, tone(16_000), 16_000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(read(path)) == 48_000


def test_an_mp3_that_says_nothing_of_its_length_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "bare.mp3"
    soundfile.write(path, tone(44_100, 5), 44_100, bitrate_mode="CONSTANT", compression_level=0.5)
    _drop_first_frame(path)
    assert len(read(path)) == pytest.approx(80_000, abs=2 * 1152)


def test_an_mp3_whose_length_is_guessed_too_short_is_not_cut_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "quiet-first.mp3"
    samples = tone(44_100, 20) * np.repeat([0.001, 1], 441_000)
    soundfile.write(path, samples, 44_100, bitrate_mode="VARIABLE", compression_level=0.5)
    _drop_first_frame(path)
    assert "libsndfile stops here" in refusal(path)


def _drop_first_frame(path: Path) -> None:
    """Take away the frame that says how long an MP3 is."""
    data = path.read_bytes()
    path.write_bytes(data[data.index(data[:2], 4) :])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused_with_their_place(value: float, tmp_path: Path) -> None:
    samples = np.zeros((32_000, 2), np.float32)
    samples[24_000, 1] = value
    soundfile.write(tmp_path / "nan.wav", samples, 16_000, subtype="FLOAT")
    assert "at 1.50 s: found NaN or infinity" in refusal(tmp_path / "nan.wav")


def test_damage_inside_a_flac_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "damaged.flac"
    soundfile.write(path, tone(16_000, 20), 16_000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(data)
    assert " at " in refusal(path)


def test_any_lengths_of_reads_give_the_same_samples(tmp_path: Path) -> None:
    path = tmp_path / "tone.ogg"
    soundfile.write(path, tone(44_100), 44_100)
    lengths = np.random.default_rng(4).integers(1, 5_000, 200)
    with closing(RecordingReader(str(path))) as whole, closing(RecordingReader(str(path))) as parts:
        read_in_parts = np.concatenate([parts.read(int(n)) for n in lengths])
        np.testing.assert_array_equal(read_in_parts, whole.read(200_000))


def test_an_input_says_when_it_is_over(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, tone(16_000, 0.1), 16_000)
    with closing(RecordingInput(str(path), repeat=False, fast=True)) as once:
        assert len(once.read(4_000).samples) == 1_600
        with pytest.raises(EndOfAudio):
            once.read(4_000)
    with closing(RecordingInput(str(path), repeat=True, fast=True)) as again:
        assert [len(again.read(1_000).samples) for _ in range(4)] == [1_000, 600, 1_000, 600]
