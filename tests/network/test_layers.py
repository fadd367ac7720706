"""Every layer, alone and in networks: one test a promise, one row a layer."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import layer_cases as cases
import numpy as np
import pytest

import sklearn_convnet.layers
from sklearn_convnet import testing
from sklearn_convnet.layers import (
    Activation,
    AuxiliaryHead,
    ConcatFeatures,
    Conv2D,
    Dense,
    MaxPool2D,
)
from sklearn_convnet.losses import AbsoluteError, CrossEntropy, Huber, SquaredError
from sklearn_convnet.network import compile_network

THREADS = (1, 2, 3)


def test_every_layer_has_a_row():
    exported = {getattr(sklearn_convnet.layers, n) for n in sklearn_convnet.layers.__all__}
    layer = sklearn_convnet.layers.Layer
    exported = {x for x in exported if isinstance(x, type) and issubclass(x, layer)} - {layer}
    exported -= {AuxiliaryHead}  # its output in training is another: test_auxiliary.py
    exported -= {ConcatFeatures}  # its network takes more than X: test_features.py
    tested = {type(x) for case in cases.CASES.values() for x in case.layer_list}
    assert exported <= tested


@cases.every_case
@cases.every_dtype
def test_shape_and_dtype(case, dtype):
    testing.check_shapes(case, [dtype])


# ---------------------------------------------------------------------------
# Gradients
# ---------------------------------------------------------------------------


@cases.every_layer
def test_gradient_alone(case):
    def check(seed):
        network = case.network(seed=seed)
        X = case.batch(2, seed)
        loss = cases.random_functional(network.forward(X), seed)
        cases.check_gradients(network, X, loss, seed, case.kinks, most=40)

    cases.without_kinks(check)


@cases.every_layer
def test_gradient_between_others(case):
    around = ([Activation("tanh")], [Dense(2, activation="softplus")])

    def check(seed):
        network = case.network(seed=seed, around=around)
        X = case.batch(2, seed)
        loss = cases.random_functional(network.forward(X), seed)
        cases.check_gradients(network, X, loss, seed, case.kinks, most=8)

    cases.without_kinks(check)


def loss_of_targets(loss, target, weight, network):
    def value_and_gradient(Z):
        dZ = np.full_like(Z, np.nan)
        value = loss.value_and_gradient(Z, target, weight, dZ, network.kernels, 1)
        return value, dZ

    return value_and_gradient


LOSSES = {
    "classes": CrossEntropy(),
    "labels": CrossEntropy(),
    "squared": SquaredError(),
    "absolute": AbsoluteError(),
    "huber": Huber(delta=0.5),
}


@cases.every_network
@pytest.mark.parametrize("name", LOSSES)
def test_gradient_of_networks(case, name):
    def check(seed):
        rng = np.random.RandomState(seed)
        network = case.network(seed=seed)
        X = case.batch(4, seed)
        Z = network.forward(X, training=True)
        if name == "classes":
            target = rng.randint(Z.shape[1], size=len(X))
        elif name == "labels":
            target = rng.randint(2, size=Z.shape).astype(float)
        else:
            # Residuals on both sides of all kinks, and far from them.
            target = Z + rng.choice([-1.2, -0.25, 0.25, 1.2], Z.shape)
        weight = rng.uniform(0.2, 2.0, len(X))
        loss = loss_of_targets(LOSSES[name], target, weight, network)
        cases.check_gradients(network, X, loss, seed, case.kinks, most=12)

    cases.without_kinks(check)


@pytest.mark.parametrize(
    "case",
    [c for c in cases.CASES.values() if c.linear],
    ids=[name for name, c in cases.CASES.items() if c.linear],
)
@cases.every_dtype
def test_adjoint(case, dtype):
    network = case.network(dtype)
    rng = np.random.RandomState(1)
    X = case.batch(dtype=dtype)
    constant = network.forward(np.zeros_like(X), training=True).astype(np.float64)
    Y = network.forward(X, training=True).astype(np.float64) - constant
    dY = rng.uniform(-1, 1, Y.shape).astype(dtype)
    dX = network.backward(dY).astype(np.float64)
    terms = Y * dY
    tolerance = 20 * np.finfo(dtype).eps * (np.abs(terms).sum() + np.abs(X * dX).sum())
    assert abs(terms.sum() - np.sum(X * dX)) <= tolerance


@cases.every_case
def test_need_input(case):
    testing.check_need_input(case)


@cases.every_case
def test_passes_are_apart(case):
    testing.check_passes_are_apart(case)


@cases.every_case
def test_frozen(case):
    testing.check_frozen(case)


# ---------------------------------------------------------------------------
# Precision, threads, batches
# ---------------------------------------------------------------------------


@cases.every_case
def test_float32_is_close_to_float64(case):
    testing.check_float32(case)


@cases.every_case
def test_threads_do_not_matter(case):
    # The kernels are tested with maps that several threads are worth while for; so is a
    # network below. This is about what is between the kernels.
    testing.check_threads(case)


@cases.every_dtype
def test_threads_do_not_matter_to_a_larger_network(dtype):
    layers = [
        Conv2D(16, 5),
        MaxPool2D(2),
        Conv2D(32, 5),
        MaxPool2D(2),
        Dense(64),
        Dense(10),
    ]
    network = compile_network(layers, (28, 28), dtype=dtype, random_state=0)
    X = np.random.RandomState(0).uniform(-1, 1, (33, 28, 28)).astype(dtype)
    expected = testing.training_step(network, X, n_threads=1)
    prediction = network.forward(X, n_threads=1)
    for n_threads in THREADS[1:]:
        testing.assert_same(testing.training_step(network, X, n_threads=n_threads), expected)
        cases.assert_same_bits(network.forward(X, n_threads=n_threads), prediction)


@cases.every_case
@cases.every_dtype
def test_batch_does_not_matter(case, dtype):
    testing.check_batch(case, [dtype])


@cases.every_case
def test_training_and_inference(case):
    network = case.network()
    X = case.batch()
    inference, training = network.forward(X), network.forward(X, training=True)
    if case.training_differs:
        assert np.abs(inference - training).max() > 1e-3
    else:
        cases.assert_same_bits(training, inference)


# ---------------------------------------------------------------------------
# State
# ---------------------------------------------------------------------------


@cases.every_case
def test_predictions_write_nothing(case):
    testing.check_predictions_write_nothing(case)


@cases.every_case
def test_nodes_keep_nothing(case):
    testing.check_nodes_keep_nothing(case)


@cases.every_case
def test_concurrent_predictions(case):
    testing.check_concurrent_predictions(case)


@cases.every_case
def test_outputs_stay(case):
    testing.check_outputs_stay(case)


@cases.every_case
def test_network_copies(case):
    testing.check_network_copies(case)


@cases.every_case
def test_spec_is_not_changed(case):
    testing.check_spec_is_not_changed(case)


@cases.every_layer
def test_spec_copies(case):
    testing.check_copies(case)


@cases.every_layer
def test_spec_parameters(case):
    testing.check_parameters(case)


@cases.every_layer
def test_in_a_sequential(case):
    testing.check_sequential(case)


@cases.every_layer
def test_check_layer_runs_all_of_it(case):
    """The layers of the package pass what is asked of those of users."""
    for layer in case.layer_list:
        testing.check_layer(layer, case.shape)
