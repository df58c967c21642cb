"""One take at one sample rate: pieces of native audio in, dated blocks out."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamd.blocks import Block, Want
from streamd.capture.clock import CaptureClock
from streamd.capture.resample import Resampler
from streamd.events import ClockReport
from streamd.wall import WallClock

CLOCK_SECONDS = 5.0
"""What is known of the clocks is told this often."""


class Cut(NamedTuple):
    """A block that is ready."""

    header: Block
    pcm: NDArray[np.int16]
    """Shape (n_samples,)."""


class BlockStream:
    """Resamples and cuts what an input captures from now on into blocks, as a `Want` asks for them."""

    def __init__(self, source: str, want: Want, clock: CaptureClock, wall: WallClock | None = None) -> None:
        """The next sample of the input is the first of the take.

        Args:
            source: name of the source.
            want: the format.
            clock: the input's; it dates the blocks.
            wall: the host's, watched since its agent started; None: from now on.
        """
        self.want = want
        self._source = source
        self._clock = clock
        self._wall = wall or WallClock()
        self._told_at = float("-inf")
        self._n_told_changes = 0
        self._first_native = clock.position
        self._resampler = Resampler(clock.sample_rate, want.sample_rate)
        self._pcm = np.zeros(0, np.int16)
        """What is not yet a whole block."""
        self._position = 0
        """Position of the first sample in _pcm."""
        self._n_lost = 0
        self._flags: tuple[Literal["microphone"], ...] = ()
        self._dead_channels: tuple[int, ...] = ()
        self._newest = float("-inf")

    @property
    def n_lacking(self) -> int:
        """Native samples to read until the next block is whole; never 0.

        A resampler gives what it has in lumps. What it may hold back is read along with the block: a block that
        took several reads would cost several wake-ups.
        """
        n_samples = self.want.n_samples - len(self._pcm) + self._resampler.most_held - self._resampler.n_held
        return -(-n_samples * self._clock.sample_rate // self.want.sample_rate)

    def push(self, samples: NDArray[np.float32], dead_channels: tuple[int, ...] = ()) -> list[Cut]:
        """Return the blocks that native samples, shape (n_samples,), complete."""
        self._dead_channels = dead_channels
        return self._cut(self._resampler.push(samples), whole=True)

    def lose(self, position: int) -> list[Cut]:
        """Note that the input lost samples, and goes on at a native position.

        Returns:
            What was captured before, whose last block may be short.
        """
        before = self.finish()
        self._resampler = Resampler(self._clock.sample_rate, self.want.sample_rate)
        goes_on = -(-(position - self._first_native) * self.want.sample_rate // self._clock.sample_rate)
        n_lost = max(1, goes_on - self._position)
        self._position += n_lost
        self._n_lost += n_lost
        self._flags = ("microphone",)
        return before

    def finish(self) -> list[Cut]:
        """Return what is left, as blocks of which the last may be short."""
        return self._cut(self._resampler.finish(), whole=False)

    def _cut(self, pcm: NDArray[np.int16], whole: bool) -> list[Cut]:
        self._pcm = np.concatenate([self._pcm, pcm]) if len(self._pcm) else pcm
        n_samples = self.want.n_samples
        cuts = []
        while len(self._pcm) >= (n_samples if whole else 1):
            block, self._pcm = self._pcm[:n_samples], self._pcm[n_samples:]
            cuts.append(Cut(self._header(), block))
            self._position += len(block)
            self._n_lost, self._flags = 0, ()
        return cuts

    def _header(self) -> Block:
        native = self._first_native + self._position * self._clock.sample_rate / self.want.sample_rate
        # A fit that improves may date a block before the one before it.
        self._newest = max(self._newest, self._clock.monotonic(native))
        offset = self._wall.look()
        return Block(
            sources=(self._source,),
            take=self.want.block_take,
            first_sample=self._position,
            sample_rate=self.want.sample_rate,
            captured_at=self._newest + offset,
            monotonic=self._newest,
            n_lost=self._n_lost,
            flags=self._flags,
            dead_channels=self._dead_channels,
            clock=self._clock_report(),
        )

    def _clock_report(self) -> ClockReport | None:
        """Return what is known of the clocks, if it is time to tell it."""
        if self._newest - self._told_at < CLOCK_SECONDS and self._wall.n_changes == self._n_told_changes:
            return None
        self._told_at, self._n_told_changes = self._newest, self._wall.n_changes
        return self._wall.report(self._clock.drift_ppm())
