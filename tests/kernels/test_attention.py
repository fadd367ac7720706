"""Self-attention and its gradients."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)
every_case = pytest.mark.parametrize("case", cases.ATTENTION_CASES)

#: Of the scores: another number than any of the widths has.
FACTOR = 0.3

attention_cases = st.tuples(
    st.integers(1, 4),
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(1, 5),
    st.integers(1, 35),
)


def arrays(case, dtype, seed=0):
    """Q, K, V, bias and dY."""
    n, length, n_keys, heads, width = case
    rng = np.random.default_rng(seed)
    queries, keys = (n, length, heads, width), (n, n_keys, heads, width)
    shapes = queries, keys, keys, (heads, length, n_keys), queries
    return [cases.random_input(rng, s, dtype, -2, 2) for s in shapes]


def forward(kernels, Q, K, V, bias, n_threads=1):
    """P and Y."""
    n, length, heads, _ = Q.shape
    P = cases.output((n, heads, length, K.shape[1]), Q.dtype)
    Y = cases.output(Q.shape, Q.dtype)
    kernels.attention_forward(Q, K, V, bias, P, Y, FACTOR, n_threads)
    return P, Y


def backward(kernels, Q, K, V, P, dY, n_threads=1, with_bias=True):
    """dS, dQ, dK, dV and dbias."""
    dS = cases.output(P.shape, Q.dtype)
    dQ, dK, dV = (cases.output(A.shape, Q.dtype) for A in (Q, K, V))
    dbias = cases.output(P.shape[1:], Q.dtype) if with_bias else None
    kernels.attention_backward(Q, K, V, P, dY, dS, dQ, dK, dV, dbias, FACTOR, n_threads)
    return dS, dQ, dK, dV, dbias


def assert_like_reference(kernels, case, dtype, seed=0, n_threads=1, with_bias=True):
    Q, K, V, bias, dY = arrays(case, dtype, seed)
    bias = bias if with_bias else None
    P, Y = forward(reference, Q, K, V, bias)
    actual_P, actual_Y = forward(kernels, Q, K, V, bias, n_threads)
    cases.assert_close(actual_P, P, floor=1.0)
    cases.assert_close(actual_Y, Y, floor=1.0)
    *gradients, dbias = backward(kernels, Q, K, V, P, dY, n_threads, with_bias)
    *expected, expected_dbias = backward(reference, Q, K, V, P, dY, 1, with_bias)
    for one, other in zip(gradients, expected, strict=True):
        cases.assert_close(one, other, floor=1.0)
    if with_bias:
        cases.assert_close(dbias, expected_dbias, floor=1.0)


# ---------------------------------------------------------------------------
# Compiled kernels
# ---------------------------------------------------------------------------


@cases.every_compiled
@cases.quick
@given(
    case=attention_cases,
    seed=cases.seeds,
    n_threads=cases.thread_counts,
    with_bias=st.booleans(),
)
def test_like_reference(kernels, dtype, case, seed, n_threads, with_bias):
    assert_like_reference(kernels, case, dtype, seed, n_threads, with_bias)


@cases.every_compiled
@every_case
def test_larger_like_reference(kernels, dtype, case):
    assert_like_reference(kernels, cases.ATTENTION_CASES[case], dtype, n_threads=2)


@cases.every_compiled
@every_case
def test_threads_do_not_matter(kernels, dtype, case):
    Q, K, V, bias, dY = arrays(cases.ATTENTION_CASES[case], dtype)
    P, _ = forward(kernels, Q, K, V, bias)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            *forward(kernels, Q, K, V, bias, n_threads),
            *backward(kernels, Q, K, V, P, dY, n_threads),
        ]
    )


@cases.every_compiled
@every_case
def test_batch_does_not_matter(kernels, dtype, case):
    *samples, bias, _ = arrays((9, *cases.ATTENTION_CASES[case][1:]), dtype)

    def run(batch):
        """The results of the samples, in one array."""
        sizes = [A[0].size for A in samples]
        parts = np.split(batch, np.cumsum(sizes[:-1]), axis=1)
        Q, K, V = (
            np.ascontiguousarray(part).reshape(-1, *A.shape[1:])
            for part, A in zip(parts, samples, strict=True)
        )
        P, Y = forward(kernels, Q, K, V, bias, 2)
        return np.concatenate([A.reshape(len(Q), -1) for A in (P, Y)], axis=1)

    flat = [A.reshape(9, -1) for A in samples]
    cases.assert_batch_does_not_matter(run, np.concatenate(flat, axis=1))


@cases.every_compiled
def test_gradient_of_the_bias_is_the_sum_over_the_images(kernels, dtype):
    Q, K, V, bias, dY = arrays((7, 11, 8, 3, 5), dtype)
    P, _ = forward(kernels, Q, K, V, bias)
    dS, *_, dbias = backward(kernels, Q, K, V, P, dY)
    cases.assert_close(dbias, dS.sum(axis=0, dtype=np.float64), floor=0.1)


# ---------------------------------------------------------------------------
# All kernels
# ---------------------------------------------------------------------------


@cases.every_variant
def test_each_position_attends_to_a_total_of_one(kernels, dtype):
    Q, K, V, bias, _ = arrays((2, 13, 11, 3, 5), dtype)
    P, Y = forward(kernels, 50 * Q, 50 * K, V, bias)
    assert P.min() >= 0
    np.testing.assert_allclose(P.sum(axis=-1), 1, rtol=1e-5)
    assert np.abs(Y).max() <= np.abs(V).max() * (1 + 1e-5)


@cases.every_variant
def test_bias_of_minus_infinity_hides_a_position(kernels, dtype):
    Q, K, V, bias, dY = arrays((2, 7, 6, 3, 5), dtype)
    bias = bias.copy()
    bias[..., 4] = -np.inf
    P, Y = forward(kernels, Q, K, V, bias)
    _, dQ, dK, dV, _ = backward(kernels, Q, K, V, P, dY)
    np.testing.assert_array_equal(P[..., 4], 0)
    np.testing.assert_array_equal(dK[:, 4], 0)
    np.testing.assert_array_equal(dV[:, 4], 0)
    assert np.isfinite(Y).all()
    assert np.isfinite(dQ).all()


@cases.every_variant
def test_without_a_question_it_is_the_mean(kernels, dtype):
    Q, K, V, _, _ = arrays((2, 4, 9, 3, 5), dtype)
    P, Y = forward(kernels, np.zeros_like(Q), K, V, None)
    np.testing.assert_allclose(P, 1 / 9, rtol=1e-6)
    expected = np.broadcast_to(V.mean(axis=1, keepdims=True), Y.shape)
    np.testing.assert_allclose(Y, expected, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------------
# The twin, against its definition
# ---------------------------------------------------------------------------

TINY = [(2, 4, 4, 2, 3), (1, 1, 1, 1, 1), (3, 3, 5, 1, 2), (1, 5, 2, 3, 1)]
every_tiny = pytest.mark.parametrize("case", TINY)


@every_tiny
def test_forward_is_the_definition(case):
    Q, K, V, bias, _ = arrays(case, float64)
    n, length, n_keys, heads, width = case
    expected_P, expected_Y = np.zeros((n, heads, length, n_keys)), np.zeros(Q.shape)
    for image, head, i in np.ndindex(n, heads, length):
        scores = [
            FACTOR * sum(Q[image, i, head, c] * K[image, j, head, c] for c in range(width))
            + bias[head, i, j]
            for j in range(n_keys)
        ]
        total = sum(np.exp(score) for score in scores)
        for j, score in enumerate(scores):
            expected_P[image, head, i, j] = np.exp(score) / total
            expected_Y[image, i, head] += np.exp(score) / total * V[image, j, head]
    P, Y = forward(reference, Q, K, V, bias)

    np.testing.assert_allclose(P, expected_P, rtol=1e-13)
    np.testing.assert_allclose(Y, expected_Y, rtol=1e-13, atol=1e-13)


@every_tiny
def test_gradients_are_central_differences(case):
    Q, K, V, bias, dY = arrays(case, float64)

    def loss(Q=Q, K=K, V=V, bias=bias):
        return np.vdot(forward(reference, Q, K, V, bias)[1], dY)

    P, _ = forward(reference, Q, K, V, bias)
    _, dQ, dK, dV, dbias = backward(reference, Q, K, V, P, dY)

    cases.assert_gradient(dQ, lambda Q: loss(Q=Q), Q)
    cases.assert_gradient(dK, lambda K: loss(K=K), K)
    cases.assert_gradient(dV, lambda V: loss(V=V), V)
    cases.assert_gradient(dbias, lambda bias: loss(bias=bias), bias)


@cases.quick
@given(case=attention_cases, seed=cases.seeds)
def test_adjoint_in_the_values(case, seed):
    Q, K, V, bias, dY = arrays(case, float64, seed)
    P, Y = forward(reference, Q, K, V, bias)
    _, _, _, dV, _ = backward(reference, Q, K, V, P, dY)
    scale = 1 + np.linalg.norm(Y) * np.linalg.norm(dY)

    assert abs(np.vdot(Y, dY) - np.vdot(V, dV)) <= 1e-13 * scale
