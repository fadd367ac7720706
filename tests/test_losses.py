"""Losses: values by the book, and gradients by central differences."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from sklearn_convnet.kernels import loader
from sklearn_convnet.losses import AbsoluteError, CrossEntropy, Huber, SquaredError

KERNELS = loader.kernels("float64")


def labels(rng):
    return rng.randint(4, size=7)


def indicator(rng):
    return rng.randint(2, size=(7, 4)).astype(float)


def values(rng):
    return rng.normal(size=(7, 4))


def huber(Z, y, delta=1.0):
    r = np.abs(Z - y)
    return np.where(r <= delta, r**2 / 2, delta * (r - delta / 2)).mean(axis=1)


CASES = {
    "classes": (
        CrossEntropy(),
        labels,
        lambda Z, y: -log_softmax(Z, axis=1)[np.arange(7), y],
    ),
    "several labels": (
        CrossEntropy(),
        indicator,
        lambda Z, y: -(y * np.log(expit(Z)) + (1 - y) * np.log(expit(-Z))).sum(axis=1),
    ),
    "squared error": (
        SquaredError(),
        values,
        lambda Z, y: ((Z - y) ** 2 / 2).mean(axis=1),
    ),
    "absolute error": (
        AbsoluteError(),
        values,
        lambda Z, y: np.abs(Z - y).mean(axis=1),
    ),
    "Huber": (Huber(), values, huber),
    "Huber 0.3": (Huber(delta=0.3), values, lambda Z, y: huber(Z, y, 0.3)),
}


@pytest.fixture(params=CASES)
def case(request):
    """A loss, outputs, targets, weights, and what it should be for each sample."""
    loss, make_target, expected = CASES[request.param]
    rng = np.random.RandomState(0)
    Z = 2 * rng.normal(size=(7, 4))
    return loss, Z, make_target(rng), rng.uniform(0.2, 2, size=7), expected


def value(loss, Z, target, weight, dZ=None):
    return loss.value_and_gradient(Z, target, weight, dZ, KERNELS, 1)


@pytest.mark.oldest
def test_value(case):
    loss, Z, target, weight, expected = case
    found = value(loss, Z, target, weight)
    assert isinstance(found, float)
    assert found == pytest.approx(weight @ expected(Z, target), rel=1e-12)


@pytest.mark.oldest
def test_gradient(case):
    """Differences of fourth order."""
    loss, Z, target, weight, _ = case
    dZ = np.full_like(Z, np.nan)
    value(loss, Z, target, weight, dZ)
    h = 1e-3
    numeric = np.empty_like(Z)
    for place in np.ndindex(Z.shape):
        at = {}
        for k in (-2, -1, 1, 2):
            moved = Z.copy()
            moved[place] += k * h
            at[k] = value(loss, moved, target, weight)
        numeric[place] = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * h)
    np.testing.assert_allclose(dZ, numeric, rtol=5e-6, atol=1e-10)


def test_gradient_is_a_sum_over_samples(case):
    loss, Z, target, weight, _ = case
    whole, one = np.empty_like(Z), np.empty_like(Z[:1])
    total = value(loss, Z, target, weight, whole)
    parts = 0.0
    for i in range(7):
        rows = slice(i, i + 1)
        parts += value(loss, Z[rows], target[rows], weight[rows], one)
        np.testing.assert_allclose(one, whole[rows], rtol=1e-12, atol=1e-15)
    assert parts == pytest.approx(total, rel=1e-12)


def test_kinks_have_a_derivative():
    Z, y, weight = np.array([[1.0, 2.0]]), np.array([[1.0, 1.0]]), np.ones(1)
    dZ = np.empty_like(Z)
    assert value(AbsoluteError(), Z, y, weight, dZ) == 0.5
    np.testing.assert_array_equal(dZ, [[0.0, 0.5]])
    assert value(Huber(delta=1.0), Z, y, weight, dZ) == 0.25
    np.testing.assert_array_equal(dZ, [[0.0, 0.5]])


def test_large_outputs_are_no_overflow():
    Z, weight = np.array([[1e4, -1e4]]), np.ones(1)
    dZ = np.empty_like(Z)
    assert value(CrossEntropy(), Z, np.array([1]), weight, dZ) == 2e4
    np.testing.assert_array_equal(dZ, [[1.0, -1.0]])
    assert value(CrossEntropy(), Z, np.array([[0.0, 1.0]]), weight, dZ) == 2e4
    np.testing.assert_array_equal(dZ, [[1.0, -1.0]])


def test_predictions_of_cross_entropy():
    Z = np.random.RandomState(0).normal(size=(6, 3)) * 10
    P = CrossEntropy().predict(Z, KERNELS, 1)
    np.testing.assert_allclose(P, softmax(Z, axis=1), rtol=1e-12)
    P = CrossEntropy().predict(Z, KERNELS, 1, several_labels=True)
    np.testing.assert_allclose(P, expit(Z), rtol=1e-12)
    assert SquaredError().predict(Z, KERNELS, 1) is Z
