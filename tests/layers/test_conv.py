"""Convolutions as specs: parameters, weights and costs."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from sklearn_convnet.layers import Conv1D, Conv2D, Conv3D

SHAPES = {Conv1D: (12, 4), Conv2D: (12, 11, 4), Conv3D: (12, 11, 10, 4)}

every_conv = pytest.mark.parametrize("conv", SHAPES)


@every_conv
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filters", 0), ("filters", 2.5), ("filters", None), ("filters", "4"),
        ("kernel_size", 0), ("kernel_size", (3, 3, 3, 3)), ("kernel_size", 1.5),
        ("kernel_size", None), ("stride", 0), ("stride", "same"), ("stride", -2),
        ("padding", "full"), ("padding", -1), ("padding", 0.5), ("padding", None),
        ("dilation", 0), ("dilation", (1, 1, 1, 1)),
        ("groups", 0), ("groups", 3), ("groups", 8), ("groups", 1.0),
        ("activation", "Relu"), ("activation", 3), ("activation", np.tanh),
        ("use_bias", "yes"), ("kernel_initializer", "he"), ("trainable", 2),
    ],
)  # fmt: skip
def test_wrong_parameters(conv, name, value):
    layer = conv(8, 3).set_params(**{name: value})  # setting checks nothing
    with pytest.raises(ValueError, match=name):
        layer.output_shape(SHAPES[conv])


@every_conv
def test_groups_must_divide_the_filters(conv):
    with pytest.raises(ValueError, match="groups=4 must divide"):
        conv(6, 3, groups=4).output_shape(SHAPES[conv])


@every_conv
def test_wrong_number_of_axes(conv):
    for shape in [(4,), SHAPES[conv][1:], (2, *SHAPES[conv])]:
        with pytest.raises(ValueError, match=f"{conv.__name__} needs maps of shape"):
            conv(6, 3).output_shape(shape)


@every_conv
def test_filter_larger_than_the_map(conv):
    with pytest.raises(ValueError, match=r"covers 13.*has 12.*smaller kernel_size"):
        conv(6, 13).output_shape(SHAPES[conv])
    with pytest.raises(ValueError, match=r"covers 17.*12, 16 with padding"):
        conv(6, 9, dilation=2, padding=2).output_shape(SHAPES[conv])


@every_conv
def test_weight_shape_and_cost(conv):
    shape = SHAPES[conv]
    n_axes = len(shape) - 1
    layer = conv(6, 3, groups=2)
    assert layer.weight_shape(shape) == (*(3,) * n_axes, 2, 6)
    positions = np.prod(layer.output_shape(shape)[:-1])
    assert layer.multiply_adds(shape) == positions * 3**n_axes * 2 * 6


def test_numpy_integers():
    layer = Conv2D(np.int64(6), np.int32(3), stride=(np.int8(2), 1))
    shape = layer.output_shape((9, 9, 1))
    assert shape == (4, 7, 6)


def test_lists_are_tuples():
    layer = Conv2D(6, [3, 2], stride=[2, 1], padding=[[1, 0], 1], dilation=[1, 2])
    assert layer.output_shape((9, 9, 1)) == (4, 9, 6)


def test_input_shape_may_be_a_list():
    assert Conv1D(2, 3).output_shape([8, 1]) == (6, 2)
