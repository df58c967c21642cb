"""Deliveries that are late: has the input lost audio, or does a slow link bring it later?

Both are known by what comes next. What was lost stays lost: after a silence deliveries go on as before, only later by
a lateness that stays. Of a slow link each delivery is later than the last, and then it catches up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

PAUSE_SECONDS = 0.3
"""Deliveries are late that all come later than the fit says by more than this, of a camera or a wireless microphone
that was away for a moment. What a sound system keeps for us comes at once. Deliveries that are no further apart follow
each other."""
PAUSED_SECONDS = 0.5
"""Lateness that came by a silence is believed after this long of deliveries that follow each other …"""
CATCH_UP_SECONDS = 0.01
"""… none of which comes earlier than those before by more than this …"""
GROWTH_SECONDS = 0.03
"""… and of which the later half comes no later than the earlier by more than this. So short a time can't tell a link
that after a silence is slow by a tenth or less: that silence is told as lost, and what it held comes after it."""
CREPT_SECONDS = 3.0
"""Lateness that crept, without a silence, is believed after this long of the same: a program that leaves out audio
here and there. A link that is slow by more than 2 % gets later by more than GROWTH_SECONDS in half of it; one that is
less slow is never late, because the fit looks back on ten seconds."""
LONGEST_SECONDS = 10.0
"""Lateness that still grows is believed after this long all the same: loss must not stay hidden."""


class Loss(NamedTuple):
    """What an input has lost."""

    seconds: float
    fit: float
    """What the fit was before, and is again once this is counted."""


@dataclass
class _Late:
    fit: float
    """What the fit was before."""
    began: float
    has_crept: bool
    since: float = 0.0
    """Since when its deliveries follow each other and none catches up."""
    earlier: float = math.inf
    """Least offset of those of the first half of that time, and …"""
    later: float = math.inf
    """… of the second."""

    def begin_again(self, offset: float, monotonic: float) -> None:
        self.since, self.earlier, self.later = monotonic, offset, math.inf


class Lateness:
    """Follows the offsets of deliveries: when each came, less where it lies in what was delivered."""

    def __init__(self) -> None:
        self._heard_at = 0.0
        self._late: _Late | None = None

    def heard(self, offset: float, fit: float, monotonic: float) -> Loss | None:
        """Return what was lost before a delivery, once that is sure.

        Args:
            offset: of this delivery, in seconds.
            fit: the least that the offset of a delivery in time may be.
            monotonic: when it came.
        """
        follows, self._heard_at = monotonic - self._heard_at <= PAUSE_SECONDS, monotonic
        late = self._late or _Late(fit, monotonic, has_crept=follows, since=monotonic)
        if offset <= late.fit + PAUSE_SECONDS:
            self._late = None
            return None
        self._late = late
        if not follows or offset < min(late.earlier, late.later) - CATCH_UP_SECONDS:
            late.begin_again(offset, monotonic)
            return None
        patience = CREPT_SECONDS if late.has_crept else PAUSED_SECONDS
        if monotonic - late.since < patience / 2:
            late.earlier = min(late.earlier, offset)
            return None
        late.later = min(late.later, offset)
        if monotonic - late.since < patience:
            return None
        grows = late.later > late.earlier + GROWTH_SECONDS
        if grows and monotonic - late.began < LONGEST_SECONDS:
            late.has_crept = True
            late.begin_again(offset, monotonic)
            return None
        self._late = None
        return Loss(min(late.earlier, late.later) - late.fit, late.fit)
