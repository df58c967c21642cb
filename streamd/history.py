"""Contract of history: questions to the journal and its answers, one JSON frame each, page by page.

The journal holds a ROUTER, the asker a DEALER or REQ. What was published comes back as it was: the same CloudEvents
objects, in the order of their publication.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from streamd.errors import MessageError
from streamd.events import BROKEN_JSON, Event, State, Time

MOST_ON_A_PAGE = 500
"""Messages of one answer; a page may have fewer though more follow."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class Since(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="since"):
    """What was published since a time, or after a message, of all sources or some?

    The first page begins with `time` or `after`; every further one with the `next` of the page before it.
    """

    ref: _Count = 0
    """Comes back in the answer."""
    time: Time | None = None
    """From the first message on whose own time is not before this; null, with `after` null too: from the oldest on."""
    after: str | None = None
    """The id of a message: what was published after it. If the journal has it not yet, after the newest of its run; if
    it has it no more, from the oldest on."""
    only_if_known: bool = False
    """If the journal has the message in `after` no more, nor one that followed it in its run: nothing instead."""
    cursor: _Count | None = None
    """`next` of the page before; then `time` and `after` count no more."""
    sources: Annotated[Sequence[str], msgspec.Meta(max_length=4096)] | None = None


class Missing(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="missing"):
    """What has these numbers, of one source and run?"""

    ref: _Count = 0
    run: str
    source: str
    first_seq: _Count
    last_seq: _Count | None = None
    """Inclusive; null: to the end of the run."""


class Newest(msgspec.Struct, frozen=True, kw_only=True):
    """The newest message that the journal has of a source."""

    run: str
    host: str
    source: str
    seq: int


class Page(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="page"):
    """Messages, in the order of their publication; of `missing`, in that of their numbers."""

    ref: int
    messages: Sequence[msgspec.Raw]
    """CloudEvents objects, as they were published."""
    next: int | None
    """To ask for the next page with: the cursor of `since`, the first_seq of `missing`; null: nothing follows now."""
    newest: Sequence[Newest]
    """With the last page: where the journal is. Later numbers are not stored yet, earlier ones never will be."""


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="refused"):
    """The journal can't answer, and says why."""

    reason: str
    ref: int = 0


Request = Since | Missing
Answer = Page | Refused

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_answers: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


def encode(message: Request | Answer) -> bytes:
    """Return a request or an answer as its JSON frame."""
    return _encoder.encode(message)


def decode_request(frame: bytes) -> Request:
    """Return the request in a frame; raises MessageError if it is none."""
    try:
        return _requests.decode(frame)
    except BROKEN_JSON as error:
        raise MessageError(
            f"request that is not understood: {error}; expected {{'ask': 'since'}} or 'missing'"
        ) from error


def decode_answer(frame: bytes) -> Answer:
    """Return the answer in a frame; raises MessageError if it is none."""
    try:
        return _answers.decode(frame)
    except BROKEN_JSON as error:
        raise MessageError(f"answer that is not understood: {error}") from error


def message_id(message: Event | State) -> str:
    """Return the CloudEvents id of a message, which names its place: run, source and number."""
    return f"{message.run}-{message.source}-{message.seq}"


def place_of(text: str) -> tuple[str, str, int]:
    """Return run, source and number of a message's id; raises MessageError if it is none of an event or state."""
    run, _, rest = text.partition("-")
    source, _, seq = rest.rpartition("-")
    if not run or not source or not seq.isdecimal() or len(seq) > 18:
        raise MessageError(f"id {text!r}: expected that of an event or a state, RUN-SOURCE-NUMBER")
    return run, source, int(seq)
