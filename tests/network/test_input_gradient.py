"""The gradient at the input at a prediction: right, and nothing is written on the network."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import layer_cases as cases
import numpy as np
import pytest

from sklearn_convnet import testing
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, Residual, Standardize
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.node import walk
from sklearn_convnet.testing import gradient_like

NORMS = [
    Standardize(),
    Conv2D(16, 3, padding=1, activation=None),
    BatchNorm(),
    Residual([Conv2D(16, 3, padding=1), BatchNorm(), Dropout(0.3)]),
    Dense(3, activation=None),
]
SHAPE = (9, 8, 2)


def trained_network(layers=NORMS, shape=SHAPE, dtype="float32", **options):
    """With statistics that are not those of the beginning."""
    network = compile_network(layers, shape, dtype=dtype, random_state=0, **options)
    rng = np.random.RandomState(0)
    for _ in range(3):
        Y = network.forward(rng.normal(1, 2, (5, *shape)), training=True)
        network.backward(gradient_like(Y))
        network.step += 1
    return network


def batch(n=4, shape=SHAPE, seed=1):
    return np.random.RandomState(seed).normal(size=(n, *shape)).astype(np.float32)


@cases.every_case
def test_every_layer(case):
    """Against central differences of predictions."""
    found = testing.compare_at_a_prediction(case)
    assert case.kinks or not found[0].n_kinks
    testing.require_gradients(found)


@cases.every_case
def test_traced_and_node_by_node(case):
    """The same bits, with any number of threads; nothing on the network is changed."""
    network, X = case.network(), case.batch(3)
    dY = gradient_like(network.forward(X))
    before = cases.contents(network)
    dX = network.input_gradient(X, dY)
    assert (dX.shape, dX.dtype) == (X.shape, np.float64)
    cases.assert_same_bits(network.input_gradient(X, dY, n_threads=2), dX)
    network.eager = True
    cases.assert_same_bits(network.input_gradient(X, dY, n_threads=1), dX)
    cases.assert_unchanged(network, before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fused_and_not(dtype):
    """Every pass that fuses keeps off what it may not do where nothing is learnt."""
    fused, plain = (trained_network(dtype=dtype, **options) for options in ({}, {"passes": ()}))
    plain.go_on_from(fused)
    X = batch()
    dY = gradient_like(fused.forward(X))
    expected = plain.input_gradient(X, dY)
    cases.assert_close(fused.input_gradient(X, dY), expected, 3e-5 if dtype == "float32" else 1e-12)


def test_a_pending_training_forward_is_not_disturbed():
    X, other = batch(), batch(3, seed=2)
    results = []
    for between in (False, True):
        network = trained_network()
        Y = network.forward(X, training=True)
        if between:
            before = cases.contents(network)
            dY = gradient_like(network.forward(other))
            network.input_gradient(other, dY)
            network.input_gradient(X, Y)
            cases.assert_unchanged(network, before)
        results.append([network.backward(gradient_like(Y)), network.grads.copy()])
    for one, two in zip(*results, strict=True):
        cases.assert_same_bits(one, two)


def test_it_is_that_of_the_weights_and_statistics_of_now():
    network, X = trained_network(), batch()
    dY = gradient_like(network.forward(X))
    before = network.input_gradient(X, dY)
    network.parameters()["dense1/weight"][...] *= 2
    cases.assert_same_bits(network.input_gradient(X, dY), 2 * before)
    network.buffers()["standardize1/deviation"][...] *= 2
    after = network.input_gradient(X, dY)
    again = trained_network()
    again.go_on_from(network)
    cases.assert_same_bits(again.input_gradient(X, dY), after)


def test_many_threads_at_once():
    network = trained_network()
    batches = [batch(n, seed=n) for n in (1, 4, 7)]
    gradients = [gradient_like(network.forward(X)) for X in batches]
    expected = [network.input_gradient(*given) for given in zip(batches, gradients, strict=True)]
    network.trim()

    def task(i):
        j = i % len(batches)
        if i % 5 == 0:
            network.release_memory()
        return network.input_gradient(batches[j], gradients[j], n_threads=1 + i % 2)

    with ThreadPoolExecutor(8) as pool:
        for i, dX in enumerate(pool.map(task, range(120))):
            cases.assert_same_bits(dX, expected[i % len(batches)])


def test_what_it_needs_is_made_once_and_given_up():
    network, X = trained_network(), batch()
    size = len(pickle.dumps(network))
    assert not network._twins  # not before it is asked for
    dY = gradient_like(network.forward(X))
    dX = network.input_gradient(X, dY)
    [twin] = network._twins.values()
    network.input_gradient(X, dY)
    assert [twin] == list(network._twins.values())
    arrays = [array for node in walk(twin.nodes) for array in node.params.values()]
    assert sum(array.size for array in arrays) == sum(
        array.size for array in network.parameters().values()
    )
    assert all(np.shares_memory(array, network.params) for array in arrays)
    assert len(pickle.dumps(network)) == size
    [arena] = twin._idle
    arena.release(-1)
    assert arena._bytes is None
    cases.assert_same_bits(network.input_gradient(X, dY), dX)
    network.trim()
    assert not network._twins
    cases.assert_same_bits(network.input_gradient(X, dY), dX)
    cases.assert_same_bits(pickle.loads(pickle.dumps(network)).input_gradient(X, dY), dX)
    cases.assert_same_bits(copy.deepcopy(network).input_gradient(X, dY), dX)


def test_weights_that_cannot_be_written():
    """Such as those of a pickle in a memory map."""
    network, X = trained_network(), batch()
    dY = gradient_like(network.forward(X))
    expected = network.input_gradient(X, dY)
    state = network.__getstate__()
    for array in (state["params"], *state["_buffers"].values()):
        array.flags.writeable = False
    other = type(network).__new__(type(network))
    other.__setstate__(state)
    cases.assert_same_bits(other.input_gradient(X, dY), expected)


def test_large_memory_is_given_back():
    network = compile_network([Conv2D(32, 3, padding=1), Dense(2)], (64, 64, 1), random_state=0)
    X = batch(4, (64, 64, 1))
    network.input_gradient(X, np.ones((4, 2)))
    [arena] = network._twins[network._passes]._idle
    assert len(arena._bytes) > 2**20
    network.release_memory()
    assert arena._bytes is None


def test_a_sample_has_the_same_bits_in_any_batch():
    network, X = trained_network(), batch(6)
    dY = gradient_like(network.forward(X))
    whole = network.input_gradient(X, dY)
    for i in range(6):
        one = network.input_gradient(X[i : i + 1], dY[i : i + 1])
        cases.assert_same_bits(one, whole[i : i + 1])
    assert network.input_gradient(X[:0], dY[:0]).shape == (0, *SHAPE)


def test_x_and_dy_are_taken_as_by_forward_and_backward():
    network = trained_network(shape=(9, 8))
    X, dY = batch(shape=(9, 8)), gradient_like(np.zeros((4, 3)))
    expected = network.input_gradient(X[..., None], dY.astype(np.float32))
    cases.assert_same_bits(network.input_gradient(X, dY.tolist()), expected)


def test_numbers_that_float32_does_not_hold():
    """Standardize sees them in float64, and the gradient is in the network's dtype."""
    network = trained_network([Standardize(), Flatten(), Dense(2, activation="tanh")])
    network.buffers()["standardize1/mean"][...] = 1e9
    X = batch().astype(np.float64)
    dY = gradient_like(np.zeros((4, 2)))
    shifted = network.input_gradient(X + 1e9, dY)
    assert shifted.dtype == np.float32
    network.buffers()["standardize1/mean"][...] = 0
    cases.assert_close(shifted, network.input_gradient(X, dY), 1e-6)


def test_without_layers():
    network = compile_network([], (3,), dtype="float64")
    dY = np.arange(6.0).reshape(2, 3)
    cases.assert_same_bits(network.input_gradient(np.zeros((2, 3)), dY), dY)


@pytest.mark.parametrize(
    ("X", "dY", "n_threads", "message"),
    [
        (batch(4, (9, 7, 2)), np.ones((4, 3)), None, "X has samples of shape"),
        (batch(), np.ones((4, 2)), None, r"dY has shape \(4, 2\), the output has shape \(4, 3\)"),
        (batch(), np.ones((3, 3)), None, r"dY has shape \(3, 3\), the output has shape \(4, 3\)"),
        (batch(), np.ones(3), None, "dY has shape"),
        (batch(), np.ones((4, 3)), 0, "n_threads must be"),
        (batch(), [["a"] * 3] * 4, None, "could not convert string"),
    ],
)
def test_bad_input(X, dY, n_threads, message):
    network = trained_network()
    before = cases.contents(network)
    with pytest.raises(ValueError, match=message):
        network.input_gradient(X, dY, n_threads)
    cases.assert_unchanged(network, before)
