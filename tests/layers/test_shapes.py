"""The arithmetic of windows, against counting them."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_convnet.layers import (
    AvgPool2D,
    Conv1D,
    Conv2D,
    Conv3D,
    MaxPool1D,
    MaxPool3D,
)
from sklearn_convnet.layers.shapes import per_axis, split_shape, window_padding

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
