"""Taking the samples of a batch."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

every_source = pytest.mark.parametrize("kernel", ["take_rows", "take_bytes"])


def arrays(kernel, dtype, shape, n_rows, seed=0):
    """X and the rows to take."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, shape, np.uint8)
    if kernel == "take_rows":
        X = cases.random_input(rng, shape, dtype)
    return X, rng.integers(0, len(X), n_rows)


def take(kernels, kernel, dtype, X, rows, n_threads=1):
    Y = cases.output((len(rows), X.shape[1]), dtype)
    getattr(kernels, kernel)(X, rows, Y, n_threads)
    return Y


@cases.every_variant
@every_source
@cases.quick
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(0, 900)), n_rows=st.integers(0, 60),
    seed=cases.seeds, n_threads=cases.thread_counts,
)  # fmt: skip
def test_random(kernels, dtype, kernel, shape, n_rows, seed, n_threads):
    X, rows = arrays(kernel, dtype, shape, n_rows, seed)
    actual = take(kernels, kernel, dtype, X, rows, n_threads)
    cases.assert_same_bits(actual, X[rows].astype(dtype))


@cases.every_variant
def test_every_byte(kernels, dtype):
    X = np.arange(256, dtype=np.uint8).reshape(2, 128)
    Y = take(kernels, "take_bytes", dtype, X, np.array([1, 0]))
    np.testing.assert_array_equal(Y.ravel(), [*range(128, 256), *range(128)])


@cases.every_variant
def test_what_is_no_number_is_copied(kernels, dtype):
    X = np.array([[np.nan, -np.inf], [-0.0, 5e-324]], dtype)
    cases.assert_same_bits(take(kernels, "take_rows", dtype, X, np.array([1, 0, 1])), X[[1, 0, 1]])
