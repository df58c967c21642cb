"""What lies in the folder of recordings, and what of it has to go: the oldest first.

Only files that are named as the recorder names them are counted and removed: whatever else lies there is somebody's.
A recording is as old as its files: what a recorder has written is dated anew when the clock is set, names stay.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamd.wall import EARLIEST

EVENTS, NEAR_MISSES, WITHOUT_AUDIO = "events", "near-misses", "without-audio"
"""Folders in the folder, each with a folder for each label. Those of the first two are clips to train with."""
NEAR_MISS_PART = 0.5
"""Near-misses have at most this part of the bytes: there may be so many of them that no event would last."""
RESCAN_SECONDS = 3600.0
"""Who removes recordings by hand gets their room after this long at the latest."""
EVEN_SECONDS = 3600.0
"""Nothing is old before the clock has gone evenly for so long, or a moment of a wrong one would cost everything …"""
STEP_SECONDS = 10.0
OLD_PART = 0.1
"""… and of what is old then, at most this part of all goes at one look."""
_STEM = re.compile(r"(\d{8}T\d{6}\.\d{3}Z)-[a-z0-9-]+")
_SUFFIXES = {".flac", ".json"}
_PART = re.compile(r"\.\d{8}T\d{6}\.\d{3}Z-[a-z0-9-]+\.(flac|json)\.part")


@dataclass
class _Kept:
    """A recording on the disk: the files of one stem."""

    stem: Path
    n_bytes: int
    written_at: float
    """Seconds since 1970."""
    is_ours: bool = False
    """This process wrote it."""

    @property
    def place(self) -> tuple[float, str]:
        """By which the oldest comes first."""
        return self.written_at, self.stem.name


class Quota:
    """Keeps a folder of recordings within its bytes and days. Every method raises OSError as the disk does."""

    def __init__(self, folder: Path, max_bytes: int, max_days: float) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._max_age_seconds = max_days * 86_400
        self._kept: dict[str, dict[Path, _Kept]] = {EVENTS: {}, NEAR_MISSES: {}, WITHOUT_AUDIO: {}}
        self._scanned_at = -RESCAN_SECONDS
        self._ahead: float | None = None
        """How far the wall clock is ahead of the one that nobody sets …"""
        self._even_since = 0.0
        """… and since when, in seconds of that one."""
        self.n_removed = 0

    @property
    def n_bytes(self) -> int:
        """What all recordings take."""
        return sum(map(self._bytes_of, self._kept))

    def _bytes_of(self, kind: str) -> int:
        return sum(one.n_bytes for one in self._kept[kind].values())

    def add(self, kind: str, stem: Path, n_bytes: int) -> None:
        """Count a recording that was just written."""
        written_at = stem.with_name(stem.name + ".json").stat().st_mtime
        self._kept[kind][stem] = _Kept(stem, n_bytes, written_at, is_ours=True)

    def enforce(self, now: float, uptime: float, kind: str = EVENTS, n_bytes: int = 0) -> None:
        """Remove what is too old, and make room for n_bytes more of a kind.

        Args:
            now: seconds since 1970, by which recordings are old.
            uptime: seconds of wall.boot_seconds, by which it is time to look at the disk again.
            kind: the folder that gets more.
            n_bytes: what it gets; no more than the quota.
        """
        if uptime - self._scanned_at >= RESCAN_SECONDS:
            self._scan()
            self._scanned_at = uptime
        if self._has_gone_evenly(now, uptime):
            self._remove_old(now)
        near = self._kept[NEAR_MISSES]
        more = n_bytes if kind == NEAR_MISSES else 0
        while near and self._bytes_of(NEAR_MISSES) + more > NEAR_MISS_PART * self._max_bytes:
            self._remove(NEAR_MISSES, self._by_age(NEAR_MISSES)[0])
        while self.n_bytes and self.n_bytes + n_bytes > self._max_bytes:
            oldest_of = {each: self._by_age(each)[0] for each, kept in self._kept.items() if kept}
            first = min(oldest_of, key=lambda each: oldest_of[each].place)
            self._remove(first, oldest_of[first])

    def _has_gone_evenly(self, now: float, uptime: float) -> bool:
        ahead = now - uptime
        step = 0.0 if self._ahead is None else ahead - self._ahead
        if self._ahead is None or abs(step) > STEP_SECONDS:
            self._date_anew(now, step)
            self._even_since = uptime
        self._ahead = ahead
        return uptime - self._even_since >= EVEN_SECONDS

    def _date_anew(self, now: float, step: float) -> None:
        """Move the files that this process wrote by a step of the clock, which made them no older or younger.

        What was written since the step has a right date: none is moved into the future, or back if it is not there.
        """
        for one in itertools.chain.from_iterable(kept.values() for kept in self._kept.values()):
            moved = one.written_at + step
            if one.is_ours and moved <= now + STEP_SECONDS and (step > 0 or one.written_at > now):
                for suffix in _SUFFIXES:
                    with contextlib.suppress(FileNotFoundError, PermissionError):
                        os.utime(one.stem.with_name(one.stem.name + suffix), (moved, moved))
                one.written_at = moved

    def _remove_old(self, now: float) -> None:
        """Remove some of what is too old; what was written by a clock that was not set has no age."""
        old = [
            (one.place, kind, one)
            for kind, kept in self._kept.items()
            for one in kept.values()
            if EARLIEST <= one.written_at < now - self._max_age_seconds
        ]
        most = math.ceil(OLD_PART * sum(map(len, self._kept.values())))
        for _place, kind, one in sorted(old, key=lambda each: each[0])[:most]:
            self._remove(kind, one)

    def _by_age(self, kind: str) -> list[_Kept]:
        return sorted(self._kept[kind].values(), key=lambda one: one.place)

    def _remove(self, kind: str, one: _Kept) -> None:
        del self._kept[kind][one.stem]
        with contextlib.suppress(PermissionError):  # it lies in somebody else's folder: not ours to count
            for suffix in _SUFFIXES:
                one.stem.with_name(one.stem.name + suffix).unlink(missing_ok=True)
            self.n_removed += 1
        with contextlib.suppress(OSError):  # not empty
            one.stem.parent.rmdir()

    def _scan(self) -> None:
        for kind in self._kept:
            found: dict[Path, _Kept] = {}
            for file in _files(self._folder / kind):
                with contextlib.suppress(PermissionError):  # it lies in somebody else's folder
                    if _PART.fullmatch(file.name):
                        Path(file).unlink(missing_ok=True)  # of a recorder that was killed
                        continue
                    stem, suffix = Path(file.path).with_suffix(""), Path(file.path).suffix
                    if suffix in _SUFFIXES and _STEM.fullmatch(stem.name):
                        facts = file.stat(follow_symlinks=False)
                        before = self._kept[kind].get(stem)
                        one = found.setdefault(stem, _Kept(stem, 0, 0.0, before is not None and before.is_ours))
                        one.n_bytes += facts.st_size
                        one.written_at = max(one.written_at, facts.st_mtime)
            self._kept[kind] = found


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the files in the folders of a folder, links left out."""
    for each in _entries(folder):
        if each.is_dir(follow_symlinks=False):
            yield from (file for file in _entries(Path(each.path)) if file.is_file(follow_symlinks=False))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, PermissionError):  # somebody else's folder has nothing of ours
        return []
