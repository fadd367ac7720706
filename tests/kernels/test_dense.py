"""Dense layers and their gradients."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)
every_case = pytest.mark.parametrize("case", cases.DENSE_CASES)
ALPHA = 0.3

dense_cases = st.tuples(
    st.integers(1, 40),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(cases.FUSED_ACTIVATIONS),
)


def arrays(case, dtype, seed=0):
    """X, W, b and dY."""
    n, n_inputs, n_units, _ = case
    rng = np.random.default_rng(seed)
    shapes = (n, n_inputs), (n_inputs, n_units), (n_units,), (n, n_units)
    return [cases.random_input(rng, shape, dtype) for shape in shapes]


def forward(kernels, case, X, W, b, n_threads=1):
    Y = cases.output((len(X), W.shape[1]), X.dtype)
    kernels.dense_forward(X, W, b, Y, case[3], ALPHA, n_threads)
    return Y


def backward(kernels, case, X, W, Y, dY, n_threads=1, skip=()):
    """dX, dW and db, those in `skip` as None."""
    shapes = {"dX": X.shape, "dW": W.shape, "db": W.shape[1:]}
    gradients = [
        None if name in skip else cases.output(shape, X.dtype) for name, shape in shapes.items()
    ]
    kernels.dense_backward(X, W, Y, dY, *gradients, case[3], ALPHA, n_threads)
    return gradients


def assert_like_reference(kernels, case, dtype, seed=0, n_threads=1, use_bias=True, skip=()):
    X, W, b, dY = arrays(case, dtype, seed)
    b = b if use_bias else None
    Y = forward(reference, case, X, W, b)
    cases.assert_close(forward(kernels, case, X, W, b, n_threads), Y, floor=1.0)
    for actual, expected in zip(
        backward(kernels, case, X, W, Y, dY, n_threads, skip),
        backward(reference, case, X, W, Y, dY, skip=skip),
        strict=True,
    ):
        if expected is not None:
            cases.assert_close(actual, expected, floor=1.0)
        else:
            assert actual is None


# ---------------------------------------------------------------------------
# Compiled kernels
# ---------------------------------------------------------------------------


@cases.every_compiled
@cases.quick
@given(
    case=dense_cases,
    seed=cases.seeds,
    n_threads=cases.thread_counts,
    use_bias=st.booleans(),
    skip=st.sampled_from([(), (), ("dX",), ("dW",), ("db",), ("dX", "db")]),
)
def test_like_reference(kernels, dtype, case, seed, n_threads, use_bias, skip):
    assert_like_reference(kernels, case, dtype, seed, n_threads, use_bias, skip)


@cases.every_compiled
@every_case
def test_larger_like_reference(kernels, dtype, case):
    assert_like_reference(kernels, cases.DENSE_CASES[case], dtype, n_threads=2)


@cases.every_compiled
@every_case
def test_threads_do_not_matter(kernels, dtype, case):
    case = cases.DENSE_CASES[case]
    X, W, b, dY = arrays(case, dtype)
    Y = forward(kernels, case, X, W, b)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            forward(kernels, case, X, W, b, n_threads),
            *backward(kernels, case, X, W, Y, dY, n_threads),
        ]
    )


@cases.every_compiled
@pytest.mark.parametrize("n", [19, 130])
@every_case
def test_batch_does_not_matter(kernels, dtype, case, n):
    case = (n, *cases.DENSE_CASES[case][1:])
    X, W, b, _ = arrays(case, dtype)

    cases.assert_batch_does_not_matter(lambda X: forward(kernels, case, X, W, b, n_threads=2), X)


@cases.every_compiled
@pytest.mark.parametrize("activation", cases.FUSED_ACTIVATIONS)
def test_fused_activation_is_the_activation(kernels, dtype, activation):
    case, unfused = (7, 30, 21, activation), (7, 30, 21, "identity")
    X, W, b, dY = arrays(case, dtype)
    Y = forward(kernels, case, X, W, b)
    Z = forward(kernels, unfused, X, W, b)
    activated, dZ = np.empty_like(Z), np.empty_like(Z)
    kernels.activation_forward(Z.ravel(), activated.ravel(), activation, ALPHA, 1)
    kernels.activation_backward(Y.ravel(), dY.ravel(), dZ.ravel(), activation, ALPHA, 1)

    cases.assert_same_bits(Y, activated)
    for fused, separate in zip(
        backward(kernels, case, X, W, Y, dY),
        backward(kernels, unfused, X, W, Z, dZ),
        strict=True,
    ):
        cases.assert_same_bits(fused, separate)


@cases.every_compiled
def test_is_a_convolution_as_large_as_the_map(kernels, dtype):
    case = cases.ConvCase(5, (2, 3, 4), 7, 33, (2, 3, 4), activation="tanh")
    X, W, b, _ = case.arrays(dtype)
    Y = cases.output(case.output_shape, dtype)
    kernels.conv_forward(X, W, None, b, Y, None, None, *case.options, 1)

    flat = forward(kernels, (None, None, None, "tanh"), X.reshape(5, -1), W.reshape(-1, 33), b)

    cases.assert_close(flat, Y.reshape(5, 33), floor=1.0)


# ---------------------------------------------------------------------------
# The twin, against its definition
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3])
def test_forward_is_the_definition(n):
    case = (n, 4, 5, "identity")
    X, W, b, _ = arrays(case, float64)
    expected = np.zeros((n, 5))
    for i, u in np.ndindex(n, 5):
        expected[i, u] = b[u] + sum(X[i, k] * W[k, u] for k in range(4))

    np.testing.assert_allclose(forward(reference, case, X, W, b), expected, rtol=0, atol=1e-15)


@cases.quick
@given(case=dense_cases, seed=cases.seeds)
def test_adjoint(case, seed):
    case = (*case[:3], "identity")
    X, W, _, dY = arrays(case, float64, seed)
    Y = forward(reference, case, X, W, None)
    dX, dW, db = backward(reference, case, X, W, Y, dY)
    # 1 is the size of a term, for sums that cancel.
    scale = 1 + np.linalg.norm(Y) * np.linalg.norm(dY)

    assert abs(np.vdot(Y, dY) - np.vdot(X, dX)) <= 1e-12 * scale
    assert abs(np.vdot(Y, dY) - np.vdot(W, dW)) <= 1e-12 * scale
    np.testing.assert_allclose(db, dY.sum(axis=0), rtol=0, atol=1e-13)


@pytest.mark.parametrize("activation", cases.FUSED_ACTIVATIONS)
def test_gradients_are_central_differences(activation):
    case = (3, 4, 5, activation)
    # A seed at which no unit is so close to the kink of a ReLU that a step crosses it.
    for seed in range(100):
        X, W, b, dY = arrays(case, float64, seed)
        Z = forward(reference, (3, 4, 5, "identity"), X, W, b)
        if np.abs(Z).min() > 0.004:
            break
    else:
        pytest.fail("no such seed")

    def loss(X=X, W=W, b=b):
        return np.vdot(forward(reference, case, X, W, b), dY)

    Y = forward(reference, case, X, W, b)
    dX, dW, db = backward(reference, case, X, W, Y, dY)

    cases.assert_gradient(dX, lambda X: loss(X=X), X)
    cases.assert_gradient(dW, lambda W: loss(W=W), W)
    cases.assert_gradient(db, lambda b: loss(b=b), b)


@cases.every_compiled
@pytest.mark.parametrize("n_inputs", [16129, 16255, 32768])
def test_of_many_inputs_no_block_is_empty(kernels, dtype, n_inputs):
    # 128 or more blocks of 127 rows can come to more rows than there are; what is left for the
    # last ones was then a negative number of bytes to copy, which not every memcpy survives.
    assert_like_reference(kernels, (3, n_inputs, 2, "identity"), dtype, n_threads=2)
