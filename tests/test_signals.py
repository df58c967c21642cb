"""What is said of a signal: each fault with a recording made for it, and no word of what rooms sound like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from streamd import signals
from streamd.capture.recording import read_recording
from streamd.events import SignalProblem
from streamd.signals import Signal
from tests import sounds

RATE = 16_000
BLOCK = 1_280
Floats = NDArray[np.float32]


class Change(NamedTuple):
    """When the problems changed, in seconds of audio, and to what."""

    seconds: float
    problems: tuple[SignalProblem, ...]


def changes(pcm: NDArray[np.int16], signal: Signal | None = None, block: int = BLOCK, rate: int = RATE) -> list[Change]:
    """Play PCM as one take."""
    if signal is None:
        signal = Signal()
    signal.begin(rate)
    return [
        Change((begin + block) / rate, signal.problems)
        for begin in range(0, len(pcm), block)
        if signal.hear(pcm[begin : begin + block])
    ]


def room(seconds: float, rms: float = 1e-3, seed: int = 0) -> Floats:
    """Noise of a room."""
    return (rms * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def recorded(folder: Path, audio: Floats) -> NDArray[np.int16]:
    """Return audio as a recording of it is read."""
    return np.concatenate(list(read_recording(sounds.save(folder / "made.flac", audio), RATE)))


def loud_speech(seconds: float) -> Floats:
    """Like a voice that is far too near: bursts of low tones, six times as loud as the input takes.

    Bursts in no whole ratio to the looks, which would all fall into their pauses.
    """
    n = np.arange(round(seconds * RATE)) / RATE
    return np.clip(6 * np.sin(2 * np.pi * 180 * n) * np.sin(2 * np.pi * 0.73 * n) ** 2, -1, 1).astype(np.float32)


FAULTS: dict[SignalProblem, tuple[Callable[[float], Floats], float]] = {
    "silent": (lambda seconds: np.zeros(round(seconds * RATE), np.float32), signals.SILENT_SECONDS),
    "stuck": (lambda seconds: np.full(round(seconds * RATE), 0.03, np.float32), signals.STUCK_SECONDS),
    "dc": (lambda seconds: room(seconds) + np.float32(0.3), signals.MEAN_SECONDS + signals.DC_SECONDS),
    "clipping": (loud_speech, signals.MEAN_SECONDS + signals.CLIPPED_SECONDS),
}
"""What a fault sounds like, and after how long it must be told."""


@pytest.mark.parametrize("problem", FAULTS)
def test_a_fault_is_told_once_and_once_more_when_it_is_over(problem: SignalProblem, tmp_path: Path) -> None:
    make, limit = FAULTS[problem]
    pcm = recorded(tmp_path, np.concatenate([room(30), make(limit + 60), room(150, seed=1)]))
    told = changes(pcm)
    assert [change.problems for change in told] == [(problem,), ()]
    assert 30 < told[0].seconds <= 30 + limit + signals.LOOK_SECONDS + 1
    assert 90 + limit < told[1].seconds <= 210 + limit


@pytest.mark.parametrize("problem", FAULTS)
def test_a_fault_that_comes_and_goes_is_not_told_each_time(problem: SignalProblem, tmp_path: Path) -> None:
    make, limit = FAULTS[problem]
    spells = [make(limit + 60), room(3), make(30), room(3), make(30), room(3), make(30)]
    told = changes(recorded(tmp_path, np.concatenate([room(10), *spells])))
    assert [change.problems for change in told] == [(problem,)]


@pytest.mark.parametrize("problem", FAULTS)
def test_a_short_spell_is_no_fault(problem: SignalProblem, tmp_path: Path) -> None:
    make, limit = FAULTS[problem]
    spell = make(limit - signals.MEAN_SECONDS - 60 if problem in ("dc", "clipping") else limit - 6)
    assert changes(recorded(tmp_path, np.concatenate([room(40), spell, room(40)]))) == []


def test_a_stuck_sample_says_all_that_its_offset_would_say() -> None:
    signal = Signal()
    pcm = np.full(60 * RATE, 20_000, np.int16)
    assert [change.problems for change in changes(pcm, signal)][-1] == ("stuck",)
    assert "every sample is the same" in signal.words()[0]


@pytest.mark.parametrize("block", [160, 1_280, 15_600, 48_000])
def test_how_audio_is_cut_into_blocks_changes_nothing_but_seconds(block: int) -> None:
    pcm = (32767 * np.concatenate([room(10), np.zeros(200 * RATE, np.float32), room(20)])).astype(np.int16)
    told = changes(pcm, block=block)
    assert [change.problems for change in told] == [("silent",), ()]
    assert told[0].seconds == pytest.approx(10 + signals.SILENT_SECONDS, abs=4)


def test_a_dead_channel_is_told_as_long_as_its_agent_names_it() -> None:
    signal = Signal()
    signal.begin(RATE)
    block = (32767 * room(signals.LOOK_SECONDS)).astype(np.int16)
    assert [signal.hear(block, dead) for dead in ((), (2,), (2,), ())] == [False, True, False, True]
    signal.hear(block, (2, 3))
    assert (signal.problems, signal.words()) == (
        ("dead_channel",),
        ["no signal on channel 2, 3: half a microphone, or a loose cable"],
    )


def test_a_new_take_is_judged_anew() -> None:
    signal = Signal()
    assert changes(np.zeros(200 * RATE, np.int16), signal)
    signal.begin(RATE)
    assert signal.problems == ()
    assert changes((32767 * room(60)).astype(np.int16), signal) == []


SLOW = 100
"""A sample rate at which days are short."""


def day(quiet_db: float, loud_db: float, hours: float, seed: int) -> Iterator[NDArray[np.int16]]:
    """Hours of noise, minute by minute, whose level goes up and down between two levels in twelve hours."""
    chance = np.random.default_rng(seed)
    for minute in range(round(hours * 60)):
        where = 0.5 + 0.5 * np.sin(2 * np.pi * minute / 720)
        level = quiet_db + where * (loud_db - quiet_db)
        yield (32768 * 10 ** (level / 20) * chance.standard_normal(60 * SLOW)).astype(np.int16)


def test_a_level_far_from_all_that_a_day_held_is_told_until_it_is_usual() -> None:
    signal = Signal()
    signal.begin(SLOW)
    hear_all = lambda minutes: [signal.problems for pcm in minutes if signal.hear(pcm)]  # noqa: E731
    assert hear_all(day(-60, -30, 72, 0)) == []
    assert hear_all(day(-65, -28, 24, 1)) == []  # a louder and a quieter day are none
    assert hear_all(day(-85, -84, 1, 2)) == [("level",)]
    assert "dB, usual is -" in signal.words()[0]
    assert hear_all(day(-60, -30, 1, 3)) == [()]
    assert hear_all(day(-85, -84, 48, 4)) == [("level",), ()]


def test_which_level_is_usual_outlasts_a_take() -> None:
    signal = Signal()
    signal.begin(SLOW)
    for pcm in day(-50, -40, 25, 0):
        signal.hear(pcm)
    signal.begin(SLOW)
    assert [signal.problems for pcm in day(-80, -79, 1, 1) if signal.hear(pcm)] == [("level",)]


@pytest.mark.parametrize(("loud_db", "quiet_hours"), [(-30, 63), (-50, 15 * 24)])
def test_a_hall_that_was_quiet_over_a_weekend_or_for_two_weeks_is_as_loud_again_as_it_was(
    loud_db: float, quiet_hours: float
) -> None:
    signal = Signal()
    signal.begin(SLOW)
    for pcm in day(-75, loud_db, 48, 0):
        signal.hear(pcm)
    back_at_work = [*day(-75, -75, quiet_hours, 1), *day(loud_db, loud_db, 9, 2)]
    assert [signal.problems for pcm in back_at_work if signal.hear(pcm)] == []
