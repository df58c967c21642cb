"""What the journal has not confirmed yet: in memory, and in a file that outlives the daemon that wrote it.

A pipe dies with the two that hold its ends. So what was published and is not confirmed lies in the machine's shared
memory too, which is no disk: whoever kills daemon and journal at once leaves it there, and the next daemon hands it
over first. The lock on that file is the right to write this journal.

Shared memory is everybody's: who takes the name of our folder there, or all of its room, must not cost us the journal.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import logging
import os
import tempfile
from collections import deque
from pathlib import Path

from streamd import endpoints
from streamd.errors import EndpointError, MessageError
from streamd.pipe import FrameReader, frame

log = logging.getLogger("streamd")

MAX_BYTES = 16 << 20
"""What may wait; messages beyond it are lost to the journal."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - for a folder of our own, which nobody else may enter
"""POSIX shared memory (shm_overview(7)); where there is none, the runtime folder takes its place."""


def backlog_of(journal: Path) -> Backlog:
    """Open the backlog of a journal, where a daemon has left it, else where there is room for it.

    Raises:
        EndpointError: another daemon writes this journal, or the file can be had nowhere.
    """
    file = backlog_file(journal)
    try:
        try:
            return Backlog(file)
        except OSError:
            elsewhere = endpoints.runtime_folder() / file.name
            if file.exists() or file == elsewhere:
                raise
            log.warning("%s can't be had; what the journal has not confirmed is kept in %s", file, elsewhere)
            return Backlog(elsewhere)
    except OSError as error:
        raise EndpointError(f"{error.filename or file}: {error.strerror}") from error


def backlog_file(journal: Path) -> Path:
    """Return where the backlog of a journal lies, or is to lie: one place, whichever of its folder's paths leads to it.

    Raises:
        EndpointError: there is no folder that is ours alone.
    """
    place = Path(os.path.realpath(journal.parent)) / journal.name
    name = f"{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}.backlog"
    folders = [*_shared_folders(), endpoints.runtime_folder()]
    return next((folder / name for folder in folders if (folder / name).exists()), folders[0] / name)


def _shared_folders() -> list[Path]:
    """Return our folder in shared memory, which is made if need be; none where there can be none.

    Anybody may have taken its usual name. Then it has another one, and is known by its owner: of several, as after the
    stranger's was removed, the first counts.
    """
    usual = SHARED_MEMORY / f"streamd-{os.getuid()}"
    with contextlib.suppress(OSError):
        ours = sorted(each for each in (usual, *SHARED_MEMORY.glob(f"{usual.name}.*")) if _is_ours_alone(each))
        if ours:
            return ours
        try:
            usual.mkdir(mode=0o700)
        except FileExistsError:
            return [Path(tempfile.mkdtemp(prefix=f"{usual.name}.", dir=SHARED_MEMORY))]
        return [usual]
    return []


def _is_ours_alone(folder: Path) -> bool:
    try:
        endpoints.refuse_if_shared(folder)
    except EndpointError:
        return False
    return folder.exists()


class Backlog:
    """Messages in their order: `waiting` to be sent, then sent, then confirmed and forgotten.

    Raises:
        EndpointError: another daemon writes this journal.
        OSError: the file can't be had.
    """

    def __init__(self, file: Path, max_bytes: int = MAX_BYTES) -> None:
        self.file = file
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._sent: deque[tuple[bytes, bool]] = deque()
        self._n_bytes = 0
        self._end = 0
        """Where the file ends; -1 if it can't be written any more."""
        self._file = _locked(file)
        self._load()

    def _load(self) -> None:
        """Take up what a daemon left behind that was killed; what it did not finish writing was never published."""
        data = os.pread(self._file, 2 * self._max_bytes + 1, 0)
        reader = FrameReader()
        try:
            left = reader.feed(data)
            self._end = len(data) - reader.n_rest
        except MessageError as error:
            log.error("%s: %s; what was in it is dropped", self.file, error)
            left = []
        os.ftruncate(self._file, self._end)
        for payload in reversed(left):
            if self._n_bytes + len(payload) > self._max_bytes:  # more never waited: what came before was confirmed
                break
            self._waiting.appendleft((payload, True))
            self._n_bytes += len(payload)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sent)

    @property
    def n_left(self) -> int:
        """How many messages are not confirmed; questions don't count."""
        return sum(outlives for _, outlives in itertools.chain(self._sent, self._waiting))

    @property
    def is_whole(self) -> bool:
        """Whether the file has all of them; else some are in this process alone."""
        return self._end >= 0

    @property
    def n_waiting(self) -> int:
        """How many were not sent to the journal that runs now."""
        return len(self._waiting)

    def add(self, payload: bytes, *, outlives: bool = True) -> bool:
        """Add a message, in the file too if it outlives this process; False if there is no room for it.

        What does not outlive this process is a question, for which there is always room.
        """
        if outlives and self._n_bytes + len(payload) > self._max_bytes:
            return False
        self._waiting.append((payload, outlives))
        self._n_bytes += len(payload)
        if outlives:
            self._write(frame(payload))
        return True

    def __contains__(self, payload: bytes) -> bool:
        return any(payload == each for each, _ in itertools.chain(self._sent, self._waiting))

    def next(self) -> bytes | None:
        """Return the first that was not sent, if there is one."""
        return self._waiting[0][0] if self._waiting else None

    def sent(self) -> None:
        """The first that waited was sent."""
        self._sent.append(self._waiting.popleft())

    def confirm(self, n: int) -> None:
        """Forget the first n that were sent."""
        for _ in range(min(n, len(self._sent))):
            payload, _ = self._sent.popleft()
            self._n_bytes -= len(payload)
        if not len(self) and self._end:
            self._empty()

    def send_again(self) -> None:
        """All that was sent waits again: who had it in hand has died."""
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()

    def close(self) -> None:
        """Give the journal free. The file goes with its last message; else it waits for the next daemon."""
        if not len(self):
            with contextlib.suppress(OSError):
                self.file.unlink()
        os.close(self._file)

    def _empty(self) -> None:
        try:
            os.ftruncate(self._file, 0)
            self._end = 0
        except OSError as error:
            self._give_up(error)

    def _write(self, data: bytes) -> None:
        if self._end < 0:
            return
        try:
            if self._end + len(data) > 2 * self._max_bytes:
                self._write_anew()
                return
            # At a known place: what a failed write left of a message is written over.
            if os.pwrite(self._file, data, self._end) < len(data):
                raise OSError(None, "no room is left")
            self._end += len(data)
        except OSError as error:
            self._give_up(error)

    def _write_anew(self) -> None:
        """Write what is left without what was confirmed; whoever is killed meanwhile leaves the old file."""
        new = self.file.with_suffix(".new")
        kept = itertools.chain(self._sent, self._waiting)
        data = b"".join(frame(payload) for payload, outlives in kept if outlives)
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        file = _opened(new)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.pwrite(file, data, 0) < len(data):
                raise OSError(None, "no room is left")
            new.replace(self.file)
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._file, self._end = file, len(data)

    def _give_up(self, error: OSError) -> None:
        """Go on in memory alone; what the file has, it keeps, since it may be all that is left of the oldest."""
        self._end = -1
        log.warning("%s: %s; what waits for the journal is in memory alone", self.file, error.strerror)


def _opened(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _locked(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        file = _opened(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise EndpointError("another daemon writes it; give each a file of its own (journal: {file: …})") from None
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file).st_ino:
                return file
        os.close(file)  # its last owner took it away just now
