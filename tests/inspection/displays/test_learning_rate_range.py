"""`LearningRateRangeDisplay`: the steps of a test, what it suggests, and what it leaves alone."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.base import clone

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import GaussianNoise
from sklearn_convnet.inspection import LearningRateRangeDisplay
from sklearn_convnet.inspection.displays.learning_rate_range import range_test
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, Dropout, Rescale, Standardize
from sklearn_convnet.optimizers import OPTIMIZERS, SGD, Adam
from sklearn_convnet.schedules import Schedule


class Geometric(Schedule):
    """The rates of a test, for a fit of one epoch."""

    def __init__(self, low, high, n):
        self.low, self.high, self.n = low, high, n

    def rate(self, epoch, step, state):
        return np.geomspace(self.low, self.high, self.n)[step]


@pytest.mark.parametrize("kind", [ConvNetClassifier, ConvNetRegressor])
def test_the_steps_are_those_of_a_fit_at_these_rates(digits, kind):
    X, y = digits
    layers = [Standardize(), Conv2D(4, 3), BatchNorm(), Dropout(0.2), Dense(8)]
    estimator = kind(
        layers,
        optimizer="sgd",
        batch_size=30,
        augmentation=GaussianNoise(0.5),
        random_state=0,
    )
    display = LearningRateRangeDisplay.from_estimator(
        estimator, X, y, n_steps=10, min_rate=1e-3, max_rate=0.1
    )
    np.testing.assert_allclose(display.learning_rates, np.geomspace(1e-3, 0.1, 10))
    # A fit of one epoch makes the same ten steps; its loss is their mean.
    fit = clone(estimator).set_params(optimizer=SGD(Geometric(1e-3, 0.1, 10)), max_iter=1)
    fit.fit(X, y)
    np.testing.assert_allclose(np.mean(display.losses), fit.loss_, rtol=1e-12)


def test_more_steps_than_batches_go_through_the_data_again(digits):
    X, y = digits
    clf = ConvNetClassifier([Rescale(1 / 16), Dense(8)], batch_size=150, random_state=0)
    display = LearningRateRangeDisplay.from_estimator(clf, X, y, n_steps=9, max_rate=1e-3)
    assert len(display.losses) == 9


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, Adam(1e-5), SGD(1e-5, momentum=0.9)])
def test_a_suggestion_for_each_optimizer(digits, optimizer):
    X, y = digits
    clf = ConvNetClassifier(
        [Rescale(1 / 16), Dense(16)], optimizer=optimizer, batch_size=32, random_state=0
    )
    display = LearningRateRangeDisplay.from_estimator(clf, X, y, max_rate=100.0)
    assert 1e-5 < display.suggestion_ < 10
    assert display.suggestion_ in display.learning_rates
    assert len(display.losses) < 100  # it exploded before the end
    assert display.suggestion_line_.get_xdata()[0] == display.suggestion_
    trained = clone(clf).set_params(optimizer__learning_rate=display.suggestion_, max_iter=5)
    assert trained.fit(X, y).loss_curve_[-1] < 0.8 * trained.loss_curve_[0]


def test_losses_are_means_by_weight():
    """Of a network that sees nothing they are the logarithm of 2, whatever is in a batch."""
    y = np.arange(200) % 10 == 0
    clf = ConvNetClassifier([Dense(8)], class_weight="balanced", batch_size=16, random_state=0)
    display = LearningRateRangeDisplay.from_estimator(
        clf, np.zeros((200, 4, 4)), y, n_steps=30, min_rate=1e-12, max_rate=1e-10
    )
    np.testing.assert_allclose(display.losses, np.log(2), rtol=1e-6)


def test_an_explosion_does_not_reach_back():
    rates = np.geomspace(1e-4, 1, 12)
    losses = np.array([2.3, 2.3, 2.3, 2.2, 2.0, 1.5, 1.0, 0.8, 0.7, 0.7, 5.0, 1e6])
    display = LearningRateRangeDisplay(rates, losses).plot()
    assert 1e-3 < display.suggestion_ < 5e-2


def test_steepest_fall_before_the_minimum():
    rates = np.geomspace(1e-6, 1, 61)
    z = np.log10(rates)
    losses = 2 - np.tanh(2 * (z + 3)) + np.exp(3 * (z + 0.5))
    display = LearningRateRangeDisplay(rates, losses, smoothing=0).plot()
    np.testing.assert_array_equal(display.smoothed_, losses)
    np.testing.assert_allclose(display.suggestion_, 1e-3, rtol=0.3)
    noisy = losses + np.random.RandomState(0).normal(scale=0.05, size=61)
    display = LearningRateRangeDisplay(rates, noisy).plot()
    np.testing.assert_allclose(np.log10(display.suggestion_), -3, atol=0.4)
    assert display.smoothed_.std() < noisy.std()
    x, y = display.line_.get_data()
    np.testing.assert_array_equal(x, rates)
    np.testing.assert_array_equal(y, display.smoothed_)
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_ylim()[1] < noisy.max()  # what explodes is cut off


def test_a_low_loss_at_the_beginning_ends_no_test():
    class Trainer:
        def steps(self, samples):
            return [(2 * loss, 2) for loss in losses]

    losses = [0.1, 1.0, 1.0, 1.0, 1.0, 1.0]
    seen = range_test(Trainer(), None, n_steps=6, smoothing=1.0, stop_factor=1.0)
    np.testing.assert_array_equal(seen, losses)


def test_noise_at_small_rates_is_no_fall():
    rates = np.geomspace(1e-6, 1, 100)
    z = np.log10(rates)
    losses = 2.3 - 0.5 * (1 + np.tanh(2 * (z + 3))) + np.exp(4 * (z + 0.6))
    suggestions = []
    for seed in range(20):
        noise = np.random.RandomState(seed).normal(scale=0.4, size=100)
        display = LearningRateRangeDisplay(rates, losses + noise).plot()
        suggestions.append(np.log10(display.suggestion_))
    assert np.abs(np.array(suggestions) + 3).max() < 2


def test_a_loss_that_never_falls_has_no_suggestion():
    display = LearningRateRangeDisplay([0.1, 0.2, 0.3], [1.0, 2.0, 3.0], smoothing=0).plot()
    assert np.isnan(display.suggestion_)
    assert display.suggestion_line_ is None


@pytest.mark.parametrize("fitted_before", [False, True])
def test_the_estimator_stays_as_it_is(digits, fitted_before):
    X, y = digits
    clf = ConvNetClassifier(
        [Rescale(1 / 16), Conv2D(4, 3), BatchNorm(), Dense(8)],
        optimizer=Adam(1e-3),
        batch_size=50,
        max_iter=1,
        random_state=np.random.RandomState(0),
        warm_start=fitted_before,
    )
    if fitted_before:
        clf.fit(X, y)
    pickled, optimizer = pickle.dumps(clf), clf.optimizer
    LearningRateRangeDisplay.from_estimator(clf, X, y, n_steps=5)
    assert pickle.dumps(clf) == pickled
    assert clf.optimizer is optimizer


def test_a_warm_start_begins_with_the_weights_of_the_last_fit(digits):
    X, y = digits
    clf = ConvNetClassifier(
        [Rescale(1 / 16), Dense(16)], optimizer=Adam(1e-2), max_iter=30, random_state=0
    )
    clf.fit(X, y)
    new, warm = (
        LearningRateRangeDisplay.from_estimator(
            clf.set_params(warm_start=warm_start), X, y, n_steps=3, max_rate=1e-5
        )
        for warm_start in (False, True)
    )
    np.testing.assert_allclose(warm.losses.mean(), clf.loss_, rtol=0.2)
    assert new.losses.mean() > 2 * warm.losses.mean()


def test_weights_boxes_and_given_axes(localizer, scenes):
    X, boxes, _ = scenes
    _, ax = plt.subplots()
    display = LearningRateRangeDisplay.from_estimator(
        localizer, X, np.arange(12) % 2, np.arange(12) % 3, boxes=boxes, n_steps=4,
        max_rate=1e-4, ax=ax, line_kw={"color": "red"},
    )  # fmt: skip
    assert display.ax_ is ax
    assert display.line_.get_color() == "red"


def test_a_loss_that_is_not_finite_ends_the_test(digits):
    X, y = digits
    reg = ConvNetRegressor([Dense(8)], optimizer="sgd", normalize_y=False, random_state=0)
    display = LearningRateRangeDisplay.from_estimator(
        reg, X, y, min_rate=1e-3, max_rate=1e30, n_steps=20, stop_factor=np.inf
    )
    assert 2 <= len(display.losses) < 20
    assert np.isfinite(display.losses).all()
    with pytest.raises(ValueError, match="not finite after a step at the smallest rate"):
        LearningRateRangeDisplay.from_estimator(
            reg, X, y, min_rate=1e200, max_rate=1e201, n_steps=5
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_rate": 0.0}, "min_rate == 0.0, must be > 0"),
        ({"min_rate": 1.0}, "max_rate == 1.0, must be > 1.0"),
        ({"n_steps": 2}, "n_steps == 2, must be >= 3"),
        ({"smoothing": -1}, "smoothing == -1, must be >= 0"),
        ({"stop_factor": 0}, "stop_factor == 0, must be > 0"),
    ],
)
def test_bad_options(digits, options, message):
    with pytest.raises(ValueError, match=message):
        LearningRateRangeDisplay.from_estimator(ConvNetClassifier(), *digits, **options)


@pytest.mark.parametrize(
    ("rates", "losses", "message"),
    [
        ([0.1, 0.2], [1.0], "learning_rates has 2, losses has 1"),
        ([0.2, 0.1], [1.0, 2.0], "must be positive and rising"),
        ([0.0, 0.1], [1.0, 2.0], "must be positive and rising"),
        ([0.1, 0.2], [1.0, np.nan], "losses must be finite"),
        ([], [], "learning_rates has shape .0,., which holds nothing"),
    ],
)
def test_bad_numbers(rates, losses, message):
    with pytest.raises(ValueError, match=message):
        LearningRateRangeDisplay(rates, losses).plot()


def test_no_estimator(digits):
    with pytest.raises(TypeError, match="got list"):
        LearningRateRangeDisplay.from_estimator([], *digits)
