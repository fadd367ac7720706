"""`BoxesDisplay`: outlines where they belong, and their overlap."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

from sklearn_convnet.inspection import BoxesDisplay
from sklearn_convnet.metrics import box_iou


def corners(polygon):
    return polygon.get_xy()[:4].tolist()


def test_boxes_of_an_estimator(localizer, scenes):
    X, boxes, _ = scenes
    display = BoxesDisplay.from_estimator(localizer, X, boxes, n_samples=5)
    predicted = localizer.predict_box(X[:5])
    assert display.axes_.shape == (5,)
    np.testing.assert_allclose(display.iou_, box_iou(boxes[:5], predicted))
    for i, ax in enumerate(display.axes_):
        np.testing.assert_array_equal(ax.images[0].get_array(), X[i])
        assert ax.patches[:] == [display.true_[i], display.predicted_[i]]
        left, top, right, bottom = boxes[i]
        expected = [[left, top], [right, top], [right, bottom], [left, bottom]]
        assert corners(display.true_[i]) == expected
        np.testing.assert_allclose(corners(display.predicted_[i])[2], predicted[i, 2:])
        assert ax.get_title() == f"IoU {display.iou_[i]:.2f}"
    assert display.true_[0].get_edgecolor() == to_rgba("tab:green")
    assert display.predicted_[0].get_edgecolor() == to_rgba("tab:orange")
    legend = display.figure_.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["true", "predicted"]


def test_four_corners_as_shares():
    turned = [[0.5, 0, 1, 0.5, 0.5, 1, 0, 0.5]]
    display = BoxesDisplay.from_predictions(np.zeros((1, 8, 10)), boxes_pred=turned)
    expected = [[4.5, -0.5], [9.5, 3.5], [4.5, 7.5], [-0.5, 3.5]]
    assert corners(display.predicted_[0]) == expected
    assert display.true_ == [None]
    assert display.iou_ is None
    assert display.axes_[0].get_title() == ""


def test_missing_boxes_are_not_drawn():
    boxes = np.array([[0, 0, 1, 1], [np.nan] * 4])
    display = BoxesDisplay.from_predictions(np.zeros((2, 8, 10)), boxes, boxes[[0, 0]])
    assert display.true_[1] is None
    assert display.predicted_[1] is not None
    assert [ax.get_title() for ax in display.axes_] == ["IoU 1.00", "no box"]


def test_on_given_axes_without_a_legend():
    figure, axes = plt.subplots(1, 3)
    display = BoxesDisplay(np.zeros((2, 4, 4)), [[0, 0, 1, 1]] * 2, [[0, 0, 1, 1]] * 2).plot(axes)
    assert display.axes_.tolist() == axes[:2].tolist()
    assert figure.legends == []


def test_fitted_units_count(localizer, scenes):
    X, boxes, _ = scenes
    assert BoxesDisplay.from_estimator(localizer, X, boxes).box_units == "pixels"


@pytest.mark.parametrize(
    ("boxes", "options", "message"),
    [
        ((None, None), {}, "there are no boxes to draw"),
        (([[0, 0, 1]] * 2, None), {}, "boxes_true has 3 columns, expected 4"),
        ((None, [0, 0, 1, 1]), {}, "boxes_pred must have 2 axes"),
        ((None, [[0, 0, 1, 1]]), {}, "number of samples: X has 2, boxes_pred has 1"),
        (([[0, 0, 1, 1]] * 2, None), {"box_units": "px"}, "box_units must be 'share' or 'pixels'"),
    ],
)
def test_bad_input(boxes, options, message):
    with pytest.raises(ValueError, match=message):
        BoxesDisplay.from_predictions(np.zeros((2, 4, 4)), *boxes, **options)


def test_estimators_without_boxes(fitted, digits, pointer, scenes):
    with pytest.raises(ValueError, match="predict_box needs a network that was fitted with boxes"):
        BoxesDisplay.from_estimator(fitted, digits[0])
    with pytest.raises(TypeError, match="got ConvNetRegressor; KeypointsDisplay draws points"):
        BoxesDisplay.from_estimator(pointer, scenes[0])
