"""Which kernels are tested, on what arrays, and what is the same."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import product

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from sklearn_convnet.kernels import loader

FUSED_ACTIVATIONS = (
    "identity", "relu", "leaky_relu", "tanh", "logistic", "elu", "softplus", "relu6",
    "hard_logistic", "softsign",
)  # fmt: skip
INPUT_ACTIVATIONS = ("gelu", "silu", "hard_swish")  # whose derivative is one of the input
ALL_ACTIVATIONS = (*FUSED_ACTIVATIONS, *INPUT_ACTIVATIONS)

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
THREADS = (1, 2, 3)

# ---------------------------------------------------------------------------
# Which kernels
# ---------------------------------------------------------------------------


def _kernels(variants):
    return pytest.mark.parametrize(
        ("kernels", "dtype"),
        [
            pytest.param(loader.kernels(dtype, variant), dtype, id=f"{variant}-{dtype}")
            for variant, dtype in product(variants, DTYPES)
        ],
    )


every_compiled = _kernels([v for v in loader.variants() if v != "reference"])
every_variant = _kernels(loader.variants())

# Enough examples for a bug that one geometry in ten has; nothing is left on the disk.
quick = settings(max_examples=40, deadline=None, database=None)
seeds = st.integers(0, 2**32 - 1)
thread_counts = st.sampled_from(THREADS)

# ---------------------------------------------------------------------------
# Arrays
# ---------------------------------------------------------------------------


def random_input(rng, shape, dtype, low=-1.0, high=1.0):
    """Uniform numbers in an array that cannot be written to."""
    array = rng.uniform(low, high, shape).astype(dtype)
    array.flags.writeable = False
    return array


def output(shape, dtype):
    """An array to fill; what a kernel forgets to fill shows as NaN."""
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else -1, dtype=dtype)


# ---------------------------------------------------------------------------
# Comparisons
# ---------------------------------------------------------------------------

TOLERANCES = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}


def assert_close(actual, expected, *, floor=0.0, dtype=None, factor=1):
    """Compare relative to the largest expected number.

    `floor` is the size of a term where the numbers are sums: if a sum happens to
    cancel, its error is measured against the terms. `factor` times the usual tolerance.
    """
    dtype = actual.dtype if dtype is None else dtype
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    scale = max(np.max(np.abs(expected), initial=0.0), floor)
    error = np.max(np.abs(actual - expected), initial=0.0)
    # Not `error > tolerance`: NaN must fail.
    assert error <= factor * TOLERANCES[dtype] * scale, f"off by {error} at a scale of {scale}"


def assert_same_bits(actual, expected):
    """Compare bytes, so that NaN equals itself and -0 differs from 0."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    actual, expected = (
        np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (actual, expected)
    )
    np.testing.assert_array_equal(actual, expected)


def assert_threads_do_not_matter(run):
    """`run(n_threads)` returns arrays: the same bits for any number of threads."""
    expected = run(THREADS[0])
    for n_threads in THREADS[1:]:
        for one, other in zip(expected, run(n_threads), strict=True):
            assert_same_bits(other, one)


def assert_batch_does_not_matter(forward, X, beside_nan=True):
    """`forward(X)`: the same bits for a sample, whatever batch it comes in; `beside_nan`:
    also if nothing else in the batch is a number."""
    n = len(X)
    whole = forward(X)
    for start, size in ((0, 1), (n - 1, 1), (3, 2), (n - 7, 7), (2, min(15, n - 2))):
        part = np.ascontiguousarray(X[start : start + size])
        assert_same_bits(forward(part), whole[start : start + size])
    assert_same_bits(forward(np.ascontiguousarray(X[::-1])), whole[::-1])

    if not beside_nan:
        return
    X = X.copy()
    X[np.arange(n) != n // 2] = np.nan
    assert_same_bits(forward(X)[n // 2], whole[n // 2])


def numerical_gradient(function, x, step=1e-3):
    """Central differences of fourth order, in float64."""
    assert x.dtype == np.float64
    gradient = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        shifted = []
        for k in (-2, -1, 1, 2):
            y = x.copy()
            y[i] += k * step
            shifted.append(function(y))
        gradient[i] = (shifted[0] - 8 * shifted[1] + 8 * shifted[2] - shifted[3]) / (12 * step)
    return gradient


def assert_gradient(analytic, function, x):
    """Compare a gradient with central differences of `function` at x."""
    np.testing.assert_allclose(analytic, numerical_gradient(function, x), rtol=5e-6, atol=1e-9)
