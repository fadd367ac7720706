"""Activations, scales and norms, which keep the place of every number."""

import numpy as np

from ...layers.activation import ALPHA
from ...network.activation import ActivationNode
from ...network.dropout import DropoutNode
from ...network.node import IdentityNode
from ...network.norm import (
    LocalResponseNormNode,
    MomentsNode,
    RescaleNode,
    ScaleNode,
    StandardizeNode,
)
from .convert import ARRAYS, converts_to_onnx

#: A larger shift than this is added in float64: what is left of two large numbers is of the order
#: of 1, but would have the rounding errors of the large ones.
NEAR_ZERO = 16

#: Activations that are an operator of their own.
OPERATORS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "softplus": "Softplus"}


@converts_to_onnx(IdentityNode, DropoutNode, ScaleNode)
def identity(node, x, graph):
    """Nothing is computed: the map of a scale node is in its moments node."""
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
