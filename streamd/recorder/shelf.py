"""Recordings on their way to the disk: the only part of streamd that writes audio, on a thread that may hang.

A file is whole as soon as it has its name: it is written under another one, synced (or a power cut could leave an empty
file with the right name), and renamed. The folder is not synced: a power cut may cost the newest recordings, which is
less than a disk that is made to wait twice for each.
What the disk does not take waits in memory, is tried again every RETRY_SECONDS, and is dropped, the oldest first, only
if more than MAX_WAITING_BYTES or MOST_WAITING wait. A recording that can't be written for reasons of its own lets the
others pass, and is dropped after MOST_TRIES.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import msgspec
import soundfile
from msgspec.structs import replace

from streamd.recorder.desk import Recording
from streamd.recorder.messages import Pcm, RecorderSpec, Report
from streamd.recorder.quota import EVENTS, NEAR_MISSES, WITHOUT_AUDIO, Quota
from streamd.wall import boot_seconds

log = logging.getLogger("streamd.recorder")

MAX_WAITING_BYTES = 32 << 20
"""PCM that waits for the disk at most."""
MOST_WAITING = 1000
"""Recordings that wait for it at most: those without audio have no PCM."""
MOST_TRIES = 30
RETRY_SECONDS = 2.0
QUOTA_SECONDS = 600.0
"""What is too old is looked for this often while nothing is recorded."""
SLOW_SECONDS = 5.0
"""A disk that takes longer than this is said to hang."""
MAX_NAME_BYTES = 200
"""Of a label as a folder's name; file systems allow 255."""
_NOT_THE_DISK = {
    errno.EACCES,
    errno.EEXIST,
    errno.EILSEQ,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
}
"""What is in the way of one name or one label's folder, where the folder of all can be written."""
_COUNTS = {EVENTS: "n_recorded", NEAR_MISSES: "n_near_misses", WITHOUT_AUDIO: "n_without_audio"}


@dataclass
class _Waiting:
    recording: Recording
    n_tries: int = 0


class Shelf:
    """Writes recordings, one after the other, on a thread of its own; nobody waits for it."""

    def __init__(self, spec: RecorderSpec) -> None:
        """Prepare; the disk is not touched before `start`."""
        self._folder = Path(spec.folder)
        self._max_bytes = spec.max_bytes
        self._quota = Quota(self._folder, spec.max_bytes, spec.max_days)
        self._waiting: deque[_Waiting] = deque()
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
            self._waiting.append(_Waiting(recording))
            first = 0 if self._busy_since is None else 1
            while len(self._waiting) > first + 1 and self._is_too_much():
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
        """Write what waits, as far as the disk takes it at once; what is left after so long is lost, and said."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(seconds)
        with self._changed:
            if self._waiting:
                log.warning(
                    "%s: %d recordings are lost: they still waited at the end", self._folder, len(self._waiting)
                )
                self._count(n_lost=len(self._waiting))
                self._waiting.clear()

    def _is_too_much(self) -> bool:
        return len(self._waiting) > MOST_WAITING or sum(map(_n_bytes, self._waiting)) > MAX_WAITING_BYTES

    def _work(self) -> None:
        """Write what waits; with nothing to write, see to the quota, and whether a problem is over."""
        one: _Waiting | None = None
        n_failed = 0
        """Recordings one after the other that could not be written for reasons of their own."""
        while True:
            with self._changed:
                self._busy_since = time.monotonic()
            problem, is_its_own = self._attempt(one.recording if one else None)
            with self._changed:
                self._busy_since = None
                if one is not None and not self._waiting:
                    return  # `close` gave it up
                n_failed = n_failed + 1 if is_its_own else 0
                others_wait = n_failed > 0 and n_failed < len(self._waiting)
                if is_its_own:
                    self._pass_over(problem)
                elif not problem and one is not None:
                    self._waiting.popleft()
                if not others_wait:
                    if problem != self._problem:
                        log.warning("%s", problem or f"{self._folder}: recordings are written again")
                    self._problem = problem
                    if problem:
                        n_failed = 0
                        self._changed.wait_for(lambda: self._is_closing, RETRY_SECONDS)
                if self._is_closing and (not self._waiting or (problem and not others_wait)):
                    return
                if not self._waiting and not problem:
                    self._changed.wait_for(lambda: self._waiting or self._is_closing, QUOTA_SECONDS)
                one = self._waiting[0] if self._waiting else None

    def _pass_over(self, problem: str) -> None:
        """Put the first at the end of the line, or drop it, if it was there often enough."""
        one = self._waiting.popleft()
        one.n_tries += 1
        if one.n_tries < MOST_TRIES:
            self._waiting.append(one)
        else:
            log.warning("%s is lost: %s", one.recording.stem, problem)
            self._count(n_lost=1)

    def _attempt(self, recording: Recording | None) -> tuple[str, bool]:
        """Write one recording, if there is one; return what is in the way, or "", and if it is in its way alone."""
        is_writing = False
        try:
            if not self._folder.is_dir():
                return f"{self._folder}: there is no such folder; make it, or mount its disk", False
            if not os.access(self._folder, os.W_OK | os.X_OK):
                return f"{self._folder}: this user may not write there", False
            self._quota.enforce(time.time(), boot_seconds())
            if recording is not None:
                is_writing = True
                self._write(recording)
        except OSError as error:
            problem = f"{error.filename or self._folder}: {error.strerror or error}"
            return problem, is_writing and error.errno in _NOT_THE_DISK
        except Exception as error:  # a thread that ends would record nothing for ever, in silence
            problem = f"{self._folder}: {type(error).__name__}: {error}"
            if problem != self._problem:
                log.exception("a recording can't be written")
            return problem, is_writing
        with self._changed:
            self._report = replace(self._report, n_bytes=self._quota.n_bytes, n_removed=self._quota.n_removed)
        return "", False

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
        self._quota.enforce(time.time(), boot_seconds(), kind, n_bytes)
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
    plain = "".join(one if one.isprintable() and one not in '/\\<>:"|?*' else "-" for one in label)
    short = plain.strip().lstrip(".").encode()[:MAX_NAME_BYTES].decode(errors="ignore").rstrip(". ")
    return short or "-"


def _n_bytes(one: _Waiting) -> int:
    return 0 if one.recording.pcm is None else one.recording.pcm.nbytes


def _flac(pcm: Pcm, sample_rate: int) -> bytes:
    # soundfile writes to a Python object through callbacks, which need memory that is writable and executable; a
    # hardened service has none. Where there is no file in memory there is no such service.
    with os.fdopen(os.memfd_create("flac"), "r+b") if hasattr(os, "memfd_create") else io.BytesIO() as file:
        target = file if isinstance(file, io.BytesIO) else file.fileno()
        soundfile.write(target, pcm, sample_rate, format="FLAC", subtype="PCM_16", closefd=False)
        file.seek(0)
        return file.read()


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
