"""Pooling and its gradients."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import replace
from itertools import product

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import GroupPoolCase, PoolCase

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)
every_case = pytest.mark.parametrize("case", cases.POOL_CASES)

global_shapes = st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 35))
# Numbers, numbers with many ties, and numbers with gaps.
contents = st.sampled_from(["numbers", "ties", "gaps"])


def make_input(shape, dtype, seed=0, content="numbers"):
    rng = np.random.default_rng(seed)
    X = cases.random_input(rng, shape, dtype).copy()
    if content == "ties":
        X = rng.integers(-1, 2, shape).astype(dtype)
    if content == "gaps":
        X[rng.random(shape) < 0.3] = np.nan
        X[rng.random(shape) < 0.3] = -np.inf
    X.flags.writeable = False
    return X


def maxpool(kernels, case, X, n_threads=1, with_index=True):
    """Y and index."""
    shape = (len(X), *case.output_shape[1:])
    Y = cases.output(shape, X.dtype)
    index = cases.output(shape, np.int32) if with_index else None
    kernels.maxpool_forward(X, Y, index, *case.options, n_threads)
    return Y, index


def maxpool_backward(kernels, case, dY, index, n_threads=1):
    dX = cases.output(case.input_shape, dY.dtype)
    kernels.maxpool_backward(dY, index, dX, n_threads)
    return dX


def avgpool(kernels, case, X, n_threads=1):
    Y = cases.output((len(X), *case.output_shape[1:]), X.dtype)
    kernels.avgpool_forward(X, Y, *case.options, n_threads)
    return Y


def avgpool_backward(kernels, case, dY, n_threads=1):
    dX = cases.output(case.input_shape, dY.dtype)
    kernels.avgpool_backward(dY, dX, *case.options, n_threads)
    return dX


def globalmax(kernels, X, n_threads=1, with_index=True):
    """Y and index."""
    Y = cases.output((len(X), X.shape[2]), X.dtype)
    index = cases.output(Y.shape, np.int32) if with_index else None
    kernels.globalmax_forward(X, Y, index, n_threads)
    return Y, index


def globalmax_backward(kernels, dY, index, n_pixels, n_threads=1):
    dX = cases.output((len(dY), n_pixels, dY.shape[1]), dY.dtype)
    kernels.globalmax_backward(dY, index, dX, n_threads)
    return dX


def globalavg(kernels, X, n_threads=1):
    Y = cases.output((len(X), X.shape[2]), X.dtype)
    kernels.globalavg_forward(X, Y, n_threads)
    return Y


def globalavg_backward(kernels, dY, n_pixels, n_threads=1):
    dX = cases.output((len(dY), n_pixels, dY.shape[1]), dY.dtype)
    kernels.globalavg_backward(dY, dX, n_threads)
    return dX


# ---------------------------------------------------------------------------
# Compiled kernels
# ---------------------------------------------------------------------------


def assert_like_reference(kernels, case, dtype, seed=0, n_threads=1, content="numbers"):
    X = make_input(case.input_shape, dtype, seed, content)
    dY = make_input(case.output_shape, dtype, seed + 1)

    # Nothing is computed, so nothing is rounded.
    Y, index = maxpool(reference, case, X)
    actual_Y, actual_index = maxpool(kernels, case, X, n_threads)
    np.testing.assert_array_equal(actual_Y, Y)
    np.testing.assert_array_equal(actual_index, index)
    np.testing.assert_array_equal(maxpool(kernels, case, X, n_threads, False)[0], Y)
    cases.assert_close(
        maxpool_backward(kernels, case, dY, index, n_threads),
        maxpool_backward(reference, case, dY, index),
        floor=1.0,
    )

    X = make_input(case.input_shape, dtype, seed)
    cases.assert_close(avgpool(kernels, case, X, n_threads), avgpool(reference, case, X), floor=0.1)
    cases.assert_close(
        avgpool_backward(kernels, case, dY, n_threads),
        avgpool_backward(reference, case, dY),
        floor=0.1,
    )


@cases.every_compiled
@cases.quick
@given(
    case=cases.pool_cases(),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
    content=contents,
)
def test_like_reference(kernels, dtype, case, seed, n_threads, content):
    assert_like_reference(kernels, case, dtype, seed, n_threads, content)


@cases.every_compiled
@every_case
def test_larger_like_reference(kernels, dtype, case):
    assert_like_reference(kernels, cases.POOL_CASES[case], dtype, n_threads=2)


@cases.every_compiled
@cases.quick
@given(
    shape=global_shapes,
    seed=cases.seeds,
    n_threads=cases.thread_counts,
    content=contents,
)
def test_global_like_reference(kernels, dtype, shape, seed, n_threads, content):
    n, n_pixels, n_channels = shape
    X = make_input(shape, dtype, seed, content)
    dY = make_input((n, n_channels), dtype, seed + 1)

    Y, index = globalmax(reference, X)
    actual_Y, actual_index = globalmax(kernels, X, n_threads)
    np.testing.assert_array_equal(actual_Y, Y)
    np.testing.assert_array_equal(actual_index, index)
    np.testing.assert_array_equal(globalmax(kernels, X, n_threads, False)[0], Y)
    np.testing.assert_array_equal(
        globalmax_backward(kernels, dY, index, n_pixels, n_threads),
        globalmax_backward(reference, dY, index, n_pixels),
    )

    X = make_input(shape, dtype, seed)
    cases.assert_close(globalavg(kernels, X, n_threads), globalavg(reference, X), floor=0.1)
    cases.assert_close(
        globalavg_backward(kernels, dY, n_pixels, n_threads),
        globalavg_backward(reference, dY, n_pixels),
    )


@cases.every_compiled
@every_case
def test_threads_do_not_matter(kernels, dtype, case):
    case = cases.POOL_CASES[case]
    X = make_input(case.input_shape, dtype)
    dY = make_input(case.output_shape, dtype)
    _, index = maxpool(reference, case, X)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            *maxpool(kernels, case, X, n_threads),
            maxpool_backward(kernels, case, dY, index, n_threads),
            avgpool(kernels, case, X, n_threads),
            avgpool_backward(kernels, case, dY, n_threads),
        ]
    )


@cases.every_compiled
def test_global_threads_do_not_matter(kernels, dtype):
    X = make_input((19, 150, 67), dtype)
    dY = make_input((19, 67), dtype)
    _, index = globalmax(reference, X)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            *globalmax(kernels, X, n_threads),
            globalmax_backward(kernels, dY, index, 150, n_threads),
            globalavg(kernels, X, n_threads),
            globalavg_backward(kernels, dY, 150, n_threads),
        ]
    )


@cases.every_compiled
@every_case
def test_batch_does_not_matter(kernels, dtype, case):
    case = replace(cases.POOL_CASES[case], n=19)
    X = make_input(case.input_shape, dtype)

    for forward in (
        lambda X: maxpool(kernels, case, X, 2)[0],
        lambda X: maxpool(kernels, case, X, 2)[1],
        lambda X: maxpool(kernels, case, X, 2, with_index=False)[0],
        lambda X: avgpool(kernels, case, X, 2),
    ):
        cases.assert_batch_does_not_matter(forward, X)


@cases.every_compiled
@pytest.mark.parametrize(("n_pixels", "n_channels"), [(1, 3), (49, 67), (300, 16)])
def test_global_batch_does_not_matter(kernels, dtype, n_pixels, n_channels):
    X = make_input((19, n_pixels, n_channels), dtype)

    for forward in (
        lambda X: globalmax(kernels, X, 2)[0],
        lambda X: globalmax(kernels, X, 2)[1],
        lambda X: globalavg(kernels, X, 2),
    ):
        cases.assert_batch_does_not_matter(forward, X)


@cases.every_compiled
@pytest.mark.parametrize("n_channels", [1, 3, 8, 70])
@pytest.mark.parametrize("size", [9, 40, 201])
def test_means_far_from_zero(kernels, dtype, n_channels, size):
    """What tells maps apart may be a ten-thousandth of what they have in common."""
    rng = np.random.default_rng(0)
    X = (1e4 + rng.uniform(-1, 1, (1, 1, size, size, n_channels))).astype(dtype)
    expected = X.astype(np.float64).mean(axis=(1, 2, 3))
    case = PoolCase(1, (1, size, size), n_channels, (1, size, size), (1, size, size))
    for actual in (
        globalavg(kernels, X.reshape(1, size * size, n_channels)),
        avgpool(kernels, case, X)[:, 0, 0, 0],
    ):
        np.testing.assert_allclose(actual, expected, rtol=max(np.finfo(dtype).eps, 1e-13))


# ---------------------------------------------------------------------------
# All kernels: ties, gaps, overlaps
# ---------------------------------------------------------------------------


@cases.every_variant
def test_first_of_a_tie(kernels, dtype):
    case = PoolCase(1, (2, 3, 3), 5, (2, 2, 2), (1, 1, 1))
    Y, index = maxpool(kernels, case, np.ones(case.input_shape, dtype))
    np.testing.assert_array_equal(Y, 1)
    # The first pixel of each window, in scan order.
    np.testing.assert_array_equal(index[0, 0, ..., 0], [[0, 1], [3, 4]])

    Y, index = globalmax(kernels, np.ones((2, 7, 5), dtype))
    np.testing.assert_array_equal(Y, 1)
    np.testing.assert_array_equal(index, 0)


@cases.every_variant
def test_zeros_of_both_signs_tie(kernels, dtype):
    X = np.array([-0.0, 0.0, -0.0], dtype).reshape(1, 3, 1)
    Y, index = globalmax(kernels, X)
    assert index[0, 0] == 0
    assert np.signbit(Y[0, 0])


@cases.every_variant
def test_not_a_number_is_the_largest(kernels, dtype):
    case = PoolCase(1, (1, 1, 6), 1, (1, 1, 3), (1, 1, 1))
    nan = np.nan
    X = np.array([1, nan, np.inf, nan, 2, -1], dtype)
    Y, index = maxpool(kernels, case, X.reshape(case.input_shape))
    np.testing.assert_array_equal(Y.ravel(), [nan] * 4)
    np.testing.assert_array_equal(index.ravel(), [1, 1, 3, 3])
    Y, _ = maxpool(kernels, case, X.reshape(case.input_shape), with_index=False)
    np.testing.assert_array_equal(Y.ravel(), [nan] * 4)

    Y, index = globalmax(kernels, X.reshape(1, 6, 1))
    np.testing.assert_array_equal(Y, [[nan]])
    np.testing.assert_array_equal(index, [[1]])

    assert np.isnan(avgpool(kernels, case, X.reshape(case.input_shape))).all()


@cases.every_variant
def test_padding_is_never_the_maximum(kernels, dtype):
    case = PoolCase(
        1, (1, 2, 2), 1, (1, 2, 2), (1, 1, 1), ((0, 0), (1, 1), (1, 1))
    )  # fmt: skip
    X = np.full(case.input_shape, -np.inf, dtype)
    Y, index = maxpool(kernels, case, X)
    np.testing.assert_array_equal(Y, -np.inf)
    np.testing.assert_array_equal(index[0, 0, ..., 0], [[0, 0, 1], [0, 0, 1], [2, 2, 3]])


@cases.every_variant
def test_gradients_of_overlapping_windows_add_up(kernels, dtype):
    case = PoolCase(1, (1, 1, 5), 1, (1, 1, 3), (1, 1, 1))
    X = np.array([0, 1, 5, 2, 3], dtype).reshape(case.input_shape)
    dY = np.array([1, 10, 100], dtype).reshape(case.output_shape)
    _, index = maxpool(kernels, case, X)

    dX = maxpool_backward(kernels, case, dY, index)
    np.testing.assert_array_equal(dX.ravel(), [0, 0, 111, 0, 0])

    dX = avgpool_backward(kernels, case, 3 * dY)
    np.testing.assert_allclose(dX.ravel(), [1, 11, 111, 110, 100], rtol=1e-6)


@cases.every_variant
def test_pixels_that_no_window_reaches_get_no_gradient(kernels, dtype):
    case = PoolCase(1, (1, 1, 6), 1, (1, 1, 1), (1, 1, 2))
    X = np.arange(6, dtype=dtype).reshape(case.input_shape)
    Y, index = maxpool(kernels, case, X)
    dY = np.ones(case.output_shape, dtype)

    np.testing.assert_array_equal(Y.ravel(), [0, 2, 4])
    for dX in (
        maxpool_backward(kernels, case, dY, index),
        avgpool_backward(kernels, case, dY),
    ):
        np.testing.assert_array_equal(dX.ravel(), [1, 0, 1, 0, 1, 0])


@cases.every_variant
def test_mean_of_a_constant_is_the_constant(kernels, dtype):
    # The mean is over the true pixels, so padding does not draw it towards zero.
    case = PoolCase(
        2, (3, 5, 4), 3, (2, 3, 3), (2, 2, 1), ((1, 1), (2, 0), (1, 2))
    )  # fmt: skip
    Y = avgpool(kernels, case, np.full(case.input_shape, 3, dtype))
    np.testing.assert_allclose(Y, 3, rtol=1e-6)


# ---------------------------------------------------------------------------
# The twin, against its definition
# ---------------------------------------------------------------------------

TINY = {
    "disjoint": PoolCase(2, (1, 4, 6), 2, (1, 2, 3), (1, 2, 3)),
    "overlapping": PoolCase(2, (1, 5, 6), 2, (1, 3, 2), (1, 1, 1)),
    "gaps": PoolCase(1, (1, 7, 5), 1, (1, 2, 1), (1, 3, 2)),
    "as large as the map": PoolCase(2, (1, 3, 4), 3, (1, 3, 4), (1, 2, 2)),
    "padded": PoolCase(
        1, (1, 4, 5), 2, (1, 3, 3), (1, 2, 2), ((0, 0), (2, 1), (0, 2))
    ),
    "volume": PoolCase(
        1, (3, 4, 3), 2, (2, 2, 3), (1, 2, 2), ((1, 0), (1, 1), (2, 2))
    ),
}  # fmt: skip


def windows(case):
    """Rows A4 and A5: every output element and the true pixels of its window."""
    for n, *out, c in np.ndindex(case.output_shape):
        pixels = []
        for tap in np.ndindex(case.pool_size):
            pixel = [
                o * s + t - before
                for o, s, t, (before, _) in zip(out, case.stride, tap, case.padding, strict=True)
            ]
            if all(0 <= p < s for p, s in zip(pixel, case.size, strict=True)):
                pixels.append((n, *pixel, c))
        yield (n, *out, c), pixels


@pytest.mark.parametrize("content", ["numbers", "ties"])
@pytest.mark.parametrize("case", TINY)
def test_maxpool_is_the_definition(case, content):
    case = TINY[case]
    X = make_input(case.input_shape, float64, content=content)
    dY = make_input(case.output_shape, float64)
    Y, index = maxpool(reference, case, X)
    expected = np.zeros(X.shape)
    for out, pixels in windows(case):
        largest = max(X[pixel] for pixel in pixels)
        first = next(pixel for pixel in pixels if X[pixel] == largest)
        assert Y[out] == largest
        assert index[out] == np.ravel_multi_index(first[1:4], case.size)
        expected[first] += dY[out]

    np.testing.assert_allclose(
        maxpool_backward(reference, case, dY, index), expected, rtol=0, atol=1e-15
    )


@pytest.mark.parametrize("case", TINY)
def test_avgpool_is_the_definition(case):
    case = TINY[case]
    X = make_input(case.input_shape, float64)
    dY = make_input(case.output_shape, float64)
    Y = avgpool(reference, case, X)
    expected = np.zeros(X.shape)
    for out, pixels in windows(case):
        mean = sum(X[pixel] for pixel in pixels) / len(pixels)
        assert Y[out] == pytest.approx(mean, abs=1e-15)
        for pixel in pixels:
            expected[pixel] += dY[out] / len(pixels)

    np.testing.assert_allclose(avgpool_backward(reference, case, dY), expected, rtol=0, atol=1e-15)


@cases.quick
@given(case=cases.pool_cases(), seed=cases.seeds)
def test_adjoint(case, seed):
    X = make_input(case.input_shape, float64, seed)
    dY = make_input(case.output_shape, float64, seed + 1)
    Y, index = maxpool(reference, case, X)
    Z = avgpool(reference, case, X)
    scale = 1 + np.linalg.norm(X) * np.linalg.norm(dY)

    # The maximum is linear once its location is fixed.
    dX = maxpool_backward(reference, case, dY, index)
    assert abs(np.vdot(Y, dY) - np.vdot(X, dX)) <= 1e-13 * scale
    dX = avgpool_backward(reference, case, dY)
    assert abs(np.vdot(Z, dY) - np.vdot(X, dX)) <= 1e-13 * scale


@pytest.mark.parametrize("case", TINY)
def test_gradients_are_central_differences(case):
    case = TINY[case]
    rng = np.random.default_rng(0)
    # Numbers so far apart that a step does not change which one is the largest.
    X = rng.permutation(np.linspace(-1, 1, np.prod(case.input_shape)))
    X = X.reshape(case.input_shape)
    dY = make_input(case.output_shape, float64)
    _, index = maxpool(reference, case, X)

    cases.assert_gradient(
        maxpool_backward(reference, case, dY, index),
        lambda X: np.vdot(maxpool(reference, case, X)[0], dY),
        X,
    )
    cases.assert_gradient(
        avgpool_backward(reference, case, dY),
        lambda X: np.vdot(avgpool(reference, case, X), dY),
        X,
    )


def test_global_is_the_pool_as_large_as_the_map():
    case = PoolCase(3, (2, 3, 4), 5, (2, 3, 4), (1, 1, 1))
    X = make_input(case.input_shape, float64)
    dY = make_input(case.output_shape, float64)
    flat, flat_dY = X.reshape(3, 24, 5), dY.reshape(3, 5)

    Y, index = maxpool(reference, case, X)
    global_Y, global_index = globalmax(reference, flat)
    np.testing.assert_array_equal(global_Y, Y.reshape(3, 5))
    np.testing.assert_array_equal(global_index, index.reshape(3, 5))
    np.testing.assert_array_equal(
        globalmax_backward(reference, flat_dY, global_index, 24),
        maxpool_backward(reference, case, dY, index).reshape(3, 24, 5),
    )

    np.testing.assert_allclose(
        globalavg(reference, flat),
        avgpool(reference, case, X).reshape(3, 5),
        atol=1e-15,
    )
    np.testing.assert_allclose(
        globalavg_backward(reference, flat_dY, 24),
        avgpool_backward(reference, case, dY).reshape(3, 24, 5),
        atol=1e-15,
    )


def test_global_gradients_are_central_differences():
    rng = np.random.default_rng(0)
    X = rng.permutation(np.linspace(-1, 1, 30)).reshape(2, 5, 3)
    dY = make_input((2, 3), float64)
    _, index = globalmax(reference, X)

    cases.assert_gradient(
        globalmax_backward(reference, dY, index, 5),
        lambda X: np.vdot(globalmax(reference, X)[0], dY),
        X,
    )
    cases.assert_gradient(
        globalavg_backward(reference, dY, 5),
        lambda X: np.vdot(globalavg(reference, X), dY),
        X,
    )


# ---------------------------------------------------------------------------
# Lp pooling
# ---------------------------------------------------------------------------

exponents = st.sampled_from([1.0, 1.5, 2.0, 3.0, 4.0, 4.7, 5.0, 10.0])
every_exponent = pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])


def lppool(kernels, case, X, p, n_threads=1):
    Y = cases.output((len(X), *case.output_shape[1:]), X.dtype)
    kernels.lppool_forward(X, Y, *case.options, p, n_threads)
    return Y


def lppool_backward(kernels, case, X, Y, dY, p, n_threads=1):
    dX = cases.output(X.shape, X.dtype)
    kernels.lppool_backward(X, Y, dY, dX, *case.options, p, n_threads)
    return dX


def assert_lppool_like_reference(kernels, case, dtype, p, seed=0, n_threads=1):
    X = make_input(case.input_shape, dtype, seed)
    dY = make_input(case.output_shape, dtype, seed + 1)
    Y = lppool(reference, case, X, p)
    cases.assert_close(lppool(kernels, case, X, p, n_threads), Y)
    cases.assert_close(
        lppool_backward(kernels, case, X, Y, dY, p, n_threads),
        lppool_backward(reference, case, X, Y, dY, p),
        floor=1.0,
    )


@cases.every_compiled
@cases.quick
@given(
    case=cases.pool_cases(),
    p=exponents,
    seed=cases.seeds,
    n_threads=cases.thread_counts,
)
def test_lppool_like_reference(kernels, dtype, case, p, seed, n_threads):
    assert_lppool_like_reference(kernels, case, dtype, p, seed, n_threads)


@cases.every_compiled
@pytest.mark.parametrize("p", [2.0, 3.5])
@every_case
def test_larger_lppool_like_reference(kernels, dtype, case, p):
    assert_lppool_like_reference(kernels, cases.POOL_CASES[case], dtype, p, n_threads=2)


@cases.every_variant
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_lppool_of_a_high_power(kernels, dtype, size):
    """Neither the power overflows nor its root is 0."""
    case = PoolCase(1, (1, 2, 2), 1, (1, 2, 2), (1, 2, 2))
    X = (np.array([3.0, -4.0, 1.0, 0.0]) * size).astype(dtype).reshape(case.input_shape)
    p = 12.0
    norm = (3.0**p + 4.0**p + 1.0) ** (1 / p)

    Y = lppool(kernels, case, X, p)
    dX = lppool_backward(kernels, case, X, Y, np.ones_like(Y), p)

    np.testing.assert_allclose(Y.ravel(), norm * size, rtol=1e-5)
    slopes = np.array([3.0, 4.0, 1.0, 0.0]) ** (p - 1) / norm ** (p - 1) * [1, -1, 1, 0]
    np.testing.assert_allclose(dX.ravel(), slopes, rtol=1e-4, atol=1e-12)


@cases.every_compiled
@pytest.mark.parametrize("p", [1.0, 2.0, 2.5, 3.0, 4.0, 80.0])
def test_lppool_rounding(kernels, dtype, p):
    """Of windows of many pixels: sums are made in double, and a power rounds a few times."""
    case = PoolCase(2, (1, 40, 40), 70, (1, 20, 20), (1, 20, 20))
    X = make_input(case.input_shape, dtype)
    Y = lppool(kernels, case, X, p)
    norms = lppool(reference, case, X.astype(float64), p)
    np.testing.assert_allclose(Y, norms, rtol=4 * np.finfo(dtype).eps)


@cases.every_variant
@pytest.mark.parametrize("p", [1.0, 2.0, 2.5, 3.0])
def test_lppool_of_nan_and_infinity(kernels, dtype, p):
    """They stay in their windows, and an infinity is larger than what overflows beside it."""
    nan, inf, most = np.nan, np.inf, np.finfo(dtype).max
    case = PoolCase(1, (1, 2, 8), 1, (1, 2, 2), (1, 2, 2))
    X = np.array([[1, nan, most, 3, -inf, nan, 0, 0], [2, 4, -inf, 5, 0, 1, most, 0]], dtype)
    X = X.reshape(case.input_shape)
    with np.errstate(over="ignore"):
        Y = lppool(kernels, case, X, p)
    np.testing.assert_array_equal(Y.ravel(), [nan, inf, nan, most])


@cases.every_compiled
@every_case
def test_lppool_threads_and_batch_do_not_matter(kernels, dtype, case):
    p = 2.0
    case = replace(cases.POOL_CASES[case], n=9)
    X = make_input(case.input_shape, dtype)
    dY = make_input(case.output_shape, dtype)
    Y = lppool(kernels, case, X, p)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            lppool(kernels, case, X, p, n_threads),
            lppool_backward(kernels, case, X, Y, dY, p, n_threads),
        ]
    )
    cases.assert_batch_does_not_matter(lambda X: lppool(kernels, case, X, p, 2), X)


@cases.every_variant
@every_exponent
def test_lppool_of_zeros_has_no_gradient(kernels, dtype, p):
    case = PoolCase(1, (1, 1, 4), 3, (1, 1, 2), (1, 1, 1))
    X = np.zeros(case.input_shape, dtype)
    X[0, 0, 0, 0, 1] = -2
    Y = lppool(kernels, case, X, p)
    dX = lppool_backward(kernels, case, X, Y, np.ones_like(Y), p)

    np.testing.assert_array_equal(Y[0, 0, 0, :, 1], [2, 0, 0])
    assert np.count_nonzero(Y) == 1
    assert dX[0, 0, 0, 0, 1] == -1
    assert np.count_nonzero(dX) == 1


@cases.every_variant
def test_lppool_from_sum_to_maximum(kernels, dtype):
    case = PoolCase(2, (1, 5, 6), 5, (1, 3, 3), (1, 2, 2), ((0, 0), (1, 1), (1, 0)))
    X = np.abs(make_input(case.input_shape, dtype))
    largest, _ = maxpool(kernels, case, X)

    np.testing.assert_allclose(lppool(kernels, case, X, 300.0), largest, rtol=0.01)
    for p in (1.0, 2.0, 5.0):
        Y = lppool(kernels, case, X, p)
        assert (Y >= largest * (1 - 1e-6)).all()
        assert (Y <= largest * 9 ** (1 / p) * (1 + 1e-6)).all()


@every_exponent
@pytest.mark.parametrize("case", TINY)
def test_lppool_is_the_definition(case, p):
    case = TINY[case]
    X = make_input(case.input_shape, float64)
    dY = make_input(case.output_shape, float64)
    Y = lppool(reference, case, X, p)
    expected = np.zeros(X.shape)
    for out, pixels in windows(case):
        norm = np.linalg.norm([X[pixel] for pixel in pixels], ord=p)
        assert Y[out] == pytest.approx(norm, rel=1e-13)
        for pixel in pixels:
            slope = np.copysign((abs(X[pixel]) / norm) ** (p - 1), X[pixel])
            expected[pixel] += dY[out] * slope

    np.testing.assert_allclose(
        lppool_backward(reference, case, X, Y, dY, p), expected, rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("p", [1.5, 3.0])
@pytest.mark.parametrize("case", TINY)
def test_lppool_gradient_is_central_differences(case, p):
    case = TINY[case]
    rng = np.random.default_rng(0)
    # Not near 0, where there is a kink.
    X = rng.uniform(0.3, 1, case.input_shape) * rng.choice([-1, 1], case.input_shape)
    dY = make_input(case.output_shape, float64)
    Y = lppool(reference, case, X, p)

    cases.assert_gradient(
        lppool_backward(reference, case, X, Y, dY, p),
        lambda X: np.vdot(lppool(reference, case, X, p), dY),
        X,
    )


# ---------------------------------------------------------------------------
# Max pooling with windows of several sizes
# ---------------------------------------------------------------------------


def group_maxpool(kernels, case, X, n_threads=1, with_index=True):
    """Y and index."""
    shape = (len(X), *case.output_shape[1:])
    Y = cases.output(shape, X.dtype)
    index = cases.output(shape, np.int32) if with_index else None
    kernels.group_maxpool_forward(X, Y, index, *case.options, n_threads)
    return Y, index


def assert_group_maxpool_like_reference(
    kernels, case, dtype, seed=0, n_threads=1, content="numbers"
):
    X = make_input(case.input_shape, dtype, seed, content)
    Y, index = group_maxpool(reference, case, X)
    actual_Y, actual_index = group_maxpool(kernels, case, X, n_threads)
    np.testing.assert_array_equal(actual_Y, Y)
    np.testing.assert_array_equal(actual_index, index)
    np.testing.assert_array_equal(group_maxpool(kernels, case, X, n_threads, False)[0], Y)


@cases.every_compiled
@cases.quick
@given(
    case=cases.group_pool_cases(),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
    content=contents,
)
def test_group_maxpool_like_reference(kernels, dtype, case, seed, n_threads, content):
    assert_group_maxpool_like_reference(kernels, case, dtype, seed, n_threads, content)


@cases.every_compiled
@pytest.mark.parametrize("case", cases.GROUP_POOL_CASES)
def test_larger_group_maxpool(kernels, dtype, case):
    case = cases.GROUP_POOL_CASES[case]
    X = make_input(case.input_shape, dtype)

    assert_group_maxpool_like_reference(kernels, case, dtype, n_threads=2)
    cases.assert_threads_do_not_matter(lambda n_threads: group_maxpool(kernels, case, X, n_threads))
    X = make_input((9, *case.input_shape[1:]), dtype)
    cases.assert_batch_does_not_matter(
        lambda X: np.concatenate(group_maxpool(kernels, case, X, 2), axis=-1), X
    )


@cases.every_variant
def test_group_maxpool_by_hand(kernels, dtype):
    # Windows of 1, 2, 3, 4 and 6 pixels in the middle of two pixels of five.
    windows = tuple((1, 1, window) for window in (1, 2, 3, 4, 6))
    case = GroupPoolCase(1, (1, 1, 5), 5, windows, (1, 1, 2))
    X = np.array([5, 1, 4, 2, 3], dtype)
    X = np.broadcast_to(X[:, np.newaxis], (5, 5)).reshape(case.input_shape).copy()
    Y, index = group_maxpool(kernels, case, X)

    # [0:1 2:3 4:5] [0:2 2:4 4:6] [-1:2 1:4 3:6] [-1:3 1:5 3:7] [-2:4 0:6 2:8]
    np.testing.assert_array_equal(
        Y[0, 0, 0].T,
        [[5, 4, 3], [5, 4, 3], [5, 4, 3], [5, 4, 3], [5, 5, 4]],
    )
    np.testing.assert_array_equal(index[0, 0, 0, :, 4], [0, 0, 2])


@cases.every_variant
def test_group_maxpool_beyond_the_map_takes_the_nearest_pixel(kernels, dtype):
    # The third window begins at 2 · 6 + (6 - 2) // 2 = 14, of 13 pixels.
    case = GroupPoolCase(1, (1, 13, 13), 1, ((1, 2, 2),), (1, 6, 6))
    X = np.arange(169, dtype=dtype).reshape(case.input_shape)
    Y, index = group_maxpool(kernels, case, X)

    np.testing.assert_array_equal(index.ravel(), Y.ravel())
    np.testing.assert_array_equal(Y[0, 0, 2, :, 0], 12 * 13 + np.array([3, 9, 12]))


@pytest.mark.parametrize("content", ["numbers", "ties"])
@pytest.mark.parametrize(
    "case",
    [
        GroupPoolCase(2, (1, 4, 6), 2, ((1, 2, 3), (1, 1, 1)), (1, 2, 3)),
        GroupPoolCase(1, (1, 5, 7), 6, ((1, 3, 2), (1, 4, 5), (1, 1, 9)), (1, 2, 1)),
        GroupPoolCase(2, (1, 3, 1), 2, ((1, 1, 2),), (1, 4, 1)),
        GroupPoolCase(1, (1, 9, 8), 2, ((1, 2, 1), (1, 3, 2)), (1, 4, 5)),
        GroupPoolCase(2, (4, 5, 3), 4, ((3, 1, 2), (2, 4, 5)), (2, 3, 1)),
    ],
    ids=str,
)
def test_group_maxpool_is_the_definition(case, content):
    X = make_input(case.input_shape, float64, content=content)
    Y, index = group_maxpool(reference, case, X)
    for n, *out, c in np.ndindex(case.output_shape):
        window = case.pool_sizes[c * len(case.pool_sizes) // case.channels]
        axes = []
        for o, s, p, size in zip(out, case.stride, window, case.size, strict=True):
            start = o * s + int(np.floor((s - p) / 2))
            inside = [i for i in range(start, start + p) if 0 <= i < size]
            axes.append(inside or [size - 1])
        pixels = list(product(*axes))
        largest = max(X[(n, *pixel, c)] for pixel in pixels)
        first = next(pixel for pixel in pixels if X[(n, *pixel, c)] == largest)
        assert Y[(n, *out, c)] == largest
        assert index[(n, *out, c)] == np.ravel_multi_index(first, case.size)


@pytest.mark.parametrize("content", ["numbers", "ties", "gaps"])
def test_group_maxpool_with_equal_windows_is_maxpool(content):
    case = PoolCase(3, (4, 8, 9), 6, (2, 2, 3), (2, 2, 3))
    X = make_input(case.input_shape, float64, content=content)
    grouped = GroupPoolCase(3, (4, 8, 9), 6, ((2, 2, 3), (2, 2, 3)), (2, 2, 3))
    Y, index = maxpool(reference, case, X)
    group_Y, group_index = group_maxpool(reference, grouped, X)

    np.testing.assert_array_equal(group_Y, Y)
    np.testing.assert_array_equal(group_index, index)


def test_gradient_of_group_maxpool_is_central_differences():
    case = GroupPoolCase(2, (2, 5, 4), 2, ((1, 3, 3), (2, 2, 1)), (1, 2, 2))
    rng = np.random.default_rng(0)
    X = rng.permutation(np.linspace(-1, 1, 160)).reshape(case.input_shape)
    dY = make_input(case.output_shape, float64)
    _, index = group_maxpool(reference, case, X)
    dX = np.empty(X.shape)
    reference.maxpool_backward(dY, index, dX, 1)

    cases.assert_gradient(dX, lambda X: np.vdot(group_maxpool(reference, case, X)[0], dY), X)
