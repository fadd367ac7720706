"""Pooling and its gradients."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import replace

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_cases import PoolCase

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
    cases.assert_close(
        avgpool(kernels, case, X, n_threads), avgpool(reference, case, X), floor=0.1
    )
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
    cases.assert_close(
        globalavg(kernels, X, n_threads), globalavg(reference, X), floor=0.1
    )
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
    np.testing.assert_array_equal(
        index[0, 0, ..., 0], [[0, 0, 1], [0, 0, 1], [2, 2, 3]]
    )


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
                for o, s, t, (before, _) in zip(
                    out, case.stride, tap, case.padding, strict=True
                )
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

    np.testing.assert_allclose(
        avgpool_backward(reference, case, dY), expected, rtol=0, atol=1e-15
    )


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
