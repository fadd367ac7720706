"""A class and a box in one network."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
import warnings

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.augmentation import RandomAffine, RandomFlip
from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D
from sklearn_convnet.metrics import box_iou
from sklearn_convnet.optimizers import SGD, Adam


def same_weights(a, b):
    a, b = a.get_weights(), b.get_weights()
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def scenes():
    """Images (12, 12) with a rectangle, its shade as a label, and its corners as shares."""
    rng = np.random.RandomState(0)
    n = 200
    X, boxes = np.zeros((n, 12, 12), np.float32), np.empty((n, 8))
    shade = np.arange(n) % 2
    for i in range(n):
        (height, width), (y1, x1) = rng.randint(3, 7, 2), rng.randint(0, 6, 2)
        y2, x2 = y1 + height, x1 + width
        X[i, y1:y2, x1:x2] = 1 + shade[i]
        boxes[i] = [x1, y1, x2, y1, x2, y2, x1, y2]
    X += 0.1 * rng.normal(size=X.shape).astype(np.float32)
    return X, np.array(["dark", "light"])[shade], boxes / 12


@pytest.fixture
def quick():
    def make(**params):
        layers = [("conv1", Conv2D(8, 3)), MaxPool2D(2), ("dense1", Dense(32))]
        fast = dict(optimizer=Adam(0.01), batch_size=20, max_iter=50, random_state=0)
        return ConvNetClassifier(layers, **{**fast, **params})

    return make


def in_columns(names, boxes):
    """Label and box as one numeric y."""
    return np.column_stack([names == "light", boxes])


def close(y, predicted, most=0.15):
    """Right class, and corners that are near: what a score for localisation asks."""
    right = y[:, 0] == predicted[:, 0]
    return np.mean(right & (np.abs(y[:, 1:] - predicted[:, 1:]).mean(axis=1) < most))


# ---------------------------------------------------------------------------
# Both ways of giving boxes
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_boxes_beside_names(scenes, quick):
    X, names, boxes = scenes
    clf = quick().fit(X[:150], names[:150], boxes=boxes[:150])
    assert list(clf.classes_) == ["dark", "light"]
    assert clf.predict(X).shape == (200,)
    assert clf.predict_proba(X).shape == (200, 2)
    found = clf.predict_box(X)
    assert found.shape == (200, 8)
    assert found.dtype == np.float32
    assert clf.score(X[150:], names[150:]) > 0.9
    assert np.abs(found - boxes)[150:].mean() < 0.08
    assert [name for name, _ in clf.layers_][-2:] == ["output", "box"]
    shapes = {path: a.shape for path, a in clf.get_weights().items() if "dense" not in path}
    assert shapes["output/weight"] == (32, 2)
    assert shapes["box/weight"] == (32, 8)
    rows = [line.split()[0] for line in str(clf.summary()).splitlines()]
    assert rows[rows.index("total") - 3 :][:2] == ["output", "box"]
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_box(X), found)


@pytest.mark.oldest
def test_boxes_in_the_columns_of_y(scenes, quick):
    X, names, boxes = scenes
    Y = in_columns(names, boxes)
    clf = quick(box_weight=2.0).fit(X, Y)
    beside = quick(box_weight=2.0).fit(X, names, boxes=boxes)
    assert same_weights(clf, beside)
    predicted = clf.predict(X)
    assert predicted.shape == Y.shape
    assert list(clf.classes_) == [0, 1]
    np.testing.assert_array_equal(predicted[:, 0] == 1, beside.predict(X) == "light")
    np.testing.assert_array_equal(predicted[:, 1:], clf.predict_box(X))
    assert clf.score(X, Y) == np.mean(predicted[:, 0] == Y[:, 0])
    assert clf.score(X, Y[:, 0]) == clf.score(X, Y)
    assert close(Y, predicted) > 0.8


def test_two_corners(scenes, quick):
    X, names, boxes = scenes
    two = boxes[:, [0, 1, 4, 5]]
    clf = quick().fit(X, names, boxes=two)
    assert clf.predict_box(X).shape == (200, 4)
    assert np.abs(clf.predict_box(X) - two).mean() < 0.08
    columns = quick(box_weight=1).fit(X, in_columns(names, two))
    assert same_weights(clf, columns)


@pytest.mark.oldest
def test_cross_validation(scenes, quick):
    X, names, boxes = scenes
    Y = in_columns(names, boxes)
    clf = quick(box_weight=5.0)
    scores = cross_val_score(clf, X, Y, scoring=make_scorer(close), cv=2)
    assert scores.min() > 0.6
    grid = {"box_weight": [0.0, 5.0]}
    search = GridSearchCV(clf, grid, scoring=make_scorer(close), cv=2).fit(X, Y)
    assert search.best_params_ == {"box_weight": 5.0}
    assert search.score(X, Y) > 0.8


def test_searches_slice_boxes_along(scenes, quick):
    X, names, boxes = scenes
    search = GridSearchCV(quick(), {"box_weight": [1.0]}, cv=2).fit(X, names, boxes=boxes)
    assert search.best_score_ > 0.9
    assert np.abs(search.best_estimator_.predict_box(X) - boxes).mean() < 0.08
    found = cross_validate(quick(), X, names, cv=2, params={"boxes": boxes}, return_estimator=True)
    for model in found["estimator"]:
        assert np.abs(model.predict_box(X) - boxes).mean() < 0.1


def test_routing_of_boxes(scenes, quick):
    X, names, boxes = scenes
    with sklearn.config_context(enable_metadata_routing=True):
        clf = quick(max_iter=2).set_fit_request(boxes=True)
        pipe = make_pipeline(FunctionTransformer(), clf).fit(X, names, boxes=boxes)
    plain = quick(max_iter=2).fit(X, names, boxes=boxes)
    assert same_weights(pipe[-1], plain)


# ---------------------------------------------------------------------------
# The loss
# ---------------------------------------------------------------------------


def cross_entropy(clf, X, names):
    P = clf.predict_proba(X)
    return -np.log(P[np.arange(len(X)), np.searchsorted(clf.classes_, names)])


def test_the_loss_is_a_sum(scenes):
    X, names, boxes = scenes
    boxes = boxes.copy()
    boxes[::4] = np.nan
    clf = ConvNetClassifier([Dense(6)], optimizer=SGD(1e-12), max_iter=1, box_weight=0.7)
    clf.fit(X, names, boxes=boxes)
    squares = np.nansum((clf.predict_box(X) - boxes) ** 2, axis=1)
    expected = np.mean(cross_entropy(clf, X, names) + 0.7 * squares / 2)
    assert clf.loss_ == pytest.approx(expected, rel=1e-5)


def test_a_missing_box_carries_no_loss(scenes, quick):
    """Nor any gradient: without boxes, all else learns what it learns without a box output."""
    X, names, boxes = scenes
    clf = quick(max_iter=2, shuffle=False).fit(X, names, boxes=np.full_like(boxes, np.nan))
    plain = quick(max_iter=2, shuffle=False).fit(X, names)
    for path, array in plain.get_weights().items():
        np.testing.assert_array_equal(clf.get_weights()[path], array)
    assert not clf.get_weights()["box/bias"].any()
    some = boxes.copy()
    missing = np.arange(200) % 3 == 0
    some[missing] = np.nan
    clf = quick(box_weight=1.0).fit(X, names, boxes=some)
    error, spread = np.abs(clf.predict_box(X) - boxes), np.abs(boxes.mean(axis=0) - boxes)
    assert error[missing].mean() < 0.8 * spread.mean()  # of those that it was never told
    assert error[~missing].mean() < 0.5 * spread.mean()


def test_a_number_that_says_missing(scenes, quick):
    X, names, boxes = scenes
    some, coded = boxes.copy(), boxes.copy()
    some[::3], coded[::3] = np.nan, -1
    coded[1, 0] = -1  # one coordinate alone says nothing
    some[1, 0] = -1
    expected = quick(max_iter=3, box_weight=1).fit(X, names, boxes=some)
    for y, given in [(names, {"boxes": coded}), (in_columns(names, coded), {})]:
        clf = quick(max_iter=3, box_weight=1, missing_box=-1).fit(X, y, **given)
        assert same_weights(clf, expected)
    assert np.isfinite(clf.predict(X)).all()


def test_a_box_of_weight_zero_is_not_learnt(scenes, quick):
    X, names, boxes = scenes
    weights = [
        quick(max_iter=2, box_weight=0).fit(X, names, boxes=given).get_weights()
        for given in (boxes, 1 - boxes)
    ]
    assert all(np.array_equal(weights[0][path], weights[1][path]) for path in weights[0])


def test_weights_with_boxes(scenes, quick):
    X, names, boxes = scenes
    weight = np.arange(200) % 3
    params = dict(batch_size=1000, dtype="float64", max_iter=3, class_weight={"light": 2})
    a = quick(**params).fit(X, names, sample_weight=weight, boxes=boxes)
    repeated = (np.repeat(given, weight, axis=0) for given in (X, names))
    b = quick(**params).fit(*repeated, boxes=np.repeat(boxes, weight, axis=0))
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), rtol=1e-6)
    np.testing.assert_allclose(a.predict_box(X), b.predict_box(X), rtol=1e-6)


# ---------------------------------------------------------------------------
# The course of a fit
# ---------------------------------------------------------------------------


def test_partial_fit_and_warm_start(scenes, quick):
    X, names, boxes = scenes
    clf = quick(max_iter=3).fit(X, names, boxes=boxes)
    parts = quick()
    for _ in range(3):
        parts.partial_fit(X, names, classes=["dark", "light"], boxes=boxes)
    assert same_weights(clf, parts)
    columns = quick(box_weight=1.0)
    for _ in range(3):
        columns.partial_fit(X, in_columns(names, boxes), classes=[0, 1])
    assert same_weights(columns, parts)
    warm = clone(clf).set_params(warm_start=True, max_iter=2).fit(X, names, boxes=boxes)
    loss = warm.loss_
    assert warm.fit(X, names, boxes=boxes).loss_ < loss
    assert (warm.n_iter_, len(warm.loss_curve_)) == (2, 4)


def test_early_stopping_with_boxes(scenes, quick):
    """Stratified by label; the score is that of labels."""
    X, names, boxes = scenes
    clf = quick(early_stopping=True, validation_fraction=0.2).fit(X, names, boxes=boxes)
    assert np.allclose(np.array(clf.validation_scores_) * 40 % 1, 0)
    assert clf.best_validation_score_ > 0.85


def test_threads_change_no_bit(scenes, quick):
    X, names, boxes = scenes
    one, two = (
        quick(max_iter=2, n_threads=n).fit(X, names, boxes=boxes).predict_box(X) for n in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def test_without_boxes_there_is_no_box(scenes, quick):
    X, names, _ = scenes
    clf = quick(max_iter=1).fit(X, names)
    with pytest.raises(ValueError, match=r"predict_box needs.*boxes="):
        clf.predict_box(X)


# ---------------------------------------------------------------------------
# Outlines
# ---------------------------------------------------------------------------

NUMBERINGS = [list(np.roll(order, k)) for order in ([0, 1, 2, 3], [3, 2, 1, 0]) for k in range(4)]


def renumbered(boxes, seed=0):
    """The same outlines, their corners numbered in any way."""
    order = np.array(NUMBERINGS)[np.random.RandomState(seed).randint(8, size=len(boxes))]
    corners = np.take_along_axis(boxes.reshape(-1, 4, 2), order[:, :, None], axis=1)
    return corners.reshape(len(boxes), 8)


@pytest.mark.oldest
def test_numberings_of_corners_make_no_difference(scenes, quick):
    X, names, boxes = scenes
    params = dict(max_iter=30, box_weight=5.0)
    clf = quick(**params).fit(X[:150], names[:150], boxes=boxes[:150])
    other = quick(**params).fit(X[:150], names[:150], boxes=renumbered(boxes[:150]))
    a, b = (box_iou(boxes[150:], model.predict_box(X[150:])) for model in (clf, other))
    np.testing.assert_allclose(a, b, rtol=0.02, atol=0.02)
    assert a.mean() > 0.6
    ordered = quick(box_corners="ordered", **params)
    ordered.fit(X[:150], names[:150], boxes=renumbered(boxes[:150]))
    assert box_iou(boxes[150:], ordered.predict_box(X[150:])).mean() < 0.3


@pytest.mark.oldest
@pytest.mark.parametrize(
    "augmentation", [RandomFlip(0.5, 0.5), RandomAffine(rotation=(0, 360))], ids=["flip", "turn"]
)
def test_outlines_do_not_collapse(augmentation):
    """Upright rectangles in the middle of images, which are mirrored or turned."""
    rng = np.random.RandomState(0)
    X, boxes = np.zeros((300, 20, 20), np.float32), np.empty((300, 8))
    for i in range(300):
        (height, width), (y1, x1) = rng.randint(5, 9, 2), rng.randint(3, 9, 2)
        y2, x2 = y1 + height, x1 + width
        X[i, y1:y2, x1:x2] = 1
        boxes[i] = [x1, y1, x2, y1, x2, y2, x1, y2]
    layers = [Conv2D(8, 3), MaxPool2D(2), Conv2D(16, 3), MaxPool2D(2), Dense(48)]
    clf = ConvNetClassifier(
        layers,
        optimizer=Adam(3e-3),
        batch_size=25,
        max_iter=60,
        augmentation=augmentation,
        random_state=0,
        box_weight=10.0,
    )
    clf.fit(X[:250], np.arange(250) % 2, boxes=boxes[:250] / 20)
    assert box_iou(boxes[250:] / 20, clf.predict_box(X[250:])).mean() > 0.55


def test_boxes_in_pixels_for_shares_are_said(scenes, quick):
    X, y, boxes = scenes
    with pytest.warns(UserWarning, match="boxes should be shares .* set box_units='pixels'"):
        quick().fit(X, y, boxes=24 * boxes)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        quick().fit(X, y, boxes=boxes)
        quick(box_units="pixels").fit(X, y, boxes=24 * boxes)


def test_boxes_begin_as_the_mean_box(scenes, quick):
    X, names, boxes = scenes
    still = dict(optimizer=SGD(1e-12), max_iter=1, dtype="float64")
    weight = np.arange(200) % 3
    weight[boxes[:, 0] > 0.3] = 0
    some = boxes.copy()
    some[::5] = np.nan
    counted = weight * ~np.isnan(some[:, 0])
    expected = np.average(boxes, axis=0, weights=counted)
    for box_corners in ("outline", "ordered"):
        clf = quick(box_corners=box_corners, **still).fit(X, names, weight, boxes=some)
        np.testing.assert_allclose(clf.predict_box(X), np.tile(expected, (200, 1)), rtol=1e-6)
    clf = quick(**still).fit(X, names, weight, boxes=renumbered(some))
    found = box_iou(clf.predict_box(X), np.tile(expected, (200, 1)))
    np.testing.assert_allclose(found, 1, rtol=1e-6)
    two = quick(**still).fit(X, names, weight, boxes=some[:, [4, 5, 0, 1]])  # upside down
    expected = expected[[0, 1, 4, 5]]
    np.testing.assert_allclose(two.predict_box(X)[0], expected, rtol=1e-6)
    nowhere = quick(max_iter=1).fit(X, names, boxes=boxes * np.nan)
    assert np.isfinite(nowhere.predict_box(X)).all()


@pytest.mark.parametrize("first", ["all missing", "no weight"])
def test_boxes_that_come_later_begin_then(scenes, quick, first):
    X, names, boxes = scenes
    classes = ["dark", "light"]
    params = dict(optimizer=SGD(1e-12), dtype="float64")
    if first == "no weight":
        clf = quick(box_weight=0, **params).partial_fit(X, names, classes, boxes=boxes)
    else:
        clf = quick(**params).partial_fit(X, names, classes, boxes=boxes * np.nan)
    clf.set_params(box_weight=1.0).partial_fit(X, names, boxes=boxes)
    mean = np.tile(boxes.mean(axis=0), (200, 1))
    np.testing.assert_allclose(box_iou(clf.predict_box(X), mean), 1, rtol=1e-6)
    clf.partial_fit(X, names, boxes=boxes / 2)  # only once
    np.testing.assert_allclose(box_iou(clf.predict_box(X), mean), 1, rtol=1e-6)


@pytest.mark.parametrize("how", ["init_from", "set_weights"])
def test_boxes_that_come_later_go_on_from_weights_of_others(scenes, quick, how):
    X, names, boxes = scenes
    learnt = quick(max_iter=2).fit(X, names, boxes=boxes).get_weights()
    params = dict(optimizer=SGD(1e-12), dtype="float64")
    if how == "init_from":
        params["init_from"] = learnt
    clf = quick(**params).partial_fit(X, names, ["dark", "light"], boxes=boxes * np.nan)
    if how == "set_weights":
        clf.set_weights(learnt)
    clf.partial_fit(X, names, boxes=boxes)
    for path, array in clf.get_weights().items():
        np.testing.assert_allclose(array, learnt[path], atol=1e-6, err_msg=path)


def test_weights_that_are_none_yet_begin_later(scenes, quick):
    X, names, boxes = scenes
    params = dict(optimizer=SGD(1e-12), dtype="float64")
    clf = quick(**params).partial_fit(X, names, ["dark", "light"], boxes=boxes * np.nan)
    clf.set_weights(clf.get_weights()).partial_fit(X, names, boxes=boxes)
    mean = np.tile(boxes.mean(axis=0), (200, 1))
    np.testing.assert_allclose(box_iou(clf.predict_box(X), mean), 1, rtol=1e-6)


def test_bad_box_corners(scenes, quick):
    X, names, boxes = scenes
    with pytest.raises(ValueError, match=r"'box_corners'.*'outline'"):
        quick(box_corners="upright").fit(X, names, boxes=boxes)
