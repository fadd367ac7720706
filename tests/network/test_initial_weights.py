"""The first weights of networks: their distributions."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from sklearn_convnet.initializers import INITIALIZERS
from sklearn_convnet.layers import Conv2D, Dense
from sklearn_convnet.layers.activation import ACTIVATIONS
from sklearn_convnet.network import compile_network

# Layer, input shape, inputs of an output, outputs of an input.
LAYERS = {
    "conv": (Conv2D(48, 5), (8, 8, 32), 25 * 32, 25 * 48),
    "rectangular": (Conv2D(96, (3, 1)), (8, 8, 64), 3 * 64, 3 * 96),
    "groups": (Conv2D(64, 5, groups=4), (8, 8, 32), 25 * 8, 25 * 16),
    "dense": (Dense(200), (8, 8, 3), 192, 200),
}

every_layer = pytest.mark.parametrize("which", LAYERS)


def first_weights(which, **params):
    layer, shape, fan_in, fan_out = LAYERS[which]
    layer = type(layer)(**{**layer.get_params(), **params})
    network = compile_network([("layer", layer)], shape, dtype="float64", random_state=0)
    assert not network.parameters()["layer/bias"].any()
    return network.parameters()["layer/weight"], fan_in, fan_out


def assert_distribution(W, distribution, variance):
    n = W.size
    # Five standard errors of the mean and of the variance.
    assert abs(W.mean()) < 5 * np.sqrt(variance / n)
    if distribution == "uniform":
        limit = np.sqrt(3 * variance)
        assert 0.99 * limit < np.abs(W).max() <= limit
        assert abs(W.var() / variance - 1) < 5 * np.sqrt(0.8 / n)
    else:
        assert np.abs(W).max() > 3 * np.sqrt(variance)
        assert abs(W.var() / variance - 1) < 5 * np.sqrt(2 / n)


@every_layer
@pytest.mark.parametrize("name", sorted(INITIALIZERS - {"auto", "zeros"}))
def test_variance(which, name):
    W, fan_in, fan_out = first_weights(which, kernel_initializer=name)
    family, distribution = name.split("_")
    variance = {
        "he": 2 / fan_in,
        "lecun": 1 / fan_in,
        "glorot": 2 / (fan_in + fan_out),
    }[family]
    assert_distribution(W, distribution, variance)


@every_layer
@pytest.mark.parametrize("activation", [*ACTIVATIONS, None])
def test_auto(which, activation):
    W, fan_in, fan_out = first_weights(which, activation=activation)
    others = ("identity", "tanh", "logistic", "hard_logistic", "softsign", "softmax", None)
    if activation not in others:
        assert_distribution(W, "normal", 2 / fan_in)
    else:
        assert_distribution(W, "uniform", 2 / (fan_in + fan_out))


@every_layer
def test_zeros(which):
    assert not first_weights(which, kernel_initializer="zeros")[0].any()


def test_relu_keeps_the_scale():
    """What He et al. chose it for: twenty layers on, numbers are of the same size."""
    layers = [Conv2D(32, 3, padding="same") for _ in range(20)]
    network = compile_network(layers, (12, 12, 32), dtype="float64", random_state=0)
    X = np.random.RandomState(0).normal(size=(4, 12, 12, 32))
    # Zeros around the maps take a little at each layer.
    assert 0.01 < np.mean(network.forward(X) ** 2) < 10


def test_layers_differ():
    network = compile_network([Dense(8), Dense(8)], (8,), random_state=0)
    first, second = (network.parameters()[f"dense{i}/weight"] for i in (1, 2))
    assert not np.array_equal(first, second)
