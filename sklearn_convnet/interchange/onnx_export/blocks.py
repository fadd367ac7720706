"""Blocks, and self-attention."""

from dataclasses import replace

import numpy as np

from ...network.attention import SelfAttentionNode, spread
from ...network.blocks import DenseBlockNode, OutputsNode, ParallelNode, ResidualNode
from .convert import converts_to_onnx, to_chain


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


@converts_to_onnx(SelfAttentionNode)
def self_attention(node, x, graph):
    """X + softmax(Q K' / sqrt(d) + bias) V W_o + b_o, with the positions in a row."""
    length, n_heads, width = node.heads
    x = graph.channels_last(x)
    channels = x.shape[-1]
    row = graph.constant(np.array([0, -1, channels], np.int64), "shape")
    rows = x.name if len(x.shape) == 2 else graph.node("Reshape", x.name, row)

    def projected(name, values):
        weight = graph.number(node.params[name], name=name)
        bias = graph.number(node.params[f"{name}_bias"], name=f"{name}_bias")
        return graph.node("Add", graph.node("MatMul", values, weight), bias)

    split = graph.constant(np.array([0, -1, n_heads, width], np.int64), "shape")

    def head(name, perm):
        heads = graph.node("Reshape", projected(name, rows), split)
        return graph.node("Transpose", heads, perm=perm)

    scores = graph.node("MatMul", head("query", [0, 2, 1, 3]), head("key", [0, 2, 3, 1]))
    scores = graph.node("Mul", scores, graph.number(width**-0.5))
    if node.offsets is not None:
        bias = np.empty((n_heads, length, length))
        spread(node.params["position"], node.offsets, bias)
        scores = graph.node("Add", scores, graph.number(bias, name="position"))
    shares = graph.node("Softmax", scores, axis=-1)
    seen = graph.node("MatMul", shares, head("value", [0, 2, 1, 3]))
    seen = graph.node("Reshape", graph.node("Transpose", seen, perm=[0, 2, 1, 3]), row)
    found = projected("output", seen)
    if node.residual:
        found = graph.node("Add", rows, found)
    if len(x.shape) > 2:
        if graph.free:
            shape = graph.node("Shape", x.name)
        else:
            shape = graph.constant(np.array([0, *x.shape], np.int64), "shape")
        found = graph.node("Reshape", found, shape)
    return replace(x, name=found)
