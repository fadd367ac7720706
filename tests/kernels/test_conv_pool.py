"""A convolution and a max pool in one, and its gradients, in both forms."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import replace

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_convnet.kernels import reference

every_case = pytest.mark.parametrize("case", cases.CONV_POOL_CASES)
NO_PADDING = ((0, 0),) * 3
ONES = (1, 1, 1)


def forward(kernels, case, X, W, b, n_threads=1):
    """Y and index."""
    Y = cases.output((len(X), *case.output_shape[1:]), X.dtype)
    index = cases.output(Y.shape, np.int32)
    kernels.conv_forward(X, W, None, b, Y, index, None, *case.options, n_threads)
    return Y, index


def backward(kernels, case, X, W, Y, index, dY, n_threads=1, skip=()):
    """dX, dW and db, those in `skip` as None."""
    gradients = [
        None if name in skip else cases.output(shape, X.dtype)
        for name, shape in gradient_shapes(X, W)
    ]
    kernels.conv_backward(X, W, Y, index, dY, None, *gradients, *case.options, n_threads)
    return gradients


def gradient_shapes(X, W):
    return {"dX": X.shape, "dW": W.shape, "db": W.shape[-1:]}.items()


def one_after_the_other(kernels, case, X, W, b):
    """Y and index of the convolution and the pool that are kernels of their own."""
    maps = cases.output((len(X), *case.maps_shape[1:]), X.dtype)
    kernels.conv_forward(X, W, None, b, maps, None, None, *replace(case, pool_size=ONES).options, 1)
    return pooled(kernels, case, maps)


def pooled(kernels, case, maps):
    Y = cases.output((len(maps), *case.output_shape[1:]), maps.dtype)
    index = cases.output(Y.shape, np.int32)
    windows = case.pool_size
    kernels.maxpool_forward(maps, Y, index, windows, windows, NO_PADDING, 1)
    return Y, index


# Winograd's form has no axis for depth.

NO_NORM = (None, "identity", 0.0)


def winograd_forward(kernels, case, m, X, W, b, n_threads=1, before=NO_NORM):
    """Y and index."""
    Y = cases.output((len(X), *case.output_shape[1:]), X.dtype)
    index = cases.output(Y.shape, np.int32)
    affine, *f = before
    options = (case.padding[1:], (1, 1), m, *f, case.activation, case.alpha, case.pool_size[1:])
    kernels.winograd_forward(
        X[:, 0], affine, W[0], None, b, Y[:, 0], index[:, 0], None, None, *options, n_threads
    )
    return Y, index


def winograd_backward(
    kernels, case, m, X, W, Y, index, dY, n_threads=1, skip=(), before=NO_NORM
):  # fmt: skip
    """dX, dW and db, those in `skip` as None."""
    dX, dW, db = (
        None if name in skip else cases.output(shape, X.dtype)
        for name, shape in gradient_shapes(X, W)
    )
    affine, *f = before
    options = (case.padding[1:], (1, 1), m, *f, case.activation, case.alpha, case.pool_size[1:])
    kernels.winograd_backward(
        X[:, 0], affine, W[0], Y[:, 0], index[:, 0], dY[:, 0], *4 * (None,),
        None if dX is None else dX[:, 0], None, None if dW is None else dW[0], db, *options,
        n_threads,
    )  # fmt: skip
    return dX, dW, db


def assert_gradients_close(actual, expected, **options):
    for a, e in zip(actual, expected, strict=True):
        assert (a is None) == (e is None)
        if e is not None:
            cases.assert_close(a, e, **options)


skips = st.sampled_from([(), (), ("dX",), ("dW",), ("db",), ("dX", "db")])

# ---------------------------------------------------------------------------
# Compiled kernels
# ---------------------------------------------------------------------------


def check(kernels, case, dtype, seed=0, n_threads=1, skip=()):
    X, W, b, dY = case.arrays(dtype, seed)
    Y, index = forward(kernels, case, X, W, b, n_threads)
    expected = one_after_the_other(kernels, case, X, W, b)
    np.testing.assert_array_equal(Y, expected[0])
    np.testing.assert_array_equal(index, expected[1])
    assert_gradients_close(
        backward(kernels, case, X, W, Y, index, dY, n_threads, skip),
        backward(reference, case, X, W, Y, index, dY, skip=skip),
        floor=1.0,
    )


@cases.every_compiled
@cases.quick
@given(
    case=cases.conv_pool_cases(), seed=cases.seeds, n_threads=cases.thread_counts, skip=skips
)  # fmt: skip
def test_like_convolution_and_pool(kernels, dtype, case, seed, n_threads, skip):
    check(kernels, case, dtype, seed, n_threads, skip)


@cases.every_compiled
@every_case
def test_larger_like_convolution_and_pool(kernels, dtype, case):
    check(kernels, cases.CONV_POOL_CASES[case], dtype, n_threads=2)


@cases.every_compiled
@every_case
def test_threads_do_not_matter(kernels, dtype, case):
    case = cases.CONV_POOL_CASES[case]
    X, W, b, dY = case.arrays(dtype)
    Y, index = forward(kernels, case, X, W, b)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            *forward(kernels, case, X, W, b, n_threads),
            *backward(kernels, case, X, W, Y, index, dY, n_threads),
        ]
    )


@cases.every_compiled
@every_case
def test_batch_does_not_matter(kernels, dtype, case):
    case = replace(cases.CONV_POOL_CASES[case], n=19)
    X, W, b, _ = case.arrays(dtype)

    for i in (0, 1):  # Y and index
        cases.assert_batch_does_not_matter(
            lambda X, i=i: forward(kernels, case, X, W, b, n_threads=2)[i], X
        )


@cases.every_compiled
@every_case
def test_input_gradient_does_not_see_its_batch(kernels, dtype, case):
    case = replace(cases.CONV_POOL_CASES[case], n=19, activation="identity")
    X, W, b, dY = case.arrays(dtype)
    Y, index = forward(kernels, case, X, W, b)
    whole, _, _ = backward(kernels, case, X, W, Y, index, dY, n_threads=2)
    for i in (0, 7, 18):
        one = slice(i, i + 1)
        alone, _, _ = backward(kernels, case, X[one], W, Y[one], index[one], dY[one])
        cases.assert_same_bits(alone, whole[one])


@cases.every_compiled
@pytest.mark.parametrize("case", ["first layer", "second layer"])
def test_not_a_number_is_the_largest(kernels, dtype, case):
    case = replace(cases.CONV_POOL_CASES[case], activation="identity")
    X, W, b, _ = case.arrays(dtype)
    X = X.copy()
    X[3, 0, 5, 6, -1] = np.nan
    Y, index = forward(kernels, case, X, W, b)

    assert np.isnan(Y[3]).any()
    assert np.isfinite(np.delete(Y, 3, axis=0)).all()
    if case.filters % 16 == 0:  # fewer are made wide, which spoils neighbours
        expected = one_after_the_other(kernels, case, X, W, b)
        np.testing.assert_array_equal(Y, expected[0])
        np.testing.assert_array_equal(index, expected[1])


# ---------------------------------------------------------------------------
# Winograd's form
# ---------------------------------------------------------------------------


def check_winograd(kernels, case, m, dtype, seed=0, n_threads=1, skip=()):
    X, W, b, dY = case.arrays(dtype, seed)
    Y, index = winograd_forward(kernels, case, m, X, W, b, n_threads)
    maps = cases.output(case.maps_shape, dtype)
    options = (case.padding[1:], (1, 1), m, *NO_NORM[1:], case.activation, case.alpha, (1, 1))
    arrays = (X[:, 0], None, W[0], None, b, maps[:, 0], None, None, None)
    kernels.winograd_forward(*arrays, *options, 1)
    expected = pooled(kernels, case, maps)
    np.testing.assert_array_equal(Y, expected[0])
    np.testing.assert_array_equal(index, expected[1])

    # Against the same form of the gradient that is zero but at the maxima.
    d_maps = cases.output(maps.shape, dtype)
    kernels.maxpool_backward(dY, index, d_maps, 1)
    expected = [
        None if name in skip else cases.output(shape, dtype)
        for name, shape in gradient_shapes(X[:, 0], W[0])
    ]
    dX, dW, db = expected
    arrays = (X[:, 0], None, W[0], maps[:, 0], None, d_maps[:, 0], *4 * (None,))
    kernels.winograd_backward(*arrays, dX, None, dW, db, *options, 1)
    actual = winograd_backward(kernels, case, m, X, W, Y, index, dY, n_threads, skip)
    for a, e in zip(actual, expected, strict=True):
        assert (a is None) == (e is None)
        if e is not None:
            cases.assert_same_bits(a.reshape(e.shape), e)


@cases.every_compiled
@pytest.mark.parametrize("m", [2, 4])
@cases.quick
@given(
    case=cases.winograd_pool_cases(), seed=cases.seeds, n_threads=cases.thread_counts, skip=skips
)
def test_winograd_like_convolution_and_pool(kernels, dtype, m, case, seed, n_threads, skip):
    check_winograd(kernels, case, m, dtype, seed, n_threads, skip)


@cases.every_compiled
@pytest.mark.parametrize("pool_size", [(1, 2, 2), (1, 4, 4)])
@pytest.mark.parametrize("case", cases.WINOGRAD_POOL_CASES)
def test_larger_winograd_like_convolution_and_pool(kernels, dtype, case, pool_size):
    case = replace(cases.WINOGRAD_POOL_CASES[case], pool_size=pool_size)
    check_winograd(kernels, case, 4, dtype, n_threads=2)


@cases.every_compiled
@pytest.mark.parametrize("case", cases.WINOGRAD_POOL_CASES)
def test_winograd_input_through_a_norm(kernels, dtype, case):
    """As if another kernel had normalised the input, within a rounding of that."""
    case = cases.WINOGRAD_POOL_CASES[case]
    X, W, b, dY = case.arrays(dtype)
    rng = np.random.default_rng(0)
    affine = cases.random_input(rng, (3, X.shape[-1]), dtype, 0.5, 1.5)
    A = cases.output(X.shape, dtype)
    rows = (-1, X.shape[-1])
    kernels.batchnorm_forward(X.reshape(rows), affine, A.reshape(rows), None, "tanh", 0.0, 1)
    before = (affine, "tanh", 0.0)

    expected, index = winograd_forward(kernels, case, 4, A, W, b)
    actual, _ = winograd_forward(kernels, case, 4, X, W, b, n_threads=2, before=before)
    cases.assert_close(actual, expected, floor=1.0, factor=3)
    dA, dW, db = winograd_backward(kernels, case, 4, A, W, expected, index, dY)
    gradients = winograd_backward(
        kernels, case, 4, X, W, expected, index, dY, n_threads=2, before=before
    )
    dZ = cases.output(X.shape, dtype)
    kernels.activation_backward(*(a.reshape(-1) for a in (A, dA, dZ)), "tanh", 0.0, 1)
    assert_gradients_close(gradients, (dZ, dW, db), floor=1.0, factor=3)


@cases.every_compiled
@pytest.mark.parametrize("case", cases.WINOGRAD_POOL_CASES)
def test_winograd_threads_do_not_matter(kernels, dtype, case):
    case = cases.WINOGRAD_POOL_CASES[case]
    X, W, b, dY = case.arrays(dtype)
    Y, index = winograd_forward(kernels, case, 4, X, W, b)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            *winograd_forward(kernels, case, 4, X, W, b, n_threads),
            *winograd_backward(kernels, case, 4, X, W, Y, index, dY, n_threads),
        ]
    )


# ---------------------------------------------------------------------------
# The twin
# ---------------------------------------------------------------------------


@cases.quick
@given(case=cases.conv_pool_cases(), seed=cases.seeds)
def test_reference_is_convolution_and_pool(case, seed):
    dtype = np.dtype(np.float64)
    X, W, b, dY = case.arrays(dtype, seed)
    Y, index = forward(reference, case, X, W, b)
    maps = cases.output(case.maps_shape, dtype)
    options = replace(case, pool_size=ONES).options
    reference.conv_forward(X, W, None, b, maps, None, None, *options, 1)
    expected = pooled(reference, case, maps)
    np.testing.assert_array_equal(Y, expected[0])
    np.testing.assert_array_equal(index, expected[1])

    d_maps = cases.output(maps.shape, dtype)
    reference.maxpool_backward(dY, index, d_maps, 1)
    expected = [cases.output(shape, dtype) for _, shape in gradient_shapes(X, W)]
    reference.conv_backward(X, W, maps, None, d_maps, None, *expected, *options, 1)
    assert_gradients_close(backward(reference, case, X, W, Y, index, dY), expected)


@pytest.mark.parametrize(
    "case",
    [
        cases.ConvPoolCase(2, (1, 5, 6), 2, 3, (1, 2, 3), activation="tanh"),
        cases.ConvPoolCase(
            2, (1, 7, 6), 1, 2, (1, 3, 2), stride=(1, 2, 1), padding=cases.pad_image(1),
            activation="softplus", pool_size=(1, 2, 3),
        ),
        cases.ConvPoolCase(1, (4, 3, 4), 1, 2, (1, 2, 1), pool_size=(2, 1, 2)),
    ],
    ids=["image", "strides", "volume"],
)  # fmt: skip
def test_gradients_are_central_differences(case):
    X, W, b, dY = case.arrays(np.dtype(np.float64))
    Y, index = forward(reference, case, X, W, b)
    dX, dW, db = backward(reference, case, X, W, Y, index, dY)

    def loss(X, W, b):
        return np.vdot(dY, forward(reference, case, X, W, b)[0])

    cases.assert_gradient(dX, lambda X: loss(X, W, b), X)
    cases.assert_gradient(dW, lambda W: loss(X, W, b), W)
    cases.assert_gradient(db, lambda b: loss(X, W, b), b)
