"""From layers to a network: names, memory, passes, errors, randomness."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
from functools import partial
from time import perf_counter

import layer_cases as cases
import numpy as np
import pytest
from sklearn.base import clone

from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv1D,
    Conv2D,
    Conv3D,
    Dense,
    DenseBlock,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalMaxPool,
    Layer,
    MaxPool2D,
    Parallel,
    Residual,
    Sequential,
    Standardize,
)
from sklearn_convnet.layers.activation import ACTIVATIONS
from sklearn_convnet.network import Network, compile_network
from sklearn_convnet.network.conv import ConvNode
from sklearn_convnet.network.node import Run, walk
from sklearn_convnet.network.passes import (
    PASSES,
    fuse_derivatives,
    fuse_moments,
    fuse_pools,
    fuse_scales,
    fuse_sums,
)
from sklearn_convnet.optimizers import SGD

LAYERS = [
    ("first", Conv2D(3, 3)),
    MaxPool2D(2),
    ("block", Sequential([Conv2D(4, 2), ("pick", Conv2D(5, 1)), Conv2D(2, 1)])),
    Dropout(0.3),
    Dense(7),
    ("out", Dense(3, activation="identity", use_bias=False)),
]


def training_pass(network, X):
    """Output, gradient at the input, and all gradients."""
    Y = network.forward(X, training=True)
    dX = network.backward(np.cos(np.arange(Y.size)).reshape(Y.shape))
    return Y.copy(), dX.copy(), {k: v.copy() for k, v in network.gradients().items()}


# ---------------------------------------------------------------------------
# Names and shapes
# ---------------------------------------------------------------------------


def test_paths():
    network = compile_network(LAYERS, (9, 9, 1))
    assert isinstance(network, Network)
    assert {path: array.shape for path, array in network.parameters().items()} == {
        "first/weight": (3, 3, 1, 3),
        "first/bias": (3,),
        "block/conv2d1/weight": (2, 2, 3, 4),
        "block/conv2d1/bias": (4,),
        "block/pick/weight": (1, 1, 4, 5),
        "block/pick/bias": (5,),
        "block/conv2d2/weight": (1, 1, 5, 2),
        "block/conv2d2/bias": (2,),
        "dense1/weight": (8, 7),
        "dense1/bias": (7,),
        "out/weight": (7, 3),
    }
    assert [(path, shape, out) for path, _, shape, out in network.table] == [
        ("first", (9, 9, 1), (7, 7, 3)),
        ("maxpool2d1", (7, 7, 3), (3, 3, 3)),
        ("block/conv2d1", (3, 3, 3), (2, 2, 4)),
        ("block/pick", (2, 2, 4), (2, 2, 5)),
        ("block/conv2d2", (2, 2, 5), (2, 2, 2)),
        ("dropout1", (2, 2, 2), (2, 2, 2)),
        ("dense1", (2, 2, 2), (7,)),
        ("out", (7,), (3,)),
    ]
    assert network.gradients().keys() == network.parameters().keys()


def test_statistics_are_no_parameters():
    network = compile_network([("scale", Standardize()), Dense(2)], (4,))
    assert set(network.buffers()) == {"scale/mean", "scale/deviation"}
    assert set(network.parameters()) == {"dense1/weight", "dense1/bias"}


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([Conv1D(2, 3)], (8,)),
        ([Conv2D(2, 3)], (6, 5)),
        ([Conv3D(2, 2)], (4, 3, 3)),
        ([MaxPool2D(2)], (6, 5)),
        ([Dropout(0.1), Sequential([Standardize(), Conv2D(2, 3)])], (6, 5)),
        (["passthrough", Activation("tanh"), MaxPool2D(2), Dense(2)], (4, 4)),
    ],
    ids=repr,
)
def test_missing_channel_axis(layers, shape):
    without = compile_network(layers, shape, dtype="float64", random_state=0)
    explicit = compile_network(layers, (*shape, 1), dtype="float64", random_state=0)
    assert without.input_shape == (*shape, 1)
    X = np.random.RandomState(0).uniform(-1, 1, (3, *shape))
    expected = explicit.forward(X[..., None])
    cases.assert_same_bits(without.forward(X), expected)
    cases.assert_same_bits(without.forward(X[..., None]), expected)
    dX = training_pass(without, X)[1]
    assert dX.shape == (3, *shape, 1)


@pytest.mark.parametrize("layers", [[Dense(2)], [GlobalMaxPool()], [Flatten()], []])
def test_shape_is_taken_as_it_is(layers):
    """Where no layer says how many axes there are."""
    assert compile_network(layers, (6, 5)).input_shape == (6, 5)


def test_no_layers():
    network = compile_network([], (3, 2))
    X = np.ones((4, 3, 2), np.float32)
    cases.assert_same_bits(network.forward(X), X)
    assert network.params.shape == (0,)
    assert network.segments == []


def test_input_is_converted():
    network = compile_network([Conv2D(2, 3), Dense(2)], (6, 5), random_state=0)
    X = np.random.RandomState(0).randint(0, 255, (3, 6, 5)).astype(np.uint8)
    expected = network.forward(X.astype(np.float32))
    cases.assert_same_bits(network.forward(X), expected)
    cases.assert_same_bits(network.forward(X.astype(np.float64)), expected)
    cases.assert_same_bits(network.forward(np.asfortranarray(X)), expected)
    assert expected.dtype == np.float32


def test_shapes_of_nested_blocks_are_not_computed_ever_more_often():
    """The work grows with the square of the depth, and does not double with each level."""
    asked = []

    class Counted(Layer):
        def _output_shape(self, input_shape):
            asked.append(input_shape)
            return input_shape

    def times(depth):
        block = Counted()
        for _ in range(depth):
            block = Residual([block])
        asked.clear()
        block.output_shape((4, 4, 2))
        in_shape = len(asked)
        with pytest.raises(TypeError, match="no node is known for Counted"):
            compile_network([block], (4, 4, 2))
        return in_shape, len(asked)

    assert times(12)[0] == times(1)[0] == 1
    assert times(12)[1] <= 12 * times(1)[1]


# ---------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------


@cases.every_dtype
def test_segments(dtype):
    network = compile_network(LAYERS, (9, 9, 1), dtype=dtype, random_state=0)
    training_pass(network, np.ones((2, 9, 9, 1)))
    assert network.params.dtype == network.grads.dtype == dtype
    assert network.params.shape == network.grads.shape
    assert network.params.ctypes.data % 64 == 0
    assert network.grads.ctypes.data % 64 == 0
    between = np.ones(network.params.shape, bool)
    end = 0
    for segment in network.segments:
        assert segment.start * dtype.itemsize % 64 == 0
        assert end <= segment.start < segment.stop
        end = segment.stop
        between[segment.start : segment.stop] = False
        part = slice(segment.start, segment.stop)
        for vector, views in (
            (network.params, network.parameters()),
            (network.grads, network.gradients()),
        ):
            view = views[segment.path]
            assert view.shape == segment.shape
            assert np.shares_memory(view, vector)
            assert view.flags.c_contiguous
            cases.assert_same_bits(view.reshape(-1), vector[part])
        assert segment.decayed == segment.path.endswith("/weight")
        assert segment.trainable
    assert end <= network.params.size
    assert [s.path for s in network.segments] == list(network.parameters())
    assert not network.params[between].any()
    assert not network.grads[between].any()


def test_nodes_use_the_vector():
    network = compile_network([Dense(2, activation=None)], (3,), dtype="float64")
    network.params[:] = 0
    assert not network.forward(np.ones((1, 3))).any()
    network.parameters()["dense1/bias"][:] = [1, 2]
    np.testing.assert_array_equal(network.forward(np.ones((1, 3))), [[1, 2]])


def test_frozen_layers():
    frozen = [
        Conv2D(3, 2, trainable=False),
        Dense(4),
        Dense(2, trainable=False),
        Dense(2),
    ]
    free = [Conv2D(3, 2), Dense(4), Dense(2), Dense(2)]
    X = np.random.RandomState(0).uniform(-1, 1, (5, 4, 4, 1))
    expected = training_pass(compile_network(free, (4, 4), dtype="float64", random_state=0), X)
    network = compile_network(frozen, (4, 4), dtype="float64", random_state=0)
    Y, dX, gradients = training_pass(network, X)
    cases.assert_same_bits(Y, expected[0])
    cases.assert_same_bits(dX, expected[1])
    held = {s.path for s in network.segments if not s.trainable}
    assert held == {"conv2d1/weight", "conv2d1/bias", "dense2/weight", "dense2/bias"}
    for path, gradient in gradients.items():
        if path in held:
            assert not gradient.any()
        else:
            cases.assert_same_bits(gradient, expected[2][path])
    before = {path: array.copy() for path, array in network.parameters().items()}
    optimizer = SGD(learning_rate=0.1, momentum=0.5, weight_decay=0.1)
    optimizer.step(network, optimizer.start(network), 1, 0.1, 1)
    for path, array in network.parameters().items():
        assert np.array_equal(array, before[path]) == (path in held)


@pytest.mark.parametrize("layer", [Conv2D(3, 2, trainable=False), Flatten()])
def test_nothing_to_train(layer):
    network = compile_network([layer], (4, 4, 1), random_state=0)
    Y = network.forward(np.ones((2, 4, 4, 1)), training=True)
    assert network.backward(Y, need_input=False) is None
    network.forward(np.ones((2, 4, 4, 1)), training=True)
    assert network.backward(Y).shape == (2, 4, 4, 1)


def held(layer):
    """A layer that learns nothing, nor what is inside of it."""
    names = [name for name in layer.get_params() if name.split("__")[-1] == "trainable"]
    return clone(layer).set_params(**dict.fromkeys(names, False))


@pytest.mark.parametrize("n_held", [1, 3, 4])
@pytest.mark.parametrize("name", ["chain", "residual"])
def test_backward_ends_before_layers_that_are_frozen(name, n_held, monkeypatch):
    """Unless the gradient at the input is asked for; others are the same."""
    layers = [*map(held, NORMED[name][:n_held]), *NORMED[name][n_held:]]
    network = compile_network(layers, (12, 7, 16), random_state=0)
    X = np.random.RandomState(0).normal(size=(5, 12, 7, 16)).astype(np.float32)
    visited, gradients, backward = [], [], Run.backward

    def counted(run, node, dY, need_input):
        visited[-1].add(node.path.split("/")[0])
        return backward(run, node, dY, need_input)

    monkeypatch.setattr(Run, "backward", counted)
    for need_input in (True, False):
        visited.append(set())
        Y = network.forward(X, training=True)
        network.backward(np.cos(Y), need_input=need_input)
        gradients.append(network.grads.copy())
    cases.assert_same_bits(*gradients)
    below = {name for name, _ in network.named_layers[:n_held]}
    assert visited[0] & below
    assert not visited[1] & below


# ---------------------------------------------------------------------------
# Passes
# ---------------------------------------------------------------------------


def assert_passes_do_not_matter(fused, plain, X):
    cases.assert_same_bits(fused.params, plain.params)
    actual, expected = fused.forward(X), plain.forward(X)
    tolerance = 1e-5 if X.dtype == np.float32 else 1e-13
    if any(getattr(node, "folded", None) for node in walk(fused.fused())):
        # Products and sums are taken in another order.
        cases.assert_close(actual, expected, tolerance)
    else:
        cases.assert_same_bits(actual, expected)
    actual, expected = training_pass(fused, X), training_pass(plain, X)
    cases.assert_same_bits(actual[0], expected[0])
    check = cases.assert_same_bits
    if any(getattr(node, "pools", False) for node in walk(fused.fused(True))):
        # Sums leave out what is zero.
        check = partial(cases.assert_close, rtol=tolerance)
    check(actual[1], expected[1])
    check(fused.grads, plain.grads)


def assert_winograd_is_close(fused, plain, X):
    """Tiles lose about two bits more than the direct form, of 5 x 5 filters four."""
    cases.assert_same_bits(fused.params, plain.params)
    cases.assert_close(fused.forward(X), plain.forward(X), 3e-5)
    actual, expected = training_pass(fused, X), training_pass(plain, X)
    cases.assert_close(actual[0], expected[0], 3e-5)
    cases.assert_close(actual[1], expected[1], 3e-5)
    cases.assert_close(fused.grads, plain.grads, 3e-5)


@cases.every_case
@cases.every_dtype
def test_passes_do_not_matter(case, dtype):
    fused, plain = case.network(dtype), case.network(dtype, passes=())
    has_tiles = any(getattr(node, "tile", 0) for node in walk(fused.fused()))
    check = assert_passes_do_not_matter
    if has_tiles and dtype == "float32":
        check = assert_winograd_is_close
    check(fused, plain, case.batch(dtype=dtype))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("before", ["conv", "dense", "residual"])
def test_separate_activation_is_fused(activation, before):
    alpha = 0.2 if activation in ("leaky_relu", "elu") else None
    first = {
        "conv": Conv2D(5, 3, activation=None),
        "dense": Dense(5, activation=None),
        "residual": Residual([Conv2D(2, 3, padding="same", activation=None)]),
    }
    layers = [
        first[before],
        Activation(activation, alpha=alpha),
        Activation("tanh"),
    ]
    X = np.random.RandomState(0).uniform(-2, 2, (4, 6, 6, 2))
    fused, plain = (
        compile_network(layers, (6, 6, 2), dtype="float64", random_state=0, **options)
        for options in ({}, {"passes": ()})
    )
    assert_passes_do_not_matter(fused, plain, X)
    for training in (False, True):
        n_merged = len(plain.fused(training)) - len(fused.fused(training))
        if activation in ("gelu", "silu", "hard_swish", "softmax"):
            n_expected = 0
        else:
            n_expected = 2 if activation == "identity" else 1
        # Where the first is the identity, it is dropped, and the other one fused.
        assert n_merged == n_expected


@pytest.mark.parametrize(
    ("conv", "pool", "is_fused"),
    [
        (Conv2D(4, 5), MaxPool2D(2), True),
        (Conv2D(4, 5, stride=2), MaxPool2D((1, 3)), True),
        (Conv2D(16, 3), MaxPool2D(2), True),  # in tiles of 4 x 4
        (Conv2D(16, 3), MaxPool2D(3), False),  # which these windows do not divide
        (Conv2D(4, 5), MaxPool2D(3, stride=2), False),
        (Conv2D(4, 5), MaxPool2D(2, padding=1), False),
        (Conv2D(4, 5, dilation=2), MaxPool2D(2), False),
        (Conv2D(16, 5, groups=2), MaxPool2D(2), False),
    ],
)
def test_which_pools_a_convolution_takes(conv, pool, is_fused):
    network = compile_network([conv, pool], (16, 16, 16), random_state=0)
    for training in (False, True):
        nodes = network.fused(training)
        assert len(nodes) == 2 - is_fused
        assert nodes[0].pools == is_fused


def test_sum_in_the_last_convolution_is_the_same():
    block = Residual([Conv2D(16, 3, padding=1), Conv2D(16, 3, padding=1, activation=None)])
    layers = [block, Activation("relu")]
    X = np.random.RandomState(0).normal(size=(5, 12, 12, 16)).astype(np.float32)
    fused = compile_network(layers, X.shape[1:], random_state=0)
    plain = compile_network(
        layers, X.shape[1:], random_state=0, passes=[p for p in PASSES if p is not fuse_sums]
    )
    assert fused.fused()[0].last_adds
    assert not plain.fused()[0].last_adds
    # The numpy twin rounds such a sum once, and the parts of another one each.
    cases.assert_close(fused.forward(X), plain.forward(X), 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 19])
def test_sum_in_a_convolution_of_pixels_is_the_same(dtype, n):
    inner = [Conv2D(24, 1), BatchNorm(), Conv2D(16, 1, activation=None)]
    layers = [Residual(inner), Activation("relu"), Residual([*inner, BatchNorm()])]
    X = np.random.RandomState(0).normal(size=(n, 9, 7, 16)).astype(dtype)
    fused, plain = (
        compile_network(layers, X.shape[1:], dtype=dtype, random_state=0, passes=passes)
        for passes in (PASSES, ())
    )
    assert all(block.last_adds for block in fused.fused())
    assert "add" not in [step for _, step, *_ in fused.plan(n).rows]
    cases.assert_close(fused.forward(X), plain.forward(X), 1e-6)
    actual, expected = training_pass(fused, X), training_pass(plain, X)
    cases.assert_close(actual[0], expected[0], 1e-6)
    cases.assert_close(actual[1], expected[1], 1e-6)
    cases.assert_close(fused.grads, plain.grads, 1e-5)


def test_a_dense_block_copies_nothing_for_a_norm_at_a_prediction():
    layers = [DenseBlock([Sequential([BatchNorm(), Activation("relu"), Conv2D(4, 1)])] * 3)]
    X = np.random.RandomState(0).normal(size=(5, 9, 7, 16)).astype(np.float32)
    fused, plain = (
        compile_network(layers, X.shape[1:], random_state=0, passes=passes)
        for passes in (PASSES, ())
    )
    training_pass(fused, X)
    plain.go_on_from(fused)
    steps = [step for _, step, *_ in fused.plan(5).rows]
    assert steps.count("copy_channels") == 1 + 3  # what comes in, and what each layer makes
    cases.assert_close(fused.forward(X), plain.forward(X), 1e-6)


@pytest.mark.parametrize("n", [1, 3])
def test_pixels_before_a_depthwise_convolution(n):
    norm = [BatchNorm(), Activation("relu6")]
    depthwise = DepthwiseConv2D(3, stride=2, padding=1, activation=None)
    layers = [Conv2D(40, 1, activation=None), *norm, depthwise, *norm, Conv2D(8, 1)]
    X = np.random.RandomState(0).normal(size=(n, 80, 90, 5)).astype(np.float32)
    fused, plain = (
        compile_network(layers, X.shape[1:], random_state=0, passes=passes)
        for passes in (PASSES, ())
    )
    training_pass(fused, X)
    plain.go_on_from(fused)
    assert [node.path for node in fused.fused()] == ["depthwiseconv2d1", "conv2d2"]
    assert "conv2d1" in [node.path for node in fused.fused(True)]
    total = sum(row[4] or 0 for row in plain.plan(n).rows)
    assert sum(row[4] or 0 for row in fused.plan(n).rows) == total
    cases.assert_close(fused.forward(X), plain.forward(X), 1e-5)
    cases.assert_same_bits(fused.forward(X), fused.forward(X, n_threads=1))


@pytest.mark.parametrize("shortcut", ["auto", Conv2D(16, 1)])
def test_sums_in_batch_norm_and_gradient_are_the_same(shortcut, monkeypatch):
    monkeypatch.setenv("SKLEARN_CONVNET_WINOGRAD", "4")
    inner = [Conv2D(16, 3, padding=1, activation=None), BatchNorm()]
    block = Residual([*inner, Activation("relu"), *inner], shortcut=shortcut)
    layers = [Conv2D(16, 1), block, Activation("relu"), Conv2D(4, 1)]
    X = np.random.RandomState(0).normal(size=(5, 12, 12, 16)).astype(np.float32)
    fused = compile_network(layers, X.shape[1:], random_state=0)
    plain = compile_network(
        layers, X.shape[1:], random_state=0, passes=[p for p in PASSES if p is not fuse_sums]
    )
    node = fused.fused(True)[1]
    assert node.last_adds
    assert node.first_adds
    actual, expected = training_pass(fused, X), training_pass(plain, X)
    cases.assert_close(actual[0], expected[0], 1e-6)
    cases.assert_close(actual[1], expected[1], 1e-6)
    cases.assert_close(fused.grads, plain.grads, 1e-6)


def test_a_frozen_batch_norm_adds_too():
    inner = [Conv2D(16, 3, padding=1, activation=None), BatchNorm(trainable=False)]
    layers = [Residual(inner), Activation("relu")]
    X = np.random.RandomState(0).normal(size=(5, 12, 12, 16)).astype(np.float32)
    fused = compile_network(layers, X.shape[1:], random_state=0)
    plain = compile_network(
        layers, X.shape[1:], random_state=0, passes=[p for p in PASSES if p is not fuse_sums]
    )
    assert fused.fused(True)[0].last_adds
    actual, expected = training_pass(fused, X), training_pass(plain, X)
    cases.assert_close(actual[0], expected[0], 1e-6)
    cases.assert_close(actual[1], expected[1], 1e-6)


def tiled(filters=16, activation=None, **options):
    return Conv2D(filters, 3, padding=1, activation=activation, **options)


BLOCK = [tiled(), BatchNorm(), Activation("relu"), tiled(), BatchNorm()]
BEFORE_ACTIVATION = [BatchNorm(), Activation("elu"), tiled()]
NORMED = {
    "chain": [*BLOCK, Activation("relu"), tiled(8, activation="tanh"), MaxPool2D(2)],
    "pool": [tiled(64), *BLOCK[1:3], tiled(64, activation="relu"), MaxPool2D(2)],
    "large windows": [tiled(64), *BLOCK[1:3], tiled(64, activation="relu"), MaxPool2D(4)],
    "residual": [
        tiled(activation="relu"),
        *[Residual(BLOCK), Activation("relu")] * 3,
        Residual([tiled(24), *BLOCK[1:3], tiled(24), BatchNorm()], shortcut=Conv2D(24, 1)),
        Activation("leaky_relu"),
        tiled(),
    ],
    "before activation": [tiled(), *[Residual([*BEFORE_ACTIVATION, *BEFORE_ACTIVATION])] * 2],
    "more filters before activation": [
        tiled(),
        Residual([*BEFORE_ACTIVATION[:-1], tiled(24)], shortcut=Conv2D(24, 1)),
        tiled(),
    ],
    "dense": [tiled(), DenseBlock([Sequential(BEFORE_ACTIVATION)] * 2)],
    "strided": [Conv2D(16, 3, stride=2, activation="relu"), tiled(activation="elu"), tiled()],
    "frozen": [tiled(), BatchNorm(trainable=False), Activation("relu"), tiled()],
    "frozen convolutions": [
        *BLOCK,
        Activation("relu"),
        tiled(trainable=False),
        *BLOCK[1:3],
        tiled(),
    ],
    "branches": [
        tiled(activation="relu"),
        Parallel([Sequential([*BLOCK, Activation("relu"), tiled(8)]), Sequential(BLOCK[1:])]),
        tiled(activation="tanh"),
    ],
}


@pytest.mark.parametrize("name", NORMED)
@pytest.mark.parametrize("left_out", [fuse_moments, fuse_scales, fuse_derivatives])
@pytest.mark.parametrize(
    ("tile", "weighted", "need_input", "n_threads"),
    [("4", True, True, 1), ("4", False, False, 2), ("2", True, False, 1), ("2", False, True, 2)],
)
def test_norms_and_derivatives_in_convolutions_are_the_same(
    name, left_out, tile, weighted, need_input, n_threads, monkeypatch
):  # fmt: skip
    monkeypatch.setenv("SKLEARN_CONVNET_WINOGRAD", tile)
    rng = np.random.RandomState(0)
    X = rng.normal(size=(5, 12, 7, 16)).astype(np.float32)
    weight = np.array([1, 0, 2, 0.5, 1], np.float32) if weighted else None
    fused = compile_network(NORMED[name], X.shape[1:], random_state=0)
    plain = compile_network(
        NORMED[name],
        X.shape[1:],
        random_state=0,
        passes=[p for p in PASSES if p is not left_out],
    )
    results = []
    for network in (fused, plain):
        Y = network.forward(X, training=True, n_threads=n_threads, sample_weight=weight)
        dY = np.cos(np.arange(Y.size)).reshape(Y.shape)
        dX = network.backward(dY, need_input=need_input, n_threads=n_threads)
        results.append([Y, network.grads, network.forward(X), *network.buffers().values()])
        results[-1] += [dX] if need_input else []
    for actual, expected in zip(*results, strict=True):
        cases.assert_close(actual, expected, 1e-5)


@pytest.mark.parametrize("name", NORMED)
@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_passes_does_not_matter(name, seed, monkeypatch):
    """It may leave something undone."""
    monkeypatch.setenv("SKLEARN_CONVNET_WINOGRAD", "4")
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(3, 12, 7, 16)).astype(np.float32)
    order = [PASSES[i] for i in rng.permutation(len(PASSES))]
    shuffled, plain = (
        compile_network(NORMED[name], X.shape[1:], random_state=0, passes=passes)
        for passes in (order, ())
    )
    actual, expected = training_pass(shuffled, X), training_pass(plain, X)
    cases.assert_close(actual[0], expected[0], 1e-4)
    cases.assert_close(actual[1], expected[1], 1e-4)
    cases.assert_close(shuffled.grads, plain.grads, 1e-4)
    cases.assert_close(shuffled.forward(X), plain.forward(X), 1e-4)


def test_a_pool_taken_after_a_derivative(monkeypatch):
    monkeypatch.setenv("SKLEARN_CONVNET_WINOGRAD", "4")
    layers = [tiled(64, "relu"), tiled(64, "relu"), MaxPool2D(4)]
    X = np.random.RandomState(0).normal(size=(3, 12, 8, 16)).astype(np.float32)
    late = [*(p for p in PASSES if p is not fuse_pools), fuse_pools]
    network = compile_network(layers, X.shape[1:], random_state=0, passes=late)
    plain = compile_network(layers, X.shape[1:], random_state=0, passes=())
    second = network.fused(True)[1]
    assert second.takes_derivative
    assert second.pools
    training_pass(network, X)
    training_pass(plain, X)
    cases.assert_close(network.grads, plain.grads, 3e-5)


def test_what_convolutions_take_over(monkeypatch):
    monkeypatch.setenv("SKLEARN_CONVNET_WINOGRAD", "4")

    def nodes(name, training=True, **options):
        network = compile_network(NORMED[name], (12, 7, 16), random_state=0, **options)
        return network.fused(training)

    def convolutions(*args, **options):
        return [node for node in walk(nodes(*args, **options)) if isinstance(node, ConvNode)]

    # A list is shorter by what lies in its neighbours.
    first, second, scale, last = nodes("chain")
    assert first.prologue is None
    assert first.moments.path == second.prologue.path == "batchnorm1"
    assert second.prologue.activation == "relu"
    assert second.moments.path == scale.path == "batchnorm2"
    assert not last.gradient_tile
    assert last.prologue is None
    folded = nodes("chain", training=False)
    assert [node.path for node in folded] == ["conv2d1", "conv2d2", "conv2d3"]
    assert [node.folded and node.folded.path for node in folded] == [
        "batchnorm1",
        "batchnorm2",
        None,
    ]

    layers = [DepthwiseConv2D(3, activation=None), BatchNorm(), Activation("relu")]
    (depthwise,) = compile_network(layers, (12, 7, 16), random_state=0).fused(False)
    assert (depthwise.folded.path, depthwise.activation) == ("batchnorm1", "relu")

    first, last = nodes("pool")
    assert last.pools
    assert last.prologue.path == first.moments.path
    # These gradients leave out the zeros between maxima, and take the direct form.
    first, scale, last = nodes("large windows")
    assert last.tile
    assert not last.gradient_tile
    assert last.prologue is None

    stem, *blocks = nodes("residual")
    assert not stem.takes_derivative
    for block in blocks[:3]:
        assert block.takes_derivative
        assert block.last_adds
        assert block.first_adds
        assert block.chains[0][0].takes_derivative

    first, last = nodes("frozen")[0], nodes("frozen")[-1]
    assert first.moments is None
    assert last.prologue.activation == "relu"

    for node in convolutions("residual", dtype="float64"):
        assert not node.tile
        assert node.prologue is node.moments is None
        assert not node.takes_derivative


# ---------------------------------------------------------------------------
# Time
# ---------------------------------------------------------------------------


def test_compiling_is_quick():
    layers = [Conv2D(8, 3, padding="same") for _ in range(99)] + [Dense(10)]
    times = []
    for _ in range(3):
        start = perf_counter()
        compile_network(layers, (16, 16, 8), random_state=0)
        times.append(perf_counter() - start)
    assert min(times) < 1.0


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------

BLOCKS = [
    ("block1", Sequential([("conv1", Conv2D(4, 3)), MaxPool2D(2)])),
    ("block2", Sequential([("conv1", Conv2D(4, 5)), MaxPool2D(2)])),
]


@pytest.mark.parametrize(
    ("layers", "shape", "parts"),
    [
        (BLOCKS, (9, 9, 1), ["'block2/conv1'", "(3, 3, 4)", "smaller kernel_size"]),
        (
            BLOCKS,
            (14, 12, 1),
            ["'block2/maxpool2d1'", "(2, 1, 4)", "smaller pool_size"],
        ),
        (BLOCKS, (9,), ["'block1/conv1'", "(height, width, channels)", "(9,)"]),
        (
            [("up", Sequential([("a", Sequential([("b", Conv1D(2, 9))]))]))],
            (5, 1),
            ["'up/a/b'", "(5, 1)", "padding='same'"],
        ),
        ([Dense(2), Conv2D(2, 3)], (5, 5, 1), ["'conv2d1'", "(2,)"]),
        ([Conv2D(2, 3, groups=2)], (5, 5, 3), ["'conv2d1'", "groups=2", "(5, 5, 3)"]),
        ([Conv2D(2, 3, stride=0)], (5, 5, 3), ["'conv2d1'", "stride", "0"]),
        ([Dense(-1)], (5,), ["'dense1'", "units", "-1"]),
        ([Dense(2, activation="rely")], (5,), ["'dense1'", "activation", "'rely'"]),
        (
            [MaxPool2D(2, padding=2)],
            (5, 5, 1),
            ["'maxpool2d1'", "padding", "pool_size"],
        ),
        (
            [Flatten(), GlobalMaxPool()],
            (5, 5, 1),
            ["'globalmaxpool1'", "before Flatten"],
        ),
        ([("a", Dense(2)), ("a", Dense(2))], (5,), ["'a'", "twice"]),
        ([("a/b", Dense(2))], (5,), ["'a/b'", "not allowed"]),
        ([("s", Sequential([("a__b", Dense(2))]))], (5,), ["'a__b'", "not allowed"]),
    ],
)
def test_errors_say_where(layers, shape, parts):
    with pytest.raises(ValueError) as caught:
        compile_network(layers, shape)
    for part in parts:
        assert part in str(caught.value)
    # Joblib's workers send errors as pickles.
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("layers", [Dense(2), "dense", {"a": Dense(2)}, [Dense], [3], None])
def test_not_layers(layers):
    with pytest.raises(TypeError, match="layer"):
        compile_network(layers, (4,))


def test_layer_without_node():
    class Own(Layer):
        pass

    with pytest.raises(TypeError, match=r"'own1'.*Own"):
        compile_network([Own()], (4,))


def test_wrong_samples():
    network = compile_network([Conv2D(2, 3)], (6, 5))
    for shape in [(6, 5, 2), (5, 6), (30,), ()]:
        with pytest.raises(ValueError, match=r"\(6, 5, 1\)"):
            network.forward(np.zeros((4, *shape)))


def test_backward_needs_a_training_forward():
    network = compile_network([Dense(2)], (3,))
    network.forward(np.zeros((1, 3)))
    with pytest.raises(RuntimeError, match="training=True"):
        network.backward(np.zeros((1, 2)))
    network.forward(np.zeros((1, 3)), training=True)
    network.backward(np.zeros((1, 2)))
    with pytest.raises(RuntimeError, match="training=True"):
        network.backward(np.zeros((1, 2)))


# ---------------------------------------------------------------------------
# Randomness
# ---------------------------------------------------------------------------


def test_precisions_start_alike():
    single = compile_network(LAYERS, (9, 9, 1), dtype="float32", random_state=3)
    double = compile_network(LAYERS, (9, 9, 1), dtype="float64", random_state=3)
    expected = double.parameters()
    for path, array in single.parameters().items():
        cases.assert_same_bits(array, expected[path].astype(np.float32))
        assert array.any() == path.endswith("/weight")


def test_random_state():
    def params(random_state):
        return compile_network(LAYERS, (9, 9, 1), random_state=random_state).params

    cases.assert_same_bits(params(3), params(3))
    cases.assert_same_bits(params(3), params(np.random.RandomState(3)))
    assert not np.array_equal(params(3), params(4))
    assert not np.array_equal(params(None), params(None))


def masks(network, n=50):
    """Which numbers a training pass lets through, forward and backward."""
    Y = network.forward(np.ones((n, *network.input_shape)), training=True)
    forward = Y != 0
    backward = network.backward(np.ones_like(Y)) != 0
    return forward, backward


def test_dropout_masks():
    network = compile_network([Dropout(0.3)], (8, 8), random_state=0)
    first, backward = masks(network)
    np.testing.assert_array_equal(first, backward)
    np.testing.assert_array_equal(masks(network)[0], first)  # the step is the same
    assert abs(first.mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / first.size)
    network.step = 1
    second = masks(network)[0]
    # Independent: both pass with probability 0.7 ** 2.
    assert abs((first & second).mean() - 0.49) < 0.05
    copied = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(masks(copied)[0], second)
    network.step = 0
    np.testing.assert_array_equal(masks(network)[0], first)
    other = compile_network([Dropout(0.3)], (8, 8), random_state=1)
    assert abs((first & masks(other)[0]).mean() - 0.49) < 0.05


def test_dropout_layers_differ():
    X = np.ones((50, 8, 8))
    one = compile_network([("a", Dropout(0.5))], (8, 8), random_state=0)
    two = compile_network([("b", Dropout(0.5))], (8, 8), random_state=0)
    share = np.mean((one.forward(X, True) != 0) & (two.forward(X, True) != 0))
    assert abs(share - 0.25) < 0.05


def test_dropout_is_of_the_sample_not_the_batch():
    """The masks of the first samples do not depend on how many follow."""
    network = compile_network([Dropout(0.5)], (8, 8), random_state=0)
    few, many = masks(network, 3)[0], masks(network, 9)[0]
    np.testing.assert_array_equal(many[:3], few)


def test_dropout_keeps_the_expectation():
    network = compile_network([Dropout(0.25)], (100,), dtype="float64", random_state=0)
    Y = network.forward(np.full((200, 100), 3.0), training=True)
    np.testing.assert_allclose(np.unique(Y), [0.0, 4.0])
    assert abs(Y.mean() - 3.0) < 0.1


# ---------------------------------------------------------------------------
# Winograd's form
# ---------------------------------------------------------------------------


def tile_of(layer, input_shape, **options):
    """The tile that a convolution's node is given."""
    node = compile_network([layer], input_shape, random_state=0, **options).fused()[0]
    return node.tile


@pytest.mark.parametrize(
    ("size", "channels", "tile"),
    # Small maps waste less of small tiles; few channels do not pay for the transforms.
    [
        (32, 64, 4),
        (6, 64, 2),
        (14, 16, 4),
        (32, 2, 0),
        (8, 256, 4),
        (3, 1, 0),
        (7, 512, 4),
        (4, 800, 4),
    ],
)
def test_winograd_where_it_is_faster(size, channels, tile):
    layer = Conv2D(channels, 3, padding="same")
    assert tile_of(layer, (size, size, channels)) == tile
    assert tile_of(layer, (size, size, channels), passes=()) == 0


@pytest.mark.parametrize(
    ("size", "channels", "tile"),
    [(28, 64, 4), (28, 16, 4), (28, 8, 0), (6, 64, 2), (7, 64, 4), (14, 400, 4), (14, 800, 4)],
)
def test_winograd_of_larger_filters(size, channels, tile):
    assert tile_of(Conv2D(channels, 5, padding="same"), (size, size, channels)) == tile


@pytest.mark.parametrize(
    ("size", "dilation", "tile"), [(32, 2, 4), (28, 7, 4), (28, 14, 2), (9, 9, 0)]
)
def test_winograd_of_dilated_filters(size, dilation, tile):
    """Small tiles for the few positions that are so far apart, or none."""
    layer = Conv2D(64, 3, padding=dilation, dilation=dilation)
    assert tile_of(layer, (size, size, 64)) == tile


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_norms_around_dilated_filters(kernel_size, monkeypatch):
    """Batch norms, activations and sums, none of which knows of positions that lie apart."""
    monkeypatch.setenv("SKLEARN_CONVNET_WINOGRAD", "4")
    padding = kernel_size - 1
    conv = Conv2D(16, kernel_size, padding=padding, dilation=2, activation=None)
    normed = [conv, BatchNorm(), Activation("relu")]
    block = Residual([*normed, conv, BatchNorm()])
    layers = [*normed, block, Activation("relu"), *normed, Conv2D(16, 3), conv]
    X = np.random.RandomState(0).normal(size=(5, 19, 18, 16)).astype(np.float32)
    fused = compile_network(layers, X.shape[1:], random_state=0)
    plain = compile_network(layers, X.shape[1:], random_state=0, passes=())
    convs = [node for node in walk(fused.fused(True)) if hasattr(node, "gradient_tile")]
    assert all(node.tile and node.gradient_tile for node in convs)
    assert not any(node.moments for node in convs)
    assert_winograd_is_close(fused, plain, X)


@pytest.mark.parametrize(("filters", "gradient_tile"), [(16, 0), (128, 4)])
def test_gradients_before_a_pool_have_a_form_of_their_own(filters, gradient_tile):
    layers = [Conv2D(filters, 3, padding="same"), MaxPool2D(2)]
    (node,) = compile_network(layers, (8, 8, filters), random_state=0).fused(True)
    assert (node.tile, node.gradient_tile) == (4, gradient_tile)


@pytest.mark.parametrize(
    "layer",
    [
        Conv2D(64, 3, stride=2),
        Conv2D(64, 3, groups=2),
        Conv2D(64, 7),
        Conv2D(64, (1, 3)),
        Conv2D(64, (3, 5)),
        Conv2D(64, 3, padding=3),
        Conv2D(64, 5, padding=5),
        Conv2D(64, 3, padding=5, dilation=2),
        Conv2D(64, 3, padding=((0, 3), 0)),
        Conv1D(64, 3),
        Conv3D(64, (3, 3, 3)),
        Conv3D(64, (1, 3, 3), padding=(1, 0, 0)),
    ],
)
def test_no_winograd_for_other_convolutions(layer):
    shape = {1: (16,), 2: (16, 16), 3: (4, 16, 16)}[layer.n_axes]
    assert tile_of(layer, (*shape, 64)) == 0


@pytest.mark.parametrize(("largest", "tile"), [("4", 4), ("2", 2), ("0", 0)])
def test_environment_limits_tiles(largest, tile, monkeypatch):
    monkeypatch.setenv("SKLEARN_CONVNET_WINOGRAD", largest)
    assert tile_of(Conv2D(64, 3), (16, 16, 64)) == tile


def test_environment_names_its_values(monkeypatch):
    monkeypatch.setenv("SKLEARN_CONVNET_WINOGRAD", "6")
    with pytest.raises(ValueError, match="SKLEARN_CONVNET_WINOGRAD must be 4, 2 or 0, got '6'"):
        compile_network([Conv2D(64, 3)], (16, 16, 64)).fused()
