"""Blocks, and self-attention."""

from dataclasses import replace

import numpy as np

from ...network.attention import NonLocalNode, SelfAttentionNode
from ...network.blocks import DenseBlockNode, OutputsNode, ParallelNode, ResidualNode
from ...network.features import ConcatFeaturesNode
from ...network.gate import GateNode
from ..folding import ARRAYS
from .convert import converter_of, converts_to_onnx, to_chain


@converts_to_onnx(ResidualNode)
def residual(node, x, graph):
    """F(X) + S(X)"""
    body, shortcut = (to_chain(chain, x, graph) for chain in node.chains)
    return graph.apply("Add", body, graph.in_order(shortcut, body.last).name)


def _joined(values, graph):
    """Maps side by side, in the order that most of them have."""
    last = sum(value.last for value in values) * 2 > len(values)
    values = [graph.in_order(value, last) for value in values]
    shape = (*values[0].shape[:-1], sum(value.shape[-1] for value in values))
    name = graph.node("Concat", *(value.name for value in values), axis=values[0].axis)
    return replace(values[0], name=name, shape=shape)


@converts_to_onnx(ParallelNode, OutputsNode)
def parallel(node, x, graph):
    """The outputs of all branches side by side."""
    return _joined([to_chain(chain, x, graph) for chain in node.chains], graph)


@converts_to_onnx(DenseBlockNode)
def dense_block(node, x, graph):
    """Each layer sees all maps before it."""
    for chain in node.chains:
        x = _joined([x, to_chain(chain, x, graph)], graph)
    return x


@converts_to_onnx(ConcatFeaturesNode)
def concat_features(node, x, graph):
    """Maps in a row, and the features of their samples."""
    x = graph.flat(x)
    return graph.apply("Concat", x, graph.features, shape=node.output_shape, axis=1)


@converts_to_onnx(GateNode)
def gate(node, x, graph):
    """X G(X); what has no positions is for all of them."""
    found = to_chain(node.chains[0], x, graph)
    if len(found.shape) == len(x.shape):
        return graph.apply("Mul", x, graph.in_order(found, x.last).name)
    n = len(x.shape) - 1
    axes = np.arange(1, n + 1) if x.last else np.arange(2, n + 2)
    factor = graph.node("Unsqueeze", found.name, graph.constant(axes, "axes"))
    return graph.apply("Mul", x, factor)


@converts_to_onnx(SelfAttentionNode, NonLocalNode)
def attention(node, x, graph):
    """softmax(factor Q K' + bias) V W_o + b_o, with the positions in a row, and X added."""
    x = graph.channels_last(x)
    n_heads, width = node.n_heads, node.inner // node.n_heads

    def in_a_row(value):
        target = graph.constant(np.array([0, -1, value.shape[-1]], np.int64), "shape")
        return graph.node("Reshape", graph.channels_last(value).name, target)

    def projected(name, values):
        weight = graph.number(node.params[name], name=name)
        bias = graph.number(node.params[f"{name}_bias"], name=f"{name}_bias")
        return graph.node("Add", graph.node("MatMul", values, weight), bias)

    split = graph.constant(np.array([0, -1, n_heads, width], np.int64), "shape")

    def heads(name, values, perm):
        return graph.node(
            "Transpose", graph.node("Reshape", projected(name, values), split), perm=perm
        )

    rows = keys = in_a_row(x)
    if getattr(node, "pool", None) is not None:
        keys = in_a_row(converter_of(node.pool)(node.pool, x, graph))
    scores = graph.node(
        "MatMul", heads("query", rows, [0, 2, 1, 3]), heads("key", keys, [0, 2, 3, 1])
    )
    scores = graph.node("Mul", scores, graph.number(node.factor))
    bias = node._position_bias(ARRAYS)
    if bias is not None:
        scores = graph.node("Add", scores, graph.number(bias, name="position"))
    seen = graph.node(
        "MatMul", graph.node("Softmax", scores, axis=-1), heads("value", keys, [0, 2, 1, 3])
    )
    target = graph.constant(np.array([0, -1, node.inner], np.int64), "shape")
    seen = graph.node("Reshape", graph.node("Transpose", seen, perm=[0, 2, 1, 3]), target)
    found = projected("output", seen)
    if node.residual:
        found = graph.node("Add", rows, found)
    return replace(x, name=graph.node("Reshape", found, graph.node("Shape", x.name)))
