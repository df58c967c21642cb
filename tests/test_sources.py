"""What a source makes of the blocks that are fed to it by hand: real publisher, real subscriber, real small models."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from streamd import displaced, sources, wall
from streamd.blocks import Block, Bye, Hello, block_take
from streamd.counters import Counters
from streamd.detector import Detector
from streamd.events import ClockReport, Event, Heartbeat, Level, Message, Score, State, slug
from streamd.listeners import Listener
from streamd.model import Model
from streamd.publish import Publisher
from streamd.source_report import source_report
from streamd.sources import LiveSource
from tests import tiny_models
from tests.sockets import PATIENCE_MS, Ear, a_context, let_work, short_folder
from tests.tiny_models import SAMPLE_RATE, TONES

HERE, ELSEWHERE = "this machine", "another machine"
MAX_LAG_SECONDS = 2.0
HOP = 320
"""Samples of a hop of the tiny models, 40 ms at 8 kHz."""
FAST_RATE = 16_000
"""The rate of a second model; a hop of it has as many samples."""
Pcm = NDArray[np.int16]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A window of 0.16 s that hears three tones at 8 kHz."""
    return Model(tiny_models.build(tmp_path_factory.mktemp("model"), "window", "log_mel"), "cpu")


@pytest.fixture(scope="module")
def fast_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """One at 16 kHz; what is a tone at 8 kHz it hears as one of twice the frequency."""
    folder = tmp_path_factory.mktemp("fast")
    return Model(tiny_models.build(folder, "window", "samples", name="tiny-fast", sample_rate=FAST_RATE), "cpu")


class Rig:
    """One source with its models, its publisher, and a subscriber who hears all."""

    def __init__(self, publisher: Publisher, ear: Ear, models: Sequence[Model], counters: Counters) -> None:
        self._publisher = publisher
        self._ear = ear
        self.counters = counters
        listeners = [Listener(i, Detector(model), ("kitchen",)) for i, model in enumerate(models)]
        self.source = LiveSource(
            name="kitchen",
            listeners=listeners,
            publisher=publisher,
            counters=counters,
            step=self._step,
            clock_id=HERE,
            max_lag_seconds=MAX_LAG_SECONDS,
        )

    def _step(self, listener: Listener) -> None:
        for hop in listener.detector.step():
            self.source.heard(listener, hop)

    def hello(self, take: str, clock_id: str = HERE, *, live: bool = True, host: str = "pi") -> None:
        """An agent begins a take."""
        hello = Hello(
            sources=("kitchen",),
            take=take,
            host=host,
            clock_id=clock_id,
            device="a fake",
            native_rate=SAMPLE_RATE,
            live=live,
        )
        self.source.begin(hello)

    def hear(
        self, pcm: Pcm, first_sample: int = 0, take: str = "one", *, is_behind: bool = False, **changed: Any
    ) -> None:
        """A block arrives, captured just now, and what is ready is run, as the daemon's loop does."""
        rate = changed.get("sample_rate", SAMPLE_RATE)
        header = Block(
            sources=("kitchen",),
            take=block_take(take, rate),
            first_sample=first_sample,
            sample_rate=rate,
            captured_at=time.time(),
            monotonic=time.monotonic() - len(pcm) / rate,
        )
        self.source.hear(msgspec.structs.replace(header, **changed), pcm, is_behind=is_behind)
        for listener in self.source.listeners:
            self._step(listener)

    def hear_all(self, pcm: Pcm, first_sample: int = 0, **changed: Any) -> int:
        """Blocks of a hop each; return where the next one begins."""
        for begin in range(0, len(pcm), HOP):
            self.hear(pcm[begin : begin + HOP], first_sample + begin, **changed)
        return first_sample + len(pcm)

    def told(self) -> list[Message]:
        """Return what the subscriber has heard since it was last asked, each message checked."""
        self._publisher.heartbeat({"mark": None})
        messages: list[Message] = []
        while not isinstance(message := self._ear.hear(), Heartbeat):
            messages.append(message)
        return messages

    def wants(self, *prefixes: str) -> None:
        """The subscriber asks for more."""
        for prefix in prefixes:
            self._ear.socket.subscribe(prefix)
            assert self._publisher.socket.poll(PATIENCE_MS)
            self._publisher.on_readable()
        # The greeting is over before anything is heard: else its heartbeat would end what is `told` next.
        let_work(self._publisher, lambda: self._publisher.greet_due() == math.inf)


@contextmanager
def a_rig(*models: Model) -> Iterator[Rig]:
    """Make a rig, its subscriber already heard of."""
    with short_folder() as folder, a_context() as context:
        counters = Counters()
        publisher = Publisher(context, [f"ipc://{folder}/events"], "3f2a", "pi", counters)
        rig = Rig(publisher, Ear(context, f"ipc://{folder}/events"), models, counters)
        rig.wants("event/", "state/", "heartbeat/mark/")
        yield rig
        publisher.socket.close(linger=0)


def sound(seconds: float, label: str = "Low tone", rate: int = SAMPLE_RATE) -> Pcm:
    """A tone that a tiny model hears."""
    return (tiny_models.tone(round(seconds * rate), label) * 32767).astype(np.int16)


def quiet(seconds: float, rate: int = SAMPLE_RATE) -> Pcm:
    """Nothing."""
    return np.zeros(round(seconds * rate), np.int16)


def events(messages: Sequence[Message]) -> list[Event]:
    return [message for message in messages if isinstance(message, Event)]


def states(messages: Sequence[Message]) -> list[State]:
    return [message for message in messages if isinstance(message, State)]


def gaps(messages: Sequence[Message]) -> list[tuple[str, int, int]]:
    """Reason, first sample and number of samples of each gap that was told."""
    return [(state.gap.reason, state.gap.first_sample, state.gap.n_samples) for state in states(messages) if state.gap]


def numbers(messages: Sequence[Message]) -> list[int]:
    return [message.seq for message in messages if isinstance(message, Event | State)]


def heard_whole(model: Model, pcm: Pcm, first_sample: int = 0) -> list[tuple[str, int, int | None]]:
    """What a detector finds in a recording: label, onset and offset of each event, that of the end left out."""
    detector = Detector(model)
    detector.start("whole", first_sample)
    detector.push("whole", pcm)
    return [(one.label, one.onset_sample, one.offset_sample) for hop in detector.step() for one in hop.detections]


def found(messages: Sequence[Message]) -> list[tuple[str, int, int | None]]:
    return [(event.label, event.onset_sample, event.offset_sample) for event in events(messages)]


def test_a_sound_is_told_once_when_it_begins_and_once_when_it_ends(model: Model) -> None:
    pcm = np.concatenate([quiet(1), sound(1), quiet(1)])
    with a_rig(model) as rig:
        rig.hello("one")
        rig.hear_all(pcm)
        told = rig.told()
    (live,) = states(told)
    onset, offset = events(told)
    assert (live.status, live.take, live.sample_rate, live.gap) == ("live", "one-8000", SAMPLE_RATE, None)
    assert (onset.phase, offset.phase, offset.end_reason) == ("onset", "offset", "silence")
    assert (onset.label, onset.take, onset.model) == ("Low tone", "one-8000", model.manifest.name)
    assert onset.event_id == offset.event_id
    assert found(told) == heard_whole(model, pcm)
    assert numbers(told) == [1, 2, 3]


ENDS: dict[str, Callable[[Rig], None]] = {
    "device": lambda rig: rig.source.died("was killed by SIGKILL"),
    "end": lambda rig: rig.source.end(Bye(sources=("kitchen",), take="one", reason="end", detail="over")),
    "shutdown": lambda rig: rig.source.close("shutdown"),
    "gap": lambda rig: rig.hear(quiet(0.04), 10 * SAMPLE_RATE),
}


@pytest.mark.parametrize("reason", ENDS)
def test_every_way_a_take_may_end_closes_its_event_once(reason: str, model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        rig.hear_all(sound(1))
        ENDS[reason](rig)
        rig.source.close("shutdown")
        onset, offset = events(rig.told())
    assert (offset.phase, offset.end_reason, offset.event_id) == ("offset", reason, onset.event_id)
    assert offset.offset_sample is not None
    assert onset.onset_sample < offset.offset_sample <= SAMPLE_RATE
    assert offset.latency_seconds is None


def test_a_hop_that_was_not_run_yet_is_told_before_its_take_ends(model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        assert rig.source.hear(a_block(take="one-8000"), sound(1))
        rig.source.died("was killed by SIGKILL")
        onset, offset = events(rig.told())
    assert (onset.phase, offset.phase, offset.end_reason) == ("onset", "offset", "device")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, "transport"),
        ({"flags": ("agent_queue",), "n_lost": 800}, "agent_queue"),
        ({"flags": ("microphone",), "n_lost": 800}, "microphone"),
    ],
)
def test_lost_samples_are_one_gap_with_its_reason_and_the_rest_lies_where_it_was(
    changed: dict[str, Any], reason: str, model: Model
) -> None:
    before, after = sound(1), np.concatenate([quiet(0.5), sound(1)])
    with a_rig(model) as rig:
        rig.hello("one")
        lost_at = rig.hear_all(before)
        rig.hear(after[:HOP], lost_at + 800, **changed)
        rig.hear_all(after[HOP:], lost_at + 800 + HOP)
        told = rig.told()
        assert rig.source.losses.n_samples == 800
        assert rig.counters.read()[f"lost_samples.{reason}"] == 800
    assert gaps(told) == [(reason, lost_at, 800)]
    assert states(told)[-1].status == "live"
    first, closed, second = events(told)
    assert (first.phase, closed.end_reason, second.phase) == ("onset", "gap", "onset")
    assert found([second]) == heard_whole(model, after, lost_at + 800)[:1]
    assert numbers(told) == list(range(1, len(told) + 1))


def test_audio_between_two_takes_of_one_clock_is_a_gap(model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        now = time.monotonic()
        rig.hear(quiet(1), monotonic=now - 2.5)
        rig.source.died("was killed by SIGKILL")
        rig.hello("two")
        rig.hear(quiet(1), take="two", monotonic=now - 1)
        told = rig.told()
    assert [state.status for state in states(told)] == ["live", "starting", "live"]
    assert gaps(told) == [("agent", SAMPLE_RATE, SAMPLE_RATE // 2)]


@pytest.mark.parametrize(("clock_id", "live"), [(ELSEWHERE, True), (HERE, False)])
def test_takes_of_two_clocks_or_of_what_waits_are_not_compared(clock_id: str, live: bool, model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        rig.hear(quiet(1), monotonic=time.monotonic() - 2.5)
        rig.hello("two", clock_id, live=live)
        rig.hear(quiet(1), take="two")
        assert gaps(rig.told()) == []


def test_what_a_reload_loses_of_a_recording_that_is_played_fast_is_told(model: Model) -> None:
    # Its blocks are dated by their samples, from when its agent began to read it.
    with a_rig(model) as rig:
        rig.hello("one", live=False)
        rig.hear(quiet(1), monotonic=100.0)
        rig.source.close("reload")
        rig.hello("two", live=False)
        rig.hear(quiet(1), take="two", monotonic=101.5)
        assert gaps(rig.told()) == [("agent", SAMPLE_RATE, SAMPLE_RATE // 2)]
        rig.source.close("reload")
        rig.source.died("was killed by SIGKILL")  # another agent reads it from its beginning
        rig.hello("three", live=False)
        rig.hear(quiet(1), take="three", monotonic=107.0)
        assert gaps(rig.told()) == []


def test_a_take_that_begins_before_the_last_one_ended_lost_nothing(model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        now = time.monotonic()
        rig.hear(quiet(1), monotonic=now - 1)
        rig.hello("two")
        rig.hear(quiet(1), take="two", monotonic=now - 1)
        assert gaps(rig.told()) == []


def test_a_gap_between_takes_is_told_once_whichever_rate_is_heard_first(model: Model, fast_model: Model) -> None:
    with a_rig(model, fast_model) as rig:
        now = time.monotonic()
        rig.hello("one")
        rig.hear(quiet(1), monotonic=now - 2.5)
        rig.hear(quiet(1, FAST_RATE), sample_rate=FAST_RATE, monotonic=now - 2.5)
        rig.source.died("was killed by SIGKILL")
        rig.hello("two")
        rig.hear(quiet(1, FAST_RATE), take="two", sample_rate=FAST_RATE, monotonic=now - 1)
        rig.hear(quiet(1), take="two", monotonic=now - 1)
        told = rig.told()
    assert gaps(told) == [("agent", SAMPLE_RATE, SAMPLE_RATE // 2)]
    assert [(state.status, state.take) for state in states(told)] == [
        ("live", "one-8000"),
        ("live", "one-16000"),
        ("starting", None),
        ("live", "two-16000"),
        ("live", "two-8000"),
    ]


def test_each_rate_is_heard_by_its_own_models_and_told_apart(model: Model, fast_model: Model) -> None:
    with a_rig(model, fast_model) as rig:
        assert [(want.block_take, want.sample_rate, want.n_samples) for want in rig.source.wants("one")] == [
            ("one-8000", SAMPLE_RATE, HOP),
            ("one-16000", FAST_RATE, HOP),
        ]
        rig.hello("one")
        rig.hear_all(sound(1))
        rig.hear_all(sound(0.5), sample_rate=FAST_RATE)
        onsets = events(rig.told())
        assert rig.source.n_samples == SAMPLE_RATE
    assert [(event.model, event.take, event.sample_rate, event.label) for event in onsets] == [
        (model.manifest.name, "one-8000", SAMPLE_RATE, "Low tone"),
        (fast_model.manifest.name, "one-16000", FAST_RATE, "Low tone"),
    ]
    assert len({event.event_id for event in onsets}) == 2
    assert all(event.onset_seconds == event.onset_sample / event.sample_rate for event in onsets)


def overload(rig: Rig, n_seconds: float, late: Callable[[float], float], clock: float = 0.0) -> None:
    """Blocks of a take that come later and later, as from a daemon that has too much to do.

    late(seconds into the take) is how old a block is when it comes; clock: how far the agent's is off.
    """
    pcm = quiet(0.25)
    for begin in range(0, round(n_seconds * SAMPLE_RATE), len(pcm)):
        end_seconds = (begin + len(pcm)) / SAMPLE_RATE
        rig.hear(pcm, begin, monotonic=time.monotonic() + clock - late(end_seconds) - 0.25)


@pytest.mark.parametrize("clock_id", [HERE, ELSEWHERE])
def test_a_frozen_daemon_drops_what_is_too_old_in_one_run(clock_id: str, model: Model) -> None:
    clock = 0.0 if clock_id == HERE else 1e6
    with a_rig(model) as rig:
        rig.hello("one", clock_id)
        # Two seconds arrive in time; the next five were waiting, and come at once.
        overload(rig, 10, lambda seconds: 0.0 if seconds <= 2 else max(0.0, 7 - seconds), clock)
        told = rig.told()
        assert rig.source.lag_seconds() == pytest.approx(0, abs=0.3)
    (gap,) = gaps(told)
    assert gap[:2] == ("lag", 2 * SAMPLE_RATE)
    assert 3 * SAMPLE_RATE <= gap[2] <= 4.25 * SAMPLE_RATE
    assert [state.status for state in states(told)] == ["live", "live"]


def test_with_more_to_do_than_time_most_of_what_is_heard_is_in_one_piece(model: Model) -> None:
    behind, n_heard = 0.0, 0

    def late(seconds: float) -> float:
        """Half as fast as needed: each block that is heard takes twice as long as it lasts."""
        nonlocal behind, n_heard
        behind = max(0.0, behind + (0.25 if rig.source.n_samples > n_heard else -0.25))
        n_heard = rig.source.n_samples
        return behind

    with a_rig(model) as rig:
        rig.hello("one")
        overload(rig, 40, late)
        holes = gaps(rig.told())
        assert rig.source.n_samples > 18 * SAMPLE_RATE
    assert holes
    assert all(reason == "lag" and n_samples >= SAMPLE_RATE for reason, _, n_samples in holes)


def test_a_clock_of_another_host_may_drift_and_stand_still(model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one", ELSEWHERE)
        overload(rig, 250, lambda seconds: 0.01 * seconds)
        assert gaps(rig.told()) == []
        rig.hello("two", ELSEWHERE)

        def late(seconds: float) -> float:
            return 0.0 if seconds <= 10 else 3600.0  # it slept for an hour, and its clock with it

        pcm = quiet(1)
        for begin in range(0, 120 * SAMPLE_RATE, len(pcm)):
            rig.hear(pcm, begin, "two", monotonic=time.monotonic() - late(begin / SAMPLE_RATE + 1) - 1)
        (gap,) = [gap for gap in gaps(rig.told()) if gap[0] == "lag"]
    assert gap[1] == 10 * SAMPLE_RATE
    assert gap[2] < 65 * SAMPLE_RATE


def test_what_was_shed_at_the_end_of_a_take_is_told_too(model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        rig.hear(quiet(1))
        rig.hear(quiet(1), SAMPLE_RATE, monotonic=time.monotonic() - 10)
        rig.source.end(Bye(sources=("kitchen",), take="one", reason="end", detail="the recording is over"))
        told = rig.told()
        assert rig.source.losses.n_samples == SAMPLE_RATE
    assert gaps(told) == [("lag", SAMPLE_RATE, SAMPLE_RATE)]
    assert states(told)[-1].status == "ended"


def test_what_waits_is_never_shed(model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one", live=False)
        rig.hear_all(sound(1), monotonic=time.monotonic() - 60)
        told = rig.told()
        assert rig.source.lag_seconds() is None
    assert gaps(told) == []
    (onset,) = events(told)
    assert onset.latency_seconds is None


def test_latency_is_told_only_where_both_ends_have_one_clock(model: Model) -> None:
    for clock_id in (HERE, ELSEWHERE):
        with a_rig(model) as rig:
            rig.hello("one", clock_id)
            rig.hear(sound(1), monotonic=time.monotonic() - 1.5)
            (onset,) = events(rig.told())
        if clock_id == HERE:
            assert onset.latency_seconds is not None
            # The sound is decided on before the block ends, at the latest a block's length before now.
            assert 0.5 < onset.latency_seconds < 2
        else:
            assert onset.latency_seconds is None


def test_blocks_of_another_take_or_out_of_order_are_counted_and_not_heard(model: Model) -> None:
    with a_rig(model) as rig:
        assert not rig.source.hear(a_block(take="one-8000"), quiet(0.04))
        rig.hello("one")
        rig.hear(quiet(0.04))
        rig.hear(quiet(0.04), take="another")
        rig.hear(quiet(0.04))
        assert rig.source.n_samples == HOP
        counted = rig.counters.read()
    assert counted["blocks.wrong_take"] == 2
    assert counted["blocks.out_of_order"] == 1


def test_an_agent_that_another_one_replaced_is_told_to_begin_anew_once_that_one_has_left(model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        rig.hear(quiet(0.04))
        rig.hello("two")
        rig.hear(quiet(0.04), take="two")
        assert rig.source.hear(a_block(take="one-8000"), quiet(0.04)), "the newer agent is heard"
        rig.source.end(Bye(sources=("kitchen",), take="two", reason="shutdown", detail="stopped"))
        assert not rig.source.hear(a_block(take="one-8000"), quiet(0.04))


def test_another_agent_without_a_device_does_not_end_what_is_heard(model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        rig.hear_all(sound(0.5))
        rig.source.wait("there is no microphone")
        rig.hear_all(sound(0.5), SAMPLE_RATE // 2)
        told = rig.told()
    assert [state.status for state in states(told)] == ["live"]
    assert [event.phase for event in events(told)] == ["onset"]


def test_an_agent_that_falls_silent_has_its_events_closed_and_goes_on_where_it_was(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        rig.hear_all(sound(1))
        rig.source.check_silence()
        assert rig.source.status == "live"
        monkeypatch.setattr(sources, "SILENT_SECONDS", 0.0)
        time.sleep(0.05)  # more than a block: what is waited for is that nothing comes
        rig.source.check_silence()
        rig.source.check_silence()
        silent = rig.told()
        rig.hear_all(sound(1), SAMPLE_RATE)
        again = rig.told()
    onset, offset = events(silent)
    assert (offset.end_reason, offset.event_id) == ("device", onset.event_id)
    assert [state.status for state in states(silent)] == ["live", "waiting_for_device"]
    assert [(state.status, state.gap) for state in states(again)] == [("live", None)]
    assert found(again) == heard_whole(model, sound(1), SAMPLE_RATE)


def test_why_an_agent_gave_up_is_not_hidden_by_how_it_ended(model: Model) -> None:
    with a_rig(model) as rig:
        rig.source.wait("text.wav: this can't be read as a recording")
        rig.source.died("ended with code 65")
        rig.source.wait("text.wav: this can't be read as a recording")
        (state,) = states(rig.told())
    assert (state.status, state.detail) == ("waiting_for_device", "text.wav: this can't be read as a recording")


def test_an_agent_that_changes_its_mind_in_every_message_is_told_of_once_a_second(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_rig(model) as rig:
        for i in range(50):
            rig.source.wait(f"lacks this or that: {i % 2}")
        assert [state.detail for state in states(rig.told())] == ["lacks this or that: 0"]
        rig.hello("one")
        position = rig.hear_all(quiet(0.04), clock=ClockReport(offset_seconds=0.0))
        rig.told()
        for i in range(51):
            clock = ClockReport(offset_seconds=0.0, is_set=bool(i % 2), n_steps=i)
            position = rig.hear_all(quiet(0.04), position, clock=clock)
        n_told = len(states(rig.told()))
        monkeypatch.setattr(wall, "TELL_SECONDS", 0.0)
        later = ClockReport(offset_seconds=0.0, is_set=False, n_steps=51, last_step_seconds=3.0)
        rig.hear_all(quiet(0.04), position, clock=later)
        (state,) = states(rig.told())
    assert n_told <= 5  # a second each
    assert state.clock == later
    assert "set forward by 3.0 s" in state.detail


def test_scores_and_levels_are_made_only_while_somebody_asks(model: Model, fast_model: Model) -> None:
    with a_rig(model, fast_model) as rig:
        rig.hello("one")
        rig.hear(sound(0.4))
        assert not [message for message in rig.told() if isinstance(message, Score | Level)]
        rig.wants(f"score/kitchen/{slug(model.manifest.name)}/", "level/kitchen/")
        rig.hear(sound(0.4), round(0.4 * SAMPLE_RATE))
        rig.hear(sound(0.4, rate=FAST_RATE), sample_rate=FAST_RATE)
        told = rig.told()
    scores = [message for message in told if isinstance(message, Score)]
    (level,) = [message for message in told if isinstance(message, Level)]
    assert len(scores) == 10
    assert {score.model for score in scores} == {model.manifest.name}
    assert scores[-1].end_sample == round(0.8 * SAMPLE_RATE)
    assert set(scores[-1].posteriors) == set(scores[-1].scores) == set(scores[-1].onset_thresholds) == set(TONES)
    assert scores[-1].scores["Low tone"] > 0.9
    assert (level.take, level.end_sample) == ("one-8000", round(0.8 * SAMPLE_RATE))
    assert level.rms_db == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.1)
    assert level.peak_db == pytest.approx(20 * np.log10(0.5), abs=0.1)


def test_a_block_far_ahead_is_a_gap_and_what_was_heard_before_keeps_its_date(model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        began = time.time() - 1
        header = a_block(take="one-8000", captured_at=began)
        assert rig.source.hear(header, sound(1))  # not yet run
        far = msgspec.structs.replace(header, first_sample=2**53, captured_at=began + 60)
        assert rig.source.hear(far, sound(1))
        onset, offset = events(rig.told())
    assert (onset.phase, offset.end_reason) == ("onset", "gap")
    assert onset.onset_time.timestamp() == pytest.approx(began + onset.onset_seconds, abs=1e-3)


def test_what_was_shed_before_a_longer_pause_of_the_input_is_told_as_the_pause(model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        rig.hear(quiet(1))
        rig.hear(quiet(0.5), SAMPLE_RATE, monotonic=time.monotonic() - 3.5)  # before its agent knows of the pause
        rig.hear(quiet(1), 4 * SAMPLE_RATE, n_lost=5 * SAMPLE_RATE // 2, flags=("microphone",))
        assert gaps(rig.told()) == [("microphone", SAMPLE_RATE, 3 * SAMPLE_RATE)]


@pytest.mark.parametrize("says_so", [True, False])
def test_a_remote_host_that_slept_for_seconds_is_heard_again_at_once_or_soon(
    says_so: bool, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, slept = 5000.0, 0.0
    with a_rig(model) as rig:
        monkeypatch.setattr(sources.time, "monotonic", lambda: now)
        rig.hello("one", ELSEWHERE)
        for i in range(120):
            now += 0.5
            if i == 20:
                now, slept = now + 5, 5.0
            clock = ClockReport(offset_seconds=0.0, n_suspends=int(says_so and slept > 0))
            told = {"clock": clock} if i in (0, 20) else {}
            rig.hear(quiet(0.5), i * SAMPLE_RATE // 2, monotonic=now - slept - 0.5, **told)
        lost = sum(n_samples for _, _, n_samples in gaps(rig.told())) / SAMPLE_RATE
        assert rig.source.lag_seconds() == pytest.approx(0, abs=0.1)
    assert lost == 0 if says_so else MAX_LAG_SECONDS <= lost <= MAX_LAG_SECONDS + 1


@pytest.mark.parametrize("clock_id", [HERE, ELSEWHERE])
def test_a_backlog_that_takes_long_to_shed_is_not_taken_for_a_host_that_slept(
    clock_id: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, oldest = 5000.0, 0.0
    with a_rig(model) as rig:
        monkeypatch.setattr(sources.time, "monotonic", lambda: now)
        rig.hello("one", clock_id)
        for i in range(250):
            begin = i * HOP
            if i >= 100:  # from here on all is taken in more slowly than it comes, shed or not
                now += 1.5 * HOP / SAMPLE_RATE
            now = max(now, 5000.0 + (begin + HOP) / SAMPLE_RATE)
            was = rig.source.n_samples
            rig.hear(quiet(HOP / SAMPLE_RATE), begin, monotonic=5000.0 + begin / SAMPLE_RATE, is_behind=i > 100)
            if rig.source.n_samples > was:
                oldest = max(oldest, now - 5000.0 - (begin + HOP) / SAMPLE_RATE)
    assert MAX_LAG_SECONDS / 2 < oldest <= MAX_LAG_SECONDS


def test_an_agent_that_only_says_hello_is_not_live(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        rig.hear(quiet(1))
        now = time.monotonic()
        for i in range(10):
            now += 2
            monkeypatch.setattr(sources.time, "monotonic", lambda now=now: now)
            rig.hello(f"again-{i}")
            rig.source.check_silence()
        assert rig.source.status == "waiting_for_device"
        assert "no audio from its agent for" in rig.source.detail
        rig.hear(quiet(1), take="again-9")
        assert rig.source.status == "live"


def a_block(take: str, captured_at: float = 0.0) -> Block:
    """Header of a take's first block, of a second, captured until now."""
    return Block(
        sources=("kitchen",),
        take=take,
        first_sample=0,
        sample_rate=SAMPLE_RATE,
        captured_at=captured_at,
        monotonic=time.monotonic() - 1,
    )


def test_a_source_whose_model_lost_its_gpu_is_degraded_and_its_events_end(model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        end = rig.hear_all(np.concatenate([quiet(1), sound(1)]))
        rig.told()
        [listener] = rig.source.listeners
        rig.source.lost_device(listener, "tiny runs on the CPU: its GPU was lost", listener.detector.flush("device"))
        told = rig.told()
        rig.hear_all(quiet(1), end)
        assert rig.told() == []
        report = source_report(rig.source, 0)
    [offset] = events(told)
    assert (offset.phase, offset.end_reason) == ("offset", "device")
    [state] = states(told)
    assert (state.status, report.status) == ("degraded", "degraded")
    assert state.detail == "hears a fake; tiny runs on the CPU: its GPU was lost"


def test_what_is_wrong_with_a_signal_is_told_when_it_begins_and_when_it_is_over(model: Model) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        noise = np.random.default_rng(0).integers(-30, 30, 10 * SAMPLE_RATE).astype(np.int16)
        end = rig.hear_all(np.concatenate([noise, quiet(130), noise]))
        begun, silent, good = states(rig.told())
        assert (source_report(rig.source, 0).signal, source_report(rig.source, 0).detail) == ((), "hears a fake")
        rig.hear_all(quiet(130), end)
        assert source_report(rig.source, 0).signal == ("silent",)
        rig.source.died("was killed by SIGKILL")
        silent_again, gone = states(rig.told())
    assert [state.signal for state in (begun, silent, good, silent_again, gone)] == [
        (),
        ("silent",),
        (),
        ("silent",),
        (),
    ]
    assert [state.status for state in (silent, good, gone)] == ["live", "live", "starting"]
    assert silent.detail == "hears a fake; digital silence: every sample is 0; is the input muted?"
    assert silent.take == "one-8000"


def test_two_agents_of_one_name_are_told_once_with_what_each_is(
    model: Model, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_rig(model) as rig:
        rig.hello("one")
        rig.hear(sound(0.1))
        rig.hello("two", host="attic-pi")
        for n in range(5):
            rig.hear(sound(0.1), n * 800, "two")
            rig.hear(sound(0.1), 800 + n * 800, "one")
        assert "two agents" not in caplog.text, "the first may have been started again: that was on its way"
        monkeypatch.setattr(displaced, "UNDERWAY_SECONDS", 0.0)
        for n in range(5, 10):
            rig.hear(sound(0.1), n * 800, "two")
            rig.hear(sound(0.1), 800 + n * 800, "one")
        (told,) = [record for record in caplog.records if "two agents" in record.message]
        assert told.levelname == "WARNING"
        assert told.message == (
            "kitchen: two agents speak for it: a fake on attic-pi is heard, and a fake on pi, which was heard before, "
            "sends in vain; stop one, or give it a name of its own"
        )


def test_an_agent_that_says_bye_and_comes_again_is_no_second_one(
    model: Model, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(displaced, "UNDERWAY_SECONDS", 0.0)
    with a_rig(model) as rig:
        rig.hello("one")
        rig.hear(sound(0.1))
        rig.source.end(Bye(sources=("kitchen",), take="one", reason="device", detail="pulled out"))
        rig.hello("two")
        rig.hear(sound(0.1), 0, "two")
        rig.hear(sound(0.1), 800, "one")
        assert "two agents" not in caplog.text
