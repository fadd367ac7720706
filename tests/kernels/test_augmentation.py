"""Resampling images and volumes under affine maps."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import affine_transform

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)
CASES = {**cases.RESAMPLE_CASES, **{f"volume, {k}": v for k, v in cases.VOLUME_CASES.items()}}
every_case = pytest.mark.parametrize("case", CASES)

sizes = st.integers(1, 9)
resample_cases = st.one_of(
    st.tuples(st.integers(1, 4), sizes, sizes, st.integers(1, 5)),
    st.tuples(st.integers(1, 3), sizes, sizes, sizes, st.integers(1, 3)),
)

IDENTITY = ((1, 0, 0), (0, 1, 0))


def random_matrices(rng, case):
    """Maps that turn, enlarge and move, some of them out of the image."""
    n, size = case[0], np.array(case[-2:0:-1])
    linear = rng.uniform(-1.5, 1.5, (n, len(size), len(size)))
    centre = (size - 1) / 2
    shift = rng.uniform(-0.7, 0.7, (n, len(size))) * size
    offset = centre + shift - linear @ centre
    return np.concatenate([linear, offset[:, :, np.newaxis]], axis=2)


def arrays(case, dtype, seed=0):
    """X, labels and matrices."""
    rng = np.random.default_rng(seed)
    X = cases.random_input(rng, case, dtype)
    return X, rng.integers(1, 9, case), random_matrices(rng, case)


def resample(kernels, X, matrices, fill_value=0.5, n_threads=1):
    shape = (len(X), X.ndim - 2, X.ndim - 1)
    matrices = np.array(np.broadcast_to(matrices, shape), float64, order="C")
    Y = cases.output(X.shape, X.dtype)
    name = "affine_resample_3d" if X.ndim == 5 else "affine_resample"
    if X.dtype.kind == "f":
        getattr(kernels, name)(X, matrices, Y, fill_value, n_threads)
    else:
        getattr(kernels, f"{name}_nearest")(X, matrices, Y, n_threads)
    return Y


def assert_like_reference(kernels, case, dtype, seed=0, n_threads=1):
    X, labels, matrices = arrays(case, dtype, seed)
    cases.assert_close(
        resample(kernels, X, matrices, n_threads=n_threads),
        resample(reference, X, matrices),
        floor=1.0,
    )
    np.testing.assert_array_equal(
        resample(kernels, labels, matrices, n_threads=n_threads),
        resample(reference, labels, matrices),
    )


# ---------------------------------------------------------------------------
# Compiled kernels
# ---------------------------------------------------------------------------


@cases.every_compiled
@cases.quick
@given(case=resample_cases, seed=cases.seeds, n_threads=cases.thread_counts)
def test_like_reference(kernels, dtype, case, seed, n_threads):
    assert_like_reference(kernels, case, dtype, seed, n_threads)


@cases.every_compiled
@every_case
def test_larger_like_reference(kernels, dtype, case):
    assert_like_reference(kernels, CASES[case], dtype, n_threads=2)


@cases.every_compiled
@pytest.mark.parametrize("case", [(40, 28, 28, 1), (12, 9, 14, 13, 2)])
def test_threads_do_not_matter(kernels, dtype, case):
    X, labels, matrices = arrays(case, dtype)
    cases.assert_threads_do_not_matter(
        lambda n_threads: [resample(kernels, A, matrices, n_threads=n_threads) for A in (X, labels)]
    )


@cases.every_compiled
@every_case
def test_batch_does_not_matter(kernels, dtype, case):
    X, labels, matrices = arrays(CASES[case], dtype)
    for A in (X, labels):
        whole = resample(kernels, A, matrices, n_threads=2)
        for i in range(len(A)):
            alone = resample(kernels, A[i : i + 1], matrices[i : i + 1])
            cases.assert_same_bits(alone, whole[i : i + 1])


@cases.every_compiled
def test_nothing_changes_bit_for_bit(kernels, dtype):
    X = np.array([-0.0, np.nan, np.inf, 1e-40, 3], dtype).reshape(1, 1, 5, 1)
    cases.assert_same_bits(resample(kernels, X, IDENTITY), X)
    X = X.reshape(1, 1, 1, 5, 1)
    cases.assert_same_bits(resample(kernels, X, np.eye(3, 4)), X)


@cases.every_compiled
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e300])
def test_beyond_all_bounds(kernels, dtype, value):
    X = np.ones((1, 3, 3, 2), dtype)
    Y = resample(kernels, X, ((1, 0, value), (0, 1, 0)))
    np.testing.assert_array_equal(Y, 0.5)
    Y = resample(kernels, X.astype(np.int64), ((1, 0, 0), (0, 1, value)))
    np.testing.assert_array_equal(Y, 0)
    X, matrix = np.ones((1, 2, 3, 3, 2), dtype), np.eye(3, 4)
    matrix[2, 3] = value
    np.testing.assert_array_equal(resample(kernels, X, matrix), 0.5)
    np.testing.assert_array_equal(resample(kernels, X.astype(np.int64), matrix), 0)


# ---------------------------------------------------------------------------
# All kernels
# ---------------------------------------------------------------------------


@cases.every_variant
def test_right_angles_and_mirrors_are_permutations(kernels, dtype):
    X, labels, _ = arrays((2, 6, 6, 3), dtype)
    for A in (X, labels):
        for matrix, expected in (
            (IDENTITY, A),
            (((-1, 0, 5), (0, 1, 0)), A[:, :, ::-1]),
            (((1, 0, 0), (0, -1, 5)), A[:, ::-1]),
            (((0, -1, 5), (1, 0, 0)), np.rot90(A, axes=(1, 2))),
            (((0, 1, 0), (1, 0, 0)), A.swapaxes(1, 2)),
        ):
            np.testing.assert_array_equal(resample(kernels, A, matrix), expected)


@cases.every_variant
def test_right_angles_and_mirrors_of_volumes(kernels, dtype):
    X, labels, _ = arrays((2, 6, 6, 6, 3), dtype)
    x, y, z, one = np.eye(4)
    for A in (X, labels):
        for matrix, expected in (
            ((x, y, 5 * one - z), A[:, ::-1]),
            ((x, 5 * one - y, z), A[:, :, ::-1]),
            ((5 * one - x, y, z), A[:, :, :, ::-1]),
            ((5 * one - y, x, z), np.rot90(A, axes=(2, 3))),
            ((5 * one - z, y, x), np.rot90(A, axes=(1, 3))),
            ((x, z, y), A.swapaxes(1, 2)),
        ):
            np.testing.assert_array_equal(resample(kernels, A, matrix), expected)


@cases.every_variant
def test_a_volume_of_one_image_is_that_image(kernels, dtype):
    X, labels, matrices = arrays((3, 7, 5, 2), dtype)
    volumes = np.zeros((3, 3, 4))
    volumes[:, :2, :2], volumes[:, :2, 3] = matrices[:, :, :2], matrices[:, :, 2]
    volumes[:, 2, 2] = 1
    for A in (X, labels):
        seen = resample(kernels, A[:, np.newaxis], volumes)[:, 0]
        # Up to rounding: a compiler may fuse other products with sums.
        rounding = 10 * np.finfo(dtype).eps
        np.testing.assert_allclose(seen, resample(kernels, A, matrices), rounding, rounding)


@cases.every_variant
def test_by_hand(kernels, dtype):
    X = np.array([8, 4, 0, 16], dtype).reshape(1, 1, 4, 1)

    moved = resample(kernels, X, ((1, 0, 1.25), (0, 1, 0)), fill_value=2)
    np.testing.assert_array_equal(moved.ravel(), [3, 4, 12.5, 2])
    beside = resample(kernels, X, ((1, 0, -0.75), (0, 1, 0)), fill_value=2)
    np.testing.assert_array_equal(beside.ravel(), [3.5, 7, 3, 4])
    above = resample(kernels, X, ((1, 0, 0), (0, 1, -0.5)), fill_value=2)
    np.testing.assert_array_equal(above.ravel(), [5, 3, 1, 9])


@cases.every_variant
def test_nearest_by_hand(kernels, dtype):
    X = np.arange(1, 5).reshape(1, 1, 4, 1)
    for shift, expected in (
        (0.4, [1, 2, 3, 4]),
        (0.6, [2, 3, 4, 0]),
        (-0.4, [1, 2, 3, 4]),
        (-0.6, [0, 1, 2, 3]),
        (0.5, [2, 3, 4, 0]),
        (0.5 - 1e-12, [2, 3, 4, 0]),  # what rounding makes of a half
        (-0.5, [1, 2, 3, 4]),
    ):
        Y = resample(kernels, X, ((1, 0, shift), (0, 1, 0)))
        np.testing.assert_array_equal(Y.ravel(), expected)


@cases.every_variant
@pytest.mark.parametrize("case", [(9, 12, 7, 3), (3, 5, 6, 7, 2)])
def test_constant_stays_constant(kernels, dtype, case):
    _, _, matrices = arrays(case, dtype)
    Y = resample(kernels, np.full(case, 0.3, dtype), matrices, fill_value=0.3)
    np.testing.assert_allclose(Y, 0.3, rtol=1e-6)


# ---------------------------------------------------------------------------
# The twin, against scipy
# ---------------------------------------------------------------------------


@cases.quick
@given(case=resample_cases, seed=cases.seeds)
def test_is_scipy_affine_transform(case, seed):
    X, _, matrices = arrays(case, float64, seed)
    expected = np.empty(case)
    for i in range(case[0]):
        linear, offset = matrices[i, ::-1, -2::-1], matrices[i, ::-1, -1]  # rows first
        for c in range(case[-1]):
            expected[i, ..., c] = affine_transform(
                X[i, ..., c], linear, offset, order=1, mode="grid-constant", cval=0.5
            )
    np.testing.assert_allclose(resample(reference, X, matrices), expected, rtol=0, atol=1e-12)
