"""Gates and maxout in networks."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from scipy.special import expit

from sklearn_convnet.layers import (
    Activation,
    Conv2D,
    Dense,
    Gate,
    GlobalAvgPool,
    GlobalMaxPool,
    Maxout,
    SqueezeExcite,
)
from sklearn_convnet.network import compile_network

SHAPE = (5, 4, 6)


def compiled(*layers, shape=SHAPE):
    return compile_network(list(layers), shape, dtype="float64", random_state=0)


def batch(n=3, shape=SHAPE):
    return np.random.RandomState(0).normal(size=(n, *shape))


def test_squeeze_and_excitation_by_hand():
    layer = SqueezeExcite(2, activation="silu", scale_activation="hard_logistic")
    network, X = compiled(("se", layer)), batch()
    arrays = network.parameters()
    for path in ("se/reduce/bias", "se/expand/bias"):
        arrays[path] += 0.3
    Z = X.mean(axis=(1, 2)) @ arrays["se/reduce/weight"] + arrays["se/reduce/bias"]
    Z = (Z * expit(Z)) @ arrays["se/expand/weight"] + arrays["se/expand/bias"]
    expected = X * np.clip(Z / 6 + 0.5, 0, 1)[:, None, None]
    np.testing.assert_allclose(network.forward(X), expected, rtol=1e-12)


def test_squeeze_and_excitation_is_a_gate():
    layers = [
        ("squeeze", GlobalAvgPool()),
        ("reduce", Dense(2, kernel_initializer="he_normal")),
        ("expand", Dense(6, "logistic", kernel_initializer="he_normal")),
    ]
    gate = compiled(("se", Gate(layers)))
    layer = compiled(("se", SqueezeExcite(3, kernel_initializer="he_normal")))
    X = batch()
    assert list(gate.parameters()) == list(layer.parameters())
    np.testing.assert_array_equal(gate.forward(X), layer.forward(X))


def test_one_map_by_hand():
    network, X = compiled(Gate([("conv", Conv2D(1, 1, activation="tanh"))])), batch()
    W = network.parameters()["gate1/conv/weight"].reshape(6, 1)
    np.testing.assert_allclose(network.forward(X), X * np.tanh(X @ W), rtol=1e-12)


def test_attention_of_channels_and_then_of_positions():
    """As CBAM has it, but for its two pools: the factors of the second follow from the first."""
    channels = Gate([GlobalMaxPool(), Dense(6, activation="logistic")])
    positions = Gate([Conv2D(1, 3, padding="same", activation="logistic")])
    network, X = compiled(("channels", channels), ("positions", positions)), batch()
    probe = network.probe()
    seen = probe.forward(X, ["channels", "channels/dense1", "positions/conv2d1", "positions"])
    np.testing.assert_allclose(seen["channels"], X * seen["channels/dense1"][:, None, None])
    product = seen["channels"] * seen["positions/conv2d1"]
    np.testing.assert_allclose(seen["positions"], product)
    np.testing.assert_allclose(network.forward(X), product, rtol=1e-12)


def test_gradients_at_layers_inside():
    """A factor's gradient is the sum over all that it multiplies."""
    network, X = compiled(Gate([GlobalAvgPool(), ("out", Dense(6, activation=None))])), batch()
    dY = np.random.RandomState(1).normal(size=X.shape)
    probe = network.probe()
    G = probe.forward(X, ["gate1", "gate1/out"])["gate1/out"]
    dX, inside = probe.backward({"gate1": dY}, ["gate1/out"])
    dG = (dY * X).sum(axis=(1, 2))
    np.testing.assert_allclose(inside["gate1/out"], dG, rtol=1e-12)
    W = network.parameters()["gate1/out/weight"]
    through = (dG @ W.T)[:, None, None] / 20  # the mean over 20 positions
    np.testing.assert_allclose(dX, dY * G[:, None, None] + through, rtol=1e-12)


@pytest.mark.parametrize(
    "gate",
    [
        SqueezeExcite(),
        Gate([Conv2D(1, 3, padding="same", activation="logistic")]),
        Gate([Conv2D(6, 3, padding="same", activation="logistic")]),
    ],
)
def test_samples_of_other_sizes(gate):
    network = compiled(gate)
    X = batch(2, (9, 7, 6))
    resized = network.resized((9, 7, 6))
    np.testing.assert_array_equal(resized.forward(X), compiled(gate, shape=(9, 7, 6)).forward(X))


def test_nothing_is_learnt_inside_a_frozen_gate():
    network = compiled(SqueezeExcite(trainable=False), Dense(2, activation=None))
    trained = {segment.path for segment in network.segments if segment.trainable}
    assert trained == {"dense1/weight", "dense1/bias"}


def test_maxout_by_hand():
    network = compiled(("conv", Conv2D(6, 3, activation=None)), Maxout(3))
    plain = compiled(("conv", Conv2D(6, 3, activation=None)))
    X = batch()
    Z = plain.forward(X)
    np.testing.assert_array_equal(network.forward(X), Z.reshape(*Z.shape[:-1], 2, 3).max(axis=-1))


def test_maxout_of_two_pieces_can_be_a_rectifier():
    """Where one of the two is zero, as in the paper."""
    W = np.random.RandomState(0).normal(size=(4, 3))
    network, relu = (
        compiled(Dense(6, None), Maxout(), shape=(4,)),
        compiled(Dense(3, None), Activation("relu"), shape=(4,)),
    )
    network.parameters()["dense1/weight"][:] = np.stack([W, 0 * W], axis=2).reshape(4, 6)
    relu.parameters()["dense1/weight"][:] = W
    X = batch(7, (4,))
    for kind in (False, True):
        np.testing.assert_allclose(
            network.forward(X, training=kind), relu.forward(X, training=kind), rtol=1e-12
        )
    dY = np.random.RandomState(2).normal(size=(7, 3))
    np.testing.assert_allclose(network.backward(dY), relu.backward(dY), rtol=1e-12)
