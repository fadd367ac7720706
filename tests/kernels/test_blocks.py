"""Sums of maps, and maps side by side; filters the other way round."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_convnet.kernels import reference

# Around one chunk, and around the two from which on threads share the work.
LENGTHS = (1, 8191, 8192, 8193, 16384, 16385, 50_000)


def inputs(dtype, *shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [cases.random_input(rng, shape, dtype) for shape in shapes]


def add(kernels, A, B, n_threads=1, activation="identity", alpha=0.0):
    Y = cases.output(A.shape, A.dtype)
    kernels.add(A, B, Y, activation, alpha, n_threads)
    return Y


def copied(kernels, X, Y, ranges, accumulate, n_threads=1):
    """A copy of Y with channels of X."""
    Y = Y.copy()
    kernels.copy_channels(X, Y, *ranges, accumulate, n_threads)
    return Y


@st.composite
def copies(draw):
    """Rows, channels of X and Y, and x_start, y_start and width."""
    n_x, n_y = draw(st.integers(0, 40)), draw(st.integers(0, 40))
    width = draw(st.integers(0, min(n_x, n_y)))
    x_start = draw(st.integers(0, n_x - width))
    y_start = draw(st.integers(0, n_y - width))
    return draw(st.integers(1, 20)), n_x, n_y, (x_start, y_start, width)


# The result is that of one rounding, so it is compared bit by bit.


@cases.every_variant
@pytest.mark.parametrize("n_threads", cases.THREADS)
@pytest.mark.parametrize("length", LENGTHS)
def test_add(kernels, dtype, length, n_threads):
    A, B = inputs(dtype, length, length)
    cases.assert_same_bits(add(kernels, A, B, n_threads), A + B)


@cases.every_compiled
@cases.quick
@given(length=st.integers(0, 300), seed=cases.seeds, n_threads=cases.thread_counts)
def test_add_like_reference(kernels, dtype, length, seed, n_threads):
    A, B = inputs(dtype, length, length, seed=seed)
    cases.assert_same_bits(add(kernels, A, B, n_threads), add(reference, A, B))


@cases.every_compiled
@pytest.mark.parametrize("activation", cases.FUSED_ACTIVATIONS)
def test_add_and_activate(kernels, dtype, activation):
    """As the activation of the sum, to the bit, for any number of threads."""
    A, B = inputs(dtype, 20_001, 20_001)
    expected = cases.output(A.shape, dtype)
    kernels.activation_forward(A + B, expected, activation, 0.3, 1)
    for n_threads in cases.THREADS:
        cases.assert_same_bits(add(kernels, A, B, n_threads, activation, 0.3), expected)
    cases.assert_close(expected, add(reference, A, B, 1, activation, 0.3))


@cases.every_variant
def test_add_in_place(kernels, dtype):
    A, B = inputs(dtype, 20_000, 20_000)
    for i in range(2):
        operands = [A.copy(), B.copy()]
        kernels.add(*operands, operands[i], "identity", 0.0, 2)
        cases.assert_same_bits(operands[i], A + B)
        cases.assert_same_bits(operands[1 - i], (B, A)[i])


@cases.every_compiled
@cases.quick
@given(
    case=copies(),
    accumulate=st.booleans(),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
)
def test_copy_channels_like_reference(kernels, dtype, case, accumulate, seed, n_threads):
    m, n_x, n_y, ranges = case
    X, Y = inputs(dtype, (m, n_x), (m, n_y), seed=seed)
    cases.assert_same_bits(
        copied(kernels, X, Y, ranges, accumulate, n_threads),
        copied(reference, X, Y, ranges, accumulate),
    )


@cases.every_variant
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("m", [1, 819, 820, 5000])
def test_copy_channels(kernels, dtype, m, accumulate):
    X, Y = inputs(dtype, (m, 33), (m, 47))
    expected = Y.copy()
    expected[:, 25:45] = X[:, 10:30] + (Y[:, 25:45] if accumulate else 0)

    for n_threads in cases.THREADS:
        cases.assert_same_bits(copied(kernels, X, Y, (10, 25, 20), accumulate, n_threads), expected)


@cases.every_variant
def test_concatenation_and_its_adjoint(kernels, dtype):
    widths = (3, 1, 17)
    parts = inputs(dtype, *((9, width) for width in widths))
    (dY,) = inputs(dtype, (9, sum(widths)), seed=1)
    Y = cases.output(dY.shape, dtype)
    products = 0
    for part, start, width in zip(parts, (0, 3, 4), widths, strict=True):
        kernels.copy_channels(part, Y, 0, start, width, False, 1)
        d_part = cases.output(part.shape, dtype)
        kernels.copy_channels(dY, d_part, start, 0, width, False, 1)
        products += np.vdot(part, d_part)

    cases.assert_same_bits(Y, np.concatenate(parts, axis=1))
    assert np.vdot(Y, dY) == pytest.approx(products, rel=1e-5)


@pytest.mark.parametrize("width", [-1, -5])
def test_reference_refuses_a_negative_width(width):
    X = np.zeros((3, 5))
    with pytest.raises(ValueError, match=f"width {width}, expected"):
        reference.copy_channels(X, X.copy(), 0, 0, width, False, 1)


@cases.every_variant
@cases.quick
@given(
    shape=st.tuples(st.integers(0, 9), st.integers(0, 150), st.integers(0, 40)),
    seed=cases.seeds, n_threads=cases.thread_counts,
)  # fmt: skip
def test_exchange_maps(kernels, dtype, shape, seed, n_threads):
    (W,) = inputs(dtype, shape, seed=seed)
    T = cases.output((shape[0], shape[2], shape[1]), dtype)
    kernels.exchange_maps(W, T, n_threads)
    cases.assert_same_bits(T, np.ascontiguousarray(np.swapaxes(W, 1, 2)))


@cases.every_compiled
def test_exchange_maps_of_many(kernels, dtype):
    """Enough for several threads, and no whole squares."""
    (W,) = inputs(dtype, (3, 203, 70))
    T = cases.output((3, 70, 203), dtype)
    kernels.exchange_maps(W, T, 3)
    cases.assert_same_bits(T, np.ascontiguousarray(np.swapaxes(W, 1, 2)))
