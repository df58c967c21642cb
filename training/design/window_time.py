"""Where time is in the tensors of a window's graph, and what that means for a stream.

The stream has of each tensor what is new in a hop: the last elements of the window that ends with the hop. Two windows
share all others, if the elements' step divides the hop. What a node needs beyond them was new in the hops before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from streamd.errors import ModelError
from training.design.observe import Tensors


@dataclass(frozen=True)
class Time:
    """The time axis of a tensor, in the window form."""

    axis: int
    """Never 0: that is the batch."""
    length: int
    """Elements in a window; always more than are new in a hop."""
    step: int
    """Frames from one element to the next; divides the hop."""

    def at(self, axis: int) -> Time:
        """Return the same on another axis."""
        return Time(axis, self.length, self.step)


@dataclass(frozen=True)
class Step:
    """What a node does to time: output i is made of the inputs' elements begin + i · stride to that + reach."""

    out: Time | None
    """Of its outputs. None: they tell of the whole window, and are what they are in the window form."""
    reach: int = 0
    stride: int = 1
    begin: int = 0
    pooled_before: tuple[int, ...] = ()
    """Axes that the node pools beside time, pooled first: less is to be kept then."""
    target: tuple[int, ...] = ()
    """The node becomes a Reshape to this shape; 0 is the batch."""
    bounds: tuple[list[int], list[int]] | None = None
    """The node is a Slice, with these starts and ends."""

    @property
    def is_immediate(self) -> bool:
        """Whether each output needs no more than the same element of its inputs."""
        return (self.reach, self.stride, self.begin) == (0, 1, 0)

    def needed(self, newest_out: int) -> int:
        """Return the newest element of an input that an output needs."""
        return self.begin + newest_out * self.stride + self.reach


class Operation:
    """A node, with the tensors that it saw in the window form and where time is in them."""

    def __init__(self, node: onnx.NodeProto, tensors: Tensors, times: Mapping[str, Time], hop_frames: int) -> None:
        self.node = node
        self.kind: str = node.op_type
        self.hop_frames = hop_frames
        self.timed = [i for i, name in enumerate(node.input) if name in times]
        """Positions of the inputs that have a time axis."""
        self._tensors = tensors
        self._times = times
        self._attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}

    @property
    def time(self) -> Time:
        """The time axis of the only input that has one.

        Raises:
            ModelError: there are several.
        """
        if len(self.timed) > 1:
            raise self.refused("takes several inputs with time in them")
        return self.time_of(self.timed[0])

    def time_of(self, position: int) -> Time:
        """Return the time axis of an input."""
        return self._times[self.node.input[position]]

    def shape(self, position: int = 0) -> tuple[int, ...]:
        """Return the shape of an input in the window form."""
        return self._tensors[self.node.input[position]].shape

    def out_shape(self) -> tuple[int, ...]:
        """Return the shape of the first output in the window form."""
        return self._tensors[self.node.output[0]].shape

    def attribute(self, name: str, default: Any) -> Any:
        """Return an attribute of the node, text as str."""
        value = self._attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def integers(self, name: str, position: int) -> list[int] | None:
        """Return integers that are an attribute in some opsets and an input in others; None if there are none."""
        if name in self._attributes:
            return [int(one) for one in self._attributes[name]]
        if len(self.node.input) <= position or not self.node.input[position]:
            return None
        value: NDArray[Any] = self._tensors[self.node.input[position]]
        return [int(one) for one in np.atleast_1d(value)]

    def n_new(self, time: Time) -> int:
        """Return how many elements are new in a hop."""
        return self.hop_frames // time.step

    def refused(self, reason: str) -> ModelError:
        """Return the error that names the node."""
        return refused(self.node, reason)


def refused(node: onnx.NodeProto, reason: str) -> ModelError:
    """Return an error that names a node, and why no stream can be made of it."""
    name = node.name or next(iter(node.output), "")
    return ModelError(f"no stream form: node {name!r} ({node.op_type}) {reason}")
