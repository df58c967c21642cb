"""Contract in: what a capture agent and the daemon say to each other.

The agent holds a ZeroMQ DEALER, the daemon a ROUTER. A message is one JSON frame whose field
"kind" tells which of the structs below it is; a block has its PCM as a second frame.

    agent                                   daemon
    hello ────────────────────────────────▶
          ◀──────────────────────────────── want (one for each rate its models need), or refuse
    block, block, … ──────────────────────▶
    waiting (no device yet) or bye ───────▶
          ◀──────────────────────────────── done, to a bye
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamd.errors import MessageError
from streamd.events import BROKEN_JSON, SOURCE_NAME, ClockReport

FORMAT = 1
"""Version of this contract; a daemon refuses an agent of another."""

MAX_BLOCK_BYTES = 8 << 20
"""A larger PCM frame is refused."""

LONGEST_BLOCK_SECONDS = 1.0
"""No block is wanted that lasts longer: who brings none hangs, and that must be seen soon. One that does, and
is longer than was wanted, is refused."""

MAX_TEXT = 1000
"""Characters of a text; a name that is longer is refused, what is for people is cut off there."""

MAX_HEADER_BYTES = 64 << 10
"""A larger JSON frame is refused unread."""

MAX_SOURCES = 256
"""Sources of one agent."""

MAX_DEAD_CHANNELS = 64
"""So many are named; an input may have more."""

_MAX_NAMES_KEPT = 16
_Name = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
_Sources = Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_SOURCES)]
_Channel = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
_MAX_SAMPLE = 2**53  # exact in a float, and far from the end of an int64
_MAX_SECONDS = 1e11  # about the year 5000: beyond it, times can't be written
_MIN_SECONDS = -1e9  # a host that boots in 1970 captures before it


class _Kind(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    v: int = FORMAT


class Hello(_Kind, frozen=True, kw_only=True, tag="hello"):
    """An agent offers a new take of its sources. The latest accepted hello of a source wins."""

    sources: _Sources
    """Names of the sources, at most MAX_SOURCES; more than one share a take and lie side by side in the PCM."""
    take: _Name
    """Fresh for every hello that begins a new capture."""
    host: _Name
    clock_id: _Name
    """The same for all processes that share one monotonic clock (the boot id, where there is one)."""
    device: str
    """What is captured, in words: a microphone's name, a file, a command."""
    native_rate: int
    """Sample rate before resampling, in Hz."""
    live: bool
    """True if audio arrives whether it is fetched or not; what is not live waits and is never shed."""


class Want(_Kind, frozen=True, kw_only=True, tag="want"):
    """The daemon asks for blocks of a format. One hello may be answered by several, one a rate.

    A want that differs from the one before, for the same hello and rate, ends the take: its agent says hello anew.
    """

    take: str
    """The hello's take: which hello this answers."""
    block_take: str
    """The take that blocks of this format carry."""
    sample_rate: int
    n_samples: int
    """Samples a block."""


class Refuse(_Kind, frozen=True, kw_only=True, tag="refuse"):
    """The daemon will take no blocks of this take, and says why."""

    take: str
    """The hello's take or a block's; empty where a message was not understood."""
    reason: str


class Done(_Kind, frozen=True, kw_only=True, tag="done"):
    """The daemon has all of a take, its bye included: an agent that would end may end now.

    Without it the tail of a take could be lost: ZeroMQ drops what its receiver has not yet taken in
    when the sender goes away.
    """

    take: str
    """The bye's take."""


class Waiting(_Kind, frozen=True, kw_only=True, tag="waiting"):
    """The agent lives, but has no device to hear with; it keeps trying."""

    sources: _Sources
    detail: str


class Bye(_Kind, frozen=True, kw_only=True, tag="bye"):
    """The last message of a take."""

    sources: _Sources
    take: _Name
    reason: Literal["end", "device", "shutdown"]
    """end: the recording or command is over; device: it went away; shutdown: the agent was stopped."""
    detail: str


class Block(_Kind, frozen=True, kw_only=True, tag="block"):
    """Header of a block. The PCM frame holds int16 little-endian, shape (n_samples, n_sources).

    A block has as many samples as were wanted; one that is longer than that, and than a second, is refused.
    """

    sources: _Sources
    take: _Name
    """block_take of the want."""
    first_sample: int
    """Position of the first sample in the take at sample_rate; lost samples count."""
    sample_rate: int
    captured_at: float
    """Fitted wall time of the first sample, in seconds since 1970."""
    monotonic: float
    """Fitted time of the first sample on the agent's monotonic clock, in seconds."""
    n_lost: int = 0
    """Samples lost right before this block (first_sample has moved on by as many)."""
    flags: tuple[Literal["agent_queue", "microphone"], ...] = ()
    """Why samples were lost."""
    dead_channels: Annotated[tuple[_Channel, ...], msgspec.Meta(max_length=MAX_DEAD_CHANNELS)] = ()
    """Channels of the input, counted from 1, that have no signal while another has, MAX_DEAD_CHANNELS of them at most.
    What is sent is the mean of all."""
    clock: ClockReport | None = None
    """What is known of the host's clocks: in the first block of a take, when that changes, and now and then."""


Pcm = NDArray[np.int16]
"""Samples of a block, shape (n_samples, n_sources)."""

Said = Hello | Waiting | Bye | Block
"""What an agent says."""
Answered = Want | Refuse | Done
"""What the daemon answers."""

_encoder = msgspec.json.Encoder()
_said: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)
_answered: msgspec.json.Decoder[Answered] = msgspec.json.Decoder(Answered)


def block_take(take: str, sample_rate: int) -> str:
    """Return the take that blocks of one rate carry: the same for all sources of an agent."""
    return f"{take}-{sample_rate}"


def encode(message: Said | Answered) -> bytes:
    """Return a message as its JSON frame."""
    return _encoder.encode(message)


def encode_block(header: Block, pcm: NDArray[np.int16]) -> list[bytes]:
    """Return the two frames of a block; pcm has shape (n_samples,) or (n_samples, n_sources)."""
    return [encode(header), pcm.astype("<i2", copy=False).tobytes()]


def decode_answer(frames: list[bytes]) -> Answered:
    """Return what the daemon said.

    Raises:
        MessageError: it is no want, refuse or done.
    """
    try:
        return _answered.decode(frames[0])
    except (*BROKEN_JSON, IndexError) as error:
        raise MessageError(f"answer that an agent does not understand: {error}") from error


def _for_people(message: Hello | Waiting | Bye) -> Hello | Waiting | Bye:
    """Make one short line of the text that people will read, without what a terminal would obey."""
    field = "device" if isinstance(message, Hello) else "detail"
    text = getattr(message, field)
    plain = "".join(each if each.isprintable() else " " for each in text[:MAX_TEXT])
    return message if plain == text else msgspec.structs.replace(message, **{field: plain})


def _check_names(sources: tuple[str, ...]) -> None:
    """Raise MessageError if something is wrong with the names in a message."""
    if not sources or len(set(sources)) != len(sources):
        raise MessageError("message without sources, or with one twice")
    for name in sources:
        if not SOURCE_NAME.fullmatch(name):
            raise MessageError(f"source name {name[:80]!r}; expected lower-case letters, digits and -, at most 63")


# An agent says the same names in every block. What is refused is not kept: strangers could fill the memory with it.
_check_few_names = lru_cache(maxsize=4096)(_check_names)


def decode_said(frames: Sequence[bytes | memoryview]) -> tuple[Said, Pcm | None]:
    """Return what an agent said, and for a block its PCM, shape (n_samples, n_sources).

    Raises:
        MessageError: a header that is too large, unknown kind or version, a field that lacks or is out of range,
            wrong number of frames, or PCM whose length is not a multiple of its sources.
    """
    if frames and len(frames[0]) > MAX_HEADER_BYTES:
        raise MessageError(f"header of {len(frames[0])} bytes; expected {MAX_HEADER_BYTES} at most")
    try:
        message = _said.decode(frames[0])
    except (*BROKEN_JSON, IndexError) as error:
        raise MessageError(f"message that is no hello, waiting, bye or block: {error}") from error
    if message.v != FORMAT:
        raise MessageError(f"format {message.v}; this daemon speaks {FORMAT}: use one version of streamd on both ends")
    (_check_few_names if len(message.sources) <= _MAX_NAMES_KEPT else _check_names)(message.sources)
    if not isinstance(message, Block):
        return _for_people(message), None
    if len(frames) != 2 or not 0 < len(frames[1]) <= MAX_BLOCK_BYTES:
        raise MessageError(f"block of {len(frames)} frames or with no PCM; expected a header and PCM up to 8 MiB")
    if len(frames[1]) % (2 * len(message.sources)):
        raise MessageError(f"PCM of {len(frames[1])} bytes; expected a multiple of {2 * len(message.sources)}")
    is_possible = 0 <= message.first_sample <= _MAX_SAMPLE and 0 <= message.n_lost <= _MAX_SAMPLE
    if not is_possible or not 0 < message.sample_rate <= 768_000:
        raise MessageError("block with an impossible position or sample rate")
    if not (_MIN_SECONDS <= message.captured_at <= _MAX_SECONDS and abs(message.monotonic) <= _MAX_SECONDS):
        raise MessageError("block with an impossible time")
    return message, np.frombuffer(frames[1], "<i2").reshape(-1, len(message.sources))
