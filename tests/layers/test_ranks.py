"""Layers for signals, images and volumes: the smaller are the degenerate case of the larger."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from inspect import signature

import numpy as np
import pytest

from sklearn_convnet import layers as L  # noqa: N812
from sklearn_convnet.network import compile_network

# Of each family: arguments that are for all axes together, and some that are for each of them.
FAMILIES = {
    "Conv": ({"filters": 4, "groups": 2}, {"kernel_size": 3, "stride": 2, "dilation": 2}),
    "ConvTranspose": (
        {"filters": 4, "groups": 2},
        {"kernel_size": 3, "stride": 3, "dilation": 2, "output_padding": 1},
    ),
    "DepthwiseConv": ({"multiplier": 2}, {"kernel_size": 3, "stride": 2, "dilation": 2}),
    "SeparableConv": ({"filters": 3}, {"kernel_size": 3, "stride": 2}),
    "MaxPool": ({}, {"pool_size": 3, "stride": 2}),
    "AvgPool": ({}, {"pool_size": 3, "stride": 2}),
    "LpPool": ({"p": 3}, {"pool_size": 3, "stride": 2}),
    "HeterogeneousMaxPool": ({}, {"stride": 2}),
    "Upsample": ({}, {"size": 3}),
}
NONE_FOR_AN_AXIS = {"output_padding": 0}

every_family = pytest.mark.parametrize("family", FAMILIES)
ranked = pytest.mark.parametrize("family", sorted({*FAMILIES} - {"HeterogeneousMaxPool"}))


def along_the_last(family, n_axes, **more):
    """A layer that does something along its last axis alone."""
    shared, each = FAMILIES[family]
    axes = {
        name: (NONE_FOR_AN_AXIS.get(name, 1),) * (n_axes - 1) + (value,)
        for name, value in each.items()
    }
    if family == "HeterogeneousMaxPool":
        sizes = [(1,) * (n_axes - 1) + (size,) for size in (1, 4)]
        return L.HeterogeneousMaxPool(sizes, **axes)
    return getattr(L, f"{family}{n_axes}D")(**shared, **axes, **more)


def computed(layer, shape, X, dY=None):
    """What a network of it makes of X: its output, its gradients, and its flat weights."""
    network = compile_network([layer], shape, dtype="float32", random_state=0)
    Y = network.forward(X.reshape(len(X), *shape), training=True)
    dY = np.ones_like(Y) if dY is None else dY.reshape(Y.shape)
    dX = network.backward(dY, need_input=True)
    weights = [*network.parameters().values(), *network.gradients().values()]
    return Y, [Y.ravel(), dX.ravel(), *[w.ravel() for w in weights]]


@every_family
@pytest.mark.parametrize("n_axes", [2, 3])
def test_signals_are_images_and_volumes_of_one_row(family, n_axes):
    more = [{}]
    if family == "Upsample":
        more = [
            {"interpolation": "linear"},
            {"interpolation": "bilinear" if n_axes == 2 else "linear"},
        ]
    X = np.random.default_rng(0).normal(size=(3, 14, 4)).astype(np.float32)
    signal, larger = (
        along_the_last(family, n, **options)
        for n, options in zip((1, n_axes), more * (3 - len(more)), strict=True)
    )
    Y, expected = computed(signal, (14, 4), X)
    dY = np.random.default_rng(1).normal(size=Y.shape).astype(np.float32)
    _, expected = computed(signal, (14, 4), X, dY)
    _, actual = computed(larger, (1,) * (n_axes - 1) + (14, 4), X, dY)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@ranked
def test_all_take_the_same_parameters(family):
    of_images = getattr(L, f"{family}2D")
    for n_axes in (1, 3):
        layer = getattr(L, f"{family}{n_axes}D")
        assert layer.n_axes == n_axes
        assert signature(layer) == signature(of_images)
        assert f":class:`{family}2D`" in layer.__doc__


@ranked
@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_wrong_number_of_axes(family, n_axes):
    layer = along_the_last(family, n_axes)
    for n in {0, 1, 2, 3, 4} - {n_axes}:
        with pytest.raises(ValueError, match=f"{family}{n_axes}D needs maps of shape"):
            layer.output_shape((14,) * n + (4,))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (L.Upsample1D(interpolation="bilinear"), (8, 2), "'linear'"),
        (L.Upsample2D(interpolation="linear"), (8, 8, 2), "'bilinear'"),
        (L.Upsample3D(interpolation="trilinear"), (8, 8, 8, 2), "'linear'"),
        (L.Upsample3D((2, 2)), (8, 8, 8, 2), "size must be .* a tuple of 3 of them"),
        (L.LpPool1D((2, 2)), (8, 2), "pool_size must be an integer of at least 1, got"),
        (L.DepthwiseConv3D((2, 2)), (8, 8, 8, 2), "kernel_size must be .* a tuple of 3"),
        (L.SeparableConv1D(4, 9), (8, 2), "covers 9 along the length, but the map has 8"),
    ],
)
def test_parameters_of_another_rank(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.output_shape(shape)
