"""Predictions with dropout, which depend on the seed of a draw and on the sample alone."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from math import comb

import numpy as np
import pytest

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import RandomAffine, TestTimeAugmentation
from sklearn_convnet.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    DenseBlock,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool2D,
    Parallel,
    Residual,
    Standardize,
    StochasticDepth,
)
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.network import compile_network
from sklearn_convnet.training import PREDICT_ROWS


def layers(rate=0.5):
    return [
        Standardize(),
        Conv2D(6, 3, padding="same"),
        BatchNorm(),
        Residual([Conv2D(6, 3, padding="same"), Dropout(rate)]),
        GlobalAvgPool(),
        Dropout(rate),
    ]


def fitted(X, y, kind=ConvNetClassifier, **params):
    return kind(**{"layers": layers(), "max_iter": 2, "random_state": 0, **params}).fit(X, y)


# ---------------------------------------------------------------------------
# Networks
# ---------------------------------------------------------------------------

BLOCKS = {
    "a chain": [Conv2D(3, 3), Dropout(0.4), MaxPool2D(2), Flatten(), Dropout(0.2), Dense(4)],
    "a residual block": [Residual([Conv2D(2, 3, padding="same"), BatchNorm(), Dropout(0.5)])],
    "branches": [Parallel([[Conv2D(2, 1), Dropout(0.3)], [Dropout(0.6)], "passthrough"])],
    "a block as a whole": [Residual([Conv2D(2, 1), StochasticDepth(0.5)]), Dropout(0.3)],
    "a dense block": [DenseBlock([Conv2D(2, 3, padding="same"), Dropout(0.5)])],
}


@pytest.fixture(params=BLOCKS)
def network(request):
    network = compile_network(BLOCKS[request.param], (6, 6, 2), random_state=0)
    for path, value in network.buffers().items():
        value += 0.5 * (1 + len(path))
    return network


def batch(n):
    return np.random.RandomState(1).uniform(0.5, 1, (n, 6, 6, 2)).astype(np.float32)


def test_programs_compute_what_nodes_do(network):
    X = batch(5)
    Y = network.draw(X, 7)
    network.eager = True
    np.testing.assert_array_equal(network.draw(X, 7), Y)


def test_a_draw_of_a_sample_is_its_own(network):
    X = batch(9)
    Y = network.draw(X, 3, n_threads=1)
    np.testing.assert_array_equal(network.draw(X, 3, n_threads=4), Y)
    np.testing.assert_array_equal(network.draw(X[4:6], 3), Y[4:6])
    assert not np.array_equal(network.draw(X, 4), Y)
    assert not np.array_equal(network.forward(X), Y)


def test_nothing_on_the_network_changes(network):
    X = batch(3)
    before, Y = pickle.dumps(network), network.forward(X)
    network.draw(X, 5)
    np.testing.assert_array_equal(network.forward(X), Y)
    assert pickle.dumps(network) == before


def test_masks_are_those_of_dropout():
    """The mean of all draws is the input, and each number is kept as often as the rate says."""
    network = compile_network([Dropout(0.3)], (50,), dtype="float64", random_state=0)
    X = np.arange(1.0, 51)[None]
    draws = np.stack([network.draw(X, seed)[0] for seed in range(400)])
    kept = draws != 0
    np.testing.assert_allclose(draws[kept], np.broadcast_to(X / 0.7, draws.shape)[kept])
    n = kept.size
    assert abs(kept.sum() - 0.7 * n) < 5 * np.sqrt(n * 0.7 * 0.3)
    # Of any two numbers both are kept as often as if they were independent.
    both = kept.T.astype(int) @ kept.astype(int)
    pairs = both[np.triu_indices(50, 1)]
    assert len(pairs) == comb(50, 2)
    assert np.all(abs(pairs - 400 * 0.49) < 6 * np.sqrt(400 * 0.49 * 0.51))


def test_layers_have_masks_of_their_own():
    network = compile_network([Dropout(0.5), Dropout(0.5)], (400,), random_state=0)
    kept = network.draw(np.ones((1, 400), np.float32), 1).astype(bool).mean()
    assert 0.15 < kept < 0.35


def test_a_batch_that_does_not_fit_is_refused(network):
    with pytest.raises(ValueError, match="samples of shape"):
        network.draw(np.zeros((2, 5, 5, 2)), 0)


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (2**64, ValueError), (0.5, TypeError)]
)
def test_a_seed_out_of_range_is_refused(network, seed, error):
    with pytest.raises(error, match="seed"):
        network.draw(np.zeros((2, 6, 6, 2)), seed)
    network.draw(np.zeros((2, 6, 6, 2)), 2**64 - 1)


# ---------------------------------------------------------------------------
# Estimators
# ---------------------------------------------------------------------------


def test_a_classifier_draws_probabilities(maps):
    X, y = maps
    clf = fitted(X, y)
    P = clf.predict_draws(X, n_draws=5, random_state=0)
    assert P.shape == (5, *clf.predict_proba(X).shape)
    np.testing.assert_allclose(P.sum(axis=-1), 1, rtol=1e-5)
    assert len({p.tobytes() for p in P}) == 5


def test_draws_are_a_function_of_their_seed(maps):
    X, y = maps
    clf = fitted(X, y)
    P = clf.predict_draws(X, n_draws=4, random_state=3)
    np.testing.assert_array_equal(clf.predict_draws(X, n_draws=4, random_state=3), P)
    np.testing.assert_array_equal(clf.predict_draws(X, n_draws=2, random_state=3), P[:2])
    np.testing.assert_array_equal(clf.predict_draws(X[7:8], n_draws=4, random_state=3), P[:, 7:8])
    assert not np.array_equal(clf.predict_draws(X, n_draws=4, random_state=4), P)
    rng = np.random.RandomState(3)
    np.testing.assert_array_equal(clf.predict_draws(X, n_draws=4, random_state=rng), P)
    assert not np.array_equal(clf.predict_draws(X, n_draws=4, random_state=rng), P)


def test_chunks_of_a_prediction_do_not_matter(maps):
    X, y = maps
    clf = fitted(X, y)
    many = np.concatenate([X] * (PREDICT_ROWS // len(X) + 2))
    P = clf.predict_draws(many, n_draws=2, random_state=0)
    np.testing.assert_array_equal(P[:, -len(X) :], P[:, : len(X)])


def test_threads_do_not_matter(maps):
    X, y = maps
    clf = fitted(X, y)
    P = clf.set_params(n_threads=1).predict_draws(X, n_draws=3, random_state=0)
    clf.set_params(n_threads=3)
    np.testing.assert_array_equal(clf.predict_draws(X, n_draws=3, random_state=0), P)


def test_several_threads_may_ask_at_once(maps):
    X, y = maps
    clf = fitted(X, y, n_threads=1)
    expected = [clf.predict_draws(X, n_draws=5, random_state=seed) for seed in range(8)]
    plain = clf.predict_proba(X)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda s: clf.predict_draws(X, n_draws=5, random_state=s), range(8)))
        others = list(pool.map(lambda _: clf.predict_proba(X), range(8)))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    for P in others:
        np.testing.assert_array_equal(P, plain)


def test_the_estimator_stays_as_it_is(maps):
    X, y = maps
    clf = fitted(X, y)
    before = pickle.dumps(clf)
    clf.predict_draws(X, n_draws=2, random_state=0)
    assert pickle.dumps(clf) == before
    other = copy.deepcopy(clf)
    for one in (clf, other):
        one.partial_fit(X, y)
    for path, value in clf.get_weights().items():
        np.testing.assert_array_equal(other.get_weights()[path], value)


def test_a_regressor_draws_values_in_units_of_y(maps):
    X, y = maps
    values = 1000.0 + 50 * y
    reg, other = (fitted(X, v, kind=ConvNetRegressor) for v in (values, 2 * values + 3))
    draws = reg.predict_draws(X, n_draws=30, random_state=0)
    assert draws.shape == (30, len(X))
    assert 900 < draws.mean() < 1200
    expected = 2 * draws + 3
    found = other.predict_draws(X, n_draws=30, random_state=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_draws_go_through_the_link_of_the_loss(maps):
    X, y = maps
    reg = fitted(X, y, kind=ConvNetRegressor, loss="poisson")
    assert (reg.predict_draws(X, n_draws=3, random_state=0) > 0).all()


def test_several_labels_at_once(maps):
    X, y = maps
    clf = fitted(X, np.stack([y == 0, y > 0, y == 2], axis=1).astype(int))
    P = clf.predict_draws(X, n_draws=3, random_state=0)
    assert P.shape == (3, *clf.predict_proba(X).shape)


def test_columns_of_labels_are_a_list(maps):
    X, y = maps
    clf = fitted(X, np.stack([y, y % 2], axis=1))
    draws, P = clf.predict_draws(X, n_draws=3, random_state=0), clf.predict_proba(X)
    assert [d.shape for d in draws] == [(3, *p.shape) for p in P]


def test_labels_with_boxes_have_probabilities(maps):
    X, y = maps
    clf = ConvNetClassifier(layers(), max_iter=1, random_state=0)
    clf.fit(X, y, boxes=np.tile([0.1, 0.2, 0.8, 0.9], (len(X), 1)))
    P = clf.predict_draws(X, n_draws=3, random_state=0)
    assert P.shape == (3, *clf.predict_proba(X).shape)


def test_maps_of_labels(maps):
    X, _ = maps
    clf = fitted(X, (X[..., 0] > 0.5).astype(int), layers=layers()[:4])
    P = clf.predict_draws(X, n_draws=3, random_state=0)
    assert P.shape == (3, *clf.predict_proba(X).shape)


def test_maps_that_differ_in_size_are_a_list():
    rng = np.random.RandomState(0)
    X = [rng.normal(size=(n, 6, 2)).astype(np.float32) for n in (5, 6, 5, 7)]
    clf = fitted(X, [(x[..., 0] > 0).astype(int) for x in X], layers=layers()[:4])
    draws = clf.predict_draws(X, n_draws=3, random_state=0)
    assert [d.shape for d in draws] == [(3, *p.shape) for p in clf.predict_proba(X)]
    alone = clf.predict_draws([X[2]], n_draws=3, random_state=0)
    np.testing.assert_array_equal(np.reshape(alone, draws[2].shape), draws[2])


def test_samples_of_another_size(maps):
    X, y = maps
    P = fitted(X, y).predict_draws(np.zeros((2, 9, 8, 2)), n_draws=3, random_state=0)
    assert P.shape == (3, 2, 3)


@pytest.mark.parametrize("rate", [None, 0.0])
def test_without_dropout_it_is_refused(maps, rate):
    X, y = maps
    clf = fitted(X, y, layers=[Dense(4)] if rate is None else layers(rate))
    with pytest.raises(ValueError, match="put a Dropout among its layers"):
        clf.predict_draws(X)


def test_several_crops_are_refused(maps):
    X, y = maps
    with pytest.raises(ValueError, match="multi_crop=None"):
        fitted(X, y, multi_crop=MultiCrop(5)).predict_draws(X)


def test_changed_samples_are_refused(maps):
    X, y = maps
    views = TestTimeAugmentation([RandomAffine(flip=1.0)])
    with pytest.raises(ValueError, match="test_time_augmentation=None"):
        fitted(X, y, test_time_augmentation=views).predict_draws(X)


@pytest.mark.parametrize("n_draws", [0, -1])
def test_a_number_of_draws_that_is_none(maps, n_draws):
    X, y = maps
    with pytest.raises(ValueError, match="n_draws"):
        fitted(X, y).predict_draws(X, n_draws=n_draws)
