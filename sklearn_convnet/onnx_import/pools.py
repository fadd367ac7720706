"""Pools, borders and enlarging."""

from itertools import pairwise

import numpy as np

from ..layers.norm import LocalResponseNorm
from ..layers.padding import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from ..layers.pool import (
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    GlobalAvgPool,
    GlobalMaxPool,
    LpPool1D,
    LpPool2D,
    LpPool3D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
)
from ..layers.upsample import Upsample1D, Upsample2D, Upsample3D
from .convolutions import padding_parameter, pads_of, plain
from .model import UnreadableError
from .reader import reads
from .steps import Step, Value
from .views import CHANNELS, Atom, View, axis_names, channels_first, sizes_of

MAX_POOL = {1: MaxPool1D, 2: MaxPool2D, 3: MaxPool3D}
AVG_POOL = {1: AvgPool1D, 2: AvgPool2D, 3: AvgPool3D}
LP_POOL = {1: LpPool1D, 2: LpPool2D, 3: LpPool3D}
ZERO_PADDING = {1: ZeroPadding1D, 2: ZeroPadding2D, 3: ZeroPadding3D}
CROPPING = {1: Cropping1D, 2: Cropping2D, 3: Cropping3D}
UPSAMPLE = {1: Upsample1D, 2: Upsample2D, 3: Upsample3D}


def _with_ceil(pads, sizes, window, strides):
    """Pairs whose second numbers let a last window, which begins inside, be whole."""
    found = []
    for (before, after), size, k, stride in zip(pads, sizes, window, strides, strict=True):
        covered = size + before + after
        n = -(-(covered - k) // stride) + 1
        if (n - 1) * stride >= size + before:
            n -= 1
        found.append((before, max(after, (n - 1) * stride + k - size - before)))
    return found


def _windows(reader, operator):
    """A value with channels first, and window, strides and (before, after) pairs."""
    value = reader.first(operator, reader.value(operator))
    sizes = value.step.shape[:-1]
    window = operator.get("kernel_shape")
    if len(sizes) != len(window) or len(sizes) not in MAX_POOL:
        raise UnreadableError(
            operator, f"it is for maps of {len(window)} axes, not of {len(sizes)}"
        )
    strides = operator.get("strides", [1] * len(sizes))
    if max(operator.get("dilations", [1])) > 1:
        raise UnreadableError(operator, "there is no pool with dilation")
    return value, sizes, window, strides, pads_of(operator, sizes, window, strides)


def _pool(reader, operator, kinds, value, window, strides, pads):
    sizes = value.step.shape[:-1]
    if max(*window, *strides) == 1 and not any(map(sum, pads)):
        return value  # adaptive pools of maps that have the size already
    if operator.get("ceil_mode", 0):
        pads = _with_ceil(pads, sizes, window, strides)
    layer = kinds[len(sizes)](
        plain(window),
        None if list(strides) == list(window) else plain(strides),
        padding_parameter(operator, pads, sizes, window, strides),
    )
    return reader.layer(operator, value, layer)


@reads("MaxPool")
def max_pool(reader, operator):
    """Padding is minus infinity."""
    if len(operator.outputs) > 1 and operator.outputs[1]:
        raise UnreadableError(operator, "there is no layer for the places of maxima")
    value, _, *windows = _windows(reader, operator)
    return _pool(reader, operator, MAX_POOL, value, *windows)


@reads("AveragePool")
def average_pool(reader, operator):
    """The mean over true pixels, or with the zeros around the maps."""
    value, sizes, window, strides, pads = _windows(reader, operator)
    if operator.get("count_include_pad", 0) and any(map(sum, pads)):
        layer = ZERO_PADDING[len(sizes)](padding_parameter(operator, pads, (0,), (1,), (1,)))
        value = reader.layer(operator, value, layer)
        pads = [(0, 0)] * len(sizes)
    return _pool(reader, operator, AVG_POOL, value, window, strides, pads)


@reads("LpPool")
def lp_pool(reader, operator):
    """(sum |x|^p)^(1/p)"""
    value, sizes, window, strides, pads = _windows(reader, operator)
    if any(map(sum, pads)) or operator.get("ceil_mode", 0):
        layer = ZERO_PADDING[len(sizes)]
        if operator.get("ceil_mode", 0):
            pads = _with_ceil(pads, sizes, window, strides)
        value = reader.layer(operator, value, layer(tuple(pads)))
    stride = None if list(strides) == list(window) else plain(strides)
    layer = LP_POOL[len(sizes)](plain(window), stride, operator.get("p", 2))
    return reader.layer(operator, value, layer)


@reads("LRN")
def response_norm(reader, operator):
    """X / (bias + alpha / size sum X^2)^beta"""
    if operator.get("size") % 2 == 0:
        raise UnreadableError(
            operator, "of an even number of maps the larger half lies behind here"
        )
    value = reader.first(operator, reader.value(operator))
    layer = LocalResponseNorm(
        operator.get("size"),
        operator.get("alpha", 1e-4),
        operator.get("beta", 0.75),
        operator.get("bias", 1.0),
    )
    return reader.layer(operator, value, layer)


# --- over whole axes -----------------------------------------------------------------------------


@reads("GlobalAveragePool", "GlobalMaxPool")
def global_pool(reader, operator):
    """Over all axes behind the second."""
    value = reader.value(operator)
    return _reduced(reader, operator, value, range(2, value.view.ndim), True)


@reads("ReduceMean", "ReduceMax")
def reduce(reader, operator):
    """Over some axes."""
    value = reader.value(operator)
    axes = reader.integers(operator, 1, "axes")
    if axes is None:
        raise UnreadableError(operator, "it is over all axes, that of the samples too")
    axes = {axis % value.view.ndim for axis in axes}
    return _reduced(reader, operator, value, axes, bool(operator.get("keepdims", 1)))


def _reduced(reader, operator, value, axes, keepdims):
    view, shape = value.view, value.step.shape
    atoms = [atom for axis in sorted(axes) for atom in view.groups[axis]]
    groups = [
        () if i in axes else group
        for i, group in enumerate(view.groups)
        if keepdims or i not in axes
    ]
    is_max = operator.op.endswith(("Max", "MaxPool"))
    names, sizes = axis_names(shape)[:-1], sizes_of(shape)
    positions = {name for name in names if sizes[name] > 1}
    seen = {atom.axis for atom in atoms}
    total = int(np.prod([atom.size for atom in atoms], dtype=np.int64))
    if seen <= positions and total == np.prod([sizes[n] for n in names], dtype=np.int64):
        if not names:  # one number for each channel already
            return Value(value.step, View(groups), value.dtype)
        layer = GlobalMaxPool() if is_max else GlobalAvgPool()
        step = reader.step(operator, value, "layer", shape[-1:], layer=layer)
    elif seen - positions - {CHANNELS} or CHANNELS not in seen or is_max:
        raise UnreadableError(
            operator, "there is a layer over all positions, and none over some axes"
        )
    else:
        step = reader.step(operator, value, "mean", data=frozenset(View([atoms]).groups[0]))
    return Value(step, View(groups), value.dtype)


# --- borders and enlarging -----------------------------------------------------------------------


@reads("Pad")
def pad(reader, operator):
    """Zeros around maps."""
    value = reader.value(operator)
    pads = reader.integers(operator, 1, "pads")
    if reader.model.opset >= 18 and reader.has(operator, 3):
        axes = [a % value.view.ndim for a in reader.constant(operator, 3).tolist()]
        n = len(axes)
        wide = [0] * 2 * value.view.ndim
        for i, axis in enumerate(axes):
            wide[axis], wide[axis + value.view.ndim] = pads[i], pads[i + n]
        pads = wide
    filling = reader.constant(operator, 2, operator.get("value", 0.0))
    if not any(pads):
        return value
    n = value.view.ndim
    if operator.get("mode", "constant") == "edge" and min(pads) >= 0:
        return _with_borders(reader, operator, value, pads[:n], pads[n:], edge=True)
    if operator.get("mode", "constant") != "constant" or np.any(np.asarray(filling) != 0):
        raise UnreadableError(operator, "there is no layer for a border that is not zero")
    return _with_borders(reader, operator, value, pads[:n], pads[n:])


def _with_borders(reader, operator, value, before, after, edge=False):
    """Positions more, or less, at both ends of axes; the view stays what it is. New ones are zero,
    or at the edge like those beside them."""
    pairs = borders_of(reader, operator, value, zip(before, after, strict=True))
    n = len(pairs)
    if n not in ZERO_PADDING:
        raise UnreadableError(operator, "there is no layer for borders of such maps")
    numbers = [number for pair in pairs for number in pair]
    if min(numbers) < 0 < max(numbers):
        raise UnreadableError(operator, "it makes maps both larger and smaller: use two operators")
    kinds = CROPPING if min(numbers) < 0 else ZERO_PADDING
    layer = kinds[n](tuple((abs(a), abs(b)) for a, b in pairs))
    shape = layer.output_shape(value.step.shape)
    if edge:
        step = reader.step(operator, value, "edge", shape, data=pairs)
    else:
        step = reader.step(operator, value, "layer", shape, layer=layer)
    return Value(step, resized_view(value.view, value.step.shape, shape), value.dtype)


def borders_of(reader, operator, value, pairs):
    """The pairs of the axes of the graph as those of the axes of positions of the layer."""
    shape = value.step.shape
    names, sizes = axis_names(shape)[:-1], sizes_of(shape)
    found = dict.fromkeys(names, (0, 0))
    ones = [name for name in names if sizes[name] == 1]
    for i, pair in enumerate(pairs):
        if not any(pair):
            continue
        axes = value.view.axes(i)
        if not axes and i >= 2 and len(ones) == len(names):
            axes = {names[i - 2]}
        if len(axes) != 1 or not axes <= set(names):
            raise UnreadableError(operator, "it changes the length of an axis that is no position")
        name = axes.pop()
        if sizes[name] > 1 and not reader.is_whole(value, i, name):
            raise UnreadableError(operator, "it changes the length of a part of an axis")
        found[name] = pair
    return list(found.values())


def resized_view(view, before, after):
    """The view of maps that have got another size."""
    if 1 in before[:-1] and view.ndim == len(before) + 1:  # axes without atoms: that of most graphs
        return channels_first(after, view.shape[0])
    old, new = sizes_of(before), sizes_of(after)
    groups = []
    for group in view.groups:
        if len(group) == 1 and group[0].axis in old and group[0].size == old[group[0].axis]:
            name = group[0].axis
            group = (Atom(name, new[name]),) if new[name] > 1 else ()
        groups.append(group)
    return View(groups)


@reads("Resize", "Upsample")
def resize(reader, operator):
    """Whole multiples of a size: pixels repeated, or mixed by the distance of their centres."""
    value = reader.first(operator, reader.value(operator))
    sizes, n = value.step.shape[:-1], len(value.step.shape) - 1
    is_new = operator.op == "Resize" and reader.model.opset >= 11
    scales = reader.constant(operator, 2 if is_new else 1)
    if scales is None or not np.size(scales):
        scales = operator.get("scales")
    if scales is None and reader.has(operator, 3):
        target = reader.constant(operator, 3)
        scales = [out / size for out, size in zip(target, value.shape, strict=True)]
    factors = np.asarray(scales, np.float64)
    if n not in UPSAMPLE or len(factors) != n + 2 or (factors % 1).any() or (factors < 1).any():
        raise UnreadableError(
            operator, f"maps of size {sizes} can be made larger by whole factors only"
        )
    mode = operator.get("mode", "nearest")
    how = operator.get("coordinate_transformation_mode", "half_pixel" if is_new else "asymmetric")
    rounding = operator.get("nearest_mode", "round_prefer_floor" if is_new else "floor")
    halves = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
    nearest = (how == "asymmetric" and rounding == "floor") or (
        how in halves and rounding.startswith("round")
    )
    if mode == "nearest" and nearest:
        interpolation = "nearest"
    elif mode == "linear" and how in halves:
        interpolation = "bilinear" if n == 2 else "linear"
    else:
        raise UnreadableError(operator, f"there is no such layer for mode={mode!r} and {how!r}")
    if operator.get("antialias", 0) or factors[:2].max() > 1:
        raise UnreadableError(operator, "only positions can be made larger, without antialias")
    return reader.layer(operator, value, UPSAMPLE[n](plain(factors[2:]), interpolation))


# --- parts of axes -------------------------------------------------------------------------------


def part(reader, operator, value, axis, start, stop, step=1):
    """Some of the indices of an axis: channels, or positions without their borders."""
    length = value.view.shape[axis]
    if (start, stop, step) == (0, length, 1):
        return value
    value = reader.flat(operator, value)
    order = value.view.order(axis, value.step.shape[-1])
    if order is not None:
        return reader.selected(operator, value, axis, order[start:stop:step])
    if step != 1:
        raise UnreadableError(operator, "there is no layer that takes every other position")
    before, after = [0] * value.view.ndim, [0] * value.view.ndim
    before[axis], after[axis] = -start, stop - length
    return _with_borders(reader, operator, value, before, after)


@reads("Split")
def split(reader, operator):
    """Parts of an axis."""
    value = reader.value(operator)
    axis = reader.axis(operator, value, default=0)
    length, n = value.view.shape[axis], len(operator.outputs)
    lengths = reader.integers(operator, 1, "split")
    if lengths is None:
        size = -(-length // operator.get("num_outputs", n))
        lengths = [min(size, length - i * size) for i in range(n)]
    edges = np.cumsum([0, *lengths]).tolist()
    return [part(reader, operator, value, axis, start, stop) for start, stop in pairwise(edges)]


@reads("Slice")
def slices(reader, operator):
    """Parts of several axes."""
    value = reader.value(operator)
    starts, ends = (reader.integers(operator, i, n) for i, n in ((1, "starts"), (2, "ends")))
    axes = reader.integers(operator, 3, "axes", list(range(len(starts))))
    steps = reader.integers(operator, 4, "steps", [1] * len(starts))
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis %= value.view.ndim
        if step < 1:
            raise UnreadableError(operator, "there is no layer that turns an axis round")
        start, stop, _ = slice(start, end, step).indices(value.view.shape[axis])
        value = part(reader, operator, value, axis, start, stop, step)
    return value


@reads("Gather")
def gather(reader, operator):
    """Some channels."""
    value, indices = reader.value(operator), reader.constant(operator, 1)
    axis = reader.axis(operator, value, default=0)
    length = value.view.shape[axis]
    if indices.size == length and np.array_equal(np.ravel(indices), np.arange(length)):
        target = (*value.shape[:axis], *indices.shape, *value.shape[axis + 1 :])
        return Value(value.step, value.view.reshaped(target), value.dtype)
    value = reader.flat(operator, value)
    order = value.view.order(axis, value.step.shape[-1])
    if order is None or indices.ndim > 1:
        raise UnreadableError(operator, "only channels can be picked")
    found = reader.selected(operator, value, axis, order[np.atleast_1d(indices)])
    if indices.ndim == 1:
        return found
    groups = [group for i, group in enumerate(found.view.groups) if i != axis]
    return Value(found.step, View(groups), found.dtype)


@reads("Concat")
def concat(reader, operator):
    """Channels side by side."""
    values = [reader.value(operator, i) for i in range(len(operator.inputs))]
    if len(values) == 1:
        return values[0]
    axis = reader.axis(operator, values[0])
    values = [reader.in_order(operator, value) for value in values]
    first = values[0]
    rests = {
        tuple(group for i, group in enumerate(value.view.groups) if i != axis) for value in values
    }
    shapes = {value.step.shape[:-1] for value in values}
    channels = [value.step.shape[-1] for value in values]
    whole_channels = all(
        value.view.shape[axis] == n and value.view.axes(axis) <= {CHANNELS}
        for value, n in zip(values, channels, strict=True)
    )
    if len(rests) > 1 or len(shapes) > 1 or not whole_channels:
        raise UnreadableError(operator, "only channels of maps of one size can be put side by side")
    shape = (*first.step.shape[:-1], sum(channels))
    step = Step("concat", [value.step for value in values], shape, operator)
    return Value(step, reader.with_channels(first.view, axis, shape[-1]), first.dtype)
