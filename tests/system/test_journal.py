"""The real daemon and its journal: what a dead run left open, `streamd history`, and a journal that is off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamd.events import Event, State
from streamd.journal.backlog import backlog_file
from streamd.subscribe import Gap
from tests import sounds
from tests.running import RunningDaemon, a_daemon, collect, events, has_status
from tests.wire import check_payload


@pytest.fixture(scope="module")
def alarm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smoke alarm that does not end."""
    return sounds.save(
        tmp_path_factory.mktemp("alarm") / "alarm.wav", sounds.scene(60, [(1.0, sounds.smoke_alarm(58))])
    )


def is_onset(message: object) -> bool:
    return isinstance(message, Event) and message.phase == "onset"


def test_what_a_killed_daemon_left_open_is_closed_by_the_next_and_nothing_is_missing(alarm: Path) -> None:
    config = f"sources: {{hall: {{recording: {alarm}, repeat: true}}}}"
    with a_daemon(config) as daemon, daemon.subscriber(since=datetime(2020, 1, 1, tzinfo=UTC)) as subscriber:
        told = collect(subscriber, is_onset)
        onset = events(told)[-1]
        daemon.process.kill()
        daemon.process.wait()
        second = RunningDaemon(daemon.folder, config, os.environ)
        try:
            told += collect(subscriber, lambda message: isinstance(message, Event) and message.end_reason == "restart")
            offset = events(told)[-1]
            told += collect(subscriber, is_onset)
            assert second.status().journal.state == "kept"
            assert second.stop() == 0
        finally:
            if second.process.is_running():
                second.process.kill()
                second.process.wait()
    assert (offset.event_id, offset.phase, offset.onset_sample) == (onset.event_id, "offset", onset.onset_sample)
    assert offset.run != onset.run
    assert offset.offset_sample is not None
    assert 0 < offset.offset_sample - onset.onset_sample < 60 * onset.sample_rate
    assert not any(isinstance(message, Gap) for message in told)
    for run in (onset.run, offset.run):
        assert [m.seq for m in told if m.run == run] == list(range(1, 1 + sum(m.run == run for m in told)))
    assert [event.event_id for event in events(told)].count(onset.event_id) == 2


def test_history_prints_what_was_published(alarm: Path) -> None:
    with a_daemon(f"sources: {{hall: {{recording: {alarm}}}}}") as daemon, daemon.subscriber() as subscriber:
        heard = collect(subscriber, is_onset)
        onset = events(heard)[-1]
        history = [sys.executable, "-m", "streamd", "history", "--endpoint", f"ipc://{daemon.folder}/history.sock"]

        def printed(*more: str) -> list[str]:
            done = subprocess.run([*history, *more], check=True, capture_output=True, text=True, timeout=60)
            return done.stdout.splitlines()

        messages = [check_payload(line.encode()) for line in printed("--json")]
        assert onset in messages
        assert messages[0].seq == 1
        assert any("\tonset\tSmoke detector, smoke alarm\t" in line for line in printed("--label", onset.label.lower()))
        assert printed("--source", "kitchen") == []
        after = printed("--json", "--since", f"{onset.run}-hall-{onset.seq - 1}")
        assert json.loads(after[0])["id"] == f"{onset.run}-hall-{onset.seq}"
        assert printed("--since", "2100-01-01T00:00:00Z") == []
        wrong = subprocess.run([*history, "--since", "yesterday"], check=False, capture_output=True, text=True)
        assert wrong.returncode == 64
        assert "expected a time with its zone" in wrong.stderr


def test_a_journal_that_is_off_keeps_nothing_and_its_sources_say_so(alarm: Path) -> None:
    config = f"sources: {{hall: {{recording: {alarm}}}}}\njournal: off"
    with a_daemon(config) as daemon, daemon.subscriber() as subscriber:
        live = collect(subscriber, has_status("live"))[-1]
        report = daemon.status().journal
        assert not any("streamd.journal" in child.cmdline() for child in daemon.process.children())
        assert not list(daemon.folder.glob("journal*"))
    assert isinstance(live, State)
    assert live.journal == "off"
    assert report is not None
    assert (report.state, report.file) == ("off", None)


def test_a_second_daemon_hears_on_without_the_journal_of_the_first(alarm: Path) -> None:
    config = f"sources: {{hall: {{recording: {alarm}}}}}"
    with a_daemon(config) as first, first.subscriber() as subscriber:
        collect(subscriber, has_status("live"))
        file = first.folder / "journal.db"
        with a_daemon(f"{config}\njournal: {{file: {file}}}") as second, second.subscriber() as other:
            live = collect(other, has_status("live"))[-1]
            assert isinstance(live, State)
            assert live.journal == "off"
            assert f"events are not stored: {file}: another daemon writes it" in live.detail
        assert first.stop() == 0
        assert not backlog_file(file).exists()
