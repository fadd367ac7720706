"""Arrays that share memory: plans, and what networks make of them."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from concurrent.futures import ThreadPoolExecutor

import kernel_cases as cases
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from layer_cases import every_case

from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.memory import ALIGNMENT, MAX_PLANS, Arena, place

F32 = np.dtype(np.float32)


@cases.quick
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


def run_chain(arena, n=5, shape=(100,)):
    """Each array is made from the one before it alone; returns their addresses."""
    memory = arena.begin((n,))
    addresses, last = [], None
    for i in range(n):
        new = memory.take("node", str(i), shape, F32)
        new[:] = i
        assert last is None or (last == i - 1).all()
        addresses.append(new.ctypes.data)
        last = new
    memory.keep(last)
    memory.end()
    return addresses, last


def test_a_chain_needs_two_arrays_and_its_result():
    arena = Arena()
    _, first = run_chain(arena)
    [(n, peak)] = arena.peaks()
    assert (n, peak) == (5, 3 * 448)  # 400 bytes, in multiples of 64
    addresses, second = run_chain(arena)
    assert len(set(addresses[:-1])) == 2
    assert addresses[0] == addresses[2]
    assert all(address % ALIGNMENT == 0 for address in addresses[:-1])
    # What the caller has got stays.
    second[:] = 7
    run_chain(arena)
    assert (first == 4).all()
    assert (second == 7).all()


def test_other_arrays_than_planned():
    arena = Arena()
    run_chain(arena)
    memory = arena.begin((5,))
    planned = memory.take("node", "0", (100,), F32)
    other = memory.take("node", "1", (200,), F32)
    planned[:], other[:] = 1, 2
    late = memory.take("node", "2", (100,), F32)
    late[:] = 3
    assert (planned == 1).all()
    assert (other == 2).all()
    memory.end()
    assert not arena.peaks()  # watched anew the next time
    run_chain(arena)
    assert arena.peaks()


def test_plans_are_few():
    arena = Arena()
    for n in range(1, 3 * MAX_PLANS):
        run_chain(arena, n)
    assert len(arena.peaks()) == MAX_PLANS


def test_release():
    arena = Arena()
    for _ in range(2):
        run_chain(arena, shape=(10**6,))
    arena.release()
    assert arena._bytes is None
    run_chain(arena, shape=(10**6,))
    for _ in range(2):
        run_chain(arena, n=3)
    arena.release(0)
    run_chain(arena, n=3)
    arena.release()
    assert arena._bytes is not None  # small


@every_case
def test_planned_passes_compute_the_same(case):
    """The first pass of a size has new arrays, the second those of the plan, among passes of
    other sizes, which have the same arena."""
    network, X = case.network(), case.batch()
    rng = np.random.RandomState(0)
    dY = rng.uniform(-1, 1, network.forward(X).shape).astype(network.dtype)
    seen = {}
    for round_ in range(3):
        for n in (len(X), network.smallest_batch):
            network.step = 0  # the same dropout masks
            Y = network.forward(X[:n], training=True)
            dX = network.backward(dY[:n])
            results = [Y, dX, network.grads.copy(), network.forward(X[:n])]
            if round_ == 0:
                seen[n] = results
            elif not network.buffers():  # running statistics change predictions
                for one, other in zip(results, seen[n], strict=True):
                    cases.assert_same_bits(one, other)
            else:
                cases.assert_same_bits(results[0], seen[n][0])
                cases.assert_same_bits(results[2], seen[n][2])


def small_network():
    layers = [Conv2D(8, 3), MaxPool2D(2), Conv2D(8, 3), Dense(20), Dense(3)]
    return compile_network(layers, (12, 12, 1), random_state=0)


def test_no_result_is_overwritten():
    network = small_network()
    X = np.random.RandomState(0).normal(size=(6, 12, 12, 1))
    for _ in range(3):
        Y = network.forward(X, training=True)
        dX = network.backward(np.ones_like(Y))
        Z = network.forward(X)
        copies = [array.copy() for array in (Y, dX, Z)]
        network.backward(np.zeros_like(network.forward(2 * X, training=True)))
        network.forward(3 * X)
        for array, copy in zip((Y, dX, Z), copies, strict=True):
            cases.assert_same_bits(array, copy)


def test_predictions_side_by_side():
    network = small_network()
    X = np.random.RandomState(0).normal(size=(40, 6, 12, 12, 1))
    expected = [network.forward(batch, n_threads=1) for batch in X]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            seen = list(pool.map(lambda batch: network.forward(batch, n_threads=1), X))
            for one, other in zip(seen, expected, strict=True):
                cases.assert_same_bits(one, other)


def test_a_pass_under_way_keeps_its_memory():
    arena = Arena()
    run_chain(arena)
    memory = arena.begin((5,))
    first = memory.take("node", "0", (100,), F32)
    first[:] = 1
    arena.release(0)
    second = memory.take("node", "1", (100,), F32)
    second[:] = 2
    run_chain(arena)  # in other bytes
    assert (first == 1).all()
    assert not np.shares_memory(first, second)


def test_memory_may_be_released_between_forward_and_backward():
    layers = [Conv2D(64, 3, padding=1), Conv2D(8, 3), Dense(3)]  # a large arena
    network = compile_network(layers, (40, 40, 1), random_state=0)
    X = np.random.RandomState(0).normal(size=(6, 40, 40, 1))
    dY = np.ones((6, 3))
    for _ in range(2):
        network.forward(X, training=True)
        network.backward(dY)
    expected = network.grads.copy()
    network.forward(X, training=True)
    network.release_memory()
    assert network._arena._bytes is None
    network.backward(dY)
    cases.assert_same_bits(network.grads, expected)


def test_release_beside_predictions():
    layers = [Conv2D(64, 3, padding=1), Conv2D(8, 3), Dense(3)]
    network = compile_network(layers, (40, 40, 1), random_state=0)
    X = np.random.RandomState(0).normal(size=(30, 6, 40, 40, 1))
    expected = [network.forward(batch, n_threads=1) for batch in X]

    def predict(batch):
        Y = network.forward(batch, n_threads=1)
        network.release_memory()
        return Y

    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(pool.map(predict, X), expected, strict=True):
            cases.assert_same_bits(one, other)


def test_peak_memory():
    network = small_network()
    assert network.peak_memory() == {}
    X = np.zeros((6, 12, 12, 1))
    network.forward(X)
    Y = network.forward(X, training=True)
    assert "training" not in network.peak_memory()
    network.backward(Y)
    peaks = network.peak_memory()
    # A prediction holds two maps at a time, a step all of them, and where the maxima were. The
    # map before the pool is never there as a whole.
    largest = 6 * 5 * 5 * 8 * 4
    assert peaks["prediction"][0] == peaks["training"][0] == 6
    assert largest < peaks["prediction"][1] < 1.5 * largest
    assert peaks["prediction"][1] < peaks["training"][1] < 5 * largest
    network.release_memory()
    assert network.peak_memory() == peaks
