"""Augmentation and crops as parameters of the estimators."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import layer_cases as cases
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import Compose, GaussianNoise, RandomAffine, RandomFlip
from sklearn_convnet.estimators.targets.values import PointTarget
from sklearn_convnet.inspection import AugmentationDisplay
from sklearn_convnet.layers import Conv1D, Conv2D, Dense, Flatten, GlobalAvgPool, Standardize
from sklearn_convnet.multi_crop import CentreCrop, MultiCrop
from sklearn_convnet.optimizers import SGD


def quick(estimator, **params):
    return clone(estimator).set_params(max_iter=2, batch_size=20, random_state=0, **params)


@pytest.fixture
def clf():
    return quick(ConvNetClassifier([("conv1", Conv2D(4, 3)), GlobalAvgPool(), Dense(8)]))


def halves(n=40, size=6, seed=0):
    """Images that are bright on the left (0) or on the right (1)."""
    rng = np.random.RandomState(seed)
    y = np.arange(n) % 2
    X = rng.uniform(0, 0.2, (n, size, size)).astype(np.float32)
    for image, right in zip(X, y, strict=True):
        image[:, size // 2 :] += right
        image[:, : size // 2] += 1 - right
    return X, y


# ---------------------------------------------------------------------------
# Augmentation
# ---------------------------------------------------------------------------


def test_training_sees_what_the_augmentation_makes():
    # Each image is mirrored, so training learns the opposite of what the labels say.
    X, y = halves()
    clf = ConvNetClassifier(
        [Flatten()],
        augmentation=RandomFlip(horizontal=1.0),
        optimizer=SGD(0.5),
        max_iter=20,
        random_state=0,
    ).fit(X, y)
    assert clf.history_["score"][-1] == 1
    assert clf.score(X, y) == 0
    np.testing.assert_array_equal(clf.predict(X[:, :, ::-1]), y)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_any_dtype_flat_or_shaped(dtype, clf, digits):
    X, y = digits
    X = X.astype(dtype)
    augmentation = RandomAffine(rotation=(-20, 20), translation=(-1, 1))
    shaped = quick(clf, augmentation=augmentation).fit(X, y)
    flat = quick(clf, augmentation=augmentation, input_shape=(8, 8)).fit(X.reshape(-1, 64), y)
    cases.assert_same_bits(shaped.network_.params, flat.network_.params)
    assert shaped.network_.dtype == ("float64" if dtype == "float64" else "float32")


def test_same_seed_same_bits_for_any_number_of_threads(clf, digits):
    X, y = digits
    augmentation = Compose([RandomAffine(rotation=(0, 360), flip=0.5), GaussianNoise(0.1)])
    fits = [
        quick(clf, augmentation=augmentation, n_threads=n_threads).fit(X, y) for n_threads in (1, 3)
    ]
    cases.assert_same_bits(fits[0].network_.params, fits[1].network_.params)
    other = quick(clf, augmentation=augmentation).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(other.network_.params, fits[0].network_.params)
    plain = quick(clf).fit(X, y)
    assert not np.array_equal(plain.network_.params, fits[0].network_.params)


def test_validation_and_predictions_are_not_augmented(clf, digits):
    X, y = digits
    seen = []

    class Watched(RandomFlip):
        def augment(self, X, **options):
            seen.append(len(X))
            return super().augment(X, **options)

    model = quick(clf, augmentation=Watched(1.0))
    model.fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    assert sum(seen) == 2 * 100
    assert model.history_["validation_score"][-1] == model.score(X[100:], y[100:])
    assert sum(seen) == 2 * 100


def test_partial_fit_is_augmented(clf, digits):
    X, y = digits
    augmented, plain = (
        quick(clf, augmentation=augmentation).partial_fit(X, y, classes=range(10))
        for augmentation in (RandomFlip(1.0), None)
    )
    assert not np.array_equal(augmented.network_.params, plain.network_.params)


def test_search_over_augmentation(clf, digits):
    X, y = digits
    model = quick(clf, augmentation=Compose([RandomAffine(rotation=(0, 0)), RandomFlip()]))
    grid = {
        "augmentation__randomaffine1__rotation": [(0, 0), (-10, 10)],
        "augmentation__randomflip1": [RandomFlip(0.0), "passthrough"],
    }
    search = GridSearchCV(model, grid, cv=2).fit(X[:60], y[:60])
    assert len(search.cv_results_["params"]) == 4


def test_points_move_with_the_images():
    # The brightest pixel is looked for; without moving along, half the targets would be wrong.
    rng = np.random.RandomState(0)
    places = rng.randint(8, size=(400, 2))
    X = np.zeros((400, 8, 8), np.float32)
    X[np.arange(400), places[:, 1], places[:, 0]] = 1
    reg = ConvNetRegressor(
        [Flatten()],
        target="points",
        point_units="pixels",
        augmentation=RandomFlip(0.5),
        optimizer=SGD(1.0, momentum=0.9),
        max_iter=60,
        random_state=0,
    ).fit(X, places.astype(np.float32))
    assert reg.score(X, places) > 0.9


def test_images_only():
    X, y = np.zeros((4, 9, 2)), [0, 1, 0, 1]
    signals = ConvNetClassifier([Conv1D(2, 3)], augmentation=RandomFlip())
    with pytest.raises(ValueError, match=r"augmentation=RandomFlip\(\) is for images, but the"):
        signals.fit(X, y)
    quick(signals, augmentation=GaussianNoise(0.1)).fit(X, y)
    with pytest.raises(ValueError, match=r"multi_crop=MultiCrop\(size=2\) is for images, but"):
        quick(signals, augmentation=None, multi_crop=MultiCrop(2)).fit(X, y)


@pytest.mark.parametrize("name", ["augmentation", "multi_crop"])
def test_other_types(name, clf, digits):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of ConvNetClassifier must be"):
        clf.set_params(**{name: "flip"}).fit(*digits)


# ---------------------------------------------------------------------------
# Crops
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_crops", [1, 5, 10])
@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_crops_vote(n_crops, voting, clf, digits):
    X, y = digits
    model = quick(clf, multi_crop=MultiCrop(6, n_crops, voting)).fit(X, y)
    assert model.input_shape_ == (8, 8)
    assert model.network_.input_shape == (6, 6, 1)

    alone = clone(model).set_params(multi_crop=None, input_shape=None).fit(X[:, 1:7, 1:7], y)
    alone.network_.params[:] = model.network_.params
    views = [alone.predict_proba(view) for view in model.multi_crop.views(X)]
    P = model.predict_proba(X)
    assert P.shape == (300, 10)
    np.testing.assert_allclose(P, model.multi_crop.vote(views), rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), model.classes_[P.argmax(axis=1)])


def test_training_sees_crops_and_validation_the_centre():
    X, y = halves(size=8)
    X[:, [0, -1], :] = 100.0  # what crops of the middle never see
    X[:, :, [0, -1]] = 100.0
    X = X[..., np.newaxis]
    layers = [Standardize(), Flatten()]
    clf = ConvNetClassifier(layers, multi_crop=MultiCrop(6, 1), max_iter=1, random_state=0)
    clf.fit(X, y, X_val=X, y_val=y)
    # Statistics are those of the centre.
    mean = clf.network_.buffers()["standardize1/mean"]
    np.testing.assert_allclose(mean, X[:, 1:-1, 1:-1].mean(), rtol=1e-6)
    assert clf.history_["validation_score"][-1] == clf.score(X, y)


def test_values_are_the_mean_over_crops():
    X, y = np.random.RandomState(0).uniform(size=(20, 6, 6)), np.arange(20.0)
    reg = quick(ConvNetRegressor([Conv2D(2, 3)], multi_crop=MultiCrop(4, 5))).fit(X, y)
    weights = reg.get_weights()
    views = list(reg.multi_crop.views(X))
    alone = quick(ConvNetRegressor([Conv2D(2, 3)])).fit(views[0], y)
    for path, array in alone.network_.parameters().items():
        array[...] = weights[path]
    expected = np.mean([alone.predict(view) for view in views], axis=0)
    np.testing.assert_allclose(reg.predict(X), expected, rtol=1e-12)


def on_crops(model, X, y, **given):
    """A fitted model with crops, and the same network without them, which predicts single crops."""
    model = quick(model, dtype="float64").fit(X, y, **given)
    alone = quick(model, multi_crop=None, input_shape=None)
    alone.fit(model.multi_crop.centre(X), y, **given)
    for path, array in alone.network_.parameters().items():
        array[...] = model.network_.parameters()[path]
    return model, alone


def edges_in_image(places, crop, units, size=8, height=5, width=6):
    """Coordinates x, y, ... of a crop where they are in images, as distances in pixels from their
    upper left corner."""
    x, y = places[:, ::2], places[:, 1::2]
    if units == "share":
        x, y = x * width, y * height
    else:
        x, y = x + 0.5, y + 0.5
    x = width - x if crop.mirrored else x
    places = np.stack([x + crop.left, y + crop.top], axis=2).reshape(len(x), -1)
    return places / size if units == "share" else places - 0.5


def boxes_in(X, n_coordinates, units):
    rng = np.random.RandomState(1)
    low, high = rng.uniform(0, 0.4, (len(X), 2)), rng.uniform(0.6, 1, (len(X), 2))
    boxes = np.concatenate([low, high], axis=1)
    if n_coordinates == 8:
        boxes = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    return boxes * 8 - 0.5 if units == "pixels" else boxes


@pytest.mark.parametrize("n_crops", [1, 5, 10])
@pytest.mark.parametrize("units", ["share", "pixels"])
@pytest.mark.parametrize("n_coordinates", [4, 8])
def test_boxes_of_crops_are_moved_back(n_crops, units, n_coordinates):
    X, y = halves(size=8)
    clf = ConvNetClassifier([Conv2D(3, 3), Dense(4)], box_units=units, box_corners="ordered")
    clf.set_params(multi_crop=MultiCrop((5, 6), n_crops))
    model, alone = on_crops(clf, X, y, boxes=boxes_in(X, n_coordinates, units))
    expected = []
    for crop in model.multi_crop.draw((8, 8)):
        found = edges_in_image(alone.predict_box(crop.of(X)), crop, units)
        if n_coordinates == 4:
            x, y = np.sort(found[:, ::2]), np.sort(found[:, 1::2])
            found = np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)
        expected.append(found)
    np.testing.assert_allclose(model.predict_box(X), np.mean(expected, axis=0), rtol=1e-10)
    views = [alone.predict_proba(crop.of(X)) for crop in model.multi_crop.draw((8, 8))]
    np.testing.assert_allclose(model.predict_proba(X), np.mean(views, axis=0), rtol=1e-10)


def test_outlines_of_mirrored_crops_are_numbered_alike():
    X, y = halves(size=8)
    clf = quick(ConvNetClassifier([Conv2D(3, 3), Dense(4)]), multi_crop=MultiCrop((5, 6), 10))
    weights = clf.fit(X, y, boxes=boxes_in(X, 8, "share")).get_weights()
    # The network sees the same upright box in each crop.
    weights["box/weight"][...] = 0
    weights["box/bias"][...] = [0.2, 0.3, 0.7, 0.3, 0.7, 0.9, 0.2, 0.9]
    boxes = clf.set_weights(weights).predict_box(X).reshape(len(X), 4, 2)
    np.testing.assert_allclose(np.ptp(boxes, axis=1), np.tile([3 / 8, 3 / 8], (len(X), 1)), 1e-5)


@pytest.mark.parametrize("units", ["share", "pixels"])
def test_points_of_crops_are_moved_back(units):
    X, _ = halves(size=8)
    points = boxes_in(X, 4, units)
    reg = ConvNetRegressor([Conv2D(3, 3), Dense(4)], target="points", point_units=units)
    reg.set_params(multi_crop=MultiCrop((5, 6), 10), flip_pairs=[(0, 1)])
    model, alone = on_crops(reg, X, points)
    expected = []
    for crop in model.multi_crop.draw((8, 8)):
        found = edges_in_image(alone.predict(crop.of(X)), crop, units)
        expected.append(found[:, [2, 3, 0, 1]] if crop.mirrored else found)
    np.testing.assert_allclose(model.predict(X), np.mean(expected, axis=0), rtol=1e-10)


def test_points_are_validated_where_they_are_in_the_centre():
    X, _ = halves(size=8)
    points = boxes_in(X, 4, "share")
    reg = quick(
        ConvNetRegressor([Conv2D(3, 3), Dense(4)], target="points", dtype="float64"),
        multi_crop=MultiCrop((5, 6), 1),
    )
    reg.fit(X, points, X_val=X, y_val=points)
    # With one crop, a prediction is that of the centre, moved back: as far off in other units.
    off = (reg.predict(X) - points) * 8 / np.tile([6, 5], 2)
    spread = (points - points.mean(axis=0)) * 8 / np.tile([6, 5], 2)
    expected = 1 - np.sum(off**2) / np.sum(spread**2)
    assert reg.validation_scores_[-1] == pytest.approx(expected)


def test_points_are_validated_in_the_centre_of_all_of_one_size_at_once(monkeypatch):
    X, _ = halves(size=8)
    X = [np.pad(image, (0, i % 2)) for i, image in enumerate(X)]
    points, moved = boxes_in(X, 4, "share"), []
    augmented = PointTarget.augmented

    def counted(target, crops, X, *args):
        if isinstance(crops, CentreCrop):
            moved.append(X.shape)
        return augmented(target, crops, X, *args)

    monkeypatch.setattr(PointTarget, "augmented", counted)
    reg = ConvNetRegressor([Conv2D(3, 3), Dense(4)], target="points", dtype="float64")
    reg = quick(reg, multi_crop=MultiCrop((5, 6), 1)).fit(X, points, X_val=X, y_val=points)
    assert moved == [(len(X[::2]), 8, 8), (len(X[1::2]), 9, 9)]
    size = np.array([image.shape[::-1] for image in X])[:, np.newaxis]
    seen, true = (
        (p.reshape(-1, 2, 2) * size - (size - [6, 5]) // 2) / [6, 5]
        for p in (reg.predict(X), points)
    )
    expected = 1 - np.sum((seen - true) ** 2) / np.sum((true - true.mean(axis=0)) ** 2)
    assert reg.validation_scores_[-1] == pytest.approx(expected)


def test_boxes_are_where_training_sees_the_digit():
    X, y = np.zeros((20, 8, 9)), np.arange(20) % 2
    X[:, 3:5, 3:7] = 1
    boxes = np.tile([3 / 9, 3 / 8, 7 / 9, 5 / 8], (20, 1))
    clf = ConvNetClassifier([Dense(2)], multi_crop=MultiCrop((6, 7)))
    shown = AugmentationDisplay.from_estimator(
        clf, X, y, boxes=boxes, n_samples=20, n_draws=1, random_state=0
    )
    for crop, corners in zip(shown.batches[1].reshape(20, 6, 7), shown.corners[1], strict=True):
        rows, columns = np.nonzero(crop)
        bright = [columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5]
        found = [*corners.min(axis=0), *corners.max(axis=0)]
        np.testing.assert_allclose(found, bright)


def test_columns_of_labels_vote_over_crops():
    X, y = halves(size=8)
    y = np.column_stack([y, np.arange(len(y)) % 3])
    clf = ConvNetClassifier([Conv2D(3, 3), Dense(4)], multi_crop=MultiCrop((5, 6), 5))
    model, alone = on_crops(clf, X, y)
    views = [alone.predict_proba(view) for view in model.multi_crop.views(X)]
    for found, of_views in zip(model.predict_proba(X), zip(*views, strict=True), strict=True):
        np.testing.assert_allclose(found, np.mean(of_views, axis=0), rtol=1e-10)


def test_votes_of_places_depend_on_no_batch_and_no_thread():
    X, y = halves(size=8)
    clf = quick(ConvNetClassifier([Conv2D(3, 3), Dense(4)]), multi_crop=MultiCrop(5))
    boxes = boxes_in(X, 8, "share")
    clf.set_params(n_threads=1).fit(X, y, boxes=boxes)
    other = clone(clf).set_params(n_threads=2).fit(X, y, boxes=boxes)
    whole = clf.predict_box(X)
    np.testing.assert_array_equal(other.predict_box(X), whole)
    one_by_one = [clf.predict_box(X[i : i + 1])[0] for i in range(len(X))]
    np.testing.assert_array_equal(one_by_one, whole)


def test_images_of_unequal_size_have_boxes_in_crops():
    X, y = halves(size=8)
    X = [np.pad(image, (0, i % 2)) for i, image in enumerate(X)]
    boxes = boxes_in(X, 4, "share")
    clf = quick(ConvNetClassifier([Conv2D(3, 3), Dense(4)]), multi_crop=MultiCrop((5, 6)))
    clf.fit(X, y, boxes=boxes, X_val=X, y_val=y, boxes_val=boxes)
    even = clf.predict_box(X[::2])
    np.testing.assert_array_equal(clf.predict_box(X)[::2], even)


def test_what_cannot_vote():
    X = np.zeros((4, 6, 6))
    crop = {"multi_crop": MultiCrop(4), "max_iter": 1}
    for model in (ConvNetClassifier, ConvNetRegressor):
        with pytest.raises(
            ValueError, match="multi_crop cuts out parts of samples, but not of map"
        ):
            model([Conv2D(2, 3, padding="same")], **crop).fit(X, X > 0)
    dense = {"multi_crop": MultiCrop(4, voting="dense"), "max_iter": 1}
    with pytest.raises(ValueError, match="multi_crop: voting='dense' is for labels, values and"):
        ConvNetClassifier([Dense(2)], **dense).fit(X, [0, 1, 0, 1], boxes=np.zeros((4, 4)))
    with pytest.raises(ValueError, match="multi_crop: voting='dense' is for labels, values and"):
        ConvNetClassifier([Dense(2)], **dense).fit(X, [[0, 2], [1, 1], [2, 0], [0, 0]])
    with pytest.raises(ValueError, match="multi_crop: voting='dense' is for labels, values and"):
        ConvNetRegressor([Dense(2)], target="points", **dense).fit(X, np.zeros((4, 2)))
    hard = {"multi_crop": MultiCrop(4, voting="hard"), "max_iter": 1}
    with pytest.raises(ValueError, match="voting='hard' needs one label a sample, use voting="):
        ConvNetRegressor([Dense(2)], **hard).fit(X, np.arange(4.0))
    indicator = [[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 1]]
    with pytest.raises(ValueError, match="voting='hard' needs one label a sample, use voting="):
        ConvNetClassifier([Dense(2)], **hard).fit(X, indicator)
    clf = ConvNetClassifier([Dense(2)], **crop).fit(X, indicator)
    assert clf.predict(X).shape == (4, 3)


def test_a_crop_larger_than_the_images(clf, digits):
    with pytest.raises(ValueError, match="MultiCrop cuts out 9 pixels along the height, but"):
        quick(clf, multi_crop=MultiCrop(9)).fit(*digits)
