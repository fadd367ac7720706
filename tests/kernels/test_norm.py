"""The affine map of every channel, batch and local response normalisation."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)
ALPHA = 0.3

# ---------------------------------------------------------------------------
# The affine map of every channel
# ---------------------------------------------------------------------------


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
    cases.assert_batch_does_not_matter(lambda X: affine(kernels, X, scale, shift), X[:19])


@cases.every_variant
@pytest.mark.parametrize("use_shift", [True, False])
def test_in_place(kernels, dtype, use_shift):
    X, scale, shift = arrays((7, 21), dtype)
    shift = shift if use_shift else None
    A = X.copy()
    kernels.channel_affine(A, scale, shift, A, 1)
    cases.assert_same_bits(A, affine(kernels, X, scale, shift))


def standardized(kernels, X, mean, deviation, n_threads=1):
    Y = cases.output(X.shape, X.dtype)
    kernels.standardize(X, mean, deviation, Y, n_threads)
    return Y


@cases.every_compiled
@cases.quick
@given(
    shape=st.tuples(st.integers(1, 1100), st.integers(1, 40)),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
)
def test_standardize_is_an_affine_map(kernels, dtype, shape, seed, n_threads):
    rng = np.random.default_rng(seed)
    X = cases.random_input(rng, shape, dtype)
    mean, deviation = rng.normal(size=shape[1]), rng.uniform(0.1, 3, size=shape[1])
    inverse = 1 / deviation
    scale, shift = inverse.astype(dtype), (-mean * inverse).astype(dtype)
    found = standardized(kernels, X, mean, deviation, n_threads)
    cases.assert_same_bits(found, affine(kernels, X, scale, shift, n_threads))
    cases.assert_close(found, standardized(reference, X, mean, deviation), floor=1.0)


def centred(kernels, dtype, X, centre, scale, shift, n_threads=1):
    Y = cases.output(X.shape, dtype)
    kernels.centred_affine(X, centre, scale, shift, Y, n_threads)
    return Y


@cases.every_compiled
@cases.quick
@given(
    shape=st.tuples(st.integers(1, 50), st.integers(1, 70)),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
)
def test_centred_like_reference(kernels, dtype, shape, seed, n_threads):
    rng = np.random.default_rng(seed)
    X = cases.random_input(rng, shape, np.float64)
    columns = [cases.random_input(rng, shape[1], np.float64) for _ in range(3)]
    cases.assert_close(
        centred(kernels, dtype, X, *columns, n_threads),
        centred(reference, dtype, X, *columns),
        floor=0.1,
    )


@cases.every_variant
def test_nothing_is_lost_before_the_difference(kernels, dtype):
    X = 2e15 + np.arange(20_001.0).reshape(-1, 3)
    expected = np.arange(-10_000.0, 10_001).reshape(-1, 3) / 4 + 1
    columns = np.full(3, 2e15 + 10_000), np.full(3, 0.25), np.ones(3)
    cases.assert_threads_do_not_matter(
        lambda n_threads: [centred(kernels, dtype, X, *columns, n_threads)]
    )
    np.testing.assert_array_equal(centred(kernels, dtype, X, *columns), expected)


def test_is_the_definition():
    X, scale, shift = arrays((5, 3), np.float64)
    expected = [[x * a + b for x, a, b in zip(row, scale, shift, strict=True)]
                for row in X]  # fmt: skip
    np.testing.assert_allclose(affine(reference, X, scale, shift), expected, rtol=0, atol=1e-15)


def test_adjoint_and_gradient():
    X, scale, shift = arrays((5, 3), np.float64)
    dY, _, _ = arrays((5, 3), np.float64, seed=1)
    dX = affine(reference, dY, scale, None)

    assert np.vdot(affine(reference, X, scale, None), dY) == pytest.approx(
        np.vdot(X, dX), rel=1e-13
    )
    cases.assert_gradient(dX, lambda X: np.vdot(affine(reference, X, scale, shift), dY), X)


# ---------------------------------------------------------------------------
# Batch normalisation
# ---------------------------------------------------------------------------

# m, channels, samples with a weight (or None), activation
batchnorm_cases = st.tuples(
    st.integers(1, 10), st.integers(1, 40), st.integers(1, 9), st.booleans(),
    st.sampled_from(cases.FUSED_ACTIVATIONS),
).map(lambda c: (c[0] * c[2], c[1], c[2] if c[3] else None, c[4]))  # fmt: skip

#: Relative errors of means and variances.
STATISTICS = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-12}

every_batchnorm = pytest.mark.parametrize("case", cases.BATCHNORM_CASES)


def batchnorm_arrays(case, dtype, seed=0):
    """X, weight, scale, offset and dY."""
    m, n_channels, n, _ = case
    rng = np.random.default_rng(seed)
    X = cases.random_input(rng, (m, n_channels), dtype, -1, 2)
    weight = None if n is None else cases.random_input(rng, (n,), dtype, 0.1, 2)
    scale = cases.random_input(rng, (n_channels,), dtype, 0.5, 1.5)
    offset = cases.random_input(rng, (n_channels,), dtype)
    return X, weight, scale, offset, cases.random_input(rng, X.shape, dtype)


def statistics(kernels, X, weight, scale, offset, n_threads=1, epsilon=1e-2, moments=None):
    """mean, variance and affine."""
    mean, variance = cases.output((2, X.shape[1]), np.float64)
    affine = cases.output((3, X.shape[1]), X.dtype)
    kernels.batchnorm_statistics(
        X, weight, scale, offset, moments, mean, variance, affine, epsilon, n_threads
    )
    return mean, variance, affine


def batchnorm(kernels, case, X, weight, scale, offset, n_threads=1, epsilon=1e-2, addend=None):
    """mean, variance, affine and Y."""
    forward = statistics(kernels, X, weight, scale, offset, n_threads, epsilon)
    Y = cases.output(X.shape, X.dtype)
    kernels.batchnorm_forward(X, forward[-1], Y, addend, case[-1], ALPHA, n_threads)
    return *forward, Y


def batchnorm_backward(
    kernels, case, X, weight, scale, forward, dY, n_threads=1, epsilon=1e-2, skip=(), sums=None,
    back=None,
):  # fmt: skip
    """dX, dscale and doffset, those in `skip` as None."""
    dX = None if "dX" in skip else cases.output(X.shape, X.dtype)
    dscale, doffset = (
        None if name in skip else cases.output(scale.shape, X.dtype)
        for name in ("dscale", "doffset")
    )
    kernels.batchnorm_backward(
        X, weight, scale, *forward[:3], dY, sums, dX, back, dscale, doffset, epsilon, case[-1],
        ALPHA, n_threads,
    )  # fmt: skip
    return dX, dscale, doffset


def known_statistics(n_channels, dtype, seed=0):
    """mean, variance, scale, offset and b."""
    rng = np.random.default_rng(seed)
    mean, variance = rng.standard_normal(n_channels), rng.uniform(0, 4, n_channels)
    return mean, variance, *rng.standard_normal((3, n_channels)).astype(dtype)


def running(kernels, mean, variance, scale, offset, epsilon=1e-2):
    affine = cases.output((3, len(mean)), scale.dtype)
    kernels.batchnorm_running(mean, variance, scale, offset, affine, epsilon, 1)
    return affine


def fold(kernels, mean, variance, scale, offset, b, epsilon=1e-2):
    """factor and shift."""
    factor, shift = cases.output((2, len(mean)), scale.dtype)
    kernels.batchnorm_fold(mean, variance, scale, offset, b, factor, shift, epsilon, 1)
    return factor, shift


@cases.every_compiled
@pytest.mark.parametrize("n_channels", [1, 7, 67])
def test_known_statistics_like_reference(kernels, dtype, n_channels):
    *arrays, b = known_statistics(n_channels, dtype)

    cases.assert_close(running(kernels, *arrays), running(reference, *arrays), floor=1.0)
    for b_or_none in (b, None):
        results = (fold(one, *arrays, b_or_none) for one in (kernels, reference))
        for actual, expected in zip(*results, strict=True):
            cases.assert_close(actual, expected, floor=1.0)


@cases.every_variant
def test_known_statistics_in_filters_and_bias(kernels, dtype):
    *arrays, b = known_statistics(5, dtype)
    Z = np.random.default_rng(1).standard_normal((9, 5)).astype(dtype)
    Y = cases.output(Z.shape, dtype)
    kernels.batchnorm_forward(Z + b, running(kernels, *arrays), Y, None, "identity", 0.0, 1)

    factor, shift = fold(kernels, *arrays, b)

    cases.assert_close(factor * Z + shift, Y, floor=1.0)


def assert_batchnorm_like_reference(
    kernels, case, dtype, seed=0, n_threads=1, epsilon=1e-2, skip=()
):
    X, weight, scale, offset, dY = batchnorm_arrays(case, dtype, seed)
    forward = batchnorm(reference, case, X, weight, scale, offset, 1, epsilon)
    actual = batchnorm(kernels, case, X, weight, scale, offset, n_threads, epsilon)
    # The statistics are float64, but of sums of a few rows in the arrays' own precision.
    for one, other in zip(actual[:2], forward[:2], strict=True):
        cases.assert_close(one, other, floor=1.0, dtype=np.dtype(dtype))
    cases.assert_close(actual[3], forward[3], floor=1.0)

    # A gradient is divided by the deviation, which one row or equal ones leave at 0.
    floor = 1 / np.sqrt(epsilon)
    for one, other in zip(
        batchnorm_backward(kernels, case, X, weight, scale, forward, dY, n_threads, epsilon, skip),
        batchnorm_backward(reference, case, X, weight, scale, forward, dY, 1, epsilon, skip),
        strict=True,
    ):
        if other is not None:
            cases.assert_close(one, other, floor=floor)
        else:
            assert one is None


@cases.every_compiled
@cases.quick
@given(
    case=batchnorm_cases,
    seed=cases.seeds,
    n_threads=cases.thread_counts,
    epsilon=st.sampled_from([1e-3, 1e-2, 1.0]),
    skip=st.sampled_from([(), (), ("dscale",), ("doffset",), ("dscale", "doffset")]),
)
def test_batchnorm_like_reference(kernels, dtype, case, seed, n_threads, epsilon, skip):
    assert_batchnorm_like_reference(kernels, case, dtype, seed, n_threads, epsilon, skip)


@cases.every_compiled
@every_batchnorm
def test_larger_batchnorm_like_reference(kernels, dtype, case):
    assert_batchnorm_like_reference(kernels, cases.BATCHNORM_CASES[case], dtype, n_threads=2)


@cases.every_compiled
@every_batchnorm
def test_batchnorm_threads_do_not_matter(kernels, dtype, case):
    case = cases.BATCHNORM_CASES[case]
    X, weight, scale, offset, dY = batchnorm_arrays(case, dtype)
    forward = batchnorm(kernels, case, X, weight, scale, offset)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            *batchnorm(kernels, case, X, weight, scale, offset, n_threads),
            *batchnorm_backward(kernels, case, X, weight, scale, forward, dY, n_threads),
        ]
    )


@cases.every_compiled
@every_batchnorm
def test_batchnorm_with_a_sum(kernels, dtype, case):
    case = cases.BATCHNORM_CASES[case]
    X, weight, scale, offset, addend = batchnorm_arrays(case, dtype)
    actual = batchnorm(kernels, case, X, weight, scale, offset, n_threads=2, addend=addend)
    plain = (*case[:-1], "identity")
    *forward, Z = batchnorm(kernels, plain, X, weight, scale, offset)
    expected = cases.output(Z.shape, dtype)
    flat = (array.reshape(-1) for array in (Z, addend, expected))
    kernels.add(*flat, case[-1], ALPHA, 1)
    for a, e in zip(actual, (*forward, expected), strict=True):
        cases.assert_same_bits(a, e)


@cases.every_compiled
@every_batchnorm
def test_first_channels_of_more(kernels, dtype, case):
    case = cases.BATCHNORM_CASES[case]
    X, weight, scale, offset, addend = batchnorm_arrays(case, dtype)
    *_, affine, expected = batchnorm(kernels, case, X, weight, scale, offset, addend=addend)
    more = np.hstack([X, np.full((len(X), 3), np.nan, dtype)])

    for one, assert_same in ((kernels, cases.assert_same_bits), (reference, cases.assert_close)):
        Y = cases.output(X.shape, dtype)
        one.batchnorm_forward(more, affine, Y, addend, case[-1], ALPHA, 2)
        assert_same(Y, expected)


def moments_of(X, n_parts):
    """Number, means and sums of squared deviations of the parts of X."""
    parts = X.astype(np.float64).reshape(n_parts, -1, X.shape[-1])
    means = parts.mean(axis=1)
    squares = ((parts - means[:, None]) ** 2).sum(axis=1)
    return np.column_stack([np.full(n_parts, parts.shape[1]), means, squares])


@cases.every_variant
@pytest.mark.parametrize("weighted", [True, False])
def test_batchnorm_of_known_moments(kernels, dtype, weighted):
    case = (960, 19, 4 if weighted else None, "relu")
    X, weight, scale, offset, _ = batchnorm_arrays(case, dtype)
    if weighted:
        weight = np.array([1, 0, 2, 0.5], dtype)
    expected = statistics(kernels, X, weight, scale, offset)
    actual = statistics(kernels, X, weight, scale, offset, moments=moments_of(X, 24))
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=STATISTICS[dtype], atol=STATISTICS[dtype])


@cases.every_variant
@pytest.mark.parametrize("weighted", [True, False])
def test_batchnorm_backward_of_known_sums(kernels, dtype, weighted):
    case = (960, 19, 4 if weighted else None, "relu")
    X, weight, scale, offset, dY = batchnorm_arrays(case, dtype)
    forward = batchnorm(kernels, case, X, weight, scale, offset)
    expected = batchnorm_backward(kernels, case, X, weight, scale, forward, dY)
    dZ = (dY * (forward[3] > 0)).astype(dtype)
    wide = dZ.astype(np.float64)
    both = np.hstack([wide, wide * (X.astype(np.float64) - forward[2][0])])
    sums = both.reshape(24, 40, 38).sum(axis=1)
    actual = batchnorm_backward(kernels, case, X, weight, scale, forward, dZ, 2, sums=sums)
    for one, other in zip(actual, expected, strict=True):
        cases.assert_close(one, other, floor=1.0)


@cases.every_variant
@pytest.mark.parametrize("known", [True, False])
def test_batchnorm_backward_as_one_map(kernels, dtype, known):
    """For somebody who makes dX, from sums that are known or of a gradient that is dz."""
    case = (960, 19, None, "identity")
    X, _, scale, offset, dY = batchnorm_arrays(case, dtype)
    forward = batchnorm(kernels, case, X, None, scale, offset)
    dX, *expected = batchnorm_backward(kernels, case, X, None, scale, forward, dY)
    sums = None
    if known:
        wide = dY.astype(np.float64)
        both = np.hstack([wide, wide * (X.astype(np.float64) - forward[2][0])])
        sums = both.reshape(24, 40, 38).sum(axis=1)
    back = cases.output((4, 19), dtype)
    nothing, *actual = batchnorm_backward(
        kernels, case, X, None, scale, forward, dY, 2, skip=("dX",), sums=sums, back=back
    )
    assert nothing is None
    factor, level, slope, centre = back
    cases.assert_close(factor * dY - (level + slope * (X - centre)), dX, floor=1.0)
    for one, other in zip(actual, expected, strict=True):
        cases.assert_close(one, other, floor=1.0)


@cases.every_compiled
@every_batchnorm
def test_batchnorm_of_known_statistics_does_not_see_its_batch(kernels, dtype, case):
    case = cases.BATCHNORM_CASES[case]
    X, weight, scale, offset, _ = batchnorm_arrays(case, dtype)
    affine = statistics(kernels, X, weight, scale, offset)[2]

    def normalize(X):
        Y = cases.output(X.shape, dtype)
        kernels.batchnorm_forward(X, affine, Y, None, case[-1], ALPHA, 2)
        return Y

    cases.assert_batch_does_not_matter(normalize, X[:19])


@cases.every_variant
def test_batchnorm_of_samples_that_weigh_nothing(kernels, dtype):
    """Some are more than the rows that are summed together."""
    case = (4000, 3, 4, "identity")
    X, _, scale, offset, _ = batchnorm_arrays(case, dtype)
    weight = np.array([0, 1, 0, 2], dtype)
    mean, variance, _ = statistics(kernels, X, weight, scale, offset)
    rows = X.reshape(4, 1000, 3)[[1, 3, 3]].reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=STATISTICS[dtype])
    np.testing.assert_allclose(variance, rows.var(axis=0), rtol=STATISTICS[dtype])


@cases.every_variant
def test_batchnorm_removes_mean_and_deviation(kernels, dtype):
    case = (4000, 3, None, "identity")
    X, _, _, _, _ = batchnorm_arrays(case, dtype)
    mean, variance, _, Y = batchnorm(
        kernels, case, X, None, np.ones(3, dtype), np.zeros(3, dtype), 1, 1e-9
    )

    wide = X.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean(axis=0), rtol=STATISTICS[dtype])
    np.testing.assert_allclose(variance, wide.var(axis=0), rtol=STATISTICS[dtype])
    np.testing.assert_allclose(Y.mean(axis=0, dtype=np.float64), 0, atol=1e-6)
    np.testing.assert_allclose(Y.std(axis=0, dtype=np.float64), 1, rtol=1e-6)


@cases.every_variant
def test_batchnorm_variance_of_a_large_mean(kernels, dtype):
    # The mean of the squares less the square of the mean would be all error.
    X, _, scale, offset, _ = batchnorm_arrays((2000, 2, None, "identity"), dtype)
    X = (X + 1000).astype(dtype)
    _, variance, _ = statistics(kernels, X, None, scale, offset)
    np.testing.assert_allclose(
        variance, X.astype(np.float64).var(axis=0), rtol=max(STATISTICS[dtype], 1e-9)
    )


@cases.every_variant
def test_batchnorm_of_a_constant_is_the_offset(kernels, dtype):
    case = (1030, 3, 10, "identity")
    X, weight, scale, offset, dY = batchnorm_arrays(case, dtype)
    X = np.full_like(X, 0.5)
    forward = batchnorm(kernels, case, X, weight, scale, offset)
    dX, _, _ = batchnorm_backward(kernels, case, X, weight, scale, forward, dY)

    np.testing.assert_allclose(forward[1], 0, atol=1e-25)
    np.testing.assert_allclose(forward[3], np.broadcast_to(offset, X.shape), rtol=1e-6)
    assert np.isfinite(dX).all()


@cases.every_variant
def test_batchnorm_weight_is_a_count_of_samples(kernels, dtype):
    # Three samples of two rows; the gradient at a repeated one is shared by its copies.
    counts = np.array([1, 3, 2])
    case = (6, 4, 3, "tanh")
    X, _, scale, offset, dY = batchnorm_arrays(case, dtype)
    samples = X.reshape(3, 2, 4)
    repeated = samples.repeat(counts, axis=0).reshape(12, 4)
    forward = batchnorm(kernels, case, X, counts.astype(dtype), scale, offset)
    forward_repeated = batchnorm(kernels, case, repeated, None, scale, offset)
    dX, dscale, doffset = batchnorm_backward(
        kernels, case, X, counts.astype(dtype), scale, forward, dY
    )
    shares = (dY.reshape(3, 2, 4) / counts[:, None, None]).astype(dtype)
    dX_repeated, dscale_repeated, doffset_repeated = batchnorm_backward(
        kernels, case, repeated, None, scale, forward_repeated,
        shares.repeat(counts, axis=0).reshape(12, 4),
    )  # fmt: skip
    total = np.add.reduceat(dX_repeated.reshape(6, 2, 4), [0, 1, 4]).reshape(6, 4)

    np.testing.assert_allclose(forward[0], forward_repeated[0], rtol=STATISTICS[dtype])
    np.testing.assert_allclose(forward[1], forward_repeated[1], rtol=STATISTICS[dtype])
    cases.assert_close(dX, total, floor=1.0)
    cases.assert_close(dscale, dscale_repeated, floor=1.0)
    cases.assert_close(doffset, doffset_repeated, floor=1.0)


def test_batchnorm_is_the_definition():
    case = (6, 2, 3, "identity")
    X, weight, scale, offset, _ = batchnorm_arrays(case, float64)
    mean, variance, _, Y = batchnorm(reference, case, X, weight, scale, offset)
    rows = [weight[i // 2] for i in range(6)]
    for c in range(2):
        of_map = sum(w * x for w, x in zip(rows, X[:, c], strict=True)) / sum(rows)
        spread = sum(w * (x - of_map) ** 2 for w, x in zip(rows, X[:, c], strict=True)) / sum(rows)
        assert mean[c] == pytest.approx(of_map, rel=1e-13)
        assert variance[c] == pytest.approx(spread, rel=1e-13)
        expected = [scale[c] * (x - of_map) / (spread + 1e-2) ** 0.5 + offset[c] for x in X[:, c]]
        np.testing.assert_allclose(Y[:, c], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "case",
    [
        (7, 2, None, "identity"), (6, 2, 3, "identity"), (6, 2, 6, "identity"),
        *((6, 2, 3, activation) for activation in cases.FUSED_ACTIVATIONS),
    ],
    ids=str,
)  # fmt: skip
def test_batchnorm_gradients_are_central_differences(case):
    # A seed at which no unit is so close to the kink of a ReLU that a step crosses it.
    linear = (*case[:-1], "identity")
    for seed in range(100):
        X, weight, scale, offset, dY = batchnorm_arrays(case, float64, seed)
        *_, Z = batchnorm(reference, linear, X, weight, scale, offset)
        if np.abs(Z).min() > 0.02:
            break
    else:
        pytest.fail("no such seed")

    def loss(X=X, scale=scale, offset=offset):
        return np.vdot(batchnorm(reference, case, X, weight, scale, offset)[-1], dY)

    forward = batchnorm(reference, case, X, weight, scale, offset)
    dX, dscale, doffset = batchnorm_backward(reference, case, X, weight, scale, forward, dY)

    cases.assert_gradient(dX, lambda X: loss(X=X), X)
    cases.assert_gradient(dscale, lambda scale: loss(scale=scale), scale)
    cases.assert_gradient(doffset, lambda offset: loss(offset=offset), offset)


# ---------------------------------------------------------------------------
# Local response normalisation
# ---------------------------------------------------------------------------

# m, channels, size, alpha, beta, bias
response_cases = st.tuples(
    st.integers(1, 30), st.integers(1, 40), st.integers(1, 9),
    st.sampled_from([0.0, 1e-4, 0.5, 3.0]), st.sampled_from([0.5, 0.75, 1.0, 1.3]),
    st.sampled_from([0.5, 1.0, 2.0]),
)  # fmt: skip

every_response = pytest.mark.parametrize("case", cases.RESPONSE_NORM_CASES)


def response_arrays(case, dtype, seed=0):
    """X and dY."""
    rng = np.random.default_rng(seed)
    return [cases.random_input(rng, case[:2], dtype, -2, 2) for _ in range(2)]


def response(kernels, case, X, n_threads=1):
    Y = cases.output(X.shape, X.dtype)
    kernels.response_norm_forward(X, Y, *case[2:], n_threads)
    return Y


def response_backward(kernels, case, X, dY, n_threads=1):
    dX = cases.output(X.shape, X.dtype)
    kernels.response_norm_backward(X, dY, dX, *case[2:], n_threads)
    return dX


def assert_response_like_reference(kernels, case, dtype, seed=0, n_threads=1):
    X, dY = response_arrays(case, dtype, seed)
    cases.assert_close(
        response(kernels, case, X, n_threads), response(reference, case, X), floor=0.1
    )
    cases.assert_close(
        response_backward(kernels, case, X, dY, n_threads),
        response_backward(reference, case, X, dY),
        floor=0.1,
    )


@cases.every_compiled
@cases.quick
@given(case=response_cases, seed=cases.seeds, n_threads=cases.thread_counts)
def test_response_like_reference(kernels, dtype, case, seed, n_threads):
    assert_response_like_reference(kernels, case, dtype, seed, n_threads)


@cases.every_compiled
@every_response
def test_larger_response_like_reference(kernels, dtype, case):
    assert_response_like_reference(kernels, cases.RESPONSE_NORM_CASES[case], dtype, n_threads=2)


@cases.every_compiled
@every_response
def test_response_threads_and_batch_do_not_matter(kernels, dtype, case):
    case = cases.RESPONSE_NORM_CASES[case]
    X, dY = response_arrays(case, dtype)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            response(kernels, case, X, n_threads),
            response_backward(kernels, case, X, dY, n_threads),
        ]
    )
    for rows in (X[:19], X[:600]):
        cases.assert_batch_does_not_matter(lambda X: response(kernels, case, X, 2), rows)


RESPONSE_TINY = [
    (3, 5, 1, 0.5, 0.75, 1.0), (2, 6, 2, 0.5, 0.5, 2.0), (2, 7, 3, 1.5, 0.75, 1.0),
    (2, 6, 4, 0.7, 1.2, 0.5), (3, 4, 9, 0.9, 0.75, 1.0), (2, 3, 5, 0.0, 0.75, 2.0),
]  # fmt: skip
every_tiny_response = pytest.mark.parametrize("case", RESPONSE_TINY, ids=str)


@every_tiny_response
def test_response_is_the_definition(case):
    m, n_channels, size, alpha, beta, bias = case
    X, _ = response_arrays(case, float64)
    expected = np.empty(X.shape)
    for i, c in np.ndindex(m, n_channels):
        near = range(c - size // 2, c + (size - 1) // 2 + 1)
        assert len(near) == size
        total = sum(X[i, j] ** 2 for j in near if 0 <= j < n_channels)
        expected[i, c] = X[i, c] / (bias + alpha / size * total) ** beta

    np.testing.assert_allclose(response(reference, case, X), expected, rtol=1e-13)


@every_tiny_response
def test_response_gradient_is_central_differences(case):
    X, dY = response_arrays(case, float64)
    cases.assert_gradient(
        response_backward(reference, case, X, dY),
        lambda X: np.vdot(response(reference, case, X), dY),
        X,
    )
