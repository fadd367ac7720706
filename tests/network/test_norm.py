"""Standardize: the statistics, and what is made of them; a frozen batch norm."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from kernel_cases import assert_close, assert_gradient, assert_same_bits

from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    Dense,
    DenseBlock,
    Flatten,
    GlobalAvgPool,
    Parallel,
    Rescale,
    Residual,
    Sequential,
    Standardize,
)
from sklearn_convnet.network import compile_network

SHAPE = (4, 3, 2)


def fitted(X, weights=None, sizes=None, per="channel", dtype="float64", before=()):
    """A network with the statistics of X, seen in batches of these sizes."""
    network = compile_network(
        [*before, ("scale", Standardize(per=per))],
        X.shape[1:],
        dtype=dtype,
        random_state=0,
    )
    weights = np.ones(len(X)) if weights is None else weights
    stops = np.cumsum(sizes or [len(X)])
    assert stops[-1] == len(X)

    def batches():
        for start, stop in zip([0, *stops[:-1]], stops, strict=True):
            yield X[start:stop], weights[start:stop]

    network.fit_statistics(batches)
    return network


def statistics(network):
    buffers = network.buffers()
    return buffers["scale/mean"], buffers["scale/deviation"]


def columns(X, per):
    return X.reshape(-1, X.shape[-1]) if per == "channel" else X.reshape(len(X), -1)


@pytest.fixture(name="X")
def samples():
    rng = np.random.RandomState(0)
    return rng.normal(size=(20, *SHAPE)) * rng.uniform(0.1, 9, SHAPE) + 5


@pytest.mark.parametrize("per", ["channel", "value"])
@pytest.mark.parametrize("sizes", [None, [20], [7, 7, 6], [1] * 20, [1, 19]])
def test_statistics(X, per, sizes):
    mean, deviation = statistics(fitted(X, sizes=sizes, per=per))
    np.testing.assert_allclose(mean, columns(X, per).mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(deviation, columns(X, per).std(axis=0), rtol=1e-13)


@pytest.mark.parametrize("per", ["channel", "value"])
def test_output(X, per):
    Z = columns(fitted(X, per=per).forward(X), per)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(Z.std(axis=0), 1, rtol=1e-13)


@pytest.mark.parametrize("per", ["channel", "value"])
@pytest.mark.parametrize("sizes", [None, [7, 7, 6]])
def test_weights_are_repetitions(X, per, sizes):
    weights = np.random.RandomState(1).randint(0, 4, len(X))
    actual = statistics(fitted(X, weights, sizes, per))
    repeated = columns(np.repeat(X, weights, axis=0), per)
    np.testing.assert_allclose(actual[0], repeated.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(actual[1], repeated.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("sizes", [[5, 15], [15, 5], [5, 10, 5]])
def test_batches_without_weight(X, sizes):
    """As class weights of 0 make them where the samples are in order."""
    start = 15 if sizes == [15, 5] else 0
    weights = np.ones(len(X))
    weights[start : start + 5] = 0
    actual = statistics(fitted(X, weights, sizes))
    kept = columns(X[weights > 0], "channel")
    np.testing.assert_allclose(actual[0], kept.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(actual[1], kept.std(axis=0), rtol=1e-12)


def test_only_ratios_of_weights_matter(X):
    weights = np.random.RandomState(1).uniform(0.1, 2, len(X))
    expected = statistics(fitted(X, weights))
    for actual, wanted in zip(statistics(fitted(X, 1e-6 * weights)), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-12)


def test_fit_begins_anew(X):
    network = fitted(X)
    network.fit_statistics(lambda: iter([(X[:5], np.ones(5))]))
    expected = statistics(fitted(X[:5]))
    for actual, wanted in zip(statistics(network), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("constant", [0.0, 0.1, -3.3e7, 1e-20])
@pytest.mark.parametrize("sizes", [None, [7, 7, 6]])
def test_constant_columns_are_only_shifted(X, dtype, constant, sizes):
    X = X.astype(dtype)
    X[..., 1] = constant
    weights = np.random.RandomState(1).uniform(0.1, 2, len(X))
    network = fitted(X, weights, sizes, dtype=dtype)
    mean, deviation = statistics(network)
    np.testing.assert_allclose(mean[1], X[0, 0, 0, 1], rtol=1e-12)
    assert deviation[1] == 1.0
    assert deviation[0] != 1.0
    Z = network.forward(X)
    scale = max(abs(constant), 1e-30)
    assert np.abs(Z[..., 1]).max() <= 10 * np.finfo(dtype).eps * scale


def test_single_sample():
    network = fitted(np.full((1, 3), 7.0), per="value")
    np.testing.assert_array_equal(network.forward(np.full((2, 3), 8.0)), np.ones((2, 3)))


def test_far_from_zero():
    """One pass over squares would lose all digits here."""
    X = np.random.RandomState(0).normal(size=(1000, 3))
    mean, deviation = statistics(fitted(X + 1e8, sizes=[100] * 10))
    np.testing.assert_allclose(deviation, X.std(axis=0), rtol=1e-6)
    np.testing.assert_allclose(mean, 1e8 + X.mean(axis=0), rtol=1e-14)


def test_integers():
    X = np.random.RandomState(0).randint(0, 256, (30, 5, 5, 3)).astype(np.uint8)
    mean, deviation = statistics(fitted(X, dtype="float32", sizes=[10, 20]))
    np.testing.assert_allclose(mean, X.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(deviation, X.std(axis=(0, 1, 2)), rtol=1e-12)


def test_sees_what_the_layers_before_make(X):
    before = [Conv2D(3, 2, activation="tanh"), Standardize(), Activation("tanh")]
    network = fitted(X, before=before, sizes=[9, 11])
    inner = compile_network(before, SHAPE, dtype="float64", random_state=0)
    inner.fit_statistics(lambda: iter([(X, np.ones(len(X)))]))
    seen = inner.forward(X)
    mean, deviation = statistics(network)
    np.testing.assert_allclose(mean, seen.mean(axis=(0, 1, 2)), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(deviation, seen.std(axis=(0, 1, 2)), rtol=1e-10)


def test_training_leaves_statistics(X):
    layers = [("scale", Standardize()), Dense(2)]
    network = compile_network(layers, SHAPE, dtype="float64", random_state=0)
    network.fit_statistics(lambda: iter([(X, np.ones(len(X)))]))
    before = [buffer.copy() for buffer in statistics(network)]
    network.backward(network.forward(2 * X, training=True))
    for actual, expected in zip(statistics(network), before, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_a_block_has_no_statistics_of_the_data():
    network = compile_network([Residual([Standardize()])], (4, 2))
    with pytest.raises(ValueError, match=r"'residual1/standardize1'.*before the block"):
        network.fit_statistics(lambda: [(np.ones((3, 4, 2)), np.ones(3))])


# ---------------------------------------------------------------------------
# A frozen batch norm
# ---------------------------------------------------------------------------


@pytest.fixture
def frozen():
    """Between two layers that train, with statistics that are not those of the data."""
    layers = [Conv2D(3, 2, use_bias=False, activation=None), BatchNorm(trainable=False)]
    layers += [Activation("tanh"), Dense(2, activation=None)]
    network = compile_network(layers, SHAPE, dtype="float64", random_state=0)
    rng = np.random.RandomState(1)
    for name in ("scale", "offset"):
        network.parameters()[f"batchnorm1/{name}"][:] = rng.normal(size=3)
    network.buffers()["batchnorm1/mean"][:] = rng.normal(size=3)
    network.buffers()["batchnorm1/variance"][:] = rng.uniform(0.5, 2, 3)
    return network


def test_a_frozen_batch_norm_trains_as_it_predicts(X, frozen):
    before = {path: array.copy() for path, array in frozen.buffers().items()}
    trained = frozen.forward(X, training=True).copy()
    for path, array in frozen.buffers().items():
        np.testing.assert_array_equal(array, before[path])
    np.testing.assert_allclose(trained, frozen.forward(X), rtol=1e-12)


def test_the_gradient_through_a_frozen_batch_norm(X, frozen):
    X = X[:3] / 10  # where tanh is smooth on the scale of the differences
    dY = np.random.RandomState(2).normal(size=(3, 2))
    frozen.forward(X, training=True)
    dX = frozen.backward(dY)
    gradients = {path: array.copy() for path, array in frozen.gradients().items()}
    assert_gradient(dX, lambda X: np.vdot(dY, frozen.forward(X)), X)
    weight = frozen.parameters()["conv2d1/weight"]

    def at(values):
        weight[...] = values
        return np.vdot(dY, frozen.forward(X))

    assert_gradient(gradients["conv2d1/weight"], at, weight.copy())
    assert not gradients["batchnorm1/scale"].any()
    assert not gradients["batchnorm1/offset"].any()
    frozen.forward(X, training=True)
    assert frozen.backward(dY, need_input=False) is None


# ---------------------------------------------------------------------------
# Numbers that the network's dtype does not hold
# ---------------------------------------------------------------------------

WIDE = {
    "int32": 2_000_000_000,
    "uint32": 4_000_000_000,
    "int64": 5 * 10**9,
    "uint64": 6 * 10**9,
    "float64": 2e9,
    ">f8": 2e9,
}


def counts(dtype, n=20):
    """Large numbers that differ by little: none of it is left in float32."""
    drawn = np.random.RandomState(0).randint(0, 9, (n, *SHAPE))
    return drawn.astype(dtype) + np.array(WIDE[dtype], dtype)


@pytest.mark.parametrize("per", ["channel", "value"])
@pytest.mark.parametrize("dtype", WIDE)
def test_large_numbers_are_standardized_before_they_are_cast(per, dtype):
    X = counts(dtype)
    exact = columns(X - np.array(WIDE[dtype], dtype), per).astype(np.float64)
    expected = (exact - exact.mean(axis=0)) / exact.std(axis=0)
    network = fitted(X, sizes=[7, 13], per=per, dtype="float32")
    Z = network.forward(X)
    assert Z.dtype == np.float32
    np.testing.assert_allclose(columns(Z, per), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", WIDE)
def test_large_numbers_are_rescaled_before_they_are_cast(dtype):
    X = counts(dtype)
    rest = (X - np.array(WIDE[dtype], dtype)).astype(np.float32)
    network = compile_network([Rescale(0.5, -0.5 * WIDE[dtype] + 3)], SHAPE)
    np.testing.assert_array_equal(network.forward(X), 0.5 * rest + 3)


def test_the_last_that_can_casts():
    X = counts("int32")
    layers = [Rescale(1.0, -2e9), Flatten(), ("scale", Standardize(per="value")), Dense(3)]
    network = compile_network(layers, SHAPE, random_state=0)
    network.fit_statistics(lambda: iter([(X, np.ones(len(X)))]))
    exact = (X - 2_000_000_000).reshape(len(X), -1).astype(np.float64)
    mean, deviation = statistics(network)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(deviation, exact.std(axis=0), rtol=1e-12)
    weight, bias = (network.parameters()[f"dense1/{name}"] for name in ("weight", "bias"))
    standard = ((exact - mean) / deviation).astype(np.float32)
    expected = np.maximum(standard @ weight + bias, 0)
    np.testing.assert_allclose(network.forward(X), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "float64"])
def test_large_numbers_have_the_same_bits_in_any_pass(dtype):
    X = counts(dtype)
    layers = [("scale", Standardize(per="value")), Conv2D(3, 2), Dense(2)]
    network = compile_network(layers, SHAPE, random_state=0)
    network.fit_statistics(lambda: iter([(X, np.ones(len(X)))]))
    expected = network.forward(X)
    narrow = X.astype(np.float32)  # in passes between the others
    for n_threads in (1, 2, 3):
        assert_same_bits(network.forward(X, n_threads=n_threads), expected)
        assert_same_bits(network.forward(X, training=True, n_threads=n_threads), expected)
        network.forward(narrow, n_threads=n_threads)
        network.forward(narrow, training=True, n_threads=n_threads)
        for start, stop in ((0, 1), (3, 10), (5, 20)):
            part = network.forward(X[start:stop], n_threads=n_threads)
            assert_same_bits(part, expected[start:stop])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "bool"])
def test_what_float32_holds_is_cast_first(dtype):
    X = np.random.RandomState(0).randint(0, 2 if dtype == "bool" else 200, (20, *SHAPE))
    X = X.astype(dtype)
    network = fitted(X, dtype="float32")
    assert network.input_dtype(X.dtype) == np.float32
    assert_same_bits(network.forward(X), network.forward(X.astype(np.float32)))


def test_other_layers_see_the_dtype_of_the_network():
    for layers in ([Conv2D(2, 2), Standardize()], [Residual([Rescale(2.0)])], [Flatten()]):
        network = compile_network(layers, SHAPE)
        assert network.input_dtype(np.dtype(np.int64)) == np.float32
    wide = compile_network([Standardize()], SHAPE, dtype="float64")
    assert wide.input_dtype(np.dtype(np.int64)) == np.float64


def test_the_gradient_at_large_numbers():
    X = counts("int32")
    network = fitted(X, dtype="float32")
    dX = network.backward(np.ones_like(network.forward(X, training=True)))
    _, deviation = statistics(network)
    np.testing.assert_allclose(dX, np.broadcast_to(1 / deviation, dX.shape), rtol=1e-6)


def test_statistics_that_are_not_finite(X):
    with pytest.raises(ValueError, match=r"layer 'scale': the mean or deviation.*too large"):
        fitted(X * 1e200)


# ---------------------------------------------------------------------------
# A batch norm that sees a single value of each channel
# ---------------------------------------------------------------------------

LONE_SHAPE = (1, 1, 4)
LONE = {
    "dense": [Dense(5, activation=None), BatchNorm(), Activation("tanh"), Dense(2)],
    "first": [BatchNorm(), Dense(2)],
    "two": [BatchNorm(), Dense(5), BatchNorm()],
    "residual": [Residual([Conv2D(4, 1, activation=None), BatchNorm()]), Activation("tanh")],
    "dense block": [DenseBlock([Sequential([BatchNorm(), Conv2D(3, 1, activation="tanh")])] * 2)],
    "branches": [Parallel([[Conv2D(3, 1, activation="tanh"), BatchNorm()], "passthrough"])],
}
every_lone = pytest.mark.parametrize("layers", LONE.values(), ids=LONE)


def lone_network(layers, shape=LONE_SHAPE, dtype="float64", **options):
    """With random scales, and statistics of some batches."""
    network = compile_network(layers, shape, dtype=dtype, random_state=0, **options)
    rng = np.random.RandomState(1)
    for path, array in network.parameters().items():
        if path.endswith(("scale", "offset")):
            array[...] = rng.uniform(0.5, 1.5, array.shape)
    for _ in range(3):
        network.forward(rng.normal(size=(20, *shape)), training=True)
    return network


@every_lone
def test_a_single_value_has_no_variance(layers):
    network = compile_network(layers, LONE_SHAPE, random_state=0)
    assert network.smallest_batch == 2
    before = {path: array.copy() for path, array in network.buffers().items()}
    x = np.ones((1, *LONE_SHAPE))
    for use_running in (False, True):  # there are no statistics yet
        with pytest.raises(ValueError, match=r"layer '.*batchnorm1': Expected more than 1 value"):
            network.forward(x, training=True, use_running=use_running)
    for path, array in network.buffers().items():
        np.testing.assert_array_equal(array, before[path])
    network.forward(np.arange(8.0).reshape(2, *LONE_SHAPE), training=True)
    with pytest.raises(ValueError, match="batches of two samples"):
        network.forward(x, training=True)
    with pytest.raises(ValueError, match="batches of two samples"):
        network.forward(np.repeat(x, 2, axis=0), training=True, sample_weight=np.array([0.0, 1.0]))
    network.forward(x)


@every_lone
def test_running_statistics_stand_in(layers):
    network = lone_network(layers)
    before = {path: array.copy() for path, array in network.buffers().items()}
    x = np.random.RandomState(2).normal(size=(1, *LONE_SHAPE))
    Y = network.forward(x, training=True, use_running=True)
    dY = np.random.RandomState(3).normal(size=Y.shape)
    dX = network.backward(dY)
    gradients = {path: array.copy() for path, array in network.gradients().items()}
    for path, array in network.buffers().items():
        np.testing.assert_array_equal(array, before[path])
    np.testing.assert_allclose(Y, network.forward(x), rtol=1e-12)
    assert_gradient(dX, lambda x: np.vdot(dY, network.forward(x)), x)
    for path, array in network.parameters().items():

        def at(values, array=array):
            old = array.copy()
            array[...] = values
            result = np.vdot(dY, network.forward(x))
            array[...] = old
            return result

        assert_gradient(gradients[path], at, array.copy())


def test_running_statistics_in_what_winograds_form_takes_over():
    layers = [BatchNorm(), Activation("relu"), Conv2D(64, 3, padding=2), GlobalAvgPool()]
    fused = lone_network(layers, (1, 1, 64), "float32")
    plain = lone_network(layers, (1, 1, 64), "float32", passes=())
    prologues = [getattr(node, "prologue", None) is not None for node in fused.fused(True)]
    assert prologues == [False, True, False]
    plain.restore(fused.snapshot())
    x = np.random.RandomState(2).normal(size=(1, 1, 1, 64))
    dY = np.random.RandomState(3).normal(size=(1, 64))
    seen = []
    for network in (fused, plain):
        Y = network.forward(x, training=True, use_running=True)
        seen.append([Y, network.backward(dY), network.grads])
    for one, other in zip(*seen, strict=True):
        assert_close(one, other, factor=3)


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([Dense(5), BatchNorm(trainable=False)], (4,)),
        ([Conv2D(3, 2), BatchNorm()], (3, 3, 2)),
        ([Dense(5)], (4,)),
    ],
)
def test_one_sample_is_enough_elsewhere(layers, shape):
    network = compile_network(layers, shape, random_state=0)
    assert network.smallest_batch == 1
    Y = network.forward(np.ones((1, *shape)), training=True)
    assert np.isfinite(network.backward(np.ones_like(Y))).all()


def test_running_statistics_never_become_denormal():
    network = compile_network([BatchNorm(momentum=0.1)], (3, 2), random_state=0)
    network.forward(np.ones((4, 3, 2)), training=True)
    for _ in range(60):
        network.forward(np.zeros((4, 3, 2)), training=True)
        for array in network.buffers().values():
            assert np.all((array == 0) | (array >= np.finfo(np.float32).tiny))
