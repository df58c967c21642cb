"""CURVE keys: who we are, which daemons we believe, and who may do what.

A folder holds three text files, made by `streamd keys` and read by everything else:

    secret.key   the secret key of this user or service, 40 characters; nobody else may read it
    authorized   a daemon's: KEY ROLE … [# who], one line for each key that may come in
    daemons      a client's or an agent's: HOST KEY, one line for each daemon that it believes

Keys are CurveZMQ's (rfc.zeromq.org/spec/26), spelt in Z85 (rfc.zeromq.org/spec/32). The public key is
computed from the secret one, so that the two can't differ.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import zmq

from streamd.errors import KeysError
from streamd.events import SOURCE_NAME

SECRET, AUTHORIZED, DAEMONS = "secret.key", "authorized", "daemons"
CREDENTIAL = "streamd.secret"
"""Name of the secret key among the credentials of a service (systemd's LoadCredential=)."""
ROLES: Final = ("listen", "control")
"""What a key may do, beside speaking for sources: `speak:<source>`."""
MAX_BYTES = 1 << 20
"""What is read of a file of keys: thousands of lines."""

_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_KEY = re.compile(f"[{re.escape(_Z85)}]{{40}}")


@dataclass(frozen=True)
class KeyPair:
    """Both keys of one user or service."""

    public: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Permissions:
    """What each key may do with a daemon."""

    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Public key → its roles: listen, control, speak:<source>."""
    reserved: frozenset[str] = frozenset()
    """Sources whose key the configuration names: nobody speaks for them without one."""

    def may_enter(self, key: str, word: str) -> bool:
        """Tell whether a key may connect to the endpoint for events, history, control or audio."""
        roles = self.roles.get(key, frozenset())
        if word == "audio":
            return any(role.startswith("speak:") for role in roles)
        return {"events": "listen", "history": "listen"}.get(word, word) in roles

    def may_speak(self, key: str | None, source: str) -> bool:
        """Tell whether a key may speak for a source; None is somebody on this machine, where files' modes decide."""
        if key is None:
            return source not in self.reserved
        return f"speak:{source}" in self.roles.get(key, frozenset())


def keys_folder() -> Path:
    """Return where keys are: `$CONFIGURATION_DIRECTORY/keys` (systemd sets it), else `streamd/keys` in the user's
    folder of configurations (`$XDG_CONFIG_HOME`, else `~/.config`)."""
    given = os.environ.get("CONFIGURATION_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given) / "keys"
    home = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(home) if home else Path("~/.config").expanduser()) / "streamd" / "keys"


def is_key(text: str) -> bool:
    """Tell whether a text can be a key: 40 characters of Z85, five of which are 32 bits."""
    if not _KEY.fullmatch(text):
        return False
    for i in range(0, len(text), 5):
        number = 0
        for character in text[i : i + 5]:
            number = 85 * number + _Z85.index(character)
        if number >= 1 << 32:
            return False
    return True


def make(folder: Path) -> KeyPair:
    """Make a pair of keys and keep its secret one in a folder.

    Raises:
        KeysError: there is one already, or it can't be written.
    """
    file = folder / SECRET
    public, secret = (key.decode() for key in zmq.curve_keypair())
    while not public[0].isalnum():  # a shell would take - for an option, YAML @ or ! for something else
        public, secret = (key.decode() for key in zmq.curve_keypair())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(f"{secret}\n")
    except FileExistsError as error:
        raise KeysError(f"{file}: is there already; who knows it would refuse a new one. Remove it first") from error
    except OSError as error:
        raise KeysError(f"{file}: can't be written: {error.strerror}") from error
    return _pair(secret, file)


def load(folder: Path) -> KeyPair:
    """Return the keys of this user or service, as `find`.

    Raises:
        KeysError: also if there are none.
    """
    pair = find(folder)
    if pair is None:
        raise KeysError(f"{folder / SECRET}: there is no secret key; make one with `streamd keys new`")
    return pair


def find(folder: Path) -> KeyPair | None:
    """Return the keys of this user or service: those of its credentials, else those of a folder, None without any.

    Raises:
        KeysError: they can't be read, they are no keys, or others can read them.
    """
    credentials = os.environ.get("CREDENTIALS_DIRECTORY", "")
    file = Path(credentials) / CREDENTIAL
    # Who may read a credential is the service manager's to decide: its mode may show an access list's mask.
    if credentials and (text := _read(file)):
        return _pair(text.strip(), file)
    file = folder / SECRET
    text = _read(file, forbidden=0o077)
    return None if text is None else _pair(text.strip(), file)


def load_roles(folder: Path) -> dict[str, frozenset[str]]:
    """Return public key → roles, as `authorized` in a folder has them; empty if it is not there.

    Raises:
        KeysError: the file has lines that are none, or others can write it.
    """
    return {key: frozenset(roles) for key, (roles, _) in _authorized(folder).items()}


def list_authorized(folder: Path) -> list[tuple[str, list[str], str]]:
    """Return (key, roles, who) of every key that may come in; errors as load_roles."""
    return [(key, roles, who) for key, (roles, who) in _authorized(folder).items()]


def authorize(folder: Path, key: str, roles: Iterable[str], who: str = "") -> tuple[list[str], str]:
    """Let a key do something beside what it may already: write its line of `authorized`, in the place of that it has.

    Returns:
        All its roles now, and who it is: what is given, else what its line said.

    Raises:
        KeysError: that is no key or no role, or the file can't be written.
    """
    _check_key(key)
    given = tuple(roles)
    if problem := _problem_of_roles(given):
        raise KeysError(problem)
    before, was = _authorized(folder).get(key, ([], ""))
    now, who = list(dict.fromkeys((*before, *given))), " ".join(who.split()) or was
    _put(folder / AUTHORIZED, key, f"{key} {' '.join(now)}" + (f"   # {who}" if who else ""))
    return now, who


def trust(folder: Path, host: str, key: str) -> None:
    """Believe the daemon of a host that has this key, and no other: write its line of `daemons`.

    Raises:
        KeysError: that is no host or no key, or the file can't be written.
    """
    _check_key(key)
    if not re.fullmatch(r"[\w.:-]+", host):
        raise KeysError(f"{host!r} is no host; expected a name or an address, as in tcp://HOST:PORT")
    _daemons(folder)
    _put(folder / DAEMONS, host, f"{host} {key}")


def list_trusted(folder: Path) -> dict[str, str]:
    """Return host → public key of the daemons that are believed.

    Raises:
        KeysError: the file has lines that are none, or others can write it.
    """
    return _daemons(folder)


def arm_client(socket: zmq.Socket[Any], host: str, folder: Path) -> KeyPair:
    """Make the next connection of a socket one to the daemon of a host, and to no other; return our keys.

    Raises:
        KeysError: we have no keys, or know none of the host.
    """
    pair = load(folder)
    theirs = _daemons(folder).get(host)
    if theirs is None:
        raise KeysError(
            f"the key of the daemon on {host} is not known; `streamd keys list` shows it there,"
            f" and here `streamd keys trust {host} 'KEY'` keeps it"
        )
    socket.setsockopt_string(zmq.CURVE_SECRETKEY, pair.secret)
    socket.setsockopt_string(zmq.CURVE_PUBLICKEY, pair.public)
    socket.setsockopt_string(zmq.CURVE_SERVERKEY, theirs)
    return pair


def _pair(secret: str, file: Path) -> KeyPair:
    if not is_key(secret):
        raise KeysError(f"{file}: is no secret key; expected 40 characters, as `streamd keys new` writes them")
    return KeyPair(zmq.curve_public(secret.encode()).decode(), secret)


def _check_key(key: str) -> None:
    if not is_key(key):
        raise KeysError(f"{key[:80]!r} is no key; expected 40 characters, as `streamd keys list` prints them, in '…'")


def _problem_of_roles(roles: Iterable[str]) -> str:
    for role in roles:
        kind, _, source = role.partition(":")
        if role not in ROLES and not (kind == "speak" and SOURCE_NAME.fullmatch(source)):
            return f"{role[:80]!r} is no role; expected listen, control or speak:SOURCE"
    return "" if roles else "no role is given; expected listen, control or speak:SOURCE"


def _authorized(folder: Path) -> dict[str, tuple[list[str], str]]:
    file = folder / AUTHORIZED
    found = {}
    for number, key, rest in _lines(file):
        words, _, who = rest.partition("#")
        problem = "" if is_key(key) else "no key at its beginning"
        if problem := problem or _problem_of_roles(words.split()):
            raise KeysError(f"{file}:{number}: {problem}; a line is KEY ROLE … [# who]")
        found[key] = (words.split(), who.strip())
    return found


def _daemons(folder: Path) -> dict[str, str]:
    file = folder / DAEMONS
    found = {}
    for number, host, key in _lines(file):
        if not is_key(key):
            raise KeysError(f"{file}:{number}: no key after the host; a line is HOST KEY")
        found[host] = key
    return found


def _lines(file: Path) -> Iterable[tuple[int, str, str]]:
    """Yield (number, first word, rest) of the lines that are not empty and no comments."""
    for number, line in enumerate((_read(file, forbidden=0o022) or "").splitlines(), 1):
        first, _, rest = line.strip().partition(" ")
        if first and not (first.startswith("#") and not is_key(first)):  # a key may begin so
            yield number, first, rest.strip()


def _read(file: Path, forbidden: int = 0) -> str | None:
    """Return the text of a file, None if it is not there.

    Raises:
        KeysError: it can't be read, is no text, or its mode allows others what they are forbidden.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeysError(f"{file}: can't be read: {error.strerror}") from error
    try:
        _check_mode(file, os.fstat(descriptor), forbidden)
        return os.read(descriptor, MAX_BYTES).decode()
    except UnicodeDecodeError as error:
        raise KeysError(f"{file}: is no text") from error
    finally:
        os.close(descriptor)


def _check_mode(file: Path, found: os.stat_result, forbidden: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise KeysError(f"{file}: is no file")
    if forbidden and found.st_uid not in (0, os.geteuid()):
        raise KeysError(f"{file}: belongs to user {found.st_uid}; expected one of user {os.geteuid()}")
    if found.st_mode & forbidden:
        verb, mode = ("read", "600") if forbidden & 0o044 else ("write", "644")
        shown = stat.filemode(found.st_mode)
        raise KeysError(f"{file}: {shown}; expected a file that nobody else may {verb}: `chmod {mode} {file}`")


def _put(file: Path, name: str, line: str) -> None:
    """Put a line into a file in the place of that which begins with a name, else at the end."""
    kept = (_read(file) or "").splitlines()
    lines = [line if each.split()[:1] == [name] else each for each in kept]
    if line not in lines:
        lines.append(line)
    new = file.with_name(f"{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_text("".join(f"{each}\n" for each in lines))
        new.chmod(0o644)
        new.replace(file)
    except OSError as error:
        raise KeysError(f"{file}: can't be written: {error.strerror}") from error
