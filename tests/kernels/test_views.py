"""Typed views of arrays."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest


@cases.every_variant
def test_kernels_take_the_view_of_an_array(kernels, dtype):
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((2, 1, 6, 6, 3)).astype(dtype), np.ones((1, 1, 1, 3, 4), dtype)
    scale, b = np.full(4, 0.5, dtype), np.zeros(4, dtype)
    W.flags.writeable = False  # as in a network that was loaded from a memory map
    shape = (2, 1, 3, 3, 4)
    results = []
    for view in (np.asarray, kernels.view):
        Y, index = np.empty(shape, dtype), np.empty(shape, np.int32)
        arrays = [view(a) for a in (X, W, scale, b, Y, index)]
        same = cases.ONES, cases.NO_PADDING, cases.ONES, 1
        kernels.conv_forward(*arrays, None, *same, "relu", 0.0, (1, 2, 2), 1)
        results.append((Y, index))
    for of_array, of_view in zip(*results, strict=True):
        cases.assert_same_bits(of_view, of_array)


@cases.every_compiled
@pytest.mark.parametrize("n_axes", range(1, 6))
def test_a_view_has_the_shape_and_keeps_the_array(kernels, dtype, n_axes):
    view = kernels.view(np.full((2, 3, 1, 2, 1)[:n_axes], 7, dtype))
    assert not isinstance(view, np.ndarray)
    assert view.shape == (2, 3, 1, 2, 1)[:n_axes]
    assert np.all(np.asarray(view) == 7)


@cases.every_compiled
@pytest.mark.parametrize("n_axes", [1, 2, 4, 5])
def test_places_have_a_view(kernels, dtype, n_axes):
    view = kernels.view(np.full((2, 3, 1, 2, 1)[:n_axes], 7, np.int32))
    assert not isinstance(view, np.ndarray)
    assert np.all(np.asarray(view) == 7)


@cases.every_compiled
def test_other_arrays_as_they_are(kernels, dtype):
    others = np.zeros(3, np.int64), np.zeros((1,) * 6, dtype), np.zeros(2, np.float16)
    assert all(kernels.view(array) is array for array in others)
    with pytest.raises(ValueError, match="contiguous"):
        kernels.view(np.zeros((4, 4), dtype)[:, ::2])
