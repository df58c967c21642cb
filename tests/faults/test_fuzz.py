"""Bytes from strangers: each reader takes them or refuses them in one clear line, and soon.

Inputs are made by hypothesis, and by chance out of each of its, from the corpus in tests/data/fuzz, a folder for each
reader: true inputs to begin with, and everything that ever broke one. The short form tries a few hundred of each;
`make faults` a hundred thousand.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from streamd import blocks, config, manifest, onnx_file, requests
from streamd.errors import ConfigError, ModelError, StreamdError
from streamd.limited import try_model
from tests.faults.harness import RESULTS, ROOT, SHARE, circumstances
from tests.faults.rig import Scene, scene

__all__ = ["scene"]  # a fixture

CORPUS = ROOT / "tests" / "data" / "fuzz"
N_SHORT, N_LONG, N_AT_ONCE, N_OF_ONE = 600, 100_000, 20_000, 20
N_MODELS_SHORT, N_MODELS_LONG = 2, 2_000
SLOWEST_SECONDS = 2.0
"""CPU time that no single input may take."""
LONGEST_LINE = 4_000
PCM = bytes(2 * 160)

TOKENS = [
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"NaN",
    b"9223372036854775808",
    b'"',
    b"{}",
    b"[[[[[[[[",
    b"\x00",
    b"\xff\xfe",
]
TOKENS += [
    b"\\ud800",
    b"&a [*a]",
    b"!!python/object:os.system",
    b"<<: *x",
    b"- ",
    b": ",
    b"\t",
    b"\n",
    b"../../etc",
    b"\x1b[2J",
]


@dataclass(frozen=True)
class Reader:
    """Something that reads what a stranger sends."""

    name: str
    what: str
    read: Callable[[bytes], object]


READERS = [
    Reader("config", "configuration", lambda data: config.parse(data, "streamd.yaml", Path("/nowhere"))),
    Reader("block", "block header", lambda data: blocks.decode_said([data, PCM])),
    Reader("hello", "hello, waiting and bye", lambda data: blocks.decode_said([data])),
    Reader("control", "control message", requests.decode_request),
    Reader("manifest", "model metadata", manifest.decode),
    Reader("header", "model header", lambda data: (onnx_file.metadata(data), onnx_file.has_external_data(data))),
]


def mutated(original: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Return bytes with parts cut out, doubled, or others put in."""
    data = bytearray(original)
    for place, kind, piece in edits:
        at = place % (len(data) + 1)
        if kind == 0:
            data[at:at] = piece
        elif kind == 1:
            data[at : at + len(piece)] = piece
        elif kind == 2:
            del data[at : at + 1 + len(piece) * 4]
        elif kind == 3:
            data[at:at] = data[at : at + 1 + len(piece) * 8]
        else:
            del data[at:]
    return bytes(data)


def some_edits(chance: random.Random, n_bytes: int) -> list[tuple[int, int, bytes]]:
    """Return one to four edits, most of them small."""
    return [
        (
            chance.randrange(n_bytes + 1),
            chance.choice([0, 1, 1, 1, 2, 3]),
            chance.choice([chance.randbytes(chance.randint(1, 8)), chance.choice(TOKENS)]),
        )
        for _ in range(chance.randint(1, 4))
    ]


def inputs(folder: Path) -> st.SearchStrategy[bytes]:
    """Return a strategy for bytes that are nearly what a reader expects, or nothing of the kind."""
    true = [file.read_bytes() for file in sorted(folder.iterdir())]
    piece = st.binary(max_size=8) | st.sampled_from(TOKENS)
    edits = st.lists(st.tuples(st.integers(0, 1 << 16), st.sampled_from([0, 1, 1, 2, 3, 4]), piece), max_size=5)
    return st.builds(mutated, st.sampled_from(true), edits) | st.binary(max_size=200)


class Tally:
    """What became of all inputs of a reader."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.n = self.n_refused = 0
        self.slowest_seconds = 0.0

    def feed(self, data: bytes) -> None:
        """Have an input read; only a StreamdError may come out of that."""
        self.n += 1
        began = time.thread_time()
        try:
            self.reader.read(data)
        except StreamdError as error:
            self.n_refused += 1
            lines = error.mistakes if isinstance(error, ConfigError) else [str(error)]
            for line in lines:
                assert "\n" not in line
                assert 0 < len(line) < LONGEST_LINE
        self.slowest_seconds = max(self.slowest_seconds, time.thread_time() - began)
        assert self.slowest_seconds < SLOWEST_SECONDS


def keep(name: str, what: str, n: int, n_refused: int, slowest_seconds: float) -> None:
    """Leave a figure for docs/reliability.md, from the long form."""
    if not SHARE:
        return
    row = {"what": what, "inputs": n, "refused": n_refused, "slowest_seconds": round(slowest_seconds, 3)}
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"fuzz_{name}.json"
    file.write_text(json.dumps({"name": f"fuzz_{name}", "fuzz": row, "measured": circumstances()}, indent=1) + "\n")


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_whatever_comes_is_read_or_refused_in_one_line(reader: Reader) -> None:
    tally = Tally(reader)
    for file in sorted((CORPUS / reader.name).iterdir()):
        tally.feed(file.read_bytes())
    n = max(N_SHORT, round(N_LONG * SHARE))
    for i, begin in enumerate(range(0, n, N_AT_ONCE)):

        @seed(i)
        @settings(
            max_examples=min(N_AT_ONCE, n - begin) // N_OF_ONE,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs(CORPUS / reader.name), st.integers(0, 1 << 32))
        def feed(data: bytes, number: int) -> None:
            tally.feed(data)
            chance = random.Random(number)
            for _ in range(N_OF_ONE - 1):  # hypothesis thinks for far longer than a reader reads
                tally.feed(mutated(data, some_edits(chance, len(data))))

        feed()
    assert 0 < tally.n_refused < tally.n
    keep(reader.name, reader.what, tally.n, tally.n_refused, tally.slowest_seconds)


def test_whole_models_are_opened_in_a_child_that_may_crash(scene: Scene, tmp_path: Path) -> None:
    good = scene.model.read_bytes()
    n, n_refused, n_crashed, slowest = max(N_MODELS_SHORT, round(N_MODELS_LONG * SHARE)), 0, 0, 0.0
    for i in range(n):
        chance = random.Random(i)
        file = tmp_path / "model.onnx"
        file.write_bytes(mutated(good, some_edits(chance, len(good))))
        began = time.monotonic()
        reason = ""
        try:
            try_model(file)
        except ModelError as error:
            reason = str(error)
        assert "\n" not in reason
        n_refused += bool(reason)
        n_crashed += "was killed by signal" in reason
        slowest = max(slowest, time.monotonic() - began)
    assert n_refused
    what = f"whole model, in the limited child ({n_crashed} crashed there)"
    keep("models", what, n, n_refused, slowest)
