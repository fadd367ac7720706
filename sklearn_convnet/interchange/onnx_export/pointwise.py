"""Activations, scales and norms, which keep the place of every number."""

from dataclasses import replace

import numpy as np

from ...layers.activation import ALPHA
from ...network.activation import ActivationNode
from ...network.auxiliary import AuxiliaryHeadNode
from ...network.dropout import DropoutNode
from ...network.group_norm import GroupNormNode, LayerNormNode
from ...network.layer_scale import LayerScaleNode
from ...network.maxout import MaxoutNode
from ...network.node import IdentityNode
from ...network.norm import (
    LocalResponseNormNode,
    MomentsNode,
    RescaleNode,
    StandardizeNode,
)
from ...network.position import PositionNode
from ..folding import ARRAYS
from .convert import converts_to_onnx

#: A larger shift than this is added in float64: what is left of two large numbers is of the order
#: of 1, but would have the rounding errors of the large ones.
NEAR_ZERO = 16

#: Activations that are an operator of their own.
OPERATORS = {
    "relu": "Relu",
    "tanh": "Tanh",
    "logistic": "Sigmoid",
    "softplus": "Softplus",
    "softsign": "Softsign",
}


@converts_to_onnx(IdentityNode, DropoutNode, AuxiliaryHeadNode)
def identity(node, x, graph):
    """Nothing is computed at a prediction."""
    return x


@converts_to_onnx(ActivationNode)
def activation(node, x, graph):
    """f(X) for each number, or over the channels."""
    name, alpha = node.activation, node.alpha
    if name in OPERATORS:
        return graph.apply(OPERATORS[name], x)
    if name == "softmax":
        return graph.apply("Softmax", x, axis=x.axis)
    if name == "gelu":
        return _gelu(x, graph)
    if name == "silu":
        return graph.apply("Mul", x, graph.node("Sigmoid", x.name))
    if name == "relu6":
        return graph.apply("Clip", x, graph.number(0), graph.number(6))
    if name in ("hard_logistic", "hard_swish"):
        share = _hard_logistic(x, graph)
        return share if name == "hard_logistic" else graph.apply("Mul", x, share.name)
    if name in ALPHA:
        return _with_alpha(name, alpha, x, graph)
    raise NotImplementedError(f"layer {node.path!r}: activation={name!r} has no form in ONNX here")


def _gelu(x, graph):
    """x Phi(x); an operator of its own from version 20 on."""
    if graph.opset >= 20:
        return graph.apply("Gelu", x, approximate="none")
    erf = graph.node("Erf", graph.node("Mul", x.name, graph.number(0.5**0.5)))
    share = graph.node("Mul", graph.node("Add", erf, graph.number(1)), graph.number(0.5))
    return graph.apply("Mul", x, share)


def _hard_logistic(x, graph):
    """max(0, min(1, x / 6 + 1 / 2)). The attributes of HardSigmoid would be in float32."""
    line = graph.apply("Add", graph.apply("Mul", x, graph.number(1 / 6)), graph.number(0.5))
    return graph.apply("Clip", line, graph.number(0), graph.number(1))


def _with_alpha(name, alpha, x, graph):
    """An activation whose negative part has a factor. Attributes are in float32."""
    op = {"leaky_relu": "LeakyRelu", "elu": "Elu"}[name]
    if float(np.float32(alpha)) == alpha or graph.dtype == np.float32:
        return graph.apply(op, x, alpha=alpha)
    negative = graph.node("Min", x.name, graph.number(0))
    if name == "elu":
        negative = graph.node("Elu", negative)
    negative = graph.node("Mul", negative, graph.number(alpha))
    return graph.apply("Add", graph.apply("Relu", x), negative)


# --- scales --------------------------------------------------------------------------------------


@converts_to_onnx(RescaleNode, StandardizeNode)
def affine(node, x, graph):
    """X scale + shift; (X - centre) scale + shift where a network sees X in float64."""
    if x.dtype != graph.dtype:
        x = _steps(zip(("Sub", "Mul", "Add"), node.centred(ARRAYS), strict=True), x, graph)
        return x if node.keeps_wide else graph.cast(x, graph.dtype)
    scale, shift = node.affine(ARRAYS)
    if (np.abs(shift) > NEAR_ZERO).any():
        x = graph.cast(x, np.float64)
    return graph.cast(_steps([("Mul", scale), ("Add", shift)], x, graph), graph.dtype)


def _steps(steps, x, graph):
    """Sums and products with a number for each channel or value, without those that change none."""
    for op, values in steps:
        if (values != (op == "Mul")).any():
            x = graph.apply(op, x, _columns(values, x, graph))
    return x


def _columns(values, x, graph):
    """A constant for each channel, or for each value of a sample; one for all if they are equal."""
    if (values == values[0]).all():
        return graph.number(values[0], x.dtype)
    if len(values) == x.shape[-1]:
        return graph.per_channel(values, x)
    values = values.reshape(x.shape).astype(x.dtype)
    return graph.constant(values if x.last else np.moveaxis(values, -1, 0))


@converts_to_onnx(MomentsNode)
def batch_norm(node, x, graph):
    """By the running statistics. Epsilon is added here: as an attribute it would be in float32."""
    x = graph.channels_first(x)
    variance = node.state["variance"] + node.epsilon
    arrays = {**node.params, "mean": node.state["mean"], "variance": variance}
    constants = [
        graph.constant(arrays[name].astype(graph.dtype), name)
        for name in ("scale", "offset", "mean", "variance")
    ]
    return graph.apply("BatchNormalization", x, *constants, epsilon=0.0)


def _standardized(name, axis, epsilon, graph):
    """(X - mean) / sqrt(variance + epsilon), mean and variance being over an axis."""
    axes = graph.constant(np.array([axis], np.int64), "axes")
    centred = graph.node("Sub", name, graph.node("ReduceMean", name, axes))
    variance = graph.node("ReduceMean", graph.node("Mul", centred, centred), axes)
    deviation = graph.node("Sqrt", graph.node("Add", variance, graph.number(epsilon)))
    return graph.node("Div", centred, deviation)


def _scaled(node, x, graph):
    """The scale and offset that a norm has learnt."""
    x = graph.apply("Mul", x, graph.per_channel(node.params["scale"], x, "scale"))
    return graph.apply("Add", x, graph.per_channel(node.params["offset"], x, "offset"))


@converts_to_onnx(LayerNormNode)
def layer_norm(node, x, graph):
    """Over the channels of a position."""
    x = graph.channels_last(x)
    x = replace(x, name=_standardized(x.name, -1, node.epsilon, graph))
    return _scaled(node, x, graph)


@converts_to_onnx(GroupNormNode)
def group_norm(node, x, graph):
    """Over all positions of a group of channels, which lie in a row if the channels are first."""
    x = graph.channels_first(x)
    target = graph.constant(np.array([0, node.n_groups, -1], np.int64), "shape")
    groups = _standardized(graph.node("Reshape", x.name, target), 2, node.epsilon, graph)
    x = replace(x, name=graph.node("Reshape", groups, graph.node("Shape", x.name)))
    return _scaled(node, x, graph)


@converts_to_onnx(LayerScaleNode)
def layer_scale(node, x, graph):
    """X scale"""
    return graph.apply("Mul", x, graph.per_channel(node.params["scale"], x, "scale"))


@converts_to_onnx(PositionNode)
def position(node, x, graph):
    """X + position, for maps of one size."""
    table = node.params["position"] if node.one_size else node.table
    table = table if x.last else np.moveaxis(table, -1, 0)
    return graph.apply("Add", x, graph.number(table, name="position"))


@converts_to_onnx(MaxoutNode)
def maxout(node, x, graph):
    """The maximum of neighbouring channels."""
    parts = []
    for first in range(node.n_pieces):
        limits = ([first], [np.iinfo(np.int64).max], [x.axis], [node.n_pieces])
        constants = (graph.constant(np.array(one, np.int64), "limits") for one in limits)
        parts.append(graph.node("Slice", x.name, *constants))
    return replace(x, name=graph.node("Max", *parts), shape=node.output_shape)


@converts_to_onnx(LocalResponseNormNode)
def response_norm(node, x, graph):
    """X / (bias + alpha / size sum X^2)^beta. The sum is a product with a matrix of ones and zeros:
    LRN has the larger half of an even number behind a channel, its constants in float32, and in
    onnxruntime images alone."""
    size, alpha, beta, bias = node.constants
    if size % 2 and graph.dtype == np.float32 and len(x.shape) == 3:
        x = graph.channels_first(x)
        return graph.apply("LRN", x, size=size, alpha=alpha, beta=beta, bias=bias)
    x = graph.channels_last(x)
    channel = np.arange(x.shape[-1])
    offset = channel[:, None] - channel  # of a channel in the sum from that in the middle
    near = (offset >= -(size // 2)) & (offset <= (size - 1) // 2)
    squares = graph.node("Mul", x.name, x.name)
    total = graph.node("MatMul", squares, graph.number(near * (alpha / size)))
    power = graph.node("Pow", graph.node("Add", total, graph.number(bias)), graph.number(beta))
    return graph.apply("Div", x, power)
