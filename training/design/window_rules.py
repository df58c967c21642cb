"""Which operations of a window's graph a stream can have, and how each is run there: one rule for each kind.

A rule gets a node of which some input has a time axis, and returns its step or refuses. Nothing is padded in time, or
an output would depend on where in the window it is; then windows would share nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from training.design.window_time import Operation, Step, Time

Rule = Callable[[Operation], Step]

PADS = "pads in time; only what is not padded is the same in two windows"


def step_of(operation: Operation) -> Step:
    """Return how a node is run in the stream.

    Raises:
        ModelError: it can't be.
    """
    rule = RULES.get(operation.kind) if operation.node.domain in ("", "ai.onnx") else None
    if rule is None:
        raise operation.refused(REASONS.get(operation.kind, "works on time in a way that is not known here"))
    step = rule(operation)
    found = operation.out_shape()
    if found[:1] != operation.shape(operation.timed[0])[:1]:
        raise operation.refused("moves the batch axis, as recurrent layers ask for: each window begins them anew")
    if step.out is not None and found[step.out.axis] != step.out.length:
        raise operation.refused(f"gives {found[step.out.axis]} elements in time; expected {step.out.length}")
    return step


def _elementwise(operation: Operation) -> Step:
    """Two paths may have different delays: the same element of both is the same element of the window."""
    first = operation.time_of(operation.timed[0])
    n_axes = len(operation.shape(operation.timed[0]))
    from_last = first.axis - n_axes
    for position, name in enumerate(operation.node.input):
        if position in operation.timed:
            same = operation.time_of(position) == first and len(operation.shape(position)) == n_axes
            if not same:
                raise operation.refused("joins paths whose elements in time don't match; crop the longer one")
        elif name:
            shape = operation.shape(position)
            if len(shape) > n_axes or (len(shape) >= -from_last and shape[from_last] != 1):
                raise operation.refused("has a constant for each element in time, or one with more axes")
    return Step(first)


def _windowed(operation: Operation, kernel: int, dilation: int, stride: int) -> Step:
    time = operation.time
    reach = (kernel - 1) * dilation
    length = (time.length - reach - 1) // stride + 1
    step = time.step * stride
    if length * step <= operation.hop_frames or length == 1:
        return Step(None)
    if operation.hop_frames % step:
        raise operation.refused(
            f"makes steps of {step} frames, which do not divide the hop of {operation.hop_frames}: "
            "two windows would share nothing"
        )
    is_cut_short = (time.length - 1 - reach) % stride
    if is_cut_short and operation.attribute("ceil_mode", 0):
        raise operation.refused(PADS)
    return Step(Time(time.axis, length, step), reach, stride)


def _spatial(operation: Operation, kernel: Iterable[int]) -> Step:
    """A convolution or pooling: the axes from 2 on are those it moves over."""
    kernels = list(kernel)
    at = operation.time.axis - 2
    if at < 0:
        raise operation.refused("takes time as its channels; expected it as an axis that it moves over")
    ones = [1] * len(kernels)
    stride, dilation = (operation.attribute(name, ones)[at] for name in ("strides", "dilations"))
    pads = operation.attribute("pads", [0] * 2 * len(kernels))
    filled = operation.attribute("auto_pad", "NOTSET").startswith("SAME") and (kernels[at] > 1 or stride > 1)
    if pads[at] or pads[at + len(kernels)] or filled:
        raise operation.refused(PADS)
    return _windowed(operation, kernels[at], dilation, stride)


def _conv(operation: Operation) -> Step:
    if operation.timed != [0]:
        raise operation.refused("has weights that depend on what is heard")
    return _spatial(operation, operation.shape(1)[2:])


def _pool(operation: Operation) -> Step:
    if len(operation.node.output) > 1:
        raise operation.refused("tells where its maxima are")
    return _spatial(operation, operation.attribute("kernel_shape", []))


def _global_pool(operation: Operation) -> Step:
    return _pooled(operation, range(2, len(operation.shape())))


def _reduce(operation: Operation) -> Step:
    n_axes = len(operation.shape())
    axes = operation.integers("axes", 1)
    if not axes:
        raise operation.refused("pools over all axes, those of the batch too")
    axes = sorted(axis % n_axes for axis in axes)
    time = operation.time
    if time.axis in axes:
        return _pooled(operation, axes)
    n_gone = 0 if operation.attribute("keepdims", 1) else sum(axis < time.axis for axis in axes)
    return Step(time.at(time.axis - n_gone))


def _pooled(operation: Operation, axes: Iterable[int]) -> Step:
    """The final pooling: over the window, of which the stream keeps what was new in earlier hops."""
    at = operation.time.axis
    if at not in axes:
        raise operation.refused("takes time as its channels; expected it as an axis that it pools")
    return Step(None, pooled_before=tuple(axis for axis in axes if axis != at))


def _reduce_otherwise(operation: Operation) -> Step:
    step = _reduce(operation)
    if step.out is None:
        raise operation.refused("pools over time otherwise than by mean, sum, minimum or maximum")
    return step


def _transpose(operation: Operation) -> Step:
    time = operation.time
    n_axes = len(operation.shape())
    order = list(operation.attribute("perm", range(n_axes)[::-1]))
    return Step(time.at(order.index(time.axis)))


def _reshape(operation: Operation) -> Step:
    """Time stays an axis of its own, or all that is known of the window becomes one vector."""
    time = operation.time_of(0)
    before, after = operation.shape(), operation.out_shape()
    for axis, n in enumerate(after):
        is_same = n == time.length and math.prod(after[1:axis]) == math.prod(before[1 : time.axis])
        if axis and is_same and after[0] == before[0]:
            new = (0, *after[1:axis], operation.n_new(time), *after[axis + 1 :])
            return Step(time.at(axis), target=new)
    if after != (before[0], math.prod(before[1:])):
        raise operation.refused("puts time and another axis together, or cuts time in pieces")
    return Step(None, target=(0, *after[1:]))


def _matmul(operation: Operation) -> Step:
    time = operation.time
    position = operation.timed[0]
    n_axes, n_others = len(operation.shape(position)), len(operation.shape(1 - position))
    if n_others > 2:
        raise operation.refused("multiplies by a constant of more than two axes")
    summed = n_axes - 1 if position == 0 else n_axes - 2
    if time.axis == summed:
        return Step(None)
    n_gone = 1 if n_others == 1 and summed < time.axis else 0
    return Step(time.at(time.axis - n_gone))


def _gemm(operation: Operation) -> Step:
    if operation.timed != [0] or operation.attribute("transA", 0):
        raise operation.refused("multiplies otherwise than frames by a constant")
    return Step(None)


def _batch_norm(operation: Operation) -> Step:
    if operation.time.axis == 1:
        raise operation.refused("takes time as its channels: each element of the window is scaled otherwise")
    return Step(operation.time)


def _concat(operation: Operation) -> Step:
    time = operation.time_of(operation.timed[0])
    if operation.attribute("axis", 0) % len(operation.shape()) == time.axis:
        raise operation.refused("joins in time")
    if len(operation.timed) < len(operation.node.input):
        raise operation.refused("joins a constant to what is heard")
    if any(operation.time_of(position) != time for position in operation.timed):
        raise operation.refused("joins paths whose elements in time don't match; crop the longer one")
    return Step(time)


def _along(default: int) -> Rule:
    """An operation along one axis, which must not be time."""

    def rule(operation: Operation) -> Step:
        axis = operation.attribute("axis", default) % len(operation.shape())
        if axis == operation.time.axis:
            raise operation.refused("works along time")
        return Step(operation.time)

    return rule


def _layer_norm(operation: Operation) -> Step:
    if operation.attribute("axis", -1) % len(operation.shape()) <= operation.time.axis:
        raise operation.refused("normalises over time")
    return Step(operation.time)


def _gather(operation: Operation) -> Step:
    time = operation.time
    axis = operation.attribute("axis", 0) % len(operation.shape())
    if axis == time.axis:
        raise operation.refused("picks elements in time")
    n_more = len(operation.shape(1)) - 1 if axis < time.axis else 0
    return Step(time.at(time.axis + n_more))


def _slice(operation: Operation) -> Step:
    """Crop in time: what is cut off at the end is kept until it is wanted."""
    time = operation.time_of(0)
    starts, ends = operation.integers("starts", 1) or [], operation.integers("ends", 2) or []
    axes = operation.integers("axes", 3) or list(range(len(starts)))
    steps = operation.integers("steps", 4) or [1] * len(starts)
    places = [axis % len(operation.shape()) for axis in axes]
    if time.axis not in places:
        return Step(time)
    at = places.index(time.axis)
    begin, end, step = slice(starts[at], ends[at], steps[at]).indices(time.length)
    if step != 1 or end <= begin:
        raise operation.refused("picks elements in time")
    length = end - begin
    if length <= operation.n_new(time):
        return Step(None, bounds=(starts, ends))
    starts[at], ends[at] = 0, operation.n_new(time)
    return Step(Time(time.axis, length, time.step), begin=begin, bounds=(starts, ends))


def _pad(operation: Operation) -> Step:
    time = operation.time
    n_axes = len(operation.shape())
    pads = operation.integers("pads", 1) or []
    places = [axis % n_axes for axis in operation.integers("axes", 3) or range(n_axes)]
    if any(pads[at] or pads[at + len(places)] for at, axis in enumerate(places) if axis == time.axis):
        raise operation.refused(PADS)
    return Step(time)


_ELEMENTWISE = """
    Abs Add And BitShift Cast Ceil Celu Clip Cos Div Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual
    HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mul Neg Not Or PRelu Pow
    Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus Softsign Sqrt Sub Sum Swish Tanh ThresholdedRelu Where Xor
""".split()  # noqa: SIM905 - sixty lines otherwise

RULES: dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum"), _reduce),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceProd", "ReduceSumSquare"), _reduce_otherwise),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _along(-1)),
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Conv": _conv,
    "Gather": _gather,
    "Gemm": _gemm,
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
    "Pad": _pad,
    "Slice": _slice,
    "Split": _along(0),
    "Transpose": _transpose,
}

REASONS = {
    **dict.fromkeys(
        ("InstanceNormalization", "GroupNormalization", "MeanVarianceNormalization"), "normalises over time"
    ),
    **dict.fromkeys(("ConvTranspose", "Resize", "Upsample"), "makes more elements in time than there were"),
    "Attention": "looks at all of the window from each of its elements",
}
