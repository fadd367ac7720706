"""Features in a network: what every layer promises, and a dense layer over columns of both."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from math import prod

import numpy as np
import pytest

from sklearn_convnet import testing
from sklearn_convnet.beside import WithFeatures
from sklearn_convnet.layers import (
    Activation,
    ConcatFeatures,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool,
    MaxPool2D,
    Parallel,
    Residual,
    Sequential,
)
from sklearn_convnet.network import Network, compile_network

N_FEATURES = 3


def signs(X):
    """Features that no small change of the samples changes."""
    return np.sign(X.reshape(len(X), prod(X.shape[1:]))[:, :N_FEATURES])


@pytest.fixture
def signs_beside(monkeypatch):
    """Networks put signs beside the arrays that they are given."""
    plain = Network.check_input
    monkeypatch.setattr(
        Network, "check_input", lambda self, X: plain(self, WithFeatures(X, signs(X)))
    )


SHAPES = {
    "maps": ([ConcatFeatures(N_FEATURES)], (4, 3, 2)),
    "flat": ([ConcatFeatures(N_FEATURES)], (5,)),
    "twice": (
        [ConcatFeatures(N_FEATURES), Dense(4, activation="tanh"), ConcatFeatures(N_FEATURES)],
        (5,),
    ),
    "in a block": (
        [Residual([Dense(6), ConcatFeatures(N_FEATURES)], shortcut=Dense(9)), Dense(2)],
        (4,),
    ),
    "in a branch": (
        [
            Parallel(
                [
                    Sequential([Conv2D(3, 2), GlobalAvgPool(), ConcatFeatures(N_FEATURES)]),
                    Sequential([MaxPool2D(2), Dense(2)]),
                ]
            )
        ],
        (4, 3, 2),
    ),
}


@pytest.mark.usefixtures("signs_beside")
@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SHAPES)
def test_what_every_layer_promises(name, check):
    layers, shape = SHAPES[name]
    check(testing.Subject(layers, shape))


def pair(dtype="float64", **options):
    """A network of samples and features, and the same of columns of both."""
    end = [Dropout(0.5), Dense(5, activation="tanh"), Dense(2, activation=None)]
    options = dict(dtype=dtype, random_state=0, **options)
    shape = (4, 3, 2)
    return (
        compile_network([ConcatFeatures(N_FEATURES), *end], shape, **options),
        compile_network(end, (24 + N_FEATURES,), **options),
    )


def batch(n=7, seed=0, dtype="float64"):
    rng = np.random.RandomState(seed)
    return rng.normal(size=(n, 4, 3, 2)).astype(dtype), rng.normal(size=(n, N_FEATURES))


def in_columns(X, features):
    return np.hstack([X.reshape(len(X), -1), features.astype(X.dtype)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("eager", [False, True])
def test_a_network_of_columns(dtype, eager):
    beside, columns = pair(dtype)
    beside.eager = columns.eager = eager
    X, features = batch(dtype=dtype)
    one, other = WithFeatures(X, features), in_columns(X, features)
    testing.assert_same_bits(beside.forward(one), columns.forward(other))
    testing.assert_same_bits(beside.draw(one, seed=3), columns.draw(other, seed=3))
    found, expected = testing.training_step(beside, one), testing.training_step(columns, other)
    name = "the gradient at the input"
    dX, dC = found.pop(name), expected.pop(name)
    testing.assert_same_bits(dX.reshape(7, -1), np.ascontiguousarray(dC[:, :24]))
    testing.assert_same(found, expected)
    dY = testing.gradient_like(columns.forward(other))
    dX, dC = beside.input_gradient(one, dY), columns.input_gradient(other, dY)
    testing.assert_same_bits(dX.reshape(7, -1), np.ascontiguousarray(dC[:, :24]))


def test_probes_are_given_features():
    beside, columns = pair()
    X, features = batch()
    for network, given in ((beside, WithFeatures(X, features)), (columns, in_columns(X, features))):
        probe = network.probe()
        (maps,) = probe.forward(given, ["dense1"]).values()
        dX, _ = probe.backward({"dense1": np.ones_like(maps)})
        dX = dX.reshape(7, -1)[:, :24]
        if network is beside:
            seen, gradient = maps, dX
    testing.assert_same_bits(seen, maps)
    testing.assert_close(gradient, dX, 1e-15)


def test_plans_and_profiles():
    network, _ = pair()
    rows = [row[:2] for row in network.plan(7).rows]
    assert rows.count(("concatfeatures1", "copy_channels")) == 2
    one = WithFeatures(*batch())
    table = network.profile(one, training=True, n_rounds=1)
    assert [row[0] for row in table.rows].count("concatfeatures1") == 2  # nothing before it learns
    assert network.planned_memory(7) > 0


def test_rows_keep_their_features():
    X, features = batch()
    one = WithFeatures(X, features)
    assert (len(one), one.shape, one.ndim, one.dtype) == (7, X.shape, 4, X.dtype)
    for rows in (slice(2, 5), np.array([4, 1]), np.arange(7) % 2 == 0):
        np.testing.assert_array_equal(one[rows].X, X[rows])
        np.testing.assert_array_equal(one[rows].features, features[rows])
    np.testing.assert_array_equal(one[3], X[3])


def test_what_is_wrong_is_told():
    network, columns = pair()
    X, features = batch()
    with pytest.raises(ValueError, match="n_features=3 to each sample, but X comes without"):
        network.forward(X)
    with pytest.raises(ValueError, match=r"shape \(7, 2\) beside 7 samples, but its layers .* 3"):
        network.forward(WithFeatures(X, features[:, :2]))
    with pytest.raises(ValueError, match=r"shape \(6, 3\) beside 7 samples"):
        network.forward(WithFeatures(X, features[:6]))
    with pytest.raises(ValueError, match="but it has no ConcatFeatures"):
        columns.forward(WithFeatures(in_columns(X, features), features))
    with pytest.raises(ValueError, match="'other' appends n_features=2, but 'concatfeatures1' 3"):
        compile_network([ConcatFeatures(3), ("other", ConcatFeatures(2))], (4,))


def test_layer():
    assert ConcatFeatures(3).output_shape((2, 4)) == (11,)
    with pytest.raises(ValueError, match="not known before a fit: set n_features"):
        ConcatFeatures().output_shape((2, 4))
    for wrong in (0, -1, 1.5, "all"):
        with pytest.raises(ValueError, match="n_features"):
            ConcatFeatures(wrong).output_shape((2, 4))


def test_activations_are_fused_around_it():
    layers = [Conv2D(3, 2, activation=None), Activation("relu"), ConcatFeatures(2), Dense(3)]
    X, features = batch()
    one = WithFeatures(X, features[:, :2])
    fused = compile_network(layers, (4, 3, 2), random_state=0)
    bare = compile_network(layers, (4, 3, 2), random_state=0, passes=())
    testing.assert_close(fused.forward(one), bare.forward(one), 1e-6)
    assert len(fused.plan(7).rows) == len(bare.plan(7).rows) - 2
