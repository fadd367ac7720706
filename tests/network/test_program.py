"""Programs: what nodes would compute, where its arrays lie, and what is kept between passes."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import gc
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import kernel_cases
import layer_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_convnet import architectures
from sklearn_convnet.kernels import reference
from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPool2D,
    Parallel,
    Residual,
    Standardize,
)
from sklearn_convnet.network import compile_network
from sklearn_convnet.network import program as programs
from sklearn_convnet.network.program import (
    ALIGNMENT,
    MAX_PROGRAMS,
    THREADS,
    Arena,
    LayerMemoryError,
    Seed,
    Tracer,
    make_program,
    name_result,
    place,
)

SHAPE = (12, 10, 2)
PLAIN = [Conv2D(5, 3), MaxPool2D(2), Conv2D(16, 3, padding=1), Dense(20), Dense(3)]
NORMS = [
    Standardize(),
    Conv2D(16, 3, padding=1, activation=None),
    BatchNorm(),
    Residual([Conv2D(16, 3, padding=1), BatchNorm(), Dropout(0.3)]),
    Parallel([Conv2D(3, 1), MaxPool2D(3, stride=1, padding=1)]),
    Flatten(),
]


def new_network(layers=PLAIN, shape=SHAPE, *, eager=False, **options):
    network = compile_network(layers, shape, random_state=0, **options)
    network.eager = eager
    return network


def both(layers=PLAIN, shape=SHAPE, **options):
    """A network that runs programs, and one that runs its nodes."""
    return [new_network(layers, shape, eager=eager, **options) for eager in (False, True)]


def batch(n, seed, shape=SHAPE):
    return np.random.RandomState(seed).normal(size=(n, *shape)).astype(np.float32)


def step(network, X, seed, *, n_threads=1, weight=None, **options):
    """Output, gradient at the input or None, gradients, statistics of a step, a prediction."""
    Y = network.forward(X, training=True, n_threads=n_threads, sample_weight=weight)
    dY = np.random.RandomState(seed).normal(size=Y.shape).astype(Y.dtype)
    dX = network.backward(dY, n_threads=n_threads, **options)
    network.step += 1
    statistics = [array.copy() for array in network.buffers().values()]
    return [Y, dX, network.grads.copy(), *statistics, network.forward(X, n_threads=n_threads)]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            cases.assert_same_bits(a, b)


# ---------------------------------------------------------------------------
# A program computes what the nodes do
# ---------------------------------------------------------------------------


@cases.every_case
def test_every_layer(case):
    traced, eager = case.network(), case.network()
    eager.eager = True
    X = case.batch(dtype=traced.dtype)
    for i in range(3):
        for n in (len(X), traced.smallest_batch):
            weight = np.linspace(0.5, 1.5, n).astype(traced.dtype) if i == 2 else None
            options = dict(need_input=i != 1, n_threads=1 + i % 2, weight=weight)
            results = [step(network, X[:n] + i, i, **options) for network in (traced, eager)]
            assert_same(*results)


ARCHITECTURES = {
    "lenet5": (lambda: architectures.lenet5(), (28, 28, 1)),
    "vgg": (lambda: architectures.vgg("A", width=0.5, units=(64, 32)), (32, 32, 3)),
    "googlenet": (lambda: architectures.googlenet(), (64, 64, 3)),
    "resnet 18": (lambda: architectures.resnet(18), (32, 32, 3)),
    "resnet 50": (lambda: architectures.resnet(50), (32, 32, 3)),
    "resnet_cifar": (lambda: architectures.resnet_cifar(20), (16, 16, 3)),
    "densenet": (lambda: architectures.densenet(121), (32, 32, 3)),
    "densenet_cifar": (lambda: architectures.densenet_cifar(22), (16, 16, 3)),
    "squeezenet": (lambda: architectures.squeezenet(), (48, 48, 3)),
    "mobilenet_v2": (lambda: architectures.mobilenet_v2(), (32, 32, 3)),
    "mobilenet_v3": (lambda: architectures.mobilenet_v3("small"), (32, 32, 3)),
    "efficientnet": (lambda: architectures.efficientnet(width=0.25), (32, 32, 3)),
    "xception": (lambda: architectures.xception(0.25, 2), (48, 48, 3)),
    "convnext": (lambda: architectures.convnext(width=0.25), (32, 32, 3)),
    "inception_time": (lambda: architectures.inception_time(8), (60, 2)),
    "tdnn": (lambda: architectures.tdnn(), (60, 2)),
    "speech_cnn": (lambda: architectures.speech_cnn(24, units=(64, 32)), (40, 24)),
    "unet": (lambda: architectures.unet(width=0.5), (16, 16, 1)),
    "fcn": (lambda: architectures.fcn(width=0.25, units=(64, 32)), (32, 32, 1)),
    "box_localizer": (lambda: architectures.box_localizer(), (32, 32, 1)),
    "pose_net": (lambda: architectures.pose_net(width=0.5, units=(64, 32)), (64, 64, 1)),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name):
    make, shape = ARCHITECTURES[name]
    X = batch(2, 0, shape)
    traced, eager = both(make(), shape)
    for i in range(2):
        results = [step(network, X, i, need_input=False) for network in (traced, eager)]
        assert_same(*results)


@pytest.mark.parametrize("layers", [PLAIN, NORMS])
def test_steps_and_predictions_of_several_sizes(layers):
    traced, eager = both(layers)
    for i in range(6):
        for n in (7, 3):
            results = []
            for network in (traced, eager):
                results.append(
                    step(network, batch(n, i), i, need_input=i == 4, n_threads=1 + i % 2)
                )
                network.params -= 0.01 * network.grads
            assert_same(*results)


@pytest.mark.parametrize("need_input", [True, False])
def test_what_changes_between_forward_and_backward(need_input):
    """Backward goes by what forward has saved, and by the weights of the moment."""
    for i in range(4):
        results = []
        for network in both([Conv2D(4, 3, activation="tanh"), Dense(5, activation="tanh")]):
            X = batch(4, i)
            Y = network.forward(X, training=True, n_threads=1 + i % 2)
            X[:] = 0
            network.params *= 1.01
            dX = network.backward(np.ones_like(Y), need_input=need_input, n_threads=2 - i % 2)
            results.append([Y, dX, network.grads.copy()])
        assert_same(*results)


def test_gradient_that_is_the_output():
    traced, eager = both()
    for i in range(3):
        for network in (traced, eager):
            network.backward(network.forward(batch(4, i), training=True), need_input=False)
        cases.assert_same_bits(traced.grads, eager.grads)


def test_gradient_of_another_shape():
    network = new_network()
    X = batch(4, 0)
    for _ in range(2):
        Y = network.forward(X, training=True)
        for shape in [(3, 4), (12,), (4, 2), (5, 3)]:
            with pytest.raises(ValueError, match=r"dY has shape .* \(4, 3\)"):
                network.backward(np.ones(shape), need_input=False)
        network.backward(np.ones_like(Y), need_input=False)  # nothing is lost
        with pytest.raises(RuntimeError, match="each backward needs a forward"):
            network.backward(np.ones_like(Y))


def test_networks_that_only_look_at_their_input():
    for layers, shape in ([], SHAPE), ([Flatten()], (240,)):
        network = new_network(layers)
        for i in range(2):
            X = batch(3, i)
            cases.assert_same_bits(network.forward(X), X.reshape(3, *shape))
            cases.assert_same_bits(network.forward(X, training=True), X.reshape(3, *shape))
            dX = network.backward(np.ones((3, *shape)))
            assert dX.shape == X.shape


def test_no_samples():
    for _ in range(2):
        assert new_network().forward(batch(0, 0)).shape == (0, 3)


def test_masks_of_dropout_are_those_of_the_step():
    traced, eager = both([Dropout(0.5), Dense(4)])
    masks = []
    for network in (traced, eager):
        for number in (0, 1, 1):
            network.step = number
            masks.append(network.forward(batch(3, 0), training=True))
            network.backward(np.ones((3, 4)))
    cases.assert_same_bits(masks[1], masks[2])
    assert not np.array_equal(masks[0], masks[1])
    assert_same(masks[:3], masks[3:])


# ---------------------------------------------------------------------------
# Tracing
# ---------------------------------------------------------------------------


def test_handles_have_no_numbers():
    tracer = Tracer()
    handle = tracer.empty((4, 6), np.float32)
    assert (len(handle), handle.ndim, handle.size) == (4, 2, 24)
    assert handle.reshape(-1, 3).shape == handle.reshape((8, 3)).shape == (8, 3)
    assert handle[:, None].shape == (4, 1, 6)
    assert handle[None].shape == (1, 4, 6)
    assert (handle[2].shape, handle[2].start) == ((6,), 2 * 6 * 4)
    with pytest.raises(ValueError, match="cannot reshape"):
        handle.reshape(5, 5)
    for use in (np.sum, np.asarray, lambda h: h[1:], lambda h: np.add(h, 1), lambda h: h[[0]]):
        with pytest.raises(TypeError, match=r"run\.call"):
            use(handle)


def fill(value, out):
    out[...] = value


def double(X, out):
    np.multiply(X, 2, out=out)


def fail(X):
    raise MemoryError("so many bytes")


def traced_chain(n=5, shape=(100,)):
    """Each array is made from the one before it alone."""
    tracer = Tracer()
    last = tracer.empty(shape, np.float32, "X")
    for _ in range(n):
        new = tracer.empty(shape, np.float32)
        tracer.add(double, (last, new))
        last = new
    name_result(last, "Y")
    return make_program(shape[0], tracer.take_steps(), last)


def test_a_chain_needs_two_arrays_and_its_result():
    program = traced_chain()
    assert program.size == 2 * 448  # 400 bytes, in multiples of 64
    assert program.peak == program.size + 400
    assert len(program.offsets) == 4
    assert set(program.offsets.values()) == {0, 448}
    given = {"X": np.arange(100, dtype=np.float32), "Y": np.empty(100, np.float32)}
    bound = Arena().bind(program, reference)
    bound.forward.run(given, 1, 0)
    np.testing.assert_array_equal(given["Y"], 32 * given["X"])


def test_slots_are_filled_and_emptied():
    tracer, seen = Tracer(), []
    X = tracer.empty((2, 3), np.float32, "X")
    tracer.add(lambda *args: seen.append(args), (X.reshape(3, 2), THREADS, Seed(5)))
    program = make_program(2, tracer.take_steps(), X)
    bound = Arena().bind(program, reference)
    given = np.zeros((2, 3), np.float32)
    for n_threads, seed in ((1, 8), (3, 2**64)):
        bound.forward.run({"X": given}, n_threads, seed)
        array, threads, mixed = seen.pop()
        assert array.shape == (3, 2)
        assert np.shares_memory(array, given)
        assert (threads, mixed) == (n_threads, (seed ^ 5) % 2**64)
    assert [args[0] for _, args, _ in bound.forward.calls] == [None]


def test_memory_that_there_is_not():
    tracer = Tracer()
    X = tracer.empty((2,), np.float32, "X")
    tracer.enter("block1/conv1")
    tracer.add(fail, (X,))
    program = make_program(2, tracer.take_steps(), X)
    with pytest.raises(LayerMemoryError, match="layer 'block1/conv1': so many bytes"):
        Arena().bind(program, reference).forward.run({"X": np.zeros(2)}, 1, 0)


@kernel_cases.quick
@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 20), st.integers(1, 9)),
        min_size=1,
        max_size=30,
    )
)
def test_what_lives_at_the_same_time_does_not_overlap(arrays):
    starts, lengths, blocks = (np.array(column) for column in zip(*arrays, strict=True))
    stops, sizes = starts + lengths, blocks * ALIGNMENT
    offsets, size = place(starts, stops, sizes)
    assert (offsets % ALIGNMENT == 0).all()
    assert (offsets >= 0).all()
    assert size == (offsets + sizes).max()
    for i in range(len(sizes)):
        for j in range(i):
            together = starts[i] < stops[j] and starts[j] < stops[i]
            apart = offsets[i] + sizes[i] <= offsets[j] or offsets[j] + sizes[j] <= offsets[i]
            assert apart or not together
    # No less than what lives at one moment, no more than all.
    needed = max(sizes[(starts <= t) & (t < stops)].sum() for t in starts)
    assert needed <= size <= sizes.sum()


# ---------------------------------------------------------------------------
# What is kept
# ---------------------------------------------------------------------------


def test_nodes_run_once():
    network = new_network(NORMS)
    calls = []
    for training in (False, True):
        first = network.fused(training)[1]
        first.forward = lambda *args, forward=first.forward: calls.append(1) or forward(*args)
    for _ in range(3):
        network.backward(np.ones_like(network.forward(batch(4, 0), training=True)))
        network.forward(batch(4, 1))
    assert len(calls) == 2  # in training, and in a prediction


@pytest.fixture
def few_programs(monkeypatch):
    """No more programs, however few steps they have."""
    monkeypatch.setattr(programs, "MAX_STEPS", 0)


def test_programs_are_few(few_programs):
    network = new_network()
    for n in range(1, 2 * MAX_PROGRAMS):
        network.forward(batch(n, n))
    assert len(network._programs[False]) == MAX_PROGRAMS
    [arena] = network._idle
    assert len(arena._bound) <= MAX_PROGRAMS


def test_what_was_given_is_not_kept():
    network = new_network(NORMS)
    for _ in range(3):
        X = batch(5, 0)
        weight = np.ones(5, np.float32)
        Y = network.forward(X, training=True, sample_weight=weight)
        dY = np.ones_like(Y)
        network.backward(dY, need_input=False)
        Z = network.forward(X)
        kept = [weakref.ref(array) for array in (X, Y, dY, Z, weight)]
        del X, Y, dY, Z, weight
        gc.collect()
        assert [ref() for ref in kept] == [None] * 5


def test_no_result_is_overwritten():
    network = new_network()
    X = batch(6, 0)
    for _ in range(3):
        Y = network.forward(X, training=True)
        dX = network.backward(np.ones_like(Y))
        Z = network.forward(X)
        copies = [array.copy() for array in (Y, dX, Z)]
        network.backward(np.zeros_like(network.forward(2 * X, training=True)))
        network.forward(3 * X)
        for array, copy in zip((Y, dX, Z), copies, strict=True):
            cases.assert_same_bits(array, copy)


LARGE = [Conv2D(64, 3, padding=1), Conv2D(8, 3), Dense(3)]


@pytest.mark.parametrize("n", [1, 3, 64])
def test_results_are_aligned(n):
    network = new_network(dtype="float32")
    X = np.zeros((n, *SHAPE), "f")
    prediction = network.forward(X)
    Y = network.forward(X, training=True)
    dX = network.backward(np.ones_like(Y))
    assert [a.ctypes.data % ALIGNMENT for a in (prediction, Y, dX)] == [0, 0, 0]


@pytest.mark.parametrize("need_input", [True, False])
def test_memory_may_be_released_between_forward_and_backward(need_input):
    traced, eager = both(LARGE, (40, 40, 1))
    for i in range(3):
        results = []
        for network in (traced, eager):
            Y = network.forward(batch(6, i, (40, 40, 1)), training=True)
            network.release_memory()
            assert network._arena._bytes is None
            dX = network.backward(np.cos(Y), need_input=need_input)
            results.append([Y, dX, network.grads.copy()])
        assert_same(*results)


MAP = (80, 80, 4)  # 60 and 29 of them in float32 are large results


def forward_and_back(network, X):
    Y = network.forward(X, training=True)
    return Y, network.backward(X)


def test_memory_of_results_is_used_again():
    network = new_network([Activation("tanh")], MAP, dtype="float32")
    X, other = batch(60, 0, MAP).astype("f"), batch(60, 1, MAP).astype("f")
    results = forward_and_back(network, X)
    kept, expected = results[0][3:], [result.copy() for result in results]
    places = {result.ctypes.data for result in results}
    del results
    seen = forward_and_back(network, other)
    # What a view was left of is not written to, and the other is.
    assert [result.ctypes.data in places for result in seen] == [False, True]
    assert_same(kept, expected[0][3:])
    del seen, kept
    seen = forward_and_back(network, X[:40])
    assert {result.ctypes.data for result in seen} <= places
    assert_same(list(seen), [result[:40] for result in expected])


@pytest.mark.parametrize(("n", "again"), [(31, True), (29, False), (61, False)])
def test_memory_that_fits_is_used_again(n, again):
    """A result takes at most twice its bytes."""
    network = new_network([Activation("tanh")], MAP, dtype="float32")
    network.forward(batch(60, 0, MAP))
    [arena] = network._idle
    [memory] = arena._dropped["Y"]
    network.forward(batch(n, 2, MAP))
    assert (arena._dropped["Y"][0] is memory) == again


def test_memory_of_results_is_released():
    network = new_network([Activation("tanh")], MAP, dtype="float32")
    Y = network.forward(batch(60, 0, MAP))
    [arena] = network._idle
    network.release_memory()
    del Y
    assert not arena._dropped
    network.forward(batch(60, 0, MAP))
    assert arena._dropped["Y"]
    network.release_memory()
    assert not arena._dropped


def test_small_arenas_are_kept():
    network = new_network()
    network.forward(batch(4, 0))
    [arena] = network._idle
    network.release_memory()
    assert arena._bytes is not None
    arena.release(0)
    assert arena._bytes is None


def test_predictions_side_by_side():
    network = new_network(NORMS)
    X = [batch(6, i) for i in range(40)]
    expected = [network.forward(x, n_threads=1) for x in X]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            seen = list(pool.map(lambda x: network.forward(x, n_threads=1), X))
            assert_same(seen, expected)


def test_release_beside_predictions():
    network = new_network(LARGE, (40, 40, 1))
    X = [batch(6, i, (40, 40, 1)) for i in range(30)]
    expected = [network.forward(x, n_threads=1) for x in X]

    def predict(x):
        Y = network.forward(x, n_threads=1)
        network.release_memory()
        return Y

    with ThreadPoolExecutor(4) as pool:
        assert_same(pool.map(predict, X), expected)


def test_peak_memory():
    layers = [Conv2D(8, 3), MaxPool2D(2), Conv2D(8, 3), Dense(20), Dense(3)]
    network = new_network(layers, (12, 12, 1))
    assert network.peak_memory() == {}
    X = np.zeros((6, 12, 12, 1))
    network.forward(X)
    assert "training" not in network.peak_memory()
    network.backward(network.forward(X, training=True))
    peaks = network.peak_memory()
    # A prediction holds two maps at a time, a step all of them, and where the maxima were. The
    # map before the pool is never there as a whole.
    largest = 6 * 5 * 5 * 8 * 4
    assert peaks["prediction"][0] == peaks["training"][0] == 6
    assert largest < peaks["prediction"][1] < 1.5 * largest
    assert peaks["prediction"][1] < peaks["training"][1] < 5 * largest
    network.release_memory()
    assert network.peak_memory() == peaks


def test_more_of_short_programs_are_kept(monkeypatch):
    network = new_network()
    n_steps = len(network.plan(1).rows)
    monkeypatch.setattr(programs, "MAX_STEPS", n_steps * 20 + 1)
    for n in range(1, 40):
        network.forward(batch(n, n))
        assert len(network._programs[False]) == min(n, 20)


def test_a_program_that_is_used_stays(few_programs):
    network = new_network()
    step = batch(32, 0)
    network.forward(step, training=True)
    network.forward(step)
    [trained], [predicted] = (network._programs[kind].snapshot() for kind in (True, False))
    for n in range(1, 2 * MAX_PROGRAMS):
        network.forward(batch(n, n))
        network.forward(step)
    assert network._programs[True].snapshot() == [trained]
    assert predicted in network._programs[False].snapshot()


def test_programs_give_way_while_others_ask(few_programs):
    """Threads that switch all the time, and more sizes than programs are kept."""
    interval = sys.getswitchinterval()
    network, expected = new_network(), {}
    sizes = range(1, 2 * MAX_PROGRAMS)
    for n in sizes:
        expected[n] = network.forward(batch(n, n))

    def ask(seed):
        for n in np.random.default_rng(seed).choice(sizes, 100):
            np.testing.assert_array_equal(network.forward(batch(n, n)), expected[n])
            network.peak_memory()

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, range(4)))
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda network: network.plan(1.5), "n_samples must be an instance of"),
        (lambda network: network.plan(-1), "n_samples == -1, must be >= 0"),
        (lambda network: network.profile(batch(2, 0), n_rounds=0), "n_rounds == 0, must be >= 1"),
    ],
)
def test_counts_that_are_none(ask, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ask(new_network())
