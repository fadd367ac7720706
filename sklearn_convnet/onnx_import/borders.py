"""Max pools over maps that go on with their outermost pixels: those of `HeterogeneousMaxPool`."""

import numpy as np

from ..layers.padding import Cropping1D, Cropping2D, Cropping3D
from ..layers.pool import HeterogeneousMaxPool, MaxPool1D, MaxPool2D, MaxPool3D
from ..layers.shapes import per_axis
from .terms import Term

_POOLS = (MaxPool1D, MaxPool2D, MaxPool3D)
_CROPS = (Cropping1D, Cropping2D, Cropping3D)


def centred_pool(edge, *rest):
    """The pool whose windows lie about the positions that they are for, or None.

    Parameters
    ----------
    edge : Term
        Maps with a border.
    *rest : Term
        Less of the border, or nothing, and a max pool.
    """
    if edge.kind != "edge" or rest[-1].kind != "layer" or not isinstance(rest[-1].layer, _POOLS):
        return None
    window = _window([edge, *rest])
    if window is None:
        return None
    layer = HeterogeneousMaxPool([window[0]], stride=window[1])
    return [Term("layer", rest[-1].shape, rest[-1].operator, layer)]


def _window(terms):
    """Window and stride of a pool, if its borders are as `HeterogeneousMaxPool` has them."""
    *before, last = terms
    if last.kind != "layer" or not isinstance(last.layer, _POOLS) or last.layer.padding != "valid":
        return None
    n = len(last.shape) - 1
    window = per_axis(last.layer.pool_size, n, "pool_size")
    stride = last.layer.stride
    stride = window if stride is None else per_axis(stride, n, "stride")
    edge, crop = [(0, 0)] * n, [(0, 0)] * n
    for term in before:
        if term.kind == "edge":
            edge = term.data
        elif term.kind == "layer" and isinstance(term.layer, _CROPS):
            crop = term.layer.borders()
        else:
            return None
    starts = [(step - size) // 2 for step, size in zip(stride, window, strict=True)]
    ends = [max(0, start + size - 1) for start, size in zip(starts, window, strict=True)]
    expected = [(max(0, -start), end) for start, end in zip(starts, ends, strict=True)]
    cut = [(max(0, start), 0) for start in starts]
    right = list(map(tuple, edge)) == expected and list(map(tuple, crop)) == cut
    return (window, stride) if right else None


def pools_side_by_side(block):
    """One pool for groups of channels that are pooled one by one, or the block itself."""
    windows, strides, n = [], set(), len(block.chains)
    for i, (picked, *rest) in enumerate(chain or [None] for chain in block.chains):
        weight = None if picked is None else picked.weights.get("weight")
        if weight is None or getattr(picked.layer, "trainable", True) or not rest:
            return [block]
        if not np.array_equal(weight.reshape(weight.shape[-2:]), _group(weight.shape[-2], i, n)):
            return [block]
        layer = rest[0].layer
        if len(rest) == 1 and isinstance(layer, HeterogeneousMaxPool):
            found = layer.pool_sizes[0], layer.stride
        else:
            found = _window(rest)
        if found is None:
            return [block]
        windows.append(found[0])
        strides.add(found[1])
    if len(strides) > 1:
        return [block]
    layer = HeterogeneousMaxPool(windows, stride=strides.pop())
    return [Term("layer", block.shape, block.operator, layer)]


def _group(n_channels, i, n):
    """The matrix that picks one of `n` equal groups of channels."""
    size = n_channels // n
    return np.eye(n_channels)[:, i * size : (i + 1) * size]
