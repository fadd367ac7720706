"""Models of scikit-learn that hold networks, as skl2onnx converts them."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import sys

import numpy as np
import pytest
import skl2onnx
from onnx_runs import assert_close, run
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    BaggingClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.interchange import register_skl2onnx
from sklearn_convnet.layers import BatchNorm, ConcatFeatures, Conv2D, Dense, MaxPool2D, Upsample2D

N = 60


@pytest.fixture(autouse=True)
def registered():
    register_skl2onnx()


def data(dtype="float32"):
    X = np.random.RandomState(0).normal(size=(N, 30)).astype(dtype)
    y = np.arange(N) % 3
    X[:, 0] += y
    return X, y


def network(kind=ConvNetClassifier, **params):
    layers = [Upsample2D(2), Conv2D(3, 3), BatchNorm(), MaxPool2D(2), Dense(8)]
    return kind(layers, **{"input_shape": (6, 5), "max_iter": 2, "random_state": 0, **params})


def assert_same(model, X, **options):
    """A fitted classifier or regressor, converted, predicts the same."""
    if is_classifier(model):
        options.setdefault("options", {"zipmap": False})
    found = run(skl2onnx.to_onnx(model, X[:1], **options), X)
    predicted = model.predict(X)
    if "variable" in found:
        assert found["variable"].shape == (N, predicted.size // N)
        assert_close(found["variable"].reshape(predicted.shape), predicted)
        return
    assert found["label"].tolist() == predicted.tolist()
    if hasattr(model, "predict_proba"):
        assert_close(found["probabilities"], model.predict_proba(X))


def both(make, **params):
    """Beside a network, and a network behind a scaler."""
    linear = LogisticRegression() if "Classifier" in make.__name__ else Ridge()
    kind = ConvNetClassifier if "Classifier" in make.__name__ else ConvNetRegressor
    first = make_pipeline(StandardScaler(), network(kind))
    return make([("a", first), ("b", linear), ("c", network(kind))], **params)


CLASSIFIERS = {
    "alone": network,
    "pipeline": lambda: make_pipeline(StandardScaler(), network()),
    "soft votes": lambda: both(VotingClassifier, voting="soft", flatten_transform=False),
    "calibrated": lambda: CalibratedClassifierCV(network(), cv=2),
    "search": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), network()),
        {"convnetclassifier__conv2d1__filters": [2, 4]},
        cv=2,
    ),
    "search for a network": lambda: GridSearchCV(network(), {"dense1__units": [4, 8]}, cv=2),
    "stacked": lambda: both(StackingClassifier, cv=2),
    "bagging": lambda: BaggingClassifier(network(), 2, random_state=0),
    "one against the rest": lambda: OneVsRestClassifier(network()),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("labels", [np.arange(3), np.array(["a", "b", "c"])], ids=["int", "str"])
def test_classifiers(name, labels):
    X, y = data()
    assert_same(CLASSIFIERS[name]().fit(X, labels[y]), X)


def test_two_classes():
    X, y = data()
    for name in ("alone", "soft votes", "calibrated"):
        assert_same(CLASSIFIERS[name]().fit(X, y == 1), X)


def test_hard_votes():
    X, y = data()
    assert_same(both(VotingClassifier, flatten_transform=False).fit(X, y), X)


def test_several_labels_at_once():
    X, _ = data()
    y = np.random.RandomState(1).randint(2, size=(N, 3))
    assert_same(make_pipeline(StandardScaler(), network()).fit(X, y), X)


REGRESSORS = {
    "alone": lambda: network(ConvNetRegressor),
    "pipeline": lambda: make_pipeline(MinMaxScaler(), network(ConvNetRegressor)),
    "votes": lambda: both(VotingRegressor),
    "stacked": lambda: both(StackingRegressor, cv=2),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors(name):
    X, y = data()
    assert_same(REGRESSORS[name]().fit(X, 1e3 + 5.0 * y), X)


def test_several_values_and_points():
    X, _ = data()
    y = np.random.RandomState(1).uniform(size=(N, 3, 2))
    assert_same(network(ConvNetRegressor).fit(X, y[..., 0]), X)
    assert_same(network(ConvNetRegressor, target="points").fit(X, y), X)


def test_values_that_float32_does_not_tell_apart_are_floats():
    X, y = data()
    reg = network(ConvNetRegressor).fit(X, 1e9 + y)
    assert reg.predict(X).dtype == np.float64
    assert_same(reg, X)


def test_doubles():
    X, y = data("float64")
    clf = make_pipeline(StandardScaler(), ConvNetClassifier([Dense(8)], max_iter=2)).fit(X, y)
    model = skl2onnx.to_onnx(clf, X[:1], options={"zipmap": False})
    assert_close(run(model, X)["probabilities"], clf.predict_proba(X), "float64")


def test_floats_into_a_network_of_doubles():
    X, y = data("float64")
    clf = network().fit(X, y)
    found = run(skl2onnx.to_onnx(clf, X[:1].astype(np.float32), options={"zipmap": False}),
                X.astype(np.float32))  # fmt: skip
    assert_close(found["probabilities"], clf.predict_proba(X), "float32")


def test_integers():
    X = np.random.RandomState(0).randint(16, size=(N, 30))
    clf = network(dtype="float32").fit(X, data()[1])
    assert_same(clf, X)


def test_channels_first():
    X, y = data()
    shape = {"input_shape": (2, 5, 3), "data_format": "channels_first"}
    assert_same(network(**shape).fit(X, y), X)


def test_zipmap():
    X, y = data()
    clf = network().fit(X, np.array(["a", "b", "c"])[y])
    found = run(skl2onnx.to_onnx(clf, X[:1]), X)
    rows = [list(row.values()) for row in found["output_probability"]]
    assert_close(rows, clf.predict_proba(X))
    assert list(found["output_probability"][0]) == ["a", "b", "c"]
    columns = run(skl2onnx.to_onnx(clf, X[:1], options={"zipmap": "columns"}), X)
    assert_close(columns["b" if "b" in columns else "sb"], clf.predict_proba(X)[:, 1])


def test_versions():
    X, y = data()
    clf = network().fit(X, y)
    assert_same(clf, X, target_opset=18)
    with pytest.raises(ValueError, match="opset must be an integer from 18"):
        skl2onnx.to_onnx(clf, X[:1], target_opset=15)


def test_y_that_other_models_do_not_know():
    X, y = data()
    boxes = np.random.RandomState(0).uniform(size=(N, 4))
    maps = np.random.RandomState(0).randint(2, size=(N, 6, 5))
    same = [Conv2D(2, 3, padding="same")]
    for model in (
        network().fit(X, y, boxes=boxes),
        network().fit(X, np.column_stack([y, y])),
        ConvNetClassifier(same, input_shape=(6, 5), max_iter=1).fit(X, maps),
        ConvNetRegressor(same, input_shape=(6, 5), max_iter=1, target="maps").fit(X, 1.0 * maps),
    ):
        with pytest.raises(NotImplementedError, match=r"by sklearn_convnet\.interchange\.to_onnx"):
            skl2onnx.to_onnx(model, X[:1])


def test_features_that_other_models_do_not_know():
    X, y = data()
    model = ConvNetClassifier([ConcatFeatures(), Dense(3)], max_iter=2).fit(X, y, features=X[:, :2])
    with pytest.raises(
        NotImplementedError, match=r"one table of numbers, .* \w+\.interchange\.to_"
    ):
        skl2onnx.to_onnx(model, X[:1])


def test_labels_that_skl2onnx_does_not_have():
    X, y = data()
    with pytest.raises(NotImplementedError, match=r"integers or strings, .*dtype float64"):
        skl2onnx.to_onnx(network().fit(X, 1.0 * y), X[:1], options={"zipmap": False})


def test_without_skl2onnx(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn_convnet\[onnx\]'"):
        register_skl2onnx()
