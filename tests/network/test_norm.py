"""Standardize: the statistics, and what is made of them; a frozen batch norm."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from kernel_cases import assert_gradient

from sklearn_convnet.layers import Activation, BatchNorm, Conv2D, Dense, Residual, Standardize
from sklearn_convnet.network import compile_network

SHAPE = (4, 3, 2)


def fitted(X, weights=None, sizes=None, per="channel", dtype="float64", before=()):
    """A network with the statistics of X, seen in batches of these sizes."""
    network = compile_network(
        [*before, ("scale", Standardize(per=per))],
        X.shape[1:],
        dtype=dtype,
        random_state=0,
    )
    weights = np.ones(len(X)) if weights is None else weights
    stops = np.cumsum(sizes or [len(X)])
    assert stops[-1] == len(X)

    def batches():
        for start, stop in zip([0, *stops[:-1]], stops, strict=True):
            yield X[start:stop], weights[start:stop]

    network.fit_statistics(batches)
    return network


def statistics(network):
    buffers = network.buffers()
    return buffers["scale/mean"], buffers["scale/deviation"]


def columns(X, per):
    return X.reshape(-1, X.shape[-1]) if per == "channel" else X.reshape(len(X), -1)


@pytest.fixture(name="X")
def samples():
    rng = np.random.RandomState(0)
    return rng.normal(size=(20, *SHAPE)) * rng.uniform(0.1, 9, SHAPE) + 5


@pytest.mark.parametrize("per", ["channel", "value"])
@pytest.mark.parametrize("sizes", [None, [20], [7, 7, 6], [1] * 20, [1, 19]])
def test_statistics(X, per, sizes):
    mean, deviation = statistics(fitted(X, sizes=sizes, per=per))
    np.testing.assert_allclose(mean, columns(X, per).mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(deviation, columns(X, per).std(axis=0), rtol=1e-13)


@pytest.mark.parametrize("per", ["channel", "value"])
def test_output(X, per):
    Z = columns(fitted(X, per=per).forward(X), per)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(Z.std(axis=0), 1, rtol=1e-13)


@pytest.mark.parametrize("per", ["channel", "value"])
@pytest.mark.parametrize("sizes", [None, [7, 7, 6]])
def test_weights_are_repetitions(X, per, sizes):
    weights = np.random.RandomState(1).randint(0, 4, len(X))
    actual = statistics(fitted(X, weights, sizes, per))
    repeated = columns(np.repeat(X, weights, axis=0), per)
    np.testing.assert_allclose(actual[0], repeated.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(actual[1], repeated.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("sizes", [[5, 15], [15, 5], [5, 10, 5]])
def test_batches_without_weight(X, sizes):
    """As class weights of 0 make them where the samples are in order."""
    start = 15 if sizes == [15, 5] else 0
    weights = np.ones(len(X))
    weights[start : start + 5] = 0
    actual = statistics(fitted(X, weights, sizes))
    kept = columns(X[weights > 0], "channel")
    np.testing.assert_allclose(actual[0], kept.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(actual[1], kept.std(axis=0), rtol=1e-12)


def test_only_ratios_of_weights_matter(X):
    weights = np.random.RandomState(1).uniform(0.1, 2, len(X))
    expected = statistics(fitted(X, weights))
    for actual, wanted in zip(statistics(fitted(X, 1e-6 * weights)), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-12)


def test_fit_begins_anew(X):
    network = fitted(X)
    network.fit_statistics(lambda: iter([(X[:5], np.ones(5))]))
    expected = statistics(fitted(X[:5]))
    for actual, wanted in zip(statistics(network), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("constant", [0.0, 0.1, -3.3e7, 1e-20])
@pytest.mark.parametrize("sizes", [None, [7, 7, 6]])
def test_constant_columns_are_only_shifted(X, dtype, constant, sizes):
    X = X.astype(dtype)
    X[..., 1] = constant
    weights = np.random.RandomState(1).uniform(0.1, 2, len(X))
    network = fitted(X, weights, sizes, dtype=dtype)
    mean, deviation = statistics(network)
    np.testing.assert_allclose(mean[1], X[0, 0, 0, 1], rtol=1e-12)
    assert deviation[1] == 1.0
    assert deviation[0] != 1.0
    Z = network.forward(X)
    scale = max(abs(constant), 1e-30)
    assert np.abs(Z[..., 1]).max() <= 10 * np.finfo(dtype).eps * scale


def test_single_sample():
    network = fitted(np.full((1, 3), 7.0), per="value")
    np.testing.assert_array_equal(network.forward(np.full((2, 3), 8.0)), np.ones((2, 3)))


def test_far_from_zero():
    """One pass over squares would lose all digits here."""
    X = np.random.RandomState(0).normal(size=(1000, 3))
    mean, deviation = statistics(fitted(X + 1e8, sizes=[100] * 10))
    np.testing.assert_allclose(deviation, X.std(axis=0), rtol=1e-6)
    np.testing.assert_allclose(mean, 1e8 + X.mean(axis=0), rtol=1e-14)


def test_integers():
    X = np.random.RandomState(0).randint(0, 256, (30, 5, 5, 3)).astype(np.uint8)
    mean, deviation = statistics(fitted(X, dtype="float32", sizes=[10, 20]))
    np.testing.assert_allclose(mean, X.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(deviation, X.std(axis=(0, 1, 2)), rtol=1e-12)


def test_sees_what_the_layers_before_make(X):
    before = [Conv2D(3, 2, activation="tanh"), Standardize(), Activation("tanh")]
    network = fitted(X, before=before, sizes=[9, 11])
    inner = compile_network(before, SHAPE, dtype="float64", random_state=0)
    inner.fit_statistics(lambda: iter([(X, np.ones(len(X)))]))
    seen = inner.forward(X)
    mean, deviation = statistics(network)
    np.testing.assert_allclose(mean, seen.mean(axis=(0, 1, 2)), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(deviation, seen.std(axis=(0, 1, 2)), rtol=1e-10)


def test_training_leaves_statistics(X):
    layers = [("scale", Standardize()), Dense(2)]
    network = compile_network(layers, SHAPE, dtype="float64", random_state=0)
    network.fit_statistics(lambda: iter([(X, np.ones(len(X)))]))
    before = [buffer.copy() for buffer in statistics(network)]
    network.backward(network.forward(2 * X, training=True))
    for actual, expected in zip(statistics(network), before, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_a_block_has_no_statistics_of_the_data():
    network = compile_network([Residual([Standardize()])], (4, 2))
    with pytest.raises(ValueError, match=r"'residual1/standardize1'.*before the block"):
        network.fit_statistics(lambda: [(np.ones((3, 4, 2)), np.ones(3))])


# ---------------------------------------------------------------------------
# A frozen batch norm
# ---------------------------------------------------------------------------


@pytest.fixture
def frozen():
    """Between two layers that train, with statistics that are not those of the data."""
    layers = [Conv2D(3, 2, use_bias=False, activation=None), BatchNorm(trainable=False)]
    layers += [Activation("tanh"), Dense(2, activation=None)]
    network = compile_network(layers, SHAPE, dtype="float64", random_state=0)
    rng = np.random.RandomState(1)
    for name in ("scale", "offset"):
        network.parameters()[f"batchnorm1/{name}"][:] = rng.normal(size=3)
    network.buffers()["batchnorm1/mean"][:] = rng.normal(size=3)
    network.buffers()["batchnorm1/variance"][:] = rng.uniform(0.5, 2, 3)
    return network


def test_a_frozen_batch_norm_trains_as_it_predicts(X, frozen):
    before = {path: array.copy() for path, array in frozen.buffers().items()}
    trained = frozen.forward(X, training=True).copy()
    for path, array in frozen.buffers().items():
        np.testing.assert_array_equal(array, before[path])
    np.testing.assert_allclose(trained, frozen.forward(X), rtol=1e-12)


def test_the_gradient_through_a_frozen_batch_norm(X, frozen):
    X = X[:3] / 10  # where tanh is smooth on the scale of the differences
    dY = np.random.RandomState(2).normal(size=(3, 2))
    frozen.forward(X, training=True)
    dX = frozen.backward(dY)
    gradients = {path: array.copy() for path, array in frozen.gradients().items()}
    assert_gradient(dX, lambda X: np.vdot(dY, frozen.forward(X)), X)
    weight = frozen.parameters()["conv2d1/weight"]

    def at(values):
        weight[...] = values
        return np.vdot(dY, frozen.forward(X))

    assert_gradient(gradients["conv2d1/weight"], at, weight.copy())
    assert not gradients["batchnorm1/scale"].any()
    assert not gradients["batchnorm1/offset"].any()
    frozen.forward(X, training=True)
    assert frozen.backward(dY, need_input=False) is None
