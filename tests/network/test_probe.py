"""Probes: each layer can be looked at, and gradients can be fed in anywhere."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from concurrent.futures import ThreadPoolExecutor

import layer_cases as cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    Dense,
    DenseBlock,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Layer,
    MaxPool2D,
    Parallel,
    Residual,
    SelfAttention,
    SeparableConv2D,
    Sequential,
    TransformConv2D,
)
from sklearn_convnet.layers.blocks import Outputs
from sklearn_convnet.network import Node, Weight, compile_network, executes
from sklearn_convnet.network.activation import ActivationNode
from sklearn_convnet.testing import (
    RTOL,
    compared,
    differences,
    gradient_like,
    require_gradients,
)

SHAPE = (6, 5, 2)

#: Smooth, so that differences say something everywhere.
DEEP = [
    ("first", Conv2D(4, 3, padding=1, activation="tanh")),
    (
        "residual",
        Residual(
            [
                Conv2D(4, 3, padding="same", activation=None),
                BatchNorm(0.3),
                Activation("softplus"),
                Residual([("deep", Conv2D(5, 1, activation="tanh"))]),
            ]
        ),
    ),
    ("drop", Dropout(0.5)),
    (
        "parallel",
        Parallel(
            [
                [Conv2D(2, 1, activation="tanh"), Conv2D(3, 3, padding="same", activation="gelu")],
                "passthrough",
                DepthwiseConv2D(3, padding="same", activation=None),
            ]
        ),
    ),
    (
        "block",
        DenseBlock(
            [
                Sequential([BatchNorm(0.3), Conv2D(3, 3, padding=1, activation="tanh")]),
                ("plain", Conv2D(2, 1, activation="softplus")),
                (
                    "inner",
                    DenseBlock([("far", Conv2D(2, 1, activation="tanh")), Conv2D(1, 1)]),
                ),
            ]
        ),
    ),
    ("stages", Sequential([("separable", SeparableConv2D(4, 3, activation="tanh")), Dropout(0.2)])),
    ("same", Activation(None)),
    ("attention", SelfAttention(2)),
    ("lifted", TransformConv2D(2, 2, activation="tanh")),
    ("norm", BatchNorm(0.3, n_transforms=4)),
    ("transform", TransformConv2D(2, 2, activation="tanh", pool="mean", group_input=True)),
    ("pool", GlobalAvgPool()),
    ("output", Dense(3, activation=None)),
]
PATHS = [
    "first",
    "residual",
    "residual/conv2d1",
    "residual/batchnorm1",
    "residual/activation1",
    "residual/residual1",
    "residual/residual1/deep",
    "residual/residual1/shortcut",
    "residual/residual1/shortcut/conv",
    "residual/shortcut",
    "drop",
    "parallel",
    "parallel/branch1",
    "parallel/branch1/conv2d1",
    "parallel/branch1/conv2d2",
    "parallel/branch2",
    "parallel/branch3",
    "block",
    "block/sequential1",
    "block/sequential1/batchnorm1",
    "block/sequential1/conv2d1",
    "block/plain",
    "block/inner",
    "block/inner/far",
    "stages",
    "stages/separable",
    "stages/separable/depthwise",
    "stages/dropout1",
    "same",
    "attention",
    "lifted",
    "norm",
    "transform",
    "pool",
    "output",
    "",
]


def deep_network(dtype="float64"):
    case = cases.LayerCase([*DEEP], SHAPE)
    return case.network(dtype), case.batch(2, dtype=dtype)


def without_its_end(layers, path):
    """Layers up to one at the top."""
    names = [name for name, _ in layers]
    return layers[: names.index(path) + 1]


def weights_into(network, other):
    for path, array in other.parameters().items():
        array[...] = network.parameters()[path]
    for path, array in other.buffers().items():
        array[...] = network.buffers()[path]


@pytest.mark.parametrize("name", [name for name, _ in DEEP])
def test_the_output_of_a_layer_is_that_of_a_network_which_ends_there(name):
    network, X = deep_network()
    shorter = compile_network(without_its_end(DEEP, name), SHAPE, dtype="float64")
    weights_into(network, shorter)
    maps = network.probe().forward(X, [name])
    assert list(maps) == [name]
    cases.assert_close(maps[name], shorter.forward(X), 1e-12)
    assert network.probe().output_shape(name) == shorter.output_shape == maps[name].shape[1:]


def test_the_outputs_inside_blocks():
    """What they are follows from those around them, without a block."""
    network, X = deep_network()
    maps = network.probe().forward(X, [path for path in PATHS if path])
    arrays = network.parameters()

    def conv_1x1(path, X, activation=lambda Z: Z):
        Z = X @ arrays[f"{path}/weight"].reshape(X.shape[-1], -1)
        return activation(Z + arrays.get(f"{path}/bias", 0.0))

    def softplus(Z):
        return np.logaddexp(0, Z)

    inner = maps["residual/activation1"]
    cases.assert_close(inner, softplus(maps["residual/batchnorm1"]), 1e-12)
    deep = conv_1x1("residual/residual1/deep", inner, np.tanh)
    cases.assert_close(maps["residual/residual1/deep"], deep, 1e-12)
    conv = conv_1x1("residual/residual1/shortcut/conv", inner)
    cases.assert_close(maps["residual/residual1/shortcut/conv"], conv, 1e-12)
    cases.assert_close(
        maps["residual/residual1"], deep + maps["residual/residual1/shortcut"], 1e-12
    )
    cases.assert_close(
        maps["residual"], maps["residual/residual1"] + maps["residual/shortcut"], 1e-12
    )
    cases.assert_same_bits(maps["drop"], maps["residual"])
    cases.assert_same_bits(maps["parallel/branch2"], maps["drop"])
    one = conv_1x1("parallel/branch1/conv2d1", maps["drop"], np.tanh)
    cases.assert_close(maps["parallel/branch1/conv2d1"], one, 1e-12)
    cases.assert_same_bits(maps["parallel/branch1/conv2d2"], maps["parallel/branch1"])
    branches = [maps[f"parallel/branch{i}"] for i in (1, 2, 3)]
    cases.assert_same_bits(np.concatenate(branches, axis=-1), maps["parallel"])
    seen = np.concatenate([maps["parallel"], maps["block/sequential1"]], axis=-1)
    cases.assert_close(maps["block/plain"], conv_1x1("block/plain", seen, softplus), 1e-12)
    seen = np.concatenate([seen, maps["block/plain"]], axis=-1)
    cases.assert_close(maps["block/inner/far"], conv_1x1("block/inner/far", seen, np.tanh), 1e-12)
    cases.assert_same_bits(maps["block"], np.concatenate([seen, maps["block/inner"]], axis=-1))
    cases.assert_same_bits(maps["same"], maps["stages"])
    cases.assert_same_bits(maps["stages/separable"], maps["stages"])


def test_all_paths_are_there():
    network, X = deep_network()
    probe = network.probe()
    assert set(PATHS) - {""} <= set(probe.paths)
    maps = probe.forward(X, probe.paths, backward=False)
    assert {path: array.shape[1:] for path, array in maps.items()} == {
        path: probe.output_shape(path) for path in probe.paths
    }
    for path, _, _, shape in network.table:
        assert probe.output_shape(path) == shape


@pytest.mark.parametrize("path", PATHS)
def test_gradients_at_a_layer(path):
    """A gradient that is fed in at a layer is the derivative of a function of its output."""
    network, X = deep_network()
    X = X.copy()
    probe = network.probe()
    R = gradient_like(probe.forward(X, [path])[path])
    dX, _ = probe.backward({path: R})

    def value():
        return np.sum(R * network.probe().forward(X, [path], backward=False)[path])

    places = np.random.RandomState(0).permutation(X.size)[:12]
    numeric, _ = differences(value, X, places)
    assert np.abs(numeric).max() > 1e-3  # so that it says something
    cases.assert_close(dX.reshape(-1)[places], numeric, RTOL)


@pytest.mark.parametrize("path", PATHS[:-2])
def test_the_gradient_that_arrives_at_a_layer(path):
    """Where the output of a layer moves by something that does not depend on X, the output of the
    network moves by the gradient times that: seen with a bias, if it has one, or by feeding in."""
    network, X = deep_network()
    probe = network.probe()
    R = gradient_like(probe.forward(X, ["output"])["output"])
    _, arriving = probe.backward({"output": R}, [path])
    G = arriving[path]
    # The chain rule: what arrives there, fed in there alone, comes through at the layer before as
    # what the output alone brings, where all paths lead through it.
    if "/" not in path:
        dX, _ = probe.backward({"output": R})
        alone, _ = probe.backward({path: G})
        cases.assert_close(alone, dX, 1e-12)
    S = gradient_like(G, 1)
    both, recorded = probe.backward({"output": R, path: S}, [path])
    cases.assert_close(recorded[path], G + S, 1e-12)
    dX, _ = probe.backward({"output": R})
    one, _ = probe.backward({path: S})
    cases.assert_close(both, dX + one, 1e-11)


BIASES = {
    "residual/conv2d1": "residual/conv2d1/bias",
    "residual/batchnorm1": "residual/batchnorm1/offset",
    "residual/shortcut": "residual/shortcut/norm/offset",
    "parallel/branch3": "parallel/branch3/bias",
    "block/sequential1/batchnorm1": "block/sequential1/batchnorm1/offset",
    "attention": "attention/output_bias",
    "output": "output/bias",
}


@pytest.mark.parametrize("path", BIASES)
def test_the_gradient_that_arrives_is_that_of_a_bias(path):
    """Summed over places, it is the derivative by what is added there: by differences."""
    network, X = deep_network()
    probe = network.probe()
    R = gradient_like(probe.forward(X, [""])[""])
    _, arriving = probe.backward({"": R}, [path])
    summed = arriving[path].reshape(-1, arriving[path].shape[-1]).sum(axis=0)
    bias = network.parameters()[BIASES[path]]
    expected, _ = differences(lambda: np.sum(R * network.forward(X)), bias, np.arange(bias.size))
    cases.assert_close(summed, expected, RTOL)


def test_nothing_is_written():
    network, X = deep_network()
    Y = network.forward(X, training=True)
    before = cases.contents(network)
    probe = network.probe()
    probe.forward(X, PATHS)
    probe.backward({path: np.ones((2, *probe.output_shape(path))) for path in PATHS}, PATHS)
    cases.assert_unchanged(network, before)
    network.backward(gradient_like(Y))  # is still to be had


def test_like_the_whole_network():
    network, X = deep_network("float32")
    probe = network.probe()
    maps = probe.forward(X, [""])
    cases.assert_close(maps[""], network.forward(X), 1e-5)
    dY = gradient_like(maps[""])
    dX, recorded = probe.backward({"": dY})
    assert recorded == {}
    assert dX.dtype == np.float32
    cases.assert_close(dX, network.input_gradient(X, dY), 1e-4)


def test_many_backwards_after_one_forward():
    network, X = deep_network()
    probe = network.probe()
    dY = gradient_like(probe.forward(X, [-1])[-1])
    first = probe.backward({-1: dY}, PATHS)
    probe.backward({"residual": np.ones((2, *probe.output_shape("residual")))})
    second = probe.backward({-1: dY}, PATHS)
    cases.assert_same_bits(first[0], second[0])
    for path in PATHS:
        cases.assert_same_bits(first[1][path], second[1][path])


def test_backward_to_a_layer_alone():
    network, X = deep_network()
    probe = network.probe()
    dY = gradient_like(probe.forward(X, [-1])[-1])
    for record in (["residual"], ["block/plain", "pool"], ["parallel/branch2"], []):
        nothing, some = probe.backward({-1: dY}, record, to_input=False)
        _, expected = probe.backward({-1: dY}, record)
        assert nothing is None
        assert list(some) == record
        for path in record:
            cases.assert_same_bits(some[path], expected[path])


def test_a_forward_ends_with_what_is_recorded():
    network, X = deep_network()
    network.parameters()["output/weight"][...] = np.nan
    probe = network.probe()
    maps = probe.forward(X, ["residual/conv2d1", "first"])
    assert list(maps) == ["residual/conv2d1", "first"]
    dX, arriving = probe.backward({"first": np.ones_like(maps["first"])}, ["residual"])
    assert np.isfinite(dX).all()
    assert not arriving["residual"].any()  # nothing comes from further on
    with pytest.raises(ValueError, match="the forward has ended before layer 'drop'"):
        probe.backward({"drop": np.ones_like(maps["first"])})
    with pytest.raises(ValueError, match="the forward has ended before layer 'output'"):
        probe.backward({"first": np.ones_like(maps["first"])}, ["output"])
    probe.forward(X)
    assert np.isnan(probe.backward({"": np.ones((2, 3))})[0]).all()


def test_layers_by_their_place():
    network, X = deep_network()
    probe = network.probe()
    n = len(DEEP)
    maps = probe.forward(X, [*range(n), *range(-n, 0)])
    for i, (name, _) in enumerate(DEEP):
        assert probe.path(i) == probe.path(i - n) == probe.path(np.int64(i)) == name
        assert maps[i] is maps[i - n]
    G = np.ones_like(maps[-1])
    once, _ = probe.backward({-1: 3 * G})
    thrice, _ = probe.backward({-1: G, "output": G, n - 1: G})
    cases.assert_same_bits(thrice, once)


def test_two_outputs():
    outputs = Outputs([("output", Dense(4, activation=None)), ("box", Dense(2, activation="tanh"))])
    layers = [Conv2D(3, 3), Flatten(), ("output", outputs)]
    network = compile_network(layers, SHAPE, dtype="float64", random_state=0)
    X = np.random.RandomState(0).normal(size=(3, *SHAPE))
    probe = network.probe()
    assert [name for name, _ in network.named_layers] == ["conv2d1", "flatten1", "output", "box"]
    maps = probe.forward(X, ["output", "box", -1, -2, ""])
    cases.assert_close(maps[""], network.forward(X), 1e-12)
    cases.assert_same_bits(np.concatenate([maps["output"], maps["box"]], axis=1), maps[""])
    assert maps[-1] is maps["box"]
    assert maps[-2] is maps["output"]
    assert "output/outputs" not in probe.paths
    dY = gradient_like(maps[""])
    whole, _ = probe.backward({"": dY})
    parts, _ = probe.backward({"output": dY[:, :4], "box": dY[:, 4:]})
    cases.assert_close(parts, whole, 1e-12)
    cases.assert_close(network.input_gradient(X, dY), whole, 1e-12)


def test_a_rule_takes_the_place_of_a_backward():
    """Guided back-propagation, against numpy."""
    layers = [Dense(6), Dense(5), Dropout(0.5), Dense(1, activation=None)]
    network = compile_network(layers, (4,), dtype="float64", random_state=0)
    X = np.random.RandomState(1).normal(size=(7, 4))
    probe = network.probe()

    def guided(node, dY, backward):
        if isinstance(node, ActivationNode) and node.activation == "relu":
            return backward(np.maximum(dY, 0))
        return backward(dY)

    def deconvnet(node, dY, backward):
        is_relu = isinstance(node, ActivationNode) and node.activation == "relu"
        return np.maximum(dY, 0) if is_relu else backward(dY)

    maps = probe.forward(X, [0, 1, -1])
    W = [network.parameters()[f"dense{i}/weight"] for i in (1, 2, 3)]
    for rule, mask in ((guided, True), (deconvnet, False), (None, True)):
        G = np.ones((7, 1)) @ W[2].T
        for i in (1, 0):
            G = G if rule is None else np.maximum(G, 0)
            G = (G * (maps[i] > 0) if mask else G) @ W[i].T
        dX, _ = probe.backward({-1: np.ones((7, 1))}, rule=rule)
        cases.assert_close(dX, G, 1e-12)


def test_a_rule_reaches_into_all_blocks():
    network, X = deep_network()
    probe = network.probe()
    dY = gradient_like(probe.forward(X, [-1])[-1])
    met = []

    def rule(node, dY, backward):
        met.append(node)
        return backward(dY)

    dX, _ = probe.backward({-1: dY}, rule=rule)
    cases.assert_same_bits(dX, probe.backward({-1: dY})[0])
    assert len(met) == len(set(met))  # none of them twice
    paths = {node.path for node in met}
    assert {"block/sequential1/conv2d1/activation", "block/inner/far", "residual"} <= paths


def test_weights_of_now():
    network, X = deep_network()
    probe = network.probe()
    before = probe.forward(X, [-1])[-1]
    network.parameters()["output/weight"][...] *= 2
    network.parameters()["output/bias"][...] *= 2
    cases.assert_same_bits(probe.forward(X, [-1])[-1], 2 * before)


def test_several_threads_each_with_a_probe():
    network, X = deep_network("float32")
    probe = network.probe()
    dY = gradient_like(probe.forward(X, [-1])[-1])
    expected = probe.backward({-1: dY}, ["block/plain"])
    network.trim()

    def task(_):
        probe = network.probe()
        probe.forward(X, ["output"])
        return probe.backward({-1: dY}, ["block/plain"])

    with ThreadPoolExecutor(4) as pool:
        for dX, recorded in pool.map(task, range(12)):
            cases.assert_same_bits(dX, expected[0])
            cases.assert_same_bits(recorded["block/plain"], expected[1]["block/plain"])


def test_an_empty_batch_and_threads():
    network, X = deep_network("float32")
    probe = network.probe()
    assert probe.forward(X[:0], ["block/plain"])["block/plain"].shape == (0, 6, 5, 2)
    one, two = (probe.forward(X, [-1], n_threads=n)[-1] for n in (1, 2))
    cases.assert_same_bits(one, two)


@cases.every_case
def test_every_layer(case):
    """In float64 a probe has the numbers of a prediction, and of its gradient."""
    network, X = case.network(), case.batch(2)
    probe = network.probe()
    Y = probe.forward(X, [""])[""]
    cases.assert_close(Y, network.forward(X), 1e-12)
    dY = gradient_like(Y)
    cases.assert_close(
        probe.backward({"": dY})[0], network.input_gradient(X, dY), 1e-11, floor=1e-6
    )


# ---------------------------------------------------------------------------
# Random networks
# ---------------------------------------------------------------------------


class Shift(Layer):
    """Y = X + b with a number for each value of a sample: by b, differences tell the gradient that
    arrives at its output, at any place of a network."""


@executes(Shift)
class ShiftNode(Node):
    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, input_shape)
        self.weights["shift"] = Weight(self.input_shape)

    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        run.call(np.add, X, self.params["shift"], Y)
        return Y

    def backward(self, dY, need_input, run):
        assert not self.frozen or self.gradient("shift") is None
        return dY if need_input else None


LEAVES = st.sampled_from(
    [
        Conv2D(3, 3, padding="same", activation="tanh"),
        Conv2D(2, 1, activation="gelu"),
        DepthwiseConv2D(3, padding="same", activation="softplus"),
        BatchNorm(),
        Dropout(0.5),
        Activation(None),
        Activation("logistic"),
        SelfAttention(),
        Shift(),
        Shift(),
    ]
)


def chains(layers):
    return st.lists(layers, min_size=1, max_size=3)


def blocks_of(layers):
    branches = st.lists(st.one_of(chains(layers), st.just("passthrough")), min_size=1, max_size=3)
    return st.one_of(
        chains(layers).map(Residual),
        chains(layers).map(DenseBlock),
        chains(layers).map(Sequential),
        branches.map(Parallel),
    )


@settings(max_examples=60, deadline=None)
@given(
    chains(st.recursive(LEAVES, blocks_of, max_leaves=6)),
    st.integers(0, 2**31 - 1),
)
def test_random_networks(layers, seed):
    """Gradients that are fed in, and gradients that arrive, at all depths, by differences."""
    layers = [("begin", Shift()), *layers, Shift(), Dense(2, activation="tanh")]
    network = cases.LayerCase(layers, (3, 2, 2)).network(seed=seed)
    rng = np.random.RandomState(seed)
    X = rng.uniform(-1, 1, (1, 3, 2, 2))
    probe = network.probe()

    path = probe.paths[rng.randint(len(probe.paths))]
    R = gradient_like(probe.forward(X, [path])[path], seed)
    fed_in, _ = probe.backward({path: R})
    shift = network.parameters()["begin/shift"]
    found = differences(
        lambda: np.sum(R * probe.forward(X, [path], backward=False)[path]), shift, np.arange(12)
    )
    require_gradients([compared(path, fed_in, np.arange(12), *found)])

    shifts = {p: array for p, array in network.parameters().items() if p.endswith("/shift")}
    paths = [p.removesuffix("/shift") for p in shifts]
    dY = rng.uniform(-1, 1, (1, 2))
    probe.forward(X, [""])
    dX, arriving = probe.backward({"": dY}, paths)
    cases.assert_close(dX, network.input_gradient(X, dY), 1e-10, floor=1e-6)
    for path, array in zip(paths, shifts.values(), strict=True):
        places = rng.permutation(array.size)[:4]
        found = differences(lambda: np.sum(dY * network.forward(X)), array, places)
        require_gradients([compared(path, arriving[path], places, *found)])


# ---------------------------------------------------------------------------
# Bad input
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("fist", "there is no layer 'fist': did you mean 'first'"),
        ("residual/conv2d2", "no layer 'residual/conv2d2': did you mean 'residual/conv2d1'"),
        ("first/weight", "no layer 'first/weight': did you mean 'first'"),
        ("xyz", r"no layer 'xyz': the layers are 'first', 'residual', 'drop', 'parallel'"),
        (len(DEEP), rf"layer={len(DEEP)} does not exist: the network has {len(DEEP)} layers"),
        (-len(DEEP) - 1, "does not exist"),
    ],
)
def test_no_such_layer(layer, message):
    network, X = deep_network()
    probe = network.probe()
    for call in (
        lambda: probe.path(layer),
        lambda: probe.output_shape(layer),
        lambda: probe.forward(X, ["first", layer]),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    probe.forward(X)
    with pytest.raises(ValueError, match=message):
        probe.backward({layer: X})
    with pytest.raises(ValueError, match=message):
        probe.backward({}, [layer])


@pytest.mark.parametrize("layer", [None, 1.0, True, ("first",)])
def test_a_layer_is_a_path_or_a_place(layer):
    network, X = deep_network()
    with pytest.raises(TypeError, match="a layer must be given by its path"):
        network.probe().forward(X, [layer])


def test_many_layers_are_not_all_named():
    network = compile_network([Dense(1) for _ in range(30)], (2,))
    with pytest.raises(ValueError, match=r"'dense20', \.\.\.$"):
        network.probe().path("xyz")


def test_order_and_shapes():
    network, X = deep_network()
    probe = network.probe()
    with pytest.raises(RuntimeError, match="needs a forward with backward=True"):
        probe.backward({-1: np.ones((2, 3))})
    probe.forward(X, backward=False)
    with pytest.raises(RuntimeError, match="needs a forward with backward=True"):
        probe.backward({-1: np.ones((2, 3))})
    probe.forward(X)
    with pytest.raises(ValueError, match=r"the gradient of layer 'drop' has shape \(2, 3\)"):
        probe.backward({"drop": np.ones((2, 3))})
    with pytest.raises(ValueError, match="X has samples of shape"):
        probe.forward(X[:, :3])
    empty = compile_network([], (3,)).probe()
    with pytest.raises(ValueError, match="there is no layer ''"):
        empty.forward(np.ones((1, 3)), [""])


def test_a_pool_that_is_fused_is_seen():
    """Where the network itself never stores the map before the pool."""
    layers = [Conv2D(4, 3), MaxPool2D(2), Dense(2, activation=None)]
    network = compile_network(layers, (8, 8, 1), random_state=0)
    assert len(network.fused()) == 2
    X = np.random.RandomState(0).normal(size=(2, 8, 8, 1)).astype(np.float32)
    maps = network.probe().forward(X, ["conv2d1", "maxpool2d1"])
    windows = maps["conv2d1"].reshape(2, 3, 2, 3, 2, 4)
    cases.assert_same_bits(windows.max(axis=(2, 4)), maps["maxpool2d1"])
