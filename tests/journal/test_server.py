"""The journal's process, as its daemon knows it: frames in, reports out, and history for anybody."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import pytest
import zmq

from streamd.errors import MessageError
from streamd.events import Event, encode
from streamd.history import Page, Refused, Since, decode_answer, decode_request
from streamd.history import encode as encode_request
from streamd.journal.backlog import backlog_file
from streamd.journal.keeper import Keeper
from streamd.past import Past
from tests import samples
from tests.journal.talker import Talkers, some_talkers
from tests.journal.test_keeper import spec

PATIENCE_SECONDS = 20.0


@pytest.fixture
def talkers() -> Iterator[Talkers]:
    with some_talkers() as talkers:
        yield talkers


def answer_to(frame: bytes, talkers: Talkers) -> Page | Refused:
    """Ask as somebody without streamd would."""
    asker: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
    try:
        asker.setsockopt(zmq.LINGER, 0)
        asker.connect(f"ipc://{talkers.folder}/history.sock")
        asker.send(frame)
        assert asker.poll(1000 * PATIENCE_SECONDS), talkers.log()
        return decode_answer(asker.recv())
    finally:
        asker.close()


WRONG = [
    b"",
    b"\xff\xfe",
    b"[" * 20_000,
    b'{"ask": "status"}',
    b'{"ask": "missing", "run": "a", "source": "b"}',
    b'{"ask": "missing", "run": "a", "source": "b", "first_seq": 99999999999999999999}',
    b'{"ask": "since", "cursor": -1}',
    b'{"ask": "since", "time": "0001-01-01T00:00:00"}',
    b'{"ask": "since", "after": "\\u0000"}',
    json.dumps({"ask": "since", "sources": ["x"] * 5000}).encode(),
]


def test_what_is_no_question_is_refused_and_disturbs_nobody(talkers: Talkers) -> None:
    talkers.start()
    talkers.hear_until_stored()
    for frame in WRONG:
        assert isinstance(answer_to(frame, talkers), Refused), frame
    for frame in (
        b'{"ask": "since", "time": "0001-01-01T00:00:00+14:00", "ref": 5}',
        b'{"ask": "missing", "run": "a", "source": "b", "first_seq": 0, "last_seq": 9007199254740992}',
        json.dumps({"ask": "since", "sources": ["x"] * 4096}).encode(),
    ):
        assert isinstance(answer_to(frame, talkers), Page), frame
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(f"{talkers.folder}/history.sock")
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
    talkers.hear_until_stored()
    page = answer_to(encode_request(Since()), talkers)
    assert isinstance(page, Page)
    assert page.messages
    talkers.stop()
    assert "Traceback" not in talkers.log()


def test_a_question_that_is_understood_and_refused_gets_its_number_back(talkers: Talkers) -> None:
    talkers.start()
    talkers.hear_until_stored()
    for after in ("nonsense", "aa-kitchen-12345678901234567890"):
        refused = answer_to(encode_request(Since(ref=7, after=after)), talkers)
        assert isinstance(refused, Refused)
        assert refused.ref == 7
        assert repr(after) in refused.reason
    talkers.stop()


@pytest.mark.parametrize("frame", WRONG)
def test_the_contract_raises_one_kind_of_error(frame: bytes) -> None:
    try:
        decode_request(frame)
    except MessageError:
        return
    assert frame == WRONG[-2]  # that there is no message of this id is for the journal to see


def test_all_events_that_a_dead_run_left_open_are_closed_however_many(talkers: Talkers) -> None:
    """More than a Unix datagram socket holds."""
    journal = talkers.folder / "journal.db"
    talkers.start()
    talkers.hear_until_stored()
    talkers.stop()
    n_open = 300
    left = [
        msgspec.structs.replace(samples.ONSET, run="dead", seq=seq, event_id=f"dead-0-{seq}")
        for seq in range(1, n_open + 1)
    ]
    keeper = Keeper(spec(talkers.folder))
    assert keeper.keep([encode(each) for each in left])
    keeper.close()
    assert journal.exists()
    talkers.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sum(_is_restart(each) and each.event_id.startswith("dead-") for each in talkers.heard.values()) < n_open:
        assert time.monotonic() < deadline, talkers.log()
        talkers.hear(seconds=0.1)
    closed = [each for each in talkers.heard.values() if _is_restart(each) and each.event_id.startswith("dead-")]
    assert sorted(each.event_id for each in closed) == sorted(each.event_id for each in left)
    assert all(each.run != "dead" and each.offset_sample > each.onset_sample for each in closed)
    talkers.hear_until_stored()
    talkers.stop()
    talkers.start()  # and none of them twice
    talkers.hear_until_stored()
    assert sum(_is_restart(each) and each.event_id.startswith("dead") for each in talkers.heard.values()) == n_open


def _is_restart(message: object) -> bool:
    return isinstance(message, Event) and message.end_reason == "restart"


def test_a_journal_outlives_its_daemon_only_until_all_is_stored(talkers: Talkers) -> None:
    talkers.pause_seconds = 0.01
    talkers.start()
    talkers.hear(at_least=100)
    journal = talkers.journal()
    talkers.hear_until_stored()
    talkers.kill(talkers.process)
    journal.wait(PATIENCE_SECONDS)
    assert set(talkers.heard) <= talkers.stored()


def test_a_daemon_that_stops_leaves_no_backlog(talkers: Talkers) -> None:
    talkers.start()
    talkers.hear_until_stored()
    assert backlog_file(talkers.folder / "journal.db").exists()
    talkers.stop()
    assert not backlog_file(talkers.folder / "journal.db").exists()
    assert set(talkers.heard) <= talkers.stored()


def test_a_journal_that_was_started_again_answers_for_earlier_runs(talkers: Talkers) -> None:
    talkers.pause_seconds = 0.01
    talkers.start()
    talkers.hear_until_stored()
    talkers.stop()
    run = next(iter(talkers.heard))[0]
    talkers.start()
    talkers.hear_until_stored()
    talkers.kill(talkers.journal())
    question = json.dumps({"ask": "missing", "run": run, "source": "porch", "first_seq": 1}).encode()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while isinstance(answer := answer_to(question, talkers), Refused):
        assert "not stored yet" in answer.reason
        assert time.monotonic() < deadline, answer
    assert answer.messages


def test_who_asks_and_never_reads_does_not_fill_the_memory_of_the_journal(talkers: Talkers) -> None:
    talkers.start()
    talkers.hear(at_least=1500)
    talkers.hear_until_stored()
    journal = talkers.journal()
    asker: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    try:
        asker.setsockopt(zmq.LINGER, 0)
        asker.setsockopt(zmq.SNDHWM, 0)
        asker.setsockopt(zmq.RCVHWM, 1)
        asker.connect(f"ipc://{talkers.folder}/history.sock")
        page = answer_to(encode_request(Since()), talkers)
        before = journal.memory_info().rss
        for _ in range(300):
            asker.send(encode_request(Since()))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while asker.poll(0, zmq.POLLIN) == 0:
            assert time.monotonic() < deadline, talkers.log()
            talkers.hear(seconds=0.1)
        talkers.hear(seconds=2)
        assert answer_to(encode_request(Since()), talkers) == page
    finally:
        asker.close()
    assert isinstance(page, Page)
    size = sum(len(bytes(raw)) for raw in page.messages)
    assert journal.memory_info().rss - before < 60 * size


def test_a_question_is_asked_again_where_nobody_was_at_first(talkers: Talkers) -> None:
    past = Past(f"ipc://{talkers.folder}/history.sock")
    past.ask(Since())
    assert past.answer() is None
    talkers.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (answer := past.answer()) is None:
        assert time.monotonic() < deadline, talkers.log()
        past.socket.poll(20)
    assert isinstance(answer, Page)
    past.close()


def test_started_by_hand_it_says_what_it_is_for() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamd.journal"], check=False, capture_output=True, text=True, timeout=30
    )
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert "which is for the daemon to know" in line


def test_a_daemon_that_stops_while_its_journal_is_away_loses_nothing(talkers: Talkers) -> None:
    talkers.start()
    talkers.hear_until_stored()
    talkers.kill(talkers.journal())
    talkers.hear(at_least=20)
    talkers.stop()
    heard = set(talkers.heard)  # what the next talker says is its own affair
    if not heard <= talkers.stored():  # on a busy machine a second is too short for a new journal
        assert backlog_file(talkers.folder / "journal.db").exists()
        talkers.start()
        talkers.hear_until_stored()
    assert heard <= talkers.stored()
