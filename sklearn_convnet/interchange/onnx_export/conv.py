"""Convolutions, and dense layers."""

from dataclasses import replace
from math import prod

import numpy as np

from ...network.conv import ConvNode
from ...network.conv_transpose import ConvTransposeNode
from ...network.dense import DenseNode, FlattenNode
from ...network.depthwise import DepthwiseNode
from ...network.node import ViewNode
from ...network.norm import ScaleNode
from ...network.transform_conv import TransformConvNode, TransformPoolNode
from ..folding import ARRAYS, weights_of
from .convert import converts_to_onnx, follows_size


def padding_of(node, pads, graph):
    """The attribute for the padding: its numbers, or the rule "same" where these depend on the size
    of a map, and that is free."""
    if graph.free and follows_size(graph.layers.get(node.path), node.input_shape):
        return {"auto_pad": "SAME_UPPER"}  # the odd row at the end
    return {"pads": [before for before, _ in pads] + [after for _, after in pads]}


def _conv(node, x, graph, weight, bias, stride, pads, dilation, groups):
    """Geometry is that of three axes, of which the last are those of the maps."""
    x, n = graph.channels_first(x), len(x.shape) - 1
    stride, pads, dilation = stride[-n:], pads[-n:], dilation[-n:]
    padding = padding_of(node, pads, graph)
    if "auto_pad" in padding and max(dilation) > 1:
        weight, dilation = spread_taps(weight, dilation), (1,) * n
    constants = [graph.constant(np.moveaxis(weight, (-1, -2), (0, 1)), "weight")]
    if bias is not None:
        constants.append(graph.constant(bias, "bias"))
    return graph.apply(
        "Conv",
        x,
        *constants,
        shape=node.output_shape,
        kernel_shape=weight.shape[:-2],
        strides=stride,
        dilations=dilation,
        group=groups,
        **padding,
    )


def spread_taps(weight, dilation):
    """Dilated filters with the zeros between their taps written out: onnxruntime does not dilate
    filters whose padding is a rule."""
    sizes = [d * (k - 1) + 1 for k, d in zip(weight.shape, dilation, strict=False)]
    spread = np.zeros((*sizes, *weight.shape[-2:]), weight.dtype)
    spread[tuple(slice(None, None, d) for d in dilation)] = weight
    return spread


@converts_to_onnx(ConvNode)
def conv(node, x, graph):
    """Weights (filters, channels / groups, *kernel)."""
    return _conv(node, x, graph, *weights_of(node, graph), *node.geometry)


@converts_to_onnx(DepthwiseNode)
def depthwise(node, x, graph):
    """A group for each map."""
    return _conv(node, x, graph, *weights_of(node, graph), *node.geometry, x.shape[-1])


@converts_to_onnx(TransformConvNode)
def transform_conv(node, x, graph):
    """The bank of filters in all transforms, as they are now."""
    bank, bias = node._bank(ARRAYS), node._bank_bias(ARRAYS)
    bank = bank.reshape(bank.shape[-len(x.shape) - 1 :]).astype(graph.dtype)
    bias = None if bias is None else bias.astype(graph.dtype)
    return _conv(node, x, graph, bank, bias, *node.geometry)


@converts_to_onnx(TransformPoolNode)
def transform_pool(node, x, graph):
    """The maps of one transform after the other, place by place."""
    n = node.input_shape[-1] // node.output_shape[-1]
    if n == 1:
        return x
    parts = graph.node("Split", x.name, n_outputs=n, axis=x.axis, num_outputs=n)
    pooled = graph.node("Max" if node.pool == "max" else "Sum", *parts)
    if node.pool == "mean":
        pooled = graph.node("Mul", pooled, graph.number(1 / n))
    return replace(x, name=pooled, shape=node.output_shape)


@converts_to_onnx(ConvTransposeNode)
def conv_transpose(node, x, graph):
    """Weights (channels, filters / groups, *kernel)."""
    stride, pads, dilation, groups, *_ = node.adjoint
    x, n = graph.channels_first(x), len(x.shape) - 1
    weight, bias = weights_of(node, graph)
    kernel, stride, pads, dilation = weight.shape[:-2], stride[-n:], pads[-n:], dilation[-n:]
    axes = zip(x.shape, node.output_shape, kernel, stride, pads, dilation, strict=False)
    extra = [out - (size - 1) * s - d * (k - 1) - 1 + sum(p) for size, out, k, s, p, d in axes]
    constants = [graph.constant(np.moveaxis(weight, (-2, -1), (0, 1)), "weight")]
    if bias is not None:
        constants.append(graph.constant(bias, "bias"))
    return graph.apply(
        "ConvTranspose",
        x,
        *constants,
        shape=node.output_shape,
        kernel_shape=kernel,
        strides=stride,
        dilations=dilation,
        group=groups,
        output_padding=extra,
        pads=[before for before, _ in pads] + [after for _, after in pads],
    )


@converts_to_onnx(ViewNode, ScaleNode)
def view(node, x, graph):
    """The same numbers, if need be in another shape: what a scale node computes, its moments node
    has written."""
    return graph.reshape(x, node.output_shape)


@converts_to_onnx(FlattenNode)
def flatten(node, x, graph):
    """The channels of a position side by side."""
    return graph.flat(x)


@converts_to_onnx(DenseNode)
def dense(node, x, graph):
    """A product of matrices; the weights are in the order in which maps lie, so that they need not
    be turned."""
    weight, bias = weights_of(node, graph)
    if not x.last:
        *sizes, channels = x.shape
        weight = np.moveaxis(weight.reshape(*sizes, channels, -1), -2, 0).reshape(weight.shape)
    if len(x.shape) > 1:
        x = replace(graph.apply("Flatten", x, shape=(prod(x.shape),), axis=1), last=True)
    op, constants = "MatMul", [graph.constant(weight, "weight")]
    if bias is not None:
        op, constants = "Gemm", [*constants, graph.constant(bias, "bias")]
    return graph.apply(op, x, *constants, shape=node.output_shape)
