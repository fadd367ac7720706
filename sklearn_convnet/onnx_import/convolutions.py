"""Convolutions, and products with matrices."""

from math import prod

import numpy as np

from ..layers.conv import CONV
from ..layers.conv_transpose import ConvTranspose1D, ConvTranspose2D, ConvTranspose3D
from ..layers.dense import Dense
from ..layers.depthwise import DEPTHWISE
from ..layers.shapes import window_padding
from .attention import product
from .model import UnreadableError
from .reader import reads
from .steps import Value
from .views import CHANNELS, View, whole

#: Of 64 to 512, the quickest with 25088 inputs and 4096 units.
_UNITS_AT_A_TIME = 128

CONV_TRANSPOSE = {1: ConvTranspose1D, 2: ConvTranspose2D, 3: ConvTranspose3D}


def plain(values):
    """One number where they are all equal, else a tuple."""
    values = tuple(int(value) for value in values)
    return values[0] if len(set(values)) == 1 else values


def pads_of(operator, sizes, extents, strides):
    """A (before, after) pair for each axis."""
    n, rule = len(sizes), operator.get("auto_pad", "NOTSET")
    if rule in ("NOTSET", ""):
        pads = operator.get("pads", [0] * 2 * n)
        return list(zip(pads[:n], pads[n:], strict=True))
    if rule == "VALID":
        return [(0, 0)] * n
    pads = []
    for size, extent, stride in zip(sizes, extents, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + extent - size, 0)
        small, large = total // 2, total - total // 2
        pads.append((small, large) if rule == "SAME_UPPER" else (large, small))
    return pads


def padding_parameter(operator, pads, sizes, extents, strides):
    """The shortest `padding` that means these pairs."""
    if any(number < 0 for pair in pads for number in pair):
        raise UnreadableError(operator, f"its pads {pads} are negative: crop the maps before it")
    pads = tuple((int(before), int(after)) for before, after in pads)
    if not any(map(sum, pads)):
        return "valid"
    if pads == tuple(window_padding("same", sizes, extents, strides)):
        return "same"
    if len({number for pair in pads for number in pair}) == 1:
        return pads[0][0]
    return pads


@reads("Conv")
def conv(reader, operator):
    """Weights (filters, channels / groups, *kernel)."""
    weight, bias = reader.constant(operator, 1), reader.constant(operator, 2)
    kernel, groups = weight.shape[2:], operator.get("group", 1)
    n = len(kernel)
    value = reader.value(operator)
    if not any(value.view.groups[2:]) and len(value.step.shape) != n + 1:
        return _conv_of_one_position(reader, operator, value, weight, bias, groups)
    order = value.view.order(1, value.step.shape[-1])
    shuffled = groups == 1 and order is not None and (np.diff(order) != 1).any()
    if shuffled:  # the filters are, and the maps need not be
        value = Value(value.step, reader.with_channels(value.view, 1, len(order)), value.dtype)
        weight = weight[:, np.argsort(order)]
    value = reader.first(operator, value)
    *sizes, channels = value.step.shape
    if len(sizes) != n:
        raise UnreadableError(
            operator, f"it is for maps of {n} axes, but its input has {len(sizes)}"
        )
    strides = operator.get("strides", [1] * n)
    dilations = operator.get("dilations", [1] * n)
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = pads_of(operator, sizes, extents, strides)
    common = dict(
        stride=plain(strides),
        padding=padding_parameter(operator, pads, sizes, extents, strides),
        dilation=plain(dilations),
        activation=None,
        use_bias=bias is not None,
    )
    if groups == channels > 1:
        multiplier = len(weight) // channels
        weight = weight.reshape(channels, multiplier, *kernel)
        layer = DEPTHWISE[n](plain(kernel), multiplier=multiplier, **common)
        weight = np.moveaxis(weight, (0, 1), (-2, -1))
    else:
        layer = CONV[n](len(weight), plain(kernel), groups=groups, **common)
        weight = np.moveaxis(weight, (0, 1), (-1, -2))
    return reader.layer(operator, value, layer, _weights(weight, bias))


def _weights(weight, bias):
    return {"weight": weight} if bias is None else {"weight": weight, "bias": bias}


def _conv_of_one_position(reader, operator, value, weight, bias, groups):
    """A convolution of what is a single number for each channel: a dense layer."""
    kernel = weight.shape[2:]
    n = len(kernel)
    strides = operator.get("strides", [1] * n)
    pads = pads_of(operator, [1] * n, kernel, strides)
    outputs = [
        (1 + sum(pair) - k) // stride + 1
        for pair, k, stride in zip(pads, kernel, strides, strict=True)
    ]
    if groups != 1 or set(outputs) != {1} or max(operator.get("dilations", [1])) > 1:
        raise UnreadableError(operator, "its maps have one position, and it makes more of it")
    taps = tuple(before for before, _ in pads)
    matrix = weight[(slice(None), slice(None), *taps)].T
    return dense_on(reader, operator, value, 1, matrix, bias)


@reads("ConvTranspose")
def conv_transpose(reader, operator):
    """Weights (channels, filters / groups, *kernel)."""
    weight, bias = reader.constant(operator, 1), reader.constant(operator, 2)
    value = reader.first(operator, reader.value(operator))
    kernel, groups = weight.shape[2:], operator.get("group", 1)
    n, sizes = len(kernel), value.step.shape[:-1]
    if "output_shape" in operator.attributes:
        raise UnreadableError(operator, "its attribute output_shape is not read: give pads")
    strides = operator.get("strides", [1] * n)
    dilations = operator.get("dilations", [1] * n)
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    extra = operator.get("output_padding", [0] * n)
    rule = operator.get("auto_pad", "NOTSET")
    if rule.startswith("SAME"):
        axes = zip(extents, strides, extra, strict=True)
        totals = [max(extent + more - stride, 0) for extent, stride, more in axes]
        pads = [
            (t // 2, t - t // 2) if rule == "SAME_UPPER" else (t - t // 2, t // 2) for t in totals
        ]
    else:
        pads = pads_of(operator, sizes, extents, strides)
    filters = weight.shape[1] * groups
    layer = CONV_TRANSPOSE[n](
        filters,
        plain(kernel),
        stride=plain(strides),
        padding=_transposed_padding(operator, pads),
        output_padding=plain(extra),
        dilation=plain(dilations),
        groups=groups,
        activation=None,
        use_bias=bias is not None,
    )
    return reader.layer(
        operator, value, layer, _weights(np.moveaxis(weight, (0, 1), (-2, -1)), bias)
    )


def _transposed_padding(operator, pads):
    pads = tuple((int(before), int(after)) for before, after in pads)
    if any(number < 0 for pair in pads for number in pair):
        raise UnreadableError(operator, f"its pads {pads} are negative")
    if len({number for pair in pads for number in pair}) == 1:
        return pads[0][0] or "valid"
    return pads


@reads("Gemm")
def gemm(reader, operator):
    """alpha A B + beta C"""
    value, weight = reader.value(operator), reader.constant(operator, 1)
    if operator.get("transA", 0):
        raise UnreadableError(operator, "its attribute transA mixes samples")
    weight = weight.T if operator.get("transB", 0) else weight
    alpha = operator.get("alpha", 1.0)
    weight = weight if alpha == 1 else weight * np.asarray(alpha, weight.dtype)
    bias = reader.constant(operator, 2)
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1), weight.shape[1:])
        bias = bias * np.asarray(operator.get("beta", 1.0), bias.dtype)
    return dense_on(reader, operator, value, value.view.ndim - 1, weight, bias)


@reads("MatMul")
def matmul(reader, operator):
    """The last axis of maps, or of samples in a row, times a matrix."""
    value, weight = reader.given(operator, 0), reader.given(operator, 1)
    if isinstance(value, Value) and isinstance(weight, Value):
        return product(reader, operator, value, weight)
    if not isinstance(value, Value) or weight.ndim != 2:
        raise UnreadableError(
            operator, "only products of a value and a constant matrix are layers here"
        )
    return dense_on(reader, operator, value, value.view.ndim - 1, weight, None)


def dense_on(reader, operator, value, i, weight, bias):
    """Axis `i` of a value times a matrix (inputs, units)."""
    units = weight.shape[1]
    view, shape = value.view, value.step.shape
    if view.shape[i] != len(weight):
        raise UnreadableError(operator, f"its input has {view.shape[i]} columns, not {len(weight)}")
    others = set().union(*(view.axes(k) for k in range(1, view.ndim) if k != i))
    how = dict(use_bias=bias is not None)
    has_positions = len(shape) > 1 and view.ndim == len(shape) + 1
    if not others and not has_positions:
        order = view.flattened(shape).order(i, prod(shape))
        if order is None:
            raise UnreadableError(operator, "samples are mixed with their values")
        out, layer = (units,), Dense(units, activation=None, **how)
        turned = _rows_in_order(weight, order)
    else:
        order = view.order(i, shape[-1])
        if order is None or CHANNELS in others or len(shape) - 1 not in CONV:
            raise UnreadableError(operator, "it mixes positions, and not channels or whole samples")
        out = (*shape[:-1], units)
        layer, turned = reader.mixing(_rows_in_order(weight, order), shape, **how)
    step = reader.step(operator, value, "layer", out, layer=layer, weights=_weights(turned, bias))
    groups = list(view.groups)
    groups[i] = whole(CHANNELS, units)
    return Value(step, View(groups), value.dtype)


def _rows_in_order(weight, order):
    """A matrix (inputs, units) with each row at its place in the layer, which `order` has.

    Graphs often have the transpose, whose rows lie far apart: a few units at a time go through
    the caches, which makes large matrices several times as fast as all at once.
    """
    turned = np.empty(weight.shape, weight.dtype)
    for start in range(0, weight.shape[1], _UNITS_AT_A_TIME):
        units = slice(start, start + _UNITS_AT_A_TIME)
        turned[order, units] = weight[:, units]
    return turned
