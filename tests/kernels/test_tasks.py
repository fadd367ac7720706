"""Sharing tasks among threads."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest


@cases.every_compiled
@pytest.mark.parametrize("n_threads", [7, 140])
def test_more_threads_than_cores_or_shares(kernels, dtype, n_threads):
    """Each task is done, and once: a product of many k adds to what is there."""
    rng = np.random.default_rng(0)
    X, W = (rng.standard_normal(shape).astype(dtype) for shape in [(1024, 300), (300, 250)])
    expected, Y = np.empty((2, 1024, 250), dtype)
    kernels.dense_forward(X, W, None, expected, "identity", 0.0, 1)
    for _ in range(3):
        Y[:] = 0
        kernels.dense_forward(X, W, None, Y, "identity", 0.0, n_threads)
        cases.assert_same_bits(Y, expected)
