"""ONNX models of all layers: what a network computes, they compute."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import layer_cases as cases
import numpy as np
import onnx
import pytest
from onnx_runs import (
    assert_close,
    assert_same_at_other_sizes,
    assert_same_output,
    input_shape,
    run,
    shake,
)
from random_networks import random_network

from sklearn_convnet.interchange import to_onnx
from sklearn_convnet.interchange.onnx_export import convert
from sklearn_convnet.interchange.onnx_export.write import MIN_OPSET
from sklearn_convnet.layers import (
    Activation,
    AvgPool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Cropping2D,
    Dense,
    DenseBlock,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    Gate,
    GlobalAvgPool,
    GroupNorm,
    HeterogeneousMaxPool,
    LayerNorm,
    LayerScale,
    LocalResponseNorm,
    Maxout,
    MaxPool2D,
    NonLocal,
    Parallel,
    PositionEmbedding,
    Residual,
    SelfAttention,
    Sequential,
    SqueezeExcite,
    Standardize,
    TransformConv2D,
    Upsample2D,
    ZeroPadding2D,
)
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.auxiliary import SideBySideNode
from sklearn_convnet.network.node import Node


def operators(model):
    return [node.op_type for node in model.graph.node]


def batch(*shape, dtype="float32"):
    return np.random.RandomState(0).normal(size=shape).astype(dtype)


# ---------------------------------------------------------------------------
# All layers
# ---------------------------------------------------------------------------


def all_subclasses(kind):
    for one in kind.__subclasses__():
        yield one
        yield from all_subclasses(one)


def test_every_node_has_a_converter():
    """Those that nodes are made of; a new layer needs one in `interchange/onnx_export`."""
    nodes = {kind for kind in all_subclasses(Node) if not kind.__name__.startswith("_")}
    nodes = {kind for kind in nodes if kind.__module__.startswith("sklearn_convnet.")}
    nodes -= {SideBySideNode}  # the last of training, of which ONNX knows nothing
    assert len(nodes) > 20
    known = convert._CONVERTERS
    assert not {kind for kind in nodes if not any(base in known for base in kind.__mro__)}


@cases.every_case
@cases.every_dtype
def test_same_output(case, dtype):
    network = case.network(dtype=dtype)
    assert_same_output(network, case.batch(3, 0).astype(dtype))


@pytest.mark.parametrize("seed", range(25))
def test_networks_of_random_layers(seed):
    layers, shape = random_network(seed)
    dtype = ("float32", "float64")[seed % 2]
    network = compile_network(layers, shape, dtype=dtype, random_state=seed)
    model = assert_same_output(network, batch(3, *shape, dtype=dtype))
    if isinstance(input_shape(model)[1], str):
        sizes = [[size + more for size in shape[:-1]] for more in range(1, 6)]
        assert_same_at_other_sizes(network, model, sizes)


@pytest.mark.parametrize("name", cases.ACTIVATIONS)
@pytest.mark.parametrize("opset", [MIN_OPSET, onnx.defs.onnx_opset_version()])
def test_activations_of_both_versions(name, opset):
    network = compile_network([Conv1D(3, 2, activation=name)], (6, 2))
    X = 3 * batch(5, 6, 2)
    shake(network)
    model = to_onnx(network, opset=opset)
    assert model.opset_import[0].version == opset
    onnx.checker.check_model(model, full_check=True)
    if opset == MIN_OPSET:
        assert_close(run(model, X)["output"], network.forward(X))


def test_layers_that_do_nothing_at_a_prediction():
    layers = [Conv2D(4, 3), Dropout(), Sequential([]), Activation(None), MaxPool2D(2), Flatten()]
    model = assert_same_output(compile_network(layers, (8, 8, 2)), batch(2, 8, 8, 2))
    assert operators(model) == ["Transpose", "Conv", "Relu", "MaxPool", "Transpose", "Reshape"]


def test_dense_weights_are_turned_instead_of_maps():
    network = compile_network([Conv2D(3, 2), Dense(4, activation=None)], (5, 4, 2))
    model = assert_same_output(network, batch(2, 5, 4, 2))
    assert operators(model) == ["Transpose", "Conv", "Relu", "Flatten", "Gemm"]


def test_maps_are_turned_once():
    """Both branches need the channels first."""
    layers = [Parallel([Conv2D(2, 1), Conv2D(3, 1)]), Residual([Conv2D(5, 1)]), GlobalAvgPool()]
    model = assert_same_output(compile_network(layers, (4, 5, 3)), batch(2, 4, 5, 3))
    assert operators(model).count("Transpose") == 1


def test_names_are_paths():
    layers = [("stem", Conv2D(2, 3)), ("block", Residual([("conv", Conv2D(2, 1))]))]
    model = to_onnx(compile_network(layers, (6, 6, 1)))
    assert {"stem/weight", "stem/bias", "block/conv/weight"} <= {
        tensor.name for tensor in model.graph.initializer
    }
    assert {"stem/Conv", "stem/activation/Relu", "block/Add"} <= {n.name for n in model.graph.node}


def test_a_layer_that_onnx_does_not_know():
    class Other(Activation):
        pass

    class OtherNode(Node):
        def __init__(self, layer, path, input_shape):
            super().__init__(path, input_shape, input_shape)

    from sklearn_convnet.network.node import _NODES

    _NODES[Other] = OtherNode
    try:
        network = compile_network([("other", Other("relu"))], (4,))
        with pytest.raises(NotImplementedError, match="layer 'other': OtherNode has no form"):
            to_onnx(network)
    finally:
        del _NODES[Other]


def test_an_activation_that_onnx_does_not_know():
    network = compile_network([("first", Activation("relu"))], (4,))
    network.nodes[0].activation = "cosine"
    with pytest.raises(NotImplementedError, match=r"layer 'first': activation='cosine' has no"):
        to_onnx(network)


# ---------------------------------------------------------------------------
# Batch norms
# ---------------------------------------------------------------------------

NORMED = {
    "conv": ([Conv2D(4, 3, activation=None), BatchNorm()], (6, 5, 2)),
    "no-bias": ([Conv2D(4, 3, activation=None, use_bias=False), BatchNorm()], (6, 5, 2)),
    "depthwise": ([DepthwiseConv2D(2, multiplier=2, activation=None), BatchNorm()], (6, 5, 2)),
    "dense": ([Dense(4, activation=None), BatchNorm()], (6,)),
    "dense-of-maps": ([Dense(4, activation=None), BatchNorm()], (3, 4, 2)),
    "block": (
        [Residual([Conv2D(3, 3, stride=2, padding="same", activation=None), BatchNorm()])],
        (6, 6, 2),
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NORMED)
def test_batch_norms_in_weights(name, dtype):
    layers, shape = NORMED[name]
    network = compile_network([*layers, Activation("tanh")], shape, dtype=dtype)
    X = batch(3, *shape, dtype=dtype)
    folded = operators(assert_same_output(network, X))
    apart = operators(assert_same_output(network, X, fold_batch_norms=False))
    n = apart.count("BatchNormalization")
    assert n >= 1
    assert "BatchNormalization" not in folded
    assert len(folded) == len(apart) - n


def test_a_batch_norm_behind_an_activation_stays():
    layers = [Conv2D(4, 3), BatchNorm()]
    model = assert_same_output(compile_network(layers, (6, 5, 2)), batch(3, 6, 5, 2))
    assert "BatchNormalization" in operators(model)


def test_weights_are_those_of_now():
    network = compile_network([Conv2D(2, 2, activation=None), BatchNorm()], (4, 4, 1))
    first = to_onnx(network)
    X = batch(2, 4, 4, 1)
    before = network.forward(X).copy()
    assert_same_output(network, X)
    assert_close(run(first, X)["output"], before)


# ---------------------------------------------------------------------------
# Sizes
# ---------------------------------------------------------------------------

ANY_SIZE = {
    "same": [Conv2D(3, 3, padding="same", stride=2), MaxPool2D(3, 2, "same"), GlobalAvgPool()],
    "dilated": [Conv2D(3, 3, padding="same", stride=3, dilation=(2, 1))],
    "depthwise": [DepthwiseConv2D(3, stride=2, padding="same", dilation=2)],
    "mean": [AvgPool2D(3, 2, "same"), AvgPool2D(1, 2, "same")],
    "attention": [SelfAttention(), Conv2D(2, 1)],
    "heterogeneous": [HeterogeneousMaxPool([1, (3, 2)], stride=(3, 2))],
    "transforms": [TransformConv2D(2, 3, transforms="p4m", pool="mean", stride=2, padding="same")],
    "expanding": [ConvTranspose2D(2, 3, stride=2, padding="same"), Upsample2D(2, "bilinear")],
    "norms": [Standardize(), BatchNorm(), LocalResponseNorm(2), Activation("softmax")],
    "norms of a sample": [GroupNorm(2), LayerNorm(), LayerScale(0.5)],
    "gates": [SqueezeExcite(2), Gate([Conv2D(2, 1, activation="logistic")])],
    "pooled keys": [NonLocal(pool_size=2)],
    "borders": [ZeroPadding2D(((1, 2), (0, 1))), Cropping2D(((0, 1), (2, 0)))],
    "pieces": [Conv2D(4, 1, activation=None), Maxout(2)],
    "blocks": [
        Residual([Conv2D(2, 3, padding="same")]),
        Parallel([Conv2D(2, 1), "passthrough"]),
        DenseBlock([Conv2D(2, 3, padding="same")]),
    ],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ANY_SIZE)
def test_samples_of_any_size(name, dtype):
    network = compile_network(ANY_SIZE[name], (8, 6, 2), dtype=dtype)
    model = assert_same_output(network, batch(3, 8, 6, 2, dtype=dtype))
    assert input_shape(model) == ["n_samples", "height", "width", 2]
    assert_same_at_other_sizes(network, model, [(7, 7), (13, 22), (17, 9)])


@pytest.mark.parametrize(
    "layers",
    [
        [Dense(3)],
        [Flatten()],
        [Standardize(per="value")],
        [SelfAttention(relative_position=True)],
        # A shortcut whose stride follows from the sizes.
        [Residual([Conv2D(4, 1, stride=(3, 1))])],
        # Numbers for each position, and maps of transforms as an axis of their own.
        [PositionEmbedding("sinusoidal"), Conv2D(2, 1)],
        [BatchNorm(n_transforms=2)],
        # The padding at the end is 1 or none, and onnxruntime may take it for -1.
        [AvgPool2D((2, 3), stride=(4, 1), padding="same")],
    ],
    ids=[
        "dense",
        "flatten",
        "standardize",
        "positions",
        "shortcut",
        "sinusoids",
        "transforms",
        "far-apart",
    ],
)
def test_samples_of_one_size(layers):
    model = assert_same_output(compile_network(layers, (4, 6, 4)), batch(3, 4, 6, 4))
    assert input_shape(model) == ["n_samples", 4, 6, 4]


def test_one_sample_and_many():
    network = compile_network([Conv1D(3, 3), GlobalAvgPool()], (9, 2))
    model = assert_same_output(network, batch(1, 9, 2))
    assert len(run(model, batch(7, 9, 2))["output"]) == 7


def test_networks_take_both_orders():
    network = compile_network([Conv2D(3, 2), Dense(2)], (5, 4, 2))
    X = batch(3, 5, 4, 2)
    expected = network.forward(X)
    assert_close(run(to_onnx(network), X)["output"], expected)
    first = to_onnx(network, layout="channels_first")
    assert input_shape(first) == ["n_samples", 2, 5, 4]
    assert "Transpose" not in operators(first)
    assert_close(run(first, np.ascontiguousarray(X.transpose(0, 3, 1, 2)))["output"], expected)
    flat = to_onnx(network, layout="flat")
    assert input_shape(flat) == ["n_samples", 40]
    assert_close(run(flat, X.reshape(3, -1))["output"], expected)
