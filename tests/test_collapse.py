"""What users do wrong: a fit copes with it, or a warning says why nothing was learnt."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool,
    MaxPool2D,
    Rescale,
    Residual,
    Standardize,
)
from sklearn_convnet.optimizers import SGD, Adam

LENET = [Conv2D(6, 3), MaxPool2D(2), Conv2D(16, 2), Dense(32)]
NETWORKS = pytest.mark.parametrize("layers", [None, LENET], ids=["default", "lenet"])


@pytest.fixture(scope="module")
def images(digits):
    """250 digits of 8 x 8, values from 0 to 1, and their labels."""
    X, y = digits
    return (X[:250] / 16).astype(np.float32), y[:250]


def quick(estimator, layers, **params):
    params = {"batch_size": 32, "max_iter": 30, "random_state": 0, **params}
    return estimator(layers, **params)


def told(estimator, X, y, **given):
    """What the warnings of a fit say, but for those of `max_iter`."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        estimator.fit(X, y, **given)
    assert all(issubclass(one.category, ConvergenceWarning) for one in seen)
    assert all(one.filename == __file__ for one in seen)
    return [text for one in seen if "Maximum iterations" not in (text := str(one.message))]


def share_of_most_frequent(y):
    return np.unique(y, return_counts=True)[1].max() / len(y)


# ---------------------------------------------------------------------------
# What a fit copes with
# ---------------------------------------------------------------------------


def bytes_for_shares(X, y):
    return 255 * X, y


def small_values(X, y):
    return 1e-3 * (X - X.mean()) / X.std(), y


def constant_columns(X, y):
    X = X.copy()
    X[:, :, ::2] = 5
    return X, y


def few_samples(X, y):
    return X[:20], y[:20]


def duplicates(X, y):
    return np.repeat(X[:60], 5, axis=0), np.repeat(y[:60], 5)


def noisy_labels(X, y):
    rng = np.random.RandomState(0)
    return X, np.where(rng.uniform(size=len(y)) < 0.2, rng.randint(10, size=len(y)), y)


@NETWORKS
@pytest.mark.parametrize(
    "wrong",
    [
        bytes_for_shares,
        small_values,
        constant_columns,
        few_samples,
        duplicates,
        noisy_labels,
    ],
)
def test_classes_are_learnt_in_spite_of(images, layers, wrong):
    X, y = wrong(*images)
    clf = quick(ConvNetClassifier, layers)
    assert told(clf, X, y) == []
    assert clf.score(X, y) > share_of_most_frequent(y) + 0.15


@NETWORKS
@pytest.mark.parametrize("units", [1e-9, 1e-3, 1e9])
def test_values_are_learnt_in_units_of(images, layers, units):
    X, y = images
    reg = quick(ConvNetRegressor, layers)
    assert told(reg, X, units * y) == []
    assert reg.score(X, units * y) > 0.5


@NETWORKS
def test_a_constant_y_needs_no_x(images, layers):
    X, _ = images
    reg = quick(ConvNetRegressor, layers)
    assert told(reg, X, np.full(len(X), 3.5)) == []
    np.testing.assert_allclose(reg.predict(X), 3.5, rtol=1e-6)
    one = quick(ConvNetClassifier, layers)
    assert told(one, X, np.full(len(X), "a")) == []


@NETWORKS
def test_two_samples_of_two_classes(images, layers):
    X, y = images
    clf = quick(ConvNetClassifier, layers)
    assert told(clf, X[:2], y[:2]) == []
    assert clf.score(X[:2], y[:2]) == 1


# ---------------------------------------------------------------------------
# What is said otherwise
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "offset"), [(1e-6, 0), (1, 1e4)])
def test_the_scale_of_x_is_named(images, factor, offset):
    X, y = images
    X = factor * (X - X.mean()) + offset
    clf = quick(ConvNetClassifier, LENET)
    (text,) = told(clf, X, y)
    assert clf.score(X, y) == pytest.approx(share_of_most_frequent(y), abs=0.05)
    assert "has learnt nothing from X" in text
    assert f"layer 'conv2d1' sees X with values from {X.min():.5g} to {X.max():.5g}" in text
    assert f"standard deviation {X.std(dtype=np.float64):.3g}" in text
    assert "Standardize(), or with Rescale(1 / 255)" in text
    assert told(quick(ConvNetClassifier, [Standardize(), *LENET]), X, y) == []


def test_the_scale_after_layers_of_the_user_is_named(images):
    X, y = images
    (text,) = told(quick(ConvNetClassifier, [Rescale(1e-7), *LENET]), X, y)
    assert "layer 'conv2d1' sees what the layers before it make of X, with values from 0" in text
    inside = [Residual([("conv", Conv2D(1, 3, padding="same"))]), Dense(8)]
    (text,) = told(quick(ConvNetRegressor, [Rescale(1e-7), *inside]), X, y)
    assert "layer 'residual1/conv' sees what the layers before it" in text


def test_an_x_that_does_not_vary_is_named(images):
    X, y = images
    (text,) = told(quick(ConvNetClassifier, LENET), np.ones_like(X), y)
    assert "The reason is X, which does not vary" in text


def test_few_steps_are_named(images):
    X, y = images
    clf = quick(ConvNetClassifier, LENET, batch_size=250, n_iter_no_change=2, tol=1.0)
    (text,) = told(clf, X, y)
    assert f"there were only {clf.n_iter_} steps" in text


def test_a_learning_rate_is_named(images):
    X, y = images
    slow = quick(ConvNetClassifier, LENET, optimizer=SGD(1e-9), n_iter_no_change=np.inf)
    (text,) = told(slow, X, y)
    assert "The reason may be a learning rate that is too large or too small" in text


def test_statistics_that_lag_behind_are_found(images):
    """In training a batch norm sees its batch, in a prediction a mean that has moved on, since X is
    so far off 0."""
    X, y = images
    layers = [Conv2D(8, 3), BatchNorm(), MaxPool2D(2), Dense(16)]
    clf = quick(ConvNetClassifier, layers)
    (text,) = told(clf, X + 1e4, y)
    assert "The reason may be the scale of X" in text
    assert clf.history_["loss"][-1] < 0.9 * np.log(10)


def test_a_class_of_hardly_any_weight_may_be_missed(images):
    X, y = images
    weight = {label: 1e3 if label == 3 else 1e-4 for label in range(10)}
    clf = quick(ConvNetClassifier, LENET, class_weight=weight)
    assert told(clf, X, y) == []
    assert np.all(clf.predict(X) == 3)


@NETWORKS
def test_a_rare_class_that_is_never_predicted_is_named(images, layers):
    X, y = images
    rows = np.r_[np.flatnonzero(y != 8)[:150], np.flatnonzero(y == 8)[:3]]
    X, rare = X[rows], y[rows] == 8
    optimizer = SGD(0.01)
    few = quick(ConvNetClassifier, layers, optimizer=optimizer, n_iter_no_change=np.inf)
    (text,) = told(few, X, rare)
    assert not few.predict(X).any()
    assert "predicts the same class for each of 153 training samples" in text
    assert "class_weight='balanced'" in text
    long = quick(ConvNetClassifier, layers, class_weight="balanced")
    assert told(long, X, rare) == []
    assert long.predict(X)[rare].all()


def test_maps_of_one_label_are_named(images):
    X, _ = images
    maps = np.random.RandomState(0).uniform(size=X.shape) < 0.2 * X
    layers = [Conv2D(4, 3, padding="same")]
    clf = quick(ConvNetClassifier, layers, optimizer=Adam(0.02))
    (text,) = told(clf, X, maps.astype(int))
    assert "predicts the same class for each pixel of 250 training samples" in text
    assert told(clf, X, (X > 0.5).astype(int)) == []


def test_few_epochs_are_no_collapse(images):
    """That `max_iter` ended training says it all, where there were few steps."""
    X, y = images
    assert told(quick(ConvNetClassifier, LENET, max_iter=3), 1e-6 * X, y) == []


def test_training_that_is_noisy_is_none(images):
    """The network is judged as it predicts, without dropout."""
    X, y = images
    layers = [Conv2D(16, 3), GlobalAvgPool(), Dropout(0.9)]
    clf = quick(ConvNetClassifier, layers, max_iter=40, optimizer=Adam(1e-2))
    assert told(clf, X, y) == []


def test_what_is_asked_changes_no_bit(images):
    """Neither the estimator's draws nor the network know of it."""
    X, y = images
    parts = quick(ConvNetClassifier, LENET)
    for _ in range(20):
        parts.partial_fit(X, y, classes=np.arange(10))
    once = quick(ConvNetClassifier, LENET, max_iter=20).fit(X, y)
    for path, value in once.get_weights().items():
        np.testing.assert_array_equal(value, parts.get_weights()[path])
