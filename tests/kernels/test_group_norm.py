"""Normalisation of each sample by itself, and its gradients."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)
every_case = pytest.mark.parametrize("case", cases.GROUPNORM_CASES)

#: Samples, positions, groups and channels of a group.
group_cases = st.tuples(
    st.integers(1, 40),
    st.sampled_from([1, 1, 2, 7, 33, 600]),
    st.integers(1, 5),
    st.integers(1, 40),
).map(lambda c: (c[0], c[1], c[2] * c[3], c[2]))


def arrays(case, dtype, seed=0, mean=0.5):
    """X, scale, offset and dY."""
    n, positions, channels, _ = case
    rng = np.random.default_rng(seed)
    X = rng.normal(mean, rng.uniform(0.5, 2, channels), (n, positions, channels)).astype(dtype)
    X.flags.writeable = False
    scale, offset = (cases.random_input(rng, channels, dtype, -2, 2) for _ in range(2))
    return X, scale, offset, cases.random_input(rng, X.shape, dtype)


def forward(kernels, case, X, scale, offset, epsilon=1e-2, n_threads=1):
    """mean, variance and Y."""
    mean, variance = (cases.output((len(X), case[-1]), float64) for _ in range(2))
    Y = cases.output(X.shape, X.dtype)
    kernels.groupnorm_forward(X, scale, offset, mean, variance, Y, epsilon, n_threads)
    return mean, variance, Y


def backward(kernels, X, scale, statistics, dY, epsilon=1e-2, n_threads=1, skip=()):
    """dX, dscale and doffset."""
    dX = cases.output(X.shape, X.dtype)
    dscale, doffset = (
        None if name in skip else cases.output(scale.shape, X.dtype)
        for name in ("dscale", "doffset")
    )
    kernels.groupnorm_backward(X, scale, *statistics, dY, dX, dscale, doffset, epsilon, n_threads)
    return dX, dscale, doffset


def assert_like_reference(kernels, case, dtype, seed=0, n_threads=1, epsilon=1e-2, skip=()):
    X, scale, offset, dY = arrays(case, dtype, seed)
    expected = forward(reference, case, X, scale, offset, epsilon)
    actual = forward(kernels, case, X, scale, offset, epsilon, n_threads)
    for one, other in zip(actual, expected, strict=True):
        cases.assert_close(one, other, floor=1.0, dtype=dtype)
    expected_gradients = backward(reference, X, scale, expected[:2], dY, epsilon, skip=skip)
    gradients = backward(kernels, X, scale, expected[:2], dY, epsilon, n_threads, skip)
    # dX is a difference of terms of this size.
    size = 1 / np.sqrt(expected[1].min() + epsilon)
    floors = size, np.sqrt(X.size / len(scale)), np.sqrt(X.size / len(scale))
    for one, other, floor in zip(gradients, expected_gradients, floors, strict=True):
        if other is None:
            assert one is None
        else:
            cases.assert_close(one, other, floor=floor)


# ---------------------------------------------------------------------------
# Compiled kernels
# ---------------------------------------------------------------------------


@cases.every_compiled
@cases.quick
@given(
    case=group_cases,
    seed=cases.seeds,
    n_threads=cases.thread_counts,
    epsilon=st.sampled_from([1e-3, 1e-2, 1.0]),
    skip=st.sampled_from([(), (), ("dscale",), ("doffset",), ("dscale", "doffset")]),
)
def test_like_reference(kernels, dtype, case, seed, n_threads, epsilon, skip):
    assert_like_reference(kernels, case, dtype, seed, n_threads, epsilon, skip)


@cases.every_compiled
@every_case
def test_larger_like_reference(kernels, dtype, case):
    assert_like_reference(kernels, cases.GROUPNORM_CASES[case], dtype, n_threads=2)


@cases.every_compiled
@every_case
def test_threads_do_not_matter(kernels, dtype, case):
    case = cases.GROUPNORM_CASES[case]
    X, scale, offset, dY = arrays(case, dtype)
    statistics = forward(kernels, case, X, scale, offset)[:2]

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            *forward(kernels, case, X, scale, offset, n_threads=n_threads),
            *backward(kernels, X, scale, statistics, dY, n_threads=n_threads),
        ]
    )


@cases.every_compiled
@every_case
def test_batch_does_not_matter(kernels, dtype, case):
    case = cases.GROUPNORM_CASES[case]
    X, scale, offset, _ = arrays(case, dtype)
    cases.assert_batch_does_not_matter(
        lambda X: forward(kernels, case, X, scale, offset, n_threads=2)[2], X[:19]
    )


@cases.every_compiled
@every_case
def test_batch_does_not_matter_to_the_input_gradient(kernels, dtype, case):
    case = cases.GROUPNORM_CASES[case]
    X, scale, offset, dY = (a[:19] if a.ndim == 3 else a for a in arrays(case, dtype))
    mean, variance, _ = forward(kernels, case, X, scale, offset)
    whole, _, _ = backward(kernels, X, scale, (mean, variance), dY, n_threads=2)
    for rows in (slice(0, 1), slice(3, 10)):
        statistics = mean[rows].copy(), variance[rows].copy()
        part, _, _ = backward(kernels, X[rows], scale, statistics, dY[rows])
        cases.assert_same_bits(part, whole[rows])


# ---------------------------------------------------------------------------
# All kernels
# ---------------------------------------------------------------------------


@cases.every_variant
@every_case
def test_each_group_has_mean_zero_and_deviation_one(kernels, dtype, case):
    n, positions, channels, groups = case = cases.GROUPNORM_CASES[case]
    X, _, _, _ = arrays(case, dtype)
    ones, zeros = np.ones(channels, dtype), np.zeros(channels, dtype)
    _, _, Y = forward(kernels, case, X, ones, zeros, epsilon=1e-12)
    Z = Y.astype(np.float64).reshape(n, positions, groups, -1)
    np.testing.assert_allclose(Z.mean(axis=(1, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(Z.std(axis=(1, 3)), 1, rtol=1e-6)


@cases.every_variant
@every_case
def test_a_large_mean_costs_no_digit(kernels, dtype, case):
    """The mean square less the square of the mean would be all error."""
    case = cases.GROUPNORM_CASES[case]
    X, scale, offset, dY = arrays(case, dtype, mean=1e4)
    wide = [a.astype(np.float64) for a in (X, scale, offset, dY)]
    mean, variance, Y = forward(kernels, case, X, scale, offset)
    expected = forward(reference, case, *wide[:3])
    # The mean is a double of 1e4, whatever X is.
    rtol = max(cases.TOLERANCES[dtype], 1e6 * np.finfo(np.float64).eps)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-8)
    np.testing.assert_allclose(variance, expected[1], rtol=rtol)
    np.testing.assert_allclose(Y, expected[2], rtol=rtol, atol=rtol)
    gradients = backward(kernels, X, scale, (mean, variance), dY)
    expected_gradients = backward(reference, wide[0], wide[1], expected[:2], wide[3])
    for one, other in zip(gradients, expected_gradients, strict=True):
        size = max(np.abs(other).max(), 10)
        np.testing.assert_allclose(one, other, rtol=0, atol=rtol * size)


@cases.every_variant
@every_case
def test_what_is_constant_becomes_the_offset(kernels, dtype, case):
    case = cases.GROUPNORM_CASES[case]
    X, scale, offset, dY = arrays(case, dtype)
    X = np.full_like(X, 0.3)
    mean, variance, Y = forward(kernels, case, X, scale, offset)
    np.testing.assert_allclose(variance, 0, atol=1e-15)
    np.testing.assert_allclose(Y, np.broadcast_to(offset, X.shape), atol=1e-5)
    assert np.isfinite(backward(kernels, X, scale, (mean, variance), dY)[0]).all()


@cases.every_variant
def test_no_samples(kernels, dtype):
    for case in ((0, 5, 6, 2), (0, 1, 6, 1)):
        X, scale, offset, dY = arrays(case, dtype)
        mean, variance, _ = forward(kernels, case, X, scale, offset)
        _, dscale, doffset = backward(kernels, X, scale, (mean, variance), dY)
        np.testing.assert_array_equal(dscale, 0)
        np.testing.assert_array_equal(doffset, 0)


@cases.every_variant
def test_one_position_or_many_are_one_definition(kernels, dtype):
    """A position by itself takes another way than several, which see the same numbers here."""
    case = (6, 1, 24, 3)
    X, scale, offset, dY = arrays(case, dtype)
    twice = np.repeat(X, 2, axis=1)
    mean, variance, Y = forward(kernels, case, X, scale, offset)
    for one, other in zip(forward(kernels, case, twice, scale, offset), (mean, variance, Y),
                          strict=True):  # fmt: skip
        cases.assert_close(one[:, :1] if one.ndim == 3 else one, other, dtype=dtype)
    dX, *sums = backward(kernels, X, scale, (mean, variance), dY)
    dX_twice, *sums_twice = backward(
        kernels, twice, scale, (mean, variance), np.repeat(dY / 2, 2, axis=1)
    )
    cases.assert_close(dX_twice.sum(axis=1, keepdims=True), dX, floor=1.0, dtype=dtype)
    for one, other in zip(sums_twice, sums, strict=True):
        cases.assert_close(one, other, floor=1.0)


# ---------------------------------------------------------------------------
# The twin, against its definition
# ---------------------------------------------------------------------------

TINY = [(2, 3, 4, 2), (3, 1, 5, 1), (2, 4, 3, 3), (1, 2, 6, 1)]
every_tiny = pytest.mark.parametrize("case", TINY)


@every_tiny
def test_forward_is_the_definition(case):
    n, positions, channels, groups = case
    X, scale, offset, _ = arrays(case, float64)
    mean, variance, Y = forward(reference, case, X, scale, offset, epsilon=0.3)
    width = channels // groups
    for sample, group in np.ndindex(n, groups):
        numbers = [
            X[sample, p, c]
            for p in range(positions)
            for c in range(group * width, (group + 1) * width)
        ]
        middle = sum(numbers) / len(numbers)
        spread = sum((x - middle) ** 2 for x in numbers) / len(numbers)
        np.testing.assert_allclose(mean[sample, group], middle, rtol=1e-13)
        np.testing.assert_allclose(variance[sample, group], spread, rtol=1e-12)
        for p in range(positions):
            for c in range(group * width, (group + 1) * width):
                expected = scale[c] * (X[sample, p, c] - middle) / (spread + 0.3) ** 0.5 + offset[c]
                np.testing.assert_allclose(Y[sample, p, c], expected, rtol=1e-12)


@every_tiny
def test_gradients_are_central_differences(case):
    X, scale, offset, dY = arrays(case, float64)

    def loss(X=X, scale=scale, offset=offset):
        return np.vdot(forward(reference, case, X, scale, offset)[2], dY)

    mean, variance, _ = forward(reference, case, X, scale, offset)
    dX, dscale, doffset = backward(reference, X, scale, (mean, variance), dY)
    cases.assert_gradient(dX, lambda X: loss(X=X), X)
    cases.assert_gradient(dscale, lambda scale: loss(scale=scale), scale)
    cases.assert_gradient(doffset, lambda offset: loss(offset=offset), offset)
