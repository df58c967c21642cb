"""What a client has had of each source's numbers, and what it misses. No sockets, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streamd.events import Event, Heartbeat, State
from streamd.gap import Gap
from streamd.history import Newest, Since


@dataclass
class _Place:
    """Where we are in one source's numbers."""

    run: str
    base_seq: int | None
    """What came up to here is not ours to miss; None as long as that is not known."""
    last_seq: int = 0
    """Newest number known: received, or reported as missing."""
    state_seq: int = 0
    """Newest State received."""


class Ledger:
    """Finds what is missing in the numbers of any number of sources.

    The base line of a source is its first Event or Heartbeat; a State is none, because it may be the
    last one sent again. A source that was known and begins a new run is counted from that run's start.
    Who reads history first has its base line there. A run that another one has followed is over: what was
    waiting of it while history was read is in that, too.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], _Place] = {}
        self._resumed: dict[tuple[str, str], int] = {}
        self._over: set[str] = set()
        """Runs that another one has followed."""
        self._run_of_history = ""
        self._goes_on = False
        """Whether there was an earlier life, which had all States that are older than history's answer."""
        self._first_base: int | None = None
        self._is_order_known = True
        """Whether a run that comes on the wire is known to be over, or not older than those of history."""

    def resume(self, run: str, source: str, seq: int) -> None:
        """What came up to this number of a run was had in an earlier life of the client."""
        self._resumed[run, source] = seq
        self._run_of_history = run
        self._goes_on = True

    def settle(self, newest: Iterable[Newest]) -> None:
        """History was read to its end: what it has of sources that were not in it is older than was asked for.

        From now on, all of a source that history knows nothing of is ours.
        """
        self._first_base = 0
        self._is_order_known = False
        if self._goes_on:
            for place in self._places.values():
                place.state_seq = max(place.state_seq, place.base_seq or 0)
        for each in newest:
            # What was had of a run that was resumed may not be stored yet.
            seq = max(each.seq, self._resumed.get((each.run, each.source), 0))
            place = _Place(each.run, seq, seq, state_seq=seq if self._goes_on else 0)
            self._places.setdefault((each.host, each.source), place)

    def is_unclear(self, message: Event | State | Heartbeat) -> bool:
        """Tell whether nobody here knows if the run of a message came before or after what history showed.

        So it is with what waited while history was read, if its run said nothing since the time that was asked for.
        """
        if self._is_order_known or message.run in self._over:
            return False
        return any(place.run not in {message.run, *self._over} for place in self._places.values())

    def clear(self, run: str, *, is_over: bool) -> None:
        """Note whether another run has followed one that was unclear."""
        if is_over:
            self._over.add(run)
        else:
            self._is_order_known = True

    def before(self, message: Event | State | Heartbeat) -> Since | None:
        """Return what to ask for what the source of a message said before its run, as far as that was not had; or None.

        It is the end of the run that this message ends, and runs in between; or all, if the source is newer than the
        history that was read: its first runs may have come and gone while nothing was heard.
        """
        if message.run in self._over:
            return None
        place = self._places.get((message.host, message.source))
        resumed = next(((run, seq) for (run, source), seq in self._resumed.items() if source == message.source), None)
        if place is not None:
            had = None if place.base_seq is None else (place.run, place.last_seq)
        elif resumed is not None:
            had = resumed
        else:
            is_new = self._first_base == 0 and all(source != message.source for _, source in self._places)
            return Since(sources=[message.source]) if is_new else None
        if had is None or had[0] == message.run:
            return None
        return Since(after=f"{had[0]}-{message.source}-{had[1]}", only_if_known=True, sources=[message.source])

    def enter(self, message: Event | State | Heartbeat, *, is_past: bool = False) -> tuple[Gap | None, bool]:
        """Return what this message shows to be missing, and whether it is news (not one sent again).

        is_past: it is from history, in its order, where nothing is sent again.
        """
        if message.run in self._over:
            return None, is_past
        self._is_order_known = self._is_order_known or not is_past
        if is_past and message.run != self._run_of_history:
            self._over.add(self._run_of_history)
            self._run_of_history = message.run
        key = (message.host, message.source)
        place = self._places.get(key)
        if place is None or place.run != message.run:
            if place is not None:
                self._over.add(place.run)
            place = self._places[key] = self._begin(message, is_known=place is not None)
        if isinstance(message, Heartbeat):
            return self._advance(place, message, message.last_seq, message.last_seq), True
        is_repeat = message.seq <= place.last_seq
        if isinstance(message, State):
            # One from before the base line is in no Gap, so it is news to whoever has no newer one.
            is_early = message.seq <= (place.base_seq or 0) and not is_past
            is_repeat = message.seq <= place.state_seq or (is_repeat and not is_early)
            place.state_seq = max(place.state_seq, message.seq)
            if place.base_seq is None and not is_past:
                return None, not is_repeat
        return self._advance(place, message, message.seq - 1, message.seq), not is_repeat

    def _begin(self, message: Event | State | Heartbeat, *, is_known: bool) -> _Place:
        resumed = self._resumed.pop((message.run, message.source), None)
        if resumed is not None:
            return _Place(message.run, resumed, resumed, resumed)
        if any(source == message.source for _, source in self._resumed):  # a later run of one that was had before
            self._resumed = {place: seq for place, seq in self._resumed.items() if place[1] != message.source}
            is_known = True
        return _Place(message.run, base_seq=0 if is_known else self._first_base)

    def _advance(self, place: _Place, message: Event | State | Heartbeat, before: int, last: int) -> Gap | None:
        """Move on to the number `last`, all up to `before` being published earlier; return what that skips."""
        gap = None
        if place.base_seq is None:
            place.base_seq = place.last_seq = last
        elif before > place.last_seq:
            gap = Gap(source=message.source, run=place.run, first_seq=place.last_seq + 1, last_seq=before)
        place.last_seq = max(place.last_seq, last)
        return gap
