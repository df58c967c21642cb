"""Blocks: how a take is cut, dated, and what is lost of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.blocks import Bye, Want, decode_said
from streamd.capture.clock import CaptureClock
from streamd.capture.outbox import MOST_SECONDS, Outbox
from streamd.capture.stream import BlockStream, Cut

RATE = 16_000


def stream_of(clock: CaptureClock, n_samples: int = 1280) -> BlockStream:
    """A stream of blocks of a take t."""
    want = Want(take="h", block_take="t", sample_rate=RATE, n_samples=n_samples)
    return BlockStream("kitchen", want, clock)


def hear(clock: CaptureClock, stream: BlockStream, samples: np.ndarray, now: float) -> list[Cut]:
    """Hand samples over at a time, as an input and the agent do."""
    clock.heard(len(samples), now)
    return stream.push(samples.astype(np.float32))


@given(
    reads=st.lists(st.tuples(st.integers(1, 5_000), st.floats(0, 0.3)), min_size=1, max_size=60),
    native_rate=st.sampled_from([8_000, 16_000, 44_100, 48_000]),
    n_samples=st.sampled_from([160, 1280, 15_600]),
)
def test_blocks_are_whole_follow_each_other_and_never_go_back_in_time(
    reads: list[tuple[int, float]], native_rate: int, n_samples: int
) -> None:
    clock = CaptureClock(native_rate)
    stream = stream_of(clock, n_samples=n_samples)
    cuts: list[Cut] = []
    for n_native, delay in reads:
        now = 50 + (clock.position + n_native) / native_rate + delay
        cuts += hear(clock, stream, np.zeros(n_native), now)
        assert 0 < stream.n_lacking <= -(-n_samples * native_rate // RATE) + 0.1 * native_rate
    n_whole = len(cuts)
    cuts += stream.finish()
    assert all(len(cut.pcm) == n_samples for cut in cuts[:n_whole])
    assert sum(len(cut.pcm) for cut in cuts) == round(clock.position * RATE / native_rate)
    position, monotonic = 0, 0.0
    for header, pcm in cuts:
        assert (header.first_sample, header.n_lost) == (position, 0)
        assert header.monotonic >= monotonic
        position, monotonic = position + len(pcm), header.monotonic


@pytest.mark.parametrize("native_rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("n_samples", [1280, 3840])
def test_before_long_nearly_every_read_makes_a_block(native_rate: int, n_samples: int) -> None:
    clock = CaptureClock(native_rate)
    stream = stream_of(clock, n_samples=n_samples)
    n_cuts = []
    for _ in range(60):
        n_native = max(stream.n_lacking, native_rate // 100)  # as the agent does
        n_cuts.append(len(hear(clock, stream, np.zeros(n_native), clock.position / native_rate)))
    assert n_cuts[20:].count(0) <= 4


def test_a_take_may_begin_when_its_input_has_long_been_running() -> None:
    clock = CaptureClock(48_000)
    clock.heard(480_000, 110.0)
    [cut, *_] = hear(clock, stream_of(clock), np.zeros(48_000), 111.0)
    assert cut.header.first_sample == 0
    assert abs(cut.header.monotonic - 110) < 1e-6


def test_what_a_microphone_lost_is_between_a_short_block_and_the_next() -> None:
    clock = CaptureClock(48_000)
    stream = stream_of(clock)
    before = hear(clock, stream, np.zeros(48_000), 1.0)
    clock.lost(24_000)
    before += stream.lose(clock.position)
    after = hear(clock, stream, np.zeros(48_000), 2.5)
    assert sum(len(cut.pcm) for cut in before) == RATE
    header = after[0].header
    assert (header.first_sample, header.n_lost, header.flags) == (24_000, 8_000, ("microphone",))
    assert abs(header.monotonic - 1.5) < 1e-3
    assert (after[1].header.n_lost, after[1].header.flags) == (0, ())


def fill(outbox: Outbox, stream: BlockStream, clock: CaptureClock, n_blocks: int) -> None:
    """Put blocks into an outbox whose samples say where they lie."""
    for _ in range(n_blocks):
        where = clock.position + np.arange(1280)
        for cut in hear(clock, stream, where / 32768, clock.position / RATE):
            outbox.add(cut)


def unpack(outbox: Outbox) -> list[tuple[int, int, int]]:
    """Take everything out: (first_sample, n_lost, first value) of each block."""
    told = []
    while outbox:
        header, pcm = decode_said(outbox.first())
        outbox.drop_first()
        if not isinstance(header, Bye):
            assert pcm is not None
            told.append((header.first_sample, header.n_lost, int(pcm[0, 0])))
    return told


def test_a_full_outbox_of_live_audio_drops_the_older_half_in_one_run() -> None:
    clock = CaptureClock(RATE)
    stream, outbox = stream_of(clock), Outbox(live=True)
    fill(outbox, stream, clock, 25)
    assert len(outbox) == 25, "two seconds are kept"
    fill(outbox, stream, clock, 1)
    told = unpack(outbox)
    assert told[0] == (14 * 1280, 14 * 1280, 14 * 1280)
    assert told[1:] == [(i * 1280, 0, i * 1280) for i in range(15, 26)]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(0, 12))
def test_whatever_is_dropped_is_told_by_the_next_block(bursts: list[int], n_taken: int) -> None:
    clock = CaptureClock(RATE)
    stream, outbox = stream_of(clock), Outbox(live=True)
    taken = []
    for n_blocks in bursts:
        fill(outbox, stream, clock, n_blocks)
        assert len(outbox) * 1280 <= MOST_SECONDS * RATE
        for _ in range(min(n_taken, len(outbox))):
            header, _ = decode_said(outbox.first())
            outbox.drop_first()
            taken.append(header)
    position = 0
    for header in taken:
        assert header.first_sample == position + header.n_lost
        assert bool(header.n_lost) == ("agent_queue" in header.flags)
        position = header.first_sample + 1280
    rest = unpack(outbox)
    for first_sample, n_lost, _ in rest:
        assert first_sample == position + n_lost
        position = first_sample + 1280
    assert position == sum(bursts) * 1280


def test_one_take_is_shed_and_another_and_the_bye_stay_in_their_places() -> None:
    clock = CaptureClock(RATE)
    outbox = Outbox(live=True)
    small = stream_of(clock)
    want = Want(take="h", block_take="other", sample_rate=8_000, n_samples=640)
    other = BlockStream("kitchen", want, clock)
    for _ in range(25):
        cuts = hear(clock, small, np.zeros(1280), clock.position / RATE)
        for cut in cuts + other.push(np.zeros(1280, np.float32)):
            outbox.add(cut)
    n_before = len(outbox)
    outbox.add(hear(clock, small, np.zeros(1280), clock.position / RATE)[0])
    outbox.add(Bye(sources=("kitchen",), take="h", reason="device", detail="gone"))
    assert len(outbox) == n_before - 14 + 2
    kinds = []
    while outbox:
        kinds.append(decode_said(outbox.first())[0])
        outbox.drop_first()
    assert isinstance(kinds[-1], Bye)
    others = [said for said in kinds[:-1] if said.take == "other"]
    assert others
    assert not any(said.n_lost for said in others)


def test_what_is_not_live_is_never_dropped() -> None:
    clock = CaptureClock(RATE)
    stream, outbox = stream_of(clock), Outbox(live=False)
    fill(outbox, stream, clock, 100)
    assert unpack(outbox) == [(i * 1280, 0, min(i * 1280, 32767)) for i in range(100)]
