"""Endpoints beyond this machine, and the keys that a configuration needs for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd import config, keys
from streamd.cli import main
from streamd.errors import ConfigError

BEYOND = 'endpoints: {events: "tcp://0.0.0.0:5555", audio: ["tcp://[::]:5556", ipc:///tmp/a]}'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the keys of this test's user are; there are none yet."""
    monkeypatch.delenv("CONFIGURATION_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "streamd" / "keys"


def read(text: str) -> config.Config:
    return config.parse(text.encode(), "streamd.yaml", Path("/"))


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return caught.value.mistakes


def test_beyond_this_machine_without_keys_is_a_mistake_of_each_endpoint_with_its_line(folder: Path) -> None:
    text = 'device: cpu\nendpoints:\n  events: tcp://0.0.0.0:5555\n  audio: "tcp://192.168.1.5:5556"\n'
    lacks = f"{folder}/secret.key: there is no secret key; make one with `streamd keys new`"
    assert mistakes(text) == [
        f"streamd.yaml:3: endpoints.events: beyond this machine it needs keys: {lacks}",
        f"streamd.yaml:4: endpoints.audio: beyond this machine it needs keys: {lacks}",
    ]


@pytest.mark.parametrize(
    "endpoint", ["tcp://127.0.0.1:5555", "tcp://127.1.2.3:5555", "tcp://[::1]:5555", "ipc:///tmp/x"]
)
def test_this_machine_needs_no_keys_and_none_are_read(folder: Path, endpoint: str) -> None:
    keys.make(folder)
    (folder / "secret.key").chmod(0o644)
    found = read(f'endpoints: {{events: "{endpoint}"}}')
    assert found.key_pair is None
    assert not found.permissions.roles


def test_the_keys_of_sources_and_of_the_authorized_come_together(folder: Path) -> None:
    pair, attic, phone = keys.make(folder), keys.make(folder / "x").public, keys.make(folder / "y").public
    keys.authorize(folder, phone, ["listen"])
    keys.authorize(folder, attic, ["listen"])
    found = read(f"sources: {{attic: {{remote: true, key: '{attic}'}}, hall: {{remote: true}}}}\n{BEYOND}")
    assert found.key_pair == pair
    assert found.permissions.roles == {phone: {"listen"}, attic: {"listen", "speak:attic"}}
    assert found.permissions.reserved == {"attic"}


def test_check_reads_the_keys_it_is_told_to_and_no_others(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, of_service = tmp_path / "main.yaml", tmp_path / "service" / "keys"
    file.write_text(BEYOND)
    keys.make(of_service)
    check = ["check", "-c", str(file)]
    assert main([*check, "--keys", str(of_service)]) == 0
    assert main(check) == 78
    assert f"{folder}/secret.key: there is no secret key" in capsys.readouterr().err
    (of_service / "authorized").write_text("x")
    keys.make(folder)
    assert main(check) == 0
    assert main([*check, "--keys", str(of_service)]) == 78
    assert f"{of_service}/authorized:1: no key" in capsys.readouterr().err


def test_a_key_that_is_none_that_nobody_can_show_or_of_no_agent_is_a_mistake(folder: Path) -> None:
    key = keys.make(folder).public
    (line,) = mistakes(f"sources: {{attic: {{remote: true, key: short}}}}\n{BEYOND}")
    assert line.startswith("streamd.yaml:1: sources.attic.key: is no key; expected 40 characters")
    (line,) = mistakes(f"sources: {{attic: {{remote: true, key: '{key}'}}}}")
    assert line.startswith("streamd.yaml:1: sources.attic.key: no agent can show it; give endpoints.audio an address")
    (line,) = mistakes(f"sources: {{attic: {{microphone: USB, key: '{key}'}}}}\n{BEYOND}")
    assert line == "streamd.yaml:1: sources.attic.key: belongs to a remote source; this is a microphone source"


def test_what_is_wrong_with_the_authorized_is_told_at_the_endpoint(folder: Path) -> None:
    keys.make(folder)
    (folder / "authorized").write_text("x")
    (line,) = mistakes('endpoints: {control: "tcp://10.0.0.1:5557"}')
    begin = f"streamd.yaml:1: endpoints.control: beyond this machine it needs keys: {folder}/authorized:1: "
    assert line == f"{begin}no key at its beginning; a line is KEY ROLE … [# who]"
