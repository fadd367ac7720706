"""Names that scikit-learn's networks have as well mean the same here."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect
import re
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.callbacks import EarlyStopping
from sklearn_convnet.layers import Activation, Conv2D, Dense, Flatten, Standardize
from sklearn_convnet.losses import Poisson
from sklearn_convnet.optimizers import SGD, Adam

TABLE = Path(__file__).parents[1] / "docs" / "mlp.md"
PAIRS = [(ConvNetClassifier, MLPClassifier), (ConvNetRegressor, MLPRegressor)]
every_pair = pytest.mark.parametrize(("estimator", "mlp"), PAIRS)
every_estimator = pytest.mark.parametrize("estimator", [ConvNetClassifier, ConvNetRegressor])
ENDED_BY_MAX_ITER = r"Stochastic Optimizer: Maximum iterations \({}\) reached and the optimization"


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def dense(estimator, *units, **params):
    return estimator([Dense(n) for n in units], **{"random_state": 0, **params})


@pytest.fixture
def every_warning():
    """Warnings are errors, also those of `max_iter`."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# ---------------------------------------------------------------------------
# Parameters and attributes
# ---------------------------------------------------------------------------


@every_pair
def test_the_table_tells_of_every_name(iris, estimator, mlp):
    told = set(re.findall(r"`(\w+)`", TABLE.read_text()))
    fitted = mlp(max_iter=1).fit(*iris)
    attributes = {name for name in vars(fitted) if name.endswith("_") and name[0] != "_"}
    assert set(inspect.signature(mlp).parameters) | attributes <= told


@every_pair
def test_defaults_of_names_in_common_agree(estimator, mlp):
    ours, theirs = estimator().get_params(), mlp().get_params()
    common = ours.keys() & theirs.keys() - {"loss"}
    assert {name: ours[name] for name in common} == {name: theirs[name] for name in common}
    assert len(common) > 9
    learning_rate = theirs["learning_rate_init"], theirs["beta_1"], theirs["beta_2"]
    assert learning_rate == (Adam().learning_rate, Adam().beta_1, Adam().beta_2)


@pytest.mark.oldest
@every_pair
@pytest.mark.parametrize("early_stopping", [False, True])
def test_attributes_in_common_are_alike(iris, estimator, mlp, early_stopping):
    X, y = iris
    params = dict(max_iter=5, early_stopping=early_stopping, random_state=0)
    ours = estimator([Dense(6), Dense(4)], **params).fit(X, y)
    theirs = mlp(hidden_layer_sizes=(6, 4), **params).fit(X, y)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("loss_", "best_loss_", "best_validation_score_"):
        assert isinstance(getattr(ours, name), float) == isinstance(getattr(theirs, name), float)
    for name in ("loss_curve_", "validation_scores_"):
        assert np.shape(getattr(ours, name)) == np.shape(getattr(theirs, name))
    assert (ours.validation_scores_ is None) == (not early_stopping)
    assert (ours.best_loss_ is None) == early_stopping


OUT_ACTIVATIONS = {
    "classes": (ConvNetClassifier, np.arange(12) % 3, {}, "softmax", 3),
    "two classes": (ConvNetClassifier, np.arange(12) % 2, {}, "softmax", 2),
    "labels": (ConvNetClassifier, np.eye(12, 3, dtype=int), {}, "logistic", 3),
    "columns": (ConvNetClassifier, np.arange(24).reshape(12, 2) % 4, {}, "softmax", 4),
    "boxes": (
        ConvNetClassifier,
        np.column_stack([np.arange(12) % 2, np.ones((12, 4))]),
        {"box_weight": 1.0},
        "softmax",
        2,
    ),
    "values": (ConvNetRegressor, np.arange(24.0).reshape(12, 2), {}, "identity", 2),
    "counts": (ConvNetRegressor, np.arange(12), {"loss": "poisson"}, "exp", 1),
    "counts of an instance": (ConvNetRegressor, np.arange(12), {"loss": Poisson()}, "exp", 1),
}


@pytest.mark.parametrize("name", OUT_ACTIVATIONS)
def test_what_the_output_is(name):
    estimator, y, params, activation, n_outputs = OUT_ACTIVATIONS[name]
    X = np.random.RandomState(0).normal(size=(12, 4, 4))
    layers = [Conv2D(2, 3), Activation("tanh"), Flatten()]
    model = estimator(layers, max_iter=1, random_state=0, **params)
    for attribute in ("out_activation_", "n_layers_", "n_outputs_"):
        assert not hasattr(model, attribute)
    model.fit(X, y)
    assert (model.out_activation_, model.n_outputs_) == (activation, n_outputs)
    assert model.n_layers_ == len(layers) + 2
    model.set_params(loss="auto")  # a fitted network stays what it is
    assert model.out_activation_ == activation


@every_estimator
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_X_is_that_of_the_weights(iris, estimator, dtype):
    X, y = iris
    model = dense(estimator, 5, max_iter=2).fit(X.astype(dtype), y)
    assert {array.dtype for array in model.network_.parameters().values()} == {np.dtype(dtype)}
    expected = y.dtype if estimator is ConvNetClassifier else dtype
    assert model.predict(X.astype(dtype)).dtype == expected


# ---------------------------------------------------------------------------
# When training ends
# ---------------------------------------------------------------------------


@pytest.mark.oldest
@every_estimator
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("n_iter_no_change", [10, np.inf])
def test_max_iter_warns(iris, estimator, early_stopping, n_iter_no_change):
    params = dict(early_stopping=early_stopping, n_iter_no_change=n_iter_no_change)
    model = dense(estimator, 4, max_iter=3, tol=0, **params)
    with pytest.warns(ConvergenceWarning, match=ENDED_BY_MAX_ITER.format(3)) as seen:
        model.fit(*iris)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    assert model.n_iter_ == 3
    if not early_stopping:
        with pytest.warns(ConvergenceWarning, match=ENDED_BY_MAX_ITER.format(3)):
            model.set_params(warm_start=True).fit(*iris)


@every_pair
def test_the_warning_is_that_of_mlp(iris, estimator, mlp):
    texts = []
    for model in (dense(estimator, 4, max_iter=2), mlp(hidden_layer_sizes=4, max_iter=2)):
        with pytest.warns(ConvergenceWarning) as seen:
            model.fit(*iris)
        texts.append(str(seen[0].message))
    assert texts[0] == texts[1]


@pytest.mark.oldest
@every_estimator
@pytest.mark.usefixtures("every_warning")
def test_training_that_ends_by_itself_does_not_warn(iris, estimator):
    warnings.filterwarnings("ignore", "The network has learnt nothing")  # in four steps
    X, y = iris
    n_iter = 4  # the first, which is the best, and three without an improvement
    for params in ({}, {"early_stopping": True}):
        model = dense(estimator, 4, tol=1e9, n_iter_no_change=3, max_iter=50, **params)
        assert model.fit(X, y).n_iter_ == n_iter
        assert model.set_params(max_iter=n_iter).fit(X, y).n_iter_ == n_iter
    parts = dense(estimator, 4, max_iter=1)
    for _ in range(3):
        classes = {"classes": [0, 1, 2]} if estimator is ConvNetClassifier else {}
        parts.partial_fit(X, y, **classes)


@pytest.mark.usefixtures("every_warning")
def test_a_callback_that_ends_training_does_not_warn(iris):
    pytest.importorskip("sklearn.callback")
    stop = EarlyStopping("loss", patience=1, min_delta=1e9)
    clf = dense(ConvNetClassifier, 4, max_iter=2).set_callbacks(stop)
    assert clf.fit(*iris).n_iter_ == 2


@every_estimator
def test_no_patience_is_infinite_patience(iris, estimator):
    X, y = iris
    # No epoch but the first is an improvement.
    model = dense(estimator, 4, tol=1e9, max_iter=30, n_iter_no_change=np.inf)
    assert model.fit(X, y).n_iter_ == 30
    finite = clone(model).set_params(n_iter_no_change=30).fit(X, y)
    np.testing.assert_array_equal(finite.predict(X), model.predict(X))
    with pytest.raises(ValueError, match=r"'n_iter_no_change'.*int.*\[1, inf\).*inf.*-inf"):
        clone(model).set_params(n_iter_no_change=-np.inf).fit(X, y)


@every_estimator
@pytest.mark.filterwarnings("ignore:The network predicts the same class")
def test_tol_ends_training(estimator):
    model = dense(estimator, 4, tol=0.5, max_iter=3000, optimizer="sgd")
    assert model.fit([[3.0, 2.0], [1.0, 6.0]], [1, 0]).n_iter_ < 3000


@every_estimator
def test_early_stopping_keeps_the_best(iris, estimator):
    X, y = iris
    order = np.random.RandomState(0).permutation(len(X))
    model = dense(estimator, 16, early_stopping=True, max_iter=300).fit(X[order], y[order])
    assert model.n_iter_ < 300
    assert model.best_loss_ is None
    assert max(model.validation_scores_) == model.best_validation_score_
    assert max(model.validation_scores_[-10:]) < model.best_validation_score_ + model.tol
    assert len(model.validation_scores_) == model.n_iter_
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        model.partial_fit(X, y)
    frame = pd.DataFrame(X, columns=list("abcd"))
    named = clone(model).fit(frame, pd.Series(y))
    assert named.feature_names_in_.tolist() == list("abcd")


def test_early_stopping_is_stratified():
    X, y = np.arange(8.0).reshape(4, 2), [0, 0, 0, 1]
    with pytest.raises(ValueError, match=r"early_stopping=True cannot.*only 1 member"):
        dense(ConvNetClassifier, 2, early_stopping=True).fit(X, y)
    X, Y = make_multilabel_classification(n_samples=50, random_state=0)
    model = dense(ConvNetClassifier, 5, early_stopping=True, max_iter=3).fit(X, Y)
    assert len(model.validation_scores_) == 3


@every_estimator
def test_names_as_labels_and_early_stopping(iris, estimator):
    X, y = iris
    weights = {"sample_weight": np.ones(len(y))}
    params = dict(early_stopping=True, max_iter=5)
    one, weighted = (dense(estimator, 5, **params).fit(X, y, **given) for given in ({}, weights))
    np.testing.assert_array_equal(weighted.predict(X), one.predict(X))
    if estimator is ConvNetClassifier:
        names = np.array(["a", "b", "c"], dtype=object)
        named = dense(estimator, 5, **params).fit(X, names[y])
        np.testing.assert_array_equal(named.predict(X), names[one.predict(X)])
        assert named.validation_scores_ == one.validation_scores_


# ---------------------------------------------------------------------------
# Going on
# ---------------------------------------------------------------------------


@pytest.mark.oldest
@every_pair
def test_a_warm_start_counts_the_epochs_of_each_fit(iris, estimator, mlp):
    params = dict(warm_start=True, random_state=0, n_iter_no_change=np.inf, max_iter=3)
    ours, theirs = estimator([Dense(4)], **params), mlp(hidden_layer_sizes=4, **params)
    for n_iter in (3, 3, 5):
        for model in (ours, theirs):
            assert model.set_params(max_iter=n_iter).fit(*iris).n_iter_ == n_iter
        assert len(ours.loss_curve_) == len(theirs.loss_curve_)
        assert ours.t_ == theirs.t_
        assert ours.best_loss_ == min(ours.loss_curve_)
    for model in (ours, theirs):
        model.partial_fit(*iris)
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_) == (1, 12 * 150)


@every_estimator
def test_a_warm_start_with_early_stopping(iris, estimator):
    model = dense(estimator, 4, early_stopping=True, warm_start=True, max_iter=4).fit(*iris)
    n_scores = len(model.validation_scores_)
    model.set_params(max_iter=8).fit(*iris)
    assert len(model.validation_scores_) == n_scores + model.n_iter_


def test_a_warm_start_takes_no_other_classes(iris):
    X, y = iris
    clf = dense(ConvNetClassifier, 4, warm_start=True, max_iter=2).fit(X, y)
    clf.fit(X, np.arange(150) % 3)
    clf.fit(X[y < 2], y[y < 2])  # fewer will do, unlike in scikit-learn
    assert clf.classes_.tolist() == [0, 1, 2]
    for other in (y + 1, np.arange(150) % 4):
        with pytest.raises(ValueError, match=r"y holds labels that are no classes: \[3\]"):
            clf.fit(X, other)


@every_estimator
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_calls_of_partial_fit_are_epochs(iris, estimator, momentum):
    X, y = iris
    model = dense(estimator, 4, optimizer=SGD(0.01, momentum=momentum), max_iter=20, tol=0)
    parts = clone(model)
    model.fit(X, y)
    classes = {"classes": [0, 1, 2]} if estimator is ConvNetClassifier else {}
    for _ in range(model.n_iter_):
        parts.partial_fit(X, y, **classes)
    np.testing.assert_array_equal(parts.predict(X), model.predict(X))
    assert parts.loss_curve_ == model.loss_curve_


def test_classes_of_partial_fit():
    clf = dense(ConvNetClassifier, 4)
    clf.partial_fit([[1.0], [2.0], [3.0]], ["a", "b", "c"], classes=["a", "b", "c", "d"])
    clf.partial_fit([[4.0]], ["d"])
    assert clf.classes_.tolist() == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="not the same as on the first call"):
        clf.partial_fit([[4.0]], ["d"], classes=["d", "e"])
    with pytest.raises(ValueError, match="no classes"):
        dense(ConvNetClassifier, 4).partial_fit([[3.0]], [1], classes=[2])


def test_a_file_goes_on(tmp_path):
    reg = dense(ConvNetRegressor, 42, optimizer=Adam(0.01)).fit([[2.0], [1.0]], [4.0, 3.0])
    joblib.dump(reg, tmp_path / "reg.joblib")
    loaded = joblib.load(tmp_path / "reg.joblib")
    for _ in range(200):
        loaded.partial_fit([[2.0]], [1.0])
    np.testing.assert_allclose(loaded.predict([[2.0]]), [1.0], rtol=1e-3)


# ---------------------------------------------------------------------------
# What is learnt
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_every_activation_learns(iris, activation):
    X, y = iris
    layers = [Dense(50, activation=activation)]
    clf = ConvNetClassifier(layers, optimizer=Adam(0.01), random_state=1, max_iter=150).fit(X, y)
    assert clf.score(X, y) > 0.95
    X, y = make_regression(n_samples=200, n_features=10, bias=20.0, noise=100.0, random_state=7)
    reg = ConvNetRegressor(layers, optimizer=Adam(0.03), random_state=1, max_iter=300).fit(X, y)
    assert reg.score(X, y) > Ridge().fit(X, y).score(X, y) - 0.05


def test_a_larger_weight_decay_has_smaller_weights(iris):
    X, y = iris
    sums = []
    for decay in (0.0, 1.0):
        clf = dense(ConvNetClassifier, 10, optimizer=Adam(weight_decay=decay), max_iter=60)
        weights = clf.fit(X, y).get_weights()
        sums.append([np.abs(weights[f"{name}/weight"]).sum() for name in ("dense1", "output")])
    assert np.greater(*sums).all()


def test_several_labels_and_several_outputs():
    X, Y = make_multilabel_classification(n_samples=50, random_state=0)
    scaled = [Standardize(per="value"), Dense(50, activation="logistic")]
    clf = ConvNetClassifier(scaled, optimizer=Adam(0.02), max_iter=300, random_state=0).fit(X, Y)
    assert clf.score(X, Y) > 0.97
    P = clf.predict_proba(X)
    np.testing.assert_array_equal(P > 0.5, Y)
    assert np.abs(P.sum(axis=1) - 1).max() > 0.1
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(X)), P, rtol=1e-9)
    X, Y = make_regression(n_samples=200, n_targets=5, random_state=11)
    reg = ConvNetRegressor([Dense(50)], optimizer=Adam(0.02), max_iter=100, random_state=1)
    assert reg.fit(X, Y).score(X, Y) > 0.9


def test_without_layers_counts_are_a_generalised_linear_model():
    rng = np.random.RandomState(0)
    X = np.linspace(0, 1, 100)[:, np.newaxis]
    y = rng.poisson(np.exp(X[:, 0] + 1))
    glm = PoissonRegressor(alpha=0, tol=1e-9).fit(X, y)
    params = dict(optimizer=SGD(0.05, momentum=0.9), n_iter_no_change=np.inf, max_iter=1500)
    reg = ConvNetRegressor([], loss="poisson", **params).fit(X, y)
    np.testing.assert_allclose(reg.predict(X), glm.predict(X), rtol=1e-3)
    squared = ConvNetRegressor([], **params).fit(X, y)
    assert not np.allclose(squared.predict(X), glm.predict(X), rtol=1e-2)


@every_estimator
def test_shuffling_is_seeded_and_matters(iris, estimator):
    X, y = iris
    params = dict(max_iter=1, batch_size=10)
    weights = {
        shuffle: [
            dense(estimator, 2, shuffle=shuffle, **params).fit(X, y).get_weights()["dense1/weight"]
            for _ in range(2)
        ]
        for shuffle in (False, True)
    }
    for first, second in weights.values():
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(weights[False][0], weights[True][0])


# ---------------------------------------------------------------------------
# Units of y
# ---------------------------------------------------------------------------


def prices():
    """What flats of some size and age may cost."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(300, 3))
    return X, 300_000 + X @ [80_000, -30_000, 10_000] + rng.normal(size=300)


@pytest.mark.usefixtures("every_warning")
def test_prices_are_learnt_in_any_units():
    X, y = prices()
    reg = dense(ConvNetRegressor, 16, max_iter=600).fit(X, y)
    assert reg.score(X, y) > 0.95


@pytest.mark.oldest
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_a_fit_that_is_worse_than_the_mean_says_why(loss):
    X, y = prices()
    reg = dense(ConvNetRegressor, 16, normalize_y=False, loss=loss, max_iter=20)
    with pytest.warns(
        ConvergenceWarning, match=r"training R\^2 of -.*set normalize_y=True"
    ) as seen:
        reg.fit(X, y)
    told = [str(warning.message) for warning in seen if "R^2" in str(warning.message)]
    assert len(told) == 1
    assert f"training R^2 of {reg.history_['score'][-1]:.3g}" in told[0]
    assert seen[-1].filename == __file__


@pytest.mark.parametrize(
    "params",
    [
        {"loss": "quantile"},  # no mean is asked for
        {"loss": lambda y, p: (((p - y) ** 2).mean(axis=1), p - y)},
        {"loss": "poisson"},
        {"normalize_y": True},
        {"layers": [Standardize(per="value")], "optimizer": SGD(0.5), "scale": 1e-5},
    ],
)
def test_other_fits_do_not_speak_of_units(params):
    X, y = prices()
    params = {"normalize_y": False, "layers": [Dense(4)], "max_iter": 2, **params}
    scale = params.pop("scale", 1.0)
    reg = ConvNetRegressor(random_state=0, **params)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "The fit ends")
        reg.fit(X, scale * y)
    parts = dense(ConvNetRegressor, 4, normalize_y=False).partial_fit(X, y)
    assert parts.history_["score"][-1] < 0
