"""How much of the past a network sees, and how deep it must be to see a whole event.

A network can only know a sound by what lies inside its receptive field. Too small, and it hears parts; too large,
and it learns by heart what happened to lie around the sounds of the training set (Koutini et al. 2019,
https://arxiv.org/abs/1907.01803: a field smaller than usual generalises better).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamd.logmel import LogMelSpec

PERCENTILE = 90
"""Of the lengths of events. The longest tenth is often several in one, or a slip of the label, and would set all."""

TOO_SMALL, TOO_LARGE = 0.5, 3.0
"""Of that length. Half an event is the least that still has its onset and some of its course in view; beyond three
events the network looks at what surrounds them rather than at them. Rules of thumb, not measurements."""


class Layer(NamedTuple):
    """What one layer does to time."""

    kernel: int
    dilation: int = 1
    stride: int = 1


def n_frames_seen(layers: Iterable[Layer]) -> int:
    """Return how many log-mel frames one output sees: 1 + Σ (kernel − 1) · dilation · product of the strides before."""
    seen, step = 1, 1
    for layer in layers:
        seen += (layer.kernel - 1) * layer.dilation * step
        step *= layer.stride
    return seen


def total_stride(layers: Iterable[Layer]) -> int:
    """Return how many log-mel frames lie between two outputs."""
    step = 1
    for layer in layers:
        step *= layer.stride
    return step


def n_cold_outputs(layers: Sequence[Layer]) -> int:
    """Return how many outputs after a reset see fewer frames than the receptive field has.

    They are left out of the loss and of decisions: what they see in place of audio is no sound that ever was.
    """
    return -(-n_frames_seen(layers) // total_stride(layers)) - 1


def seconds_seen(layers: Iterable[Layer], spec: LogMelSpec) -> float:
    """Return how many seconds of audio one output sees."""
    return ((n_frames_seen(layers) - 1) * spec.hop_length + spec.win_length) / spec.sample_rate


@dataclass(frozen=True)
class Depth:
    """How deep a network is to be, and why."""

    n_blocks: int
    receptive_field_seconds: float
    event_seconds: float
    """What it was chosen for: the 90th percentile of the lengths of events."""
    warning: str | None
    """One line where the two don't fit: under 0.5 or over 3 times the event."""


def choose_depth(
    event_seconds: Sequence[float], layers_of: Callable[[int], Sequence[Layer]], spec: LogMelSpec, max_blocks: int
) -> Depth:
    """Return the least depth whose receptive field covers the 90th percentile of event length.

    Args:
        event_seconds: lengths of the annotated events.
        layers_of: what a network of that many blocks does to time.
        spec: its log-mel.
        max_blocks: the deepest there is.

    Raises:
        ValueError: no event, or one whose length is no positive number.
    """
    lengths = np.asarray(event_seconds, np.float64)
    if not lengths.size:
        raise ValueError("no events; expected the length of at least one")
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("an event whose length is not a positive number of seconds; check its onset and offset")
    event = float(np.percentile(lengths, PERCENTILE))
    n_blocks, field = 0, 0.0
    while n_blocks < max_blocks and field < event:
        n_blocks += 1
        field = seconds_seen(layers_of(n_blocks), spec)
    return Depth(n_blocks, field, event, _warning(field, event))


def _warning(field: float, event: float) -> str | None:
    seen = f"the network sees {field:.2f} s, {field / event:.2g} times an event (90th percentile {event:.2f} s)"
    if field < TOO_SMALL * event:
        return f"{seen}: it can't know an event as a whole; label its parts, or take a recurrent network"
    if field > TOO_LARGE * event:
        return f"{seen}: it may learn what lies around events; train with many backgrounds, or a shorter log-mel window"
    return None
