"""The affine map of every channel, which batch normalisation comes down to."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_convnet.kernels import reference


def arrays(shape, dtype, seed=0):
    """X, scale and shift."""
    rng = np.random.default_rng(seed)
    return [cases.random_input(rng, s, dtype) for s in (shape, shape[1:], shape[1:])]


def affine(kernels, X, scale, shift, n_threads=1):
    Y = cases.output(X.shape, X.dtype)
    kernels.channel_affine(X, scale, shift, Y, n_threads)
    return Y


@cases.every_compiled
@cases.quick
@given(
    shape=st.tuples(st.integers(1, 50), st.integers(1, 70)),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
    use_shift=st.booleans(),
)
def test_like_reference(kernels, dtype, shape, seed, n_threads, use_shift):
    X, scale, shift = arrays(shape, dtype, seed)
    shift = shift if use_shift else None

    cases.assert_close(
        affine(kernels, X, scale, shift, n_threads),
        affine(reference, X, scale, shift),
        floor=0.1,
    )


@cases.every_compiled
@pytest.mark.parametrize("n_channels", [1, 3, 67])
@pytest.mark.parametrize("use_shift", [True, False])
def test_threads_and_batch_do_not_matter(kernels, dtype, n_channels, use_shift):
    X, scale, shift = arrays((40_000 // n_channels, n_channels), dtype)
    shift = shift if use_shift else None

    cases.assert_threads_do_not_matter(
        lambda n_threads: [affine(kernels, X, scale, shift, n_threads)]
    )
    cases.assert_batch_does_not_matter(
        lambda X: affine(kernels, X, scale, shift), X[:19]
    )


@cases.every_variant
@pytest.mark.parametrize("use_shift", [True, False])
def test_in_place(kernels, dtype, use_shift):
    X, scale, shift = arrays((7, 21), dtype)
    shift = shift if use_shift else None
    A = X.copy()
    kernels.channel_affine(A, scale, shift, A, 1)
    cases.assert_same_bits(A, affine(kernels, X, scale, shift))


def test_is_the_definition():
    X, scale, shift = arrays((5, 3), np.float64)
    expected = [[x * a + b for x, a, b in zip(row, scale, shift, strict=True)]
                for row in X]  # fmt: skip
    np.testing.assert_allclose(
        affine(reference, X, scale, shift), expected, rtol=0, atol=1e-15
    )


def test_adjoint_and_gradient():
    X, scale, shift = arrays((5, 3), np.float64)
    dY, _, _ = arrays((5, 3), np.float64, seed=1)
    dX = affine(reference, dY, scale, None)

    assert np.vdot(affine(reference, X, scale, None), dY) == pytest.approx(
        np.vdot(X, dX), rel=1e-13
    )
    cases.assert_gradient(
        dX, lambda X: np.vdot(affine(reference, X, scale, shift), dY), X
    )
