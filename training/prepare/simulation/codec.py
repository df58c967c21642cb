"""The telephone's codec: G.711 at 8 kHz, 64 kbit/s, as every line and many door stations use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from training.prepare.simulation.audio import Audio

Law = Literal["mu", "a"]

LINE_RATE = 8000

MU_BIAS = 132
"""33 in the standard's 14 bits, in our 16: it makes the segments' ends powers of two."""
MU_MOST = 32_635
"""What is louder is coded as this."""


@dataclass(frozen=True)
class Codec:
    """There and back: 8 kHz, 8 bits a sample, logarithmic."""

    law: Law
    """"mu": North America and Japan. "a": elsewhere."""

    def apply(self, audio: Audio, sample_rate: int) -> Audio:
        """Return audio (n_samples,) as it leaves the line, at the rate at which it came."""
        at_line = soxr.resample(audio, sample_rate, LINE_RATE)
        pcm = np.clip(np.rint(at_line * 32_768), -32_768, 32_767).astype(np.int16)
        heard = decode(encode(pcm, self.law), self.law).astype(np.float32) / 32_768
        back = soxr.resample(heard, LINE_RATE, sample_rate)
        # Resampling rounds the length up or down by a sample or two.
        out = np.zeros(len(audio), np.float32)
        n = min(len(audio), len(back))
        out[:n] = back[:n]
        return out


@dataclass(frozen=True)
class CodecRange:
    """What a codec is drawn from."""

    on: float = 0.1
    """Fraction of items that come over a line: nothing above 4 kHz is left of them, so they stay a minority."""
    laws: Sequence[Law] = ("mu", "a")


def draw(rng: np.random.Generator, range_: CodecRange) -> Codec | None:
    """Return a codec; None where there is no line."""
    is_on = rng.uniform() < range_.on
    law = range_.laws[int(rng.integers(len(range_.laws)))]
    return Codec(law) if is_on else None


def encode(pcm: NDArray[np.int16], law: Law) -> NDArray[np.uint8]:
    """Return the G.711 codes (n_samples,) of 16-bit samples, with the bits inverted as the line has them.

    Law mu uses the upper 14 bits, law A the upper 13 (ITU-T G.711, tables 1 and 2).
    """
    return _encode_mu(pcm) if law == "mu" else _encode_a(pcm)


def decode(codes: NDArray[np.uint8], law: Law) -> NDArray[np.int16]:
    """Return the 16-bit samples (n_samples,) that G.711 codes stand for."""
    return _decode_mu(codes) if law == "mu" else _decode_a(codes)


def _encode_mu(pcm: NDArray[np.int16]) -> NDArray[np.uint8]:
    # 14 bits: an arithmetic shift, so that -1 is coded as the first step below zero.
    samples = (pcm.astype(np.int32) >> 2) << 2
    amplitude = np.minimum(np.abs(samples), MU_MOST) + MU_BIAS
    segment = np.floor(np.log2(amplitude)).astype(np.int32) - 7
    step = (amplitude >> (segment + 3)) & 15
    sign = np.where(samples < 0, 0, 0x80)
    return np.asarray(sign | (~(segment << 4 | step) & 0x7F), np.uint8)


def _decode_mu(codes: NDArray[np.uint8]) -> NDArray[np.int16]:
    bits = (~codes).astype(np.int32) & 0xFF
    segment, step = bits >> 4 & 7, bits & 15
    amplitude = (((step << 3) + MU_BIAS) << segment) - MU_BIAS
    return np.where(bits & 0x80, -amplitude, amplitude).astype(np.int16)


def _encode_a(pcm: NDArray[np.int16]) -> NDArray[np.uint8]:
    samples = pcm.astype(np.int32) >> 3
    # A negative step reaches from -1 to -2, a positive one from 0 to 1: they meet without a gap at zero.
    amplitude = np.where(samples < 0, ~samples, samples)
    segment = np.maximum(np.floor(np.log2(np.maximum(amplitude, 1))).astype(np.int32) - 4, 0)
    step = (amplitude >> np.maximum(segment, 1)) & 15
    sign = np.where(samples < 0, 0, 0x80)
    return np.asarray((sign | segment << 4 | step) ^ 0x55, np.uint8)


def _decode_a(codes: NDArray[np.uint8]) -> NDArray[np.int16]:
    bits = codes.astype(np.int32) ^ 0x55
    segment, step = bits >> 4 & 7, bits & 15
    # The middle of each step; the first two segments have steps of one size.
    amplitude = np.where(segment == 0, (step << 4) + 8, ((step << 4) + 0x108) << np.maximum(segment - 1, 0))
    return np.where(bits & 0x80, amplitude, -amplitude).astype(np.int16)
