"""Optimisers, step for step against plain numpy; which parameters they leave alone."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import Conv2D, Dense
from sklearn_convnet.network import compile_network
from sklearn_convnet.optimizers import OPTIMIZERS, SGD, Adam


def sgd(optimizer):
    """SGD by the book; returns a function that changes w, given g."""
    velocity = {}

    def step(path, w, g, decay, t):
        g = g + decay * w
        v = optimizer.momentum * velocity.get(path, 0) + g
        velocity[path] = v
        ahead = g + optimizer.momentum * v if optimizer.nesterov else v
        return w - optimizer.learning_rate * ahead

    return step


def adam(optimizer):
    """Algorithm 1 of Kingma and Ba."""
    mean, square = {}, {}
    beta_1, beta_2 = optimizer.beta_1, optimizer.beta_2

    def step(path, w, g, decay, t):
        g = g + decay * w
        mean[path] = beta_1 * mean.get(path, 0) + (1 - beta_1) * g
        square[path] = beta_2 * square.get(path, 0) + (1 - beta_2) * g**2
        m = mean[path] / (1 - beta_1**t)
        v = square[path] / (1 - beta_2**t)
        return w - optimizer.learning_rate * m / (np.sqrt(v) + optimizer.epsilon)

    return step


CASES = [
    (SGD(0.1), sgd),
    (SGD(0.1, momentum=0.9), sgd),
    (SGD(0.1, momentum=0.8, nesterov=True), sgd),
    (SGD(0.1, weight_decay=0.05), sgd),
    (SGD(0.1, momentum=0.8, nesterov=True, weight_decay=0.05), sgd),
    (Adam(), adam),
    (Adam(0.02, beta_1=0.7, beta_2=0.95, epsilon=1e-3), adam),
    (Adam(0.02, weight_decay=0.05), adam),
]


def network(dtype="float64", **frozen):
    """A convolution with bias, one without, and a dense layer."""
    layers = [
        ("conv1", Conv2D(3, 3, activation="tanh", trainable="conv1" not in frozen)),
        ("conv2", Conv2D(5, 2, use_bias=False, trainable="conv2" not in frozen)),
        ("dense", Dense(4, trainable="dense" not in frozen)),
    ]
    return compile_network(layers, (6, 6, 1), dtype=dtype, random_state=0)


def run(net, optimizer, n_steps, look):
    """Steps with random gradients; calls `look(t, gradients)` before each."""
    rng = np.random.RandomState(1)
    state = optimizer.start(net)
    for t in range(1, n_steps + 1):
        gradients = net.gradients()
        for gradient in gradients.values():
            gradient[:] = rng.normal(size=gradient.shape)
        look(t, gradients)
        optimizer.step(net, state, t, 2)


@pytest.mark.oldest
@pytest.mark.parametrize(
    ("optimizer", "by_the_book"), CASES, ids=lambda x: getattr(x, "__name__", repr(x))
)
def test_steps(optimizer, by_the_book):
    net = network()
    step = by_the_book(optimizer)
    expected = {path: w.copy() for path, w in net.parameters().items()}

    def look(t, gradients):
        for path, w in net.parameters().items():
            np.testing.assert_allclose(w, expected[path], rtol=1e-12, atol=1e-14)
            decay = 0.0 if path.endswith("bias") else optimizer.weight_decay
            expected[path] = step(path, w, gradients[path], decay, t)

    run(net, optimizer, 6, look)
    for path, w in net.parameters().items():
        np.testing.assert_allclose(w, expected[path], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("optimizer", [case[0] for case in CASES], ids=repr)
@pytest.mark.parametrize("frozen", [(), ("conv1",), ("conv2",), ("conv1", "dense")])
def test_frozen_layers_do_not_change(optimizer, frozen):
    net, free = (network(**dict.fromkeys(names)) for names in (frozen, ()))
    first = {path: w.copy() for path, w in net.parameters().items()}
    run(net, optimizer, 3, lambda *_: None)
    run(free, optimizer, 3, lambda *_: None)
    for path, w in net.parameters().items():
        kept = path.split("/")[0] in frozen
        expected = first[path] if kept else free.parameters()[path]
        np.testing.assert_array_equal(w, expected, err_msg=path)
        assert kept or not np.array_equal(w, first[path])


@pytest.mark.parametrize("optimizer", [case[0] for case in CASES], ids=repr)
def test_decay_leaves_biases_alone(optimizer):
    net = network()
    for w in net.parameters().values():
        w[:] = 2.0
    net.gradients()
    optimizer.step(net, optimizer.start(net), 1, 1)
    for path, w in net.parameters().items():
        decayed = optimizer.weight_decay > 0 and path.endswith("weight")
        assert np.all(w < 2.0) if decayed else np.all(w == 2.0), path


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(0.1)], ids=repr)
def test_single_precision_follows_double(optimizer):
    single, double = network("float32"), network("float64")
    run(single, optimizer, 5, lambda *_: None)
    run(double, optimizer, 5, lambda *_: None)
    for path, w in single.parameters().items():
        assert w.dtype == np.float32
        np.testing.assert_allclose(w, double.parameters()[path], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_name_is_the_optimizer_with_its_defaults(maps, name):
    X, y = maps
    a = ConvNetClassifier([Dense(3)], optimizer=name, max_iter=3, random_state=0)
    b = ConvNetClassifier([Dense(3)], optimizer=OPTIMIZERS[name](), max_iter=3, random_state=0)
    assert a.fit(X, y).loss_curve_ == b.fit(X, y).loss_curve_


def test_frozen_layers_of_a_fit(maps):
    layers = [
        ("conv1", Conv2D(3, 3, trainable=False)),
        ("conv2", Conv2D(2, 3)),
        Dense(4),
    ]
    clf = ConvNetClassifier(layers, optimizer=Adam(weight_decay=0.1), random_state=0)
    clf.partial_fit(*maps, classes=[0, 1, 2])
    first = clf.get_weights()
    clf.partial_fit(*maps)
    changed = {
        path.split("/")[0]
        for path, array in clf.get_weights().items()
        if not np.array_equal(array, first[path])
    }
    assert changed == {"conv2", "dense1", "output"}
