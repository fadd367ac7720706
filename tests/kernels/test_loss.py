"""Cross-entropy losses and their gradients."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)
KERNELS = ("softmax_cross_entropy", "logistic_cross_entropy")
every_loss = pytest.mark.parametrize("name", KERNELS)


def arrays(name, shape, dtype, seed=0, spread=2.0):
    """Z, target and weight."""
    rng = np.random.default_rng(seed)
    Z = cases.random_input(rng, shape, dtype, -spread, spread)
    if name == "softmax_cross_entropy":
        target = rng.integers(0, shape[1], shape[0])
    else:
        target = rng.integers(0, 2, shape).astype(dtype)
    target.flags.writeable = False
    weight = cases.random_input(rng, shape[: 1 if target.ndim == 1 else 2], dtype, 0.0, 2.0)
    return Z, target, weight


def loss(kernels, name, Z, target, weight, n_threads=1):
    """The loss and its gradient."""
    dZ = cases.output(Z.shape, Z.dtype)
    value = getattr(kernels, name)(Z, target, weight, dZ, n_threads)
    assert type(value) is float
    return value, dZ


# ---------------------------------------------------------------------------
# Compiled kernels
# ---------------------------------------------------------------------------


def assert_like_reference(
    kernels, name, dtype, shape, seed=0, spread=2.0, weighted=True, n_threads=1
):
    Z, target, weight = arrays(name, shape, dtype, seed, spread)
    weight = weight if weighted else None
    # The size of the terms, should a sum cancel.
    total = Z.size if weight is None else weight.sum()
    largest = 1.0 if weight is None else weight.max()

    expected, expected_dZ = loss(reference, name, Z, target, weight)
    actual, dZ = loss(kernels, name, Z, target, weight, n_threads)

    cases.assert_close(actual, expected, floor=total, dtype=dtype)
    cases.assert_close(dZ, expected_dZ, floor=largest)
    assert getattr(kernels, name)(Z, target, weight, None, n_threads) == actual


@cases.every_compiled
@every_loss
@cases.quick
@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 150)),
    seed=cases.seeds,
    spread=st.sampled_from([0.1, 2.0, 30.0, 1e4]),
    weighted=st.booleans(),
    n_threads=cases.thread_counts,
)
def test_like_reference(kernels, dtype, name, shape, seed, spread, weighted, n_threads):
    assert_like_reference(kernels, name, dtype, shape, seed, spread, weighted, n_threads)


@cases.every_compiled
@every_loss
@pytest.mark.parametrize("shape", [(5000, 10), (67, 1003)])
def test_larger_like_reference(kernels, dtype, name, shape):
    assert_like_reference(kernels, name, dtype, shape, n_threads=2)


@cases.every_compiled
@every_loss
@pytest.mark.parametrize("shape", [(5000, 10), (67, 1003), (40_000, 1)])
def test_threads_do_not_matter(kernels, dtype, name, shape):
    Z, target, weight = arrays(name, shape, dtype)

    def run(n_threads):
        value, dZ = loss(kernels, name, Z, target, weight, n_threads)
        return np.array(value), dZ

    cases.assert_threads_do_not_matter(run)


@cases.every_compiled
@every_loss
@pytest.mark.parametrize("n_classes", [1, 10, 67])
def test_batch_does_not_matter_to_the_gradient(kernels, dtype, name, n_classes):
    _, target, _ = arrays(name, (19, n_classes), dtype)
    # The same target everywhere, so that rows can trade places.
    target = np.ascontiguousarray(np.broadcast_to(target[:1], target.shape))
    Z, _, _ = arrays(name, (19, n_classes), dtype, seed=1)

    cases.assert_batch_does_not_matter(
        lambda Z: loss(kernels, name, Z, target[: len(Z)], None)[1], Z
    )


# ---------------------------------------------------------------------------
# All kernels
# ---------------------------------------------------------------------------


@cases.every_variant
def test_softmax_of_large_logits(kernels, dtype):
    Z = np.array([[1e4, 0], [0, 1e4], [-1e4, -1e4]], dtype)
    value, dZ = loss(kernels, KERNELS[0], Z, np.array([0, 0, 1]), None)
    assert value == pytest.approx(1e4 + math.log(2), rel=1e-6)
    np.testing.assert_allclose(dZ, [[0, 0], [-1, 1], [0.5, -0.5]], rtol=1e-6, atol=1e-30)


@cases.every_variant
def test_logistic_of_large_logits(kernels, dtype):
    Z = np.array([[1e4, -1e4, 1e4, -1e4]], dtype)
    target = np.array([[1, 0, 0, 1]], dtype)
    value, dZ = loss(kernels, KERNELS[1], Z, target, None)
    assert value == pytest.approx(2e4, rel=1e-6)
    np.testing.assert_allclose(dZ, [[0, 0, 1, -1]], rtol=1e-6, atol=1e-30)


@cases.every_variant
@every_loss
def test_weight_is_repetition(kernels, dtype, name):
    Z, target, _ = arrays(name, (4, 3), dtype)
    repeats = np.array([2, 1, 0, 3])
    weight = repeats.astype(dtype)
    if target.ndim == 2:
        weight = np.repeat(weight, 3).reshape(4, 3)

    weighted, dZ = loss(kernels, name, Z, target, weight)
    repeated, repeated_dZ = loss(
        kernels,
        name,
        np.repeat(Z, repeats, axis=0),
        np.repeat(target, repeats, axis=0),
        None,
    )

    assert weighted == pytest.approx(repeated, rel=1e-6)
    assert np.all(dZ[2] == 0)
    np.testing.assert_allclose(dZ[0], 2 * repeated_dZ[0], rtol=1e-6)


# ---------------------------------------------------------------------------
# The twin, against scipy, the definition and central differences
# ---------------------------------------------------------------------------


def test_softmax_is_the_definition():
    Z, target, weight = arrays(KERNELS[0], (6, 5), float64)
    value, dZ = loss(reference, *KERNELS[:1], Z, target, weight)

    naive = 0.0
    for z, t, w in zip(Z, target, weight, strict=True):
        naive -= w * math.log(math.exp(z[t]) / math.fsum(map(math.exp, z)))
    assert value == pytest.approx(naive, rel=1e-13)
    log_p = special.log_softmax(Z, axis=1)
    assert value == pytest.approx(-np.sum(weight * log_p[np.arange(6), target]))
    one_hot = np.arange(5) == target[:, np.newaxis]
    np.testing.assert_allclose(dZ, weight[:, np.newaxis] * (np.exp(log_p) - one_hot), atol=1e-14)


def test_logistic_is_the_definition():
    Z, target, weight = arrays(KERNELS[1], (6, 5), float64)
    value, dZ = loss(reference, KERNELS[1], Z, target, weight)

    naive = 0.0
    for z, t, w in zip(Z.flat, target.flat, weight.flat, strict=True):
        p = 1 / (1 + math.exp(-z))
        naive -= w * (t * math.log(p) + (1 - t) * math.log(1 - p))
    assert value == pytest.approx(naive, rel=1e-13)
    np.testing.assert_allclose(dZ, weight * (special.expit(Z) - target), atol=1e-15)


@every_loss
def test_gradient_is_central_differences(name):
    Z, target, weight = arrays(name, (4, 5), float64)
    _, dZ = loss(reference, name, Z, target, weight)
    cases.assert_gradient(dZ, lambda Z: getattr(reference, name)(Z, target, weight, None, 1), Z)


def test_one_logistic_output_is_two_classes_of_softmax():
    Z, target, weight = arrays(KERNELS[1], (6, 1), float64)
    two = np.concatenate([np.zeros_like(Z), Z], axis=1)
    value, dZ = loss(reference, KERNELS[1], Z, target, weight)
    other, other_dZ = loss(reference, KERNELS[0], two, target[:, 0].astype(np.int64), weight[:, 0])
    assert value == pytest.approx(other, rel=1e-14)
    np.testing.assert_allclose(dZ[:, 0], other_dZ[:, 1], atol=1e-15)


# ---------------------------------------------------------------------------
# Outlines of boxes
# ---------------------------------------------------------------------------


def outlines(dtype, n=50, seed=0):
    """Corners, boxes whose corners are numbered in any way, some of them missing, weights."""
    rng = np.random.default_rng(seed)
    Z = cases.random_input(rng, (n, 8), dtype, 0.0, 1.0)
    boxes = Z.reshape(n, 4, 2) + rng.normal(scale=0.1, size=(n, 4, 2))
    order = reference.OUTLINE_NUMBERINGS[rng.integers(8, size=n)]
    boxes = np.take_along_axis(boxes, order[:, :, None], axis=1).reshape(n, 8)
    boxes[rng.uniform(size=n) < 0.2] = np.nan
    return Z, boxes.astype(dtype), cases.random_input(rng, (n,), dtype, 0.0, 2.0)


@cases.every_compiled
@cases.quick
@given(n=st.integers(0, 60), seed=cases.seeds, n_threads=cases.thread_counts)
def test_outlines_like_reference(kernels, dtype, n, seed, n_threads):
    arrays = outlines(dtype, n, seed)
    expected, expected_dZ = loss(reference, "outline_loss", *arrays)
    actual, dZ = loss(kernels, "outline_loss", *arrays, n_threads)
    cases.assert_close(np.array(actual), np.array(expected), floor=1.0, dtype=dtype)
    cases.assert_close(dZ, expected_dZ, floor=1.0)
    assert kernels.outline_loss(*arrays, None, n_threads) == actual


@cases.every_compiled
def test_threads_and_batches_do_not_matter_to_outlines(kernels, dtype):
    Z, boxes, weight = outlines(dtype, 3000)

    def run(n_threads):
        value, dZ = loss(kernels, "outline_loss", Z, boxes, weight, n_threads)
        return np.array(value), dZ

    cases.assert_threads_do_not_matter(run)
    _, dZ = run(1)
    for rows in (slice(7, 8), slice(100, 120)):
        few = loss(kernels, "outline_loss", Z[rows], boxes[rows], weight[rows])[1]
        assert few.tobytes() == dZ[rows].tobytes()


@cases.every_variant
def test_a_numbering_makes_no_difference(kernels, dtype):
    Z, boxes, weight = outlines(dtype)
    value, _ = loss(kernels, "outline_loss", Z, boxes, weight)
    for order in reference.OUTLINE_NUMBERINGS:
        other = np.ascontiguousarray(boxes.reshape(-1, 4, 2)[:, order].reshape(-1, 8))
        assert loss(kernels, "outline_loss", Z, other, weight)[0] == pytest.approx(value, rel=1e-6)
    crossed = np.ascontiguousarray(boxes.reshape(-1, 4, 2)[:, [0, 2, 1, 3]].reshape(-1, 8))
    assert loss(kernels, "outline_loss", Z, crossed, weight)[0] > 1.5 * value


@cases.every_variant
def test_the_nearest_outline(kernels, dtype):
    """A unit square that begins elsewhere and goes the other way, moved by 1 to the right."""
    Z = np.array([[0, 0, 1, 0, 1, 1, 0, 1]] * 2, dtype)
    boxes = np.array([[2, 1, 2, 0, 1, 0, 1, 1], [np.nan] * 8], dtype)
    value, dZ = loss(kernels, "outline_loss", Z, boxes, np.array([3, 5], dtype))
    assert value == 3 * 4 / 2
    np.testing.assert_array_equal(dZ, [[-3, 0] * 4, [0] * 8])


@cases.every_variant
def test_outlines_that_diverged(kernels, dtype):
    Z, boxes, weight = outlines(dtype, 5)
    Z, boxes[2] = Z.copy(), 0
    Z[2, 3] = np.nan
    assert math.isnan(loss(kernels, "outline_loss", Z, boxes, weight)[0])


def test_gradient_of_outlines_is_central_differences():
    Z, boxes, weight = outlines(float64, 6)
    _, dZ = loss(reference, "outline_loss", Z, boxes, weight)
    cases.assert_gradient(dZ, lambda Z: reference.outline_loss(Z, boxes, weight, None, 1), Z)
