"""The arithmetic of windows: what a filter or a pool makes of the size of a map."""

from math import prod
from numbers import Integral

#: The largest size, step or padding, and the most positions of a map that is pooled: places in
#: maps are 32 bits wide.
MAX_SIZE = 2**31 - 1
#: The most numbers that a map of one sample may have, with its padding: 4 TiB in float32. Kernels
#: multiply such numbers with those of samples and threads, in 64 bits.
MAX_VALUES = 2**40

AXIS_NAMES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}

PAIRS_ERROR = (
    "{} must be an integer of at least 0, or for each axis such an integer or a (before, after) "
    "pair, got {!r}"
)
PADDING_ERROR = PAIRS_ERROR.replace("must be", "must be 'valid', 'same',")


def _is_integer(value):
    return isinstance(value, Integral) and not isinstance(value, bool)


def _check_size(size, name):
    if size > MAX_SIZE:
        raise ValueError(f"{name} is {size}, which is more than the {MAX_SIZE} that is possible")


def check_values(shape, what="its output"):
    """Raises ValueError for an array of one sample that no memory holds."""
    n_values = prod(shape)
    if n_values > MAX_VALUES:
        raise ValueError(
            f"{what} would have the shape {tuple(shape)}, which are {n_values} numbers, more than "
            f"the {MAX_VALUES} that are possible: use smaller sizes"
        )


def check_padded(sizes, pads, channels, what="its input with padding"):
    """The same for maps in their padding."""
    padded = [size + sum(pair) for size, pair in zip(sizes, pads, strict=True)]
    check_values((*padded, channels), what)


def check_groups(groups, channels, filters):
    """Raises ValueError for channels or filters that cannot be cut into so many groups."""
    if channels % groups or filters % groups:
        raise ValueError(
            f"groups={groups} must divide the {channels} channels of its input and its {filters} "
            "filters"
        )


def check_positions(sizes):
    """Raises ValueError for a map with more positions than a pool can tell apart."""
    if prod(sizes) > MAX_SIZE:
        raise ValueError(
            f"its input has {prod(sizes)} positions, more than the {MAX_SIZE} that a pool can "
            "tell apart: use smaller maps"
        )


def plain(value):
    """Arrays of numpy as the lists that they hold, all else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def per_axis(value, n_axes, name, minimum=1):
    """One integer for each axis, from one integer or a tuple, list or array of them.

    Raises
    ------
    ValueError
        If `value` is not an integer of at least `minimum`, or `n_axes` of them, or larger
        than MAX_SIZE.
    """
    values = plain(value)
    if _is_integer(values):
        values = (values,) * n_axes
    if (
        not isinstance(values, (tuple, list))
        or len(values) != n_axes
        or not all(_is_integer(v) and v >= minimum for v in values)
    ):
        wanted = f"an integer of at least {minimum}"
        several = "" if n_axes == 1 else f" or a tuple of {n_axes} of them"
        raise ValueError(f"{name} must be {wanted}{several}, got {value!r}")
    for v in values:
        _check_size(v, name)
    return tuple(int(v) for v in values)


def pairs_per_axis(value, n_axes, name, error=PAIRS_ERROR):
    """A (before, after) pair for each axis, from one integer, or an integer or a pair for each.

    Raises
    ------
    ValueError
        If `value` is something else, or an integer is negative or larger than MAX_SIZE.
    """
    values = plain(value)
    if _is_integer(values):
        values = (values,) * n_axes
    pairs = map(plain, values) if isinstance(values, (tuple, list)) else ()
    pairs = [(pair, pair) if _is_integer(pair) else pair for pair in pairs]
    fit = all(
        isinstance(pair, (tuple, list))
        and len(pair) == 2
        and all(_is_integer(v) and v >= 0 for v in pair)
        for pair in pairs
    )
    if len(pairs) != n_axes or not fit:
        raise ValueError(error.format(name, plain(value)))
    for pair in pairs:
        for v in pair:
            _check_size(v, name)
    return tuple((int(before), int(after)) for before, after in pairs)


def window_padding(padding, sizes, extents, strides):
    """The padding before and after each axis.

    "same" pads so that the output has ceil(size / stride) positions, the odd one of the
    padded rows at the end.
    """
    n_axes, padding = len(sizes), plain(padding)
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * n_axes
        if padding == "same":
            pads = []
            for size, extent, stride in zip(sizes, extents, strides, strict=True):
                total = max((-(-size // stride) - 1) * stride + extent - size, 0)
                pads.append((total // 2, total - total // 2))
            return tuple(pads)
    return pairs_per_axis(padding, n_axes, "padding", PADDING_ERROR)


def window_outputs(sizes, extents, strides, pads, what):
    """The number of positions of a window on each axis.

    ``floor((size + before + after - extent) / stride) + 1``.

    Parameters
    ----------
    what : str
        What the window is called in messages: "kernel_size" or "pool_size".

    Raises
    ------
    ValueError
        If the window is larger than a padded map.
    """
    outputs = []
    names = AXIS_NAMES[len(sizes)]
    for name, size, extent, stride, (before, after) in zip(
        names, sizes, extents, strides, pads, strict=True
    ):
        room = size + before + after - extent
        if room < 0:
            padded = f", {size + before + after} with padding" if before + after else ""
            raise ValueError(
                f"its window covers {extent} along the {name}, but the map has {size}"
                f"{padded}: use a smaller {what}, padding='same', or fewer pools before"
            )
        outputs.append(room // stride + 1)
    return tuple(outputs)


def split_shape(shape, n_axes, what):
    """The sizes and the number of channels of maps with `n_axes` axes."""
    if len(shape) != n_axes + 1:
        axes = ", ".join(AXIS_NAMES[n_axes])
        raise ValueError(f"{what} needs maps of shape ({axes}, channels), got shape {tuple(shape)}")
    return tuple(shape[:-1]), shape[-1]
