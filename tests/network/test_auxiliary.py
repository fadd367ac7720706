"""Auxiliary heads: outputs beside that of the network in training, and nothing at a prediction."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import layer_cases as cases
import numpy as np
import pytest
from sklearn.base import clone

from sklearn_convnet import testing
from sklearn_convnet.layers import (
    AuxiliaryHead,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool2D,
    Residual,
    Sequential,
)
from sklearn_convnet.layers.auxiliary import has_heads, without_heads
from sklearn_convnet.network import compile_network

SHAPE = (7, 6, 2)


def layers(activation="tanh"):
    """Two heads, one of which is inside a Sequential; between them a batch norm and pools."""
    first = [AvgPool2D(2), ("conv", Conv2D(3, 1, activation=activation)), Dense(3, activation=None)]
    second = [GlobalAvgPool(), Dropout(0.3), Dense(3, activation=None)]
    return [
        ("conv1", Conv2D(4, 3, padding="same", activation=activation)),
        ("aux1", AuxiliaryHead(first)),
        ("norm", BatchNorm()),
        ("pool", MaxPool2D(2)),
        (
            "body",
            Sequential([Conv2D(5, 2, activation=activation), ("aux2", AuxiliaryHead(second))]),
        ),
        ("last", GlobalAvgPool()),
        ("out", Dense(3, activation=None)),
    ]


def network(layers=layers, shape=SHAPE, **options):
    made = layers() if callable(layers) else layers
    return compile_network(made, shape, **{"random_state": 0, **options})


def batch(n=3, shape=SHAPE, dtype=np.float64):
    return np.random.RandomState(1).normal(size=(n, *shape)).astype(dtype)


# ---------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("eager", [False, True])
def test_outputs_are_side_by_side(eager):
    net = network(dtype="float64")
    net.eager = eager
    X = batch()
    Y = net.forward(X, training=True)
    assert Y.shape == (3, 9)
    assert net.forward(X).shape == (3, 3)
    # The first head by itself: the layers before it, and its own.
    alone = network(
        [*layers()[:1], *[("aux1", Sequential(layers()[1][1].layers))]], dtype="float64"
    )
    for path, value in alone.parameters().items():
        value[...] = net.parameters()[path]
    np.testing.assert_allclose(Y[:, 3:6], alone.forward(X), rtol=1e-12)


def test_programs_compute_what_nodes_do():
    nets = [network(), network()]
    nets[1].eager = True
    X, dY = batch(dtype=np.float32), np.random.RandomState(2).normal(size=(3, 9))
    outputs = [net.forward(X, training=True) for net in nets]
    inputs = [net.backward(dY) for net in nets]
    np.testing.assert_array_equal(*outputs)
    np.testing.assert_array_equal(*inputs)
    np.testing.assert_array_equal(nets[0].grads, nets[1].grads)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gradients_of_all_outputs(activation):
    def check(seed):
        net = network(lambda: layers(activation), dtype="float64", random_state=seed)
        X = batch()
        loss = testing.random_functional(net.forward(X, training=True), seed)
        cases.check_gradients(net, X, loss, seed, activation == "relu", most=30)

    cases.without_kinks(check)


@pytest.mark.parametrize(
    "made",
    [
        [AuxiliaryHead([Flatten(), Dense(2, activation=None)]), Flatten(), Dense(2)],
        [AuxiliaryHead([GlobalAvgPool()]), GlobalAvgPool()],
        [GlobalAvgPool(), Dense(2), AuxiliaryHead([])],
    ],
    ids=["first of all", "without weights", "without layers"],
)
def test_heads_in_odd_places(made):
    net = network(made, dtype="float64")
    X = batch()
    loss = testing.random_functional(net.forward(X, training=True), 0)
    testing.require_gradients(testing.compare_gradients(net, X, loss, most=30))


def test_threads_and_batches_do_not_matter():
    net = network(lambda: [one for one in layers() if one[0] != "norm"])
    X = batch(40, dtype=np.float32)
    Y = net.forward(X, training=True, n_threads=1)
    dY = np.ones_like(Y)
    net.backward(dY, n_threads=1)
    grads = net.grads.copy()
    np.testing.assert_array_equal(net.forward(X, training=True, n_threads=4), Y)
    net.backward(dY, n_threads=4)
    np.testing.assert_array_equal(net.grads, grads)


def test_a_network_begins_as_it_would_without_heads():
    net, bare = network(), network(without_heads(layers()))
    own, others = net.parameters(), bare.parameters()
    assert list(own)[: len(others)] == list(others)
    for path, value in others.items():
        np.testing.assert_array_equal(own[path], value)
    assert [path.partition("/")[0] for path in list(own)[len(others) :]] == ["aux1"] * 4 + [
        "body"
    ] * 2


# ---------------------------------------------------------------------------
# Predictions
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"passes": ()}])
def test_a_prediction_is_that_without_heads(options):
    net, bare = network(**options), network(without_heads(layers()), **options)
    X = batch(dtype=np.float32)
    np.testing.assert_array_equal(net.forward(X), bare.forward(X))
    assert net.plan(2).rows == bare.plan(2).rows
    if not options:
        rows = network(lambda: layers("relu")).plan(2).rows
        assert not [row for row in rows if "aux" in row[0]]


def test_the_plan_of_training_has_them():
    paths = {row[0] for row in network().plan(2, training=True).rows}
    assert {"aux1/conv", "aux1/dense1", "body/aux2/dense1", "outputs"} <= paths


def test_gradients_and_probes_ignore_them():
    net, bare = network(dtype="float64"), network(without_heads(layers()), dtype="float64")
    X, dY = batch(), np.ones((3, 3))
    np.testing.assert_array_equal(net.input_gradient(X, dY), bare.input_gradient(X, dY))
    probes = [one.probe() for one in (net, bare)]
    seen = [probe.forward(X, ["conv1", "out"]) for probe in probes]
    for layer in seen[0]:
        np.testing.assert_array_equal(seen[0][layer], seen[1][layer])
    maps = probes[0].forward(X, ["conv1", "aux1"])
    np.testing.assert_array_equal(maps["aux1"], maps["conv1"])


def test_samples_of_another_size():
    net, bare = network(), network(without_heads(layers()))
    X = batch(shape=(9, 8, 2), dtype=np.float32)
    np.testing.assert_array_equal(
        net.resized((9, 8, 2)).forward(X), bare.resized((9, 8, 2)).forward(X)
    )
    # The dense layer of the first head is for maps of one size.
    with pytest.raises(ValueError, match="aux1/dense1"):
        net.resized((9, 8, 2), training=True)


def test_training_on_samples_of_another_size():
    made = [
        Conv2D(3, 3),
        ("aux", AuxiliaryHead([GlobalAvgPool(), Dense(2)])),
        GlobalAvgPool(),
        Dense(2),
    ]
    net = network(made, dtype="float64")
    other = net.resized((9, 8, 2), training=True)
    assert other is net.resized((9, 8, 2), training=True) is not net.resized((9, 8, 2))
    X = batch(shape=(9, 8, 2))
    loss = testing.random_functional(other.forward(X, training=True), 0)
    same = network(made, (9, 8, 2), dtype="float64")
    dY = loss(0 * other.forward(X, training=True))[1]
    other.backward(dY)
    same.forward(X, training=True)
    same.backward(dY)
    np.testing.assert_array_equal(net.grads, same.grads)


def test_a_pickle_goes_on():
    net = network()
    other = pickle.loads(pickle.dumps(net))
    X = batch(dtype=np.float32)
    np.testing.assert_array_equal(net.forward(X, training=True), other.forward(X, training=True))


def test_summary_counts_their_parameters_and_no_work():
    from sklearn_convnet.network.summary import network_summary

    rows = {row[0]: row for row in network_summary(network()).rows}
    n = 4 * 3 + 3 + 3 * 3 * 3 * 3 + 3  # a convolution of pixels, and a dense layer on 3 x 3 of them
    assert rows["aux1"][1:4] == ("AuxiliaryHead", (7, 6, 4), 7 * 6 * 4)
    assert rows["aux1"][5:] == (n, 0)
    assert rows["aux1"][4] == rows["conv1"][4] == (3, 3)


# ---------------------------------------------------------------------------
# What is refused, and layers as such
# ---------------------------------------------------------------------------


def test_a_head_inside_a_block_is_refused():
    block = Residual([("conv", Conv2D(2, 1)), ("aux", AuxiliaryHead([GlobalAvgPool(), Dense(2)]))])
    with pytest.raises(ValueError, match=r"'residual1/aux'.*inside a block.*before or after"):
        network([block, GlobalAvgPool(), Dense(2)])


def test_a_head_inside_a_head_is_refused():
    with pytest.raises(ValueError, match=r"'outer/inner'.*inside a block"):
        network([("outer", AuxiliaryHead([("inner", AuxiliaryHead([Dense(2)])), Dense(2)]))])


def test_outputs_that_are_maps_are_refused():
    with pytest.raises(ValueError, match=r"'aux'.*\(5, 4, 3\).*flat outputs"):
        network([("aux", AuxiliaryHead([Conv2D(3, 3)])), Dense(2)])
    with pytest.raises(ValueError, match=r"'aux'.*\(7, 6, 2\).*flat outputs"):
        network([Conv2D(2, 1), ("aux", AuxiliaryHead([Dense(2)]))])


def test_layers_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"'aux1/conv2d1'.*its window covers 9"):
        network([("aux1", AuxiliaryHead([Conv2D(3, 9), Dense(2)])), Dense(2)])


@pytest.mark.parametrize("weight", [0, -0.3, np.inf, "much"])
def test_weights_that_are_none(weight):
    with pytest.raises(ValueError, match="weight"):
        AuxiliaryHead([Dense(2)], weight).output_shape((4,))


def test_layers_without_heads():
    made = layers()
    assert has_heads(made)
    assert has_heads(made[4:5])
    assert not has_heads(without_heads(made))
    names = [name for name, _ in without_heads(made)]
    assert names == ["conv1", "norm", "pool", "body", "last", "out"]
    assert [name for name, _ in without_heads(made)[3][1].layers] == ["conv2d1"]


def test_parameters_are_reached_by_name():
    head = AuxiliaryHead([("conv", Conv2D(3, 1)), Dense(4)], weight=0.5)
    other = clone(head).set_params(weight=0.1, conv__filters=7, dense1__units=2)
    assert (head.weight, head.layers[0][1].filters) == (0.5, 3)
    assert (other.weight, other.layers[0][1].filters, other.layers[1].units) == (0.1, 7, 2)
    assert other.output_shape((4, 4, 2)) == (4, 4, 2)
    assert "AuxiliaryHead" in head._repr_html_()
