"""The maximum over pieces side by side."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_convnet.kernels import reference

# Around one chunk of units, and around the size from which on threads share the work.
SHAPES = [(1, 1), (5, 300), (8191, 2), (8192, 2), (8193, 3), (20_000, 4)]


def maxout(kernels, X, n_threads=1, with_index=True):
    """Y and index."""
    Y = cases.output(len(X), X.dtype)
    index = cases.output(len(X), np.int32) if with_index else None
    kernels.maxout_forward(X, Y, index, n_threads)
    return Y, index


def backward(kernels, dY, index, n_pieces, n_threads=1):
    dX = cases.output((len(dY), n_pieces), dY.dtype)
    kernels.maxout_backward(dY, index, dX, n_threads)
    return dX


def assert_like_reference(kernels, X, dY, n_threads):
    """A maximum is not rounded, so that bits are compared."""
    (Y, index), (expected, places) = maxout(kernels, X, n_threads), maxout(reference, X)
    cases.assert_same_bits(Y, expected)
    cases.assert_same_bits(index, places)
    n_pieces = X.shape[1]
    cases.assert_same_bits(
        backward(kernels, dY, index, n_pieces, n_threads),
        backward(reference, dY, places, n_pieces),
    )


def with_ties(rng, shape, dtype):
    """Few different numbers, and some that are none."""
    values = np.array([-np.inf, -1, 0.5, 2, np.inf, np.nan], dtype)
    return rng.choice(values, shape)


@cases.every_compiled
@cases.quick
@given(
    m=st.integers(1, 200),
    n_pieces=st.integers(1, 9),
    ties=st.booleans(),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
)
def test_like_reference(kernels, dtype, m, n_pieces, ties, seed, n_threads):
    rng = np.random.default_rng(seed)
    draw = with_ties if ties else cases.random_input
    X, dY = draw(rng, (m, n_pieces), dtype), cases.random_input(rng, m, dtype)
    assert_like_reference(kernels, X, dY, n_threads)


@cases.every_compiled
@pytest.mark.parametrize("shape", SHAPES)
def test_larger_like_reference(kernels, dtype, shape):
    rng = np.random.default_rng(0)
    X, dY = (cases.random_input(rng, size, dtype) for size in (shape, shape[0]))
    for n_threads in cases.THREADS:
        assert_like_reference(kernels, X, dY, n_threads)


@cases.every_compiled
def test_batch_does_not_matter(kernels, dtype):
    X = cases.random_input(np.random.default_rng(0), (19, 60), dtype)
    cases.assert_batch_does_not_matter(
        lambda X: maxout(kernels, X.reshape(-1, 3))[0].reshape(len(X), -1), X
    )


@cases.every_variant
def test_the_first_of_a_tie_and_what_is_no_number(kernels, dtype):
    nan, inf = np.nan, np.inf
    X = [[1, 3, 3], [2, 2, 2], [nan, 5, nan], [1, nan, inf], [-inf, -inf, -inf], [0.0, -0.0, -1]]
    Y, index = maxout(kernels, np.array(X, dtype))
    np.testing.assert_array_equal(Y, [3, 2, nan, nan, -inf, 0])
    np.testing.assert_array_equal(index, [1, 0, 0, 1, 0, 0])
    dX = backward(kernels, np.arange(1, 7).astype(dtype), index, 3)
    expected = [[0, 1, 0], [2, 0, 0], [3, 0, 0], [0, 4, 0], [5, 0, 0], [6, 0, 0]]
    np.testing.assert_array_equal(dX, expected)


@cases.every_variant
def test_gradient_is_the_adjoint(kernels, dtype):
    rng = np.random.default_rng(0)
    X, dY = cases.random_input(rng, (40, 4), dtype), cases.random_input(rng, 40, dtype)
    Y, index = maxout(kernels, X)
    products = np.vdot(X, backward(kernels, dY, index, 4))
    assert products == pytest.approx(np.vdot(Y, dY), rel=1e-5)
