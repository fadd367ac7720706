"""Boxes from maps: around what, in which units, and how good."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re

import numpy as np
import pytest

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.inspection import saliency, weakly_supervised_box
from sklearn_convnet.layers import Conv1D, Conv2D, Dense, GlobalAvgPool, Rescale
from sklearn_convnet.metrics import box_iou, localization_accuracy
from sklearn_convnet.network import compile_network
from sklearn_convnet.optimizers import Adam


@pytest.fixture(scope="module")
def identity():
    """A network whose map is the image, of which it takes the mean."""
    network = compile_network([("maps", Conv2D(1, 1)), GlobalAvgPool()], (12, 16, 1))
    network.parameters()["maps/weight"][...] = 1
    return network


def boxes_of(network, X, threshold=0.2, **options):
    return weakly_supervised_box(network, X, threshold, layer="maps", **options)


def test_the_box_is_around_the_part_above_the_threshold(identity):
    X = np.zeros((1, 12, 16, 1))
    X[0, 2:9, 3:14] = 0.3
    X[0, 4:7, 5:9] = 1.0
    wide, narrow = (
        boxes_of(identity, X, threshold, box_units="pixels") for threshold in (0.2, 0.5)
    )
    np.testing.assert_allclose(wide, [[2.5, 1.5, 13.5, 8.5]])
    np.testing.assert_allclose(narrow, [[4.5, 3.5, 8.5, 6.5]])


def test_shares_are_those_of_width_and_height(identity):
    X = np.zeros((1, 12, 16, 1))
    X[0, 3:9, 4:12] = 1
    found = boxes_of(identity, X)
    np.testing.assert_allclose(found, [[0.25, 0.25, 0.75, 0.75]])
    np.testing.assert_allclose(box_iou(found, [[0.25, 0.25, 0.75, 0.75]]), [1])
    pixels = boxes_of(identity, X, box_units="pixels")
    np.testing.assert_allclose((pixels + 0.5) / [16, 12, 16, 12], found)


def test_of_several_parts_the_largest_counts(identity):
    X = np.zeros((2, 12, 16, 1))
    X[:, 1, 1] = 5.0  # bright, but small
    X[:, 6:9, 8:13] = 2.0
    X[1, 9, 13] = 2.0  # touches a corner only
    found = boxes_of(identity, X, box_units="pixels")
    np.testing.assert_allclose(found, [[7.5, 5.5, 12.5, 8.5]] * 2)


def test_where_there_is_nothing_there_is_no_box(identity):
    X = np.zeros((3, 12, 16, 1))
    X[1, 2:4, 2:4] = 1
    for threshold in (0.0, 0.2, 1.0):
        found = boxes_of(identity, X, threshold)
        assert np.isnan(found).all(axis=1).tolist() == [True, False, True]
        np.testing.assert_allclose(found[1], np.array([2 / 16, 2 / 12, 4 / 16, 4 / 12]), rtol=1e-6)


def test_what_is_looked_for_decides():
    """A network that has a class for each channel."""
    rng = np.random.RandomState(0)
    y = np.arange(60) % 2
    X = rng.uniform(0, 0.1, size=(60, 8, 8, 2))
    places = rng.randint(0, 5, size=(60, 2))
    boxes = np.empty((60, 4))
    for i, (row, column) in enumerate(places):
        X[i, row : row + 3, column : column + 3, y[i]] += 1
        boxes[i] = np.array([column, row, column + 3, row + 3]) / 8
    layers = [("maps", Conv2D(8, 1)), GlobalAvgPool()]
    labels = np.array(["cat", "dog"])[y]
    options = dict(optimizer=Adam(0.02), max_iter=60, random_state=0)
    model = ConvNetClassifier(layers, **options).fit(X, labels)
    predicted = model.predict(X)
    found = weakly_supervised_box(model, X, 0.5)
    np.testing.assert_array_equal(
        found, weakly_supervised_box(model, X, 0.5, target=predicted, layer="maps")
    )
    y_true = np.column_stack([y, boxes])
    assert localization_accuracy(y_true, np.column_stack([predicted == "dog", found])) > 0.9
    other = weakly_supervised_box(model, X, 0.5, target=np.array(["dog", "cat"])[y])
    assert not np.array_equal(other, found)
    maps = saliency(model, X, "grad_cam", target="dog")
    for i, one in enumerate(weakly_supervised_box(model, X, 1.0, target="dog")):
        row, column = np.unravel_index(maps[i].argmax(), (8, 8))
        if maps[i].any() and (maps[i] == maps[i].max()).sum() == 1:
            np.testing.assert_allclose(one * 8, [column, row, column + 1, row + 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(threshold=1.5), "The 'threshold' parameter of weakly_supervised_box"),
        (dict(threshold=-0.1), "The 'threshold' parameter of weakly_supervised_box"),
        (dict(box_units="metres"), "The 'box_units' parameter of weakly_supervised_box"),
        (dict(layer="pixels"), "there is no layer 'pixels'"),
        (dict(layer=2.0), "The 'layer' parameter of weakly_supervised_box"),
        (dict(target=3), "3 lies outside the network's output, of shape (1,)"),
    ],
)
def test_a_wrong_option_is_named(identity, options, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        weakly_supervised_box(identity, np.zeros((1, 12, 16, 1)), **options)


def test_signals_have_no_boxes():
    layers = [Rescale(1.0), Conv1D(2, 3), Dense(2, activation=None)]
    network = compile_network(layers, (9, 1))
    with pytest.raises(ValueError, match="boxes are for images, but X has samples with 1 axes"):
        weakly_supervised_box(network, np.ones((2, 9, 1)))
