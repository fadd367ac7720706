"""Enlarging maps, and its adjoint."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import product

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import zoom

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)
every_case = pytest.mark.parametrize("case", cases.UPSAMPLE_CASES)
both_modes = pytest.mark.parametrize("linear", [False, True])

sizes = st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7))
factors = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
upsample_cases = st.tuples(st.integers(1, 4), sizes, st.integers(1, 35), factors)


def enlarged(size, factors):
    return tuple(s * k for s, k in zip(size, factors, strict=True))


def arrays(case, dtype, seed=0):
    """X and dY."""
    n, size, channels, factors = case
    rng = np.random.default_rng(seed)
    shapes = (n, *size, channels), (n, *enlarged(size, factors), channels)
    return [cases.random_input(rng, shape, dtype) for shape in shapes]


def forward(kernels, factors, X, linear, n_threads=1):
    n, *size, channels = X.shape
    Y = cases.output((n, *enlarged(size, factors), channels), X.dtype)
    kernels.upsample_forward(X, Y, linear, n_threads)
    return Y


def backward(kernels, factors, dY, linear, n_threads=1):
    n, *size, channels = dY.shape
    small = [s // k for s, k in zip(size, factors, strict=True)]
    dX = cases.output((n, *small, channels), dY.dtype)
    kernels.upsample_backward(dY, dX, linear, n_threads)
    return dX


def assert_like_reference(kernels, case, dtype, linear, seed=0, n_threads=1):
    factors = case[-1]
    X, dY = arrays(case, dtype, seed)
    cases.assert_close(
        forward(kernels, factors, X, linear, n_threads),
        forward(reference, factors, X, linear),
        floor=1.0,
    )
    cases.assert_close(
        backward(kernels, factors, dY, linear, n_threads),
        backward(reference, factors, dY, linear),
        floor=1.0,
    )


# ---------------------------------------------------------------------------
# Compiled kernels
# ---------------------------------------------------------------------------


@cases.every_compiled
@cases.quick
@given(
    case=upsample_cases,
    linear=st.booleans(),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
)
def test_like_reference(kernels, dtype, case, linear, seed, n_threads):
    assert_like_reference(kernels, case, dtype, linear, seed, n_threads)


@cases.every_compiled
@both_modes
@every_case
def test_larger_like_reference(kernels, dtype, case, linear):
    assert_like_reference(kernels, cases.UPSAMPLE_CASES[case], dtype, linear, n_threads=2)


@cases.every_compiled
@both_modes
@every_case
def test_threads_and_batch_do_not_matter(kernels, dtype, case, linear):
    case = (max(9, cases.UPSAMPLE_CASES[case][0]), *cases.UPSAMPLE_CASES[case][1:])
    factors = case[-1]
    X, dY = arrays(case, dtype)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            forward(kernels, factors, X, linear, n_threads),
            backward(kernels, factors, dY, linear, n_threads),
        ]
    )
    cases.assert_batch_does_not_matter(lambda X: forward(kernels, factors, X, linear, 2), X)


# ---------------------------------------------------------------------------
# All kernels
# ---------------------------------------------------------------------------


@cases.every_variant
def test_nearest_is_a_repetition(kernels, dtype):
    X, _ = arrays((2, (2, 3, 4), 5, (4, 2, 3)), dtype)

    Y = forward(kernels, (4, 2, 3), X, False)

    np.testing.assert_array_equal(Y, np.kron(X, np.ones((1, 4, 2, 3, 1), dtype)))


@cases.every_variant
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nearest_leaves_a_gap_where_it_is(kernels, dtype, value):
    X = np.zeros((1, 3, 3, 3, 1), dtype)
    X[0, 1, 1, 1] = value

    Y = forward(kernels, (2, 2, 2), X, False)

    np.testing.assert_array_equal(Y[0, 2:4, 2:4, 2:4], value)
    assert np.count_nonzero(Y) == 8


@cases.every_compiled
def test_a_neighbour_without_weight_may_be_infinite(kernels, dtype):
    # The centre of every second pixel lies on one of the small map.
    X = np.zeros((1, 3, 3, 3, 2), dtype)
    X[0, 1, 1, 1] = np.inf

    Y = forward(kernels, (3, 3, 3), X, True)

    assert np.isfinite(Y[0, 1::3, 1::3, 1::3]).sum() == 2 * (27 - 1)
    assert not np.isnan(Y).any()


@cases.every_variant
def test_linear_by_hand(kernels, dtype):
    X = np.array([0, 4, 12], dtype).reshape(1, 1, 1, 3, 1)

    np.testing.assert_allclose(
        forward(kernels, (1, 1, 2), X, True).ravel(), [0, 1, 3, 6, 10, 12], rtol=1e-6
    )
    np.testing.assert_allclose(
        forward(kernels, (1, 1, 3), X, True).ravel(),
        [0, 0, 4 / 3, 8 / 3, 4, 20 / 3, 28 / 3, 12, 12],
        rtol=1e-6,
        atol=1e-6,
    )


@cases.every_variant
@both_modes
def test_constant_stays_constant(kernels, dtype, linear):
    X = np.full((2, 2, 3, 4, 5), 3, dtype)
    np.testing.assert_allclose(forward(kernels, (2, 4, 3), X, linear), 3, rtol=1e-6)


# ---------------------------------------------------------------------------
# The twin, against its definition
# ---------------------------------------------------------------------------

TINY = [
    (2, (1, 3, 4), 2, (1, 2, 3)),
    (1, (1, 1, 5), 3, (1, 4, 1)),
    (2, (2, 2, 2), 1, (2, 3, 5)),
    (1, (3, 1, 4), 2, (3, 1, 2)),
]
every_tiny = pytest.mark.parametrize("case", TINY)


@every_tiny
def test_linear_is_the_definition(case):
    n, size, channels, factors = case
    X, _ = arrays(case, float64)
    expected = np.zeros((n, *enlarged(size, factors), channels))
    for i, *out, c in np.ndindex(expected.shape):
        axes = []
        for o, s, k in zip(out, size, factors, strict=True):
            at = min(max((o + 0.5) / k - 0.5, 0), s - 1)
            first = int(at)
            axes.append([(first, 1 - at + first), (min(first + 1, s - 1), at - first)])
        for corner in product(*axes):
            places, shares = zip(*corner, strict=True)
            expected[(i, *out, c)] += np.prod(shares) * X[(i, *places, c)]

    np.testing.assert_allclose(forward(reference, factors, X, True), expected, rtol=0, atol=1e-14)


@every_tiny
def test_linear_is_scipy_zoom(case):
    X, _ = arrays(case, float64)
    factors = case[-1]
    expected = zoom(X, (1, *factors, 1), order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(forward(reference, factors, X, True), expected, rtol=0, atol=1e-14)


@cases.quick
@given(case=upsample_cases, linear=st.booleans(), seed=cases.seeds)
def test_adjoint(case, linear, seed):
    X, dY = arrays(case, float64, seed)
    Y = forward(reference, case[-1], X, linear)
    dX = backward(reference, case[-1], dY, linear)
    scale = 1 + np.linalg.norm(Y) * np.linalg.norm(dY)

    assert abs(np.vdot(Y, dY) - np.vdot(X, dX)) <= 1e-13 * scale


@both_modes
@every_tiny
def test_gradient_is_central_differences(case, linear):
    X, dY = arrays(case, float64)
    cases.assert_gradient(
        backward(reference, case[-1], dY, linear),
        lambda X: np.vdot(forward(reference, case[-1], X, linear), dY),
        X,
    )
