"""Enlarging images, and its adjoint."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import zoom

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)
every_case = pytest.mark.parametrize("case", cases.UPSAMPLE_CASES)
both_modes = pytest.mark.parametrize("bilinear", [False, True])

sizes = st.integers(1, 7)
upsample_cases = st.tuples(
    st.integers(1, 4), sizes, sizes, st.integers(1, 35),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
)  # fmt: skip


def arrays(case, dtype, seed=0):
    """X and dY."""
    n, height, width, channels, (k_h, k_w) = case
    rng = np.random.default_rng(seed)
    shapes = (n, height, width, channels), (n, height * k_h, width * k_w, channels)
    return [cases.random_input(rng, shape, dtype) for shape in shapes]


def forward(kernels, factors, X, bilinear, n_threads=1):
    n, height, width, channels = X.shape
    k_h, k_w = factors
    Y = cases.output((n, height * k_h, width * k_w, channels), X.dtype)
    kernels.upsample_forward(X, Y, bilinear, n_threads)
    return Y


def backward(kernels, factors, dY, bilinear, n_threads=1):
    n, height, width, channels = dY.shape
    k_h, k_w = factors
    dX = cases.output((n, height // k_h, width // k_w, channels), dY.dtype)
    kernels.upsample_backward(dY, dX, bilinear, n_threads)
    return dX


def assert_like_reference(kernels, case, dtype, bilinear, seed=0, n_threads=1):
    factors = case[-1]
    X, dY = arrays(case, dtype, seed)
    cases.assert_close(
        forward(kernels, factors, X, bilinear, n_threads),
        forward(reference, factors, X, bilinear),
        floor=1.0,
    )
    cases.assert_close(
        backward(kernels, factors, dY, bilinear, n_threads),
        backward(reference, factors, dY, bilinear),
        floor=1.0,
    )


# ---------------------------------------------------------------------------
# Compiled kernels
# ---------------------------------------------------------------------------


@cases.every_compiled
@cases.quick
@given(
    case=upsample_cases,
    bilinear=st.booleans(),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
)
def test_like_reference(kernels, dtype, case, bilinear, seed, n_threads):
    assert_like_reference(kernels, case, dtype, bilinear, seed, n_threads)


@cases.every_compiled
@both_modes
@every_case
def test_larger_like_reference(kernels, dtype, case, bilinear):
    assert_like_reference(kernels, cases.UPSAMPLE_CASES[case], dtype, bilinear, n_threads=2)


@cases.every_compiled
@both_modes
@every_case
def test_threads_and_batch_do_not_matter(kernels, dtype, case, bilinear):
    case = (max(9, cases.UPSAMPLE_CASES[case][0]), *cases.UPSAMPLE_CASES[case][1:])
    factors = case[-1]
    X, dY = arrays(case, dtype)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            forward(kernels, factors, X, bilinear, n_threads),
            backward(kernels, factors, dY, bilinear, n_threads),
        ]
    )
    cases.assert_batch_does_not_matter(lambda X: forward(kernels, factors, X, bilinear, 2), X)


# ---------------------------------------------------------------------------
# All kernels
# ---------------------------------------------------------------------------


@cases.every_variant
def test_nearest_is_a_repetition(kernels, dtype):
    X, _ = arrays((2, 3, 4, 5, (2, 3)), dtype)

    Y = forward(kernels, (2, 3), X, False)

    np.testing.assert_array_equal(Y, np.kron(X, np.ones((1, 2, 3, 1), dtype)))


@cases.every_variant
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nearest_leaves_a_gap_where_it_is(kernels, dtype, value):
    X = np.zeros((1, 3, 3, 1), dtype)
    X[0, 1, 1] = value

    Y = forward(kernels, (2, 2), X, False)

    np.testing.assert_array_equal(Y[0, 2:4, 2:4], value)
    assert np.count_nonzero(Y) == 4


@cases.every_variant
def test_bilinear_by_hand(kernels, dtype):
    X = np.array([0, 4, 12], dtype).reshape(1, 1, 3, 1)

    np.testing.assert_allclose(
        forward(kernels, (1, 2), X, True).ravel(), [0, 1, 3, 6, 10, 12], rtol=1e-6
    )
    np.testing.assert_allclose(
        forward(kernels, (1, 3), X, True).ravel(),
        [0, 0, 4 / 3, 8 / 3, 4, 20 / 3, 28 / 3, 12, 12],
        rtol=1e-6,
        atol=1e-6,
    )


@cases.every_variant
@both_modes
def test_constant_stays_constant(kernels, dtype, bilinear):
    X = np.full((2, 3, 4, 5), 3, dtype)
    np.testing.assert_allclose(forward(kernels, (4, 3), X, bilinear), 3, rtol=1e-6)


# ---------------------------------------------------------------------------
# The twin, against its definition
# ---------------------------------------------------------------------------

TINY = [(2, 3, 4, 2, (2, 3)), (1, 1, 5, 3, (4, 1)), (2, 2, 2, 1, (3, 5))]
every_tiny = pytest.mark.parametrize("case", TINY)


@every_tiny
def test_bilinear_is_the_definition(case):
    n, height, width, channels, (k_h, k_w) = case
    X, _ = arrays(case, float64)
    expected = np.zeros((n, height * k_h, width * k_w, channels))
    for i, h, w, c in np.ndindex(expected.shape):
        y = min(max((h + 0.5) / k_h - 0.5, 0), height - 1)
        x = min(max((w + 0.5) / k_w - 0.5, 0), width - 1)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        t, u = y - top, x - left
        upper = (1 - u) * X[i, top, left, c] + u * X[i, top, right, c]
        lower = (1 - u) * X[i, bottom, left, c] + u * X[i, bottom, right, c]
        expected[i, h, w, c] = (1 - t) * upper + t * lower

    np.testing.assert_allclose(
        forward(reference, (k_h, k_w), X, True), expected, rtol=0, atol=1e-14
    )


@every_tiny
def test_bilinear_is_scipy_zoom(case):
    X, _ = arrays(case, float64)
    factors = case[-1]
    expected = zoom(X, (1, *factors, 1), order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(forward(reference, factors, X, True), expected, rtol=0, atol=1e-14)


@cases.quick
@given(case=upsample_cases, bilinear=st.booleans(), seed=cases.seeds)
def test_adjoint(case, bilinear, seed):
    X, dY = arrays(case, float64, seed)
    Y = forward(reference, case[-1], X, bilinear)
    dX = backward(reference, case[-1], dY, bilinear)
    scale = 1 + np.linalg.norm(Y) * np.linalg.norm(dY)

    assert abs(np.vdot(Y, dY) - np.vdot(X, dX)) <= 1e-13 * scale


@both_modes
@every_tiny
def test_gradient_is_central_differences(case, bilinear):
    X, dY = arrays(case, float64)
    cases.assert_gradient(
        backward(reference, case[-1], dY, bilinear),
        lambda X: np.vdot(forward(reference, case[-1], X, bilinear), dY),
        X,
    )
