"""Every layer, alone and in networks: one test a promise, one row a layer."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import layer_cases as cases
import numpy as np
import pytest
from sklearn.base import clone

import sklearn_convnet.layers
from sklearn_convnet.layers import Activation, Conv2D, Dense, MaxPool2D, Sequential
from sklearn_convnet.losses import AbsoluteError, CrossEntropy, Huber, SquaredError
from sklearn_convnet.network import compile_network

THREADS = (1, 2, 3)


def all_layers(layers):
    """Of a case's layers, those inside others too."""
    for layer in layers:
        yield layer
        for item in getattr(layer, "layers", ()):
            inner = item[1] if isinstance(item, tuple) else item
            if not isinstance(inner, str):
                yield from all_layers([inner])


def test_every_layer_has_a_row():
    exported = {getattr(sklearn_convnet.layers, n) for n in sklearn_convnet.layers.__all__}
    exported = {x for x in exported if isinstance(x, type)} - {sklearn_convnet.layers.Layer}
    tested = {type(x) for case in cases.CASES.values() for x in case.layer_list}
    assert exported <= tested


@cases.every_case
@cases.every_dtype
def test_shape_and_dtype(case, dtype):
    shape = case.shape
    for layer in case.layer_list:
        shape = layer.output_shape(shape)
    assert isinstance(shape, tuple)
    assert all(type(size) is int for size in shape)
    network = case.network(dtype)
    assert network.input_shape == case.shape
    assert network.output_shape == shape
    X = case.batch(dtype=dtype)
    for training in (False, True):
        Y = network.forward(X, training=training)
        assert Y.shape == (len(X), *shape)
        assert Y.dtype == dtype
        assert Y.flags.c_contiguous
        assert np.isfinite(Y).all()
    dX = network.backward(np.ones_like(Y))
    assert dX.shape == X.shape
    assert dX.dtype == dtype
    for path, gradient in network.gradients().items():
        assert gradient.shape == network.parameters()[path].shape
        assert gradient.dtype == dtype


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
    network = case.network()
    X = case.batch()
    dY = np.random.RandomState(0).uniform(-1, 1, network.forward(X).shape)
    network.forward(X, training=True)
    network.backward(dY, need_input=True)
    expected = network.grads.copy()
    network.grads[:] = np.nan
    network.forward(X, training=True)
    assert network.backward(dY, need_input=False) is None
    for path, gradient in network.gradients().items():
        wanted = expected[next(s.start for s in network.segments if s.path == path) :]
        cases.assert_same_bits(gradient.reshape(-1), wanted[: gradient.size])


@cases.every_case
def test_backward_forgets_what_was_before(case):
    """Gradients are overwritten, not added to; batches may differ in size."""
    network = case.network()
    gradients = []
    for n in (3, 5, 3):
        X = case.batch(n)
        Y = network.forward(X, training=True)
        dX = network.backward(np.cos(np.arange(Y.size)).reshape(Y.shape))
        gradients.append((dX.copy(), network.grads.copy()))
    cases.assert_same_bits(gradients[2][0], gradients[0][0])
    cases.assert_same_bits(gradients[2][1], gradients[0][1])


# ---------------------------------------------------------------------------
# Precision, threads, batches
# ---------------------------------------------------------------------------


@cases.every_case
def test_float32_is_close_to_float64(case):
    results = []
    for dtype in cases.DTYPES:
        network = case.network(dtype)
        if dtype == np.float32:
            rounded = network.parameters()
        else:
            for path, array in network.parameters().items():
                array[...] = rounded[path]
        X = case.batch(dtype=np.float32).astype(dtype)
        Y = network.forward(X, training=True)
        dY = np.random.RandomState(0).uniform(-1, 1, Y.shape)
        dX = network.backward(dY)
        results.append({"output": Y, "input": dX, **network.gradients()})
    for name, expected in results[1].items():
        cases.assert_close(results[0][name], expected, 1e-4, name, floor=1e-2)


def outputs_and_gradients(network, X, n_threads):
    inference = network.forward(X, n_threads=n_threads).copy()
    Y = network.forward(X, training=True, n_threads=n_threads)
    dY = np.random.RandomState(0).uniform(-1, 1, Y.shape)
    dX = network.backward(dY, n_threads=n_threads)
    return inference, Y.copy(), dX.copy(), network.grads.copy()


@cases.every_case
def test_threads_do_not_matter(case):
    # The kernels are tested with maps that several threads are worth while for; so is a
    # network below. This is about what is between the kernels.
    X = case.batch(40, dtype="float32")
    expected = outputs_and_gradients(case.network("float32"), X, 1)
    for n_threads in THREADS[1:]:
        actual = outputs_and_gradients(case.network("float32"), X, n_threads)
        for one, other in zip(actual, expected, strict=True):
            cases.assert_same_bits(one, other)


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
    expected = outputs_and_gradients(network, X, 1)
    for n_threads in THREADS[1:]:
        actual = outputs_and_gradients(network, X, n_threads)
        for one, other in zip(actual, expected, strict=True):
            cases.assert_same_bits(one, other)


@cases.every_case
@cases.every_dtype
def test_batch_does_not_matter(case, dtype):
    network = case.network(dtype)
    X = case.batch(11, dtype=dtype)
    whole = network.forward(X)
    for part in (slice(0, 1), slice(10, 11), slice(3, 5), slice(4, 11)):
        cases.assert_same_bits(network.forward(X[part]), whole[part])


@cases.every_case
def test_empty_batch(case):
    network = case.network()
    assert network.forward(case.batch()[:0]).shape == (0, *network.output_shape)


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
def test_inference_writes_nothing(case):
    network = case.network()
    X = case.batch()
    before = pickle.dumps(network)
    attributes = {name: id(value) for name, value in vars(network).items()}
    for array in (*network.parameters().values(), *network.buffers().values()):
        array.flags.writeable = False
    network.params.flags.writeable = False
    network.forward(X)
    assert pickle.dumps(network) == before
    assert attributes == {name: id(value) for name, value in vars(network).items()}


@cases.every_case
def test_concurrent_inference(case):
    network = case.network()
    batches = [case.batch(5, seed) for seed in range(4)]
    expected = [network.forward(X, n_threads=1) for X in batches]
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda X: network.forward(X, n_threads=1), 4 * batches)
    for Y, wanted in zip(results, 4 * expected, strict=True):
        cases.assert_same_bits(Y, wanted)


@cases.every_case
def test_inference_output_is_its_own(case):
    """A later forward does not change an earlier output."""
    network = case.network()
    Y = network.forward(case.batch(seed=0))
    kept = Y.copy()
    network.forward(case.batch(seed=1))
    network.forward(case.batch(seed=1), training=True)
    cases.assert_same_bits(Y, kept)


def pickled(x):
    return pickle.loads(pickle.dumps(x))


@cases.every_case
def test_copies(case):
    network = case.network()
    for copied in (pickled, copy.deepcopy):
        assert_is_copied(network, case, copied)


def assert_is_copied(network, case, copied):
    X = case.batch()
    Y = network.forward(X, training=True)
    dY = np.sin(np.arange(Y.size)).reshape(Y.shape)
    dX = network.backward(dY)
    other = copied(network)
    assert not np.shares_memory(other.params, network.params)
    cases.assert_same_bits(other.forward(X), network.forward(X))
    cases.assert_same_bits(other.forward(X, training=True), Y)
    cases.assert_same_bits(other.backward(dY), dX)
    cases.assert_same_bits(other.grads, network.grads)
    before = network.params.copy()
    for array in other.parameters().values():
        array += 1  # its nodes see its own parameters
    cases.assert_same_bits(network.params, before)
    if before.size:
        assert np.abs(other.forward(X) - network.forward(X)).max() > 0


@cases.every_case
def test_spec_is_not_changed(case):
    layers = case.layer_list
    before = repr(layers)
    inner = list(all_layers(layers))
    attributes = [dict(vars(layer)) for layer in inner]
    case.network()
    assert repr(layers) == before
    for layer, expected in zip(inner, attributes, strict=True):
        assert vars(layer).keys() == expected.keys()
        assert all(vars(layer)[name] is value for name, value in expected.items())


@cases.every_layer
def test_spec_copies(case):
    for layer in case.layer_list:
        same = [clone(layer), copy.deepcopy(layer), pickled(layer)]
        for other in same:
            assert other is not layer
            assert repr(other) == repr(layer)
            assert other.output_shape(case.shape) == layer.output_shape(case.shape)
            assert other.get_params(deep=False).keys() == layer.get_params(False).keys()


@cases.every_layer
def test_in_a_sequential(case):
    """A layer and the same inside a Sequential are one and the same network."""
    inside = compile_network([Sequential(case.layer_list)], case.shape, random_state=0)
    outside = compile_network(case.layer_list, case.shape, random_state=0)
    X = case.batch(dtype="float32")
    cases.assert_same_bits(inside.forward(X), outside.forward(X))
