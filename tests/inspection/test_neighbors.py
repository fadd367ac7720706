"""Samples that look alike to a network."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.exceptions import NotFittedError

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.inspection import activations, nearest_samples
from sklearn_convnet.layers import Conv2D, Dense, Standardize
from sklearn_convnet.network import compile_network
from sklearn_convnet.optimizers import Adam


@pytest.fixture
def fitted(digits):
    X, y = digits
    layers = [Standardize(), Conv2D(4, 3), Dense(12)]
    options = dict(optimizer=Adam(0.01), batch_size=32, max_iter=8, random_state=0)
    clf = ConvNetClassifier(layers, **options)
    return clf.fit(X.astype(np.float64), y), X.astype(np.float64), y


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "cityblock"])
@pytest.mark.parametrize("layer", [-2, "conv2d1"])
def test_against_all_distances(fitted, layer, metric):
    clf, X, _ = fitted
    distances, indices = nearest_samples(clf, X[:200], X[200:], 7, layer, metric=metric)
    assert distances.shape == indices.shape == (100, 7)
    [maps] = activations(clf, X, layer).values()
    maps = maps.reshape(len(X), -1)
    expected = cdist(maps[200:], maps[:200], metric)
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :7], rtol=1e-6, atol=1e-7)
    found = np.take_along_axis(expected, indices, axis=1)
    np.testing.assert_allclose(found, distances, rtol=1e-6, atol=1e-7)
    assert all(len(set(row)) == 7 for row in indices)


def test_neighbours_are_of_the_same_class(fitted):
    clf, X, y = fitted
    _, indices = nearest_samples(clf, X[:200], X[200:], 1)
    by_pixels = cdist(X[200:].reshape(100, -1), X[:200].reshape(200, -1)).argmin(axis=1)
    assert np.mean(y[indices[:, 0]] == y[200:]) > 0.8
    assert (indices[:, 0] != by_pixels).any()


def test_a_sample_is_nearest_to_itself_unless_left_out(fitted):
    clf, X, _ = fitted
    distances, indices = nearest_samples(clf, X, X, 2)
    np.testing.assert_array_equal(indices[:, 0], np.arange(len(X)))
    np.testing.assert_allclose(distances[:, 0], 0, atol=1e-5)
    others_distances, others = nearest_samples(clf, X, n_neighbors=1)
    np.testing.assert_array_equal(others[:, 0], indices[:, 1])
    np.testing.assert_allclose(others_distances[:, 0], distances[:, 1], rtol=1e-6)


def test_five_neighbours_unless_told_and_nothing_is_written(fitted):
    clf, X, _ = fitted
    before = pickle.dumps(clf)
    distances, indices = nearest_samples(clf, X[:50], X[50:60])
    assert distances.shape == indices.shape == (10, 5)
    assert (np.diff(distances, axis=1) >= 0).all()
    assert pickle.dumps(clf) == before


def test_of_a_network(fitted):
    clf, X, _ = fitted
    for one, two in zip(
        nearest_samples(clf.network_, X[:50], X[50:]), nearest_samples(clf, X[:50], X[50:]),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(one, two)


def test_bad_input(fitted):
    clf, X, _ = fitted
    with pytest.raises(ValueError, match="n_neighbors <= n_samples_fit"):
        nearest_samples(clf, X[:4], X)
    with pytest.raises(ValueError, match="'n_neighbors' parameter of NearestNeighbors"):
        nearest_samples(clf, X, X, 0)
    with pytest.raises(ValueError, match="'metric' parameter of NearestNeighbors"):
        nearest_samples(clf, X, X, metric="far")
    with pytest.raises(ValueError, match="metric='precomputed' takes distances"):
        nearest_samples(clf, X, X, metric="precomputed")
    with pytest.raises(ValueError, match="there is no layer 'dense2': did you mean 'dense1'"):
        nearest_samples(clf, X, X, layer="dense2")
    with pytest.raises(TypeError, match="a layer must be given by its path"):
        nearest_samples(clf, X, X, layer=None)
    with pytest.raises(ValueError, match="X has samples of shape"):
        nearest_samples(clf, X, X[:, :6])
    with pytest.raises(ValueError, match="X has samples of shape"):
        nearest_samples(clf, X[:, :6], X)
    with pytest.raises(NotFittedError):
        nearest_samples(ConvNetClassifier(), X, X)
    with pytest.raises(TypeError, match="expected a fitted ConvNetClassifier"):
        nearest_samples(compile_network, X, X)
