"""What stays in a folder of recordings: the newest, within bytes and days, and everything that is not ours."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streamd.recorder.quota import EVEN_SECONDS, EVENTS, NEAR_MISSES, RESCAN_SECONDS, WITHOUT_AUDIO, Quota

NOW = datetime(2027, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def write(folder: Path, kind: str, when: datetime, n_bytes: int = 1_000, label: str = "Dog") -> str:
    """Make a recording as at a time, three quarters of it FLAC; return its stem."""
    stem = when.strftime("%Y%m%dT%H%M%S.000Z-kitchen-3f2a-0-1")
    place = folder / kind / label
    place.mkdir(parents=True, exist_ok=True)
    if kind != WITHOUT_AUDIO:
        (place / f"{stem}.flac").write_bytes(bytes(n_bytes * 3 // 4))
    (place / f"{stem}.json").write_bytes(bytes(n_bytes // 4))
    for file in place.glob(f"{stem}.*"):
        os.utime(file, (when.timestamp(), when.timestamp()))
    return stem


def stems(folder: Path, kind: str) -> set[str]:
    """What is left; each of it whole."""
    files = list((folder / kind).rglob("*.*"))
    found = {file.stem for file in files}
    assert kind == WITHOUT_AUDIO or len(files) == 2 * len(found)
    return found


def enforce(folder: Path, max_bytes: int = 1_000_000, max_days: float = 30.0, now: datetime = NOW) -> Quota:
    """Look, while the clock goes evenly for long enough, until all is done."""
    quota = Quota(folder, max_bytes, max_days)
    for monotonic in (0.0, *(EVEN_SECONDS + i for i in range(12))):
        quota.enforce(now.timestamp() + monotonic, monotonic)
    return quota


def test_the_oldest_go_until_the_bytes_fit(tmp_path: Path) -> None:
    names = [write(tmp_path, EVENTS, NOW - i * DAY, label=f"L{i % 3}") for i in range(10)]
    quota = enforce(tmp_path, max_bytes=4_500)
    assert stems(tmp_path, EVENTS) == set(names[:4])
    assert (quota.n_bytes, quota.n_removed) == (4_000, 6)


def test_room_is_made_before_more_is_written(tmp_path: Path) -> None:
    names = [write(tmp_path, EVENTS, NOW - i * DAY) for i in range(4)]
    quota = enforce(tmp_path, max_bytes=4_000)
    quota.enforce(NOW.timestamp(), 1.0, EVENTS, 1_500)
    assert stems(tmp_path, EVENTS) == set(names[:2])


def test_what_is_too_old_goes_and_the_folder_of_its_label(tmp_path: Path) -> None:
    young = write(tmp_path, EVENTS, NOW - 29 * DAY)
    write(tmp_path, EVENTS, NOW - 31 * DAY, label="Cat")
    write(tmp_path, WITHOUT_AUDIO, NOW - 31 * DAY)
    enforce(tmp_path)
    assert stems(tmp_path, EVENTS) == {young}
    assert not (tmp_path / EVENTS / "Cat").exists()
    assert stems(tmp_path, WITHOUT_AUDIO) == set()


def test_near_misses_never_push_out_events_beyond_half(tmp_path: Path) -> None:
    event = write(tmp_path, EVENTS, NOW - 10 * DAY)
    near = [write(tmp_path, NEAR_MISSES, NOW - timedelta(hours=i)) for i in range(20)]
    enforce(tmp_path, max_bytes=10_000)
    assert stems(tmp_path, EVENTS) == {event}
    assert stems(tmp_path, NEAR_MISSES) == set(near[:5])


def test_what_was_recorded_before_the_clock_was_set_has_no_age(tmp_path: Path) -> None:
    early = write(tmp_path, EVENTS, datetime(1970, 1, 1, 0, 5, tzinfo=UTC))
    old = write(tmp_path, EVENTS, NOW - 40 * DAY)
    enforce(tmp_path)
    assert stems(tmp_path, EVENTS) == {early}
    enforce(tmp_path, now=datetime(1970, 1, 1, 0, 6, tzinfo=UTC))
    assert stems(tmp_path, EVENTS) == {early}
    assert old not in stems(tmp_path, EVENTS)


@pytest.mark.parametrize(
    "name", ["notes.txt", "labels.csv", "dog.flac", "20260101T000000.000Z-kitchen.flac.bak", "20260101-kitchen.json"]
)
def test_what_is_not_ours_is_neither_counted_nor_removed(name: str, tmp_path: Path) -> None:
    write(tmp_path, EVENTS, NOW - 60 * DAY)
    strange = tmp_path / EVENTS / "Dog" / name
    strange.write_bytes(bytes(5_000))
    (tmp_path / "mine.flac").write_bytes(b"x")
    link = tmp_path / EVENTS / "Link"
    link.symlink_to(tmp_path / EVENTS / "Dog")
    assert enforce(tmp_path, max_bytes=100).n_bytes == 0
    assert strange.exists()
    assert (tmp_path / "mine.flac").exists()
    assert link.is_symlink()


def test_what_a_killed_recorder_left_half_written_is_removed(tmp_path: Path) -> None:
    whole = write(tmp_path, EVENTS, NOW)
    part = tmp_path / EVENTS / "Dog" / f".{whole}.flac.part"
    part.write_bytes(b"half")
    enforce(tmp_path)
    assert not part.exists()
    assert stems(tmp_path, EVENTS) == {whole}


def test_what_was_removed_by_hand_makes_room_when_the_disk_is_looked_at_again(tmp_path: Path) -> None:
    quota = enforce(tmp_path)
    for i in range(3):
        stem = write(tmp_path, EVENTS, NOW - i * DAY)
        quota.add(EVENTS, tmp_path / EVENTS / "Dog" / stem, 1_000)
    for file in (tmp_path / EVENTS / "Dog").glob("*"):
        file.unlink()
    assert quota.n_bytes == 3_000
    quota.enforce(NOW.timestamp(), EVEN_SECONDS + 2 * RESCAN_SECONDS)
    assert quota.n_bytes == 0


def test_a_folder_of_somebody_else_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, EVENTS, NOW)
    write(tmp_path, EVENTS, NOW, label="root's")
    real = os.scandir

    def refusing(folder: Path) -> object:
        if Path(folder).name == "root's":
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", refusing)  # a test may run as root, who may read everything
    assert enforce(tmp_path).n_bytes == 1_000


def test_a_clock_that_is_wrong_for_a_while_costs_nothing(tmp_path: Path) -> None:
    kept = {write(tmp_path, EVENTS, NOW - timedelta(hours=i)) for i in range(5)}
    quota, forward = Quota(tmp_path, 1_000_000, 30.0), 40 * DAY
    for second in range(0, 20_000, 600):
        is_wrong = 10_000 <= second < 12_000
        quota.enforce((NOW + is_wrong * forward).timestamp() + second, second)
    assert stems(tmp_path, EVENTS) == kept


@pytest.mark.parametrize("wrong", [datetime(1970, 1, 1, tzinfo=UTC), NOW - 200 * DAY, NOW + 200 * DAY])
def test_what_was_recorded_before_the_clock_was_set_has_its_age_by_the_right_one(
    tmp_path: Path, wrong: datetime
) -> None:
    """It stays for its days and goes after them, in the folder of the next recorder too."""
    before = write(tmp_path, EVENTS, NOW - 20 * DAY)
    quota = Quota(tmp_path, 1_000_000, 30.0)
    quota.enforce(wrong.timestamp(), 0.0)
    first = write(tmp_path, EVENTS, wrong)
    quota.add(EVENTS, tmp_path / EVENTS / "Dog" / first, 1_000)
    quota.enforce(NOW.timestamp(), 300.0)
    after = write(tmp_path, EVENTS, NOW + timedelta(seconds=1))
    quota.add(EVENTS, tmp_path / EVENTS / "Dog" / after, 1_000)
    for minute in range(120):
        quota.enforce(NOW.timestamp() + 60 * minute, 300.0 + 60 * minute)
    assert stems(tmp_path, EVENTS) == {before, first, after}
    enforce(tmp_path, now=NOW + 29 * DAY)
    assert stems(tmp_path, EVENTS) == {first, after}
    enforce(tmp_path, now=NOW + 31 * DAY)
    assert stems(tmp_path, EVENTS) == set()


def test_a_host_that_sleeps_does_not_make_its_recordings_younger(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 1_000_000, 30.0)
    quota.enforce(NOW.timestamp(), 0.0)
    quota.add(EVENTS, tmp_path / EVENTS / "Dog" / write(tmp_path, EVENTS, NOW), 1_000)
    asleep = 31 * DAY.total_seconds()
    quota.enforce(NOW.timestamp() + asleep, asleep)
    assert stems(tmp_path, EVENTS) == set()


def test_of_what_was_recorded_when_the_clock_was_wrong_the_newest_stay_where_there_is_too_much(tmp_path: Path) -> None:
    kept = [write(tmp_path, EVENTS, NOW - (10 - i) * DAY) for i in range(3)]
    quota = Quota(tmp_path, 4_000, 30.0)
    quota.enforce((NOW - 200 * DAY).timestamp(), 0.0)
    first = write(tmp_path, EVENTS, NOW - 200 * DAY)
    quota.add(EVENTS, tmp_path / EVENTS / "Dog" / first, 1_000)
    quota.enforce(NOW.timestamp(), 300.0)
    quota.enforce(NOW.timestamp(), 301.0, EVENTS, 1_000)
    assert stems(tmp_path, EVENTS) == {*kept[1:], first}


def test_what_is_old_goes_a_tenth_at_a_look_the_oldest_first(tmp_path: Path) -> None:
    names = [write(tmp_path, EVENTS, NOW - (35 + i) * DAY) for i in range(20)]
    quota = Quota(tmp_path, 1_000_000, 30.0)
    for monotonic in (0.0, EVEN_SECONDS):
        quota.enforce(NOW.timestamp() + monotonic, monotonic)
    assert stems(tmp_path, EVENTS) == set(names[:18])
