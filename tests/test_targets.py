"""Kinds of y: several columns, maps of labels, points, maps of values; what moves."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, make_scorer, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import RandomAffine
from sklearn_convnet.estimators.checks import check_labels, check_labels_and_boxes
from sklearn_convnet.estimators.targets import (
    BoxTarget,
    ClassTarget,
    LabelMapTarget,
    PointTarget,
    ValueMapTarget,
    label_target,
)
from sklearn_convnet.layers import (
    Conv2D,
    Conv3D,
    ConvTranspose2D,
    Dense,
    Flatten,
    GlobalAvgPool,
    MaxPool2D,
)
from sklearn_convnet.losses import Focal
from sklearn_convnet.optimizers import SGD, Adam


@pytest.fixture(scope="module")
def scenes():
    """Images (12, 12) with a rectangle of one of two shades, masks, labels and places."""
    rng = np.random.RandomState(0)
    n = 160
    X, masks = np.zeros((n, 12, 12), np.float32), np.zeros((n, 12, 12), np.uint8)
    shade, corners = np.arange(n) % 2, np.empty((n, 2, 2))
    for i in range(n):
        (height, width), (top, left) = rng.randint(3, 7, 2), rng.randint(0, 6, 2)
        place = np.s_[i, top : top + height, left : left + width]
        X[place], masks[place] = 1 + shade[i], 1 + shade[i]
        corners[i] = [[left, top], [left + width, top + height]]
    return X + 0.1 * rng.normal(size=X.shape).astype(np.float32), masks, shade, corners / 12


def quick(estimator=ConvNetClassifier, layers=None, **params):
    if layers is None:
        layers = [("conv1", Conv2D(6, 3)), MaxPool2D(2), ("dense1", Dense(24))]
    fast = dict(optimizer=Adam(0.01), batch_size=20, max_iter=50, random_state=0)
    return estimator(layers, **{**fast, **params})


def per_pixel(estimator=ConvNetClassifier, **params):
    layers = [("conv1", Conv2D(8, 3, padding="same"))]
    return quick(estimator, layers, **{"max_iter": 30, **params})


# ---------------------------------------------------------------------------
# Several columns of labels
# ---------------------------------------------------------------------------


@pytest.fixture
def two_columns(scenes):
    _, masks, shade, _ = scenes
    size = np.digitize((masks > 0).sum(axis=(1, 2)), [14, 24])
    return np.column_stack([shade, size])


@pytest.mark.oldest
def test_columns(scenes, two_columns):
    X, *_ = scenes
    clf = quick().fit(X[:120], two_columns[:120])
    assert [list(labels) for labels in clf.classes_] == [[0, 1], [0, 1, 2]]
    predicted, P = clf.predict(X), clf.predict_proba(X)
    assert predicted.shape == two_columns.shape
    assert predicted.dtype == two_columns.dtype
    assert [p.shape for p in P] == [(160, 2), (160, 3)]
    for j, p in enumerate(P):
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_array_equal(clf.classes_[j][p.argmax(axis=1)], predicted[:, j])
        log_p, some = clf.predict_log_proba(X)[j], p > 1e-30  # smaller ones come near to underflow
        np.testing.assert_allclose(log_p[some], np.log(p[some]), rtol=1e-5, atol=1e-6)
        assert (log_p[~some] < np.log(2e-30)).all()
    columns = [accuracy_score(a, b) for a, b in zip(two_columns.T, predicted.T, strict=True)]
    assert clf.score(X, two_columns) == pytest.approx(np.mean(columns))
    assert clf.score(X[120:], two_columns[120:]) > 0.8
    assert [name for name, _ in clf.layers_][-1] == "output"
    assert clf.get_weights()["output/bias"].shape == (5,)


def test_columns_of_names(scenes, two_columns):
    X, *_ = scenes
    names = np.array(["no", "yes", "maybe"])[two_columns]
    plain = quick(max_iter=3).fit(X, two_columns[:, :1] * [[1, 1]] + [[1, 2]])
    assert [list(labels) for labels in plain.classes_] == [[1, 2], [2, 3]]
    clf = quick(max_iter=3).fit(X, pd.DataFrame(names))
    assert [list(labels) for labels in clf.classes_] == [["no", "yes"], ["maybe", "no", "yes"]]
    assert set(clf.predict(X)[:, 0]) <= {"no", "yes"}
    assert clf.score(X, names) == pytest.approx(np.mean(clf.predict(X) == names))


def test_columns_of_two_labels_that_are_not_0_and_1(scenes, two_columns):
    """scikit-learn calls these an indicator."""
    X, *_ = scenes
    Y = np.where(two_columns > 0, 1, -1)
    clf = quick(max_iter=15).fit(X, Y)
    assert [list(labels) for labels in clf.classes_] == [[-1, 1], [-1, 1]]
    assert set(np.unique(clf.predict(X))) == {-1, 1}
    assert clf.score(X, Y) > 0.8


def test_columns_in_parts(scenes, two_columns):
    X, *_ = scenes
    classes = [[1, 0], [2, 0, 1]]
    clf = quick(max_iter=3).fit(X, two_columns)
    parts = quick()
    for _ in range(3):
        parts.partial_fit(X, two_columns, classes=classes)
    np.testing.assert_array_equal(parts.predict_proba(X)[1], clf.predict_proba(X)[1])
    few = two_columns[:, 1] < 2  # what is left looks like an indicator
    parts.partial_fit(X[few], two_columns[few])
    with pytest.raises(ValueError, match="is not the same as on the first"):
        parts.partial_fit(X, two_columns, classes=[[0, 1], [0, 1]])


def test_columns_in_tools(scenes, two_columns):
    X, *_ = scenes
    clf = quick(max_iter=12)
    assert cross_val_score(clf, X, two_columns, cv=2).min() > 0.7
    both = make_scorer(lambda y, predicted: np.mean((y == predicted).all(axis=1)))
    grid = {"dense1__units": [1, 24]}
    search = GridSearchCV(clf, grid, scoring=both, cv=2).fit(X, two_columns)
    assert search.best_params_ == {"dense1__units": 24}
    early = quick(early_stopping=True, max_iter=4).fit(X, two_columns)
    held = np.array(early.validation_scores_) * 16 * 2
    np.testing.assert_allclose(held, np.round(held), atol=1e-9)


def test_weights_of_classes_in_columns(scenes, two_columns):
    """The weights of a sample's classes are multiplied, as by scikit-learn."""
    X, *_ = scenes
    params = dict(max_iter=2, batch_size=1000)
    weighted = quick(class_weight=[{0: 1, 1: 3}, {0: 1, 1: 2, 2: 5}], **params)
    weighted.fit(X, two_columns)
    factor = np.array([1, 3])[two_columns[:, 0]] * np.array([1, 2, 5])[two_columns[:, 1]]
    other = quick(**params).fit(X, two_columns, sample_weight=factor)
    for a, b in zip(weighted.predict_proba(X), other.predict_proba(X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


# ---------------------------------------------------------------------------
# Maps of labels
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_maps_of_labels(scenes):
    X, masks, *_ = scenes
    names = np.array(["back", "dark", "light"])[masks]
    clf = per_pixel(early_stopping=True).fit(X[:120], names[:120])
    assert list(clf.classes_) == ["back", "dark", "light"]
    predicted, P = clf.predict(X), clf.predict_proba(X)
    assert predicted.shape == (160, 12, 12)
    assert P.shape == (160, 12, 12, 3)
    np.testing.assert_allclose(P.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(clf.classes_[P.argmax(axis=-1)], predicted)
    assert clf.score(X, names) == pytest.approx(np.mean(predicted == names))
    assert clf.score(X[120:], names[120:]) > 0.92 > np.mean(masks == 0) + 0.05
    right = (predicted == names).mean(axis=(1, 2))
    weight = np.arange(160)
    expected = np.average(right, weights=weight)
    assert clf.score(X, names, sample_weight=weight) == pytest.approx(expected)
    output = clf.layers_[-1]
    assert output[0] == "output"
    assert isinstance(output[1], Conv2D)
    assert clf.get_weights()["output/weight"].shape == (1, 1, 8, 3)
    pixels = np.array(clf.validation_scores_) * 12 * 144
    np.testing.assert_allclose(pixels, np.round(pixels), atol=1e-6)


def test_an_expanding_network(scenes):
    X, masks, *_ = scenes
    layers = [
        Conv2D(8, 3, padding="same"),
        MaxPool2D(2),
        Conv2D(8, 3, padding="same"),
        ConvTranspose2D(8, 2, stride=2),
    ]
    clf = quick(layers=layers, loss=Focal(), max_iter=20).fit(X, masks)
    assert clf.predict(X).dtype == masks.dtype
    assert clf.score(X, masks) > 0.9
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


def test_maps_of_volumes():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(20, 3, 4, 5, 1))
    masks = (X[..., 0] > 0).astype(int)
    clf = quick(layers=[Conv3D(2, 1)], max_iter=90).fit(X, masks)
    assert isinstance(clf.layers_[-1][1], Conv3D)
    assert clf.predict_proba(X).shape == (20, 3, 4, 5, 2)
    assert clf.score(X, masks) > 0.9
    Y = np.stack([X[..., 0], 2 * X[..., 0]], axis=-1)
    reg = quick(ConvNetRegressor, [Conv3D(4, 1)], max_iter=90).fit(X, Y)
    assert reg.predict(X).shape == Y.shape
    assert reg.score(X, Y) > 0.7


def test_the_loss_is_the_mean_over_pixels(scenes):
    X, masks, *_ = scenes
    clf = quick(layers=[Conv2D(2, 1)], optimizer=SGD(1e-12), max_iter=1).fit(X, masks)
    P = np.take_along_axis(clf.predict_proba(X), masks[..., None].astype(int), -1)
    assert clf.loss_ == pytest.approx(-np.log(P).mean(), rel=1e-5)


def test_maps_in_parts_and_weights(scenes):
    X, masks, *_ = scenes
    clf = per_pixel(max_iter=2).fit(X, masks)
    parts = per_pixel()
    for _ in range(2):
        parts.partial_fit(X, masks, classes=[0, 1, 2])
    np.testing.assert_array_equal(parts.predict_proba(X), clf.predict_proba(X))
    weight = np.arange(160) % 3
    params = dict(batch_size=1000, dtype="float64", max_iter=3, class_weight="balanced")
    a = per_pixel(**params).fit(X, masks, sample_weight=weight)
    b = per_pixel(**params).fit(np.repeat(X, weight, axis=0), np.repeat(masks, weight, axis=0))
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), rtol=1e-6)


def test_weights_of_classes_are_those_of_pixels(scenes):
    X, masks, *_ = scenes
    share = {
        name: np.mean(per_pixel(class_weight=weight, max_iter=3).fit(X, masks).predict(X) == 0)
        for name, weight in [("more", {0: 5.0}), ("equal", None), ("less", {0: 0.01})]
    }
    assert share["more"] > share["equal"] > share["less"]
    # Of the mean over pixels of w loss, divided by the mean of w.
    weight = np.array([1.0, 4.0, 0.0])
    clf = quick(layers=[Conv2D(2, 1)], optimizer=SGD(1e-12), max_iter=1)
    clf.set_params(class_weight=dict(enumerate(weight))).fit(X, masks)
    P = np.take_along_axis(clf.predict_proba(X), masks[..., None].astype(int), -1)[..., 0]
    expected = np.average(-np.log(P), weights=weight[masks])
    assert clf.loss_ == pytest.approx(expected, rel=1e-5)


def test_pixels_without_weight_do_not_count(scenes):
    """As the void class of a data set for segmentation."""
    X, masks, *_ = scenes
    other = masks.copy()
    other[:, ::3] = 7
    clf = per_pixel(class_weight={7: 0}).fit(X, other)
    assert not np.any(clf.predict(X) == 7)


# ---------------------------------------------------------------------------
# Points and maps of values
# ---------------------------------------------------------------------------


@pytest.mark.oldest
@pytest.mark.parametrize("shape", [(2, 2), (4,)], ids=["an axis of points", "side by side"])
def test_points(scenes, shape):
    X, *_, corners = scenes
    Y = corners.reshape(-1, *shape)
    reg = quick(ConvNetRegressor, target="points", max_iter=40).fit(X[:120], Y[:120])
    predicted = reg.predict(X)
    assert predicted.shape == Y.shape
    assert reg.n_outputs_ == 4
    rows = (160, 4)
    weighted = dict(multioutput="variance_weighted")
    expected = r2_score(Y.reshape(rows), predicted.reshape(rows), **weighted)
    assert reg.score(X, Y) == expected
    assert reg.score(X[120:], Y[120:]) > 0.4
    plain = dict(max_iter=40, normalize_y=False)
    values = quick(ConvNetRegressor, **plain).fit(X[:120], corners[:120].reshape(-1, 4))
    points = quick(ConvNetRegressor, target="points", **plain).fit(X[:120], Y[:120])
    np.testing.assert_array_equal(values.predict(X), points.predict(X).reshape(rows))


@pytest.mark.oldest
def test_maps_of_values(scenes):
    X, masks, *_ = scenes
    Y = masks.astype(float)
    reg = per_pixel(ConvNetRegressor, target="maps", early_stopping=True).fit(X[:120], Y[:120])
    predicted = reg.predict(X)
    assert predicted.shape == Y.shape
    assert predicted.dtype == np.float32
    assert reg.n_outputs_ == 1
    rows = (160, 144)
    maps = Y.reshape(rows), predicted.reshape(rows)
    assert reg.score(X, Y) == r2_score(*maps, multioutput="variance_weighted")
    assert np.mean((predicted - Y)[120:] ** 2) < 0.03 < np.var(Y[120:])
    values = per_pixel(ConvNetRegressor, early_stopping=True).fit(X[:120], Y[:120])
    np.testing.assert_array_equal(values.predict(X), predicted)


def test_maps_of_several_values(scenes):
    X, masks, *_ = scenes
    Y = np.stack([masks, X], axis=-1)
    reg = per_pixel(ConvNetRegressor, max_iter=20).fit(X, Y)
    assert reg.predict(X).shape == Y.shape
    assert reg.n_outputs_ == 2
    assert np.mean((reg.predict(X) - Y) ** 2) < 0.03
    residual = reg.set_params(optimizer=SGD(1e-12), max_iter=1).fit(X, Y).predict(X) - Y
    residual = residual / Y.std(axis=(0, 1, 2), dtype=float)
    assert reg.loss_ == pytest.approx(0.5 * np.mean(residual**2), rel=1e-5)
    counts = per_pixel(ConvNetRegressor, loss="poisson", max_iter=3).fit(X, masks)
    assert counts.predict(X).min() > 0


# ---------------------------------------------------------------------------
# What moves with an augmented image
# ---------------------------------------------------------------------------


class Mirror:
    """An augmentation that mirrors left and right and writes down what it was given."""

    def augment(self, X, *, points=None, label_maps=None, random_state=None, n_threads=None):
        self.seen = points, label_maps, random_state
        if points is not None:
            points = points * [-1, 1] + [X.shape[2] - 1, 0]
        if label_maps is not None:
            label_maps = label_maps[:, :, ::-1]
        return X[:, :, ::-1], points, label_maps


@pytest.fixture
def mirror():
    return Mirror()


IMAGES = np.random.RandomState(0).normal(size=(3, 4, 8)).astype(np.float32)


def test_labels_and_values_stay(mirror):
    for target in (ClassTarget(np.arange(3)), ValueMapTarget((4, 8), moves=False)):
        given = np.arange(3)
        X, kept = target.augmented(mirror, IMAGES, given, "a generator")
        assert mirror.seen == (None, None, "a generator")
        np.testing.assert_array_equal(X, IMAGES[:, :, ::-1])
        assert kept is given


@pytest.mark.parametrize(
    ("target", "dtype"),
    [(LabelMapTarget(np.arange(3), (4, 8)), np.uint8), (ValueMapTarget((4, 8), True), float)],
)
def test_maps_move(mirror, target, dtype):
    maps = np.random.RandomState(0).randint(3, size=(3, 4, 8)).astype(dtype)
    X, moved = target.augmented(mirror, IMAGES, maps, None)
    np.testing.assert_array_equal(moved, maps[:, :, ::-1])
    np.testing.assert_array_equal(X, IMAGES[:, :, ::-1])
    assert moved.dtype == dtype


def test_points_move_in_their_units(mirror):
    """In an image of 8 x 4 pixels the left edge is at -1/2, the right one at 7 1/2."""
    shares = np.array([[0.0, 0.5, 0.25, 1.0]] * 3, np.float32)
    X, moved = PointTarget((4,), "share").augmented(mirror, IMAGES, shares, None)
    np.testing.assert_allclose(mirror.seen[0][0], [[-0.5, 1.5], [1.5, 3.5]])
    np.testing.assert_allclose(moved[0], [1.0, 0.5, 0.75, 1.0])
    assert moved.dtype == np.float32
    np.testing.assert_array_equal(X, IMAGES[:, :, ::-1])
    pixels = np.array([[-0.5, 1.5, 1.5, 3.5]] * 3)
    _, moved = PointTarget((2, 2), "pixels").augmented(mirror, IMAGES, pixels, None)
    np.testing.assert_allclose(moved[0], [7.5, 1.5, 5.5, 3.5])


def test_boxes_move_and_stay_upright(mirror):
    target = BoxTarget(np.arange(3), 4, "share", False)
    encoded = np.array([[2, 0.1, 0.2, 0.4, 0.6], [0, *[np.nan] * 4], [1, 0, 0, 1, 1]])
    _, moved = target.augmented(mirror, IMAGES, encoded, None)
    np.testing.assert_allclose(moved[0], [2, 0.6, 0.2, 0.9, 0.6])
    np.testing.assert_array_equal(moved[1], encoded[1])
    np.testing.assert_allclose(moved[2], [1, 0, 0, 1, 1], atol=1e-12)
    target = BoxTarget(np.arange(3), 8, "pixels", False)
    corners = np.array([[1, 1, 0, 3, 0, 3, 2, 1, 2]] * 3, float)
    _, moved = target.augmented(mirror, IMAGES, corners, None)
    np.testing.assert_array_equal(moved[0], [1, 6, 0, 4, 0, 4, 2, 6, 2])


@pytest.mark.parametrize("units", ["share", "pixels"])
@pytest.mark.parametrize("n_coordinates", [4, 8])
def test_boxes_and_masks_follow_the_image(units, n_coordinates):
    """Their middles, to half a pixel, where images are turned, moved, enlarged and mirrored."""
    rng = np.random.RandomState(0)
    X, boxes = np.zeros((20, 30, 40, 1), np.float32), np.empty((20, 4))
    for i in range(20):
        (top, left), (height, width) = rng.randint(9, 14, 2), rng.randint(5, 9, 2)
        X[i, top : top + height, left : left + width] = 1
        boxes[i] = [left, top, left + width, top + height]
    boxes = boxes / [40, 30, 40, 30] if units == "share" else boxes - 0.5
    if n_coordinates == 8:
        boxes = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    moves = RandomAffine(
        rotation=(0, 360), translation=(-3, 3), scale=(0.8, 1.25), flip=0.5, stretch=(0.8, 1.25)
    )
    target = BoxTarget(np.arange(20), n_coordinates, units, False)
    encoded = np.column_stack([np.arange(20), boxes])
    moved, new = target.augmented(moves, X, encoded, np.random.RandomState(1))
    np.testing.assert_array_equal(new[:, 0], np.arange(20))
    middles = new[:, 1:].reshape(20, -1, 2).mean(axis=1)
    middles = middles * [40, 30] - 0.5 if units == "share" else middles
    ink = moved[..., 0] / moved.sum(axis=(1, 2, 3))[:, None, None]
    seen = np.einsum("nyx,cyx->nc", ink, np.indices((30, 40))[::-1])
    assert np.abs(middles - seen).max() < 0.5
    assert np.abs(new - encoded).max() > 0.1
    masks = LabelMapTarget(np.arange(2), (30, 40))
    _, mask = masks.augmented(moves, X, X[..., 0].astype(np.uint8), np.random.RandomState(1))
    assert mask.dtype == np.uint8
    assert np.mean(mask == (moved[..., 0] > 0.5)) > 0.99


def test_an_encoded_target_is_one_array():
    """Samples first, so that a batch is `target[rows]`."""
    labels = np.array(["a", "b", "a"])
    with_boxes = check_labels_and_boxes(labels, np.arange(12).reshape(3, 4), None)
    for y in (labels, np.eye(3, dtype=int), [[1, 2], [3, 2], [1, 0]], np.ones((3, 2, 2), int)):
        y = check_labels(y)
        encoded = label_target(y).encode(y, np.float32)
        assert isinstance(encoded, np.ndarray)
        assert len(encoded) == 3
    encoded = label_target(with_boxes).encode(with_boxes, np.float32)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, [[0, 0, 1, 2, 3], [1, 4, 5, 6, 7], [0, 8, 9, 10, 11]])


# ---------------------------------------------------------------------------
# What does not fit
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "seen"),
    [
        ([Conv2D(3, 3)], "maps of 10 x 10"),
        ([Conv2D(3, 3, padding="same"), MaxPool2D(2)], "maps of 6 x 6"),
        ([Flatten()], r"shape \(144,\)"),
        ([Conv2D(3, 3), GlobalAvgPool()], r"shape \(3,\)"),
        (None, r"shape \(128,\)"),
    ],
)
def test_maps_of_another_size(scenes, layers, seen):
    X, masks, *_ = scenes
    message = rf"y holds maps of 12 x 12, but the layers end in {seen}.*ConvTranspose2D"
    for estimator in (ConvNetClassifier, ConvNetRegressor):
        with pytest.raises(ValueError, match=message):
            estimator(layers).fit(X, masks)


def test_one_hot_masks(scenes):
    X, masks, *_ = scenes
    one_hot = np.eye(2)[(masks > 0).astype(int)]
    with pytest.raises(ValueError, match=r"one-hot, give labels, y\.argmax\(-1\)"):
        ConvNetClassifier([Conv2D(3, 3, padding="same")]).fit(X, one_hot)


def test_points_that_are_taken_for_maps(scenes):
    X, *_, corners = scenes
    with pytest.raises(ValueError, match=r"set target='points'"):
        quick(ConvNetRegressor).fit(X, corners)
