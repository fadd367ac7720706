"""The arithmetic of windows: what a filter or a pool makes of the size of a map."""

from numbers import Integral

AXIS_NAMES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}

PADDING_ERROR = (
    "padding must be 'valid', 'same', an integer of at least 0, or for each axis such an "
    "integer or a (before, after) pair, got {!r}"
)


def _is_integer(value):
    return isinstance(value, Integral) and not isinstance(value, bool)


def plain(value):
    """Arrays of numpy as the lists that they hold, all else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def per_axis(value, n_axes, name, minimum=1):
    """One integer for each axis, from one integer or a tuple, list or array of them.

    Raises
    ------
    ValueError
        If `value` is not an integer of at least `minimum`, or `n_axes` of them.
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
    return tuple(int(v) for v in values)


def _pair(value, padding):
    pair = plain(value)
    if _is_integer(pair):
        pair = (pair, pair)
    if (
        not isinstance(pair, (tuple, list))
        or len(pair) != 2
        or not all(_is_integer(v) and v >= 0 for v in pair)
    ):
        raise ValueError(PADDING_ERROR.format(padding))
    return int(pair[0]), int(pair[1])


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
    if _is_integer(padding):
        padding = (padding,) * n_axes
    if not isinstance(padding, (tuple, list)) or len(padding) != n_axes:
        raise ValueError(PADDING_ERROR.format(padding))
    return tuple(_pair(value, padding) for value in padding)


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
