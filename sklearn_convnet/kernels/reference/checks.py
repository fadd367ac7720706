"""Checks of all kernels, and the precision that they work in."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from functools import wraps
from inspect import signature
from math import prod
from numbers import Integral

import numpy as np


def _kernel(*optional):
    """Decorate a kernel: only arrays with these names may be None, and there is a thread."""

    def decorate(function):
        names = list(signature(function).parameters)

        @wraps(function)
        def call(*args, **kwargs):
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            for name, value in given.items():
                if value is None and name not in optional:
                    raise ValueError(f"{name} is None, expected an array")
            if given.get("n_threads", 1) < 1:
                raise ValueError(f"n_threads is {given['n_threads']}, expected at least 1")
            return function(*args, **kwargs)

        return call

    return decorate


def _match(**arrays):
    """Compare the shapes of all arrays of a call, axis letter by axis letter.

    Parameters
    ----------
    **arrays : tuple (array, axes) or (array, axes, dtype)
        `axes` are the letters of the axes, such as ``"n I"``; a number is a size that
        is known. Without `dtype` an array has the dtype of the first one. An array
        that is None is left out.

    Returns
    -------
    sizes : dict
        Size of every letter.
    """
    sizes = {}
    real = None
    for name, (array, axes, *dtype) in arrays.items():
        if array is None:
            continue
        axes = axes.split()
        sizes.update((axis, int(axis)) for axis in axes if axis.isdigit())
        expected = tuple(sizes.get(axis, axis) for axis in axes)
        fits = len(array.shape) == len(axes) and all(
            sizes.setdefault(axis, size) == size
            for axis, size in zip(axes, array.shape, strict=True)
        )
        if not fits:
            raise ValueError(
                f"{name} has shape {array.shape}, expected "
                f"({', '.join(axes)}) = ({', '.join(map(str, expected))})"
            )
        if real is None and not dtype:
            real = array.dtype
            if real.kind != "f":
                raise ValueError(f"{name} has dtype {real}, expected a float dtype")
        wanted = np.dtype(dtype[0]) if dtype else real
        if array.dtype != wanted:
            raise ValueError(f"{name} has dtype {array.dtype}, expected {wanted}")
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} has strides {array.strides}, expected a C-contiguous array")
    return sizes


def _check_not_empty(sizes, axes):
    """Check that there is something along the axes without which nothing is defined."""
    for axis in axes.split():
        if sizes[axis] < 1:
            raise ValueError(f"the axis {axis} has length 0, expected at least 1")


#: The largest size, stride or window: a place in a map is 32 bits wide.
MAX_SIZE = 2**31 - 1


#: And the most numbers that a map of one sample may have.
MAX_NUMBERS = 2**40


def _check_sizes(name, values, n, lowest):
    """Check a tuple of n integers, such as one for each of the axes (D, H, W)."""
    fits = isinstance(values, (tuple, list)) and len(values) == n
    if not fits or not all(isinstance(v, Integral) and lowest <= v <= MAX_SIZE for v in values):
        raise ValueError(f"{name} is {values}, expected {n} integers from {lowest} to {MAX_SIZE}")


def _check_padding(padding, n=3):
    """Check that padding is ((before, after), ...) for n axes."""
    if not isinstance(padding, (tuple, list)) or len(padding) != n:
        raise ValueError(f"padding is {padding}, expected {n} pairs (before, after)")
    for pair in padding:
        _check_sizes("a pair of padding", pair, 2, 0)


def _check_numbers(what, shape):
    """Check that a map is not larger than any memory."""
    if prod(map(int, shape)) > MAX_NUMBERS:
        raise ValueError(f"{what} has shape {shape}, expected at most {MAX_NUMBERS} numbers")


def _check_places(shape):
    """Check that the positions of a map can be told apart by 32 bits."""
    if prod(map(int, shape)) > MAX_SIZE:
        raise ValueError(f"a map has shape {shape}, expected at most {MAX_SIZE} positions")


def _check_output_size(what, shape, size, kernel, stride, padding, dilation=(1, 1, 1)):
    """Check the shape (n, OD, OH, OW, C) of an output against the windows that fit.

    A window reaches over `dilation * (kernel - 1) + 1` pixels, and one fits at every
    `stride`-th pixel of the padded axis.
    """
    for axis, (s, k, b, (before, after), d) in enumerate(
        zip(size, kernel, stride, padding, dilation, strict=True)
    ):
        letter = "DHW"[axis]
        padded = s + before + after
        extent = d * (k - 1) + 1
        if extent > padded:
            raise ValueError(
                f"the {what} reaches over {extent} pixels along {letter}, expected "
                f"at most the {padded} pixels of the padded map"
            )
        expected = (padded - extent) // b + 1
        if shape[1 + axis] != expected:
            raise ValueError(
                f"Y has shape {shape}, expected an output of {expected} pixels along {letter}"
            )


def check_conv(X, W, b, Y, stride, padding, dilation, groups, **like):
    """Raise ValueError unless the arrays and the geometry of a convolution fit.

    `like` holds arrays of the backward pass as (array, axes), see `_match`.
    """
    sizes = _match(
        X=(X, "n D H W C"),
        W=(W, "KD KH KW C/groups F"),
        b=(b, "F"),
        Y=(Y, "n OD OH OW F"),
        **like,
    )
    _check_not_empty(sizes, "C F KD KH KW")
    _check_sizes("stride", stride, 3, 1)
    _check_sizes("dilation", dilation, 3, 1)
    _check_padding(padding)
    C, F = sizes["C"], sizes["F"]
    if groups < 1 or C % groups or F % groups:
        raise ValueError(f"groups is {groups}, expected a divisor of {C} input and {F} output maps")
    if sizes["C/groups"] * groups != C:
        raise ValueError(
            f"W has {sizes['C/groups']} input maps a group, expected {C} / {groups} = {C // groups}"
        )
    _check_sizes("the filter", W.shape[:3], 3, 1)
    padded = [size + sum(pair) for size, pair in zip(X.shape[1:4], padding, strict=True)]
    _check_numbers("an image with its padding", (*padded, C))
    _check_output_size("filter", Y.shape, X.shape[1:4], W.shape[:3], stride, padding, dilation)
    _check_numbers("the output", Y.shape[1:])


def check_depthwise(X, W, b, Y, stride, padding, dilation, **like):
    """Raise ValueError unless a depth-wise convolution fits: one map is one group."""
    check_conv(X, W, b, Y, stride, padding, dilation, groups=X.shape[-1], **like)


def check_pool(X, Y, pool_size, stride, padding, index=None, **like):
    """Raise ValueError unless the arrays and the geometry of a pooling fit."""
    sizes = _match(
        X=(X, "n D H W C"),
        Y=(Y, "n OD OH OW C"),
        index=(index, "n OD OH OW C", np.int32),
        **like,
    )
    _check_not_empty(sizes, "D H W")
    if index is not None:
        _check_places(X.shape[1:4])
    _check_sizes("pool_size", pool_size, 3, 1)
    _check_sizes("stride", stride, 3, 1)
    _check_padding(padding)
    for size, pair in zip(pool_size, padding, strict=True):
        if max(pair) >= size:
            raise ValueError(
                f"padding is {padding}, expected less than the pool_size {pool_size} "
                "on every axis: a window without a true pixel has no value"
            )
    _check_output_size("window", Y.shape, X.shape[1:4], pool_size, stride, padding)


def check_index(index, n_positions):
    """Raise ValueError unless remembered locations lie within the map."""
    if index.size and not (0 <= index.min() and index.max() < n_positions):
        raise ValueError(
            f"index holds values from {index.min()} to {index.max()}, expected "
            f"positions from 0 to {n_positions - 1}"
        )


def check_index_rows(index, size, pool_size):
    """Raise ValueError unless remembered locations lie in the rows of their windows, which lie side
    by side, or in the planes where a window has several."""
    D, H, W = np.ogrid[: index.shape[1], : index.shape[2], :1]
    if pool_size[0] == 1:
        first, n_places = (D * size[1] + H * pool_size[1]) * size[2], pool_size[1] * size[2]
    else:
        n_places = pool_size[0] * size[1] * size[2]
        first = D * n_places + 0 * H
    place = index - (first + 0 * W)[..., np.newaxis]
    if np.any((place < 0) | (place >= n_places)):
        raise ValueError("index holds positions that are not in the rows of their windows")


def check_activation(activation, names):
    """Raise ValueError unless the activation is one of the names."""
    if activation not in names:
        raise ValueError(f"activation is {activation!r}, expected one of {', '.join(names)}")


def check_segments(n_params, segments):
    """Raise ValueError unless every segment lies within the parameters."""
    for start, stop in segments.tolist():
        if not 0 <= start <= stop <= n_params:
            raise ValueError(
                f"a segment reads [{start}, {stop}), expected 0 <= start <= stop <= {n_params}"
            )


def check_step(params, grads, segments, decay, velocity=None, momentum=0.0, **like):
    """Raise ValueError unless the arrays of a step fit; `like` are as long as params."""
    _match(
        params=(params, "p"),
        grads=(grads, "p"),
        velocity=(velocity, "p"),
        segments=(segments, "s 2", np.int64),
        decay=(decay, "s"),
        **{name: (array, "p") for name, array in like.items()},
    )
    check_segments(params.size, segments)
    if velocity is None and momentum != 0:
        raise ValueError(f"momentum is {momentum}, expected 0 without a velocity")


def _double(array):
    """The array in float64, in which all work is done."""
    return np.asarray(array, dtype=np.float64)
