"""Contract of a model: its facts, stored as JSON under the metadata key "streamd" of the .onnx itself.

The configuration holds no acoustic field about a model: what can't be said twice can't differ.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamd.decision import DecisionSpec
from streamd.errors import ModelError
from streamd.events import BROKEN_JSON, slug
from streamd.logmel import LogMelSpec, tables

FORMAT = 1
"""Version of this contract."""
METADATA_KEY = "streamd"

MAX_GOLDEN_SAMPLES = 1 << 24
"""Minutes at any rate; more would be made and kept in memory at every load."""


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """The model's own answer to a signal that anybody can make; recomputed at every load."""

    seed: int
    """Chooses the signal: see golden_signal."""
    n_samples: int
    log_mel: bytes = b""
    """float32 little-endian, shape (n_frames, n_mels); empty if the input is samples."""
    posterior: bytes
    """float32 little-endian, shape (n_hops, n_labels), from the first scored hop on."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a model.

    A frame is one log-mel vector; where the input is samples, a frame is one sample.

    Raises:
        ValueError: fields that contradict each other.
    """

    format: Literal[1] = 1
    name: str
    version: str
    licence: str
    """SPDX expression of the weights."""
    description: str
    """What it hears, in one sentence."""
    labels: tuple[str, ...]
    """Names of the outputs, in order."""
    default_labels: tuple[str, ...]
    """Labels that are on where the configuration names none."""
    kind: Literal["window", "stream"]
    """window: every run sees the last n_frames. stream: every run sees hop_frames and a state."""
    input: Literal["log_mel", "samples"]
    sample_rate: int
    log_mel: LogMelSpec | None
    """None if the input is samples (float32 in [-1, 1))."""
    n_frames: int
    """Frames of one input: a window's length; for a stream the same as hop_frames."""
    hop_frames: int
    """Frames between two decisions."""
    warmup_frames: int
    """No posterior is believed before this many frames of real audio; a window: n_frames."""
    max_batch: int | None
    """At most so many rows in one run; 1 where rows influence each other; None: as many as wanted."""
    n_state: int = 0
    """Length of a stream's state row."""
    initial_state: bytes = b""
    """float32 little-endian, shape (n_state,); empty for zeros."""
    onset_delay: int
    """Samples by which a decision comes after the onset, measured on placed sounds."""
    offset_delay: int
    """The same for the offset."""
    decision: DecisionSpec
    """How labels are decided that label_decisions doesn't name."""
    label_decisions: dict[str, DecisionSpec]
    expected: dict[str, Any]
    """What it will do, as far as it was measured; and what was not measured."""
    training: dict[str, Any]
    """Where the weights come from."""
    golden: Golden

    def __post_init__(self) -> None:
        slugs = Counter(slug(label) for label in self.labels)
        twice = [label for label in self.labels if slugs[slug(label)] > 1]
        nameless = [label for label in self.labels if not slug(label)]
        strangers = sorted({*self.default_labels, *self.label_decisions} - set(self.labels))
        problems = {
            "no labels": not self.labels,
            f"labels {twice} that are one and the same in a topic": twice,
            f"labels {nameless} without any letter a-z or digit: a topic could not name them": nameless,
            f"decisions or defaults for labels {strangers} that it doesn't have": strangers,
            "input log_mel and no log_mel spec, or the reverse": (self.input == "log_mel")
            != (self.log_mel is not None),
            f"sample_rate {self.sample_rate} and another in log_mel": self.log_mel is not None
            and self.log_mel.sample_rate != self.sample_rate,
            f"n_frames {self.n_frames}, hop_frames {self.hop_frames}, warmup_frames {self.warmup_frames}; expected "
            "positive numbers with warmup_frames at least n_frames": not 0 < self.n_frames <= self.warmup_frames
            or self.hop_frames <= 0,
            "a hop longer than the window: audio between two windows would never be heard": self.hop_frames
            > self.n_frames,
            "a window with a state": self.kind == "window" and (self.n_state or self.initial_state),
            "a window with a warm-up that is not n_frames": self.kind == "window"
            and self.warmup_frames != self.n_frames,
            "a stream whose n_frames is not its hop_frames": self.kind == "stream" and self.n_frames != self.hop_frames,
            "a stream without state": self.kind == "stream" and self.n_state <= 0,
            f"initial_state of {len(self.initial_state)} bytes for {self.n_state} numbers": self.initial_state
            and len(self.initial_state) != 4 * self.n_state,
            f"max_batch {self.max_batch}": self.max_batch is not None and self.max_batch < 1,
            "a golden answer that is no row of float32": len(self.golden.log_mel) % 4 or len(self.golden.posterior) % 4,
            f"a golden signal of {self.golden.n_samples} samples; expected at most {MAX_GOLDEN_SAMPLES}": not 0
            <= self.golden.n_samples
            <= MAX_GOLDEN_SAMPLES,
        }
        for problem, found in problems.items():
            if found:
                raise ValueError(problem)
        if self.log_mel is not None:
            tables(self.log_mel)

    @property
    def hop_samples(self) -> int:
        """Samples between two decisions."""
        return self.hop_frames * (self.log_mel.hop_length if self.log_mel else 1)

    @property
    def hop_seconds(self) -> float:
        """Seconds between two decisions."""
        return self.hop_samples / self.sample_rate

    @property
    def span_samples(self) -> int:
        """Samples that the first run covers."""
        if self.log_mel is None:
            return self.n_frames
        return (self.n_frames - 1) * self.log_mel.hop_length + self.log_mel.win_length

    @property
    def lead_samples(self) -> int:
        """Where the frame grid starts after a reset, so that decisions fall on multiples of the hop."""
        return -self.span_samples % self.hop_samples

    @property
    def n_warmup_hops(self) -> int:
        """Runs whose posteriors are not believed after a reset."""
        return -(-(self.warmup_frames - self.n_frames) // self.hop_frames)

    @property
    def n_cold_hops(self) -> int:
        """Hops after a reset before the one with which the first run's audio is whole."""
        return (self.lead_samples + self.span_samples) // self.hop_samples - 1

    @property
    def first_score_samples(self) -> int:
        """Samples after a reset until the first score."""
        return self.lead_samples + self.span_samples + self.n_warmup_hops * self.hop_samples

    def decision_of(self, label: str) -> DecisionSpec:
        """Return the model's own decision for a label."""
        return self.label_decisions.get(label, self.decision)

    def initial_row(self) -> NDArray[np.float32]:
        """Return the state row of a source that has heard nothing, shape (n_state,)."""
        if self.initial_state:
            return np.frombuffer(self.initial_state, "<f4").astype(np.float32)
        return np.zeros(self.n_state, np.float32)


def encode(manifest: Manifest) -> str:
    """Return the manifest as the JSON text that goes into the model file."""
    return msgspec.json.encode(manifest).decode()


def decode(text: str | bytes) -> Manifest:
    """Return the manifest in a JSON text.

    Raises:
        ModelError: no JSON, an unknown format, a field that lacks or contradicts another.
    """
    try:
        found = msgspec.json.decode(text, type=dict[str, Any]).get("format")
        if found is None:
            raise ModelError(f"manifest without a format; this version reads {FORMAT}")
        if found != FORMAT:
            raise ModelError(f"manifest of format {found}; this version reads {FORMAT}: use a newer streamd")
        return msgspec.json.decode(text, type=Manifest)
    except BROKEN_JSON as error:
        raise ModelError(f"manifest that is not valid: {error}") from error
