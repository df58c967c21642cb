"""Recordings: WAV, FLAC, OGG and MP3, read as a stream through libsndfile, and checked on the way.

The agent and `replay` read with the same code, so a recording is the same samples to both.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamd.capture.audio import EndOfAudio, Piece
from streamd.capture.channels import Channels
from streamd.capture.clock import CaptureClock
from streamd.capture.quiet import quiet_stderr
from streamd.capture.resample import Resampler
from streamd.errors import RecordingError

_READ_SECONDS = 0.5
_MP3 = {"MP3", "MPEG"}
_MP3_SLACK = 2 * 1152
"""An MP3 says its length in frames of up to 1152 samples, and not every encoder counts them alike."""
_OGG_PAGE_BYTES = 65_307
"""The longest page there is."""
_WAV_LENGTH = re.compile(r"^data\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_UNKNOWN_LENGTH = 0x7FFF0000
"""A WAV that was written to a pipe claims a length of 2 or 4 GB or thereabouts."""


class RecordingReader:
    """Reads a recording once, from its beginning to its end, as mono."""

    def __init__(self, path: str) -> None:
        """Open it.

        Raises:
            RecordingError: it can't be read, is no audio, holds no samples or lacks its end.
        """
        self.path = path
        self._opened = _open(path)
        try:
            self._file = _decode(self._opened, path)
        except RecordingError:
            self._opened.close()
            raise
        self.sample_rate: int = self._file.samplerate
        self._channels = Channels(self.sample_rate)
        self._least_length = _least_length(self._file, path)
        self._position = 0

    def read(self, n_samples: int) -> NDArray[np.float32]:
        """Return the next samples, shape (n_samples,); fewer at the end, none after it.

        Raises:
            RecordingError: it is damaged here, or holds what is no number.
        """
        try:
            samples = self._file.read(n_samples, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise RecordingError(f"{self._where()}: the recording is damaged here: {error.error_string}") from error
        if not np.isfinite(samples).all():
            self._position += int(np.argmin(np.isfinite(samples).all(axis=1)))
            raise RecordingError(f"{self._where()}: found NaN or infinity; expected samples from -1 to 1")
        self._position += len(samples)
        if len(samples) < n_samples and self._position < self._least_length:
            whole = self._file.frames / self.sample_rate
            raise RecordingError(f"{self._where()}: the recording ends here, its header says {whole:.2f} s")
        if not len(samples) and self._stopped_early():
            raise RecordingError(
                f"{self._where()}: libsndfile stops here, it can't tell how long this MP3 is; convert it to FLAC"
            )
        return self._channels.mix(samples)

    @property
    def dead_channels(self) -> tuple[int, ...]:
        """Channels without a signal while another has one, counted from 1."""
        return self._channels.dead

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._opened.close()

    def _stopped_early(self) -> bool:
        """Tell whether much of an MP3 was never looked at; behind the audio there may be tags."""
        size = Path(self.path).stat().st_size
        return self._file.format in _MP3 and size - self._opened.tell() > size // 20 + 4096

    def _where(self) -> str:
        return f"{self.path}: at {self._position / self.sample_rate:.2f} s"


class RecordingInput:
    """A recording as an agent's input: in real time, or as fast as it is read."""

    can_wait = True

    def __init__(self, path: str, *, repeat: bool, fast: bool) -> None:
        """Open it; RecordingError as RecordingReader."""
        self._reader = RecordingReader(path)
        self._repeat = repeat
        self.live = not fast
        self.device = path
        self.clock = CaptureClock(self._reader.sample_rate)
        self._began: float | None = None

    def read(self, n_samples: int) -> Piece:
        """Return the next samples, when their time has come unless it plays fast."""
        if self._began is None:
            self._began = time.monotonic()
        samples = self._reader.read(n_samples)
        if not len(samples):
            if not self._repeat:
                raise EndOfAudio
            self._reader.close()
            self._reader = RecordingReader(self._reader.path)
            samples = self._reader.read(n_samples)
        due = self._began + (self.clock.position + len(samples)) / self.clock.sample_rate
        if self.live:
            time.sleep(max(0.0, due - time.monotonic()))
        self.clock.heard(len(samples), due)
        return Piece(samples, dead_channels=self._reader.dead_channels)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def read_recording(path: str | Path, sample_rate: int) -> Iterator[NDArray[np.int16]]:
    """Yield a recording as 16-bit mono PCM at a rate, in arrays (n_samples,) of any length.

    The samples are those that an agent sends of the same recording.

    Raises:
        RecordingError: one line that says what is wrong with it, when that is reached.
    """
    reader = RecordingReader(str(path))
    try:
        resampler = Resampler(reader.sample_rate, sample_rate)
        n_samples = round(reader.sample_rate * _READ_SECONDS)
        while len(samples := reader.read(n_samples)):
            yield resampler.push(samples)
        yield resampler.finish()
    finally:
        reader.close()


def _open(path: str) -> FileIO:
    found = Path(path)
    expected = "expected a recording (WAV, FLAC, OGG or MP3)"
    try:
        if found.is_dir():
            raise RecordingError(f"{path}: this is a folder; {expected}")
        if found.stat().st_size == 0:
            raise RecordingError(f"{path}: the file is empty; {expected}")
        return found.open("rb", buffering=0)
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}; {expected}") from error


def _decode(opened: FileIO, path: str) -> soundfile.SoundFile:
    try:
        with quiet_stderr():
            _check_the_end(path)
            return soundfile.SoundFile(opened.fileno(), closefd=False)
    except soundfile.LibsndfileError as error:
        raise RecordingError(f"{path}: this can't be read as a recording; expected WAV, FLAC, OGG or MP3") from error


def _check_the_end(path: str) -> None:
    """Refuse a recording that says it is longer than it is, before anybody has heard half of it."""
    with Path(path).open("rb", buffering=0) as opened, soundfile.SoundFile(opened.fileno(), closefd=False) as file:
        length = _WAV_LENGTH.search(file.extra_info)
        short_wav = length and int(length[2]) < int(length[1]) < _UNKNOWN_LENGTH
        if short_wav or (file.format == "OGG" and not _ends_with_last_page(path)):
            raise RecordingError(f"{path}: the file is cut off before its end: copy it again")
        if not file.frames:
            raise RecordingError(f"{path}: the recording holds no samples")
        try:
            file.seek(max(0, _least_length(file, path) - 1))
            last = file.read(1)
        except soundfile.LibsndfileError:
            last = np.zeros(0)
        if last.size == 0:
            raise RecordingError(f"{path}: the file is cut off or damaged; its end can't be read: copy it again")


def _ends_with_last_page(path: str) -> bool:
    """Tell whether the last page of an Ogg file says that it is the last, and is all there (RFC 3533, section 6)."""
    with Path(path).open("rb") as opened:
        opened.seek(-min(Path(path).stat().st_size, 2 * _OGG_PAGE_BYTES), os.SEEK_END)
        tail = opened.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & 0x04:
        return False
    lengths = page[27 : 27 + page[26]]
    return len(page) >= 27 + page[26] + sum(lengths)


def _least_length(file: soundfile.SoundFile, path: str) -> int:
    """Return how many samples must come, by what the file says of itself.

    An MP3 may say nothing; libsndfile guesses then, from the size of the first frames.
    """
    if file.format not in _MP3:
        return int(file.frames)
    with Path(path).open("rb") as opened:
        tag = opened.read(10)
        if tag[:3] == b"ID3":  # its size, in four bytes of seven bits: https://id3.org/id3v2.4.0-structure
            opened.seek(10 + (tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]))
        else:
            opened.seek(0)
        first_frame = opened.read(2048)
    known = b"Xing" in first_frame or b"Info" in first_frame
    return max(0, file.frames - _MP3_SLACK) if known else 0
