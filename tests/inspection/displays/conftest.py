"""What the tests of displays share: no window, no figure left, and fitted estimators."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

from matplotlib import pyplot as plt

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D, Rescale


@pytest.fixture(autouse=True)
def _no_figures_left():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def fitted(digits):
    """A classifier of digits, with validation data, after two epochs."""
    X, y = digits
    layers = [
        Rescale(1 / 16),
        ("conv1", Conv2D(6, 3)),
        ("pool1", MaxPool2D(2)),
        ("dense1", Dense(8)),
    ]
    clf = ConvNetClassifier(layers, batch_size=50, max_iter=2, random_state=0)
    return clf.fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])


@pytest.fixture(scope="session")
def scenes():
    """Images (12, 8, 10) with a bright rectangle each; corners in pixels, and masks."""
    rng = np.random.RandomState(0)
    X, boxes = rng.uniform(0, 0.1, size=(12, 8, 10)), np.empty((12, 4))
    masks = np.zeros((12, 8, 10), int)
    for i in range(12):
        left, top = rng.randint(0, 6), rng.randint(0, 4)
        X[i, top : top + 3, left : left + 3] = 1
        masks[i, top : top + 3, left : left + 3] = 1 + i % 2
        boxes[i] = left, top, left + 2, top + 2
    return X, boxes, masks


@pytest.fixture(scope="session")
def localizer(scenes):
    """A classifier with boxes in pixels, after one epoch."""
    X, boxes, _ = scenes
    clf = ConvNetClassifier([Conv2D(4, 3)], max_iter=1, box_units="pixels", random_state=0)
    return clf.fit(X, np.arange(12) % 2, boxes=boxes)


@pytest.fixture(scope="session")
def segmenter(scenes):
    """A classifier of pixels, one of whose labels is ignored, after one epoch."""
    X, _, masks = scenes
    clf = ConvNetClassifier(
        [Conv2D(4, 3, padding="same")], max_iter=1, ignore_label=2, random_state=0
    )
    return clf.fit(X, masks)


@pytest.fixture(scope="session")
def pointer(scenes):
    """A regressor of two points as shares, after one epoch."""
    X, boxes, _ = scenes
    shares = (boxes.reshape(12, 2, 2) + 0.5) / (10, 8)
    reg = ConvNetRegressor([Conv2D(4, 3)], target="points", max_iter=1, random_state=0)
    return reg.fit(X, shares)
