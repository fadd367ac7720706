"""Schedules: values worked out by hand, what they count, and their part in a fit."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
from copy import deepcopy

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.layers import Conv2D, Dense
from sklearn_convnet.optimizers import OPTIMIZERS, SGD, Adam
from sklearn_convnet.schedules import (
    Constant,
    CosineDecay,
    ExponentialDecay,
    LinearWarmup,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
)

HALF = np.sqrt(0.5)

# A schedule and its first rates.
BY_HAND = [
    (Constant(0.3), [0.3, 0.3, 0.3]),
    (StepDecay(8.0, every=2, factor=0.5), [8, 8, 4, 4, 2, 2, 1]),
    (ExponentialDecay(8.0, factor=0.5), [8, 4, 2, 1]),
    (CosineDecay(2.0, period=4), [2, 1 + HALF, 1, 1 - HALF, 0, 0, 0]),
    (CosineDecay(3.0, period=2, min_rate=1.0), [3, 2, 1, 1]),
    (CosineDecay(2.0, period=2, growth=1), [2, 1, 2, 1, 2]),
    (CosineDecay(2.0, period=1, growth=2), [2, 2, 1, 2, 1 + HALF, 1, 1 - HALF, 2]),
    # Half a wave up in two steps, and down in two.
    (
        OneCycle(4.0, length=5, rise=0.6, div_factor=2, final_div_factor=2),
        [2, 3, 4, 2.5, 1, 1, 1],
    ),
    (LinearWarmup(2.0, length=4), [0.5, 1, 1.5, 2, 2]),
    (LinearWarmup(2.0, length=1), [2, 2]),
    (LinearWarmup(StepDecay(8.0, every=2, factor=0.5), length=4), [2, 4, 3, 4, 2]),
]


@pytest.mark.oldest
@pytest.mark.parametrize(("schedule", "expected"), BY_HAND, ids=repr)
def test_by_hand(schedule, expected):
    rates = schedule.simulate(len(expected))
    assert rates.dtype == np.float64
    np.testing.assert_allclose(rates, expected, atol=1e-15)


@pytest.mark.parametrize(
    ("schedule", "scores", "expected"),
    [
        (ReduceOnPlateau(8.0, 0.5, patience=2), [1, 2, 2, 2, 2, 2], [8, 8, 8, 8, 4, 4, 2]),
        (ReduceOnPlateau(8.0, 0.5, patience=1), [2, 1, 3, 1, 1], [8, 8, 4, 4, 2, 1]),
        # The count begins anew after an improvement, and an improvement is more than tol.
        (ReduceOnPlateau(8.0, 0.5, patience=2), [1, 1, 2, 2, 3, 3], [8] * 7),
        (ReduceOnPlateau(8.0, 0.5, patience=1, tol=1.0), [1, 2, 3.5], [8, 8, 4, 4]),
        # What is not enough adds up.
        (ReduceOnPlateau(8.0, 0.5, patience=2, tol=1.0), [0, 0.6, 1.2, 1.8, 2.4], [8] * 6),
        (ReduceOnPlateau(8.0, 0.5, patience=1, min_rate=3.0), [1, 1, 1], [8, 8, 4, 3]),
        (ReduceOnPlateau(8.0, 0.5, patience=1), [-3, -2, np.nan, -1], [8, 8, 8, 4, 4]),
        (LinearWarmup(ReduceOnPlateau(8.0, 0.5, patience=1), 2), [1, 1, 1], [4, 8, 4, 2]),
    ],
    ids=repr,
)
def test_plateau_by_hand(schedule, scores, expected):
    np.testing.assert_allclose(schedule.simulate(len(expected), scores=scores), expected)
    # More scores than are looked at do no harm.
    more = schedule.simulate(len(expected), scores=[*scores, 100, 100])
    np.testing.assert_allclose(more, expected)


def test_epochs_and_steps():
    by_epoch, by_step = (StepDecay(8.0, every=2, factor=0.5, per=per) for per in ("epoch", "step"))
    assert by_epoch.simulate(8, steps_per_epoch=3).tolist() == [8, 8, 8, 8, 8, 8, 4, 4]
    assert by_step.simulate(8, steps_per_epoch=3).tolist() == [8, 8, 4, 4, 2, 2, 1, 1]
    warm = LinearWarmup(by_epoch, length=4)
    assert warm.simulate(8, steps_per_epoch=3).tolist() == [2, 4, 6, 8, 8, 8, 4, 4]
    warm = LinearWarmup(by_step, length=2, per="epoch")
    assert warm.simulate(8, steps_per_epoch=3).tolist() == [4, 4, 2, 4, 2, 2, 1, 1]
    plateau = ReduceOnPlateau(8.0, 0.5, patience=1)
    assert plateau.simulate(5, steps_per_epoch=2, scores=[1, 1]).tolist() == [8, 8, 8, 8, 4]


def test_restarts_far_in_the_future():
    # The period of step 2^40 is found without counting up to it.
    assert CosineDecay(2.0, period=1, growth=1).rate(2**40, 0, {}) == 2.0
    assert CosineDecay(2.0, period=1, growth=2).rate(2**40 - 1, 0, {}) == 2.0


def test_a_schedule_keeps_nothing_of_a_simulation():
    schedule = ReduceOnPlateau(1.0, patience=1)
    first = schedule.simulate(4, scores=[1, 1, 1])
    np.testing.assert_array_equal(schedule.simulate(4, scores=[1, 1, 1]), first)


# ---------------------------------------------------------------------------
# Parameters
# ---------------------------------------------------------------------------

SCHEDULES = [*(schedule for schedule, _ in BY_HAND), ReduceOnPlateau(0.1)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_schedule_is_a_spec(schedule):
    copy = clone(schedule)
    assert copy is not schedule
    assert repr(copy) == repr(schedule)
    scores = np.zeros(10)
    expected = schedule.simulate(10, scores=scores)
    for other in (copy, pickle.loads(pickle.dumps(schedule))):
        np.testing.assert_array_equal(other.simulate(10, scores=scores), expected)


@pytest.mark.parametrize(
    ("schedule", "parameter"),
    [
        (Constant(0), "initial"),
        (Constant("fast"), "initial"),
        (StepDecay(-0.1, 3), "initial"),
        (StepDecay(0.1, 0), "every"),
        (StepDecay(0.1, 2.5), "every"),
        (StepDecay(0.1, 3, factor=1.0), "factor"),
        (StepDecay(0.1, 3, per="batch"), "per"),
        (ExponentialDecay(0.1, factor=0), "factor"),
        (CosineDecay(0.1, 0), "period"),
        (CosineDecay(0.1, 5, growth=0), "growth"),
        (CosineDecay(0.1, 5, growth=1.5), "growth"),
        (CosineDecay(0.1, 5, min_rate=-1), "min_rate"),
        (OneCycle(np.inf, 5), "peak"),
        (OneCycle(0.1, 0), "length"),
        (OneCycle(0.1, 5, rise=1.0), "rise"),
        (OneCycle(0.1, 5, div_factor=0.5), "div_factor"),
        (OneCycle(0.1, 5, final_div_factor=0), "final_div_factor"),
        (LinearWarmup(-0.1, 5), "learning_rate"),
        (LinearWarmup(0.1, 0), "length"),
        (LinearWarmup(StepDecay(0.1, 0), 5), "every"),
        (ReduceOnPlateau(0.1, factor=10), "factor"),
        (ReduceOnPlateau(0.1, patience=0), "patience"),
        (ReduceOnPlateau(0.1, tol=-1), "tol"),
        (ReduceOnPlateau(0.1, min_rate=-1), "min_rate"),
    ],
    ids=repr,
)
def test_bad_parameters(schedule, parameter, maps):
    message = f"The '{parameter}' parameter of"
    with pytest.raises(ValueError, match=message):
        schedule.simulate(3)
    for learning_rate in (schedule, LinearWarmup(schedule, 2)):
        clf = ConvNetClassifier([Dense(2)], optimizer=SGD(learning_rate))
        with pytest.raises(ValueError, match=message):
            clf.fit(*maps)
        assert not hasattr(clf, "network_")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_takes_a_number_or_a_schedule(name, maps):
    for learning_rate in (0, "fast", None, StepDecay):
        clf = ConvNetClassifier([Dense(2)], optimizer=OPTIMIZERS[name](learning_rate))
        with pytest.raises(ValueError, match=r"'learning_rate' parameter.*float.*Schedule"):
            clf.fit(*maps)


def test_bad_simulations():
    schedule = ReduceOnPlateau(0.1)
    with pytest.raises(ValueError, match="n == 0"):
        schedule.simulate(0)
    with pytest.raises(TypeError, match="n must be"):
        schedule.simulate(2.5)
    with pytest.raises(ValueError, match="steps_per_epoch == 0"):
        schedule.simulate(3, steps_per_epoch=0)
    with pytest.raises(ValueError, match="each of the 4 epochs before step 5, got 0"):
        schedule.simulate(5)
    with pytest.raises(ValueError, match="each of the 2 epochs before step 5, got 1"):
        LinearWarmup(schedule, 3).simulate(5, scores=[0.5], steps_per_epoch=2)
    assert schedule.simulate(3, steps_per_epoch=3).tolist() == [0.1] * 3


def test_keys_reach_into_a_schedule(maps):
    clf = ConvNetClassifier([Dense(4)], optimizer=SGD(StepDecay(0.1, every=2)), max_iter=1)
    assert clf.get_params()["optimizer__learning_rate__every"] == 2
    clf.set_params(optimizer__learning_rate__factor=0.5)
    assert clf.optimizer.learning_rate.factor == 0.5
    with pytest.raises(ValueError, match="Invalid parameter 'optimizer__learning_rate__patience'"):
        clf.set_params(optimizer__learning_rate__patience=3)
    grid = {"optimizer__learning_rate__initial": [1e-9, 0.05]}
    search = GridSearchCV(clf.set_params(max_iter=10, random_state=0), grid, cv=2).fit(*maps)
    assert search.best_params_ == {"optimizer__learning_rate__initial": 0.05}
    grid = {"optimizer__learning_rate": [1e-9, Constant(1e-9), CosineDecay(0.05, period=10)]}
    search = GridSearchCV(clf, grid, cv=2).fit(*maps)
    assert isinstance(search.best_params_["optimizer__learning_rate"], CosineDecay)


# ---------------------------------------------------------------------------
# In a fit
# ---------------------------------------------------------------------------


def model(optimizer, **params):
    params = {"batch_size": 20, "max_iter": 6, "random_state": 0, **params}
    return ConvNetClassifier([Conv2D(3, 3), Dense(8)], optimizer=optimizer, **params)


@pytest.mark.oldest
def test_a_constant_schedule_is_a_number(maps):
    number, schedule, warm = (
        model(Adam(rate)).fit(*maps) for rate in (0.01, Constant(0.01), LinearWarmup(0.01, 1))
    )
    assert number.history_["learning_rate"] == [0.01] * 6
    for other in (schedule, warm):
        assert other.loss_curve_ == number.loss_curve_
        assert other.history_ == number.history_


@pytest.mark.parametrize(
    "schedule",
    [
        StepDecay(0.01, every=2),
        CosineDecay(0.01, period=4, per="step"),
        OneCycle(0.01, length=18),
        LinearWarmup(StepDecay(0.01, every=2), length=8),
    ],
    ids=repr,
)
def test_the_history_has_the_rate_of_the_last_step_of_each_epoch(schedule, maps):
    clf = model(SGD(schedule, momentum=0.9)).fit(*maps)
    expected = schedule.simulate(18, steps_per_epoch=3)[2::3]
    assert clf.history_["learning_rate"] == expected.tolist()
    assert all(type(rate) is float for rate in clf.history_["learning_rate"])


def test_each_step_has_its_rate(maps):
    # Steps of plain descent are proportional to their rates: with rates that are almost
    # zero but in the second of three steps, only the second batch changes the weights.
    X, y = maps
    rates = iter([1e-30, 0.1, 1e-30])

    class Listed(Schedule):
        def rate(self, epoch, step, state):
            return next(rates)

    params = {"shuffle": False, "max_iter": 1, "dtype": "float64"}
    clf = model(SGD(Listed()), **params).fit(X, y)
    alone = model(SGD(0.1), **params)
    alone.fit(X[20:40], y[20:40])
    for path, array in clf.get_weights().items():
        np.testing.assert_allclose(array, alone.get_weights()[path], atol=1e-12)


def test_the_plateau_of_the_training_loss(maps):
    # Nothing moves at such a rate: each epoch after the first is one without improvement.
    schedule = ReduceOnPlateau(1e-12, factor=0.5, patience=2)
    clf = model(SGD(schedule)).fit(*maps)
    assert clf.history_["learning_rate"] == [1e-12, 1e-12, 1e-12, 5e-13, 5e-13, 2.5e-13]
    losses = -np.array(clf.history_["loss"])
    expected = schedule.simulate(6, scores=losses)
    assert clf.history_["learning_rate"] == expected.tolist()


def test_the_plateau_of_the_validation_score(digits):
    X, y = digits
    schedule = ReduceOnPlateau(0.005, factor=0.5, patience=1, tol=0.01)
    clf = model(Adam(schedule), early_stopping=True, validation_fraction=0.3, max_iter=15).fit(
        X / np.float32(16), y
    )
    n = clf.n_iter_
    by_score = schedule.simulate(n, scores=clf.validation_scores_)
    assert clf.history_["learning_rate"] == by_score.tolist()
    assert len(set(by_score)) >= 3
    # It is the score that decides, not the loss.
    by_loss = schedule.simulate(n, scores=-np.array(clf.loss_curve_))
    assert by_loss.tolist() != by_score.tolist()


def test_a_regressor_has_schedules_too(maps):
    X, y = maps
    schedule = ExponentialDecay(0.01, factor=0.5)
    reg = ConvNetRegressor([Dense(3)], optimizer=SGD(schedule), max_iter=3, random_state=0)
    assert reg.fit(X, y).history_["learning_rate"] == [0.01, 0.005, 0.0025]


ALL_KINDS = [
    LinearWarmup(ReduceOnPlateau(0.01, factor=0.5, patience=1, tol=0.1), length=5),
    CosineDecay(0.01, period=4, growth=2, per="step"),
    StepDecay(0.01, every=2),
]


@pytest.mark.parametrize("schedule", ALL_KINDS, ids=repr)
@pytest.mark.parametrize(
    "copied", [deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
def test_a_copy_goes_on_exactly(maps, schedule, copied):
    X, y = maps
    whole = model(Adam(schedule, clip_norm=1.0))
    for _ in range(8):
        whole.partial_fit(X, y, classes=[0, 1, 2])
    halves = model(Adam(schedule, clip_norm=1.0))
    for _ in range(8):
        halves = copied(halves).partial_fit(X, y, classes=[0, 1, 2])
    assert halves.history_ == whole.history_
    assert len(whole.history_["learning_rate"]) == 8
    assert len(set(whole.history_["learning_rate"])) >= 3
    for path, array in halves.get_weights().items():
        np.testing.assert_array_equal(array, whole.get_weights()[path])


def test_what_a_copy_does_leaves_the_original_alone(maps):
    X, y = maps
    clf = model(SGD(ReduceOnPlateau(1e-12, factor=0.5, patience=1)))
    clf.partial_fit(X, y, classes=[0, 1, 2])
    for _ in range(3):
        deepcopy(clf).partial_fit(X, y)
    assert clf.partial_fit(X, y).partial_fit(X, y).history_["learning_rate"] == [
        1e-12, 1e-12, 5e-13,
    ]  # fmt: skip


def test_a_new_fit_and_a_warm_start_begin_the_schedule_anew(maps):
    clf = model(SGD(ExponentialDecay(0.01, factor=0.5)), max_iter=2)
    assert clf.fit(*maps).history_["learning_rate"] == [0.01, 0.005]
    assert clf.fit(*maps).history_["learning_rate"] == [0.01, 0.005]
    clf.set_params(warm_start=True)
    assert clf.fit(*maps).history_["learning_rate"] == [0.01, 0.005] * 2
