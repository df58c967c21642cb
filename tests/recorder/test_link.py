"""What the daemon's end says of scores: with a real detector before it and a real desk behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from streamd.counters import Counters
from streamd.decision import DecisionSpec
from streamd.model import Model
from streamd.recorder.desk import Desk, Recording
from streamd.recorder.link import RecorderLink
from streamd.recorder.messages import RecorderSpec, decode
from tests import tiny_models
from tests.test_sources import Pcm, Rig, a_rig, events, quiet, sound

SPEC = RecorderSpec(folder="/", pre_roll_seconds=0.5, post_roll_seconds=0.5, near_miss=0.3)
BEEPS = np.concatenate([quiet(1), *[np.concatenate([sound(0.3), quiet(1.5)]) for _ in range(4)], quiet(2)])
"""Four, with pauses that are longer than a near-miss may have, and shorter than the event."""
ALMOST = (tiny_models.tone(4_000, "Low tone", level=0.1) * 32767).astype(np.int16)
"""A tone with a posterior of about 0.5."""


class Recorder:
    """A desk that reads at once what its pipe is given, and may begin anew or miss all that is told."""

    def __init__(self) -> None:
        self.desk = Desk(SPEC)
        self.made: list[Recording] = []
        self.is_deaf = False
        self.link = RecorderLink(SPEC, Counters())
        self.link.pipe_of = lambda: self  # type: ignore[assignment,return-value]

    def send(self, payload: bytes) -> bool:
        if not self.is_deaf:
            self.made += self.desk.take_in(*decode(payload))
        return not self.is_deaf

    def begin_anew(self) -> None:
        self.desk = Desk(SPEC)

    def kinds(self) -> list[str]:
        """What was recorded, to the end."""
        made, self.made = [*self.made, *self.desk.close()], []
        self.begin_anew()
        return [one.beside.kind for one in made]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """One whose events outlast pauses of 2 s."""
    decision = DecisionSpec(onset_threshold=0.6, offset_threshold=0.4, n_confirm=3, min_silence_seconds=2.0)
    return Model(tiny_models.build(tmp_path_factory.mktemp("model"), "window", "log_mel", decision=decision), "cpu")


@pytest.fixture
def recorder(model: Model) -> Iterator[tuple[Recorder, Rig]]:
    recorder = Recorder()
    with a_rig(model) as rig:
        rig.source.recorder = recorder.link
        rig.hello("one")
        yield recorder, rig
        recorder.link.close()


def play(rig: Rig, parts: Sequence[Pcm], first_sample: int = 0) -> int:
    return rig.hear_all(np.concatenate(parts), first_sample)


def test_no_beep_of_an_event_is_a_near_miss(recorder: tuple[Recorder, Rig]) -> None:
    desk, rig = recorder
    play(rig, [BEEPS])
    assert [event.phase for event in events(rig.told())] == ["onset", "offset"]
    assert desk.kinds() == ["event"]


def test_nor_to_a_recorder_that_was_started_in_the_middle_of_the_event(recorder: tuple[Recorder, Rig]) -> None:
    desk, rig = recorder
    half = len(BEEPS) // 2 // 320 * 320
    position = play(rig, [BEEPS[:half]])
    desk.begin_anew()
    play(rig, [BEEPS[half:]], position)
    assert desk.kinds() == ["event"]


def test_nor_to_one_that_was_not_told_of_it(recorder: tuple[Recorder, Rig]) -> None:
    desk, rig = recorder
    position = play(rig, [quiet(1)])
    desk.is_deaf = True
    position = play(rig, [sound(0.4)], position)
    desk.is_deaf = False
    play(rig, [quiet(1.5), sound(0.3), quiet(3)], position)
    assert desk.kinds() == ["event"]  # its offset came


@pytest.mark.parametrize("how", ["silence", "gap", "take", "lost offset"])
def test_an_event_that_is_over_hides_no_near_miss_after_it(recorder: tuple[Recorder, Rig], how: str) -> None:
    desk, rig = recorder
    position = play(rig, [quiet(1), sound(0.5)])
    take = "one"
    match how:
        case "silence":
            position = play(rig, [quiet(3)], position)
        case "gap":
            position += 16_000
        case "take":
            rig.source.close("device")
            rig.hello(take := "two")
            position = 0
        case "lost offset":
            desk.is_deaf = True
            position = play(rig, [quiet(3)], position)
            desk.is_deaf = False
    rig.hear_all(np.concatenate([quiet(1.5), ALMOST, quiet(3)]), position, take=take)
    assert [event.phase for event in events(rig.told())] == ["onset", "offset"]
    assert sorted(desk.kinds()) == ["event", "near_miss"]
