"""Pools as specs."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from sklearn_convnet import layers as L  # noqa: N812

SHAPES = {1: (12, 4), 2: (12, 11, 4), 3: (12, 11, 10, 4)}
POOLS = [
    (getattr(L, f"{kind}Pool{n}D"), shape) for kind in ("Max", "Avg") for n, shape in SHAPES.items()
]

every_pool = pytest.mark.parametrize(("pool", "shape"), POOLS)


@every_pool
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pool_size", 0), ("pool_size", 2.0), ("pool_size", None),
        ("pool_size", (2, 2, 2, 2)), ("stride", 0), ("stride", "valid"),
        ("padding", "full"), ("padding", -1), ("padding", 3), ("padding", None),
    ],
)  # fmt: skip
def test_wrong_parameters(pool, shape, name, value):
    layer = pool(3).set_params(**{name: value})
    with pytest.raises(ValueError, match=name):
        layer.output_shape(shape)


@every_pool
def test_wrong_number_of_axes(pool, shape):
    for wrong in [(4,), shape[1:], (2, *shape)]:
        with pytest.raises(ValueError, match=f"{pool.__name__} needs maps of shape"):
            pool(2).output_shape(wrong)


@every_pool
def test_pool_larger_than_the_map(pool, shape):
    with pytest.raises(ValueError, match=r"covers 13.*has 12.*smaller pool_size"):
        pool(13).output_shape(shape)


@every_pool
def test_stride_is_the_pool_size(pool, shape):
    n_axes = len(shape) - 1
    expected = pool(3, stride=3).output_shape(shape)
    assert pool(3).output_shape(shape) == expected
    assert pool((3,) * n_axes).output_shape(shape) == expected
    assert pool(1).output_shape(shape) == shape


@every_pool
def test_padding_must_leave_a_pixel_in_each_window(pool, shape):
    n_axes = len(shape) - 1
    assert pool(3, padding=2).output_shape(shape)
    with pytest.raises(ValueError, match=r"\(0, 3\) must be smaller than the pool_size"):
        pool(3, padding=((0, 3),) * n_axes).output_shape(shape)


@pytest.mark.parametrize("pool", [L.GlobalMaxPool, L.GlobalAvgPool])
def test_global_pools(pool):
    for shape in SHAPES.values():
        assert pool().output_shape(shape) == (4,)
    with pytest.raises(ValueError, match="before Flatten"):
        pool().output_shape((4,))


@pytest.mark.parametrize(
    ("pool_sizes", "stride", "n_axes"),
    [
        ([2, 3], 2, None), ([2, (3, 1)], 2, 2), ([2, 3], (1, 2, 2), 3),
        (np.array([[2], [3]]), 1, 1), ([np.array([2, 3])], 1, 2), (None, 1, None),
    ],
)  # fmt: skip
def test_tuples_tell_the_axes_of_a_heterogeneous_pool(pool_sizes, stride, n_axes):
    assert L.HeterogeneousMaxPool(pool_sizes, stride).n_axes == n_axes


def test_heterogeneous_pools_of_maps_of_any_number_of_axes():
    pool = L.HeterogeneousMaxPool([2, 3], stride=2)
    for shape in SHAPES.values():
        assert pool.output_shape(shape) == (*[-(-size // 2) for size in shape[:-1]], 4)
    for shape in [(4,), (6, 6, 6, 6, 4)]:
        with pytest.raises(ValueError, match="needs maps of one to three axes and channels"):
            pool.output_shape(shape)
    for wrong in (L.HeterogeneousMaxPool([(2, 3)]), L.HeterogeneousMaxPool([2], stride=(1, 1))):
        with pytest.raises(ValueError, match=r"must be an integer of at least 1, got \("):
            wrong.output_shape((6, 4))
