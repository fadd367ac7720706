"""`LabelMapsDisplay`: colours of classes where they belong, and the legend."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.inspection import LabelMapsDisplay
from sklearn_convnet.inspection.displays._pictures import colors_of
from sklearn_convnet.inspection.displays.label_maps import IGNORED_COLOR
from sklearn_convnet.layers import Conv1D

X = np.zeros((2, 3, 4))
TRUE = np.array([[[0, 0, 1, 1]] * 3, [[5, 5, 5, 1]] * 3])
PREDICTED = np.array([[[0, 1, 1, 1]] * 3, [[1, 1, 1, 1]] * 3])


def entries(display):
    handles = {
        text.get_text(): handle.get_facecolor()[:3]
        for text, handle in zip(
            display.legend_.get_texts(), display.legend_.legend_handles, strict=True
        )
    }
    return {name: pytest.approx(color) for name, color in handles.items()}


def test_each_class_has_its_colour():
    display = LabelMapsDisplay.from_predictions(X, TRUE, PREDICTED, alpha=0.3)
    assert display.axes_.shape == (2, 3)
    colors = colors_of(3)  # of 0, 1 and 5
    for j, maps in enumerate((TRUE, PREDICTED)):
        for i in range(2):
            image = display.overlays_[i, j]
            assert image.axes is display.axes_[i, 1 + j]
            codes = np.searchsorted([0, 1, 5], maps[i])
            np.testing.assert_allclose(image.get_array()[..., :3], colors[codes])
            np.testing.assert_allclose(image.get_array()[..., 3], 0.3)
    assert entries(display) == {"0": colors[0], "1": colors[1], "5": colors[2]}
    np.testing.assert_allclose(display.accuracies_, [0.75, 0.25])
    titles = [[ax.get_title() for ax in row] for row in display.axes_]
    assert titles == [["", "true", "predicted, 75% right"], ["", "", "25% right"]]


def test_ignored_labels_are_grey_and_do_not_count():
    display = LabelMapsDisplay.from_predictions(
        X, TRUE, PREDICTED, ignore_label=5, display_labels=["ground", "tree"]
    )
    grey = np.broadcast_to(IGNORED_COLOR, (3, 3, 3))
    np.testing.assert_allclose(display.overlays_[1, 0].get_array()[:, :3, :3], grey)
    np.testing.assert_allclose(display.accuracies_, [0.75, 1])
    colors = colors_of(2)
    expected = {"ground": colors[0], "tree": colors[1], "ignored": IGNORED_COLOR}
    assert entries(display) == expected


def test_maps_of_an_estimator(segmenter, scenes):
    images, _, masks = scenes
    display = LabelMapsDisplay.from_estimator(segmenter, images, masks, n_samples=3)
    predicted = segmenter.predict(images)[:3]
    np.testing.assert_array_equal(display.maps_pred, predicted)
    counted = masks[:3] != 2
    right = [(p == m)[c].mean() for p, m, c in zip(predicted, masks, counted, strict=False)]
    np.testing.assert_allclose(display.accuracies_, right)
    colors = colors_of(len(segmenter.classes_))
    codes = np.searchsorted(segmenter.classes_, predicted[0])
    np.testing.assert_allclose(display.overlays_[0, 1].get_array()[..., :3], colors[codes])


def test_only_predictions(segmenter, scenes):
    display = LabelMapsDisplay.from_estimator(segmenter, scenes[0])
    assert display.axes_.shape == (4, 2)
    assert display.accuracies_ is None
    assert display.axes_[0, 1].get_title() == "predicted"


def test_all_ignored_has_no_accuracy():
    display = LabelMapsDisplay.from_predictions(X, np.full((2, 3, 4), 5), PREDICTED, ignore_label=5)
    assert np.isnan(display.accuracies_).all()


def test_signals_have_a_colour_behind_each_step():
    signals = np.sin(np.arange(40)).reshape(2, 20)
    steps = np.arange(20) // 10 * np.ones((2, 1), int)
    clf = ConvNetClassifier([Conv1D(2, 3, padding="same")], target="maps", max_iter=1)
    display = LabelMapsDisplay.from_estimator(clf.fit(signals, steps), signals, steps)
    image = display.overlays_[1, 0]
    assert image.get_extent()[:2] == [-0.5, 19.5]
    np.testing.assert_allclose(image.get_array()[0, :, :3], colors_of(2)[steps[1]])
    assert len(display.axes_[1, 1].get_lines()) == 1


def test_volumes_are_drawn_slice_by_slice():
    maps = np.arange(4)[None, :, None, None] * np.ones((1, 4, 3, 2), int)
    display = LabelMapsDisplay.from_predictions(np.zeros((1, 4, 3, 2)), maps)
    picture = display.overlays_[0, 0].get_array()
    assert picture.shape == (7, 5, 4)
    np.testing.assert_allclose(picture[4:, 3:, :3], colors_of(4)[3] * np.ones((3, 2, 1)))
    np.testing.assert_array_equal(picture[3, :, 3], 0)  # between slices


def test_a_last_axis_of_length_one_and_strings():
    maps = np.where(TRUE == 0, "sea", "sky")[..., None]
    display = LabelMapsDisplay.from_predictions(X[..., None], maps)
    assert list(entries(display)) == ["sea", "sky"]


def test_of_many_classes_the_legend_names_the_largest():
    maps = np.minimum(np.arange(1200).reshape(1, 30, 40) // 10, 60)
    display = LabelMapsDisplay.from_predictions(np.zeros((1, 30, 40)), maps)
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert names[0] == "60"
    assert len(names) == 21
    assert names[-1] == "and 41 more"


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        ((None, None), {}, "there are no maps to draw"),
        ((TRUE[:, :2], None), {}, r"maps_true has maps of shape \(2, 4\), but samples are of size"),
        ((TRUE[:1], None), {}, "number of samples: X has 2, maps_true has 1"),
        ((TRUE, None), {"classes": [0, 1]}, "the label 5, which is none of the classes"),
        ((TRUE, None), {"display_labels": ["a"]}, "has 1 entries, but there are 3 classes"),
        ((TRUE, None), {"alpha": 2}, "alpha == 2, must be <= 1"),
        ((TRUE[..., None, None, None], None), {}, "maps must have one to three axes"),
    ],
)
def test_bad_input(maps, options, message):
    with pytest.raises(ValueError, match=message):
        LabelMapsDisplay.from_predictions(X, *maps, **options)


def test_estimators_without_maps(fitted, digits, pointer, scenes):
    for estimator, samples in ((fitted, digits[0]), (pointer, scenes[0])):
        with pytest.raises(ValueError, match="was fitted with maps of labels: this ConvNet"):
            LabelMapsDisplay.from_estimator(estimator, samples)
