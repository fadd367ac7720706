"""`KeypointsDisplay`: points and edges where they belong, and how far they are off."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from sklearn_convnet import ConvNetRegressor
from sklearn_convnet.inspection import KeypointsDisplay
from sklearn_convnet.layers import Dense

X = np.zeros((2, 8, 10))
TRUE = np.array([[[1, 2], [3, 4], [5, 5]], [[0, 0], [9, 7], [2, 2]]], float)


def test_points_and_edges():
    predicted = np.add(TRUE, [[[3, 4]], [[0, 1]]])
    display = KeypointsDisplay.from_predictions(
        X, TRUE, predicted.reshape(2, 6), point_units="pixels", edges=[(0, 1), (1, 2)]
    )
    np.testing.assert_allclose(display.errors_, [5, 1])
    assert [ax.get_title() for ax in display.axes_] == ["5 pixels off", "1 pixels off"]
    for i, ax in enumerate(display.axes_):
        np.testing.assert_array_equal(display.true_[i].get_offsets(), TRUE[i])
        np.testing.assert_array_equal(display.predicted_[i].get_offsets(), predicted[i])
        assert display.true_[i].axes is ax
        lines = [line.get_xydata().tolist() for line in ax.get_lines()]
        edges = [TRUE[i, [0, 1]], TRUE[i, [1, 2]], predicted[i, [0, 1]], predicted[i, [1, 2]]]
        assert lines == [edge.tolist() for edge in edges]


def test_points_of_an_estimator_are_shares(pointer, scenes):
    images, boxes, _ = scenes
    y = (boxes.reshape(12, 2, 2) + 0.5) / (10, 8)
    display = KeypointsDisplay.from_estimator(pointer, images, y, n_samples=3)
    predicted = pointer.predict(images[:3]) * (10, 8) - 0.5
    for i in range(3):
        np.testing.assert_allclose(display.true_[i].get_offsets(), boxes[i].reshape(2, 2))
        np.testing.assert_allclose(display.predicted_[i].get_offsets(), predicted[i])
    expected = np.linalg.norm(boxes[:3].reshape(3, 2, 2) - predicted, axis=2).mean(axis=1)
    np.testing.assert_allclose(display.errors_, expected)


def test_missing_points_do_not_count():
    true, predicted = TRUE.copy(), np.add(TRUE, [2.0, 0.0])
    true[0, 1] = np.nan
    true[1] = np.nan
    predicted[0, 2] += [2, 0]
    display = KeypointsDisplay.from_predictions(X, true, predicted, point_units="pixels")
    np.testing.assert_allclose(display.errors_, [3, np.nan])
    assert [ax.get_title() for ax in display.axes_] == ["3 pixels off", ""]


def test_one_of_both_is_enough():
    display = KeypointsDisplay.from_predictions(X, TRUE, point_units="pixels")
    assert display.errors_ is None
    assert display.predicted_ == [None, None]


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        ((None, None), {}, "there are no points to draw"),
        ((np.zeros((2, 3)), None), {}, r"points_true has shape \(2, 3\), expected"),
        ((np.zeros((2, 2, 3)), None), {}, r"points_true has shape \(2, 2, 3\), expected"),
        ((np.zeros((3, 4)), None), {}, "number of samples: X has 2, points_true has 3"),
        ((np.zeros((2, 4)), np.zeros((2, 6))), {}, "points_true has 2 points .* points_pred 3"),
        ((TRUE, None), {"edges": [(0, 3)]}, r"edges must be pairs .* from 0 to 2, got \[\[0, 3\]"),
        ((TRUE, None), {"edges": [0, 1]}, "edges must be pairs"),
        ((TRUE, None), {"edges": [(0.5, 1.0)]}, "edges must be pairs"),
        ((TRUE, None), {"point_units": "px"}, "point_units must be 'share' or 'pixels'"),
    ],
)
def test_bad_input(points, options, message):
    with pytest.raises(ValueError, match=message):
        KeypointsDisplay.from_predictions(X, *points, **options)


def test_estimators_without_points(fitted, digits):
    with pytest.raises(ValueError, match="got ConvNetClassifier with target='auto'"):
        KeypointsDisplay.from_estimator(fitted, digits[0])
    reg = ConvNetRegressor([Dense(2)], max_iter=1).fit(X, [0.0, 1.0])
    with pytest.raises(ValueError, match="with target='values'"):
        KeypointsDisplay.from_estimator(reg, X)
