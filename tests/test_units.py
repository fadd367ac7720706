"""Units of y make no difference; what is missing carries no loss and no score."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import r2_score

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import RandomAffine
from sklearn_convnet.layers import Conv2D, Dense, GlobalAvgPool, MaxPool2D
from sklearn_convnet.losses import Huber, Quantile
from sklearn_convnet.moments import RunningMoments
from sklearn_convnet.optimizers import SGD, Adam


@pytest.fixture(scope="module")
def images():
    """Images (8, 8) of numbers, what to find in them, and maps of their size."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(90, 8, 8))
    values = np.stack([(X[:, 2:5] ** 2).mean(axis=(1, 2)), X[:, 0].mean(axis=1)], axis=1)
    return X, values, np.stack([np.abs(X), X + np.roll(X, 1, axis=1)], axis=-1)


def quick(**params):
    layers = [Conv2D(6, 3), GlobalAvgPool(), Dense(12)]
    fast = dict(optimizer=Adam(0.01), batch_size=30, max_iter=4, random_state=0)
    return ConvNetRegressor(**{"layers": layers, **fast, **params})


def per_pixel(**params):
    return quick(layers=[Conv2D(6, 3, padding="same")], **params)


def square(y_true, y_pred):
    """Half the squared error, as a function of the user's."""
    residual = y_pred - y_true
    return np.mean(residual**2, axis=1) / 2, residual / y_pred.shape[1]


# ---------------------------------------------------------------------------
# Units
# ---------------------------------------------------------------------------


@pytest.mark.oldest
@pytest.mark.parametrize(
    ("loss", "scaled"),
    [
        ("squared_error", "squared_error"),
        ("absolute_error", "absolute_error"),
        (Quantile(0.8), Quantile(0.8)),
        (Huber(0.3), Huber(0.3 * 2**13)),
        (square, square),
    ],
)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_units_of_values(images, loss, scaled, early_stopping):
    X, Y, _ = images
    a, b = 2.0**13, 2e5
    plain = quick(loss=loss, early_stopping=early_stopping).fit(X, Y[:, 0])
    other = quick(loss=scaled, early_stopping=early_stopping).fit(X, a * Y[:, 0] + b)
    np.testing.assert_allclose(other.predict(X), a * plain.predict(X) + b, rtol=1e-9)
    np.testing.assert_allclose(other.loss_curve_, plain.loss_curve_, rtol=1e-8)
    np.testing.assert_allclose(other.history_["score"], plain.history_["score"], rtol=1e-7)
    score = other.score(X, a * Y[:, 0] + b)
    assert score == pytest.approx(plain.score(X, Y[:, 0]), rel=1e-7)


@pytest.mark.oldest
def test_units_of_each_output(images):
    """Each has its own; in float32 to its rounding."""
    X, Y, _ = images
    a, b = np.array([1e4, -1e-3]), np.array([5.0, 2e3])
    for dtype, rtol in (("float64", 1e-9), ("float32", 1e-5)):
        plain = quick(dtype=dtype).fit(X, Y).predict(X)
        other = quick(dtype=dtype).fit(X, a * Y + b).predict(X)
        np.testing.assert_allclose(other, a * plain + b, rtol=rtol, atol=rtol * np.abs(a).max())


def test_units_of_maps_and_points(images):
    X, _, maps = images
    plain = per_pixel().fit(X, maps)
    other = per_pixel().fit(X, 1e4 * maps - 300)
    np.testing.assert_allclose(other.predict(X), 1e4 * plain.predict(X) - 300, rtol=1e-8, atol=1e-4)
    assert other.score(X, 1e4 * maps - 300) == pytest.approx(plain.score(X, maps), rel=1e-8)
    points = np.random.RandomState(1).uniform(size=(90, 3, 2))
    turn = RandomAffine(rotation=(-20, 20), flip=0.5)
    share = quick(target="points", augmentation=turn).fit(X, points)
    pixels = quick(target="points", augmentation=turn, point_units="pixels")
    pixels.fit(X, 8 * points - 0.5)
    np.testing.assert_allclose(pixels.predict(X), 8 * share.predict(X) - 0.5, rtol=1e-9)


def test_points_in_pixels_for_shares_are_said(images):
    X, _, _ = images
    points = np.random.RandomState(1).uniform(0, 8, size=(90, 3, 2))
    with pytest.warns(UserWarning, match="points should be shares .* set point_units='pixels'"):
        quick(target="points").fit(X, points)


def test_a_loss_of_the_user_sees_the_units_of_y(images):
    X, Y, _ = images
    Y, seen = 1e3 * Y + 50, []

    def loss(y_true, y_pred):
        seen.append((y_true, y_pred.copy()))
        return square(y_true, y_pred)

    quick(loss=loss, shuffle=False, batch_size=90, max_iter=1).fit(X, Y)
    np.testing.assert_allclose(seen[0][0], Y, rtol=1e-12)
    np.testing.assert_allclose(seen[0][1], np.tile(Y.mean(axis=0), (90, 1)), rtol=1e-12)


def test_a_constant_output_is_predicted(images):
    X, Y, _ = images
    Y = np.stack([Y[:, 0], np.full(90, 1e6 / 3)], axis=1)
    reg = quick(max_iter=60).fit(X, Y)
    np.testing.assert_allclose(reg.predict(X)[:, 1], 1e6 / 3, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:The fit ends with a training R.2")
def test_without_normalisation_units_matter(images):
    X, Y, _ = images
    plain = quick(normalize_y=False).fit(X, Y).predict(X)
    other = quick(normalize_y=False).fit(X, 100 * Y).predict(X)
    assert np.abs(other - 100 * plain).max() > 1


@pytest.mark.oldest
@pytest.mark.parametrize("normalize_y", [False, True])
def test_counts_begin_at_the_logarithm_of_their_mean(images, normalize_y):
    X, Y, _ = images
    Y = np.random.RandomState(0).poisson(50 * Y[:, :1] @ [[1, 10]])
    weight = np.arange(90) % 3
    reg = quick(loss="poisson", normalize_y=normalize_y, optimizer=SGD(1e-12), max_iter=1)
    reg.fit(X, Y, sample_weight=weight)
    mean = np.average(Y, axis=0, weights=weight)
    np.testing.assert_allclose(reg.predict(X), np.tile(mean, (90, 1)), rtol=1e-6)
    assert set(reg.get_weights()) == set(reg.network_.parameters())


def test_statistics_are_those_of_the_first_call(images):
    X, Y, _ = images
    weight = np.arange(90) % 2
    reg = quick(optimizer=SGD(1e-12))
    reg.partial_fit(X, Y, sample_weight=weight).partial_fit(X, 7 * Y)
    first = reg.get_weights()
    np.testing.assert_allclose(first["output/target_mean"], Y[1::2].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(first["output/target_deviation"], Y[1::2].std(axis=0), rtol=1e-12)
    warm = quick(warm_start=True, optimizer=SGD(1e-12)).fit(X, Y).fit(X, 7 * Y)
    np.testing.assert_allclose(warm.get_weights()["output/target_mean"], Y.mean(axis=0))


@pytest.mark.parametrize("given", ["weights", "estimator"])
@pytest.mark.filterwarnings("ignore:The fit ends with a training R.2")
def test_a_network_that_is_taken_over_predicts_what_it_did(images, given):
    X, Y, _ = images
    for normalize_y in (False, True):
        first = quick(normalize_y=normalize_y).fit(X, Y)
        init_from = first.get_weights() if given == "weights" else FrozenEstimator(first)
        again = quick(init_from=init_from, optimizer=SGD(1e-12), max_iter=1).fit(X, 3 * Y + 1)
        np.testing.assert_allclose(again.predict(X), first.predict(X), rtol=1e-6)
        third = quick(init_from=again.get_weights(), optimizer=SGD(1e-12), max_iter=1)
        np.testing.assert_allclose(third.fit(X, -Y).predict(X), first.predict(X), rtol=1e-6)
        raw = quick(init_from=init_from, normalize_y=False, optimizer=SGD(1e-12), max_iter=1)
        raw.fit(X, Y)
        np.testing.assert_allclose(raw.predict(X), first.predict(X), rtol=1e-6)
        assert raw.get_weights().keys() == first.get_weights().keys()
    head = {k: v for k, v in first.get_weights().items() if not k.startswith("output/")}
    again = quick(init_from=head, optimizer=SGD(1e-12), max_iter=1).fit(X, 3 * Y + 1)
    np.testing.assert_allclose(again.predict(X)[0], np.mean(3 * Y + 1, axis=0), rtol=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, -1.0, 0.0, np.inf, [1.0, 2.0, 3.0]])
def test_statistics_that_are_none(images, wrong):
    X, Y, _ = images
    weights = quick(max_iter=1).fit(X, Y).get_weights()
    weights["output/target_deviation"] = np.full(2, wrong) if np.isscalar(wrong) else wrong
    with pytest.raises(ValueError, match="a finite mean and a positive deviation for each of 2"):
        quick(init_from=weights).fit(X, Y)
    del weights["output/target_deviation"]
    weights["output/target_deviations"] = np.ones(2)
    with pytest.warns(UserWarning, match="output/target_deviations"):
        quick(init_from=weights, loss="absolute_error", max_iter=1).fit(X, Y)


def test_counts_do_not_go_on_from_normalised_values(images):
    X, Y, _ = images
    weights = quick(max_iter=1).fit(X, Y).get_weights()
    with pytest.raises(ValueError, match="learnt normalised values, which is none for Poisson"):
        quick(init_from=weights, loss="poisson").fit(X, np.abs(Y))
    with pytest.raises(ValueError, match="y_val: loss='poisson' is for counts"):
        quick(loss="poisson").fit(X, np.abs(Y), X_val=X, y_val=-np.abs(Y))


@pytest.mark.parametrize("loss", ["squared_error", square])
@pytest.mark.parametrize(("a", "b"), [(1.0, 1e8), (1e-60, 0.0), (1e30, -1e37), (1e3, 1e12)])
def test_values_of_which_float32_has_too_few_digits(images, loss, a, b):
    """Predictions are then in float64, and as good as others."""
    X, Y, _ = images
    X = X.astype(np.float32)
    plain = quick(loss=loss).fit(X, Y[:, 0])
    other = quick(loss=loss).fit(X, a * Y[:, 0] + b)
    assert plain.predict(X).dtype == np.float32
    assert other.predict(X).dtype == np.float64
    np.testing.assert_allclose((other.predict(X) - b) / a, plain.predict(X), rtol=1e-3, atol=1e-3)
    score = plain.score(X, Y[:, 0])
    assert other.score(X, a * Y[:, 0] + b) == pytest.approx(score, rel=1e-3)
    assert other.history_["score"][-1] == pytest.approx(plain.history_["score"][-1], rel=1e-3)


def test_numbers_without_a_dtype(images):
    X, _, _ = images
    numbers = np.arange(90) % 7
    plain = quick(max_iter=2).fit(X, numbers)
    for y in (
        [Decimal(int(i)) for i in numbers],
        [Fraction(int(i)) for i in numbers],
        [int(i) * 10**30 for i in numbers],
    ):
        reg = quick(max_iter=2).fit(X, y)
        assert reg.score(X, y) == pytest.approx(plain.score(X, numbers), rel=1e-5)
    some = [None if i % 5 == 0 else int(i) for i in numbers]
    reg = quick(max_iter=2).fit(X, some)
    holes = np.where(numbers % 5 == 0, np.nan, numbers)
    np.testing.assert_array_equal(reg.predict(X), quick(max_iter=2).fit(X, holes).predict(X))
    assert reg.score(X, some) == reg.score(X, holes)


def test_scores_of_values_that_are_none(images):
    X, Y, _ = images
    reg = quick(max_iter=1).fit(X, Y[:, 0])
    with pytest.raises(ValueError, match="y contains infinity"):
        reg.score(X, np.full(90, np.inf))
    with pytest.raises(ValueError, match=r"[Ss]ample.weight"):
        reg.score(X, Y[:, 0], np.ones(3))


def test_values_that_float32_cannot_hold(images):
    X, Y, _ = images
    message = r"y contains infinity or a value too large for dtype\('float32'\)"
    with pytest.raises(ValueError, match=message):
        quick(dtype="float32", normalize_y=False).fit(X, 1e200 * Y)
    reg = quick(dtype="float32").fit(X, 1e30 * Y)
    assert np.isfinite(reg.predict(X)).all()
    with pytest.raises(ValueError, match=message):
        reg.partial_fit(X, 1e200 * Y)
    with pytest.raises(ValueError, match="y holds values too large to take their deviation"):
        quick().fit(X, 1e200 * Y)


@pytest.mark.parametrize("augmentation", [None, RandomAffine(rotation=(-10, 10))])
def test_the_weight_of_a_box_does_not_depend_on_its_units(augmentation):
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(60, 8, 12)), np.arange(60) % 2
    shares = rng.uniform(size=(60, 8))
    size = np.tile([12, 8], 4)
    clf = ConvNetClassifier(
        [Conv2D(4, 3), MaxPool2D(2)], max_iter=3, augmentation=augmentation, random_state=0
    )
    share = clf.fit(X, y, boxes=shares).predict_box(X)
    pixels = clf.set_params(box_units="pixels").fit(X, y, boxes=shares * size - 0.5)
    np.testing.assert_allclose(pixels.predict_box(X), share * size - 0.5, rtol=1e-7, atol=1e-7)


def test_moments_are_merged():
    rng = np.random.RandomState(0)
    values, weight = 1e6 + rng.normal(size=(50, 3)), rng.uniform(size=50)
    values[rng.uniform(size=values.shape) < 0.3] = np.nan
    values[:20, 1] = np.nan
    values[:, 2] = np.nan
    moments = RunningMoments()
    for start in range(0, 50, 7):
        moments.add(values[start : start + 7], weight[start : start + 7])
    for j in range(2):
        known = ~np.isnan(values[:, j])
        mean = np.average(values[known, j], weights=weight[known])
        variance = np.average((values[known, j] - mean) ** 2, weights=weight[known])
        assert moments.mean[j] == pytest.approx(mean, rel=1e-14)
        assert moments.variance[j] == pytest.approx(variance, rel=1e-8)
        assert moments.weight[j] == pytest.approx(weight[known].sum())
    assert (moments.mean[2], moments.variance[2], moments.weight[2]) == (0, 0, 0)


# ---------------------------------------------------------------------------
# The score of outputs that share a unit
# ---------------------------------------------------------------------------


def test_a_pixel_that_hardly_varies_counts_little(images):
    X, _, maps = images
    maps = maps[..., 0].copy()
    maps[:, 0, 0] = 1e-6 * maps[:, 1, 1]
    reg = per_pixel(max_iter=30, early_stopping=True).fit(X, maps)
    rows, predicted = (90, -1), reg.predict(X)
    each = r2_score(maps.reshape(rows), predicted.reshape(rows), multioutput="raw_values")
    assert each.min() < -100
    assert reg.score(X, maps) > 0.5
    error = np.sum((predicted - maps) ** 2)
    expected = 1 - error / np.sum((maps - maps.mean(axis=0)) ** 2)
    assert reg.score(X, maps) == pytest.approx(expected, rel=1e-9)
    maps[:, :, 0] = 3.0  # errors where nothing varies are left out, as by scikit-learn
    reg.fit(X, maps, X_val=X, y_val=maps)
    flat = maps.reshape(rows), reg.predict(X).reshape(rows)
    assert reg.score(X, maps) == r2_score(*flat, multioutput="variance_weighted")
    assert reg.history_["validation_score"][-1] == pytest.approx(reg.score(X, maps), rel=1e-9)
    holes = maps.copy()
    holes[0, 4, 4] = np.nan
    assert reg.score(X, holes) == pytest.approx(reg.score(X, maps), rel=1e-2)
    reg.set_params(early_stopping=False).fit(X, maps, X_val=X, y_val=maps)
    score = reg.history_["validation_score"][-1]
    assert score == pytest.approx(reg.score(X, maps), rel=1e-9)


# ---------------------------------------------------------------------------
# Missing values
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_missing_values_carry_no_loss_and_no_score(images):
    X, Y, _ = images
    missing = np.random.RandomState(0).uniform(size=Y.shape) < 0.3
    missing[:3] = True  # what has no value at all is left out
    holes = np.where(missing, np.nan, Y)
    reg = quick(batch_size=1000, optimizer=SGD(1e-12), max_iter=1).fit(X, holes)
    mean, deviation = np.nanmean(holes, axis=0), np.nanstd(holes, axis=0)
    np.testing.assert_allclose(reg.get_weights()["output/target_mean"], mean, rtol=1e-12)
    there = ~missing.all(axis=1)
    square = ((reg.predict(X) - holes) / deviation)[there] ** 2
    assert reg.loss_ == pytest.approx(np.nanmean(square) / 2, rel=1e-9)
    reg = quick().fit(X, holes)
    np.testing.assert_array_equal(reg.predict(X), quick().fit(X[there], holes[there]).predict(X))
    predicted = reg.predict(X)
    columns = [r2_score(Y[known, j], predicted[known, j]) for j, known in enumerate(~missing.T)]
    assert reg.score(X, holes) == pytest.approx(np.mean(columns), rel=1e-10)
    reg.fit(X, holes, X_val=X, y_val=holes)
    assert reg.history_["validation_score"][-1] == pytest.approx(reg.score(X, holes), rel=1e-9)


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "quantile", "poisson"]
)
def test_a_column_of_which_some_is_missing(images, loss):
    X, Y, _ = images
    y = np.where(np.arange(90) % 4, np.abs(Y[:, 0]), np.nan)
    there = ~np.isnan(y)
    some = quick(loss=loss).fit(X, y, sample_weight=np.arange(90))
    few = quick(loss=loss).fit(X[there], y[there], sample_weight=np.arange(90)[there])
    np.testing.assert_array_equal(some.predict(X), few.predict(X))
    assert some.score(X, y) == pytest.approx(few.score(X[there], y[there]), rel=1e-9)


def test_points_and_maps_of_which_some_are_missing(images):
    X, _, maps = images
    points = np.random.RandomState(1).uniform(size=(90, 3, 2))
    points[::2, 1] = np.nan
    turn = RandomAffine(rotation=(-20, 20))
    reg = quick(target="points", augmentation=turn).fit(X, points)
    assert np.isfinite(reg.predict(X)).all()
    assert np.isfinite(reg.score(X, points))
    maps = np.where(np.abs(maps) > 2, np.nan, maps)
    reg = per_pixel(target="maps", augmentation=turn).fit(X, maps)
    there, predicted = ~np.isnan(maps), reg.predict(X)
    mean = np.nanmean(maps, axis=0)
    expected = 1 - np.sum((predicted - maps)[there] ** 2) / np.nansum((maps - mean) ** 2)
    assert reg.score(X, maps) == pytest.approx(expected, rel=1e-9)


@pytest.mark.filterwarnings("ignore:The fit ends with a training R.2")
def test_a_loss_of_the_user_sees_what_is_missing(images):
    X, Y, _ = images
    holes = np.where(np.arange(90)[:, None] % 2 + [0, 1], Y, np.nan)

    def masked(y_true, y_pred):
        assert np.isnan(y_true).any()
        residual = np.nan_to_num(y_pred - y_true)
        return np.mean(residual**2, axis=1) / 2, residual / 2

    own, named = quick(loss=masked, normalize_y=False), quick(normalize_y=False)
    np.testing.assert_allclose(
        own.fit(X, holes).predict(X), named.fit(X, holes).predict(X), rtol=1e-9
    )


def test_nothing_is_there(images):
    X, Y, maps = images
    for y in (Y[:, 0] * np.nan, Y * np.nan, maps * np.nan):
        with pytest.raises(ValueError, match="y contains NaN alone"):
            quick().fit(X, y)
    with pytest.raises(ValueError, match="no value or label for any sample whose weight"):
        quick().fit(X, np.where(np.arange(90) < 9, Y[:, 0], np.nan), np.arange(90) > 20)
