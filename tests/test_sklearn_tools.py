"""scikit-learn's tools, with the estimators in them."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsOneClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.layers import Conv2D, Dense, Dropout
from sklearn_convnet.optimizers import Adam


@pytest.fixture
def flat_digits(digits):
    """Flat images, and a network for them that fits in a moment."""
    X, y = digits
    clf = ConvNetClassifier(
        [("conv1", Conv2D(4, 3, stride=2)), ("dense1", Dense(16))],
        input_shape=(8, 8),
        optimizer=Adam(0.01),
        batch_size=32,
        max_iter=12,
        random_state=0,
    )
    return X.reshape(len(X), 64), y, clf


# ---------------------------------------------------------------------------
# Searches and cross-validation
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_search_and_cross_validation_in_workers(run_python):
    """From a plain script, without an ``if __name__ == "__main__"``."""
    printed = run_python(
        """
        from sklearn.datasets import load_digits
        from sklearn.model_selection import GridSearchCV, cross_val_score
        from sklearn_convnet import ConvNetClassifier
        from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D, Rescale
        from sklearn_convnet.optimizers import Adam

        X, y = load_digits(return_X_y=True)
        X, y = X[:300].reshape(-1, 8, 8), y[:300]
        clf = ConvNetClassifier(
            [Rescale(1 / 16), ("conv1", Conv2D(6, 3)), MaxPool2D(2), Dense(16)],
            optimizer=Adam(0.01), batch_size=32, max_iter=8, random_state=0,
        )
        grid = {"conv1__filters": [1, 8], "dense1": ["passthrough", Dense(20)]}
        search = GridSearchCV(clf, grid, cv=2, n_jobs=2).fit(X, y)
        print(len(search.cv_results_["params"]), search.best_params_["conv1__filters"])
        shape = search.best_estimator_.get_weights()["conv1/weight"].shape
        print(shape, search.best_score_ > 0.8, clf.layers[1][1].filters)
        clf.set_params(conv1__filters=8)
        two = cross_val_score(clf, X, y, cv=3, n_jobs=2)
        one = cross_val_score(clf, X, y, cv=3)
        print((one == two).all(), two.min() > 0.75)
        """
    )
    assert printed.splitlines() == ["4 8", "(3, 3, 1, 8) True 6", "True True"]


@pytest.mark.filterwarnings("ignore:The network has learnt nothing")
def test_search_over_what_is_not_a_layer(flat_digits):
    X, y, clf = flat_digits
    grid = {"optimizer__learning_rate": [1e-6, 1e-2], "conv1__activation": ["tanh"]}
    search = GridSearchCV(clf, grid, cv=2).fit(X, y)
    assert search.best_params_["optimizer__learning_rate"] == 1e-2
    assert search.score(X, y) > 0.9


def test_cross_val_predict_and_learning_curve(flat_digits):
    X, y, clf = flat_digits
    P = cross_val_predict(clf, X, y, cv=2, method="predict_proba")
    assert np.mean(P.argmax(axis=1) == y) > 0.6
    sizes, _, scores = learning_curve(
        clf, X, y, cv=3, train_sizes=[40, 200], shuffle=True, random_state=0
    )
    few, many = scores.mean(axis=1)
    assert list(sizes) == [40, 200]
    assert many > few + 0.1
    *_, scores = learning_curve(
        clf, X, y, cv=3, train_sizes=[40, 200], exploit_incremental_learning=True
    )
    assert scores.shape == (2, 3)


# ---------------------------------------------------------------------------
# Estimators made of estimators
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_pipeline(flat_digits):
    X, y, clf = flat_digits
    pipe = make_pipeline(StandardScaler(), clf)
    pipe.set_params(convnetclassifier__conv1__filters=5).fit(X[:200], y[:200])
    assert pipe[-1].get_weights()["conv1/weight"].shape == (3, 3, 1, 5)
    assert pipe.score(X[200:], y[200:]) > 0.75


@pytest.mark.oldest
def test_bagging(flat_digits):
    X, y, clf = flat_digits
    bag = BaggingClassifier(clf, n_estimators=3, random_state=0).fit(X[:200], y[:200])
    assert bag.score(X[200:], y[200:]) > 0.75
    first, second = (m.get_weights()["conv1/weight"] for m in bag.estimators_[:2])
    assert not np.array_equal(first, second)  # each has a random state of its own


def test_boosting(flat_digits):
    X, y, clf = flat_digits
    boosted = AdaBoostClassifier(clf, n_estimators=3, random_state=0)
    boosted.fit(X[:200], y[:200])
    assert len(boosted.estimators_) >= 1
    assert boosted.score(X[200:], y[200:]) > 0.6


def test_stacking(flat_digits):
    X, y, clf = flat_digits
    members = [("a", clf), ("b", clone(clf).set_params(conv1="passthrough"))]
    stack = StackingClassifier(members, LogisticRegression(max_iter=2000), cv=2)
    assert stack.fit(X[:200], y[:200]).score(X[200:], y[200:]) > 0.75


def test_one_against_one(flat_digits):
    X, y, clf = flat_digits
    few = y < 3
    pairs = OneVsOneClassifier(clf).fit(X[few], y[few])
    assert len(pairs.estimators_) == 3
    assert pairs.score(X[few], y[few]) > 0.95


def test_permutation_importance(flat_digits):
    X, y, clf = flat_digits
    clf.fit(X, y)
    found = permutation_importance(clf, X, y, n_repeats=2, random_state=0)
    importances = found.importances_mean.reshape(8, 8)
    assert importances[:, 2:6].mean() > importances[:, [0, 7]].mean() + 0.01


@pytest.mark.parametrize("estimator", [ConvNetClassifier, ConvNetRegressor])
def test_routing_of_sample_weight(flat_digits, estimator):
    X, y, _ = flat_digits
    X, y = X[:60], y[:60] % 2
    model = estimator([Dense(4)], max_iter=3, random_state=0)
    weight = np.where(np.arange(len(y)) < 30, 1.0, 0.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipe = make_pipeline(FunctionTransformer(), model)
        folds = [(np.arange(60), np.arange(60))]
        params = {"sample_weight": weight}
        found = cross_validate(pipe, X, y, cv=folds, params=params, return_estimator=True)
        asked = model.get_metadata_routing().partial_fit.requests
    plain = clone(model).fit(X[:30], y[:30])
    np.testing.assert_array_equal(found["estimator"][0].predict(X), plain.predict(X))
    assert found["test_score"][0] == plain.score(X[:30], y[:30])
    assert "classes" not in asked


# ---------------------------------------------------------------------------
# Copies
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_a_clone_is_not_fitted_and_fits_alike(flat_digits):
    X, y, clf = flat_digits
    clf.fit(X, y)
    copy = clone(clf)
    assert not hasattr(copy, "network_")
    assert not hasattr(copy, "classes_")
    np.testing.assert_array_equal(copy.fit(X, y).predict_proba(X), clf.predict_proba(X))


@pytest.mark.oldest
@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_dump_and_load(flat_digits, tmp_path, mmap_mode):
    X, y, clf = flat_digits
    clf.set_params(layers=[*clf.layers, Dropout(0.2)]).fit(X, y)
    joblib.dump(clf, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib", mmap_mode=mmap_mode)
    if mmap_mode == "r":
        weights = loaded.network_.parameters().values()
        assert not any(array.flags.writeable for array in weights)
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    for model in (clf, loaded):
        model.partial_fit(X, y).set_params(warm_start=True, max_iter=2).fit(X, y)
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    again = joblib.load(tmp_path / "model.joblib")
    assert again.t_ == 12 * len(X)  # the file is as it was


def test_a_pickle_of_another_version_warns(flat_digits, monkeypatch):
    X, y, clf = flat_digits
    clf.set_params(max_iter=1).fit(X, y)
    monkeypatch.setattr("sklearn_convnet.estimators.fitted.package_version", lambda: "0.0.1")
    old = pickle.dumps(clf)
    monkeypatch.undo()
    message = "ConvNetClassifier from version sklearn_convnet 0.0.1"
    with pytest.warns(InconsistentVersionWarning, match=message):
        loaded = pickle.loads(old)
    np.testing.assert_array_equal(loaded.predict(X), clf.predict(X))
