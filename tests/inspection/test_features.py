"""What a network has learnt to see, as features in scikit-learn's tools."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import layer_cases as cases
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.inspection import FeatureExtractor, activations
from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D, Residual, Standardize
from sklearn_convnet.optimizers import Adam

LAYERS = [
    Standardize(),
    ("conv", Conv2D(8, 3)),
    MaxPool2D(2),
    ("block", Residual([("inner", Dense(6))], shortcut=Dense(6))),
]


def classifier(**options):
    options = {"max_iter": 2, "random_state": 0, "input_shape": (8, 8), **options}
    return ConvNetClassifier(LAYERS, **options)


@pytest.fixture
def flat(digits):
    X, y = digits
    return X.reshape(len(X), 64), y


@pytest.mark.oldest
def test_features_are_outputs_of_the_layer(flat):
    X, y = flat
    extractor = FeatureExtractor(classifier(), "conv")
    assert extractor.fit(X, y) is extractor
    own = classifier().fit(X, y)
    maps = activations(own, X, "conv")["conv"]
    cases.assert_same_bits(extractor.transform(X), maps.reshape(len(X), -1))
    cases.assert_same_bits(FeatureExtractor(classifier(), "conv").fit_transform(X, y),
                           maps.reshape(len(X), -1))  # fmt: skip
    cases.assert_same_bits(extractor.set_params(flatten=False).fit(X, y).transform(X), maps)
    assert extractor.output_shape_ == (6, 6, 8)
    assert extractor.layer_ == "conv"
    assert isinstance(extractor.estimator_, ConvNetClassifier)
    assert extractor.estimator_ is not extractor.estimator
    assert not hasattr(extractor.estimator, "network_")
    assert extractor.n_features_in_ == 64


def test_the_last_hidden_layer_unless_told(flat):
    X, y = flat
    extractor = FeatureExtractor(classifier()).fit(X, y)
    assert extractor.layer_ == "block"
    assert extractor.transform(X).shape == (len(X), 6)
    names = [f"block_{i}" for i in range(6)]
    assert extractor.get_feature_names_out().tolist() == names
    extractor.set_params(layer="block/inner").fit(X, y)
    assert extractor.get_feature_names_out()[-1] == "block/inner_5"
    extractor.set_params(layer=-1).fit(X, y)
    assert extractor.get_feature_names_out()[-1] == "output_9"


def test_what_was_fitted_stays(flat):
    X, y = flat
    extractor = FeatureExtractor(classifier()).fit(X, y)
    before = extractor.transform(X)
    extractor.set_params(layer="conv", flatten=False)
    cases.assert_same_bits(extractor.transform(X), before)


def test_a_frozen_estimator_is_taken_as_it_is(flat):
    X, y = flat
    clf = classifier().fit(X, y)
    before = pickle.dumps(clf)
    extractor = FeatureExtractor(FrozenEstimator(clf))
    Z = extractor.fit(X).transform(X)
    assert extractor.estimator_ is clf
    assert clone(extractor).fit(X[:3]).estimator_ is clf
    cases.assert_same_bits(Z, activations(clf, X, -2)["block"])
    cases.assert_same_bits(extractor.fit_transform(X), Z)
    cases.assert_same_bits(extractor.fit(X, y, sample_weight=np.ones(len(X))).transform(X), Z)
    assert pickle.dumps(clf) == before


def test_a_regressor_and_images(digits):
    X, y = digits
    reg = ConvNetRegressor(LAYERS, max_iter=2, random_state=0)
    Z = FeatureExtractor(reg, "conv").fit_transform(X, y)
    assert Z.shape == (len(X), 6 * 6 * 8)


def test_neighbours_and_lines_reach_the_score_of_the_network():
    X, y = load_digits(return_X_y=True)
    layers = [Standardize(), Conv2D(16, 3, padding=1), MaxPool2D(2), Conv2D(32, 3), Dense(64)]
    options = dict(input_shape=(8, 8), batch_size=64, max_iter=15, random_state=0)
    clf = ConvNetClassifier(layers, optimizer=Adam(0.003), **options)
    train, test = slice(0, 1200), slice(1200, None)
    clf.fit(X[train], y[train])
    expected = clf.score(X[test], y[test])
    assert expected > 0.93
    for last in (
        KNeighborsClassifier(),
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    ):
        pipe = make_pipeline(FeatureExtractor(FrozenEstimator(clf)), last)
        score = pipe.fit(X[train], y[train]).score(X[test], y[test])
        assert score >= expected - 0.01, last


@pytest.mark.oldest
def test_in_a_pipeline_and_a_search(flat):
    X, y = flat
    knn = make_pipeline(FeatureExtractor(classifier()), KNeighborsClassifier(3))
    grid = {
        "featureextractor__layer": ["conv", "block/inner", -1],
        "featureextractor__estimator__conv__filters": [2, 8],
    }
    search = GridSearchCV(knn, grid, cv=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 6
    best = search.best_estimator_[0]
    assert best.layer_ in ("conv", "block/inner", "output")
    assert search.score(X, y) > 0.5
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_search_over_layers_of_a_frozen_network_fits_no_network(flat, monkeypatch):
    X, y = flat
    clf = classifier().fit(X, y)
    monkeypatch.setattr(ConvNetClassifier, "fit", None)
    knn = make_pipeline(FeatureExtractor(FrozenEstimator(clf)), KNeighborsClassifier(3))
    search = GridSearchCV(knn, {"featureextractor__layer": [1, 3]}, cv=2).fit(X, y)
    assert search.best_estimator_[0].estimator_ is clf


def test_a_layer_that_is_not_there_in_a_search(flat):
    X, y = flat
    knn = make_pipeline(FeatureExtractor(classifier()), KNeighborsClassifier(3))
    search = GridSearchCV(knn, {"featureextractor__layer": ["conv9"]}, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="there is no layer 'conv9': did you mean 'conv'"):
        search.fit(X, y)


@pytest.mark.oldest
def test_tables(flat):
    X, y = flat
    columns = [f"pixel{i}" for i in range(64)]
    table = pd.DataFrame(X, columns=columns, index=np.arange(len(X)) + 100)
    extractor = FeatureExtractor(classifier()).set_output(transform="pandas").fit(table, y)
    assert extractor.feature_names_in_.tolist() == columns
    Z = extractor.transform(table)
    assert isinstance(Z, pd.DataFrame)
    assert Z.columns.tolist() == [f"block_{i}" for i in range(6)]
    assert Z.index.equals(table.index)
    with pytest.raises(ValueError, match="feature names"):
        extractor.transform(table[columns[::-1]])
    extractor.fit(X, y)
    assert not hasattr(extractor, "feature_names_in_")


def test_maps_are_no_table(flat):
    X, y = flat
    extractor = FeatureExtractor(classifier(), "conv", flatten=False).fit(X, y)
    with pytest.raises(ValueError, match=r"maps of shape \(6, 6, 8\).* set flatten=True"):
        extractor.get_feature_names_out()
    extractor.set_output(transform="pandas")
    with pytest.raises(ValueError, match=r"no columns of a table: set flatten=True"):
        extractor.transform(X)
    flat_layer = FeatureExtractor(classifier(), -1, flatten=False).set_output(transform="pandas")
    assert flat_layer.fit_transform(X, y).shape == (len(X), 10)


def test_pickle(flat):
    X, y = flat
    extractor = FeatureExtractor(classifier(), "conv", flatten=False).fit(X, y)
    other = pickle.loads(pickle.dumps(extractor))
    cases.assert_same_bits(other.transform(X), extractor.transform(X))
    frozen = FeatureExtractor(FrozenEstimator(extractor.estimator_), "conv", flatten=False).fit(X)
    other = pickle.loads(pickle.dumps(frozen))
    cases.assert_same_bits(other.transform(X), extractor.transform(X))


def test_weights_and_what_else_fit_takes(flat):
    X, y = flat
    weight = np.random.RandomState(0).uniform(0, 2, len(X))
    expected = activations(classifier().fit(X, y, weight), X, -2)["block"]
    extractor = FeatureExtractor(classifier()).fit(X, y, sample_weight=weight)
    cases.assert_same_bits(extractor.transform(X), expected)
    pipe = make_pipeline(FeatureExtractor(classifier()))
    pipe.fit(X, y, featureextractor__sample_weight=weight, featureextractor__X_val=X[:50],
             featureextractor__y_val=y[:50])  # fmt: skip
    cases.assert_same_bits(pipe.transform(X), expected)
    assert len(pipe[0].estimator_.validation_scores_) == 2


@pytest.mark.oldest
def test_weights_are_routed(flat):
    X, y = flat
    weight = np.random.RandomState(0).uniform(0, 2, len(X))
    expected = activations(classifier().fit(X, y, weight), X, -2)["block"]
    with sklearn.config_context(enable_metadata_routing=True):
        extractor = FeatureExtractor(classifier()).set_fit_request(sample_weight=True)
        last = KNeighborsClassifier(3)  # which takes no weights
        pipe = make_pipeline(extractor, last).fit(X, y, sample_weight=weight)
    cases.assert_same_bits(pipe[0].transform(X), expected)


def test_repr():
    text = repr(FeatureExtractor(FrozenEstimator(ConvNetClassifier()), layer="conv"))
    assert text == "FeatureExtractor(estimator=FrozenEstimator(estimator=ConvNetClassifier()),\n" \
        "                 layer='conv')"  # fmt: skip
    assert FeatureExtractor(ConvNetClassifier())._repr_html_()


#: Small, since each of the checks fits several times.
SMALL = ConvNetClassifier([Dense(5)], max_iter=20, random_state=0)


@pytest.mark.filterwarnings("ignore:The network has learnt nothing from X")  # of a mean of 100
@parametrize_with_checks(
    [FeatureExtractor(SMALL), FeatureExtractor(ConvNetRegressor([Dense(5)], random_state=0))]
)
def test_check(estimator, check):
    check(estimator)


# ---------------------------------------------------------------------------
# Bad input
# ---------------------------------------------------------------------------


def test_what_is_no_network(flat):
    X, y = flat
    clf = classifier().fit(X, y)
    for estimator in (
        None,
        Conv2D(3, 3),
        clf.network_,
        ConvNetClassifier,
        make_pipeline(classifier()),
        FrozenEstimator(LogisticRegression().fit(X, y)),
    ):
        with pytest.raises(TypeError, match="estimator must be a ConvNetClassifier or"):
            FeatureExtractor(estimator).fit(X, y)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": "cnov"}, ValueError, "there is no layer 'cnov': did you mean 'conv'"),
        ({"layer": 5}, ValueError, "layer=5 does not exist: the network has 5 layers"),
        ({"layer": None}, TypeError, "a layer must be given by its path"),
        ({"layer": ["conv"]}, TypeError, "a layer must be given by its path"),
        ({"flatten": 1.5}, ValueError, "The 'flatten' parameter of FeatureExtractor must be"),
    ],
)
def test_bad_parameters(flat, options, error, message):
    X, y = flat
    for estimator in (classifier(), FrozenEstimator(classifier().fit(X, y))):
        extractor = FeatureExtractor(estimator, **options)
        with pytest.raises(error, match=message):
            extractor.fit(X, y)
        assert not hasattr(extractor, "estimator_")


def test_bad_data(flat):
    X, y = flat
    extractor = FeatureExtractor(classifier())
    with pytest.raises(NotFittedError):
        extractor.transform(X)
    with pytest.raises(NotFittedError):
        extractor.get_feature_names_out()
    with pytest.raises(NotFittedError):
        FeatureExtractor(FrozenEstimator(classifier())).fit(X)
    with pytest.raises(ValueError, match=r"requires y to be passed.*FrozenEstimator\(estimator\)"):
        extractor.fit(X)
    with pytest.raises(TypeError, match="unexpected keyword argument 'boxen'"):
        extractor.fit(X, y, boxen=y)
    extractor.fit(X, y)
    for other in (X[:, :60], X[:, None]):
        with pytest.raises(ValueError, match="X has"):
            extractor.transform(other)
    with pytest.raises(ValueError, match="X has"):
        FeatureExtractor(FrozenEstimator(extractor.estimator_)).fit(X[:, :60])
