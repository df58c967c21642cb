"""A real SQLite file, and what may happen to it."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from streamd.events import Event, State, encode
from streamd.history import Missing, Page, Refused, Since
from streamd.journal import keeper as keeping
from streamd.journal import store as storing
from streamd.journal.contract import JournalSpec
from streamd.journal.keeper import Keeper
from streamd.wall import EARLIEST
from tests import samples


def spec(folder: Path, **limits: float) -> JournalSpec:
    return JournalSpec(file=str(folder / "journal.db"), **{"max_days": 30.0, "max_megabytes": 100.0, **limits})


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    keeper = Keeper(spec(tmp_path))
    yield keeper
    keeper.close()


def messages(n: int, run: str = "3f2a") -> list[bytes]:
    """Return n states of one source."""
    return [encode(msgspec.structs.replace(samples.STATE, run=run, seq=seq)) for seq in range(1, n + 1)]


def everything(keeper: Keeper) -> list[bytes]:
    """Return all that a keeper has, page by page."""
    found: list[bytes] = []
    cursor = None
    while True:
        page = keeper.answer(Since(cursor=cursor))
        assert isinstance(page, Page)
        found += [bytes(raw) for raw in page.messages]
        if (cursor := page.next) is None:
            return found


def test_what_was_kept_comes_back_as_it_was_and_once(keeper: Keeper) -> None:
    sent = messages(1200)
    assert keeper.keep(sent)
    assert keeper.keep(sent[500:])  # told twice
    assert everything(keeper) == sent


def test_a_page_has_a_bound_in_messages_and_in_bytes(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper.keep(messages(600))
    page = keeper.answer(Since())
    assert isinstance(page, Page)
    assert (len(page.messages), page.next) == (500, 500)
    monkeypatch.setattr(storing, "MOST_BYTES_ON_A_PAGE", 1)
    page = keeper.answer(Since())
    assert isinstance(page, Page)
    assert (len(page.messages), page.next) == (1, 1)


def test_since_a_time_begins_at_the_first_message_that_is_not_older_and_leaves_none_out(keeper: Keeper) -> None:
    late = msgspec.structs.replace(samples.STATE, seq=1, time=samples.START + timedelta(seconds=2))
    onset = msgspec.structs.replace(samples.ONSET, seq=2)  # of before, and published after
    keeper.keep(sent := [encode(late), encode(onset)])
    page = keeper.answer(Since(time=samples.START + timedelta(seconds=1)))
    assert isinstance(page, Page)
    assert [bytes(raw) for raw in page.messages] == sent
    page = keeper.answer(Since(time=samples.START + timedelta(seconds=3)))
    assert isinstance(page, Page)
    assert page.messages == []
    assert [(each.source, each.seq) for each in page.newest] == [("kitchen", 2)]


@pytest.mark.parametrize("only_if_known", [False, True])
def test_after_a_message_that_is_not_stored_yet_there_is_nothing_and_later_runs_count_as_after_it(
    keeper: Keeper, only_if_known: bool
) -> None:
    keeper.keep(messages(5))
    request = Since(after="3f2a-kitchen-9", only_if_known=only_if_known)
    page = keeper.answer(request)
    assert isinstance(page, Page)
    assert page.messages == []
    keeper.keep(later := messages(2, "later"))
    page = keeper.answer(request)
    assert isinstance(page, Page)
    assert [bytes(raw) for raw in page.messages] == later


def test_after_a_message_of_a_run_of_which_nothing_is_stored_yet_earlier_runs_do_not_come_again(keeper: Keeper) -> None:
    keeper.keep(messages(5))
    request = Since(after="later-kitchen-1")
    page = keeper.answer(request, "later")
    assert isinstance(page, Page)
    assert page.messages == []
    gone = keeper.answer(request, "another")  # long ago, as far as can be told: rather all than a loss
    assert isinstance(gone, Page)
    assert len(gone.messages) == 5
    keeper.keep(later := messages(3, "later"))
    page = keeper.answer(request, "later")
    assert isinstance(page, Page)
    assert [bytes(raw) for raw in page.messages] == later[1:]


@pytest.mark.parametrize("goes_on", [False, True])
def test_after_a_message_that_was_deleted_all_that_is_left_of_its_run_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, goes_on: bool
) -> None:
    keeper = Keeper(spec(tmp_path, max_days=1.0))
    long_ago = time.time() - 2 * 86_400
    with monkeypatch.context() as patch:
        patch.setattr(storing.time, "time", lambda: long_ago)
        keeper.keep([encode(msgspec.structs.replace(samples.STATE, source="porch"))])
    keeper.keep(left := messages(5, samples.STATE.run))
    rest(keeper, monkeypatch)
    request = Since(after=f"{samples.STATE.run}-porch-{samples.STATE.seq}")
    page = keeper.answer(request, samples.STATE.run) if goes_on else keeper.answer(request)
    assert isinstance(page, Page)
    assert [bytes(raw) for raw in page.messages] == left
    keeper.close()


def test_numbers_that_are_missing_are_left_out_and_the_newest_is_told(keeper: Keeper) -> None:
    sent = messages(10)
    keeper.keep(sent[:4] + sent[6:8])
    page = keeper.answer(Missing(ref=7, run="3f2a", source="kitchen", first_seq=3, last_seq=9))
    assert isinstance(page, Page)
    assert [bytes(raw) for raw in page.messages] == [sent[2], sent[3], sent[6], sent[7]]
    assert (page.ref, page.next, page.newest[0].seq) == (7, None, 8)


@pytest.mark.parametrize("request_", [Since(after="nonsense"), Since(after="run-source-")])
def test_what_is_no_message_is_refused_and_no_trouble(keeper: Keeper, request_: Since) -> None:
    assert isinstance(keeper.answer(request_), Refused)
    assert keeper.trouble == ""


def test_only_onsets_of_other_runs_without_an_offset_are_open(keeper: Keeper) -> None:
    def event(run: str, event_id: str, seq: int, phase: str = "onset") -> bytes:
        offset = {"offset_sample": 5000, "offset_seconds": 0.3125, "end_reason": "silence"} if phase == "offset" else {}
        changed = {"run": run, "event_id": event_id, "seq": seq, "phase": phase, "offset_time": None, **offset}
        if phase == "offset":
            changed["offset_time"] = samples.START
        return encode(msgspec.structs.replace(samples.ONSET, **changed))

    keeper.keep([event("old", "a", 1), event("old", "b", 2), event("old", "a", 3, "offset"), event("new", "c", 1)])
    found = keeper.left_open("new")
    assert found is not None
    assert [each.onset.event_id for each in found] == ["b"]
    keeper.end("old")
    (left,) = keeper.left_open("new") or []
    assert abs(left.last_sign.timestamp() - time.time()) < 10
    keeper.keep([event("new", "b", 2, "offset")])
    assert keeper.left_open("new") == []


@pytest.mark.parametrize("damage", ["garbage", "torn", "middle"])
def test_a_damaged_database_is_set_aside_with_one_line_and_a_new_one_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    first = Keeper(spec(tmp_path))
    assert first.keep(messages(1000))
    first.close()
    file = tmp_path / "journal.db"
    data = bytearray(file.read_bytes())
    if damage == "garbage":
        data[:4096] = b"not a database. " * 256
    elif damage == "torn":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2 : len(data) // 2 + 8192] = b"\xff" * 8192
    file.write_bytes(data)
    again = Keeper(spec(tmp_path))
    with caplog.at_level(logging.INFO, "streamd"):
        assert again.keep(messages(3, "new"))
    assert len(everything(again)) == 3
    again.close()
    (line,) = [record.message for record in caplog.records]
    assert line.startswith(f"{file}: ")
    assert f"it was set aside as {file}.broken, and a new one is begun" in line
    assert (tmp_path / "journal.db.broken").exists()


def test_a_database_that_takes_long_to_look_through_is_used_before_all_of_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sent = messages(2_000)
    with closing(Keeper(spec(tmp_path))) as keeper:
        keeper.keep(sent)
    monkeypatch.setattr(storing, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(storing, "N_STEPS_BETWEEN_WORDS", 10_000)
    with closing(Keeper(spec(tmp_path), on_busy=lambda: time.sleep(0.5))) as keeper:  # as a slow disk does it
        assert everything(keeper) == sent
    assert "journal.db: looked through for 0.2 s, and not to its end" in caplog.text
    assert not (tmp_path / "journal.db.broken").exists()


def test_a_database_of_another_version_is_left_as_it_is_and_events_wait_until_somebody_decides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a downgrade: it is whole, and a later streamd is to find all of it."""
    first = Keeper(spec(tmp_path))
    assert first.keep(messages(3))
    first.close()
    file = tmp_path / "journal.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 99")
    left = file.read_bytes()
    again = Keeper(spec(tmp_path))
    for _ in range(3):
        assert not again.keep(messages(3, "new"))
    assert "another version of streamd made it (99; expected 1): run that one, or move it away" in again.trouble
    assert len(caplog.records) == 1
    assert file.read_bytes() == left
    assert not list(tmp_path.glob("*.broken"))
    file.rename(tmp_path / "journal-99.db")
    assert again.keep(messages(3, "new"))
    assert again.trouble == ""
    again.close()


def test_a_database_that_is_taken_away_is_begun_anew(keeper: Keeper, tmp_path: Path) -> None:
    keeper.keep(messages(3))
    for file in tmp_path.glob("journal.db*"):
        file.unlink()
    assert keeper.keep(messages(2, "after"))
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        assert database.execute("SELECT count(*) FROM messages").fetchone() == (2,)


def test_a_folder_that_cannot_be_made_is_trouble_until_it_can(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("")
    keeper = Keeper(JournalSpec(file=str(tmp_path / "in the way" / "journal.db"), max_days=1, max_megabytes=1))
    assert not keeper.keep(messages(1))
    assert "in the way" in keeper.trouble
    assert isinstance(keeper.answer(Since()), Refused)
    (tmp_path / "in the way").unlink()
    assert keeper.keep(messages(1))
    assert keeper.trouble == ""
    keeper.close()


DAY = 86_400.0
IN_1970, AT_ITS_RELEASE, IN_THE_FUTURE = "in 1970", "at its release", "in the future"
"""What a clock may say that was not set: a board's own beginning, that of its system (systemd's), or nonsense."""


@pytest.mark.parametrize(
    ("stored", "left"),
    [
        (["40 days", "31 days", "29 days", "now"], ["29 days", "now"]),
        (["40 days", "31 days"], []),
        (["40 days", "1 day", IN_1970], ["1 day", IN_1970]),
        (["40 days", "1 day", IN_1970, "now"], ["1 day", IN_1970, "now"]),
        (["1 day", AT_ITS_RELEASE, "now"], ["1 day", AT_ITS_RELEASE, "now"]),
        (["40 days", AT_ITS_RELEASE, "31 days", "now"], ["now"]),
        (["40 days", IN_1970, "31 days", "now"], ["now"]),
        (["40 days", IN_1970, "now"], [IN_1970, "now"]),
        ([IN_THE_FUTURE, "31 days", "now"], [IN_THE_FUTURE, "now"]),
    ],
)
def test_what_is_too_old_goes_but_nothing_that_was_stored_after_what_is_young(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: list[str], left: list[str]
) -> None:
    now = time.time()
    wrong = {IN_1970: 1000.0, AT_ITS_RELEASE: max(EARLIEST, now - 200 * DAY), IN_THE_FUTURE: now + 1000 * DAY}
    keeper = Keeper(spec(tmp_path))
    for run in stored:
        age = 0.0 if run == "now" else float(run.split()[0]) * DAY if "day" in run else now - wrong[run]
        with monkeypatch.context() as patch:
            patch.setattr(storing.time, "time", lambda age=age: now - age)
            keeper.keep(messages(50, run))
    rest(keeper, monkeypatch)
    assert list(dict.fromkeys(msgspec.json.decode(each)["data"]["run"] for each in everything(keeper))) == left
    keeper.close()


def test_the_oldest_goes_where_there_is_too_much_and_the_file_shrinks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Keeper(spec(tmp_path, max_megabytes=1.0))
    sent = messages(6000)
    for i in range(0, 6000, 1000):
        keeper.keep(sent[i : i + 1000])
    assert (tmp_path / "journal.db").stat().st_size + (tmp_path / "journal.db-wal").stat().st_size > 2e6
    rest(keeper, monkeypatch)
    left = everything(keeper)
    assert 500 < len(left) < 2500
    assert left == sent[-len(left) :]
    keeper.close()
    assert (tmp_path / "journal.db").stat().st_size < 1.2e6


def test_a_clock_that_is_wrong_for_a_minute_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper(spec(tmp_path))
    keeper.keep(sent := messages(1000))
    in_months = time.time() + 100 * 86_400
    keeper.rest()
    monkeypatch.setattr(storing.time, "time", lambda: in_months)
    look_often(keeper)
    assert everything(keeper) == sent
    keeper.close()


def test_a_clock_that_is_wrong_from_the_start_deletes_nothing_for_an_hour_and_then_a_tenth_at_a_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Keeper(spec(tmp_path))
    first.keep(sent := messages(1000))
    first.close()
    in_months = time.time() + 100 * 86_400
    monkeypatch.setattr(storing.time, "time", lambda: in_months)
    second = Keeper(spec(tmp_path))
    second.keep(messages(1, "second"))
    look_often(second)
    assert len(everything(second)) == 1001
    an_hour_passes(monkeypatch)
    for _ in range(5):
        second.rest()
    left = everything(second)
    assert 890 < len(left) < 1000
    assert left[:-1] == sent[1001 - len(left) :]
    second.close()


@pytest.mark.parametrize("days", [-500.0, 500.0])
def test_what_was_stored_before_the_clock_was_set_has_its_age_by_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: float
) -> None:
    """The first boot of a board: nothing that was stored earlier tells how old it is."""
    monkeypatch.setattr("streamd.journal.store.EARLIEST", 0.0)  # as long as that is nearer than the days above
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(storing.time, "time", lambda: now + days * DAY)
        keeper = Keeper(spec(tmp_path))
        keeper.keep(messages(50, "boot"))
        keeper.rest()
    keeper.keep(messages(50, "set"))
    rest(keeper, monkeypatch)
    assert len(everything(keeper)) == 100
    with monkeypatch.context() as patch:
        patch.setattr(storing.time, "time", lambda: now + 31 * DAY)
        later = Keeper(spec(tmp_path))
        assert later.left_open("later") == []
        rest(later, patch)
        assert everything(later) == []
        later.close()
    keeper.close()


def test_an_onset_stays_as_long_as_it_has_no_offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper(spec(tmp_path, max_megabytes=1.0))
    ended = {"phase": "offset", "offset_sample": 5000, "offset_seconds": 0.3125, "offset_time": samples.START}
    keeper.keep(
        [
            encode(msgspec.structs.replace(samples.ONSET, run="old", seq=1, event_id="open")),
            encode(msgspec.structs.replace(samples.ONSET, run="old", seq=2, event_id="over")),
            encode(
                msgspec.structs.replace(samples.ONSET, run="old", seq=3, event_id="over", end_reason="silence", **ended)
            ),
        ]
    )
    sent = messages(6000)
    for i in range(0, 6000, 1000):
        keeper.keep(sent[i : i + 1000])
    rest(keeper, monkeypatch)
    left = everything(keeper)
    assert 500 < len(left) < 2500
    assert [msgspec.json.decode(payload)["data"].get("event_id") for payload in left[:2]] == ["open", None]
    found = keeper.left_open("new")
    assert found is not None
    assert [each.onset.event_id for each in found] == ["open"]
    keeper.close()


def test_what_was_deleted_does_not_come_back_when_it_is_handed_over_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Keeper(spec(tmp_path, max_megabytes=1.0))
    keeper.keep(sent := messages(6000))
    rest(keeper, monkeypatch)
    left = everything(keeper)
    keeper.keep(sent[:100])
    assert everything(keeper) == left
    page = keeper.answer(Since(cursor=6000))
    assert isinstance(page, Page)
    assert page.newest[0].seq == 6000
    keeper.close()


def an_hour_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clocks go on by an hour, evenly."""
    monotonic, wall = keeping.time.monotonic, keeping.time.time
    monkeypatch.setattr(keeping.time, "monotonic", lambda: monotonic() + keeping.SETTLING_SECONDS)
    monkeypatch.setattr(keeping.time, "time", lambda: wall() + keeping.SETTLING_SECONDS)


def rest(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a keeper do all that can wait, an hour later too."""
    keeper.rest()
    an_hour_passes(monkeypatch)
    look_often(keeper)


def look_often(keeper: Keeper) -> None:
    """Let a keeper rest often enough to delete all that it would."""
    for _ in range(80):
        keeper._tidied_at = -keeping.TIDY_SECONDS
        keeper.rest()


def test_every_kind_of_message_that_has_a_number_is_kept(keeper: Keeper) -> None:
    kept: list[Event | State] = [samples.ONSET, msgspec.structs.replace(samples.STATE, seq=2)]
    others = [samples.HEARTBEAT, samples.SCORE, samples.LEVEL]
    assert keeper.keep([encode(each) for each in (*kept, *others)] + [b"{}", b"garbage"])
    assert everything(keeper) == [encode(each) for each in kept]
