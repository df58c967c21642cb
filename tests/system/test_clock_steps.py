"""The wall clock is set while a real daemon hears: an hour forward, two back, to 1970. Sounds are where they were."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from streamd.events import Event, State, at
from streamd.model import Model
from streamd.replay import replay
from tests import sounds, tiny_models
from tests.running import a_daemon, collect, events, has_status

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
SLEEPS = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds)
"""
"""libfaketime 0.9.10 refuses to sleep until a time of the monotonic clock that it leaves alone (EINVAL), which is how
Python sleeps; it leaves select alone."""
RATE = tiny_models.SAMPLE_RATE
N_SOUNDS = 8
HOUR = 3600.0


@pytest.mark.skipif(LIBRARY is None, reason="no libfaketime; `make test` as root installs it")
def test_a_clock_that_is_set_loses_doubles_and_reorders_nothing_and_is_told(tmp_path: Path) -> None:
    model = tiny_models.build(tmp_path, "window", "log_mel")
    sounding = np.tile(np.arange(RATE) < RATE // 2, N_SOUNDS + 1) & (np.arange((N_SOUNDS + 1) * RATE) >= RATE)
    audio = (tiny_models.tone((N_SOUNDS + 1) * RATE, "High tone") * sounding).astype(np.float32)
    recording = sounds.save(tmp_path / "tones.wav", audio, RATE)
    replayed = replay([recording], Model(model), start=at(0))
    expected = [(event.phase, event.onset_sample, event.offset_sample) for event in replayed]
    assert len(expected) == 2 * N_SOUNDS

    shift = tmp_path / "shift"
    (tmp_path / "sitecustomize.py").write_text(SLEEPS)
    environment = os.environ | {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_TIMESTAMP_FILE": str(shift),
        "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}",
    }
    shifts = {1: HOUR, 3: -HOUR, 5: -time.time() + 1000, 7: 0.0}
    """Before the sound of a number begins, so much is added to the clock; the third leads to 1970."""

    def set_clock(seconds: float) -> None:
        new = tmp_path / "new"
        new.write_text(f"{seconds:+.0f}\n")
        new.rename(shift)

    set_clock(0.0)
    config = f"sources: {{hall: {{recording: {recording}}}}}\nmodels: [{{file: {model}}}]"
    told = []
    with a_daemon(config, environment) as daemon, daemon.subscriber() as subscriber:
        for number in range(N_SOUNDS):
            if number in shifts:
                set_clock(shifts[number])
            told += collect(subscriber, lambda message: isinstance(message, Event) and message.phase == "offset")
        told += collect(subscriber, has_status("ended"))
        status = daemon.status()
        assert daemon.stop() == 0
    heard = events(told)
    assert [(event.phase, event.onset_sample, event.offset_sample) for event in heard] == expected
    assert len({event.event_id for event in heard}) == N_SOUNDS
    seqs = [message.seq for message in told if isinstance(message, Event | State)]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert not any(message.gap for message in told if isinstance(message, State))
    assert status.sources[0].clock is not None
    assert (status.sources[0].clock.n_steps, status.sources[0].clock.n_suspends) == (4, 0)

    off = [event.onset_time.timestamp() - time.time() for event in heard if event.phase == "onset"]
    for number, seconds in enumerate(off):
        shifted = next((shifts[before] for before in sorted(shifts, reverse=True) if before < number), 0.0)
        if number not in shifts:
            assert seconds == pytest.approx(shifted, abs=60)
    said = [message.detail for message in told if isinstance(message, State)]
    assert any("the clock of its host was set forward by 3600." in detail for detail in said)
    assert any("the clock of its host was set back by 7200." in detail for detail in said)
    unset = [detail for detail in said if "the clock of its host is not set: times are wrong" in detail]
    assert unset
    assert "not set" not in said[-1]
