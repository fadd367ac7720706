"""Activations and softmax."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)
every_activation = pytest.mark.parametrize("activation", cases.ALL_ACTIVATIONS)
ALPHA = 0.3

# Each range is compared relative to its own largest output: expm1, log1p and tanh have
# to be exact near 0, and exponentials have to be exact far from it.
RANGES = {
    "tiny": (-1e-3, 1e-3),
    "unit": (-3, 3),
    "wide": (-30, 30),
    "huge": (-1e4, 1e4),
    "tail": (-30, -20),
}
#: Up to here exp(-x) is a normal number, and so is the last digit of it.
LARGEST_EXPONENT = {"float32": 70, "float64": 670}


def forward(kernels, X, activation, alpha=ALPHA, n_threads=1):
    Y = cases.output(X.shape, X.dtype)
    kernels.activation_forward(X, Y, activation, alpha, n_threads)
    return Y


def backward(kernels, S, dY, activation, alpha=ALPHA, n_threads=1):
    dX = cases.output(S.shape, S.dtype)
    kernels.activation_backward(S, dY, dX, activation, alpha, n_threads)
    return dX


def saved(activation, X, Y):
    """What the derivative is a function of."""
    return X if activation in cases.INPUT_ACTIVATIONS else Y


def softmax(kernels, X, n_threads=1):
    Y = cases.output(X.shape, X.dtype)
    kernels.softmax_forward(X, Y, n_threads)
    return Y


def softmax_backward(kernels, Y, dY, n_threads=1):
    dX = cases.output(Y.shape, Y.dtype)
    kernels.softmax_backward(Y, dY, dX, n_threads)
    return dX


def make_input(shape, dtype, seed=0, low=-1.0, high=1.0):
    return cases.random_input(np.random.default_rng(seed), shape, dtype, low, high)


# ---------------------------------------------------------------------------
# Compiled kernels
# ---------------------------------------------------------------------------


@cases.every_compiled
@every_activation
@pytest.mark.parametrize("limit", [1e-3, 3, "exp"])
def test_each_number_is_good_to_its_last_digits(kernels, dtype, activation, limit):
    """However small it is: not only beside the largest."""
    is_gelu = activation == "gelu"
    if limit == "exp":
        limit = LARGEST_EXPONENT[dtype.name]
        limit = np.sqrt(2 * limit) if is_gelu else limit
    X = np.linspace(-limit, limit, 20001, dtype=dtype)
    exact = forward(reference, X.astype(float64), activation)
    units = 4.0
    if is_gelu:  # exp(-x^2 / 2), of a square that is rounded; in float64 the twin is less exact
        units = (5 + X.astype(float64) ** 2 / 2) * (3 if dtype == float64 else 1)
    difference = np.abs(forward(kernels, X, activation) - exact)
    assert np.all(difference <= units * np.finfo(dtype).eps * np.abs(exact))


@cases.every_compiled
@every_activation
@pytest.mark.parametrize("where", RANGES)
def test_like_reference(kernels, dtype, activation, where):
    X = make_input(1003, dtype, 0, *RANGES[where])
    dY = make_input(1003, dtype, 1)
    Y = forward(reference, X, activation)
    S = saved(activation, X, Y)

    cases.assert_close(forward(kernels, X, activation), Y)
    # A slope such as alpha + y is no better than the y that was kept.
    cases.assert_close(
        backward(kernels, S, dY, activation),
        backward(reference, S, dY, activation),
        floor=0.1,
    )


@cases.every_compiled
@cases.quick
@given(
    size=st.integers(1, 200),
    activation=st.sampled_from(cases.ALL_ACTIVATIONS),
    alpha=st.floats(0, 2),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
)
def test_small_like_reference(kernels, dtype, size, activation, alpha, seed, n_threads):
    X = make_input(size, dtype, seed, -3, 3)
    dY = make_input(size, dtype, seed + 1)
    Y = forward(reference, X, activation, alpha)
    S = saved(activation, X, Y)

    cases.assert_close(forward(kernels, X, activation, alpha, n_threads), Y, floor=0.1)
    cases.assert_close(
        backward(kernels, S, dY, activation, alpha, n_threads),
        backward(reference, S, dY, activation, alpha),
        floor=0.1,
    )


@cases.every_compiled
@every_activation
def test_threads_do_not_matter(kernels, dtype, activation):
    X = make_input(40_003, dtype, 0, -3, 3)
    dY = make_input(40_003, dtype, 1)
    S = saved(activation, X, forward(kernels, X, activation))

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            forward(kernels, X, activation, ALPHA, n_threads),
            backward(kernels, S, dY, activation, ALPHA, n_threads),
        ]
    )


@cases.every_compiled
@pytest.mark.parametrize("size", [1, 37, 1500])
@every_activation
def test_batch_does_not_matter(kernels, dtype, activation, size):
    X = make_input((19, size), dtype, 0, -3, 3)

    cases.assert_batch_does_not_matter(
        lambda X: forward(kernels, X.ravel(), activation).reshape(X.shape), X
    )


@cases.every_compiled
@cases.quick
@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 150)),
    spread=st.sampled_from([0.01, 1.0, 30.0, 1e4]),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
)
def test_softmax_like_reference(kernels, dtype, shape, spread, seed, n_threads):
    X = make_input(shape, dtype, seed, -spread, spread)
    dY = make_input(shape, dtype, seed + 1)
    Y = softmax(reference, X)

    cases.assert_close(softmax(kernels, X, n_threads), Y)
    # The terms of the difference are as large as Y.
    cases.assert_close(
        softmax_backward(kernels, Y, dY, n_threads),
        softmax_backward(reference, Y, dY),
        floor=Y.max(),
    )


@cases.every_compiled
@pytest.mark.parametrize("n_classes", [1, 10, 1003])
def test_softmax_threads_and_batch_do_not_matter(kernels, dtype, n_classes):
    n_rows = 40_000 // n_classes
    X = make_input((n_rows, n_classes), dtype, 0, -3, 3)
    dY = make_input(X.shape, dtype, 1)
    Y = softmax(kernels, X)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            softmax(kernels, X, n_threads),
            softmax_backward(kernels, Y, dY, n_threads),
        ]
    )
    cases.assert_batch_does_not_matter(lambda X: softmax(kernels, X), X[:19])


# ---------------------------------------------------------------------------
# All kernels: what is not an ordinary number
# ---------------------------------------------------------------------------


@cases.every_variant
@every_activation
@pytest.mark.parametrize("size", [1, 70])
def test_not_a_number_passes_through(kernels, dtype, activation, size):
    X = np.zeros(size, dtype)
    X[-1] = np.nan
    Y = forward(kernels, X, activation)
    assert np.isnan(Y[-1])
    assert not np.isnan(Y[:-1]).any()


@cases.every_variant
@every_activation
def test_infinity(kernels, dtype, activation):
    expected = {
        "identity": (-np.inf, np.inf),
        "relu": (0, np.inf),
        "leaky_relu": (-np.inf, np.inf),
        "tanh": (-1, 1),
        "logistic": (0, 1),
        "elu": (-ALPHA, np.inf),
        "softplus": (0, np.inf),
        "relu6": (0, 6),
        "hard_logistic": (0, 1),
        "softsign": (-1, 1),
        "gelu": (0, np.inf),
        "silu": (0, np.inf),
        "hard_swish": (0, np.inf),
    }
    X = np.array([-np.inf, np.inf], dtype)
    np.testing.assert_allclose(forward(kernels, X, activation), expected[activation], rtol=1e-6)


@cases.every_variant
def test_derivative_of_relu_at_zero_is_zero(kernels, dtype):
    X = np.array([0.0, -0.0], dtype)
    Y = forward(kernels, X, "relu")
    np.testing.assert_array_equal(Y, 0)
    dX = backward(kernels, Y, np.ones_like(X), "relu")
    np.testing.assert_array_equal(dX, 0)


SMALL_KINKS = {
    # f at -6, -3, 0, 3 and 6, and f' there
    "relu6": ((0, 0, 0, 3, 6), (0, 0, 0, 1, 0)),
    "hard_logistic": ((0, 0, 0.5, 1, 1), (0, 0, 1 / 6, 0, 0)),
    "softsign": ((-6 / 7, -0.75, 0, 0.75, 6 / 7), (1 / 49, 1 / 16, 1, 1 / 16, 1 / 49)),
    "hard_swish": ((0, 0, 0, 3, 6), (0, 0, 0.5, 1, 1)),
}


@cases.every_variant
@pytest.mark.parametrize("activation", SMALL_KINKS)
def test_at_kinks(kernels, dtype, activation):
    """By hand, and as PyTorch has it."""
    X = np.array([-6, -3, 0, 3, 6], dtype)
    values, slopes = SMALL_KINKS[activation]
    Y = forward(kernels, X, activation)
    np.testing.assert_allclose(Y, values, rtol=1e-6)
    dX = backward(kernels, saved(activation, X, Y), np.ones_like(X), activation)
    np.testing.assert_allclose(dX, slopes, rtol=1e-5)


@cases.every_variant
@every_activation
def test_slope_at_infinity_is_that_of_huge_numbers(kernels, dtype, activation):
    huge = np.array([-np.inf, -1e30, 1e30, np.inf], dtype)
    Y = forward(kernels, huge, activation)
    slopes = backward(kernels, saved(activation, huge, Y), np.ones_like(huge), activation)
    np.testing.assert_array_equal(slopes[[0, 3]], slopes[[1, 2]])
    assert np.isfinite(slopes).all()


@cases.every_variant
@every_activation
def test_in_place(kernels, dtype, activation):
    X = make_input(70, dtype, 0, -3, 3)
    dY = make_input(70, dtype, 1)
    Y = forward(kernels, X, activation)
    S = saved(activation, X, Y)
    dX = backward(kernels, S, dY, activation)

    A = X.copy()
    kernels.activation_forward(A, A, activation, ALPHA, 1)
    cases.assert_same_bits(A, Y)
    A = dY.copy()
    kernels.activation_backward(S, A, A, activation, ALPHA, 1)
    cases.assert_same_bits(A, dX)


@cases.every_variant
def test_softmax_of_large_numbers(kernels, dtype):
    X = np.array([[1e4, 0, -1e4], [-1e4, -1e4, -1e4]], dtype)
    np.testing.assert_allclose(softmax(kernels, X), [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)


# ---------------------------------------------------------------------------
# The twin, against scipy and the definition
# ---------------------------------------------------------------------------

ORACLES = {
    "identity": lambda x: x,
    "relu": lambda x: (x + abs(x)) / 2,
    "leaky_relu": lambda x: max(x, 0) + ALPHA * min(x, 0),
    "tanh": lambda x: 2 * special.expit(2 * x) - 1,
    "logistic": special.expit,
    "elu": lambda x: x if x > 0 else ALPHA * (np.exp(x) - 1),
    "softplus": lambda x: -special.log_expit(-x),
    "relu6": lambda x: min(max(x, 0), 6),
    "hard_logistic": lambda x: max(0, min(1, x / 6 + 1 / 2)),
    "softsign": lambda x: x / (1 + abs(x)),
    "gelu": lambda x: x * (1 + special.erf(x / np.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "hard_swish": lambda x: x * max(0, min(1, x / 6 + 1 / 2)),
}


@every_activation
def test_forward_is_the_definition(activation):
    X = make_input(100, float64, 0, -4, 4)
    expected = [ORACLES[activation](x) for x in X]
    np.testing.assert_allclose(forward(reference, X, activation), expected, atol=1e-15)


@every_activation
def test_gradient_is_central_differences(activation):
    X = np.linspace(-4, 4, 40)  # 0, the kink of a ReLU, is not among them
    dY = make_input(40, float64)
    Y = forward(reference, X, activation)

    cases.assert_gradient(
        backward(reference, saved(activation, X, Y), dY, activation),
        lambda X: np.vdot(forward(reference, X, activation), dY),
        X,
    )


def test_softmax_is_the_definition():
    X = make_input((5, 7), float64, 0, -4, 4)
    expected = np.exp(X) / np.sum(np.exp(X), axis=1, keepdims=True)
    np.testing.assert_allclose(softmax(reference, X), expected, rtol=1e-14)
    np.testing.assert_allclose(
        softmax(reference, X), np.exp(special.log_softmax(X, axis=1)), rtol=1e-14
    )


def test_softmax_gradient_is_central_differences():
    X = make_input((3, 5), float64, 0, -2, 2)
    dY = make_input((3, 5), float64, 1)
    cases.assert_gradient(
        softmax_backward(reference, softmax(reference, X), dY),
        lambda X: np.vdot(softmax(reference, X), dY),
        X,
    )
