"""Zeros around maps and cropping, as specs."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from sklearn_convnet import layers as L  # noqa: N812
from sklearn_convnet.network import compile_network

SHAPES = {1: (7, 2), 2: (7, 6, 2), 3: (7, 6, 5, 2)}
LAYERS = [(getattr(L, f"{k}{n}D"), n) for k in ("ZeroPadding", "Cropping") for n in SHAPES]

every_layer = pytest.mark.parametrize(("layer", "n_axes"), LAYERS)


@every_layer
@pytest.mark.parametrize(
    "value", ["same", "valid", -1, 1.0, None, True, (1,) * 4, ((1, 2, 3),) * 3, [(0, -1)] * 3]
)
def test_wrong_borders(layer, n_axes, value):
    name = layer.__name__.removesuffix(f"{n_axes}D").removeprefix("Zero").lower()
    with pytest.raises(ValueError, match=f"^{name} must be an integer of at least 0, or for each"):
        layer(value).output_shape(SHAPES[n_axes])


@every_layer
def test_wrong_number_of_axes(layer, n_axes):
    for n in {1, 2, 3} - {n_axes}:
        with pytest.raises(ValueError, match=f"{layer.__name__} needs maps of shape"):
            layer().output_shape(SHAPES[n])


@every_layer
def test_forms_of_borders(layer, n_axes):
    expected = layer(((2, 2),) * n_axes).output_shape(SHAPES[n_axes])
    for same in (2, (2,) * n_axes, [2] * n_axes, np.full(n_axes, 2), np.full((n_axes, 2), 2)):
        assert layer(same).output_shape(SHAPES[n_axes]) == expected
    assert layer(0).output_shape(SHAPES[n_axes]) == SHAPES[n_axes]


@pytest.mark.parametrize("n_axes", SHAPES)
def test_values(n_axes):
    shape = SHAPES[n_axes]
    borders = ((1, 2), (0, 1), (2, 0))[:n_axes]
    X = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    zeros = compile_network([getattr(L, f"ZeroPadding{n_axes}D")(borders)], shape)
    padded = np.pad(X, ((0, 0), *borders, (0, 0)))
    np.testing.assert_array_equal(zeros.forward(X), padded)
    cut = compile_network([getattr(L, f"Cropping{n_axes}D")(borders)], padded.shape[1:])
    np.testing.assert_array_equal(cut.forward(padded), X)


def test_what_cannot_be_cut_off():
    assert L.Cropping2D(((3, 2), 0)).output_shape((6, 5, 1)) == (1, 5, 1)
    with pytest.raises(ValueError, match=r"cropping \(3, 3\) leaves nothing of the 6 rows"):
        L.Cropping2D(((3, 3), 0)).output_shape((6, 5, 1))


def test_borders_that_no_memory_holds():
    with pytest.raises(ValueError, match="padding is 2147483648, which is more than"):
        L.ZeroPadding1D(2**31).output_shape((7, 1))
    with pytest.raises(ValueError, match="more than the 1099511627776 that are possible"):
        L.ZeroPadding2D(2**30).output_shape((7, 7, 1))


def test_a_pool_sees_zeros_only_if_they_are_a_layer():
    X = np.full((1, 2, 2, 1), -1, np.float32)
    own, zeros = (
        compile_network(layers, (2, 2, 1))
        for layers in (
            [L.MaxPool2D(2, padding=1, stride=2)],
            [L.ZeroPadding2D(1), L.MaxPool2D(2)],
        )
    )
    assert own.forward(X).ravel().tolist() == [-1, -1, -1, -1]
    assert zeros.forward(X).ravel().tolist() == [0, 0, 0, 0]
