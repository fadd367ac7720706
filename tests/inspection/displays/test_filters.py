"""`FiltersDisplay`: the weights of each kind of layer, as pictures."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from matplotlib import pyplot as plt

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.inspection import FiltersDisplay
from sklearn_convnet.layers import (
    Conv1D,
    Conv2D,
    Conv3D,
    ConvTranspose2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    Residual,
    SeparableConv2D,
    TransformConv2D,
    rotation,
)


def fit(layers, shape):
    X = np.random.RandomState(0).normal(size=(8, *shape))
    return ConvNetClassifier(layers, max_iter=1, random_state=0).fit(X, np.arange(8) % 2)


def shown(display):
    return [image.get_array() for image in display.artists_]


def test_filters_of_one_channel(fitted):
    display = FiltersDisplay.from_estimator(fitted)
    weight = fitted.get_weights()["conv1/weight"]
    assert display.layer == "conv1"
    for j, picture in enumerate(shown(display)):
        np.testing.assert_array_equal(picture, weight[:, :, 0, j])
    largest = np.abs(weight).max()
    assert {image.get_clim() for image in display.artists_} == {(-largest, largest)}
    assert display.figure_.get_suptitle() == "6 filters of conv1"


def test_filters_of_three_channels_are_in_colour():
    clf = fit([Conv2D(5, 3)], (6, 6, 3))
    display = FiltersDisplay.from_estimator(clf, n_filters=4)
    weight = clf.get_weights()["conv2d1/weight"]
    expected = 0.5 + weight[..., 2] / np.abs(weight[..., :4]).max() / 2
    np.testing.assert_allclose(shown(display)[2][..., :3], expected, atol=1e-6)
    assert display.figure_.get_suptitle() == "4 of 5 filters of conv2d1"


def test_deeper_filters_are_slices():
    clf = fit([Conv2D(4, 3), ("deep", Conv2D(5, 3))], (8, 8, 1))
    weight = clf.get_weights()["deep/weight"]
    display = FiltersDisplay.from_estimator(clf, "deep")
    for j, picture in enumerate(shown(display)):
        assert picture.shape == (3, 4 * 4 - 1)
        for i in range(4):
            np.testing.assert_array_equal(picture[:, 4 * i : 4 * i + 3], weight[:, :, i, j])
    display = FiltersDisplay.from_estimator(clf, "deep", channel=2)
    np.testing.assert_array_equal(shown(display)[1], weight[:, :, 2, 1])


def test_filters_of_signals_are_lines():
    clf = fit([Conv1D(4, 5)], (20, 3))
    weight = clf.get_weights()["conv1d1/weight"]
    display = FiltersDisplay.from_estimator(clf)
    for j, lines in enumerate(display.artists_):
        assert [line.axes for line in lines] == [display.axes_.flat[j]] * 3
        for i, line in enumerate(lines):
            np.testing.assert_array_equal(line.get_ydata(), weight[:, i, j])
    assert len({ax.get_ylim() for ax in display.axes_.flat}) == 1


def test_filters_of_volumes_are_a_row_of_slices_for_each_channel():
    clf = fit([Conv3D(2, 3)], (5, 5, 5, 2))
    weight = clf.get_weights()["conv3d1/weight"]
    picture = shown(FiltersDisplay.from_estimator(clf))[1]
    assert picture.shape == (2 * 4 - 1, 3 * 4 - 1)
    for i in range(2):
        for depth in range(3):
            part = picture[4 * i : 4 * i + 3, 4 * depth : 4 * depth + 3]
            np.testing.assert_array_equal(part, weight[depth, :, :, i, 1])


def test_depthwise_filters_are_those_of_each_channel():
    clf = fit([DepthwiseConv2D(3, multiplier=2)], (6, 6, 3))
    weight = clf.get_weights()["depthwiseconv2d1/weight"]
    display = FiltersDisplay.from_estimator(clf)
    assert display.filters.shape == (6, 3, 3, 1)
    for j, picture in enumerate(shown(display)):
        np.testing.assert_array_equal(picture, weight[:, :, j // 2, j % 2])


def test_transformed_filters():
    clf = fit([TransformConv2D(2, 3, transforms=[np.eye(2), rotation(90)])], (6, 6, 1))
    weight = clf.get_weights()["transformconv2d1/weight"]
    pictures = shown(FiltersDisplay.from_estimator(clf))
    assert len(pictures) == 4
    for j in range(2):
        np.testing.assert_allclose(pictures[j], weight[:, :, 0, j])
        np.testing.assert_allclose(pictures[2 + j], np.rot90(weight[:, :, 0, j]))


def test_filters_over_all_transforms():
    layers = [TransformConv2D(2, 3), ("deep", TransformConv2D(3, 2, group_input=True))]
    clf = fit(layers, (6, 6, 1))
    weight = clf.get_weights()["deep/weight"]
    filters = FiltersDisplay.from_estimator(clf, layer="deep").filters
    assert filters.shape == (12, 2, 2, 8)
    for j in range(3):
        np.testing.assert_array_equal(filters[j], weight[..., j])
        # Turned, and what was of one transform is of the next.
        turned = np.roll(np.rot90(weight[..., j]), 2, axis=-1)
        np.testing.assert_array_equal(filters[3 + j], turned)


def test_a_separable_layer_has_filters_in_its_stages():
    clf = fit([("sep", SeparableConv2D(4, 3))], (6, 6, 2))
    assert FiltersDisplay.from_estimator(clf).layer == "sep/depthwise"


def test_dense_filters_have_the_size_of_the_maps():
    clf = fit([Dense(3)], (4, 5, 1))
    weight = clf.get_weights()["dense1/weight"]
    display = FiltersDisplay.from_estimator(clf)
    np.testing.assert_array_equal(shown(display)[2], weight[:, 2].reshape(4, 5))


def test_paths_inside_blocks_and_transposed_layers():
    block = Residual([("inner", Conv2D(2, 3, padding="same"))])
    clf = fit([Conv2D(2, 1), ("block", block), ("up", ConvTranspose2D(3, 2))], (5, 5, 1))
    weights = clf.get_weights()
    for path in ("block/inner", "up"):
        display = FiltersDisplay.from_estimator(clf, path)
        expected = np.moveaxis(weights[f"{path}/weight"], -1, 0)
        np.testing.assert_array_equal(display.filters, expected)


def test_a_layer_by_its_place(fitted):
    assert FiltersDisplay.from_estimator(fitted, -2).layer == "dense1"
    with pytest.raises(ValueError, match="layer=9 does not exist"):
        FiltersDisplay.from_estimator(fitted, 9)


def test_filters_of_another_origin_on_given_axes():
    _, axes = plt.subplots(1, 3)
    display = FiltersDisplay(np.ones((3, 2, 2, 1))).plot(axes)
    assert [image.axes for image in display.artists_] == axes.tolist()
    assert display.figure_.get_suptitle() == ""


def test_bad_input(fitted):
    with pytest.raises(ValueError, match="layer must be one with filters, 'conv1', 'dense1', got"):
        FiltersDisplay.from_estimator(fitted, "pool1")
    with pytest.raises(ValueError, match="the network has no layer with filters"):
        FiltersDisplay.from_estimator(fit([Flatten()], (4, 4)))
    with pytest.raises(ValueError, match="channel == 1, must be <= 0"):
        FiltersDisplay.from_estimator(fitted, channel=1)
    with pytest.raises(ValueError, match="filters must have 3 or 4 or 5 axes"):
        FiltersDisplay(np.ones((3, 3))).plot()
    with pytest.raises(ValueError, match="n_filters == 0"):
        FiltersDisplay.from_estimator(fitted, n_filters=0)
