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
from sklearn_convnet.layers import Conv1D, Conv2D, Dense, Flatten, GlobalAvgPool, Standardize
from sklearn_convnet.multi_crop import MultiCrop
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


def test_what_cannot_vote():
    X = np.zeros((4, 6, 6))
    crop = {"multi_crop": MultiCrop(4), "max_iter": 1}
    with pytest.raises(ValueError, match="multi_crop votes over labels or values, but y holds"):
        ConvNetClassifier([Dense(2)], **crop).fit(X, [0, 1, 0, 1], boxes=np.zeros((4, 4)))
    with pytest.raises(ValueError, match="multi_crop votes over labels or values, but y holds"):
        ConvNetRegressor([Dense(2)], target="points", **crop).fit(X, np.zeros((4, 2)))
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
