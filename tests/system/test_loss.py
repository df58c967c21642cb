"""What is lost is told: agents killed, the daemon frozen."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamd.events import Event, Message, State
from streamd.subscribe import Gap
from tests import sounds
from tests.running import a_daemon, collect, events, has_status


@pytest.fixture(scope="module")
def crows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds with one crow, to be repeated."""
    return sounds.save(tmp_path_factory.mktemp("crows") / "crows.wav", sounds.scene(4, [(2.0, sounds.crow())]))


def test_a_killed_agent_is_back_within_3_s_and_the_other_source_loses_nothing(crows: Path) -> None:
    config = f"""
sources:
  yard: {{recording: {crows}, repeat: true}}
  barn: {{recording: {crows}, repeat: true}}
"""
    with a_daemon(config) as daemon, daemon.subscriber() as subscriber:
        before = collect(subscriber, lambda message: isinstance(message, Event) and message.source == "yard")
        take = next(m.take for m in before if isinstance(m, State) and m.source == "yard" and m.status == "live")
        daemon.agent("yard").kill()
        killed = time.monotonic()
        died = collect(subscriber, has_status("starting", "yard"))[-1]
        back = collect(subscriber, has_status("live", "yard"))[-1]
        assert time.monotonic() - killed < 3.0
        collect(subscriber, lambda message: isinstance(message, Event) and message.source == "yard")
        status = daemon.status()
    assert isinstance(died, State)
    assert "SIGKILL" in died.detail
    assert isinstance(back, State)
    assert back.gap is not None
    assert (back.gap.reason, back.gap.take) == ("agent", take)
    assert back.take != take
    assert 0.2 < back.gap.seconds < 3.0
    yard, barn = status.sources
    assert (yard.agent_restarts, barn.agent_restarts) == (1, 0)
    assert yard.n_lost > 0
    assert barn.n_lost == 0


def test_an_agent_that_somebody_ended_is_started_again(crows: Path) -> None:
    config = f"sources: {{yard: {{recording: {crows}, repeat: true}}}}"
    with a_daemon(config) as daemon, daemon.subscriber() as subscriber:
        collect(subscriber, has_status("live"))
        daemon.agent("yard").terminate()
        collect(subscriber, has_status("stopped"))
        back = collect(subscriber, has_status("live"))[-1]
    assert isinstance(back, State)
    assert back.gap is not None
    assert back.gap.reason == "agent"


def test_an_agent_is_heard_again_once_another_of_its_name_has_left(crows: Path) -> None:
    config = f"sources: {{yard: {{recording: {crows}, repeat: true}}}}"
    with a_daemon(config) as daemon, daemon.subscriber() as subscriber:
        first = collect(subscriber, has_status("live"))[-1]
        audio_at = f"ipc://{daemon.folder}/audio.sock"
        capture = ["capture", "yard", "--recording", str(crows), "--fast", "--endpoint", audio_at]
        subprocess.run([sys.executable, "-m", "streamd", *capture], check=True, timeout=30)
        collect(subscriber, has_status("ended"))
        again = collect(subscriber, has_status("live"))[-1]
        collect(subscriber, lambda message: isinstance(message, Event))
        counted = daemon.status().counters
    assert isinstance(first, State)
    assert isinstance(again, State)
    assert again.take != first.take
    assert counted["blocks.wrong_take"] > 0


def test_a_frozen_agent_is_killed_and_replaced_and_what_was_lost_is_told(crows: Path) -> None:
    config = f"sources: {{yard: {{recording: {crows}, repeat: true}}}}"
    with a_daemon(config) as daemon, daemon.subscriber() as subscriber:
        told = collect(subscriber, lambda message: isinstance(message, Event))
        agent = daemon.agent("yard")
        agent.suspend()
        told += collect(subscriber, has_status("starting"))
        told += collect(subscriber, has_status("live"))
        status = daemon.status()
    onset, offset = events(told)[-2:]
    assert (onset.phase, offset.phase, offset.event_id) == ("onset", "offset", onset.event_id)
    stalled = next(m for m in told if isinstance(m, State) and "no progress" in m.detail)
    assert list(stalled.open_events) == []
    assert not agent.is_running()
    assert isinstance(back := told[-1], State)
    assert back.gap is not None
    assert (back.gap.reason, status.sources[0].agent_restarts) == ("agent", 1)
    assert 5.0 < back.gap.seconds < 10.0
    assert status.counters["restarts.stalled"] == 1


def test_a_frozen_daemon_scores_the_newest_audio_with_one_gap_a_source(crows: Path) -> None:
    config = f"""
sources:
  yard: {{recording: {crows}, repeat: true}}
  barn: {{recording: {crows}, repeat: true}}
"""
    with a_daemon(config) as daemon, daemon.subscriber(also=["heartbeat"]) as subscriber:
        heard: set[str] = set()

        def both(message: Message | Gap) -> bool:
            if isinstance(message, Event):
                heard.add(message.source)
            return len(heard) == 2

        collect(subscriber, both)
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(5)  # the fault itself, not a wait for something
        daemon.process.send_signal(signal.SIGCONT)
        heard.clear()
        after = collect(subscriber, both)
        after += collect(subscriber, both) if heard.clear() is None else []
        status = daemon.status()
    for source in status.sources:
        gaps = [m.gap for m in after if isinstance(m, State) and m.gap is not None and m.source == source.name]
        assert len(gaps) == 1, gaps
        assert 2.0 < gaps[0].seconds < 6.0
        assert source.n_lost == gaps[0].n_samples
        assert source.lag_seconds is not None
        assert source.lag_seconds < 2.0
    onsets = [event for event in events(after) if event.phase == "onset"]
    assert all(event.latency_seconds is not None and event.latency_seconds < 2.0 for event in onsets)
    assert not any(isinstance(message, Gap) for message in after)
