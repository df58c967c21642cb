"""`streamd keys`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamd import keys
from streamd.cli import main


def test_two_machines_come_to_know_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def streamd(where: str, *arguments: str) -> str:
        assert main(["keys", *arguments, "--keys", str(tmp_path / where)]) == 0
        return capsys.readouterr().out

    for where in ("hall", "attic"):
        told = streamd(where, "new")
        public = keys.load(tmp_path / where).public
        assert f"public key: '{public}'" in told
    hall, attic = (keys.load(tmp_path / where).public for where in ("hall", "attic"))
    streamd("hall", "authorize", attic, "--speak", "attic", "--speak", "roof", "--listen", "--who", "Pi in the attic")
    streamd("attic", "trust", "hall.lan", hall)
    at_hall, at_attic = (json.loads(streamd(where, "list", "--json")) for where in ("hall", "attic"))
    assert at_hall["public"] == hall
    assert at_hall["authorized"] == [
        {"key": attic, "roles": ["listen", "speak:attic", "speak:roof"], "who": "Pi in the attic"}
    ]
    assert at_attic["daemons"] == {"hall.lan": hall}
    assert f"{attic}\tlisten speak:attic speak:roof\tPi in the attic" in streamd("hall", "list")


def test_each_line_of_the_pages_and_the_hints_gives_a_key_more_and_takes_nothing_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = keys.make(tmp_path / "attic").public
    told = []
    for roles in (["--listen", "--control", "--who", "the Pi in the attic"], ["--speak", "attic"], ["--listen"]):
        assert main(["keys", "authorize", key, *roles, "--keys", str(tmp_path)]) == 0
        told.append(capsys.readouterr().out.splitlines()[0].removeprefix("# "))
    begin = f"'{key}' (the Pi in the attic) may now: listen, control"
    assert told == [begin, f"{begin}, speak:attic", f"{begin}, speak:attic"]


def test_a_folder_without_keys_says_how_to_make_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "list", "--keys", str(tmp_path)]) == 0
    assert "`streamd keys new` makes them" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["authorize", "x", "--listen"], 77, "'x' is no key"),
        (["authorize", "0" * 40], 77, "no role is given"),
        (["authorize", "0" * 40, "--speak", "A B"], 77, "'speak:A B' is no role"),
        (["trust", "hall", "x"], 77, "'x' is no key"),
        (["forget"], 64, "invalid choice"),
        ([], 64, "ACTION"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], code: int, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--keys", str(tmp_path)] if code == 77 else []
    assert main(["keys", *arguments, *options]) == code
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())
