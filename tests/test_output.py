"""Networks that end where the user says: the last maps are the outputs."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.layers import (
    Conv1D,
    Conv2D,
    Dense,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool2D,
    Sequential,
    Standardize,
)
from sklearn_convnet.optimizers import Adam


def softmax(Z):
    P = np.exp(Z - Z.max(axis=-1, keepdims=True))
    return P / P.sum(axis=-1, keepdims=True)


def scores(n, **options):
    """A last layer without an activation."""
    return Conv2D(n, 1, activation=None, **options)


HEAD = [Conv2D(8, 3), MaxPool2D(2)]


def test_probabilities_are_those_of_the_mean_over_positions(digits):
    X, y = digits
    clf = ConvNetClassifier(
        [Standardize(), *HEAD, Conv2D(32, 3), scores(10)],
        output=None,
        optimizer=Adam(0.02),
        batch_size=32,
        max_iter=15,
        random_state=0,
    )
    with pytest.warns(match="Maximum iterations"):
        clf.fit(X, y)
    assert [name for name, _ in clf.layers_] == [
        "standardize1",
        "conv2d1",
        "maxpool2d1",
        "conv2d2",
        "conv2d3",
        "output",
    ]
    assert not [path for path in clf.get_weights() if path.startswith("output")]
    assert clf.score(X, y) > 0.95
    maps = clf.network_.probe().forward(X[:5], ["conv2d3"])["conv2d3"]
    assert_allclose(clf.predict_proba(X[:5]), softmax(maps.mean(axis=(1, 2))), rtol=1e-5)
    # Nothing here has a size of its own.
    assert clf.predict(np.pad(X[:5], [(0, 0), (0, 6), (0, 3)])).shape == (5,)
    restored = pickle.loads(pickle.dumps(clf))
    assert_array_equal(restored.predict_proba(X), clf.predict_proba(X))


@pytest.mark.parametrize("end", [GlobalMaxPool(), GlobalAvgPool()])
def test_a_pool_of_the_users_own(end):
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(12, 8, 8)), np.arange(12) % 3
    clf = ConvNetClassifier([*HEAD, scores(3), end], output=None, max_iter=1, random_state=0)
    with pytest.warns(match="Maximum iterations"):
        clf.fit(X, y)
    maps = clf.network_.probe().forward(X, ["conv2d2"])["conv2d2"]
    pooled = maps.max(axis=(1, 2)) if isinstance(end, GlobalMaxPool) else maps.mean(axis=(1, 2))
    assert_allclose(clf.predict_proba(X), softmax(pooled), rtol=1e-5)
    assert clf.layers_[-1][0] != "output"


def test_a_time_delay_network():
    """The share of time steps above zero, told by the mean of the scores over time."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(200, 30, 1)) + np.where(np.arange(200) % 2, 0.5, -0.5)[:, None, None]
    y = np.array(["low", "high"])[np.arange(200) % 2]
    layers = [Conv1D(6, 3), Conv1D(2, 3, activation=None)]
    clf = ConvNetClassifier(layers, output=None, batch_size=20, max_iter=20, random_state=0)
    with pytest.warns(match="Maximum iterations"):
        clf.fit(X, y)
    assert clf.score(X, y) > 0.95
    longer = rng.normal(-0.5, 1, size=(4, 55, 1))
    assert clf.predict(longer).tolist() == ["low"] * 4


def test_flat_outputs_and_values():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(40, 6, 6)), rng.normal(30, 2, size=(40, 2))
    reg = ConvNetRegressor([Dense(2, activation=None)], output=None, max_iter=1, random_state=0)
    with pytest.warns(match="Maximum iterations"):
        reg.fit(X, y)
    assert [name for name, _ in reg.layers_] == ["dense1"]
    assert_allclose(reg.predict(X).mean(axis=0), y.mean(axis=0), atol=6)


@pytest.mark.parametrize("kind", ["labels", "values"])
def test_maps(kind):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(6, 8, 8))
    last = scores(2 if kind == "labels" else 1)
    layers = [Conv2D(4, 3, padding="same"), last]
    if kind == "labels":
        model, y = ConvNetClassifier(layers, output=None, max_iter=1), rng.randint(2, size=X.shape)
    else:
        model = ConvNetRegressor(layers, output=None, max_iter=1, target="maps")
        y = rng.normal(size=X.shape)
    with pytest.warns(match="Maximum iterations"):
        model.fit(X, y)
    assert [name for name, _ in model.layers_] == ["conv2d1", "conv2d2"]
    assert model.predict(X).shape == y.shape


def test_several_labels():
    rng = np.random.RandomState(0)
    X, Y = rng.normal(size=(12, 8, 8)), rng.randint(2, size=(12, 4))
    clf = ConvNetClassifier([*HEAD, scores(4)], output=None, max_iter=1, random_state=0)
    with pytest.warns(match="Maximum iterations"):
        clf.fit(X, Y)
    assert clf.predict_proba(X).shape == (12, 4)


def test_it_can_be_searched(digits):
    X, y = digits
    clf = ConvNetClassifier([Standardize(), *HEAD, scores(10)], input_shape=(8, 8), max_iter=1)
    search = GridSearchCV(clf, {"output": ["auto", None]}, cv=2, error_score="raise")
    with pytest.warns(match="Maximum iterations"):
        search.fit(X[:100], y[:100])
    assert len(search.cv_results_["mean_test_score"]) == 2


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([*HEAD, scores(4)], r"y needs 3 outputs, but the layers end in shape \(3, 3, 4\)"),
        ([Dense(5, activation=None)], r"y needs 3 outputs, but the layers end in shape \(5,\)"),
        (None, "y needs 3 outputs, but the layers end in shape"),
    ],
)
def test_other_numbers_of_outputs(layers, message):
    X, y = np.random.RandomState(0).normal(size=(12, 8, 8)), np.arange(12) % 3
    with pytest.raises(ValueError, match=message):
        ConvNetClassifier(layers, output=None).fit(X, y)


def test_maps_of_another_size():
    X, y = np.random.RandomState(0).normal(size=(4, 8, 8)), np.arange(256).reshape(4, 8, 8) % 2
    with pytest.raises(ValueError, match="y holds maps of 8 x 8, but the layers end in"):
        ConvNetClassifier([scores(2, stride=2)], output=None).fit(X, y)


def test_boxes_need_a_layer_of_their_own():
    X, y = np.zeros((4, 8, 8)), [0, 1, 0, 1]
    with pytest.raises(ValueError, match="labels with boxes need two layers"):
        ConvNetClassifier([scores(2)], output=None).fit(X, y, boxes=np.zeros((4, 4)))


@pytest.mark.parametrize("last", [Conv2D(2, 1), Sequential([Conv2D(2, 1)])])
def test_an_activation_before_the_outputs_is_told(last):
    X, y = np.random.RandomState(0).normal(size=(8, 6, 6)), np.arange(8) % 2
    clf = ConvNetClassifier([last, GlobalAvgPool()], output=None, max_iter=1)
    with pytest.warns(UserWarning, match="layer 'conv2d1' has activation='relu', but with output"):
        clf.fit(X, y)


def test_it_must_not_change_where_training_goes_on():
    X, y = np.random.RandomState(0).normal(size=(12, 8, 8)), np.arange(12) % 2
    clf = ConvNetClassifier([*HEAD, scores(2)], max_iter=1, warm_start=True)
    with pytest.warns(match="Maximum iterations"):
        clf.fit(X, y)
    with pytest.raises(ValueError, match="output"):
        clf.set_params(output=None).fit(X, y)


def test_other_values():
    with pytest.raises(ValueError, match="The 'output' parameter of ConvNetClassifier must be"):
        ConvNetClassifier([], output="mean").fit(np.zeros((4, 3)), [0, 1, 0, 1])
