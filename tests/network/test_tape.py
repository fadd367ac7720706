"""Passes that repeat others without the nodes."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import gc
import weakref

import layer_cases as cases
import numpy as np
import pytest

from sklearn_convnet.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPool2D,
    Parallel,
    Residual,
)
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.tape import Recorder

SHAPE = (12, 10, 2)
PLAIN = [Conv2D(5, 3), MaxPool2D(2), Conv2D(16, 3, padding=1), Dense(20), Dense(3)]
BLOCKS = [
    Conv2D(16, 3, padding=1),
    Residual([Conv2D(16, 3, padding=1), Conv2D(16, 3, padding=1)]),
    Parallel([Conv2D(3, 1), MaxPool2D(3, stride=1, padding=1)]),
    Flatten(),
]


def new_network(layers=PLAIN, **options):
    return compile_network(layers, SHAPE, random_state=0, **options)


def batch(n, seed, shape=SHAPE):
    return np.random.RandomState(seed).normal(size=(n, *shape)).astype(np.float32)


def without_tapes(layers=PLAIN):
    network = new_network(layers)
    network._repeats = dict.fromkeys(network._repeats, False)
    return network


def tapes(arena):
    return {key: plan.tapes for key, plan in arena.plans.items()}


def step(network, X, seed, **options):
    """Output, gradient at the input or None, and gradients of a step."""
    Y = network.forward(X, training=True, n_threads=options.pop("n_threads", 1))
    dY = np.random.RandomState(seed).normal(size=Y.shape).astype(np.float32)
    dX = network.backward(dY, n_threads=1, **options)
    return Y, dX, network.grads.copy()


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            cases.assert_same_bits(a, b)


# ---------------------------------------------------------------------------
# Plays what nodes compute
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [PLAIN, BLOCKS])
def test_steps_are_those_of_the_nodes(layers):
    played, plain = new_network(layers), without_tapes(layers)
    for i in range(6):
        for n in (7, 3):
            X = batch(n, i)
            assert_same(step(played, X, i, need_input=False), step(plain, X, i, need_input=False))
            for network in (played, plain):
                network.params -= 0.01 * network.grads
            cases.assert_same_bits(played.forward(X), plain.forward(X))
    assert [sorted(of_plan) for of_plan in tapes(played._arena).values()] == [
        [("backward", 1), ("forward", 1)]
    ] * 2
    assert not any(tapes(plain._arena).values())


@cases.every_case
def test_every_layer(case):
    played, plain = case.network(), case.network()
    plain._repeats = dict.fromkeys(plain._repeats, False)
    X = case.batch(dtype=played.dtype)
    for i in range(4):
        results = []
        for network in (played, plain):
            Y = network.forward(X + i, training=True)
            network.backward(np.cos(Y + i), need_input=False)
            network.step += 1
            results.append([Y, network.grads.copy(), network.forward(X - i)])
        assert_same(*results)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_gradient_at_the_input_after_a_forward_that_was_played(n_threads):
    played, plain = new_network(), without_tapes()
    for i in range(5):
        X = batch(4, i)
        options = {"need_input": i != 2, "n_threads": n_threads}
        assert_same(step(played, X, i, **options), step(plain, X, i, **options))


def test_backward_with_another_number_of_threads():
    played, plain = new_network(), without_tapes()
    for i in range(8):
        X = batch(4, i)
        options = {"need_input": False, "n_threads": 1 + i % 3 // 2}
        assert_same(step(played, X, i, **options), step(plain, X, i, **options))


@pytest.mark.parametrize("need_input", [True, False])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_what_changes_between_forward_and_backward(need_input, n_threads):
    """Backward goes by what forward has saved, and by the weights of the moment."""
    layers = [Conv2D(4, 3, activation="tanh"), Dense(5, activation="tanh"), Dense(3)]
    played, plain = new_network(layers), without_tapes(layers)
    for i in range(6):
        results = []
        for network in (played, plain):
            X = batch(4, i)
            Y = network.forward(X, training=True)
            X[:] = 0
            network.params *= 1.01
            threads = n_threads if i % 2 else 1
            dX = network.backward(np.ones_like(Y), need_input=need_input, n_threads=threads)
            results.append([Y, dX, network.grads.copy()])
        assert_same(*results)


def interrupted(network, X):
    """A forward without a backward, as the second pass of its kind."""
    for i in range(2):
        Y = network.forward(X, training=True)
        if i == 0:
            network.backward(np.ones_like(Y), need_input=False)


def to_the_input(network, X):
    for _ in range(3):
        network.backward(np.ones_like(network.forward(X, training=True)))


def of_the_output(network, X):
    for _ in range(3):
        network.backward(network.forward(X, training=True), need_input=False)


@pytest.mark.parametrize("begin", [interrupted, to_the_input, of_the_output])
def test_backward_is_recorded_when_it_can_be(begin):
    network = new_network()
    X = batch(4, 0)
    begin(network, X)
    calls = []
    first = network.nodes[0]
    forward, backward = first.forward, first.backward
    first.forward = lambda *args: calls.append("forward") or forward(*args)
    first.backward = lambda *args: calls.append("backward") or backward(*args)
    for _ in range(4):
        network.backward(np.ones_like(network.forward(X, training=True)), need_input=False)
    # At most once each: recorded, and played after that.
    assert calls.count("forward") <= 1
    assert calls.count("backward") <= 2
    del calls[:]
    network.backward(np.ones_like(network.forward(X, training=True)), need_input=False)
    assert not calls


def test_gradient_of_another_shape():
    network = new_network()
    X = batch(4, 0)
    for _ in range(4):
        Y = network.forward(X, training=True)
        for shape in [(3, 4), (12,), (4, 2), (5, 3)]:
            with pytest.raises(ValueError, match=r"dY has shape .* \(4, 3\)"):
                network.backward(np.ones(shape), need_input=False)
        network.backward(np.ones_like(Y), need_input=False)  # nothing is lost


def test_other_arrays_than_planned_are_no_tape():
    network = new_network()
    X = batch(4, 0)
    network.backward(np.ones_like(network.forward(X, training=True)), need_input=False)
    [plan] = network._arena.plans.values()
    plan.keys[1] = ("another", *plan.keys[1][1:])
    expected = without_tapes()
    for _ in range(4):
        assert_same(step(network, X, 0, need_input=False), step(expected, X, 0, need_input=False))
    assert not plan.tapes


def test_gradient_that_is_the_output():
    """Which of both an argument is would not be known."""
    played, plain = new_network(), without_tapes()
    for i in range(6):
        X = batch(4, i)
        for network in (played, plain):
            Y = network.forward(X, training=True)
            network.backward(Y if i % 2 else np.ones_like(Y), need_input=False)
        cases.assert_same_bits(played.grads, plain.grads)


def test_memory_released_between_forward_and_backward():
    layers = [Conv2D(64, 3, padding=1), Conv2D(8, 3), Dense(3)]
    played, plain = (
        compile_network(layers, (60, 60, 1), random_state=0) for _ in range(2)
    )  # fmt: skip
    for i in range(5):
        X = batch(4, i, (60, 60, 1))
        for network in (played, plain):
            Y = network.forward(X, training=True)
            if network is played:
                network.release_memory()
                assert not any(tapes(network._arena).values())
            network.backward(np.ones_like(Y), need_input=False)
        cases.assert_same_bits(played.grads, plain.grads)


def test_memory_released_before_a_backward_that_was_never_recorded():
    """What it makes of the arrays of then is not kept for later steps, which have others."""
    layers = [Conv2D(64, 3, padding=1), Conv2D(8, 3), Dense(3)]
    played, plain = (
        compile_network(layers, (60, 60, 1), random_state=0) for _ in range(2)
    )  # fmt: skip
    for i, n_threads in enumerate([1, 1, 1, 2, 1, 1, 2]):
        X = batch(4, i, (60, 60, 1))
        for network in (played, plain):
            Y = network.forward(X, training=True, n_threads=1)
            if i == 3 and network is played:
                network.release_memory()
            threads = n_threads if network is played else 1
            network.backward(np.ones_like(Y), need_input=False, n_threads=threads)
        cases.assert_same_bits(played.grads, plain.grads)


# ---------------------------------------------------------------------------
# When
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "training", "prediction"),
    [
        (PLAIN, True, True),
        (BLOCKS, True, True),
        ([*PLAIN[:2], Dropout(0.5), Dense(3)], False, True),
        ([Conv2D(16, 3), BatchNorm(), Dense(3)], False, False),
    ],
)
def test_which_networks(layers, training, prediction):
    network = new_network(layers)
    X = batch(4, 0)
    for _ in range(3):
        network.backward(np.ones_like(network.forward(X, training=True)), need_input=False)
        network.forward(X)
    [arena] = network._idle
    assert any(tapes(network._arena).values()) == training
    assert any(tapes(arena).values()) == prediction


def test_a_view_of_the_input_is_no_tape():
    network = new_network([Flatten()])
    for i in range(4):
        X = batch(3, i)
        cases.assert_same_bits(network.forward(X), X.reshape(3, -1))
        cases.assert_same_bits(network.forward(X, training=True), X.reshape(3, -1))


def test_no_samples():
    network = new_network()
    for _ in range(4):
        assert network.forward(batch(0, 0)).shape == (0, 3)


def test_only_a_part_of_an_array_from_outside():
    class Kernels:
        @staticmethod
        def fill(A):
            A[:] = 1

    X = np.zeros(6)
    recorder = Recorder(Kernels)
    recorder.fill(X[:3])
    assert recorder.tape({"X": X}) is None
    np.testing.assert_array_equal(X, [1, 1, 1, 0, 0, 0])


def test_a_failure_is_passed_on_and_forgotten():
    class Kernels:
        view = np.asarray

        @staticmethod
        def halve(A, out):
            if A[0] < 0:
                raise MemoryError
            out[:] = A / 2

    A, out = np.ones(3), np.zeros(3)
    recorder = Recorder(Kernels)
    recorder.halve(A, out)
    tape = recorder.tape({"A": A})
    for bad, error in ((-np.ones(3), MemoryError), (np.ones(4), ValueError)):
        with pytest.raises(error):
            tape.play({"A": bad})
        assert all(args[0] is None for _, args in tape._calls)
    tape.play({"A": np.full(3, 8.0)})
    np.testing.assert_array_equal(out, [4, 4, 4])


def test_what_was_given_is_not_kept():
    network = new_network()
    for _ in range(4):
        X = batch(5, 0)
        Y = network.forward(X, training=True)
        dY = np.ones_like(Y)
        network.backward(dY, need_input=False)
        Z = network.forward(X)
        kept = [weakref.ref(array) for array in (X, Y, dY, Z)]
        del X, Y, dY, Z
        gc.collect()
        assert [ref() for ref in kept] == [None] * 4
