"""Weights of a fitted network for another, and layers that keep them."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.estimators.transfer import copy_weights
from sklearn_convnet.layers import (
    BatchNorm,
    Conv1D,
    Conv2D,
    Conv3D,
    ConvTranspose2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    Sequential,
    Standardize,
)
from sklearn_convnet.network import compile_network
from sklearn_convnet.optimizers import SGD, Adam

BASE = ("scale/mean", "scale/deviation", "conv1/weight", "conv1/bias")


def layers(units=12, **params):
    return [
        ("scale", Standardize()),
        ("conv1", Conv2D(4, 3, **params)),
        ("norm1", BatchNorm(**params)),
        ("dense1", Dense(units)),
    ]


@pytest.fixture
def fitted(digits):
    X, y = digits
    clf = ConvNetClassifier(layers(), optimizer=Adam(0.01), batch_size=20, random_state=0)
    return clf.set_params(max_iter=6).fit(X[:200], y[:200])


@pytest.mark.oldest
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_training_goes_on_from_the_weights(digits, fitted, frozen, method):
    X, y = digits
    given = FrozenEstimator(fitted) if frozen else fitted.get_weights()
    # A rate so small that nothing moves: what comes out is what went in.
    still = clone(fitted).set_params(random_state=1, init_from=given, max_iter=1)
    still.set_params(layers=layers(trainable=False), optimizer="sgd", batch_size=200)
    if method == "fit":
        still.fit(X + 5, y)  # statistics are not those of X
    else:
        still.partial_fit(X + 5, y, classes=np.arange(10))
    expected, actual = fitted.get_weights(), still.get_weights()
    for path in expected:
        if path.startswith(("scale", "conv1", "norm1")):
            np.testing.assert_array_equal(actual[path], expected[path])
        else:
            assert not np.array_equal(actual[path], expected[path])
            np.testing.assert_allclose(actual[path], expected[path], atol=0.5)
    assert {"scale/mean", "norm1/variance", "norm1/scale"} < set(expected)


def test_what_was_not_copied_is_said(digits, fitted):
    X, y = digits
    clf = ConvNetClassifier(layers(units=7), max_iter=1, init_from=fitted.get_weights())
    weights = fitted.get_weights()
    message = (
        "init_from: these were not copied: 'dense1/weight' of shape (144, 12), which is "
        "(144, 7) here; 'dense1/bias' of shape (12,), which is (7,) here; 'output/weight' of "
        "shape (12, 10), which is (7, 10) here"
    )
    with pytest.warns(UserWarning, match=re.escape(message)) as seen:
        clf.fit(X, y)
    assert seen[0].filename == __file__
    clf.set_params(layers=[("scale", Standardize()), ("other", Conv2D(2, 3)), Dense(3)])
    message = "'conv1/weight', which this network does not have"
    with pytest.warns(UserWarning, match=message):
        clf.fit(X, y)
    # Of what is not given, nothing has to be said.
    some = {path: array for path, array in weights.items() if path.startswith("scale")}
    clf.set_params(init_from=some).fit(X + 3, y)
    np.testing.assert_array_equal(clf.get_weights()["scale/mean"], weights["scale/mean"])


def test_statistics_of_which_one_is_missing_are_those_of_the_data(digits, fitted):
    X, y = digits
    given = {path: array for path, array in fitted.get_weights().items() if "mean" not in path}
    clf = ConvNetClassifier(layers(), max_iter=1, init_from=given, random_state=0)
    plain = clone(clf).set_params(init_from=None).fit(X, y).get_weights()
    actual = clf.fit(X, y).get_weights()
    for path in ("scale/mean", "scale/deviation"):
        np.testing.assert_array_equal(actual[path], plain[path])


def test_other_draws_are_the_same(digits, fitted):
    """What is copied does not change the first weights of the other layers."""
    X, y = digits
    some = {"conv1/weight": fitted.get_weights()["conv1/weight"] * 0}
    # Steps that are lost in rounding: the first weights stay.
    clf = ConvNetClassifier(layers(), optimizer=SGD(1e-30), max_iter=1, random_state=0)
    before = clf.fit(X, y).get_weights()
    after = clf.set_params(init_from=some).fit(X, y).get_weights()
    assert before["conv1/weight"].all()
    assert np.abs(after["conv1/weight"]).max() < 1e-25
    for path in clf.network_.parameters().keys() - {"conv1/weight"}:
        if not path.endswith(("bias", "offset")):  # those begin with 0
            np.testing.assert_array_equal(after[path], before[path])


def test_only_the_first_of_several_fits_begins_from_them(digits, fitted):
    X, y = digits
    clf = ConvNetClassifier(
        layers(), max_iter=1, warm_start=True, init_from=fitted.get_weights(), random_state=0
    )
    clf.fit(X, y)
    first = clf.get_weights()["conv1/weight"]
    clf.set_params(init_from=None).fit(X, y)  # it has done its work
    assert not np.array_equal(clf.get_weights()["conv1/weight"], first)
    assert np.abs(clf.get_weights()["conv1/weight"] - first).max() < 0.1
    with pytest.raises(ValueError, match="init_from was changed since the last fit"):
        clf.set_params(init_from={"conv1/weight": 2 * first}).fit(X, y)


def test_between_kinds_of_estimators_and_dtypes(digits, fitted):
    X, y = digits
    reg = ConvNetRegressor(layers(), max_iter=1, init_from=FrozenEstimator(fitted))
    with pytest.warns(UserWarning, match="not copied: 'output/weight'.*'output/bias'"):
        reg.set_params(layers=layers(trainable=False)).fit(X.astype(np.float32), y)
    actual, expected = reg.get_weights(), fitted.get_weights()
    assert actual["conv1/weight"].dtype == np.float32
    for path in BASE:
        np.testing.assert_allclose(actual[path], expected[path], rtol=1e-6)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_search_clones_it(digits, fitted, frozen):
    X, y = digits
    given = FrozenEstimator(fitted) if frozen else fitted.get_weights()
    clf = clone(fitted).set_params(init_from=given, max_iter=1)
    search = GridSearchCV(clf, {"optimizer": ["sgd", "adam"]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.5
    scratch = GridSearchCV(clone(clf).set_params(init_from=None), {"max_iter": [1]}, cv=2)
    assert search.best_score_ > scratch.fit(X, y).best_score_ + 0.2


def test_a_bare_estimator_is_refused(digits, fitted):
    clf = clone(fitted).set_params(init_from=fitted)
    message = r"init_from must be.*bare ConvNetClassifier.*clone.*fitted.get_weights\(\) or Frozen"
    with pytest.raises(TypeError, match=message):
        clf.fit(*digits)
    for wrong in (FrozenEstimator(DummyClassifier()), 3, [np.zeros(3)], "imagenet"):
        with pytest.raises(TypeError, match=r"init_from must be a dict.*got "):
            clf.set_params(init_from=wrong).fit(*digits)
    assert not hasattr(clf, "network_")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, r"none of its arrays \[\] has the path and shape.*'conv2d1/weight'.*same names"),
        ({"conv1/weight": np.zeros(2)}, r"none of its arrays \['conv1/weight'\]"),
        ({"conv2d1/bias": np.array([0, np.nan])}, "'conv2d1/bias' must be an array of finite"),
        ({"conv2d1/bias": np.array(["a", "b"])}, "'conv2d1/bias' must be an array of finite"),
    ],
)
def test_wrong_weights(weights, message):
    network = compile_network([Conv2D(2, 3)], (4, 4), random_state=0)
    with pytest.raises(ValueError, match=f"(?s)init_from: {message}"):
        copy_weights(network, weights)


# ---------------------------------------------------------------------------
# Weights that are laid out as PyTorch's
# ---------------------------------------------------------------------------

# A layer, the shape of a sample, and ours as an array of PyTorch's.
LAID_OUT = {
    "conv1d": (Conv1D(4, 3), (9, 2), lambda W: W.transpose(2, 1, 0)),
    "conv2d": (Conv2D(4, (3, 2)), (9, 8, 2), lambda W: W.transpose(3, 2, 0, 1)),
    "conv3d": (Conv3D(4, (3, 2, 1)), (5, 5, 5, 2), lambda W: W.transpose(4, 3, 0, 1, 2)),
    "groups": (Conv2D(4, 3, groups=2), (6, 6, 2), lambda W: W.transpose(3, 2, 0, 1)),
    "as many maps": (Conv2D(4, 3), (6, 6, 4), lambda W: W.transpose(3, 2, 0, 1)),
    "transposed": (ConvTranspose2D(4, 3), (6, 6, 2), lambda W: W.transpose(2, 3, 0, 1)),
    "transposed in groups": (
        ConvTranspose2D(6, 3, groups=2),
        (6, 6, 4),
        lambda W: W.transpose(2, 3, 0, 1),
    ),
    "depthwise": (DepthwiseConv2D(3), (6, 6, 2), lambda W: W.transpose(2, 3, 0, 1)),
    "multiplier": (
        DepthwiseConv2D(3, multiplier=2),
        (6, 6, 5),
        lambda W: W.transpose(2, 3, 0, 1).reshape(10, 1, 3, 3),
    ),
    "dense": (Dense(4), (7,), lambda W: W.T),
    "dense on maps": (
        Dense(4),
        (3, 5, 2),
        lambda W: W.reshape(3, 5, 2, 4).transpose(3, 2, 0, 1).reshape(4, 30),
    ),
    "dense after flatten": (
        Sequential([Flatten(), Dropout(0.1), ("layer", Dense(4))]),
        (6, 3),
        lambda W: W.reshape(6, 3, 4).transpose(2, 1, 0).reshape(4, 18),
    ),
}


@pytest.mark.parametrize("name", LAID_OUT)
def test_weights_of_pytorch_are_recognised(name):
    layer, shape, as_torch = LAID_OUT[name]
    network = compile_network([("layer", layer)], shape, random_state=0)
    path = next(path for path in network.parameters() if path.endswith("/weight"))
    W = network.parameters()[path].copy()
    array = np.ascontiguousarray(as_torch(W))
    with pytest.raises(ValueError, match=re.escape(f"{path!r} of shape {array.shape}")) as caught:
        copy_weights(network, {path: array})
    way = re.search(r"if it is PyTorch's, give (array\.[^;]*?)(, or of .*)?\)$", str(caught.value))
    assert way is not None, str(caught.value)
    turned = eval(way[1], {"array": array})
    np.testing.assert_array_equal(turned, W)
    assert copy_weights(network, {path: turned}) == {path}


def test_weights_of_pytorch_where_others_fit(digits, fitted):
    X, y = digits
    weights = fitted.get_weights()
    weights["conv1/weight"] = weights["conv1/weight"].transpose(3, 2, 0, 1)
    clf = ConvNetClassifier(layers(), max_iter=1, init_from=weights, random_state=0)
    message = "'conv1/weight' of shape (4, 1, 3, 3), which is (3, 3, 1, 4) here (if it is PyTorch's"
    with pytest.warns(UserWarning, match=re.escape(message)):
        clf.fit(X, y)
    both = np.zeros((4, 4, 3, 3))
    network = compile_network([("a", ConvTranspose2D(4, 3)), ("b", Dense(5))], (6, 6, 4))
    message = "give array.transpose(2, 3, 1, 0), or of a transposed convolution "
    with pytest.raises(ValueError, match=re.escape(message + "array.transpose(2, 3, 0, 1))")):
        copy_weights(network, {"a/weight": both})
    for shape in ((4, 4), (3, 4, 4, 3), (5, 255)):
        with pytest.raises(ValueError, match="give the layers the same names") as caught:
            copy_weights(network, {"a/weight": np.zeros(shape), "b/bias": np.zeros(shape)})
        assert "PyTorch" not in str(caught.value)
