"""Contract in the middle: the log-mel spectrogram, defined once and computed only for new samples.

`tables` is the one place that knows windows and filters; numpy (here), torch (training) and ONNX
graphs multiply by them. Frame t covers samples [t·hop_length, t·hop_length + win_length): nothing is
centred, padded or normalised over time, so that no frame depends on the future.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

GROUP = 8
"""Frames are computed in groups of this many, frame t always in slot t modulo GROUP. A matrix
product rounds differently for other numbers of rows: with fixed groups no chunking changes a bit."""

INT16_SCALE = np.float32(1 / 32768)

MAX_TABLE = 1 << 24
"""Largest n_fft × n_mels: a model file must not be able to ask for more memory than a machine has."""

MAX_GROUPS = 8
"""At most this many groups are in work at once: what they need stays in the processor's cache, and an hour in one push
needs no hour of memory."""


class LogMelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that defines a log-mel spectrogram. Lengths in samples, frequencies in Hz.

    Raises:
        ValueError: numbers that can't be, or not exactly one of floor and offset is given.
    """

    sample_rate: int = 16_000
    n_fft: int = 512
    win_length: int = 512
    """Samples a frame covers; at most n_fft (the rest is zero)."""
    hop_length: int = 160
    n_mels: int = 64
    fmin: float = 50.0
    fmax: float = 8_000.0
    mel_scale: Literal["slaney", "htk"] = "slaney"
    """Slaney: linear to 1 kHz, then logarithmic (Auditory Toolbox, 1998). HTK: 2595·log10(1 + f/700)."""
    mel_triangle: Literal["hz", "mel"] = "hz"
    """The axis on which the sides of a filter are straight: librosa has hz, TensorFlow and Kaldi mel."""
    mel_norm: Literal["none", "slaney"] = "none"
    """none: a filter's peak is 1. slaney: its area is 1."""
    power: Literal[1, 2] = 2
    """Exponent of the magnitude before the filters."""
    log: Literal["db", "ln"] = "db"
    """db: decibels, 10·log10 of a power or 20·log10 of a magnitude. ln: natural logarithm."""
    floor: float | None = 1e-7
    """The logarithm is taken of max(x, floor); or of x + offset, where that is given."""
    offset: float | None = None

    def __post_init__(self) -> None:
        if not (0 < self.win_length <= self.n_fft <= 1 << 20 and self.hop_length > 0 and 0 < self.n_mels <= 4096):
            raise ValueError(
                f"win_length {self.win_length}, n_fft {self.n_fft}, hop_length {self.hop_length}, n_mels "
                f"{self.n_mels}; expected positive numbers with win_length at most n_fft"
            )
        if self.n_fft * self.n_mels > MAX_TABLE:
            raise ValueError(f"n_fft {self.n_fft} × n_mels {self.n_mels}; expected at most {MAX_TABLE}")
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise ValueError(
                f"fmin {self.fmin} and fmax {self.fmax} Hz; expected 0 ≤ fmin < fmax ≤ {self.sample_rate / 2}"
            )
        given = self.floor if self.offset is None else self.offset
        if (self.floor is None) == (self.offset is None) or given is None or not given > 0:
            raise ValueError(f"floor {self.floor} and offset {self.offset}; expected one of them, above 0")

    @property
    def decibels_per_unit(self) -> float:
        """How many dB a difference of 1 in the output is."""
        return 1.0 if self.log == "db" else 20 / self.power / np.log(10)


class Tables(NamedTuple):
    """What a log-mel spectrogram multiplies by."""

    window: NDArray[np.float32]
    """Periodic Hann, shape (win_length,)."""
    mel: NDArray[np.float32]
    """Filter bank, shape (n_fft // 2 + 1, n_mels)."""


def _hz_to_mel(hz: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    if scale == "htk":
        return 2595 * np.log10(1 + hz / 700)
    linear = hz * 3 / 200  # 15 mels at 1 kHz; above, 27 mels for each factor of 6.4
    return np.where(hz < 1000, linear, 15 + 27 * np.log(np.maximum(hz, 1e-9) / 1000) / np.log(6.4))


def _mel_to_hz(mel: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


@lru_cache(maxsize=32)
def tables(spec: LogMelSpec) -> Tables:
    """Return window and filter bank, computed in float64 and rounded once to float32; read-only.

    Raises:
        ValueError: a mel band holds no FFT bin and would be empty for ever.
    """
    # Periodic Hann, as torch has it: np.hanning is symmetric and differs by up to 0.2 dB.
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(spec.win_length) / spec.win_length)
    lowest, highest = _hz_to_mel(np.array([spec.fmin, spec.fmax], np.float64), spec.mel_scale)
    mel_edges = np.linspace(float(lowest), float(highest), spec.n_mels + 2)
    hz_edges = _mel_to_hz(mel_edges, spec.mel_scale)
    bins = np.arange(spec.n_fft // 2 + 1, dtype=np.float64) * (spec.sample_rate / spec.n_fft)
    if spec.mel_triangle == "hz":
        edges, position = hz_edges, bins
    else:
        edges, position = mel_edges, _hz_to_mel(bins, spec.mel_scale)
    rising = (position[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - position[:, None]) / (edges[2:] - edges[1:-1])
    mel = np.maximum(0, np.minimum(rising, falling))
    if spec.mel_norm == "slaney":
        mel *= 2 / (hz_edges[2:] - hz_edges[:-2])
    empty = np.nonzero(mel.max(axis=0) <= 0)[0]
    if len(empty):
        raise ValueError(
            f"mel band {empty[0]} of {spec.n_mels} ({hz_edges[empty[0]]:.0f} to {hz_edges[empty[0] + 2]:.0f} Hz) "
            f"holds no bin of an FFT of {spec.n_fft} samples; take fewer bands, a longer n_fft or a higher fmin"
        )
    result = Tables(window.astype(np.float32), mel.astype(np.float32))
    for table in result:
        table.setflags(write=False)
    return result


def to_float(samples: NDArray[np.int16] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Return samples as float32 in [-1, 1); int16 is divided by 32768, float32 passes."""
    if samples.dtype == np.int16:
        return np.multiply(samples, INT16_SCALE, dtype=np.float32)
    return np.asarray(samples, np.float32)


class Transform:
    """Groups of frames → log-mel, with memory of its own that is used again: one for each thread."""

    def __init__(self, spec: LogMelSpec) -> None:
        self.spec = spec
        self._tables = tables(spec)
        n_bins = spec.n_fft // 2 + 1
        # New arrays of this size cost more than what is computed in them: the system hands out fresh pages each time.
        self._windowed = np.zeros((MAX_GROUPS, GROUP, spec.win_length), np.float64)
        self._spectrum = np.zeros((MAX_GROUPS, GROUP, n_bins), np.complex128)
        self._power = np.zeros((MAX_GROUPS, GROUP, n_bins), np.float32)

    def into(self, out: NDArray[np.float32], frames: NDArray[np.float32]) -> None:
        """Transform frames, shape (n_groups, GROUP, win_length), into out, (n_groups, GROUP, n_mels)."""
        for begin in range(0, len(frames), MAX_GROUPS):
            self._some(out[begin : begin + MAX_GROUPS], frames[begin : begin + MAX_GROUPS])

    def _some(self, out: NDArray[np.float32], frames: NDArray[np.float32]) -> None:
        spec, n = self.spec, len(frames)
        # The FFT in float64, for 15 % of the time: in float32 a loud tone rounds the quiet bands beside it by
        # 1e-3 dB and more, otherwise on every kind of processor, and no golden answer would hold on another.
        windowed = np.multiply(frames, self._tables.window, out=self._windowed[:n], dtype=np.float64)
        spectrum = np.fft.rfft(windowed, spec.n_fft, out=self._spectrum[:n])
        squares = spectrum.view(np.float64)
        np.square(squares, out=squares)
        power = self._power[:n]
        np.add(squares[..., ::2], squares[..., 1::2], out=power, dtype=np.float64, casting="same_kind")
        if spec.power == 1:
            np.sqrt(power, out=power)
        np.matmul(power, self._tables.mel, out=out)
        if spec.offset is not None:
            np.add(out, np.float32(spec.offset), out=out)
        elif spec.floor is not None:
            np.maximum(out, np.float32(spec.floor), out=out)
        if spec.log == "ln":
            np.log(out, out=out)
        else:
            np.log10(out, out=out)
            np.multiply(out, np.float32(20 / spec.power), out=out)


class LogMel:
    """The streaming log-mel spectrogram of one source: push samples, get the frames they complete."""

    def __init__(self, spec: LogMelSpec) -> None:
        self.spec = spec
        self._transform = Transform(spec)
        self._partial = np.zeros((1, GROUP, spec.win_length), np.float32)
        self._partial_out = np.zeros((1, GROUP, spec.n_mels), np.float32)
        self.reset()

    def reset(self, skip: int = 0) -> None:
        """Forget everything; the next frame begins `skip` samples into the audio to come."""
        self._tail = np.zeros(0, np.float32)
        self._skip = skip
        self._n_frames = 0

    def push(self, samples: NDArray[np.int16] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Add samples, shape (n,), int16 or float32 in [-1, 1); return the frames they complete.

        Returns:
            Shape (n_frames, n_mels), float32, in dB or natural logarithm as the spec has it.
        """
        spec = self.spec
        if self._skip:
            skipped = min(self._skip, len(samples))
            self._skip -= skipped
            samples = samples[skipped:]
        audio = np.concatenate([self._tail, to_float(samples)])
        n_new = max(0, (len(audio) - spec.win_length) // spec.hop_length + 1)
        # A copy: a view would keep all of a long push alive.
        self._tail = audio[n_new * spec.hop_length :].copy()
        self._skip += max(0, n_new * spec.hop_length - len(audio))  # where frames leave samples out between them
        if not n_new:
            return np.zeros((0, spec.n_mels), np.float32)
        # One row a frame, no copy. sliding_window_view does the same in 40 times the time.
        strides = (spec.hop_length * audio.itemsize, audio.itemsize)
        frames = np.ndarray((n_new, spec.win_length), np.float32, audio, strides=strides)
        out = np.empty((n_new, spec.n_mels), np.float32)
        begin = 0
        while begin < n_new:
            slot = (self._n_frames + begin) % GROUP
            n_whole = (n_new - begin) // GROUP * GROUP
            if slot == 0 and n_whole:
                end = begin + n_whole
                whole = frames[begin:end].reshape(-1, GROUP, spec.win_length)
                self._transform.into(out[begin:end].reshape(-1, GROUP, spec.n_mels), whole)
            else:
                end = min(n_new, begin + GROUP - slot)
                self._partial[0, slot : slot + end - begin] = frames[begin:end]
                self._transform.into(self._partial_out, self._partial)
                out[begin:end] = self._partial_out[0, slot : slot + end - begin]
            begin = end
        self._n_frames += n_new
        return out


def log_mel(samples: NDArray[np.int16] | NDArray[np.float32], spec: LogMelSpec) -> NDArray[np.float32]:
    """Return the frames of a whole clip, shape (n_frames, n_mels): what streaming gives, bit for bit."""
    return LogMel(spec).push(samples)
