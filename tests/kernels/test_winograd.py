"""Winograd's form of convolutions with 3 x 3 filters, and its gradients."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import replace

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_convnet.kernels import reference

every_case = pytest.mark.parametrize("case", cases.WINOGRAD_CASES)
every_tile = pytest.mark.parametrize("m", [2, 4])

#: Tiles of 4 x 4 lose about two bits more than the direct form.
FACTORS = {2: 1, 4: 3}


def arrays(case, dtype, seed=0):
    """X, W, b and dY, without an axis for depth."""
    X, W, b, dY = case.arrays(dtype, seed)
    return X[:, 0], W[0], b, dY[:, 0]


def forward(kernels, case, m, X, W, b, n_threads=1, addend=None):
    Y = cases.output((len(X), *case.output_shape[2:]), X.dtype)
    options = (case.padding[1:], m, case.activation, case.alpha)
    kernels.winograd_forward(X, W, b, Y, addend, *options, n_threads)
    return Y


def backward(kernels, case, m, X, W, Y, dY, n_threads=1, skip=(), addend=None):
    """dX, dW and db, those in `skip` as None."""
    shapes = {"dX": X.shape, "dW": W.shape, "db": W.shape[-1:]}
    gradients = [
        None if name in skip else cases.output(shape, X.dtype) for name, shape in shapes.items()
    ]
    options = (case.padding[1:], m, case.activation, case.alpha)
    kernels.winograd_backward(X, W, Y, dY, addend, *gradients, *options, n_threads)
    return gradients


def assert_like_reference(kernels, case, m, dtype, seed=0, n_threads=1, skip=()):
    X, W, b, dY = arrays(case, dtype, seed)
    Y = forward(reference, case, m, X, W, b)
    options = {"floor": 1.0, "factor": FACTORS[m]}
    cases.assert_close(forward(kernels, case, m, X, W, b, n_threads), Y, **options)
    for actual, expected in zip(
        backward(kernels, case, m, X, W, Y, dY, n_threads, skip),
        backward(reference, case, m, X, W, Y, dY, skip=skip),
        strict=True,
    ):
        if expected is not None:
            cases.assert_close(actual, expected, **options)
        else:
            assert actual is None


@cases.every_compiled
@every_tile
@cases.quick
@given(
    case=cases.winograd_cases(),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
    skip=st.sampled_from([(), (), ("dX",), ("dW",), ("db",), ("dX", "db")]),
)
def test_like_reference(kernels, dtype, m, case, seed, n_threads, skip):
    assert_like_reference(kernels, case, m, dtype, seed, n_threads, skip)


@cases.every_compiled
@every_tile
@every_case
def test_larger_like_reference(kernels, dtype, m, case):
    assert_like_reference(kernels, cases.WINOGRAD_CASES[case], m, dtype, n_threads=2)


@cases.every_variant
@every_tile
@every_case
def test_sum_before_the_activation(kernels, dtype, m, case):
    case = cases.WINOGRAD_CASES[case]
    X, W, b, addend = arrays(case, dtype)
    Z = forward(kernels, replace(case, activation="identity"), m, X, W, b)
    expected = cases.output(Z.shape, dtype)
    flat = (array.reshape(-1) for array in (Z, addend, expected))
    kernels.add(*flat, case.activation, case.alpha, 1)
    actual = forward(kernels, case, m, X, W, b, n_threads=2, addend=addend)

    if kernels is reference:  # rounds once, not twice
        cases.assert_close(actual, expected, floor=1.0)
    else:
        cases.assert_same_bits(actual, expected)


@cases.every_compiled
@every_tile
def test_another_part_of_the_input_gradient(kernels, dtype, m):
    case = cases.WINOGRAD_CASES["wide"]
    X, W, _, dY = arrays(case, dtype)
    Y = dY
    addend = X + 1
    expected = backward(kernels, case, m, X, W, Y, dY)
    actual = backward(kernels, case, m, X, W, Y, dY, n_threads=2, addend=addend)
    cases.assert_same_bits(actual[0], expected[0] + addend)
    for a, e in zip(actual[1:], expected[1:], strict=True):
        cases.assert_same_bits(a, e)


@cases.every_compiled
@every_tile
@every_case
def test_threads_do_not_matter(kernels, dtype, m, case):
    case = cases.WINOGRAD_CASES[case]
    X, W, b, dY = arrays(case, dtype)
    Y = forward(kernels, case, m, X, W, b)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            forward(kernels, case, m, X, W, b, n_threads),
            *backward(kernels, case, m, X, W, Y, dY, n_threads),
        ]
    )


@cases.every_compiled
@every_tile
@every_case
def test_batch_does_not_matter(kernels, dtype, m, case):
    case = cases.WINOGRAD_CASES[case]
    X, W, b, _ = arrays(case, dtype)

    cases.assert_batch_does_not_matter(lambda X: forward(kernels, case, m, X, W, b, n_threads=2), X)


@cases.every_compiled
@every_tile
@pytest.mark.parametrize("n", [1, 2, 7, 128])
def test_a_block_over_several_images_mixes_nothing(kernels, dtype, m, n):
    case = replace(cases.WINOGRAD_CASES["deep"], n=n, channels=9, filters=10)
    X, W, b, _ = arrays(case, dtype)
    alone = [forward(kernels, case, m, X[i : i + 1], W, b)[0] for i in range(n)]

    cases.assert_same_bits(forward(kernels, case, m, X, W, b, n_threads=2), np.array(alone))


@cases.every_compiled
@every_tile
@every_case
def test_input_gradient_does_not_see_its_batch(kernels, dtype, m, case):
    case = replace(cases.WINOGRAD_CASES[case], activation="identity")
    X, W, _, dY = arrays(case, dtype)

    cases.assert_batch_does_not_matter(
        lambda dY: backward(kernels, case, m, X[: len(dY)], W, dY, dY, n_threads=2)[0], dY
    )


@cases.every_compiled
@every_tile
@settings(cases.quick, max_examples=15)
@given(case=cases.winograd_cases(), seed=cases.seeds)
def test_adjoint(kernels, dtype, m, case, seed):
    case = replace(case, activation="identity", use_bias=False)
    X, W, b, dY = arrays(case, np.float64, seed)
    if dtype != np.float64:
        X, W, dY = (array.astype(dtype) for array in (X, W, dY))
    Y = forward(kernels, case, m, X, W, b)
    dX, dW, _ = backward(kernels, case, m, X, W, Y, dY)

    product = np.vdot(Y.astype(float), dY)
    terms = np.vdot(np.abs(Y).astype(float), np.abs(dY)) + np.abs(product)
    tolerance = 10 * FACTORS[m] * cases.TOLERANCES[dtype] * terms
    assert abs(np.vdot(X.astype(float), dX) - product) <= tolerance
    assert abs(np.vdot(W.astype(float), dW) - product) <= tolerance
