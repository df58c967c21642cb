"""Under which licence everything came that was learned from: told as the table beside the data tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.errors import DataError
from tests.training.trees import recording, text
from training.prepare.clips import Clip
from training.prepare.groups import Group
from training.prepare.licences import as_facts, in_facts, licensed, licensed_files

HASH = "6ea3c6df9a67762e2362f946c695e619859126b19fbccf32a2e8f07dfd03b2f4"


def groups(data: Path) -> list[Group]:
    found = []
    for name in ("millo", "rumpf", "kitchen"):
        clips = [Clip(recording(data / name / f"{i}.wav"), "kick", None, None, name, None) for i in range(2)]
        found.append(Group(name, "source", clips))
    return found


def test_licence_and_package_of_each_group_are_those_of_the_table(tmp_path):
    table = text(
        tmp_path / "origins.csv",
        "source,licence,package,version,sha256",
        f"millo,GPL-2.0-only,hydrogen-drumkits,2017.09.19~dfsg-1,{HASH}",
        "rumpf,CC-BY-3.0,,,",
    )
    millo, rumpf, kitchen = licensed(groups(tmp_path), table)
    assert (millo.licence, millo.package, millo.package_sha256) == (
        "GPL-2.0-only",
        "hydrogen-drumkits 2017.09.19~dfsg-1",
        HASH,
    )
    assert (rumpf.licence, rumpf.package, rumpf.package_sha256) == ("CC-BY-3.0", None, None)
    assert kitchen.licence == "not told"
    assert in_facts(as_facts([millo, rumpf, kitchen])) == [millo, rumpf, kitchen]


def test_recorded_rooms_are_told_as_the_table_has_their_folder(tmp_path):
    table = text(tmp_path / "origins.csv", "source,licence", "halls,CC-BY-4.0")
    files = [recording(tmp_path / "halls" / f"{i}.wav") for i in range(2)]
    one = licensed_files("halls", files, table)
    assert (one.source, one.licence) == ("halls", "CC-BY-4.0")
    assert one == licensed_files("halls", files[::-1], table)
    assert one.sha256 != licensed_files("halls", files[:1], table).sha256


def test_the_checksum_is_of_the_content(tmp_path):
    found = groups(tmp_path)
    before = licensed(found, tmp_path / "origins.csv")
    file = tmp_path / "rumpf" / "1.wav"
    file.write_bytes(file.read_bytes()[:-2])
    after = licensed(found, tmp_path / "origins.csv")
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]


def test_where_nothing_is_told_it_says_so(tmp_path):
    assert {one.licence for one in licensed(groups(tmp_path), tmp_path / "origins.csv")} == {"not told"}
    assert in_facts({}) == in_facts({"sources": [{"name": "of another program"}]}) == in_facts({"sources": "web"}) == []


@pytest.mark.parametrize("header", ["source,license", "name,licence"])
def test_a_table_of_other_columns_gets_one_line(tmp_path, header):
    table = text(tmp_path / "origins.csv", header, "millo,GPL-2.0-only")
    with pytest.raises(DataError, match=r"origins\.csv: found no column .*; expected source and licence"):
        licensed(groups(tmp_path), table)
