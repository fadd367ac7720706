"""Weights of samples, from the smallest numbers to the largest, in fits and in parts."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, Standardize
from sklearn_convnet.optimizers import SGD


@pytest.fixture(scope="module")
def images():
    rng = np.random.RandomState(0)
    return rng.normal(size=(120, 8, 8)).astype(np.float32), np.arange(120) % 2


def quick(estimator=ConvNetClassifier, **params):
    layers = [Standardize(), Conv2D(4, 3), BatchNorm(), Dense(8)]
    return estimator(layers, **{"batch_size": 5, "max_iter": 3, "random_state": 0, **params})


def weights(model):
    return np.concatenate([array.ravel() for array in model.get_weights().values()])


# ---------------------------------------------------------------------------
# Fits: only the proportions count
# ---------------------------------------------------------------------------


@pytest.mark.oldest
@pytest.mark.parametrize("estimator", [ConvNetClassifier, ConvNetRegressor])
@pytest.mark.parametrize("scale", [2.0**-1040, 2.0**-140, 8.0, 2.0**130, 2.0**1020])
def test_the_unit_of_weights_is_no_matter(images, estimator, scale):
    X, y = images
    weight = np.arange(120) % 4 / 2.0
    expected = quick(estimator).fit(X, y, sample_weight=weight)
    found = quick(estimator).fit(X, y, sample_weight=weight * scale)
    np.testing.assert_array_equal(weights(found), weights(expected))
    assert found.loss_curve_ == expected.loss_curve_


@pytest.mark.oldest
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_that_decay(images, dtype):
    """The first of them are zero in float32, though not in float64."""
    X, y = images
    weight = np.exp(-2.0 * np.arange(120)[::-1])
    assert np.any((weight > 0) & (weight.astype(np.float32) == 0))
    clf = quick(dtype=dtype).fit(X, y, sample_weight=weight)
    assert np.isfinite(clf.loss_curve_).all()
    assert np.isfinite(weights(clf)).all()
    counted = weight / weight.mean() > np.finfo(np.float32).tiny
    same = quick(dtype="float32").fit(X[counted], y[counted], sample_weight=weight[counted])
    other = quick(dtype="float32").fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(other.predict_proba(X), same.predict_proba(X), rtol=1e-4)


@pytest.mark.oldest
@pytest.mark.parametrize("scale", [1e-46, 1e-310, 1e40, 1e307])
def test_the_unit_of_validation_weights_is_no_matter(images, scale):
    X, y = images
    given = dict(X_val=X[:40], y_val=y[:40])
    for estimator in (ConvNetClassifier, ConvNetRegressor):
        plain = quick(estimator).fit(X, y, **given)
        model = quick(estimator).fit(X, y, sample_weight_val=np.full(40, scale), **given)
        np.testing.assert_allclose(model.validation_scores_, plain.validation_scores_, rtol=1e-9)
        loss = model.history_["validation_loss"]
        np.testing.assert_allclose(loss, plain.history_["validation_loss"], rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-300, 1e308])
def test_weights_of_scores_have_no_unit(images, scale):
    X, y = images
    weight = np.arange(120) % 3 / 2.0
    for estimator in (ConvNetClassifier, ConvNetRegressor):
        model = quick(estimator).fit(X, y)
        expected = model.score(X, y, weight)
        assert model.score(X, y, weight * scale) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_of_classes_may_be_huge(images, dtype):
    X, y = images
    plain = quick(dtype=dtype, class_weight={0: 0.5, 1: 1.0}).fit(X, y)
    huge = quick(dtype=dtype, class_weight={0: 0.85e308, 1: 1.7e308}).fit(X, y)
    np.testing.assert_allclose(huge.predict_proba(X), plain.predict_proba(X), rtol=1e-4)
    pixels = ConvNetClassifier(
        [Conv2D(2, 1)], class_weight={0: 1e308, 1: 1e308}, max_iter=2, random_state=0
    )
    maps = (X > 0).astype(int)
    P = pixels.fit(X, maps).predict_proba(X)
    Q = pixels.set_params(class_weight={0: 1.0, 1: 1.0}).fit(X, maps).predict_proba(X)
    np.testing.assert_allclose(P, Q, rtol=1e-4)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_weights_of_classes_that_are_none(images, wrong):
    X, y = images
    for layers, labels in (([Dense(2)], y), ([Conv2D(2, 1)], (X > 0).astype(int))):
        clf = ConvNetClassifier(layers, class_weight={0: wrong, 1: 1.0}, max_iter=1)
        with pytest.raises(ValueError, match=r"class_weight=.* (finite|negative)"):
            clf.fit(X, labels)
        with pytest.raises(ValueError, match=r"class_weight=.* (finite|negative)"):
            clf.partial_fit(X, labels, classes=[0, 1])


def test_weights_of_classes_may_be_tiny_too(images):
    X, y = images
    clf = quick(class_weight={0: 1e-60, 1: 1.0}).fit(X, y)
    only = quick(class_weight={0: 0.0, 1: 1.0}).fit(X, y)
    np.testing.assert_array_equal(weights(clf), weights(only))
    with pytest.raises(ValueError, match="zero"):
        quick().fit(X, y, sample_weight=np.zeros(120))


# ---------------------------------------------------------------------------
# Parts: weights as they are
# ---------------------------------------------------------------------------


def one_step(weight, y=(0,), **params):
    """What one call of `partial_fit` adds to the output's biases, by gradient descent."""
    X = np.ones((len(y), 3))
    clf = ConvNetClassifier([Dense(4)], optimizer=SGD(0.1), random_state=0, **params)
    still = ConvNetClassifier([Dense(4)], optimizer=SGD(1e-300), random_state=0)
    clf.partial_fit(X, y, classes=[0, 1], sample_weight=weight)
    still.partial_fit(X, y, classes=[0, 1])
    return clf.get_weights()["output/bias"] - still.get_weights()["output/bias"]


@pytest.mark.oldest
@pytest.mark.parametrize("factor", [1e-30, 0.25, 3.0, 1000.0])
def test_a_step_is_as_long_as_its_weights(factor):
    once = one_step(None)
    assert np.abs(once).max() > 0.01
    np.testing.assert_allclose(one_step([factor]), factor * once, rtol=1e-9)
    np.testing.assert_allclose(one_step(None, class_weight={0: factor}), factor * once, rtol=1e-9)
    both = one_step(np.full(4, factor), y=[0, 0, 0, 0])
    np.testing.assert_allclose(both, factor * one_step(None, y=[0, 0, 0, 0]), rtol=1e-9)


@pytest.mark.oldest
def test_weights_of_a_step_are_a_weighted_sum_over_its_size():
    parts = [one_step(None, y=[label]) for label in (0, 1)]
    found = one_step([3.0, 0.5], y=[0, 1])
    np.testing.assert_allclose(found, (3 * parts[0] + 0.5 * parts[1]) / 2, rtol=1e-9)


def test_weights_in_parts_and_batch_norm(images):
    """Statistics of a batch are means, whatever the sum of the weights."""
    X, y = images
    params = dict(optimizer=SGD(1e-30))
    models = [
        quick(**params).partial_fit(X, y, classes=[0, 1], sample_weight=np.full(120, weight))
        for weight in (1.0, 1e-20, 1e20)
    ]
    for path in ("batchnorm1/mean", "batchnorm1/variance", "standardize1/mean"):
        first, *others = (model.get_weights()[path] for model in models)
        for other in others:
            np.testing.assert_allclose(other, first, rtol=1e-5)


def test_weights_that_are_too_large_for_a_step(images):
    X, y = images
    clf = quick().fit(X, y)
    with pytest.raises(ValueError, match="sample_weight: all weights are zero"):
        clf.partial_fit(X.astype(float), y, sample_weight=np.full(120, 1e-300))
    with pytest.raises(ValueError, match=r"sample_weight holds 1e\+300, which is too large"):
        quick().partial_fit(X, y, classes=[0, 1], sample_weight=np.full(120, 1e300))
