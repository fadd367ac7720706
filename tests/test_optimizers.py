"""Optimisers, step for step against plain numpy; which parameters they leave alone."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense
from sklearn_convnet.network import compile_network
from sklearn_convnet.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, RMSprop


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


def adagrad(optimizer):
    """The diagonal form of Duchi, Hazan and Singer."""
    total = {}

    def step(path, w, g, decay, t):
        g = g + decay * w
        total[path] = total.get(path, 0) + g**2
        return w - optimizer.learning_rate * g / (np.sqrt(total[path]) + optimizer.epsilon)

    return step


def rmsprop(optimizer):
    """Slide 29 of lecture 6 of Tieleman and Hinton; centred as in Graves."""
    square, mean, velocity = {}, {}, {}
    alpha = optimizer.alpha

    def step(path, w, g, decay, t):
        g = g + decay * w
        square[path] = alpha * square.get(path, 0) + (1 - alpha) * g**2
        mean[path] = alpha * mean.get(path, 0) + (1 - alpha) * g
        spread = square[path] - (mean[path] ** 2 if optimizer.centered else 0)
        scaled = g / (np.sqrt(spread) + optimizer.epsilon)
        velocity[path] = optimizer.momentum * velocity.get(path, 0) + scaled
        return w - optimizer.learning_rate * velocity[path]

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


def adamw(optimizer):
    """Algorithm 2 of Loshchilov and Hutter."""
    without_decay = adam(optimizer)

    def step(path, w, g, decay, t):
        return without_decay(path, w, g, 0.0, t) - optimizer.learning_rate * decay * w

    return step


CASES = [
    (SGD(0.1), sgd),
    (SGD(0.1, momentum=0.9), sgd),
    (SGD(0.1, momentum=0.8, nesterov=True), sgd),
    (SGD(0.1, weight_decay=0.05), sgd),
    (SGD(0.1, momentum=0.8, nesterov=True, weight_decay=0.05), sgd),
    (SGD(0.1, weight_decay=0.05, decay_all=True), sgd),
    (SGD(0.1, momentum=0.5, weight_decay=0.05, clip_norm=2.0), sgd),
    (Adagrad(), adagrad),
    (Adagrad(0.1, epsilon=0.1, weight_decay=0.05, clip_norm=2.0), adagrad),
    (RMSprop(), rmsprop),
    (RMSprop(0.02, alpha=0.8, epsilon=1e-3, momentum=0.7), rmsprop),
    (RMSprop(0.02, alpha=0.8, centered=True), rmsprop),
    (RMSprop(0.02, momentum=0.7, centered=True, weight_decay=0.05, decay_all=True), rmsprop),
    (Adam(), adam),
    (Adam(0.02, beta_1=0.7, beta_2=0.95, epsilon=1e-3), adam),
    (Adam(0.02, weight_decay=0.05), adam),
    (Adam(0.02, weight_decay=0.05, clip_norm=2.0), adam),
    (AdamW(), adamw),
    (AdamW(0.02, beta_1=0.7, beta_2=0.95, weight_decay=0.2, decay_all=True), adamw),
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
        optimizer.step(net, state, t, optimizer.learning_rate, 2)


def clipped(optimizer, gradients):
    """The gradients, brought down to `clip_norm`."""
    if optimizer.clip_norm is None:
        return gradients
    norm = np.linalg.norm(np.concatenate([g.ravel() for g in gradients.values()]))
    scale = min(1, optimizer.clip_norm / (norm + 1e-6))
    return {path: scale * g for path, g in gradients.items()}


def decay_of(optimizer, path):
    return optimizer.weight_decay * (optimizer.decay_all or path.endswith("weight"))


@pytest.mark.oldest
@pytest.mark.parametrize(
    ("optimizer", "by_the_book"), CASES, ids=lambda x: getattr(x, "__name__", repr(x))
)
def test_steps(optimizer, by_the_book):
    net = network()
    step = by_the_book(optimizer)
    expected = {path: w.copy() for path, w in net.parameters().items()}

    def look(t, gradients):
        gradients = clipped(optimizer, gradients)
        for path, w in net.parameters().items():
            np.testing.assert_allclose(w, expected[path], rtol=1e-12, atol=1e-14)
            expected[path] = step(path, w, gradients[path], decay_of(optimizer, path), t)

    run(net, optimizer, 6, look)
    for path, w in net.parameters().items():
        np.testing.assert_allclose(w, expected[path], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("optimizer", [case[0] for case in CASES], ids=repr)
@pytest.mark.parametrize("frozen", [(), ("conv1",), ("conv2",), ("conv1", "dense")])
def test_frozen_layers_do_not_change(optimizer, frozen):
    optimizer = clone(optimizer).set_params(clip_norm=None)  # their gradients do not count
    net, free = (network(**dict.fromkeys(names)) for names in (frozen, ()))
    first = {path: w.copy() for path, w in net.parameters().items()}
    run(net, optimizer, 3, lambda *_: None)
    run(free, optimizer, 3, lambda *_: None)
    for path, w in net.parameters().items():
        kept = path.split("/")[0] in frozen
        expected = first[path] if kept else free.parameters()[path]
        np.testing.assert_array_equal(w, expected, err_msg=path)
        assert kept or not np.array_equal(w, first[path])


@pytest.mark.parametrize("decay_all", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_decays(name, decay_all):
    layers = [("conv", Conv2D(3, 3)), ("norm", BatchNorm()), ("dense", Dense(4))]
    net = compile_network(layers, (6, 6, 1), dtype="float64", random_state=0)
    for w in net.parameters().values():
        w[:] = 2.0
    net.gradients()  # all of them zero
    optimizer = OPTIMIZERS[name](weight_decay=0.1, decay_all=decay_all)
    optimizer.step(net, optimizer.start(net), 1, 0.1, 1)
    for path, w in net.parameters().items():
        decayed = decay_all or path.endswith("weight")
        assert np.all(w < 2.0) if decayed else np.all(w == 2.0), path


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_by_default_only_adamw_decays(name):
    assert OPTIMIZERS[name]().weight_decay == (0.01 if name == "adamw" else 0.0)


def with_gradients(net, norm):
    """Fills in random gradients of a norm over all parameters."""
    rng = np.random.RandomState(0)
    for gradient in net.gradients().values():
        gradient[:] = rng.normal(size=gradient.shape)
    net.grads *= norm / np.linalg.norm(net.grads)


@pytest.mark.parametrize(("norm", "wanted"), [(5.0, 2.0), (1.5, 1.5)])
def test_clipping_by_the_norm_of_all_gradients(norm, wanted):
    net = network()
    with_gradients(net, norm)
    before, gradients = net.params.copy(), net.grads.copy()
    optimizer = SGD(clip_norm=2.0)
    optimizer.step(net, optimizer.start(net), 1, 1.0, 1)
    np.testing.assert_allclose(before - net.params, gradients * wanted / norm, rtol=1e-6)
    np.testing.assert_array_equal(net.grads, gradients)


def test_frozen_layers_do_not_count_in_the_norm():
    steps = []
    for factor in (1.0, 1e6):
        net = network(conv1=True)
        with_gradients(net, 5.0)
        net.gradients()["conv1/weight"][:] *= factor
        before = net.params.copy()
        optimizer = SGD(clip_norm=0.1)
        optimizer.step(net, optimizer.start(net), 1, 1.0, 1)
        steps.append(net.params - before)
    np.testing.assert_array_equal(*steps)
    assert np.linalg.norm(steps[0]) == pytest.approx(0.1)


@pytest.mark.parametrize("optimizer", [case[0] for case in CASES], ids=repr)
def test_the_state_holds_what_the_options_need(optimizer):
    names = set(optimizer.start(network()))
    expected = {
        SGD: set(),
        Adagrad: {"square"},
        RMSprop: {"square"},
        Adam: {"mean", "square"},
        AdamW: {"mean", "square"},
    }[type(optimizer)]
    if getattr(optimizer, "momentum", 0):
        expected = expected | {"velocity"}
    if getattr(optimizer, "centered", False):
        expected = expected | {"mean"}
    assert names == expected


def test_options_may_change_between_steps():
    # What was not kept so far begins with zeros, as momentum always does.
    kept, late = network(), network()
    optimizer = RMSprop(0.1)
    state = optimizer.start(late)
    for net in (kept, late):
        with_gradients(net, 1.0)
    other = RMSprop(0.1, momentum=0.9, centered=True)
    other.step(kept, other.start(kept), 1, 0.1, 1)
    optimizer.set_params(momentum=0.9, centered=True)
    optimizer.step(late, state, 1, 0.1, 1)
    np.testing.assert_array_equal(kept.params, late.params)
    optimizer.set_params(momentum=0.0, centered=False).step(late, state, 2, 0.1, 1)


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.1, momentum=0.9, clip_norm=1.0),
        Adagrad(0.1),
        RMSprop(0.1, epsilon=1e-3, momentum=0.5),
        Adam(0.1),
        AdamW(0.1, weight_decay=0.5),
    ],
    ids=repr,
)
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
