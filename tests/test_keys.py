"""Files of keys: written for one user, read with care, and every mistake in one line."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils import z85

from streamd import keys
from streamd.errors import KeysError
from streamd.keys import Permissions

KEY = zmq.curve_keypair()[0].decode()
OTHER = zmq.curve_keypair()[0].decode()


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_new_secret_key_is_for_its_owner_alone_and_gives_its_public_key(tmp_path: Path) -> None:
    made = keys.make(tmp_path / "deep" / "keys")
    file = tmp_path / "deep" / "keys" / "secret.key"
    assert mode(file) == 0o600
    assert file.read_text() == f"{made.secret}\n"
    assert made.public == zmq.curve_public(made.secret.encode()).decode()
    assert keys.load(file.parent) == made
    assert made.secret not in repr(made)
    assert made.public[0].isalnum()


def test_a_second_new_key_never_replaces_the_first(tmp_path: Path) -> None:
    made = keys.make(tmp_path)
    with pytest.raises(KeysError, match="is there already"):
        keys.make(tmp_path)
    assert keys.load(tmp_path) == made


@pytest.mark.parametrize("forbidden", [0o640, 0o604, 0o620, 0o666])
def test_a_secret_key_that_others_can_reach_is_refused(tmp_path: Path, forbidden: int) -> None:
    keys.make(tmp_path)
    file = tmp_path / "secret.key"
    file.chmod(forbidden)
    with pytest.raises(KeysError) as caught:
        keys.load(tmp_path)
    shown = stat.filemode(file.stat().st_mode)
    assert str(caught.value) == f"{file}: {shown}; expected a file that nobody else may read: `chmod 600 {file}`"


@pytest.mark.parametrize("text", ["", "short", "x" * 41, "#" * 40, "é" * 40, "\0"])
def test_what_is_no_secret_key_is_one_clear_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret.key").write_text(text)
    (tmp_path / "secret.key").chmod(0o600)
    with pytest.raises(KeysError, match="is no secret key; expected 40 characters") as caught:
        keys.load(tmp_path)
    assert text == "" or text not in str(caught.value)


def test_without_a_key_it_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match=r"there is no secret key; make one with `streamd keys new`$"):
        keys.load(tmp_path)
    (tmp_path / "secret.key").mkdir()
    with pytest.raises(KeysError, match="is no file"):
        keys.load(tmp_path)


def test_a_services_credential_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = keys.make(tmp_path / "a"), keys.make(tmp_path / "b")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert keys.load(tmp_path / "a") == ours
    (credentials / "streamd.secret").touch()  # what systemd makes of a fallback that is empty
    assert keys.load(tmp_path / "a") == ours
    (credentials / "streamd.secret").write_text(theirs.secret)
    (credentials / "streamd.secret").chmod(0o440)  # the mask of an access list shows as the group's mode
    assert keys.load(tmp_path / "a") == theirs


def test_keys_are_among_the_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFIGURATION_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/anna")
    assert keys.keys_folder() == Path("/home/anna/.config/streamd/keys")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/anna/etc")
    assert keys.keys_folder() == Path("/home/anna/etc/streamd/keys")
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", "/etc/streamd:/etc/other")
    assert keys.keys_folder() == Path("/etc/streamd/keys")


def test_who_is_authorized_may_do_that_and_nothing_else(tmp_path: Path) -> None:
    keys.authorize(tmp_path, KEY, ["listen", "speak:attic"], "a Pi # in the\nattic")
    keys.authorize(tmp_path, OTHER, ["control"])
    permissions = Permissions(keys.load_roles(tmp_path))
    words = ("events", "history", "audio", "control")
    assert [permissions.may_enter(KEY, word) for word in words] == [True, True, True, False]
    assert [permissions.may_enter(OTHER, word) for word in words] == [False, False, False, True]
    assert [permissions.may_enter("", word) for word in words] == [False] * 4
    assert permissions.may_speak(KEY, "attic")
    assert not permissions.may_speak(KEY, "kitchen")
    assert not permissions.may_speak(OTHER, "attic")
    assert keys.list_authorized(tmp_path)[0] == (KEY, ["listen", "speak:attic"], "a Pi # in the attic")


def test_who_needs_no_key_speaks_for_every_source_but_those_that_have_one() -> None:
    permissions = Permissions({KEY: frozenset({"speak:attic"})}, frozenset({"attic"}))
    assert permissions.may_speak(None, "kitchen")
    assert not permissions.may_speak(None, "attic")
    assert permissions.may_speak(KEY, "attic")


def test_to_authorize_again_adds_to_what_a_key_may_and_keeps_what_people_wrote(tmp_path: Path) -> None:
    file = tmp_path / "authorized"
    file.write_text(f"# phones\n\n{KEY} speak:attic listen  # Anna # her Pi\n{OTHER} control\n")
    assert keys.authorize(tmp_path, KEY, ["listen", "control"]) == (
        ["speak:attic", "listen", "control"],
        "Anna # her Pi",
    )
    assert file.read_text() == f"# phones\n\n{KEY} speak:attic listen control   # Anna # her Pi\n{OTHER} control\n"
    assert mode(file) == 0o644
    assert keys.authorize(tmp_path, KEY, ["listen"], " Bert\n") == (["speak:attic", "listen", "control"], "Bert")
    assert keys.list_authorized(tmp_path) == [
        (KEY, ["speak:attic", "listen", "control"], "Bert"),
        (OTHER, ["control"], ""),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nobody listen", "no key at its beginning"),
        (f"{KEY} dance", "'dance' is no role"),
        (f"{KEY} speak:../etc", "'speak:../etc' is no role"),
        (f"{KEY}  # nothing", "no role is given"),
    ],
)
def test_a_wrong_line_of_the_authorized_is_named(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "authorized").write_text(f"{OTHER} listen\n{line}\n")
    with pytest.raises(KeysError) as caught:
        keys.load_roles(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/authorized:2: {problem}")


@pytest.mark.parametrize("name", ["authorized", "daemons"])
def test_a_list_that_others_can_change_is_refused(tmp_path: Path, name: str) -> None:
    keys.authorize(tmp_path, KEY, ["listen"])
    keys.trust(tmp_path, "hall", KEY)
    (tmp_path / name).chmod(0o664)
    with pytest.raises(KeysError, match="expected a file that nobody else may write: `chmod 644 "):
        keys.load_roles(tmp_path) if name == "authorized" else keys.list_trusted(tmp_path)


def test_a_daemon_is_believed_by_its_host_and_the_newest_key_counts(tmp_path: Path) -> None:
    for host, key in (("hall", KEY), ("192.168.1.5", KEY), ("hall", OTHER)):
        keys.trust(tmp_path, host, key)
    assert keys.list_trusted(tmp_path) == {"hall": OTHER, "192.168.1.5": KEY}
    with pytest.raises(KeysError, match="is no host"):
        keys.trust(tmp_path, "two words", KEY)
    with pytest.raises(KeysError, match="is no key"):
        keys.trust(tmp_path, "hall", "x")


@given(st.binary(min_size=32, max_size=32))
def test_every_32_bytes_are_a_key(data: bytes) -> None:
    assert keys.is_key(z85.encode(data).decode())


@given(st.text(max_size=41))
def test_what_zeromq_would_not_take_is_no_key(text: str) -> None:
    if keys.is_key(text):
        assert len(z85.decode(text)) == 32
    assert not keys.is_key(f"{text}\n")


@given(st.binary(max_size=300) | st.lists(st.sampled_from([KEY, "listen", "speak:a", "#", " ", "\n"])).map("".join))
def test_whatever_is_in_a_file_of_keys_is_read_or_refused_in_one_line(content: bytes | str) -> None:
    with tempfile.TemporaryDirectory() as name:
        for file in ("authorized", "daemons", "secret.key"):
            (Path(name) / file).write_bytes(content.encode() if isinstance(content, str) else content)
            (Path(name) / file).chmod(0o600)
        said = ""
        for read in (keys.load_roles, keys.list_trusted, keys.load):
            try:
                read(Path(name))
            except KeysError as error:
                said += f"{error}\n"
        assert said.count("\n") == len(said.splitlines()) <= 3
