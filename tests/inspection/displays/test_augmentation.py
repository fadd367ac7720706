"""`AugmentationDisplay`: what is drawn is what training sees."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pytest

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import Compose, GaussianNoise, RandomAffine, RandomCrop
from sklearn_convnet.inspection import AugmentationDisplay
from sklearn_convnet.inspection.displays._pictures import colors_of
from sklearn_convnet.layers import Conv1D, Conv2D
from sklearn_convnet.multi_crop import MultiCrop

MOVE = RandomAffine(rotation=(-20, 20), translation=(-2, 2), flip=0.5)


def pictures(display):
    return [[ax.images[0].get_array() for ax in row] for row in display.axes_]


def test_samples_as_they_are_and_changed(scenes):
    X, _, _ = scenes
    clf = ConvNetClassifier([Conv2D(2, 3)], augmentation=MOVE)
    display = AugmentationDisplay.from_estimator(clf, X, n_samples=3, n_draws=2, random_state=1)
    drawn = pictures(display)
    assert display.axes_.shape == (3, 3)
    rng = np.random.RandomState(1)
    draws = [MOVE.augment(X[:3], random_state=rng)[0] for _ in range(2)]
    for i in range(3):
        np.testing.assert_array_equal(drawn[i][0], X[i])
        for j in range(2):
            np.testing.assert_array_equal(drawn[i][1 + j], draws[j][i])
    ranges = {image.get_clim() for ax in display.axes_.flat for image in ax.images}
    assert len(ranges) == 1
    assert display.axes_[0, 0].get_title() == "as it is"


@pytest.mark.parametrize("with_y", [False, True])
def test_the_same_seed_draws_the_same(scenes, with_y):
    X, y = scenes[0], np.arange(12) % 2 if with_y else None
    clf = ConvNetClassifier([Conv2D(2, 3)], augmentation=Compose([MOVE, GaussianNoise(0.1)]))
    one, same, other = (
        np.array(pictures(AugmentationDisplay.from_estimator(clf, X, y, random_state=seed)))
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_boxes_move_along(scenes):
    X, boxes, _ = scenes
    clf = ConvNetClassifier([Conv2D(2, 3)], augmentation=MOVE, box_units="pixels")
    display = AugmentationDisplay.from_estimator(
        clf, X, np.arange(12) % 2, boxes=boxes, n_draws=2, random_state=1
    )
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(12, 4, 2)
    rng = np.random.RandomState(1)
    for j in range(3):
        for ax, expected in zip(display.axes_[:, j], corners, strict=False):
            left, top = expected.min(axis=0)
            right, bottom = expected.max(axis=0)
            drawn = ax.patches[0].get_xy()[:4]
            upright = [[left, top], [right, top], [right, bottom], [left, bottom]]
            np.testing.assert_allclose(drawn, upright, atol=1e-5)
        if j < 2:
            original = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(12, 4, 2)[:4]
            corners = MOVE.augment(X[:4], points=original, random_state=rng)[1]


def test_points_move_along(scenes):
    X, boxes, _ = scenes
    points = boxes.reshape(12, 2, 2)
    shares = (points + 0.5) / (10, 8)
    reg = ConvNetRegressor([Conv2D(2, 3)], target="points", augmentation=MOVE)
    display = AugmentationDisplay.from_estimator(reg, X, shares, n_draws=1, random_state=1)
    moved = MOVE.augment(X[:4], points=points[:4], random_state=1)[1]
    for row, before, after in zip(display.axes_, points, moved, strict=False):
        for ax, expected in zip(row, (before, after), strict=True):
            np.testing.assert_allclose(ax.collections[0].get_offsets(), expected, atol=1e-6)


def test_label_maps_move_along(scenes):
    X, _, masks = scenes
    clf = ConvNetClassifier([Conv2D(2, 3, padding="same")], augmentation=MOVE, ignore_label=2)
    display = AugmentationDisplay.from_estimator(clf, X, masks, n_draws=1, random_state=1)
    codes = np.where(masks == 2, -1, masks)[:4]
    moved = MOVE.augment(X[:4], label_maps=codes + 1, random_state=1)[2] - 1
    palette = np.concatenate([colors_of(2), [(0.6, 0.6, 0.6)]])
    for row, before, after in zip(display.axes_, codes, moved, strict=True):
        for ax, expected in zip(row, (before, after), strict=True):
            picture = ax.images[1].get_array()
            np.testing.assert_allclose(picture[..., :3], palette[expected])


def test_crops_are_those_of_training(digits):
    X, y = digits
    crops = MultiCrop(6, n_crops=10)
    clf = ConvNetClassifier([Conv2D(2, 3)], multi_crop=crops)
    display = AugmentationDisplay.from_estimator(clf, X, y, n_samples=2, random_state=0)
    drawn = pictures(display)
    rng = np.random.RandomState(0)
    for j in range(5):
        expected = crops.random_crops(X[:2], rng)
        for i in range(2):
            assert drawn[i][1 + j].shape == (6, 6)
            np.testing.assert_array_equal(drawn[i][1 + j], expected[i])


def test_signals_and_channels_first():
    X = np.random.RandomState(0).normal(size=(3, 2, 30))
    clf = ConvNetClassifier(
        [Conv1D(2, 3)], augmentation=GaussianNoise(0.1), data_format="channels_first"
    )
    display = AugmentationDisplay.from_estimator(clf, X, n_samples=1, n_draws=1)
    lines = display.axes_[0, 0].get_lines()
    np.testing.assert_array_equal([line.get_ydata() for line in lines], X[0])
    assert len(display.axes_[0, 1].get_lines()) == 2


def test_the_estimator_and_the_data_stay_as_they_are(scenes):
    X, _, masks = scenes
    before = X.copy()
    clf = ConvNetClassifier(
        [Conv2D(2, 3, padding="same")],
        augmentation=GaussianNoise(1.0),
        max_iter=1,
        random_state=np.random.RandomState(0),
    ).fit(X, masks)
    pickled = pickle.dumps(clf)
    AugmentationDisplay.from_estimator(clf, X, masks)
    assert pickle.dumps(clf) == pickled
    np.testing.assert_array_equal(X, before)


def test_bad_input(scenes, pointer):
    X, boxes, _ = scenes
    plain = ConvNetClassifier([Conv2D(2, 3)])
    with pytest.raises(ValueError, match="neither augmentation nor multi_crop"):
        AugmentationDisplay.from_estimator(plain, X)
    moving = ConvNetClassifier([Conv2D(2, 3)], augmentation=MOVE)
    with pytest.raises(ValueError, match="boxes are given without y"):
        AugmentationDisplay.from_estimator(moving, X, boxes=boxes)
    for name in ("n_samples", "n_draws"):
        with pytest.raises(ValueError, match=f"{name} == 0"):
            AugmentationDisplay.from_estimator(moving, X, **{name: 0})
    with pytest.raises(ValueError, match="y has 3"):
        AugmentationDisplay.from_estimator(moving, X, [0, 1, 0])
    with pytest.raises(TypeError, match="must be a ConvNetClassifier or ConvNetRegressor, got str"):
        AugmentationDisplay.from_estimator("net", X)
    crop = ConvNetClassifier([Conv2D(2, 3)], augmentation=RandomCrop(-1))
    with pytest.raises(ValueError, match="padding must be an integer of at least 0"):
        AugmentationDisplay.from_estimator(crop, X)
