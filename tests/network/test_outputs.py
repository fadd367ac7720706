"""Two output layers side by side: paths, shapes and gradients."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import layer_cases as cases
import numpy as np
import pytest

from sklearn_convnet.layers import Activation, AvgPool2D, Conv2D, Dense
from sklearn_convnet.layers.blocks import Outputs
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.summary import network_summary

OUTPUTS = [("output", Dense(3, activation="identity")), ("box", Dense(8, activation="tanh"))]


def both(body, seed=0, dtype="float64"):
    layers = [*body, ("output", Outputs(OUTPUTS))]
    return compile_network(layers, (6, 5, 2), dtype=dtype, random_state=seed)


@pytest.mark.parametrize(
    "body",
    [[], [Conv2D(4, 3, activation="tanh"), AvgPool2D(2)], [Dense(7, activation="softplus")]],
    ids=["nothing", "maps", "dense"],
)
def test_gradient(body):
    def check(seed):
        network = both(body, seed)
        X = np.random.RandomState(seed).normal(size=(3, 6, 5, 2))
        loss = cases.random_functional(network.forward(X), seed)
        cases.check_gradients(network, X, loss, seed, False, most=40)

    cases.without_kinks(check)


@cases.every_dtype
def test_it_is_two_networks_side_by_side(dtype):
    network = both([("conv", Conv2D(4, 3))], dtype=dtype)
    X = np.random.RandomState(0).normal(size=(3, 6, 5, 2)).astype(dtype)
    Y = network.forward(X)
    assert network.output_shape == (11,)
    assert Y.shape == (3, 11)
    start = 0
    for pair in OUTPUTS:
        alone = compile_network([("conv", Conv2D(4, 3)), pair], (6, 5, 2), dtype=dtype)
        for path, array in alone.parameters().items():
            array[...] = network.parameters()[path]
        stop = start + alone.output_shape[0]
        np.testing.assert_array_equal(alone.forward(X), Y[:, start:stop])
        start = stop


def test_paths_have_no_block():
    network = both([("conv", Conv2D(4, 3))])
    assert list(network.parameters()) == [
        "conv/weight", "conv/bias", "output/weight", "output/bias", "box/weight", "box/bias",
    ]  # fmt: skip
    shapes = [(path, given, made) for path, _, given, made in network.table]
    assert shapes == [
        ("conv", (6, 5, 2), (4, 3, 4)),
        ("output", (4, 3, 4), (3,)),
        ("box", (4, 3, 4), (8,)),
    ]
    rows = network_summary(network).rows
    assert ("output", "Dense", (3,), 3, "all", 147, 144) in rows
    assert ("box", "Dense", (8,), 8, "all", 392, 384) in rows


def test_output_shape_of_a_network_that_does_nothing():
    assert compile_network([Activation("identity")], (4,)).output_shape == (4,)
