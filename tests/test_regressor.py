"""`ConvNetRegressor`: outputs, losses, weights and the course of a fit."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from sklearn.metrics import r2_score

from sklearn_convnet import ConvNetRegressor
from sklearn_convnet.layers import Conv2D, Dense, Standardize
from sklearn_convnet.losses import AbsoluteError, Huber, Poisson, Quantile
from sklearn_convnet.optimizers import SGD, Adam


@pytest.fixture
def blobs():
    """Images with a blob; its height and its place are to be told."""
    rng = np.random.RandomState(0)
    place = rng.uniform(2, 6, size=(300, 2, 1, 1))
    height = rng.uniform(0.5, 2, size=(300, 1, 1))
    grid = np.indices((8, 8))
    X = height * np.exp(-np.sum((grid - place) ** 2, axis=1) / 3)
    return X, np.column_stack([height[:, 0, 0], place[:, 0, 0, 0], place[:, 1, 0, 0]])


@pytest.fixture
def quick():
    def make(**params):
        fast = dict(optimizer=Adam(0.01), batch_size=50, max_iter=20, random_state=0)
        layers = [("conv1", Conv2D(6, 3)), ("dense1", Dense(24))]
        return ConvNetRegressor(layers, **{**fast, **params})

    return make


@pytest.mark.oldest
@pytest.mark.parametrize(
    "loss", ["auto", "squared_error", "absolute_error", "huber", "quantile", "poisson"]
)
def test_one_output(blobs, quick, loss):
    X, Y = blobs
    y = Y[:, 0]
    reg = quick(loss=loss).fit(X[:200], y[:200])
    predicted = reg.predict(X[200:])
    assert predicted.shape == (100,)
    assert predicted.dtype == X.dtype
    assert reg.n_outputs_ == 1
    assert reg.score(X[200:], y[200:]) == r2_score(y[200:], predicted)
    assert reg.score(X[200:], y[200:]) > 0.9


@pytest.mark.oldest
def test_several_outputs(blobs, quick):
    X, Y = blobs
    reg = quick(max_iter=40).fit(X[:200], Y[:200])
    assert reg.predict(X).shape == Y.shape
    assert reg.n_outputs_ == 3
    assert r2_score(Y[200:], reg.predict(X[200:]), multioutput="raw_values").min() > 0.8


def test_a_column_stays_a_column(blobs, quick):
    X, Y = blobs
    column = quick(max_iter=2).fit(X, Y[:, :1])
    flat = quick(max_iter=2).fit(X, Y[:, 0])
    assert column.predict(X).shape == (300, 1)
    np.testing.assert_array_equal(column.predict(X)[:, 0], flat.predict(X))


def test_the_named_losses_are_the_classes(blobs, quick):
    X, Y = blobs
    curves = {
        loss: tuple(quick(loss=loss, max_iter=3).fit(X, Y).loss_curve_)
        for loss in ("auto", "squared_error", "absolute_error", "huber", "quantile", "poisson")
    }
    assert curves["auto"] == curves["squared_error"]
    assert len(set(curves.values())) == 5
    for loss, named in [
        (Huber(), "huber"),
        (AbsoluteError(), "absolute_error"),
        (Quantile(), "quantile"),
        (Poisson(), "poisson"),
    ]:
        reg = quick(loss=loss, max_iter=3).fit(X, Y)
        assert tuple(reg.loss_curve_) == curves[named]
    other = quick(loss=Huber(), max_iter=3).set_params(loss__delta=0.1).fit(X, Y)
    assert tuple(other.loss_curve_) != curves["huber"]


@pytest.mark.filterwarnings("ignore:The fit ends with a training R.2")
def test_loss_is_the_mean_over_samples_and_outputs(blobs):
    X, Y = blobs
    reg = ConvNetRegressor([], optimizer=SGD(1e-9), max_iter=1, batch_size=70)
    residual = (reg.fit(X, Y).predict(X) - Y) / Y.std(axis=0)
    assert reg.loss_ == pytest.approx(0.5 * np.mean(residual**2), rel=1e-6)
    residual = reg.set_params(normalize_y=False).fit(X, Y).predict(X) - Y
    assert reg.loss_ == pytest.approx(0.5 * np.mean(residual**2), rel=1e-6)


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "quantile", "poisson"]
)
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_weight_is_a_repetition(blobs, loss, n_outputs):
    X, Y = blobs
    X, Y = X[:20], Y[:20, :n_outputs]
    weight = np.random.RandomState(0).randint(4, size=20)
    layers = [Standardize(), Conv2D(8, 3), Dense(16)]
    reg = ConvNetRegressor(layers, loss=loss, batch_size=1000, max_iter=5, random_state=0)
    a = reg.fit(X, Y, sample_weight=weight).get_weights()
    b = reg.fit(np.repeat(X, weight, axis=0), np.repeat(Y, weight, axis=0)).get_weights()
    for path in a:
        np.testing.assert_allclose(a[path], b[path], rtol=1e-7, atol=1e-9, err_msg=path)


@pytest.mark.oldest
def test_partial_fit_is_one_pass(blobs, quick):
    X, Y = blobs
    reg = quick(max_iter=3).fit(X, Y)
    parts = quick()
    for _ in range(3):
        parts.partial_fit(X, Y)
    np.testing.assert_array_equal(parts.predict(X), reg.predict(X))
    assert parts.loss_curve_ == reg.loss_curve_
    weighted = quick().partial_fit(X, Y, sample_weight=np.arange(300) < 150)
    half = quick().partial_fit(X[:150], Y[:150])
    np.testing.assert_array_equal(weighted.predict(X), half.predict(X))


def test_warm_start_goes_on(blobs, quick):
    X, Y = blobs
    reg = quick(max_iter=4, warm_start=True).fit(X, Y)
    loss = reg.loss_
    assert reg.fit(X, Y).loss_curve_[4] < loss
    assert (reg.n_iter_, len(reg.loss_curve_)) == (4, 8)


def test_early_stopping_keeps_the_best_weights(blobs, quick):
    X, _ = blobs
    Y = np.random.RandomState(0).normal(size=300)  # nothing but noise to learn
    reg = quick(early_stopping=True, max_iter=100).fit(X, Y)
    scores = reg.validation_scores_
    assert len(scores) == reg.n_iter_ == len(reg.loss_curve_)
    best = reg.best_validation_score_
    assert best == max(scores)
    assert np.argmax(scores) < len(scores) - 1
    # Training that ends with the best epoch finds the same weights.
    short = quick(early_stopping=True)
    short.set_params(max_iter=int(np.argmax(scores)) + 1).fit(X, Y)
    np.testing.assert_array_equal(short.predict(X), reg.predict(X))


def test_default_network_on_a_table():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(300, 6)) * [1, 10, 100, 1, 1, 1] + [0, 5, 1000, 0, 0, 0]
    y = X[:, 0] * 2 + np.abs(X[:, 1]) / 5 + (X[:, 2] - 1000) / 50
    reg = ConvNetRegressor(random_state=0).fit(X[:200], y[:200])
    assert reg.score(X[200:], y[200:]) > 0.9


@pytest.mark.parametrize(("given", "computed"), [("uint8", "float32"), ("float64", "float64")])
def test_dtypes(blobs, quick, given, computed):
    X, Y = blobs
    X = (X * 100).astype(given)
    reg = quick(max_iter=1).fit(X, Y.astype(np.float32))
    assert reg.predict(X).dtype == computed


def test_integers_are_values(blobs, quick):
    X, Y = blobs
    y = np.round(Y[:, 1]).astype(int)
    reg = quick(max_iter=2).fit(X, y)
    np.testing.assert_array_equal(
        reg.predict(X), quick(max_iter=2).fit(X, y.astype(float)).predict(X)
    )
    assert len(np.unique(reg.predict(X))) == 300
