"""Recordings on their way to the disk: the only part of streamd that writes audio, on a thread that may hang.

A file is whole as soon as it has its name: it is written under another one, synced (or a power cut could leave an empty
file with the right name), and renamed. The folder is not synced: a power cut may cost the newest recordings, which is
less than a disk that is made to wait twice for each.
What the disk does not take waits in memory, is tried again every RETRY_SECONDS, and is dropped, the oldest first, only
if more than MAX_WAITING_BYTES wait.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import threading
import time
from collections import deque
from pathlib import Path

import msgspec
import soundfile
from msgspec.structs import replace

from streamd.recorder.desk import Recording
from streamd.recorder.messages import Pcm, RecorderSpec, Report
from streamd.recorder.quota import EVENTS, NEAR_MISSES, WITHOUT_AUDIO, Quota

log = logging.getLogger("streamd.recorder")

MAX_WAITING_BYTES = 32 << 20
"""PCM that waits for the disk at most."""
RETRY_SECONDS = 2.0
QUOTA_SECONDS = 600.0
"""What is too old is looked for this often while nothing is recorded."""
SLOW_SECONDS = 5.0
"""A disk that takes longer than this is said to hang."""
MAX_NAME_BYTES = 200
"""Of a label as a folder's name; file systems allow 255."""
_COUNTS = {EVENTS: "n_recorded", NEAR_MISSES: "n_near_misses", WITHOUT_AUDIO: "n_without_audio"}


class Shelf:
    """Writes recordings, one after the other, on a thread of its own; nobody waits for it."""

    def __init__(self, spec: RecorderSpec) -> None:
        """Prepare; the disk is not touched before `start`."""
        self._folder = Path(spec.folder)
        self._max_bytes = spec.max_bytes
        self._quota = Quota(self._folder, spec.max_bytes, spec.max_days)
        self._waiting: deque[Recording] = deque()
        """The first is the one that is being written, if one is."""
        self._changed = threading.Condition()
        self._is_closing = False
        self._busy_since: float | None = None
        self._problem = ""
        self._report = Report(pid=os.getpid())
        self._thread = threading.Thread(target=self._work, name="shelf", daemon=True)

    def start(self) -> None:
        """Look into the folder, and write from now on."""
        self._thread.start()

    def put(self, recording: Recording) -> None:
        """Have a recording written; of too much that waits the oldest is dropped, and counted."""
        with self._changed:
            self._waiting.append(recording)
            first = 0 if self._busy_since is None else 1
            while len(self._waiting) > first + 1 and sum(map(_n_bytes, self._waiting)) > MAX_WAITING_BYTES:
                del self._waiting[first]
                self._count(n_lost=1)
            self._changed.notify()

    def report(self) -> Report:
        """Return how it fares."""
        with self._changed:
            problem = self._problem
            if not problem and self._busy_since is not None and time.monotonic() - self._busy_since > SLOW_SECONDS:
                problem = f"{self._folder}: the disk hangs"
            return replace(self._report, problem=problem, n_waiting=len(self._waiting))

    def close(self, seconds: float) -> None:
        """Write what waits, as far as the disk takes it at once, and return after so long at the latest."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def _work(self) -> None:
        """Write what waits; with nothing to write, see to the quota, and whether a problem is over."""
        recording = None
        while True:
            with self._changed:
                self._busy_since = time.monotonic()
            problem = self._attempt(recording)
            with self._changed:
                self._busy_since = None
                if problem != self._problem:
                    log.warning("%s", problem or f"{self._folder}: recordings are written again")
                self._problem = problem
                if problem:
                    self._changed.wait_for(lambda: self._is_closing, RETRY_SECONDS)
                elif recording is not None:
                    self._waiting.popleft()
                if self._is_closing and (problem or not self._waiting):
                    return
                if not self._waiting and not problem:
                    self._changed.wait_for(lambda: self._waiting or self._is_closing, QUOTA_SECONDS)
                recording = self._waiting[0] if self._waiting else None

    def _attempt(self, recording: Recording | None) -> str:
        """Write one recording, if there is one; return what is in the way, or ""."""
        try:
            if not self._folder.is_dir():
                return f"{self._folder}: there is no such folder; make it, or mount its disk"
            if not os.access(self._folder, os.W_OK | os.X_OK):
                return f"{self._folder}: this user may not write there"
            self._quota.enforce(time.time(), time.monotonic())
            if recording is not None:
                self._write(recording)
        except OSError as error:
            return f"{self._folder}: {error.strerror or error}"
        with self._changed:
            self._report = replace(self._report, n_bytes=self._quota.n_bytes, n_removed=self._quota.n_removed)
        return ""

    def _write(self, recording: Recording) -> None:
        is_near_miss = recording.beside.kind == "near_miss"
        kind = NEAR_MISSES if is_near_miss else EVENTS if recording.pcm is not None else WITHOUT_AUDIO
        files = {".json": msgspec.json.format(msgspec.json.encode(recording.beside), indent=2) + b"\n"}
        if recording.pcm is not None and recording.beside.audio is not None:
            files = {".flac": _flac(recording.pcm, recording.beside.audio.sample_rate), **files}
        n_bytes = sum(map(len, files.values()))
        if n_bytes > self._max_bytes:
            log.warning("%s: %d bytes, more than the quota", recording.stem, n_bytes)
            self._count(n_lost=1)
            return
        self._quota.enforce(time.time(), time.monotonic(), kind, n_bytes)
        folder = self._folder / kind / folder_name(recording.label)
        for each in (folder.parent, folder):  # not the folder itself: its disk may have gone at this moment
            each.mkdir(mode=0o700, exist_ok=True)
        for suffix, data in files.items():
            _write_whole(folder / f".{recording.stem}{suffix}.part", data, folder / f"{recording.stem}{suffix}")
        self._quota.add(kind, folder / recording.stem, n_bytes)
        self._count(**{_COUNTS[kind]: 1})
        if recording.beside.audio is not None and not recording.beside.audio.is_whole:
            self._count(n_cut=1)

    def _count(self, **more: int) -> None:
        with self._changed:
            self._report = replace(self._report, **{key: getattr(self._report, key) + n for key, n in more.items()})


def folder_name(label: str) -> str:
    """Return a label as the name of a folder: itself, as far as a file system can have it."""
    plain = "".join("-" if character == "/" or not character.isprintable() else character for character in label)
    short = plain.strip().lstrip(".").encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    return short or "-"


def _n_bytes(recording: Recording) -> int:
    return 0 if recording.pcm is None else recording.pcm.nbytes


def _flac(pcm: Pcm, sample_rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _write_whole(part: Path, data: bytes, file: Path) -> None:
    """Write a file under another name, and give it its own when all of it is on the disk."""
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        part.rename(file)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
