"""Pools, and enlarging."""

from dataclasses import replace
from math import prod

import numpy as np

from ...network.padding import CroppingNode, ZeroPaddingNode
from ...network.pool import (
    AvgPoolNode,
    GlobalAvgPoolNode,
    GlobalMaxPoolNode,
    HeterogeneousMaxPoolNode,
    LpPoolNode,
    MaxPoolNode,
)
from ...network.upsample import UpsampleNode
from .conv import padding_of
from .convert import converts_to_onnx


def _pool(op, node, x, graph, **attributes):
    """A pool with windows; geometry is that of three axes."""
    x, n = graph.channels_first(x), len(x.shape) - 1
    window, stride, pads, *_ = (part[-n:] for part in node.geometry[:3])
    return graph.apply(
        op,
        x,
        shape=node.output_shape,
        kernel_shape=window,
        strides=stride,
        **padding_of(node, pads, graph),
        **attributes,
    )


@converts_to_onnx(MaxPoolNode)
def max_pool(node, x, graph):
    """Padding is minus infinity in ONNX as well."""
    return _pool("MaxPool", node, x, graph)


@converts_to_onnx(AvgPoolNode)
def avg_pool(node, x, graph):
    """The mean over true pixels."""
    return _pool("AveragePool", node, x, graph, count_include_pad=0)


@converts_to_onnx(LpPoolNode)
def lp_pool(node, x, graph):
    """(sum |x|^p)^(1/p), where LpPool has whole numbers for p alone."""
    *geometry, p = node.geometry
    x = graph.apply("Abs", x)
    if p != 1:
        x = graph.apply("Pow", x, graph.number(p))
    x = _pool("AveragePool", node, x, graph)
    x = graph.apply("Mul", x, graph.number(prod(geometry[0])))
    return x if p == 1 else graph.apply("Pow", x, graph.number(1 / p))


@converts_to_onnx(HeterogeneousMaxPoolNode)
def heterogeneous_max_pool(node, x, graph):
    """A max pool for each group. What lies beyond the border is filled with the nearest pixel: that
    changes no maximum of a clipped window, and is the result where nothing of a window is left."""
    sizes, strides = node.geometry
    x = graph.channels_first(x)
    n, n_groups = len(x.shape) - 1, len(sizes)
    parts = [x.name]
    if n_groups > 1:
        parts = graph.node("Split", x.name, n_outputs=n_groups, axis=1, num_outputs=n_groups)
    pooled = []
    for part, window in zip(parts, np.asarray(sizes)[:, -n:].tolist(), strict=True):
        # The first window begins at `start`; with so many pixels behind, the last of ceil(size /
        # stride) is whole, and there is no room for one more.
        starts = [(step - size) // 2 for step, size in zip(strides[-n:], window, strict=True)]
        before = [max(0, -start) for start in starts]
        after = [max(0, start + size - 1) for start, size in zip(starts, window, strict=True)]
        pads = graph.constant(np.array([0, 0, *before, 0, 0, *after], np.int64), "pads")
        part = graph.node("Pad", part, pads, mode="edge")
        if max(starts) > 0:
            begin = [max(0, start) for start in starts]
            ends, axes = [np.iinfo(np.int64).max] * n, range(2, n + 2)
            limits = (graph.constant(np.array(a, np.int64), "limits") for a in (begin, ends, axes))
            part = graph.node("Slice", part, *limits)
        pooled.append(graph.node("MaxPool", part, kernel_shape=window, strides=strides[-n:]))
    name = graph.node("Concat", *pooled, axis=1) if n_groups > 1 else pooled[0]
    return replace(x, name=name, shape=node.output_shape)


def _global(op, node, x, graph):
    axes = range(1, len(x.shape)) if x.last else range(2, len(x.shape) + 1)
    axes = graph.constant(np.array(axes, np.int64), "axes")
    return replace(graph.apply(op, x, axes, shape=node.output_shape, keepdims=0), last=True)


@converts_to_onnx(GlobalMaxPoolNode)
def global_max_pool(node, x, graph):
    """The maximum over all axes but the channels."""
    return _global("ReduceMax", node, x, graph)


@converts_to_onnx(GlobalAvgPoolNode)
def global_avg_pool(node, x, graph):
    """The mean over all axes but the channels."""
    return _global("ReduceMean", node, x, graph)


def _borders(node, large):
    """Widths of the borders of a map of this shape, before and after each axis."""
    inside = node.inside[1:]
    before = [part.start for part in inside]
    return before, [size - part.stop for part, size in zip(inside, large, strict=False)]


@converts_to_onnx(ZeroPaddingNode)
def zero_padding(node, x, graph):
    """Zeros around maps."""
    before, after = _borders(node, node.output_shape)
    pads = graph.constant(np.array([0, 0, *before, 0, 0, *after], np.int64), "pads")
    return graph.apply("Pad", graph.channels_first(x), pads, shape=node.output_shape)


@converts_to_onnx(CroppingNode)
def cropping(node, x, graph):
    """Maps without their borders."""
    before, after = _borders(node, node.input_shape)
    ends = [-width if width else np.iinfo(np.int64).max for width in after]
    limits = (before, ends, range(2, len(before) + 2))
    limits = (graph.constant(np.array(one, np.int64), "limits") for one in limits)
    return graph.apply("Slice", graph.channels_first(x), *limits, shape=node.output_shape)


@converts_to_onnx(UpsampleNode)
def upsample(node, x, graph):
    """Pixels are repeated, or mixed by the distance of pixel centres."""
    x = graph.channels_first(x)
    axes = zip(node.output_shape[:-1], x.shape[:-1], strict=True)
    factors = np.array([1, 1, *(out // size for out, size in axes)], np.float32)
    how = dict(mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    if node.linear:
        how = dict(mode="linear", coordinate_transformation_mode="half_pixel")
    no_part = graph.constant(np.zeros(0, np.float32), "roi")
    scales = graph.constant(factors, "scales")
    return graph.apply("Resize", x, no_part, scales, shape=node.output_shape, **how)
