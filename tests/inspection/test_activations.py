"""Outputs of layers of estimators and networks."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
import tracemalloc

import layer_cases as cases
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.inspection import activations
from sklearn_convnet.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool,
    MaxPool2D,
    Residual,
)
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.network import compile_network

LAYERS = [
    ("conv", Conv2D(4, 3, padding=1)),
    ("block", Residual([("inner", Conv2D(4, 3, padding="same", activation=None)), BatchNorm()])),
    Dropout(0.5),
    MaxPool2D(2),
    Dense(7),
]


def fitted(X, y, **options):
    return ConvNetClassifier(LAYERS, max_iter=2, random_state=0, **options).fit(X, y)


def before_softmax(proba):
    """Logarithms, but for a number of each sample that softmax does not see."""
    log = np.log(proba)
    return log - log.mean(axis=1, keepdims=True)


def test_the_output_of_each_layer(digits):
    X, y = digits
    clf = fitted(X.astype(np.float64), y)
    maps = activations(clf, X[:20], ["conv", "block/inner", "block", "dropout1", -2, "output"])
    assert list(maps) == ["conv", "block/inner", "block", "dropout1", "dense1", "output"]
    assert [array.shape for array in maps.values()] == [
        *[(20, 8, 8, 4)] * 4,
        (20, 7),
        (20, 10),
    ]
    assert {array.dtype for array in maps.values()} == {np.dtype(np.float64)}
    cases.assert_same_bits(maps["dropout1"], maps["block"])
    weights = clf.get_weights()
    hidden = maps["block"].reshape(20, 4, 2, 4, 2, 4).max(axis=(2, 4)).reshape(20, -1)
    hidden = np.maximum(hidden @ weights["dense1/weight"] + weights["dense1/bias"], 0)
    cases.assert_close(maps["dense1"], hidden, 1e-12)
    output = hidden @ weights["output/weight"] + weights["output/bias"]
    cases.assert_close(maps["output"], output, 1e-12)
    centred = maps["output"] - maps["output"].mean(axis=1, keepdims=True)
    cases.assert_close(centred, before_softmax(clf.predict_proba(X[:20])), 1e-10)


def test_the_estimator_is_not_touched(digits):
    X, y = digits
    clf = fitted(X, y)
    before, attributes = pickle.dumps(clf), dict(vars(clf))
    for array in clf.network_.parameters().values():
        array.flags.writeable = False
    first = activations(clf, X, ["conv", "block", -1])
    assert pickle.dumps(clf) == before
    assert all(vars(clf)[name] is value for name, value in attributes.items())
    assert vars(clf).keys() == attributes.keys()
    for path, array in activations(clf, X, ["conv", "block", -1]).items():
        cases.assert_same_bits(array, first[path])


def test_batches_do_not_matter(digits, monkeypatch):
    X, y = digits
    clf = fitted(X, y)
    whole = activations(clf, X, ["block", "dense1"])
    monkeypatch.setattr("sklearn_convnet.training.PREDICT_ROWS", 7)
    for path, array in activations(clf, X, ["block", "dense1"]).items():
        cases.assert_same_bits(array, whole[path])
    one = activations(clf, X[3:4], "block")["block"]
    cases.assert_same_bits(one, whole["block"][3:4])


def test_each_layer_has_an_array_of_its_own(digits):
    X, y = digits
    clf = fitted(X.astype(np.float32), y)
    X = X.astype(np.float32)
    network = compile_network([Dropout(0.5), Dense(2)], X.shape[1:], random_state=0)
    maps = activations(network, X, [0, 1])
    assert not np.shares_memory(maps["dropout1"], X)
    cases.assert_same_bits(maps["dropout1"], X)
    maps = activations(clf, X, ["block", "dropout1"])
    assert not np.shares_memory(maps["block"], maps["dropout1"])


def test_one_layer_and_the_same_twice(digits):
    X, y = digits
    clf = fitted(X, y)
    [(path, maps)] = activations(clf, X, "conv").items()
    assert path == "conv"
    for layers in (0, [0], np.int64(0), ["conv", 0, -len(clf.layers_)], ("conv",)):
        [(path, again)] = activations(clf, X, layers).items()
        assert path == "conv"
        cases.assert_same_bits(again, maps)


def test_X_is_taken_as_by_predict(digits):
    """As it was given to fit: flat, with channels or without, first or last, bytes, lists."""
    X, y = digits
    clf = fitted(X, y, input_shape=(8, 8))
    expected = activations(clf, X, "block")["block"]
    forms = [X[..., None], X.reshape(len(X), 64), X.tolist(), np.asfortranarray(X)]
    forms += [X.astype(np.uint8), X.astype(np.float32), pd.DataFrame(X.reshape(len(X), 64))]
    forms += [pd.Series(list(X))]
    for form in forms:
        cases.assert_close(activations(clf, form, "block")["block"], expected, 1e-5)

    first = X.reshape(len(X), 1, 8, 8)
    clf = fitted(first, y, data_format="channels_first")
    maps = activations(clf, first, "block")["block"]
    assert maps.shape == (len(X), 8, 8, 4)
    cases.assert_close(maps, expected, 1e-5)


def test_the_crop_in_the_middle(digits):
    X, y = digits
    clf = fitted(X, y, multi_crop=MultiCrop(6, n_crops=5))
    maps = activations(clf, X, "conv")["conv"]
    network = activations(clf.network_, X[:, 1:7, 1:7], "conv")["conv"]
    cases.assert_same_bits(maps, network.astype(maps.dtype))
    assert maps.shape == (len(X), 6, 6, 4)


def test_two_outputs_and_a_regressor(digits):
    X, y = digits
    boxes = np.tile([0.2, 0.2, 0.8, 0.8], (len(X), 1))
    clf = ConvNetClassifier([Conv2D(2, 3)], box_weight=1.0, max_iter=1, random_state=0)
    clf.fit(X, y, boxes=boxes)
    maps = activations(clf, X[:9], ["output", "box", -1, -2, -3])
    assert {path: array.shape for path, array in maps.items()} == {
        "output": (9, 10),
        "box": (9, 4),
        "conv2d1": (9, 6, 6, 2),
    }
    cases.assert_close(maps["box"], clf.predict_box(X[:9]), 1e-5)

    reg = ConvNetRegressor([Conv2D(2, 3)], max_iter=1, random_state=0).fit(X, y)
    output = activations(reg, X, "output")["output"]
    weights = reg.get_weights()
    values = output * weights["output/target_deviation"] + weights["output/target_mean"]
    cases.assert_close(values[:, 0], reg.predict(X), 1e-5)


def test_a_network_of_its_own():
    layers = [Conv2D(3, 3), GlobalAvgPool(), Dense(2)]
    network = compile_network(layers, (6, 6), random_state=0)
    X = np.random.RandomState(0).normal(size=(5, 6, 6))
    maps = activations(network, X, [-1, "globalavgpool1"])
    cases.assert_close(maps["dense1"], network.forward(X), 1e-6)
    assert maps["globalavgpool1"].shape == (5, 3)


def test_memory_map(tmp_path, digits):
    X, y = digits
    clf = fitted(X.astype(np.uint8), y)
    np.save(tmp_path / "X.npy", X.astype(np.uint8))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    cases.assert_same_bits(
        activations(clf, mapped, -2)["dense1"], activations(clf, X.astype(np.uint8), -2)["dense1"]
    )


def test_memory_does_not_grow_with_X():
    """But for the result: of ten times as many samples the maps are no more at a time."""
    layers = [Conv2D(16, 3, padding=1), Conv2D(16, 3, padding=1), GlobalAvgPool()]
    network = compile_network(layers, (32, 32), random_state=0)
    peaks = []
    for n in (256, 2560):
        X = np.zeros((n, 32, 32), np.float32)
        activations(network, X[:1], -1)
        tracemalloc.start()
        [maps] = activations(network, X, -1).values()
        peaks.append(tracemalloc.get_traced_memory()[1] - maps.nbytes)
        tracemalloc.stop()
    assert peaks[0] > 2**24  # the maps of a batch
    # What is checked of X may be copied once, as by `predict`.
    assert peaks[1] < 1.2 * peaks[0] + 2 * X.nbytes


# ---------------------------------------------------------------------------
# Bad input
# ---------------------------------------------------------------------------


def test_no_such_layer(digits):
    X, y = digits
    clf = fitted(X, y)
    with pytest.raises(ValueError, match="there is no layer 'cnov': did you mean 'conv'"):
        activations(clf, X, ["conv", "cnov"])
    with pytest.raises(ValueError, match="layer=6 does not exist: the network has 6 layers"):
        activations(clf, X, 6)
    with pytest.raises(ValueError, match="layers is empty"):
        activations(clf, X, [])
    with pytest.raises(TypeError, match="a layer must be given by its path"):
        activations(clf, X, [0.5])
    with pytest.raises(TypeError, match="layers must be"):
        activations(clf, X, None)


def test_bad_X(digits):
    X, y = digits
    clf = fitted(X, y)
    with pytest.raises(ValueError, match=r"X has samples of shape \(7, 8\)"):
        activations(clf, X[:, :7], 0)
    with pytest.raises(ValueError, match="NaN"):
        activations(clf, np.full((2, 8, 8), np.nan), 0)
    with pytest.raises(ValueError, match="X has samples of shape"):
        activations(clf.network_, X[:, :7], 0)


def test_what_is_no_network(digits):
    X, y = digits
    with pytest.raises(NotFittedError):
        activations(ConvNetClassifier(), X, 0)
    for other in (None, Conv2D(3, 3), make_pipeline(fitted(X, y))):
        with pytest.raises(TypeError, match="expected a fitted ConvNetClassifier or"):
            activations(other, X, 0)
