"""Transposed convolutions as specs: sizes, weights and costs."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_convnet.layers import ConvTranspose1D, ConvTranspose2D, ConvTranspose3D
from sklearn_convnet.network import compile_network

SHAPES = {ConvTranspose1D: (6, 4), ConvTranspose2D: (6, 5, 4), ConvTranspose3D: (6, 5, 3, 4)}

every_layer = pytest.mark.parametrize("layer", SHAPES)


@every_layer
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filters", 0), ("kernel_size", 0), ("stride", 0), ("padding", "full"),
        ("output_padding", -1), ("output_padding", 2.0), ("dilation", 0),
        ("dilation", (1, 1, 1, 1)), ("dilation", None), ("groups", 0), ("groups", 3),
        ("groups", 8), ("groups", 1.0), ("activation", "Relu"),
    ],
)  # fmt: skip
def test_wrong_parameters(layer, name, value):
    with pytest.raises(ValueError, match=name):
        layer(8, 3).set_params(**{name: value}).output_shape(SHAPES[layer])


@every_layer
def test_groups_must_divide_channels_and_filters(layer):
    with pytest.raises(ValueError, match=r"groups=4 must divide the 4 channels .* 6 filters"):
        layer(6, 3, groups=4).output_shape(SHAPES[layer])


@settings(max_examples=100, deadline=None)
@given(
    size=st.integers(1, 8),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 4),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    data=st.data(),
)
def test_output_size_is_where_the_taps_reach(size, kernel, stride, dilation, padding, data):
    more = data.draw(st.integers(0, stride - 1))
    layer = ConvTranspose1D(
        2, kernel, stride=stride, dilation=dilation, padding=(padding,), output_padding=more
    )
    reached = {i * stride + t * dilation for i in range(size) for t in range(kernel)}
    expected = max(reached) + 1 + more - sum(padding)
    if expected < 1:
        with pytest.raises(ValueError, match=r"leaves nothing of the \d+ rows"):
            layer.output_shape((size, 3))
    else:
        assert layer.output_shape((size, 3)) == (expected, 2)


@every_layer
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_same_is_the_size_times_the_stride(layer, dilation):
    *sizes, _ = SHAPES[layer]
    for stride in (1, 2, 3):
        same = layer(8, 3, stride=stride, padding="same", dilation=dilation)
        assert same.output_shape(SHAPES[layer]) == (*[s * stride for s in sizes], 8)


@every_layer
def test_weights_and_cost_in_groups(layer):
    shape = SHAPES[layer]
    n_axes = len(shape) - 1
    whole, halves = (compile_network([layer(6, 3, groups=g)], shape) for g in (1, 2))
    assert layer(6, 3, groups=2).weight_shape(shape) == (*[3] * n_axes, 4, 3)
    for network in (whole, halves):
        assert next(p for p in network.parameters().values() if p.ndim == 1).shape == (6,)
    assert whole.nodes[0].multiply_adds == 2 * halves.nodes[0].multiply_adds
    fans = [network.nodes[0].weights["weight"] for network in (whole, halves)]
    assert [(w.fan_in, w.fan_out) for w in fans] == [
        (3**n_axes * 4, 3**n_axes * 6),
        (3**n_axes * 2, 3**n_axes * 3),
    ]


@every_layer
def test_groups_do_not_mix(layer):
    shape = SHAPES[layer]
    network = compile_network([layer(6, 3, groups=2, stride=2)], shape, random_state=0)
    X = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    Y = network.forward(X)
    X[..., 2:] = 7
    changed = network.forward(X) != Y
    assert not changed[..., :3].any()
    assert changed[..., 3:].any()
