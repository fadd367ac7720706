"""Dropout: a mask that is a function of seed and position."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_convnet.kernels import reference

all_seeds = st.integers(0, 2**64 - 1)
rates = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1 - 2**-24]) | st.floats(0, 0.99)


def dropout(kernels, X, rate, seed, n_threads=1):
    Y = cases.output(X.shape, X.dtype)
    kernels.dropout(X, Y, rate, seed, n_threads)
    return Y


def splitmix64(seed):
    """The generator as published, in Python integers."""
    mask = 2**64 - 1
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


@cases.every_compiled
@cases.quick
@given(size=st.integers(1, 300), rate=rates, seed=all_seeds, n_threads=cases.thread_counts)
def test_like_reference(kernels, dtype, size, rate, seed, n_threads):
    X = cases.random_input(np.random.default_rng(0), size, dtype, 0.5, 1.0)
    actual = dropout(kernels, X, rate, seed, n_threads)
    expected = dropout(reference, X, rate, seed)

    np.testing.assert_array_equal(actual != 0, expected != 0)
    cases.assert_close(actual, expected)


@cases.every_variant
def test_rate_zero_changes_nothing(kernels, dtype):
    X = cases.random_input(np.random.default_rng(0), 100, dtype)
    cases.assert_same_bits(dropout(kernels, X, 0.0, 7), X)


@cases.every_variant
def test_on_the_threshold_is_kept(kernels, dtype):
    X = np.ones(1, dtype)
    uniform = (next(splitmix64(11)) >> 40) / 2**24
    assert dropout(kernels, X, uniform, 11)[0] > 1
    assert dropout(kernels, X, uniform + 2**-24, 11)[0] == 0


@cases.every_compiled
def test_threads_do_not_matter(kernels, dtype):
    X = cases.random_input(np.random.default_rng(0), 40_003, dtype)
    cases.assert_threads_do_not_matter(lambda n_threads: [dropout(kernels, X, 0.3, 5, n_threads)])


@cases.every_variant
def test_position_decides(kernels, dtype):
    # More elements do not change the fate of the first ones.
    X = cases.random_input(np.random.default_rng(0), 500, dtype)
    whole = dropout(kernels, X, 0.5, 5)
    for size in (1, 64, 65, 499):
        cases.assert_same_bits(dropout(kernels, X[:size], 0.5, 5), whole[:size])


@cases.every_variant
def test_in_place(kernels, dtype):
    X = cases.random_input(np.random.default_rng(0), 100, dtype)
    A = X.copy()
    kernels.dropout(A, A, 0.5, 5, 1)
    cases.assert_same_bits(A, dropout(kernels, X, 0.5, 5))


# ---------------------------------------------------------------------------
# The twin
# ---------------------------------------------------------------------------


def test_published_numbers():
    # The first outputs of splitmix64 for seed 0, so that the oracle is one.
    generator = splitmix64(0)
    assert next(generator) == 0xE220A8397B1DCDAF
    assert next(generator) == 0x6E789E6AA1B965F4


@cases.quick
@given(size=st.integers(1, 300), rate=rates, seed=all_seeds)
def test_mask_is_the_definition(size, rate, seed):
    generator = splitmix64(seed)
    expected = []
    for _ in range(0, size, 64):
        words = [next(generator) for _ in range(32)]
        uniform = [word >> 40 for word in words] + [(word >> 8) % 2**24 for word in words]
        expected += [number >= rate * 2**24 for number in uniform]
    expected = expected[:size]
    np.testing.assert_array_equal(reference.dropout_mask(seed, size, rate), expected)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_share_and_mean(rate):
    size = 100_000
    Y = dropout(reference, np.ones(size), rate, seed=3)
    # Four standard deviations of a binomial share.
    tolerance = 4 * np.sqrt(rate * (1 - rate) / size)
    assert abs(np.mean(Y == 0) - rate) < tolerance
    assert abs(np.mean(Y) - 1) < tolerance / (1 - rate)
    assert set(np.unique(Y)) == {0, 1 / (1 - rate)}


def test_seeds_and_neighbours_are_independent():
    masks = np.array([reference.dropout_mask(seed, 10_000, 0.5) for seed in range(20)])
    correlation = np.corrcoef(masks) - np.eye(20)
    assert np.abs(correlation).max() < 0.05
    for apart in (1, 32, 64):
        assert abs(np.corrcoef(masks[0, apart:], masks[0, :-apart])[0, 1]) < 0.05


def test_adjoint():
    rng = np.random.default_rng(0)
    X, dY = cases.random_input(rng, (2, 200), np.float64)
    Y, dX = dropout(reference, X, 0.4, 9), dropout(reference, dY, 0.4, 9)
    assert np.vdot(Y, dY) == pytest.approx(np.vdot(X, dX), rel=1e-13)
