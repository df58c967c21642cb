"""What a subscriber missed, fetched from the journal in its order; a Gap is what no journal has.

Questions wait in a line, and what comes after them on the wire waits too. Numbers that the journal does not have yet,
but will, are asked for again; so is everything while it is not there, for a while.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass

import msgspec

from streamd.errors import EndpointError, MessageError
from streamd.events import Event, Heartbeat, Message, State, decode
from streamd.gap import Gap
from streamd.history import Missing, Page, Refused, Since
from streamd.ledger import Ledger
from streamd.past import Past

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""How long a Gap may wait for a journal; what comes after it waits as well."""
SHORT_PATIENCE_SECONDS = 0.25
"""The same, as long as the journal has left the last question unanswered."""
SINCE_PATIENCE_SECONDS = 10.0
"""How long a daemon that is heard may leave it open what it said before."""
PAUSE_SECONDS = 0.05
"""Before numbers that are not stored yet are asked for again."""

Found = tuple[Message | Gap, bytes]


@dataclass
class _Question:
    request: Since | Missing
    give_up_at: float | None
    """Monotonic; None: it has not begun to count."""
    before_run: str = ""
    """Of a Since: the run at which it ends."""
    of_run: str = ""
    """Of a Since: the run of which it asks whether another one has followed."""
    refusal: str = ""
    """Why the journal did not answer it when it was asked last, in words."""

    @property
    def is_first(self) -> bool:
        """Whether it is what a client begins with."""
        return isinstance(self.request, Since) and not (self.before_run or self.of_run)


class Recovery:
    """Questions to one journal; nothing in here waits."""

    def __init__(self, past: Past, ledger: Ledger) -> None:
        self.past = past
        self.is_kept = True
        """Whether there is a journal, as far as the daemon has said."""
        self._ledger = ledger
        self._questions: deque[_Question] = deque()
        self._is_asked = False
        self._ask_at = 0.0
        self._is_silent = False

    @property
    def is_busy(self) -> bool:
        """Whether something is still to be found."""
        return bool(self._questions)

    def want_since(self, request: Since) -> None:
        """Ask for all since a time or a message, before anything else."""
        self._questions.append(_Question(request, None))

    def want(self, gap: Gap) -> None:
        """Ask for numbers of a run."""
        request = Missing(run=gap.run, source=gap.source, first_seq=gap.first_seq, last_seq=gap.last_seq)
        self._questions.append(_Question(request, None))

    def want_before(self, run: str, request: Since) -> None:
        """Ask for what a source said before a run: nobody here knows how much."""
        self._questions.append(_Question(request, None, run))

    def want_order(self, message: Event | State | Heartbeat) -> None:
        """Ask whether another run has followed the one of a message."""
        seq = message.last_seq if isinstance(message, Heartbeat) else message.seq
        request = Since(after=f"{message.run}-{message.source}-{seq}", only_if_known=True)
        self._questions.append(_Question(request, None, of_run=message.run))

    def work(self, *, daemon_is_there: bool) -> list[Found]:
        """Do what can be done now, and return what was found, in its order.

        Raises:
            EndpointError: nobody answers what was said since a time, though its daemon is there.
        """
        if not self._questions:
            return []
        question = self._questions[0]
        if question.give_up_at is None and daemon_is_there:
            question.give_up_at = time.monotonic() + self._patience(question)
        if not self._is_asked and time.monotonic() >= self._ask_at:
            self.past.ask(question.request)
            self._is_asked = True
        answer = self.past.answer() if self._is_asked else None
        if isinstance(answer, Page):
            self._is_silent = False
            self._is_asked = False
            if question.before_run and isinstance(question.request, Since):
                return self._heard_between(question, question.request, answer)
            if question.of_run and isinstance(question.request, Since):
                return self._heard_order(question, question.request, answer)
            if isinstance(question.request, Since):
                return self._heard_since(question, question.request, answer)
            return self._heard_missing(question, question.request, answer)
        if isinstance(answer, Refused):
            question.refusal = f"; {answer.reason}"
            self._again(question.request)
        if question.give_up_at is not None and time.monotonic() >= question.give_up_at:
            return self._give_up(question)
        return []

    def _patience(self, question: _Question) -> float:
        if question.is_first:
            return SINCE_PATIENCE_SECONDS
        if not self.is_kept:
            return 0.0
        return SHORT_PATIENCE_SECONDS if self._is_silent else PATIENCE_SECONDS

    def _again(self, request: Since | Missing) -> None:
        self._questions[0].request = request
        self._is_asked = False
        self._ask_at = time.monotonic() + PAUSE_SECONDS

    def _done(self) -> None:
        self._questions.popleft()
        self._is_asked = False
        self._ask_at = 0.0

    def _give_up(self, question: _Question) -> list[Found]:
        request, why = question.request, question.refusal
        if question.is_first:
            raise EndpointError(f"{self.past.endpoint}: a daemon is there, but no history{why}; is its journal off?")
        if question.of_run:
            self._ledger.clear(question.of_run, is_over=False)
        elif isinstance(request, Since) and self.is_kept:
            log.warning(
                "%s: what was published %s, before the next run, is not known: no answer%s",
                self.past.endpoint,
                f"after {request.after}" if request.after else f"of {request.sources}",
                why,
            )
        self._is_silent = True
        self._done()
        return _gap(request) if isinstance(request, Missing) else []

    def _heard_since(self, question: _Question, request: Since, page: Page) -> list[Found]:
        found: list[Found] = []
        for message, payload in _messages(page):
            gap, is_news = self._ledger.enter(message, is_past=True)
            if gap is not None:
                found.append((gap, b""))
            if is_news:
                found.append((message, payload))
        if page.next is None:
            self._ledger.settle(page.newest)
            self._done()
        else:
            question.request = msgspec.structs.replace(request, cursor=page.next)
            question.give_up_at = None
        return found

    def _heard_between(self, question: _Question, request: Since, page: Page) -> list[Found]:
        found: list[Found] = []
        for message, payload in _messages(page):
            if message.run == question.before_run:
                self._done()
                return found
            found.append((message, payload))
        if page.next is None:
            self._done()
        else:
            question.request = msgspec.structs.replace(request, cursor=page.next)
            question.give_up_at = None
        return found

    def _heard_order(self, question: _Question, request: Since, page: Page) -> list[Found]:
        is_over = any(message.run != question.of_run for message, _ in _messages(page))
        if is_over or page.next is None:
            self._ledger.clear(question.of_run, is_over=is_over)
            self._done()
        else:
            question.request = msgspec.structs.replace(request, cursor=page.next)
        return []

    def _heard_missing(self, question: _Question, request: Missing, page: Page) -> list[Found]:
        found: list[Found] = []
        first = request.first_seq
        for message, payload in _messages(page):
            if message.seq > first:
                found += _gap(msgspec.structs.replace(request, first_seq=first, last_seq=message.seq - 1))
            found.append((message, payload))
            first = message.seq + 1
        rest = msgspec.structs.replace(request, first_seq=first)
        if page.next is not None:
            question.request = rest
            question.give_up_at = None
        elif request.last_seq is None or first > request.last_seq:
            self._done()
        elif max((each.seq for each in page.newest), default=0) < request.last_seq and self.is_kept:
            self._again(rest)  # it will have them soon
        else:
            self._done()
            found += _gap(rest)
        return found


def _messages(page: Page) -> list[tuple[Event | State, bytes]]:
    found = []
    for raw in page.messages:
        try:
            message = decode(bytes(raw))
        except MessageError:  # of a later version, or whoever wrote it is no journal: its number stays missing
            continue
        if isinstance(message, Event | State):
            found.append((message, bytes(raw)))
    return found


def _gap(request: Missing) -> list[Found]:
    if request.last_seq is None or request.last_seq < request.first_seq:
        return []
    gap = Gap(source=request.source, run=request.run, first_seq=request.first_seq, last_seq=request.last_seq)
    return [(gap, b"")]
