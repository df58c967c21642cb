"""Where the sockets of a daemon lie: one private folder a user, held by one daemon at a time.

The daemon takes the folder's lock, then binds `default_endpoints(folder)`. Clients ask `find`, which
looks in the user's own folders and then in that of the system service.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import ipaddress
import os
import pwd
import re
import socket as sockets
import stat
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec
import zmq

from streamd import keys
from streamd.errors import EndpointError, KeysError

Word = Literal["events", "audio", "control", "history"]
"""What an endpoint is for."""

WORDS: Final[tuple[Word, ...]] = ("events", "audio", "control", "history")

SYSTEM_FOLDER = Path("/run/streamd")
"""Where system services keep their sockets, each in a folder of its own: `streamd@main` in main."""

MAX_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""Longest path of a socket: what the kernel's sockaddr_un holds (unix(7), unix(4))."""

HANDSHAKE_MS = 5000
"""Who connects to a socket of the daemon and says nothing is cut off after this long."""


def runtime_folder() -> Path:
    """Return the folder of this user's daemon, which need not exist yet.

    It is `$RUNTIME_DIRECTORY` (systemd sets it), else `$XDG_RUNTIME_DIR/streamd`, else a folder in the
    temporary directory.

    Raises:
        EndpointError: the folder in the temporary directory is not this user's alone.
    """
    folder = _folder_of_session()
    if folder is None:
        folder = _temporary_folder()
        refuse_if_shared(folder)
    return folder


def _folder_of_session() -> Path | None:
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    private = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(private) / "streamd" if private else None


def _temporary_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"streamd-{os.getuid()}"


def refuse_if_shared(folder: Path) -> None:
    """Raise EndpointError if a folder that anybody could have made is there and is not ours alone."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise EndpointError(
            f"{folder}: {stat.filemode(found.st_mode)} of user {found.st_uid}; expected a folder of user {os.getuid()}"
            " that nobody else may enter (drwx------): remove it, or set XDG_RUNTIME_DIR"
        )


def default_endpoints(folder: Path) -> dict[Word, str]:
    """Return the endpoint of every word in a folder.

    Raises:
        EndpointError: a path is longer than a socket's may be.
    """
    endpoints: dict[Word, str] = {word: f"ipc://{folder.absolute() / word}.sock" for word in WORDS}
    for endpoint in endpoints.values():
        check_length(endpoint)
    return endpoints


def listen_at(folder: Path, given: object) -> dict[Word, Sequence[str]]:
    """Return where a daemon listens for each word: where it is given, as an attribute of that name, else in a folder.

    There, too, if what is given is all for other machines. The first of each is on this machine: our own agents and
    `streamd status` need no keys. Control is there in any case: whoever reloads a service knows nothing but its folder.
    """
    found: dict[Word, Sequence[str]] = {}
    for word, default in default_endpoints(folder).items():
        here = [endpoint for endpoint in getattr(given, word) if not is_beyond(endpoint)]
        if default not in here and (not here or word == "control"):
            here.append(default)
        found[word] = (*here, *(endpoint for endpoint in getattr(given, word) if endpoint not in here))
    return found


def check_length(endpoint: str) -> None:
    """Raise EndpointError if an ipc endpoint's path is longer than a socket's may be."""
    path = os.fsencode(endpoint.removeprefix("ipc://"))
    if endpoint.startswith("ipc://") and len(path) > MAX_PATH_BYTES:
        raise EndpointError(
            f"{endpoint}: a path of {len(path)} bytes; a socket's has at most {MAX_PATH_BYTES}:"
            " use a shorter folder (RUNTIME_DIRECTORY), or name the endpoints in the configuration"
        )


def is_beyond(endpoint: str) -> bool:
    """Tell whether an endpoint may be reached from, or leads, beyond this machine: there both ends need keys."""
    host = host_of(endpoint)
    if host is None or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, an interface or *
        return True


def host_of(endpoint: str) -> str | None:
    """Return the host of a tcp endpoint, None of any other."""
    found = re.fullmatch(r"tcp://(?:[^;]*;)?(?:\[([^]]*)\]|(.*)):[^:]*", endpoint)
    return (found[1] or found[2]) if found else None


def bind(socket: zmq.Socket[Any], endpoint: str, *, shared: bool = False) -> None:
    """Bind a socket; raises EndpointError with the endpoint and the reason if that can't be done.

    A socket in the file system is for its user alone. A shared one is for the group, too, if its folder is: ours,
    open to the group and to nobody else (drwxr-x---), as that of the system service.
    """
    check_length(endpoint)
    if endpoint.startswith("ipc://") and why_silent(endpoint) is None:  # ZeroMQ would take it from its owner
        raise EndpointError(f"{endpoint}: another process listens there; stop it, or choose another endpoint")
    socket.setsockopt(zmq.IPV6, endpoint.startswith("tcp://["))
    mask = os.umask(0o177)  # at no moment may anybody else connect
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise EndpointError(f"{endpoint}: can't listen there: {zmq.strerror(error.errno or 0)}") from error
    finally:
        os.umask(mask)
    if shared and endpoint.startswith("ipc://"):
        file = Path(endpoint.removeprefix("ipc://"))
        folder = file.parent.stat()
        if folder.st_uid == os.getuid() and folder.st_mode & 0o077 == 0o050:
            file.chmod(0o660)


def bind_all(socket: zmq.Socket[Any], listen_at: Iterable[str], *, shared: bool = False) -> None:
    """Bind a socket to every endpoint; if one can't be had, the socket is closed and EndpointError raised."""
    try:
        for endpoint in listen_at:
            bind(socket, endpoint, shared=shared)
    except BaseException:
        socket.close(linger=0)
        raise


def connect(socket: zmq.Socket[Any], endpoint: str, keys_folder: Path | None = None) -> None:
    """Connect a socket, whether or not anybody listens yet; beyond this machine with the keys in a folder.

    Raises:
        EndpointError: that is no endpoint.
        KeysError: it lies beyond this machine, and our keys or its daemon's lack in the folder (None: the user's).
    """
    check_length(endpoint)
    if is_beyond(endpoint):
        try:
            keys.arm_client(socket, host_of(endpoint) or "", keys_folder or keys.keys_folder())
        except KeysError as error:
            raise KeysError(f"{endpoint}: both ends need keys: {error}") from error
    try:
        socket.setsockopt(zmq.IPV6, endpoint.startswith("tcp://["))
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise EndpointError(
            f"{endpoint}: no endpoint to connect to: {zmq.strerror(error.errno or 0)}; expected ipc:///PATH or tcp://HOST:PORT"
        ) from error


def places(word: Word) -> list[str]:
    """Return the endpoints where a daemon may be, the user's own first; of a system service its own alone."""
    return [default_endpoints(folder)[word] for folder in _folders()[0]]


def _folders() -> tuple[list[Path], str]:
    """Return the folders where a daemon may be, and why one that could be among them is not; empty if all are."""
    session, temporary = _folder_of_session(), _temporary_folder()
    if session is not None and SYSTEM_FOLDER in session.parents:
        return [session], ""  # `systemctl reload` of one must not reach another that runs
    folders = [] if session is None else [session]
    left_out = ""
    # What cron or sudo starts has no session: its daemon is there, whatever ours would take.
    if session is None or temporary.exists():
        try:
            refuse_if_shared(temporary)
            folders.append(temporary)
        except EndpointError as error:  # anybody can make it: that must not hide the system service from us
            left_out = str(error)
    return list(dict.fromkeys([*folders, *_system_folders()])), left_out


def _system_folders() -> list[Path]:
    """Return the folders of system services, by name; if there is none, the one that a first one would have."""
    return sorted(SYSTEM_FOLDER.glob("*/")) or [SYSTEM_FOLDER / "main"]


def find(word: Word) -> str:
    """Return the endpoint of a running daemon: the user's own, else the system service's.

    Raises:
        EndpointError: nobody listens at any of them; it names them all.
    """
    tried = []
    for endpoint in places(word):
        reason = why_silent(endpoint)
        if reason is None:
            return endpoint
        tried.append(f"{endpoint} ({reason})")
    left_out = _folders()[1]
    raise EndpointError(
        f"no daemon answers at {' or '.join(tried)}; start one with `streamd run`"
        + (f". Not looked into: {left_out}" if left_out else "")
    )


def why_silent(endpoint: str) -> str | None:
    """Return why nobody can be reached at an ipc endpoint, or None if somebody listens there.

    The file alone proves nothing: it outlives a daemon that was killed.
    """
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(endpoint.removeprefix("ipc://"))
        except BlockingIOError:
            return None  # a daemon whose queue of new connections is full
        except PermissionError:
            return _who_may(Path(endpoint.removeprefix("ipc://")))
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return None


def _who_may(file: Path) -> str:
    """Return who may use a socket that is closed to us, and what to do to be one of them.

    A system service's folder is drwxr-x---; of the sockets in it, some are its group's and some its user's alone.
    """
    for closed in (file, *file.parents):
        with contextlib.suppress(PermissionError):
            of = closed.stat()
            break
    try:
        user, group, me = pwd.getpwuid(of.st_uid).pw_name, grp.getgrgid(of.st_gid).gr_name, pwd.getpwuid(os.getuid())
    except KeyError:  # of a container, or of another machine's file system
        return "permission denied"
    if of.st_mode & (stat.S_IWGRP if closed == file else stat.S_IXGRP):
        return f"only group {group} may use it: `sudo adduser {me.pw_name} {group}`, then log in again"
    return f"only user {user} may use it: `sudo -u {user} streamd ...`"


class _Holder(msgspec.Struct):
    pid: int
    config: str


class Lock:
    """The right to be the daemon of a folder, until it is closed or the process ends.

    Needed because a second bind to an ipc path takes it over without an error.

    Raises:
        EndpointError: another daemon holds it (the message says which), or the folder can't be used.
    """

    def __init__(self, folder: Path, config: str) -> None:
        self.path = folder / "lock"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder == _temporary_folder():  # between the check and now, somebody else may have made it
                refuse_if_shared(folder)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise EndpointError(f"{self.path}: {error.strerror}; set RUNTIME_DIRECTORY to a folder of yours") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = self._holder()
            os.close(self._file)
            raise EndpointError(
                f"{folder} is held by {holder}: stop that one, or set RUNTIME_DIRECTORY to another folder for a second"
            ) from error
        os.truncate(self._file, 0)
        os.pwrite(self._file, msgspec.json.encode(_Holder(os.getpid(), config)), 0)
        for word in WORDS:  # left behind by a daemon that was killed
            (folder / f"{word}.sock").unlink(missing_ok=True)

    def _holder(self) -> str:
        try:
            holder = msgspec.json.decode(os.pread(self._file, 8192, 0), type=_Holder)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return "another daemon"
        return f"another daemon (pid {holder.pid}, {holder.config})"

    def close(self) -> None:
        """Give the folder free. The file stays: to remove it would let two daemons lock two files."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
