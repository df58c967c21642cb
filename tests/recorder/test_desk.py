"""What is cut out of a take: to the sample, and never more or less than there was."""

from __future__ import annotations

import numpy as np
import pytest

from streamd.recorder.desk import MOST_CLIPS, Desk, Recording
from streamd.recorder.messages import Over, RecorderSpec
from tests.recorder.audio import BLOCK, NOTHING, RATE, TAKE, heard, offset, onset, pcm, play, score, tell

SPEC = RecorderSpec(folder="/", pre_roll_seconds=2.0, post_roll_seconds=1.0, longest_seconds=10.0, near_miss=0.3)


def check(recording: Recording, first_sample: int, end_sample: int, *, is_whole: bool) -> None:
    """Fail unless a recording holds these samples of the take, and says so."""
    facts = recording.beside.audio
    assert facts is not None
    assert recording.pcm is not None
    assert (facts.first_sample, facts.n_samples) == (first_sample, end_sample - first_sample)
    assert facts.is_whole == is_whole
    np.testing.assert_array_equal(recording.pcm, pcm(first_sample, end_sample))


def test_a_recording_has_the_sound_and_what_was_before_and_after_it() -> None:
    desk = Desk(SPEC)
    dog = onset(5_030)
    assert play(desk, 0, 5_500) == []
    assert tell(desk, dog) == []
    assert play(desk, 5_500, 7_000) == []
    assert tell(desk, offset(dog, 6_210)) == []
    [done] = play(desk, 7_000, 7_300)
    check(done, 3_030, 7_210, is_whole=True)
    assert done.beside.audio is not None
    assert (done.beside.audio.onset_seconds, done.beside.audio.offset_seconds) == (2.0, 3.18)
    assert (done.beside.kind, done.beside.event, done.label) == ("event", offset(dog, 6_210), "Dog")
    assert done.stem == "20260101T100005.030Z-kitchen-3f2a-kitchen-1"
    assert desk.close() == []


def test_an_offset_that_is_told_late_takes_what_was_heard_meanwhile() -> None:
    desk = Desk(SPEC)
    dog = onset(5_000)
    play(desk, 0, 5_500)
    tell(desk, dog)
    play(desk, 5_500, 9_900)
    [done] = tell(desk, offset(dog, 5_800))
    check(done, 3_000, 6_800, is_whole=True)


def test_at_the_beginning_of_a_take_the_recording_begins_there() -> None:
    desk = Desk(SPEC)
    dog = onset(400)
    play(desk, 0, 1_000)
    tell(desk, dog)
    [done] = [*tell(desk, offset(dog, 600)), *play(desk, 1_000, 2_000)]
    check(done, 0, 1_600, is_whole=True)


def test_a_hole_ends_a_recording_where_it_begins() -> None:
    desk = Desk(SPEC)
    dog = onset(5_000)
    play(desk, 0, 5_500)
    tell(desk, dog)
    tell(desk, offset(dog, 5_300))
    [done] = play(desk, 5_600, 5_700)
    check(done, 3_000, 5_500, is_whole=False)
    cat = onset(5_700, event_id="cat")
    tell(desk, cat)
    [done] = [*tell(desk, offset(cat, 5_900)), *play(desk, 5_700, 7_000)]
    check(done, 5_600, 6_900, is_whole=False)


def test_a_hole_in_a_sound_cuts_its_recording_and_its_offset_is_waited_for() -> None:
    desk = Desk(SPEC)
    dog = onset(5_000)
    play(desk, 0, 5_500)
    tell(desk, dog)
    assert play(desk, 6_000, 8_000) == []
    [done] = tell(desk, offset(dog, 7_000))
    check(done, 3_000, 5_500, is_whole=False)


def test_of_a_sound_that_goes_on_for_long_its_beginning_is_kept_and_no_more() -> None:
    desk = Desk(SPEC)
    dog = onset(5_000)
    play(desk, 0, 5_500)
    tell(desk, dog)
    assert play(desk, 5_500, 900_000) == []
    kept = desk._kept["kitchen", TAKE]
    assert kept.end_sample - kept.first_sample <= (2 + 10 + 1) * RATE
    [done] = tell(desk, offset(dog, 899_000))
    check(done, 3_000, 16_000, is_whole=False)
    assert done.beside.event is not None
    assert done.beside.event.offset_sample == 899_000


@pytest.mark.parametrize("how", ["over", "close", "another take"])
def test_the_end_of_a_take_ends_its_recordings(how: str) -> None:
    desk = Desk(SPEC)
    dog, cat = onset(5_000), onset(5_200, event_id="cat", label="Cat")
    play(desk, 0, 5_500)
    tell(desk, dog)
    tell(desk, cat)
    assert tell(desk, offset(dog, 5_400)) == []
    done = {
        "over": lambda: desk.take_in(Over(source="kitchen", take=TAKE), NOTHING),
        "close": desk.close,
        "another take": lambda: play(desk, 0, BLOCK, "another"),
    }[how]()
    assert [one.label for one in done] == ["Dog", "Cat"]
    check(done[0], 3_000, 5_500, is_whole=False)
    check(done[1], 3_200, 5_500, is_whole=False)
    assert done[1].beside.event == cat  # its offset never came
    assert [take for _source, take in desk._kept] == (["another"] if how == "another take" else [])


def test_labels_that_are_not_asked_for_are_left_out_and_some_have_no_audio() -> None:
    desk = Desk(RecorderSpec(folder="/", labels={"Dog": True, "Speech": False}, near_miss=0.3))
    play(desk, 0, 5_500)
    done = []
    for i, label in enumerate(["Cat", "Speech"]):
        event = onset(5_000, event_id=f"e{i}", label=label)
        done += [*tell(desk, event), *tell(desk, offset(event, 5_300))]
    assert [(one.label, one.pcm, one.beside.audio) for one in done] == [("Speech", None, None)]
    assert play(desk, 5_500, 10_000) == []


def test_an_event_whose_audio_never_came_is_kept_without() -> None:
    desk = Desk(SPEC)
    dog = onset(5_000)
    tell(desk, dog)
    [done] = tell(desk, offset(dog, 5_300))
    assert (done.pcm, done.beside.audio, done.beside.event) == (None, None, offset(dog, 5_300))


def test_a_recorder_that_began_in_the_middle_of_a_sound_keeps_what_it_has() -> None:
    desk = Desk(SPEC)
    play(desk, 5_100, 6_000)
    [done] = [*tell(desk, offset(onset(5_000), 5_300)), *play(desk, 6_000, 7_000)]
    check(done, 5_100, 6_300, is_whole=False)
    assert done.beside.audio is not None
    assert done.beside.audio.onset_seconds == -0.1


def test_more_sounds_at_once_than_memory_is_meant_for_are_kept_without_audio() -> None:
    desk = Desk(SPEC)
    play(desk, 0, 5_500)
    sounding = [onset(5_000, event_id=f"e{i}") for i in range(MOST_CLIPS + 2)]
    for each in sounding:
        tell(desk, each)
    done = [one for each in reversed(sounding) for one in tell(desk, offset(each, 5_300))]
    assert [one.pcm for one in done] == [None, None]
    assert len([one for one in play(desk, 5_500, 7_000) if one.pcm is not None]) == MOST_CLIPS


def test_two_sources_of_one_agent_share_a_take_and_no_audio() -> None:
    desk = Desk(SPEC)
    dog = onset(5_000)
    done: list[Recording] = []
    for begin in range(0, 8_000, BLOCK):
        done += play(desk, begin, begin + BLOCK)
        done += desk.take_in(heard(begin, source="porch"), np.zeros(BLOCK, np.int16))
        if begin == 5_500:
            done += tell(desk, dog)
        if begin == 6_000:
            done += desk.take_in(Over(source="porch", take=TAKE), NOTHING)
            done += tell(desk, offset(dog, 5_800))
    [one] = done
    check(one, 3_000, 6_800, is_whole=True)


def near_misses(scores: list[float], events: dict[int, str] | None = None) -> list[Recording]:
    """Play a hop for each score; events: what is told with a hop, "onset" or "offset"."""
    desk = Desk(SPEC)
    done: list[Recording] = []
    dog = onset(0)
    for i, value in enumerate(scores):
        end = (i + 1) * BLOCK
        done += play(desk, i * BLOCK, end)
        score(desk, end, value)
        match (events or {}).get(i):
            case "onset":
                dog = onset(i * BLOCK)
                done += tell(desk, dog)
            case "offset":
                done += tell(desk, offset(dog, end))
    return [one for one in [*done, *desk.close()] if one.beside.kind == "near_miss"]


def test_a_sound_that_was_nearly_told_is_recorded_with_its_peak() -> None:
    [done] = near_misses([0.1] * 50 + [0.35, 0.5, 0.4, 0.1, 0.32] + [0.1] * 30)
    check(done, 3_000, 6_500, is_whole=True)
    miss = done.beside.near_miss
    assert miss is not None
    assert (miss.label, miss.peak, miss.onset_threshold) == ("Dog", 0.5, 0.6)
    assert (miss.onset_sample, miss.offset_sample) == (5_000, 5_500)
    assert done.stem == "20260101T100005.000Z-kitchen-yamnet-5000"


def test_two_that_lie_a_second_apart_are_two() -> None:
    found = near_misses([0.1] * 10 + [0.4] + [0.1] * 12 + [0.5] + [0.1] * 30)
    assert [one.beside.near_miss.peak for one in found if one.beside.near_miss] == [0.4, 0.5]


def test_what_was_told_is_no_near_miss_nor_is_its_fading() -> None:
    loud = [0.1] * 20 + [0.4, 0.7, 0.8, 0.5, 0.4, 0.35, 0.1, 0.3] + [0.1] * 30
    assert near_misses(loud, {22: "onset", 24: "offset"}) == []
    assert len(near_misses(loud)) == 1


def test_what_is_nearly_told_for_hours_is_recorded_once() -> None:
    [done] = near_misses([0.4] * 1_000)
    check(done, 0, 10_000 + RATE, is_whole=True)


def test_a_near_miss_at_the_end_of_a_take_is_recorded() -> None:
    [done] = near_misses([0.1] * 40 + [0.4, 0.5])
    check(done, 2_000, 4_200, is_whole=False)
