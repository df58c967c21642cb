"""Is there a signal at all? What a source sounds like when its microphone, cable or sound system is at fault.

A source that is "live" may still hear nothing: a muted input gives zeros, a hung converter one value for ever. Here
a block is looked at now and then, for what no room sounds like. Nothing here changes what the models hear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamd.events import SignalProblem

LOOK_SECONDS = 5.0
"""One block in so long is looked at: each of them would cost a tenth of what hearing it costs, and tell no more."""
FLAT_RANGE = 1
"""Lowest and highest sample of audio that is no sound: they differ by no more than rounding does."""
SILENT_SECONDS = 120.0
"""Among real recordings there is one with a minute of zeros in its middle."""
STUCK_SECONDS = 20.0
SOUND_SECONDS = 10.0
"""So long must sound go on until silence is over: a click does not end it."""
MEAN_SECONDS = 30.0
"""Time constant of the means of offset and clipping."""
DC_RAISE, DC_CLEAR, DC_SECONDS = 0.12, 0.08, 600.0
"""Mean of the samples, as a part of full scale. Among real recordings are some of people with 0.08, and some music has
0.4 for minutes: a fault does not go away."""
FULL_SCALE = 32_440
"""A sample at or beyond this, 0.1 dB below full scale, is clipped: resampling leaves no plateau quite flat."""
CLIPPED_PART = 0.01
"""Part of the samples that makes a look a clipped one. Music that was made as loud as can be has half of it."""
CLIPPED_RAISE, CLIPPED_CLEAR, CLIPPED_SECONDS = 0.3, 0.1, 300.0
"""Part of the looks: whoever shouts into a microphone stops after a while."""
DAY_SECONDS = 86_400.0
"""Audio that must have been heard until a level is usual or not: nights are quiet."""
FORGET_SECONDS = 56 * DAY_SECONDS
"""A level that was heard once is forgotten in about so long: after a weekend, or two weeks without anybody, a hall is
as loud again as it was."""
MINUTE_SECONDS = 60.0
LEVEL_MARGIN_DB = 12.0
"""Beyond the quietest and the loudest minute of the days before."""
LEVEL_SECONDS = 900.0
"""So long must each minute lie beyond; within about a day of it, it is usual."""
LOWEST_DB = -100.0

_WORDS: dict[SignalProblem, str] = {
    "silent": "digital silence: every sample is 0; is the input muted?",
    "stuck": "every sample is the same: the converter or its driver hangs",
    "dc": "offset (DC) of {dc:.0%} of full scale: the input is faulty or not connected",
    "clipping": "clipped {clipped:.0%} of the time: turn the input down",
    "dead_channel": "no signal on channel {channels}: half a microphone, or a loose cable",
    "level": "{level:.0f} dB, usual is {low:.0f} to {high:.0f} dB: was the microphone moved, covered or turned?",
}


@dataclass
class _Held:
    """What was seen for long enough to be believed, and is believed until it was not seen for long enough."""

    raise_seconds: float
    clear_seconds: float
    is_on: bool = False
    _against: float = 0.0

    def look(self, is_seen: bool, seconds: float) -> None:
        if is_seen == self.is_on:
            self._against = 0.0
            return
        self._against += seconds
        if self._against >= (self.clear_seconds if self.is_on else self.raise_seconds):
            self.is_on = is_seen
            self._against = 0.0


class Signal:
    """The health of one source's signal."""

    def __init__(self) -> None:
        self.problems: tuple[SignalProblem, ...] = ()
        """What is wrong with it now."""
        self._usual = _Usual()
        self.begin(0)

    def begin(self, sample_rate: int) -> None:
        """A take begins: nothing is known of its signal but what level is usual here."""
        self.problems = ()
        self._look_samples = max(1, round(LOOK_SECONDS * sample_rate))
        self._sample_rate = max(1, sample_rate)
        self._silent = _Held(SILENT_SECONDS, SOUND_SECONDS)
        self._stuck = _Held(STUCK_SECONDS, SOUND_SECONDS)
        self._dc = _Held(DC_SECONDS, LOOK_SECONDS)
        self._clipping = _Held(CLIPPED_SECONDS, LOOK_SECONDS)
        self._mean = self._clipped = 0.0
        self._dead_channels: Sequence[int] = ()
        self._n_unseen = 0

    def hear(self, pcm: NDArray[np.int16], dead_channels: Sequence[int] = ()) -> bool:
        """Take in a block, shape (n_samples,); dead_channels are those its agent names. Tell if `problems` changed."""
        self._n_unseen += len(pcm)
        if self._n_unseen < self._look_samples:
            return False
        was = self.problems
        self._look(pcm, self._n_unseen / self._sample_rate, dead_channels)
        self._n_unseen = 0
        return self.problems != was

    def _look(self, pcm: NDArray[np.int16], seconds: float, dead_channels: Sequence[int]) -> None:
        """Judge by one block all that came since the last look, so many seconds."""
        low, high = int(pcm.min()), int(pcm.max())
        samples = pcm.astype(np.float32)
        mean, power = float(samples.mean()), float(samples @ samples) / len(pcm)
        is_clipped = False
        if high >= FULL_SCALE or low <= -FULL_SCALE:
            n_clipped = np.count_nonzero((pcm >= FULL_SCALE) | (pcm <= -FULL_SCALE))
            is_clipped = bool(n_clipped > CLIPPED_PART * len(pcm))
        self._dead_channels = dead_channels
        is_flat = high - low <= FLAT_RANGE
        is_zero = is_flat and -FLAT_RANGE <= low <= FLAT_RANGE
        self._silent.look(is_zero, seconds)
        self._stuck.look(is_flat and not is_zero, seconds)
        part = 1 - math.exp(-seconds / MEAN_SECONDS)
        self._mean += part * (mean / 32768 - self._mean)
        self._clipped += part * (is_clipped - self._clipped)
        self._dc.look(abs(self._mean) > (DC_CLEAR if self._dc.is_on else DC_RAISE), seconds)
        limit = CLIPPED_CLEAR if self._clipping.is_on else CLIPPED_RAISE
        self._clipping.look(self._clipped > limit, seconds)
        if not is_flat:
            self._usual.hear(max(0.0, power - mean**2), seconds)
        is_stuck = self._stuck.is_on
        found: dict[SignalProblem, bool] = {
            "silent": self._silent.is_on,
            "stuck": is_stuck,
            "dc": self._dc.is_on and not is_stuck,  # it says it all
            "clipping": self._clipping.is_on and not is_stuck,
            "dead_channel": bool(self._dead_channels),
            "level": self._usual.is_far.is_on and not self._silent.is_on and not is_stuck,
        }
        self.problems = tuple(name for name, is_on in found.items() if is_on)

    def words(self) -> list[str]:
        """Return what is wrong, for people, a line for each problem."""
        return [
            _WORDS[problem].format(
                dc=abs(self._mean),
                clipped=self._clipped,
                channels=", ".join(map(str, self._dead_channels)),
                level=self._usual.level,
                low=self._usual.low,
                high=self._usual.high,
            )
            for problem in self.problems
        ]


class _Usual:
    """Which levels are usual here: those of the minutes of a day, slowly forgotten. In dB relative to full scale."""

    def __init__(self) -> None:
        self.level = LOWEST_DB
        """The newest minute's."""
        self.low, self.high = math.inf, -math.inf
        self.is_far = _Held(LEVEL_SECONDS, LEVEL_SECONDS / 3)
        self._heard = self._seconds = self._power = 0.0

    def hear(self, power: float, seconds: float) -> None:
        """Take in the mean square of some audio, its offset left out."""
        self._power += power * seconds
        self._seconds += seconds
        if self._seconds >= MINUTE_SECONDS:
            self.level = max(LOWEST_DB, 10 * math.log10(max(self._power / self._seconds, 1e-9) / 32768**2))
            self._judge(self._seconds)
            self._seconds = self._power = 0.0

    def _judge(self, seconds: float) -> None:
        is_far = not self.low - LEVEL_MARGIN_DB <= self.level <= self.high + LEVEL_MARGIN_DB
        if self._heard < DAY_SECONDS:
            self._heard += seconds
            self.low, self.high = min(self.low, self.level), max(self.high, self.level)
            return
        self.is_far.look(is_far, seconds)
        learned = seconds / DAY_SECONDS if is_far else 1.0
        forgotten = seconds / FORGET_SECONDS
        self.low += (learned if self.level < self.low else forgotten) * (self.level - self.low)
        self.high += (learned if self.level > self.high else forgotten) * (self.level - self.high)
