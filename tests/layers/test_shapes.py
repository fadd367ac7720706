"""The arithmetic of windows, against counting them."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_convnet.layers import (
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    Conv1D,
    Conv2D,
    Conv3D,
    ConvTranspose1D,
    ConvTranspose2D,
    ConvTranspose3D,
    Dense,
    DenseBlock,
    DepthwiseConv1D,
    DepthwiseConv2D,
    GlobalAvgPool,
    GlobalMaxPool,
    HeterogeneousMaxPool,
    LocalResponseNorm,
    LpPool2D,
    LpPool3D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    Parallel,
    Residual,
    SelfAttention,
    SeparableConv2D,
    Sequential,
    TransformConv2D,
    Upsample1D,
    Upsample2D,
    Upsample3D,
)
from sklearn_convnet.layers.shapes import (
    MAX_SIZE,
    MAX_VALUES,
    check_padded,
    check_positions,
    check_values,
    per_axis,
    split_shape,
    window_padding,
)
from sklearn_convnet.network import compile_network

quick = settings(max_examples=60, deadline=None, database=None)
small = st.integers(1, 5)


def count(size, window, stride, before, after, dilation=1):
    """The positions at which all taps of a window lie on the padded map."""
    last = size + before + after - 1
    return sum(
        all(start + tap * dilation <= last for tap in range(window))
        for start in range(0, last + 1, stride)
    )


@st.composite
def geometries(draw, n_axes, largest_padding=4):
    """For each axis size, window, stride, dilation and a padding pair."""
    axis = st.tuples(
        st.integers(1, 14),
        small,
        st.integers(1, 7),
        st.integers(1, 3),
        st.tuples(st.integers(0, largest_padding), st.integers(0, largest_padding)),
    )
    return list(zip(*[draw(axis) for _ in range(n_axes)], strict=True))


def assert_output(layer, sizes, expected, channels_out):
    shape = (*sizes, 3)
    if min(expected) == 0:
        with pytest.raises(ValueError, match=r"use a smaller (kernel|pool)_size"):
            layer.output_shape(shape)
    else:
        assert layer.output_shape(shape) == (*expected, channels_out)


@pytest.mark.parametrize(("layer_type", "n_axes"), [(Conv1D, 1), (Conv2D, 2), (Conv3D, 3)])
@quick
@given(data=st.data())
def test_conv_pairs(layer_type, n_axes, data):
    sizes, kernel, stride, dilation, pads = data.draw(geometries(n_axes))
    layer = layer_type(4, kernel, stride=stride, padding=pads, dilation=dilation)
    expected = [
        count(n, k, s, *p, d)
        for n, k, s, d, p in zip(sizes, kernel, stride, dilation, pads, strict=True)
    ]
    assert_output(layer, sizes, expected, 4)


@quick
@given(geometry=geometries(2))
def test_conv_one_padding_for_both_sides(geometry):
    sizes, kernel, stride, dilation, pads = geometry
    pads = [before for before, _ in pads]
    layer = Conv2D(4, kernel, stride=stride, padding=tuple(pads), dilation=dilation)
    expected = [
        count(n, k, s, p, p, d)
        for n, k, s, d, p in zip(sizes, kernel, stride, dilation, pads, strict=True)
    ]
    assert_output(layer, sizes, expected, 4)


@quick
@given(geometry=geometries(2))
def test_conv_one_number_for_all_axes(geometry):
    (height, width), (kernel, _), (stride, _), (dilation, _), ((pad, _), _) = geometry
    layer = Conv2D(4, kernel, stride=stride, padding=pad, dilation=dilation)
    expected = [
        count(n, kernel, stride, pad, pad, dilation) for n in (height, width)
    ]  # fmt: skip
    assert_output(layer, (height, width), expected, 4)


@quick
@given(geometry=geometries(2))
def test_conv_valid(geometry):
    sizes, kernel, stride, dilation, _ = geometry
    layer = Conv2D(4, kernel, stride=stride, dilation=dilation)
    expected = [
        count(n, k, s, 0, 0, d) for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)
    ]
    assert_output(layer, sizes, expected, 4)


@quick
@given(geometry=geometries(3))
def test_same(geometry):
    """ceil(size / stride) positions, with no more padding than that takes."""
    sizes, kernel, stride, dilation, _ = geometry
    layer = Conv3D(4, kernel, stride=stride, padding="same", dilation=dilation)
    expected = tuple(-(-n // s) for n, s in zip(sizes, stride, strict=True))
    assert layer.output_shape((*sizes, 3)) == (*expected, 4)
    _, _, pads, _ = layer.geometry((*sizes, 3))
    for n, k, s, d, (before, after), out in zip(
        sizes, kernel, stride, dilation, pads, expected, strict=True
    ):
        assert before >= 0
        assert after - before in (0, 1)
        assert count(n, k, s, before, after, d) == out
        if before + after > 0:
            assert count(n, k, s, before, max(after - 1, 0), d) < out or after == 0


@pytest.mark.parametrize(("layer_type", "n_axes"), [(MaxPool1D, 1), (AvgPool2D, 2), (MaxPool3D, 3)])
@quick
@given(data=st.data())
def test_pools(layer_type, n_axes, data):
    sizes, window, stride, _, pads = data.draw(geometries(n_axes, largest_padding=3))
    pads = tuple(tuple(min(p, w - 1) for p in pad) for pad, w in zip(pads, window, strict=True))
    layer = layer_type(window, stride=stride, padding=pads)
    expected = [count(n, w, s, *p) for n, w, s, p in zip(sizes, window, stride, pads, strict=True)]
    assert_output(layer, sizes, expected, 3)


@quick
@given(geometry=geometries(2))
def test_pool_same_and_default_stride(geometry):
    sizes, window, stride, _, _ = geometry
    layer = AvgPool2D(window, stride=stride, padding="same")
    expected = tuple(-(-n // s) for n, s in zip(sizes, stride, strict=True))
    assert layer.output_shape((*sizes, 3)) == (*expected, 3)
    expected = [count(n, w, w, 0, 0) for n, w in zip(sizes, window, strict=True)]
    assert_output(AvgPool2D(window), sizes, expected, 3)


@quick
@given(geometry=geometries(2), seed=st.integers(0, 1))
def test_no_window_holds_nothing_but_padding(geometry, seed):
    """What a pool accepts has at least one true pixel in each window."""
    sizes, window, stride, _, pads = geometry
    layer = AvgPool2D(window, stride=stride, padding=pads)
    try:
        out = layer.output_shape((*sizes, 1))
    except ValueError:
        return
    for n, w, s, (before, _), n_out in zip(sizes, window, stride, pads, out[:-1], strict=True):
        for i in range(n_out):
            start = i * s - before
            assert min(start + w, n) > max(start, 0)


# ---------------------------------------------------------------------------
# Helpers
# ---------------------------------------------------------------------------


def test_per_axis():
    assert per_axis(3, 2, "stride") == (3, 3)
    assert per_axis((3, 1), 2, "stride") == (3, 1)
    assert per_axis([3, 1], 2, "stride") == (3, 1)


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True, (1,), (1, 2, 3), (1, 0)])
def test_per_axis_errors(value):
    with pytest.raises(ValueError, match="stride must be an integer of at least 1"):
        per_axis(value, 2, "stride")


@pytest.mark.parametrize(
    "padding",
    [
        "some",
        -1,
        1.5,
        None,
        True,
        (1,),
        (1, 2, 3),
        ((1, 2, 3), 1),
        (-1, 0),
        ((0, -1), 0),
    ],
)
def test_padding_errors(padding):
    with pytest.raises(ValueError, match="padding must be 'valid', 'same'"):
        window_padding(padding, (5, 5), (3, 3), (1, 1))


def test_split_shape():
    assert split_shape((5, 4, 3), 2, "Conv2D") == ((5, 4), 3)
    with pytest.raises(ValueError, match=r"Conv2D needs maps of shape \(height, width, ch"):
        split_shape((5, 4), 2, "Conv2D")


# ---------------------------------------------------------------------------
# Sizes that no memory holds
# ---------------------------------------------------------------------------

IMAGE, SIGNAL, VOLUME = (4, 4, 1), (8, 1), (4, 4, 4, 1)
TOO_LARGE = "which is more than the 2147483647 that is possible"
TOO_MANY = "more than the 1099511627776 that are possible: use smaller sizes"
ABSURD = [
    (Conv3D(1, 1, stride=2**20, padding=2**19), VOLUME, TOO_MANY),
    (Conv2D(1, 1, stride=2**30, padding=2**29), IMAGE, TOO_MANY),
    (Conv2D(1, 2**30, padding="same"), IMAGE, TOO_MANY),
    (Conv2D(2**62, 1), IMAGE, TOO_MANY),
    (Conv2D(1, 1, padding=((0, 2**70), (0, 0))), IMAGE, f"padding is {2**70}, {TOO_LARGE}"),
    (Conv1D(1, 3, dilation=2**61, padding="same"), SIGNAL, f"dilation is {2**61}, {TOO_LARGE}"),
    (ConvTranspose1D(1, 2**31), SIGNAL, f"kernel_size is {2**31}, {TOO_LARGE}"),
    (ConvTranspose2D(1, 1, stride=2**63 - 1), IMAGE, f"stride is {2**63 - 1}, {TOO_LARGE}"),
    (ConvTranspose2D(1, 2**31 - 1, padding=2**30), IMAGE, TOO_MANY),
    (ConvTranspose2D(1, 1, output_padding=2**70), IMAGE, f"output_padding is {2**70}, {TOO_LARGE}"),
    (ConvTranspose3D(1, 1, stride=2**18), VOLUME, TOO_MANY),
    (ConvTranspose2D(1, 3, dilation=2**30), IMAGE, TOO_MANY),
    (ConvTranspose1D(1, 3, dilation=2**31), SIGNAL, f"dilation is {2**31}, {TOO_LARGE}"),
    (DepthwiseConv2D(1, stride=2**30, padding=2**29), IMAGE, TOO_MANY),
    (DepthwiseConv2D(1, multiplier=2**62), IMAGE, TOO_MANY),
    (DepthwiseConv1D(2, dilation=2**61), SIGNAL, f"dilation is {2**61}, {TOO_LARGE}"),
    (SeparableConv2D(1, 1, multiplier=2**62), IMAGE, TOO_MANY),
    (TransformConv2D(1, 1, stride=2**30, padding=2**29), IMAGE, TOO_MANY),
    (TransformConv2D(2**38, 1, pool="max"), IMAGE, TOO_MANY),
    (Dense(2**62), IMAGE, TOO_MANY),
    (Upsample2D(2**30), IMAGE, TOO_MANY),
    (Upsample2D((2**31, 1)), IMAGE, TOO_LARGE),
    (Upsample1D(2**31), SIGNAL, TOO_LARGE),
    (Upsample3D(2**20), VOLUME, TOO_MANY),
    (AvgPool2D(2**30, padding=2**29), IMAGE, TOO_MANY),
    (AvgPool2D(2**20, stride=1, padding=2**20 - 1), IMAGE, TOO_MANY),
    (MaxPool2D(2**30, padding=2**29), IMAGE, TOO_MANY),
    (LpPool3D(2**31), VOLUME, f"pool_size is {2**31}, {TOO_LARGE}"),
    (LpPool2D(2**31), IMAGE, f"pool_size is {2**31}, {TOO_LARGE}"),
    (HeterogeneousMaxPool([2**62]), IMAGE, f"pool_sizes is {2**62}, {TOO_LARGE}"),
    (HeterogeneousMaxPool([2], stride=2**70), IMAGE, f"stride is {2**70}, {TOO_LARGE}"),
    (SelfAttention(), (2**11, 2**11, 1), TOO_MANY),
    (LocalResponseNorm(size=2**70), IMAGE, r"in the range \[1, 2147483647\]"),
    (DenseBlock([Conv2D(2**34, 1)] * 5), IMAGE, TOO_MANY),
    (Residual([Conv2D(2**40, 1)]), IMAGE, TOO_MANY),
    (Parallel([Conv2D(2**35, 1)] * 3), IMAGE, TOO_MANY),
    (Sequential([Upsample2D(2**9), Upsample2D(2**10)]), IMAGE, TOO_MANY),
    (MaxPool2D(2), (2**16, 2**15, 1), "positions, more than the 2147483647 that a pool can"),
    (GlobalMaxPool(), (2**16, 2**15, 1), "positions, more than the 2147483647 that a pool can"),
    (HeterogeneousMaxPool([2]), (2**16, 2**15, 1), "positions, more than the 2147483647 that a"),
]


@pytest.mark.parametrize(("layer", "shape", "message"), ABSURD)
def test_sizes_that_no_memory_holds(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.output_shape(shape)
    with pytest.raises(ValueError, match=rf"^layer '.*: .*{message}"):
        compile_network([layer], shape)


def test_weights_that_no_memory_holds():
    message = f"layer 'dense1/weight': this weight would have the shape .*{TOO_MANY}"
    with pytest.raises(ValueError, match=message):
        compile_network([Dense(2**37)], IMAGE)


def test_the_largest_sizes():
    """Those at the limits, and one more."""
    check_values((2**20, 2**20))
    with pytest.raises(ValueError, match=f"map would have the shape .*, which are {2**40 + 1} num"):
        check_values((MAX_VALUES + 1,), "a map")
    check_padded((2**20 - 2, 2**19 - 1), ((1, 1), (0, 1)), 2)
    with pytest.raises(ValueError, match=TOO_MANY):
        check_padded((2**20 - 2, 2**19 - 1), ((1, 2), (0, 1)), 2)
    check_positions((MAX_SIZE, 1))
    with pytest.raises(ValueError, match=f"its input has {2**31} positions"):
        check_positions((2**16, 2**15))
    assert per_axis(MAX_SIZE, 1, "size") == (MAX_SIZE,)
    with pytest.raises(ValueError, match=f"size is {2**31}, {TOO_LARGE}"):
        per_axis((1, MAX_SIZE + 1), 2, "size")


@pytest.mark.parametrize(
    ("layer", "same", "shape"),
    [
        (AvgPool1D(2**30, padding=2**29), GlobalAvgPool(), (5, 3)),
        (AvgPool2D((2**30, 5), padding=((2**29, 2**29), (0, 0))), GlobalAvgPool(), (4, 5, 3)),
        (AvgPool3D(2**12, padding=2**11), GlobalAvgPool(), (2, 4, 5, 3)),
        (MaxPool1D(2**30, padding=2**29), GlobalMaxPool(), (5, 3)),
        (MaxPool3D(2**12, padding=2**11), GlobalMaxPool(), (2, 4, 5, 3)),
    ],
)
def test_a_window_much_larger_than_the_map(layer, same, shape):
    """At once, and the same as a pool over the whole map."""
    X = np.random.RandomState(0).normal(size=(2, *shape))
    large, whole = (compile_network([one], shape, dtype="float64") for one in (layer, same))
    Y, Z = large.forward(X, training=True), whole.forward(X, training=True)
    np.testing.assert_allclose(Y.reshape(Z.shape), Z, rtol=1e-12)
    dZ = np.random.RandomState(1).normal(size=Z.shape)
    np.testing.assert_allclose(large.backward(dZ.reshape(Y.shape)), whole.backward(dZ), rtol=1e-12)


# What is built where 256 MiB are left, and how the message begins.
TOO_MUCH_MEMORY = {
    "[('up', Upsample2D(2**13))]": "layer 'up': Unable to allocate 8.00 GiB for an array",
    "[Dense(2**27)]": "layer 'dense1/weight': the weights are too large: Unable to .* 8.5",
    "[Parallel([Conv2D(1, 1, padding=2**14, stride=2**14)])]": (
        r"layer 'parallel1/.*': could not allocate \d+ bytes of work space"
    ),
    "[SelfAttention(relative_position=True), Upsample2D(2)]": "accepted",
    "[Upsample2D(128), ('look', SelfAttention(relative_position=True))]": (
        "layer 'look': Unable to allocate"
    ),
    "[('turn', TransformConv2D(1, 2**12, padding='same'))]": "layer 'turn': Unable to allocate",
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory")
def test_memory_that_the_system_does_not_give(run_python):
    printed = run_python(
        f"""
        import resource
        import numpy as np
        from sklearn_convnet.layers import *
        from sklearn_convnet.network import compile_network

        def attempt(layers):
            network = compile_network(layers, (4, 4, 1))
            Y = network.forward(np.zeros((2, 4, 4, 1)), training=True, n_threads=1)
            network.backward(Y)

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        for layers in {list(TOO_MUCH_MEMORY)}:
            with open("/proc/self/statm") as file:
                used = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, hard))
            try:
                attempt(eval(layers))
                print("accepted")
            except MemoryError as error:
                print(error)
        """
    )
    for message, line in zip(TOO_MUCH_MEMORY.values(), printed.splitlines(), strict=True):
        assert re.match(message, line)
