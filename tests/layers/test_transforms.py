"""Transforms of filters as matrices, groups, and layers that ask for them."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from sklearn_convnet.layers import (
    BatchNorm,
    TransformConv1D,
    TransformConv2D,
    TransformConv3D,
    TransformPool,
    reflection,
    rotation,
    scaling,
)
from sklearn_convnet.layers.transforms import (
    GROUPS,
    filter_transform,
    group_order,
    transform_matrices,
)

SIZES = {"pm": 2, "p4": 4, "p4m": 8, "O": 24, "Oh": 48}
NAMED = [(name, n_axes) for n_axes, names in GROUPS.items() for name in names]


def test_every_group_with_a_name_is_met_here():
    assert SIZES.keys() == {name for name, _ in NAMED}


@pytest.mark.parametrize(("name", "n_axes"), NAMED)
def test_groups_with_names(name, n_axes):
    matrices = transform_matrices(name, n_axes)
    assert len(matrices) == SIZES[name]
    assert len({tuple(matrix.ravel()) for matrix in matrices}) == SIZES[name]
    np.testing.assert_array_equal(matrices[0], np.eye(n_axes))
    order = group_order(matrices)
    for t, one in enumerate(matrices):
        for s, other in enumerate(matrices):
            np.testing.assert_array_equal(one @ matrices[order[t, s]], other)


@pytest.mark.parametrize(("name", "n_axes"), NAMED)
def test_a_filter_is_moved_without_rounding(name, n_axes):
    kernel = (3, 3, 3)[:n_axes]
    w = np.random.RandomState(0).normal(size=kernel)
    products = {}
    matrices = transform_matrices(name, n_axes)
    for t, matrix in enumerate(matrices):
        moved = filter_transform(matrix, kernel) @ w.ravel()
        assert sorted(moved) == sorted(w.ravel())
        products[t] = moved
    # One after the other is their product.
    order = group_order(matrices)
    for t, one in enumerate(matrices):
        for s in range(len(matrices)):
            again = filter_transform(one, kernel) @ products[order[t, s]]
            np.testing.assert_array_equal(again, products[s])


def test_rotations_of_a_volume():
    V = np.random.RandomState(0).normal(size=(4, 4, 4))  # z, y, x

    def turned(axis):
        return (filter_transform(rotation(90, axis=axis), V.shape) @ V.ravel()).reshape(V.shape)

    np.testing.assert_array_equal(turned("z"), np.rot90(V, axes=(1, 2)))  # as an image
    np.testing.assert_array_equal(turned("x"), np.rot90(V, axes=(0, 1)))
    np.testing.assert_array_equal(turned("y"), np.rot90(V, axes=(2, 0)))


def test_a_mirrored_and_a_slower_signal():
    w = np.arange(5.0)
    mirrored = filter_transform(reflection(n_axes=1), (5,)) @ w
    np.testing.assert_array_equal(mirrored, w[::-1])
    slower = filter_transform(scaling(2, n_axes=1), (5,)) @ w
    np.testing.assert_allclose(slower, [1, 1.5, 2, 2.5, 3])


def test_rotation_needs_an_axis_that_there_is():
    with pytest.raises(ValueError, match="axis must be 'x', 'y', 'z' or None, got 'w'"):
        rotation(90, axis="w")


@pytest.mark.parametrize("n_axes", [0, 4, None])
def test_matrices_of_maps_that_there_are(n_axes):
    with pytest.raises(ValueError, match=f"n_axes must be 1, 2 or 3, got {n_axes}"):
        reflection(n_axes)
    with pytest.raises(ValueError, match=f"n_axes must be 1, 2 or 3, got {n_axes}"):
        scaling(2, n_axes)


THIRDS = [rotation(120 * k) for k in range(3)]


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (TransformConv1D(1, 3, "p4"), (8, 2), "must be one of 'auto', 'pm' or a list of 1 x 1"),
        (TransformConv2D(1, 3, "Oh"), (8, 8, 2), "'auto', 'p4', 'p4m' or a list of 2 x 2 mat"),
        (TransformConv3D(1, 3, "p4"), (8, 8, 8, 2), "'auto', 'O', 'Oh' or a list of 3 x 3 mat"),
        (TransformConv2D(1, 3, []), (8, 8, 2), r"list of 2 x 2 matrices, got \[\]"),
        (
            TransformConv2D(1, 3, [np.eye(3)]),
            (8, 8, 2),
            "must be a 2 x 2 matrix of finite numbers, got",
        ),
        (TransformConv2D(1, 3, [rotation(np.nan)]), (8, 8, 2), "of finite numbers, got"),
        (TransformConv2D(1, 3, [[[1, 1], [1, 1]]]), (8, 8, 2), "must be invertible, got"),
        (
            TransformConv2D(1, 3, [*THIRDS, reflection()], group_input=True),
            (8, 8, 4),
            r"must be a group: the product of transforms 1 and 3, \[\[0.49999.*\]\], is missing",
        ),
        (
            TransformConv1D(1, 3, [scaling(2, n_axes=1)], group_input=True),
            (8, 1),
            r"the product of transforms 0 and 0, \[\[4.0\]\], is missing",
        ),
        (
            TransformConv2D(1, 3, [*THIRDS, np.eye(2)], group_input=True),
            (8, 8, 4),
            "a group, each of its elements once: transforms 0 and 3 are equal",
        ),
        (
            TransformConv2D(1, 3, group_input=True),
            (8, 8, 6),
            "group_input=True needs as many maps for each of 4 transforms, but its input has 6 ch",
        ),
        (TransformConv2D(1, 3, group_input="yes"), (8, 8, 4), "'group_input' parameter"),
        (TransformPool(4), (8, 8, 6), "TransformPool needs as many maps for each of 4 transf"),
        (TransformPool(0), (8, 8, 6), "'n_transforms' parameter"),
        (TransformPool(2, "sum"), (8, 8, 6), "'pool' parameter"),
        (BatchNorm(n_transforms=4), (8, 6), "n_transforms=4 needs as many maps for each of 4"),
        (BatchNorm(n_transforms=0), (8, 6), "'n_transforms' parameter"),
    ],
)
def test_what_is_refused(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.output_shape(shape)


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (TransformConv1D(2, 3), "pm"),
        (TransformConv2D(2, 3), "p4"),
        (TransformConv3D(2, 3), "O"),
    ],
)
def test_auto(layer, named):
    shape = (*[5] * layer.n_axes, 1)
    assert layer.output_shape(shape) == (*[3] * layer.n_axes, 2 * SIZES[named])
    np.testing.assert_array_equal(layer.matrices(), transform_matrices(named, layer.n_axes))


def test_weights_of_a_layer_over_all_transforms_are_shared():
    layer = TransformConv2D(8, 3, "p4m", group_input=True)
    assert layer.weight_shape((6, 6, 40)) == (3, 3, 40, 8)  # not 64
    assert layer.output_shape((6, 6, 40)) == (4, 4, 64)
