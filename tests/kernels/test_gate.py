"""Products of maps with gates."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import product

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)

# Samples, positions, channels: around blocks of channels, and large enough for threads.
SHAPES = [(9, 1, 7), (9, 30, 1), (9, 61, 63), (9, 50, 64), (9, 49, 130), (3, 1, 1), (12, 700, 5)]
# Whether the gate has as many positions and channels, or one for all.
FORMS = list(product([False, True], repeat=2))


def gate_shape(shape, form):
    return (shape[0], *(size if many else 1 for size, many in zip(shape[1:], form, strict=True)))


def arrays(shape, form, dtype, seed=0):
    """X, G and dY."""
    rng = np.random.default_rng(seed)
    return [cases.random_input(rng, s, dtype) for s in (shape, gate_shape(shape, form), shape)]


def forward(kernels, X, G, n_threads=1):
    Y = cases.output(X.shape, X.dtype)
    kernels.gate_forward(X, G, Y, n_threads)
    return Y


def backward(kernels, X, G, dY, n_threads=1):
    """dX and dG."""
    dX, dG = cases.output(X.shape, X.dtype), cases.output(G.shape, X.dtype)
    kernels.gate_backward(X, G, dY, dX, dG, n_threads)
    return dX, dG


def assert_like_reference(kernels, X, G, dY, n_threads):
    # What is one product is rounded once.
    cases.assert_same_bits(forward(kernels, X, G, n_threads), forward(reference, X, G))
    dX, dG = backward(kernels, X, G, dY, n_threads)
    expected_dX, expected_dG = backward(reference, X, G, dY)
    cases.assert_same_bits(dX, expected_dX)
    cases.assert_close(dG, expected_dG, floor=1.0)


@cases.every_compiled
@cases.quick
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 140)),
    form=st.sampled_from(FORMS),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
)
def test_like_reference(kernels, dtype, shape, form, seed, n_threads):
    assert_like_reference(kernels, *arrays(shape, form, dtype, seed), n_threads)


@cases.every_compiled
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_larger_like_reference(kernels, dtype, shape, form):
    assert_like_reference(kernels, *arrays(shape, form, dtype), n_threads=2)


@cases.every_compiled
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[0] == 9])
def test_threads_and_batch_do_not_matter(kernels, dtype, shape, form):
    X, G, dY = arrays(shape, form, dtype)
    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            forward(kernels, X, G, n_threads),
            *backward(kernels, X, G, dY, n_threads),
        ]
    )

    def of_batch(XdY):
        """Output and gradients of samples, whose gate is that of all its positions' first."""
        X, dY = (np.ascontiguousarray(half) for half in np.split(XdY, 2, axis=1))
        G = np.ascontiguousarray(X[:, : G_shape[1], : G_shape[2]])
        parts = (forward(kernels, X, G, 2), *backward(kernels, X, G, dY, 2))
        return np.concatenate([part.reshape(len(X), -1) for part in parts], axis=1)

    G_shape = G.shape
    cases.assert_batch_does_not_matter(of_batch, np.concatenate([X, dY], axis=1))


@cases.every_variant
@pytest.mark.parametrize("form", FORMS)
def test_by_hand(kernels, dtype, form):
    X, G, dY = arrays((3, 5, 4), form, dtype)
    np.testing.assert_allclose(forward(kernels, X, G), X * G, rtol=1e-6)
    dX, dG = backward(kernels, X, G, dY)
    np.testing.assert_allclose(dX, dY * G, rtol=1e-6)
    sums = np.zeros(G.shape)
    for n, i, c in np.ndindex(X.shape):
        sums[n, i * form[0], c * form[1]] += float(X[n, i, c]) * float(dY[n, i, c])
    np.testing.assert_allclose(dG, sums, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_central_differences(form):
    X, G, dY = arrays((2, 4, 3), form, float64)
    dX, dG = backward(reference, X, G, dY)
    cases.assert_gradient(dX, lambda X: np.vdot(forward(reference, X, G), dY), X)
    cases.assert_gradient(dG, lambda G: np.vdot(forward(reference, X, G), dY), G)


@cases.every_variant
def test_what_is_no_number_stays_in_its_channel(kernels, dtype):
    X, G, dY = (a.copy() for a in arrays((2, 70, 66), (False, True), dtype))
    X[0, 3, 65] = np.nan
    Y, (_, dG) = forward(kernels, X, G), backward(kernels, X, G, dY)
    assert np.isnan(Y[0, 3, 65])
    assert np.isnan(dG[0, 0, 65])
    assert np.isnan(Y).sum() == np.isnan(dG).sum() == 1
