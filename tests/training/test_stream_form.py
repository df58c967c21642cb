"""A window's network as a stream: its posteriors are those that onnxruntime gives to the window, or it is refused."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")

from streamd.errors import ModelError  # noqa: E402
from streamd.model import load_onnxruntime  # noqa: E402
from tests.training.window_networks import Network, facts, n_parameters, vgg  # noqa: E402
from training.design.stream_form import stream_form  # noqa: E402

END = np.iinfo(np.int64).max
N_MELS = 8


def session(proto):
    options = load_onnxruntime().SessionOptions()
    options.intra_op_num_threads = 1
    return load_onnxruntime().InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def compare(proto, manifest, n_rows=2, n_hops=6):
    """Run both forms over the same frames, from a state of rubbish on, and hold the stream to the window's posteriors.

    Returns the greatest and the least posterior.
    """
    rewritten, n_state = stream_form(proto, manifest)
    window, stream = session(proto), session(rewritten)
    n_frames, hop = manifest.n_frames, manifest.hop_frames
    n_warm = -(-n_frames // hop)
    random = np.random.default_rng(1)
    bands = (manifest.log_mel.n_mels,) if manifest.log_mel else ()
    frames = random.normal(-40, 20, (n_rows, (n_warm + n_hops) * hop, *bands)).astype(np.float32)
    state = random.normal(0, 100, (n_rows, n_state)).astype(np.float32)
    found, expected = [], []
    for end in range(hop, frames.shape[1] + 1, hop):
        posterior, state = stream.run(
            ["posterior", "state_out"], {manifest.input: frames[:, end - hop : end], "state": state}
        )
        if end >= n_frames:
            found.append(posterior)
            expected += window.run(["posterior"], {manifest.input: frames[:, end - n_frames : end]})
    assert len(found) > n_hops
    np.testing.assert_allclose(found, expected, atol=1e-5)
    return np.max(expected), np.min(expected)


@dataclass
class Stack:
    """A network as it grows, in one dimension (batch, channels, time) or two (batch, channels, time, bands)."""

    network: Network
    x: str
    n_channels: int
    n_axes: int
    """That a convolution moves over."""
    length: int
    """Elements in time."""
    step: int = 1

    def spatial(self, in_time, other):
        return [in_time, other][: self.n_axes]

    def after(self, x, kernel, dilation=1, stride=1):
        self.x, self.step = x, self.step * stride
        self.length = (self.length - (kernel - 1) * dilation - 1) // stride + 1

    def conv(self, kernel, dilation, stride, *, is_depthwise=False):
        group = self.n_channels if is_depthwise else 1
        n_out = self.n_channels if is_depthwise else 4
        shape = self.spatial(kernel, 3)
        pads = [0, 1, 0, 1] if self.n_axes == 2 else [0, 0]
        more = {"dilations": self.spatial(dilation, 1), "strides": self.spatial(stride, 1), "pads": pads}
        x = self.network.conv(self.x, self.n_channels, n_out, shape, group=group, **more)
        self.n_channels = n_out
        self.after(self.network.node("Relu", x), kernel, dilation, stride)

    def pool(self, kind, kernel, stride):
        shapes = {"kernel_shape": self.spatial(kernel, 1), "strides": self.spatial(stride, 1)}
        self.after(self.network.node(kind, self.x, **shapes), kernel, 1, stride)

    def norm(self):
        ones = np.ones(self.n_channels)
        values = [self.network.constant(value * ones) for value in (1.1, 0.1, 0.2, 0.9)]
        self.x = self.network.node("BatchNormalization", self.x, *values)

    def residual(self, kernel, dilation, begin):
        """Add what went in, cropped to what comes out: its first element is the one at `begin`."""
        reach = (kernel - 1) * dilation
        begin %= reach + 1
        if self.n_channels == 1:
            self.conv(1, 1, 1)
        before, n_channels = self.x, self.n_channels
        self.conv(kernel, dilation, 1, is_depthwise=True)
        end = begin - reach or END
        limits = [self.network.constant([value]) for value in (begin, end, 2)]
        assert self.n_channels == n_channels
        self.x = self.network.node("Add", self.x, self.network.node("Slice", before, *limits))

    def both_pools(self, kernel, stride):
        shapes = {"kernel_shape": self.spatial(kernel, 1), "strides": self.spatial(stride, 1)}
        pooled = [self.network.node(kind, self.x, **shapes) for kind in ("MaxPool", "AveragePool")]
        self.n_channels *= 2
        self.after(self.network.node("Concat", *pooled, axis=1), kernel, 1, stride)

    def end(self, how):
        """Pool over time, and give posteriors."""
        network = self.network
        axes = [2, 3][: self.n_axes]
        n_in = self.n_channels
        if how in ("GlobalAveragePool", "GlobalMaxPool"):
            x = network.node("Flatten", network.node(how, self.x))
        elif how in ("ReduceMean", "ReduceMax"):
            x = network.node(how, self.x, network.constant(axes), keepdims=0)
        elif how == "two steps":
            x = self.x
            if self.n_axes == 2:
                x = network.node("ReduceMean", x, network.constant([3]), keepdims=0)
            x = network.node("Transpose", x, perm=[0, 2, 1])
            x = network.node("ReduceMax", x, network.constant([1]), keepdims=0)
        elif how == "Flatten":
            n_bands = N_MELS if self.n_axes == 2 else 1
            x, n_in = network.node("Flatten", self.x), self.n_channels * self.length * n_bands
        else:
            x = network.conv(self.x, self.n_channels, 4, self.spatial(self.length, N_MELS))
            x, n_in = network.node("Reshape", x, network.constant([-1, 4])), 4
        network.head(x, n_in)


ENDS = ("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax", "two steps", "Flatten", "Conv")

LAYERS = st.one_of(
    st.tuples(st.just("conv"), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.sampled_from(("MaxPool", "AveragePool")), st.integers(1, 4), st.just(1), st.integers(1, 3)),
    st.tuples(st.just("both"), st.integers(1, 3), st.just(1), st.integers(1, 2)),
    st.tuples(st.just("residual"), st.integers(1, 4), st.integers(1, 2), st.integers(0, 6)),
    st.tuples(st.just("norm"), st.just(1), st.just(1), st.just(1)),
)


def stack(layers, n_axes, manifest, how, seed=0):
    network = Network(manifest, seed)
    x = network.standardised()
    if n_axes == 2:
        one = Stack(network, network.node("Unsqueeze", x, network.constant([1])), 1, 2, manifest.n_frames)
    else:
        one = Stack(network, network.node("Transpose", x, perm=[0, 2, 1]), N_MELS, 1, manifest.n_frames)
    for kind, kernel, dilation, third in layers:
        if kind == "conv":
            one.conv(kernel, dilation, third)
        elif kind == "residual":
            one.residual(kernel, dilation, third)
        elif kind == "both":
            one.both_pools(kernel, third)
        elif kind == "norm":
            one.norm()
        else:
            one.pool(kind, kernel, third)
    one.end(how)
    return network.proto()


def seen(layers):
    """Frames that one output sees, and frames from one to the next."""
    field, step = 1, 1
    for kind, kernel, dilation, third in layers:
        field += (kernel - 1) * dilation * step
        step *= 1 if kind == "residual" else third
    return field, step


@settings(max_examples=80, deadline=None)
@given(
    layers=st.lists(LAYERS, min_size=1, max_size=5),
    n_axes=st.integers(1, 2),
    how=st.sampled_from(ENDS),
    n_steps=st.integers(1, 3),
    n_more=st.integers(0, 40),
    seed=st.integers(0, 9),
)
def test_the_stream_of_any_stack_gives_the_posteriors_of_the_window(layers, n_axes, how, n_steps, n_more, seed):
    field, step = seen(layers)
    hop = step * n_steps
    manifest = facts(max(field, hop + 1) + n_more, hop)
    compare(stack(layers, n_axes, manifest, how, seed), manifest)


def test_a_vgg_of_283_thousand_parameters_gives_them_too():
    proto, manifest = vgg(1.0)
    assert n_parameters(proto) == 283_244
    most, least = compare(proto, manifest)
    assert most - least > 0.1  # else the comparison would prove little


def test_strides_that_leave_frames_unused_cost_one_delay_and_not_one_each():
    """Pooling in pairs leaves a frame out of an odd number; the state must not grow at every pooling by that."""
    layers = [("conv", 3, 1, 1), ("MaxPool", 2, 1, 2), ("conv", 3, 1, 1), ("MaxPool", 2, 1, 2)]
    sizes = {}
    for n_frames in (38, 39, 40, 41):
        manifest = facts(n_frames, 4)
        proto = stack(layers, 1, manifest, "ReduceMean")
        compare(proto, manifest)
        rewritten, _ = stream_form(proto, manifest)
        sizes[n_frames] = [node.op_type for node in rewritten.graph.node].count("Concat")
    assert set(sizes.values()) == {4}  # two convolutions, the mean, the row


def test_a_network_of_samples_is_a_stream_too():
    manifest = facts(4000, 640, input="samples", log_mel=None)
    network = Network(manifest)
    x = network.node("Unsqueeze", "samples", network.constant([1]))
    x = network.node("Relu", network.conv(x, 1, 4, [400], strides=[160]))
    x = network.node("Relu", network.conv(x, 4, 4, [3]))
    network.head(network.node("ReduceMax", x, network.constant([2]), keepdims=0), 4)
    compare(network.proto(), manifest)


def test_dense_layers_over_frames_shapes_of_torch_script_and_normalised_bands_are_kept():
    """As older exporters write them: what is flat is told by shapes that are computed in the graph."""
    manifest = facts(21, 4)
    network = Network(manifest)
    x = network.standardised()
    x = network.node("LayerNormalization", x, network.constant(np.ones(N_MELS)), axis=-1)
    x = network.node("Relu", network.node("MatMul", x, network.weight(N_MELS, 6)))
    first, second = network.node("Slice", x, *map(network.constant, ([0], [3], [2]))), "second half"
    network.node("Slice", x, *map(network.constant, ([3], [6], [-1])), name=second)
    x = network.node("Concat", first, network.node("Sigmoid", second), axis=-1)
    x = network.node("Unsqueeze", network.node("Transpose", x, perm=[0, 2, 1]), network.constant([3]))
    x = network.node("Squeeze", network.conv(x, 6, 4, (2, 1)), network.constant([3]))
    x = network.node("Reshape", x, network.constant([0, 2, 2, -1]))
    x = network.node("Softmax", x, axis=1)
    n_rows = network.node("Gather", network.node("Shape", x), network.constant(0), axis=0)
    rows = network.node("Unsqueeze", n_rows, network.constant([0]))
    flat = network.node("Concat", rows, network.constant([-1]), axis=0)
    network.head(network.node("Reshape", x, flat), 4 * 20)
    compare(network.proto(), manifest)


def test_mean_and_maximum_of_one_tensor_share_their_state_if_both_pool_time_alone():
    manifest = facts(20, 4)
    network = Network(manifest)
    x = network.node("Transpose", network.standardised(), perm=[0, 2, 1])
    pooled = [network.node(kind, x, network.constant([2]), keepdims=0) for kind in ("ReduceMean", "ReduceMax")]
    network.head(network.node("Add", *pooled), N_MELS)
    compare(network.proto(), manifest)
    assert stream_form(network.proto(), manifest)[1] == 16 * N_MELS


def _pads(network, x):
    return network.conv(x, N_MELS, 4, [3], pads=[1, 1])


def _pads_by_itself(network, x):
    return network.node("Pad", x, network.constant([0, 0, 2, 0, 0, 0]))


def _pads_as_keras_does(network, x):
    return network.conv(x, N_MELS, 4, [3], auto_pad="SAME_UPPER")


def _pools_padded(network, x):
    return network.node("MaxPool", x, kernel_shape=[3], strides=[2], pads=[1, 0])


def _pools_what_is_left(network, x):
    return network.node("MaxPool", x, kernel_shape=[2], strides=[4], ceil_mode=1)


def _strides_by_three(network, x):
    return network.conv(x, N_MELS, 4, [3], strides=[3])


def _is_recurrent(network, x):
    frames = network.node("Transpose", x, perm=[2, 0, 1])
    weights = [network.constant(np.ones((1, 12, n)) / 9) for n in (N_MELS, 4)]
    network.node("GRU", frames, *weights, hidden_size=4)
    return frames


def _normalises(network, x):
    return network.node("InstanceNormalization", x, *(network.constant(np.ones(N_MELS)) for _ in range(2)))


def _normalises_layers(network, x):
    return network.node("LayerNormalization", x, network.constant(np.ones(network.manifest.n_frames)), axis=-1)


def _looks_along_time(network, x):
    return network.node("Softmax", x, axis=2)


def _knows_the_place(network, x):
    return network.node("Add", x, network.constant(np.linspace(0, 1, network.manifest.n_frames)))


def _excites_itself(network, x):
    return network.node("Mul", x, network.node("GlobalAveragePool", x))


def _attends(network, x):
    return network.node("MatMul", network.node("Transpose", x, perm=[0, 2, 1]), x)


def _takes_the_last(network, x):
    return network.node("Gather", x, network.constant(-1), axis=2)


def _stacks_frames(network, x):
    return network.node("Reshape", x, network.constant([0, N_MELS * 2, -1]))


def _adds_up(network, x):
    return network.node("CumSum", x, network.constant(2))


def _takes_time_for_channels(network, x):
    frames = network.node("Transpose", x, perm=[0, 2, 1])
    return network.conv(frames, network.manifest.n_frames, 4, [3])


def _joins_in_time(network, x):
    return network.node("Concat", x, x, axis=2)


def _joins_other_steps(network, x):
    halved = network.node("MaxPool", x, kernel_shape=[2], strides=[2])
    cropped = network.node("Slice", x, *map(network.constant, ([0], [network.manifest.n_frames // 2], [2])))
    return network.node("Sub", halved, cropped)


def _is_as_long_as_the_window(network, x):
    shape = network.node("Shape", x)
    return network.node("Add", x, network.node("ConstantOfShape", shape))


REFUSED = {
    _pads: r"'bad' \(Conv\) pads in time",
    _pads_by_itself: r"'bad' \(Pad\) pads in time",
    _pads_as_keras_does: r"'bad' \(Conv\) pads in time",
    _pools_padded: r"'bad' \(MaxPool\) pads in time",
    _pools_what_is_left: r"'bad' \(MaxPool\) pads in time",
    _strides_by_three: r"'bad' \(Conv\) makes steps of 3 frames, which do not divide the hop of 4",
    _is_recurrent: r"'bad' \(Transpose\) moves the batch axis, as recurrent layers ask for",
    _normalises: r"'bad' \(InstanceNormalization\) normalises over time",
    _normalises_layers: r"'bad' \(LayerNormalization\) normalises over time",
    _looks_along_time: r"'bad' \(Softmax\) works along time",
    _knows_the_place: r"'bad' \(Add\) has a constant for each element in time",
    _excites_itself: r"'bad' \(Mul\) mixes single frames with what is only known of the whole window",
    _attends: r"'bad' \(MatMul\) takes several inputs with time in them",
    _takes_the_last: r"'bad' \(Gather\) picks elements in time",
    _stacks_frames: r"'bad' \(Reshape\) puts time and another axis together",
    _adds_up: r"'bad' \(CumSum\) works on time in a way that is not known here",
    _takes_time_for_channels: r"'bad' \(Conv\) takes time as its channels",
    _joins_in_time: r"'bad' \(Concat\) joins in time",
    _joins_other_steps: r"'bad' \(Sub\) joins paths whose elements in time don't match",
    _is_as_long_as_the_window: r"'bad' \(Add\) mixes single frames with",
}


@pytest.mark.parametrize("wrong", REFUSED, ids=lambda wrong: wrong.__name__)
def test_what_a_stream_cannot_have_is_refused_by_the_name_of_its_node(wrong):
    manifest = facts(20, 4, n_labels=1)
    network = Network(manifest)
    x = network.node("Transpose", network.standardised(), perm=[0, 2, 1])
    bad = wrong(network, x)
    mean = network.node("ReduceMean", network.node("Flatten", bad), network.constant([1]))
    network.node("Sigmoid", mean, name="posterior")
    proto = network.proto()
    for node in proto.graph.node:
        node.name = "bad" if bad in node.output else node.name
    with pytest.raises(ModelError, match=REFUSED[wrong]):
        stream_form(proto, manifest)


def test_posteriors_that_are_not_pooled_over_time_are_refused_by_the_node_that_gives_them():
    manifest = facts(20, 4, n_labels=20)
    network = Network(manifest)
    x = network.node("ReduceMean", network.standardised(), network.constant([2]), keepdims=0)
    network.node("Sigmoid", x, name="posterior")
    with pytest.raises(ModelError, match=r"'posterior' \(Sigmoid\) gives 'posterior' without pooling over time"):
        stream_form(network.proto(), manifest)


def test_windows_that_do_not_overlap_and_streams_are_refused_in_one_line():
    manifest = facts(20, 20)
    proto = stack([("conv", 3, 1, 1)], 1, manifest, "ReduceMean")
    with pytest.raises(ModelError, match="windows of 20 frames that don't overlap: no frame is heard twice"):
        stream_form(proto, manifest)
    stream = msgspec.structs.replace(manifest, kind="stream", n_state=3)
    with pytest.raises(ModelError, match="a model of kind stream; expected a window"):
        stream_form(proto, stream)
