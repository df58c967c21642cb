"""The header of a WAV stream, as a program writes it to a pipe: its lengths may be lies."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamd.errors import DeviceError

MAX_HEADER_BYTES = 1 << 16
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_ENDLESS = 0x7FFF0000
"""From here on, a length means that the writer didn't know."""
_TYPES = {(_PCM, 16): "<i2", (_PCM, 32): "<i4", (_FLOAT, 32): "<f4"}


class PcmFormat(NamedTuple):
    """How samples lie in bytes."""

    sample_rate: int
    n_channels: int
    dtype: str = "<i2"
    n_bytes: int | None = None
    """Length of the samples; None where nobody knows."""

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.n_channels * np.dtype(self.dtype).itemsize

    def samples(self, data: bytes) -> NDArray[np.float32]:
        """Return bytes of whole samples as numbers in [-1, 1), shape (n_samples, n_channels)."""
        values = np.frombuffer(data, self.dtype).reshape(-1, self.n_channels)
        if self.dtype == "<f4":
            return np.nan_to_num(values.astype(np.float32), nan=0.0)
        return values.astype(np.float32) / np.float32(-float(np.iinfo(values.dtype).min))


def parse_header(data: bytes) -> tuple[PcmFormat, int] | None:
    """Return the format that a WAV stream begins with, and where its samples begin; None: not all of it is here.

    Format: "Multimedia Programming Interface and Data Specifications 1.0", IBM and Microsoft, 1991.

    Raises:
        DeviceError: it is no WAV, or one of a kind that is not read.
    """
    if data[:4] != b"RIFF"[: len(data)] or data[8:12] != b"WAVE"[: max(0, len(data) - 8)]:
        raise DeviceError("wrote no WAV header; give sample_rate, and n_channels, for raw 16-bit PCM")
    at, found = 12, None
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"data":
            if found is None:
                raise DeviceError("wrote a WAV header without a format")
            return found._replace(n_bytes=length if 0 < length < _ENDLESS else None), at
        if name == b"fmt " and at + length <= len(data):
            found = _format(data[at : at + length])
        at += length + length % 2
    if len(data) >= MAX_HEADER_BYTES:
        raise DeviceError(f"wrote a WAV header without samples in its first {MAX_HEADER_BYTES} bytes")
    return None


def _format(chunk: bytes) -> PcmFormat:
    if len(chunk) < 16:
        raise DeviceError("wrote a WAV header that is cut off")
    tag, n_channels, sample_rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        (tag,) = struct.unpack_from("<H", chunk, 24)
    dtype = _TYPES.get((tag, bits))
    if dtype is None or not n_channels or not 0 < sample_rate <= 768_000:
        raise DeviceError(
            f"wrote a WAV of format {tag}, {bits} bits, {n_channels} channels, {sample_rate} Hz; expected PCM of 16 or "
            "32 bits, or floats of 32 (ffmpeg: -c:a pcm_s16le)"
        )
    return PcmFormat(sample_rate, n_channels, dtype)
