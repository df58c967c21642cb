from __future__ import annotations

import contextlib
import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from streamd import blocks
from streamd.blocks import Answered, Block, Bye, Done, Hello, Refuse, Said, Waiting, Want
from streamd.errors import MessageError
from streamd.events import SOURCE_NAME

positions = st.integers(0, 2**53)
rates = st.integers(1, 768_000)
numbers = st.floats(allow_nan=False, allow_infinity=False)
seconds = st.floats(0, 1e11)
names = st.lists(st.from_regex(SOURCE_NAME, fullmatch=True), min_size=1, max_size=3, unique=True).map(tuple)
texts = st.text(max_size=blocks.MAX_TEXT)
lines = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=blocks.MAX_TEXT)  # each printable
any_hello = st.builds(
    Hello,
    sources=names,
    take=texts,
    host=texts,
    clock_id=texts,
    device=lines,
    native_rate=rates,
    live=st.booleans(),
)
any_block = st.builds(
    Block,
    sources=names,
    take=texts,
    first_sample=positions,
    sample_rate=rates,
    captured_at=seconds,
    monotonic=seconds,
    n_lost=positions,
    flags=st.lists(st.sampled_from(["agent_queue", "microphone"]), max_size=2).map(tuple),
)
any_said: st.SearchStrategy[Said] = st.one_of(
    any_hello,
    st.builds(Waiting, sources=names, detail=lines),
    st.builds(Bye, sources=names, take=texts, reason=st.sampled_from(["end", "device", "shutdown"]), detail=lines),
)
any_answer: st.SearchStrategy[Answered] = st.one_of(
    st.builds(Want, take=st.text(), block_take=st.text(), sample_rate=rates, n_samples=st.integers(1, 2**31)),
    st.builds(Refuse, take=st.text(), reason=st.text()),
    st.builds(Done, take=st.text()),
)
HELLO = Hello(
    sources=("kitchen",),
    take="9c01",
    host="pi",
    clock_id="b007",
    device="USB microphone",
    native_rate=48_000,
    live=True,
)
BYE = Bye(sources=("kitchen",), take="9c01", reason="device", detail="it is gone")
BLOCK = Block(
    sources=("kitchen", "porch"),
    take="9c01-16000",
    first_sample=3_840,
    sample_rate=16_000,
    captured_at=1_767_261_600.25,
    monotonic=12.5,
)
PCM = np.arange(8, dtype=np.int16).reshape(4, 2)


def changed(message: Said, **fields: Any) -> bytes:
    """Return a message's frame with fields set to something else, sound or not."""
    return json.dumps(json.loads(blocks.encode(message)) | fields).encode()


@given(any_said)
def test_decoding_undoes_encoding(message: Said) -> None:
    assert blocks.decode_said([blocks.encode(message)]) == (message, None)


def test_text_for_people_is_made_one_short_line_that_no_terminal_obeys() -> None:
    for message in (changed(HELLO, device="USB\n\x1b[2J\u202e" + 9999 * "e"), changed(BYE, detail="\r\x07gone")):
        said, _ = blocks.decode_said([message])
        text = said.device if isinstance(said, Hello) else said.detail if isinstance(said, Bye) else ""
        assert text.isprintable()
        assert text.startswith(("USB  [2J eee", "  gone"))
        assert len(text) <= blocks.MAX_TEXT


@pytest.mark.parametrize("field", ["take", "host", "clock_id"])
def test_a_name_too_long_to_be_one_is_refused(field: str) -> None:
    with pytest.raises(MessageError, match=field):
        blocks.decode_said([changed(HELLO, **{field: (blocks.MAX_TEXT + 1) * "x"})])


@given(any_answer)
def test_decoding_an_answer_undoes_encoding_it(message: Answered) -> None:
    assert blocks.decode_answer([blocks.encode(message)]) == message


@given(any_block, st.data())
def test_a_block_brings_its_samples(header: Block, data: st.DataObject) -> None:
    pcm = data.draw(arrays.arrays(np.int16, (data.draw(st.integers(1, 50)), len(header.sources))))
    message, received = blocks.decode_said(blocks.encode_block(header, pcm))
    assert message == header
    assert received is not None
    assert received.dtype == np.int16
    np.testing.assert_array_equal(received, pcm)


def test_samples_are_little_endian_and_sources_lie_side_by_side() -> None:
    _, pcm = blocks.encode_block(BLOCK, np.array([[1, -2], [256, 3]], dtype=">i2"))
    assert pcm == b"\x01\x00\xfe\xff\x00\x01\x03\x00"


def test_a_block_of_one_source_may_be_flat() -> None:
    header = Block(sources=("porch",), take="t", first_sample=0, sample_rate=8_000, captured_at=0.0, monotonic=0.0)
    _, received = blocks.decode_said(blocks.encode_block(header, np.array([5, 6], dtype=np.int16)))
    assert received is not None
    assert received.shape == (2, 1)


def test_fields_of_a_later_version_are_ignored() -> None:
    assert blocks.decode_said([changed(HELLO, colour="red")]) == (HELLO, None)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"v": 2}, r"^format 2; this daemon speaks 1: use one version of streamd on both ends$"),
        ({"v": "1"}, "Expected `int`, got `str`"),
        ({"kind": "song"}, "Invalid value 'song'"),
        ({"kind": "want"}, "Invalid value 'want'"),
        ({"sources": []}, "without sources"),
        ({"sources": ["a", "a"]}, "with one twice"),
        ({"sources": ["Kitchen"]}, r"^source name 'Kitchen'; expected lower-case letters, digits and -, at most 63$"),
        ({"sources": ["x" * 64]}, "source name 'xxx"),
        ({"sources": ["a/b"]}, "source name 'a/b'"),
        ({"sources": [""]}, "source name ''"),
        ({"sources": ["kitchen\n"]}, "source name"),
        ({"take": None}, "Expected `str`, got `null`"),
        ({"live": "yes"}, "Expected `bool`, got `str`"),
    ],
)
def test_a_hello_that_breaks_the_contract_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        blocks.decode_said([changed(HELLO, **fields)])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"first_sample": -1}, "impossible position"),
        ({"n_lost": -1}, "impossible position"),
        ({"sample_rate": 0}, "impossible position or sample rate"),
        ({"sample_rate": 768_001}, "impossible position or sample rate"),
        ({"first_sample": 1.5}, "Expected `int`, got `float`"),
        ({"first_sample": 10**30}, "impossible position"),
        ({"n_lost": 10**30}, "impossible position"),
        ({"captured_at": 1e300}, "impossible time"),
        ({"captured_at": -1e10}, "impossible time"),
        ({"monotonic": -1e300}, "impossible time"),
        ({"captured_at": None}, "Expected `float`, got `null`"),
        ({"dead_channels": [0]}, "Expected `int` >= 1"),
        ({"dead_channels": [65_536]}, "Expected `int` <= 65535"),
        ({"dead_channels": [*range(1, 66)]}, "Expected `array` of length <= 64"),
        ({"flags": ["boredom"]}, "Invalid enum value 'boredom'"),
    ],
)
def test_a_block_that_breaks_the_contract_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        blocks.decode_said([changed(BLOCK, **fields), PCM.tobytes()])


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([], "no hello, waiting, bye or block"),
        ([b""], "no hello, waiting, bye or block"),
        ([blocks.encode(BLOCK)], "^block of 1 frames or with no PCM; expected a header and PCM up to 8 MiB$"),
        ([blocks.encode(BLOCK), b""], "with no PCM"),
        ([blocks.encode(BLOCK), b"1234", b"1234"], "^block of 3 frames"),
        ([blocks.encode(BLOCK), bytes(blocks.MAX_BLOCK_BYTES + 4)], "PCM up to 8 MiB"),
        ([blocks.encode(BLOCK), b"123456"], "^PCM of 6 bytes; expected a multiple of 4$"),
    ],
)
def test_frames_that_are_no_message_are_refused(frames: list[bytes], reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        blocks.decode_said(frames)


def test_a_header_that_is_too_large_is_refused_unread() -> None:
    spaces = blocks.MAX_HEADER_BYTES - len(blocks.encode(HELLO))
    assert blocks.decode_said([blocks.encode(HELLO) + spaces * b" "]) == (HELLO, None)
    with pytest.raises(MessageError, match=r"^header of 65537 bytes; expected 65536 at most$"):
        blocks.decode_said([blocks.encode(HELLO) + (spaces + 1) * b" "])


def test_an_agent_has_so_many_sources_and_no_more() -> None:
    most = [f"{i:063}" for i in range(blocks.MAX_SOURCES)]
    said, _ = blocks.decode_said([changed(HELLO, sources=most)])
    assert said.sources == tuple(most)
    with pytest.raises(MessageError, match=r"Expected `array` of length <= 256 - at `\$.sources`"):
        blocks.decode_said([changed(HELLO, sources=[*most, "one-more"])])


@pytest.mark.parametrize("last", ["it-is-good", "It Is Refused"])
def test_names_of_strangers_do_not_fill_the_memory(last: str) -> None:
    frames = [changed(HELLO, sources=[*(f"{i}-{j}-{50 * 'x'}" for j in range(255)), last]) for i in range(300)]
    tracemalloc.start()
    try:
        for frame in frames:
            with contextlib.suppress(MessageError):
                blocks.decode_said([frame])
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 1_000_000  # the names are 9 MB


def test_a_time_that_is_no_number_is_refused() -> None:
    frame = blocks.encode(BLOCK)
    for number in (b"NaN", b"Infinity", b"1e999", b"-1e999"):
        with pytest.raises(MessageError):
            blocks.decode_said([frame.replace(b"12.5", number), PCM.tobytes()])


@given(st.lists(st.binary(), max_size=3))
def test_garbage_is_a_message_error(frames: list[bytes]) -> None:
    with pytest.raises(MessageError):
        blocks.decode_said(frames)
    with pytest.raises(MessageError):
        blocks.decode_answer(frames)


@pytest.mark.parametrize("frame", [b'{"kind": "bye", "x": ' + b"[" * 60_000, b'{"kind": "\xff"}', b'{"take": "\xff"}'])
def test_nested_or_misspelt_json_is_a_message_error(frame: bytes) -> None:
    with pytest.raises(MessageError):
        blocks.decode_said([frame])
    with pytest.raises(MessageError):
        blocks.decode_answer([frame])


any_of_all: st.SearchStrategy[Said | Answered] = st.one_of(any_said, any_block, any_answer)


@given(any_of_all, st.data())
def test_a_damaged_message_is_read_or_a_message_error(message: Said | Answered, data: st.DataObject) -> None:
    frame = bytearray(blocks.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    frames = [bytes(frame), *data.draw(st.lists(st.binary(max_size=12), max_size=2))]
    with contextlib.suppress(MessageError):
        blocks.decode_said(frames)
    with contextlib.suppress(MessageError):
        blocks.decode_answer(frames)


@given(st.data())
def test_a_field_of_another_kind_is_read_or_a_message_error(data: st.DataObject) -> None:
    either: list[Said] = [HELLO, BLOCK]
    message = data.draw(st.sampled_from(either))
    field = data.draw(st.sampled_from(sorted(json.loads(blocks.encode(message)))))
    value = data.draw(st.none() | st.booleans() | st.integers() | numbers | st.text() | st.lists(st.text(), max_size=3))
    with contextlib.suppress(MessageError):
        blocks.decode_said([changed(message, **{field: value}), PCM.tobytes()])
