"""Pooling: the maximum or the mean of windows, map by map."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._typing import Borders, PerAxis
from ..constraints import Interval
from .base import Layer
from .fields import Window
from .shapes import (
    AXIS_NAMES,
    check_padded,
    check_positions,
    per_axis,
    plain,
    split_shape,
    window_outputs,
    window_padding,
)


class _Pool(Layer):
    """The base of pools with windows."""

    _parameter_constraints = {
        "pool_size": "no_validation",
        "stride": "no_validation",
        "padding": "no_validation",
    }

    def __init__(
        self,
        pool_size: PerAxis,
        stride: PerAxis | None = None,
        padding: Literal["valid", "same"] | Borders = "valid",
    ) -> None:
        self.pool_size = pool_size
        self.stride = stride
        self.padding = padding

    def geometry(self, input_shape: tuple[int, ...]) -> tuple[tuple[Any, ...], ...]:
        """Geometry of the windows, one entry an axis.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        tuple of tuple
            Window, stride and padding pairs.
        """
        sizes, _ = split_shape(input_shape, self.n_axes, type(self).__name__)
        window = per_axis(self.pool_size, self.n_axes, "pool_size")
        stride = window
        if self.stride is not None:
            stride = per_axis(self.stride, self.n_axes, "stride")
        pads = window_padding(self.padding, sizes, window, stride)
        for size, pad in zip(window, pads, strict=True):
            if max(pad) >= size:
                raise ValueError(
                    f"padding {pad} must be smaller than the pool_size of {size}, "
                    "or a window would hold nothing but padding"
                )
        return window, stride, pads

    def _output_shape(self, input_shape):
        sizes, channels = split_shape(input_shape, self.n_axes, type(self).__name__)
        window, stride, pads = self.geometry(input_shape)
        check_positions(sizes)
        check_padded(sizes, pads, channels)
        return (*window_outputs(sizes, window, stride, pads, "pool_size"), channels)

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return tuple(
            Window(size, stride, -before)
            for size, stride, (before, _) in zip(*self.geometry(input_shape), strict=True)
        )


class MaxPool1D(_Pool):
    """Max pooling of signals ``(length, channels)``: see :class:`MaxPool2D`.

    Parameters
    ----------
    pool_size : int or tuple of int
        Size of the windows along each axis.
    stride : int or tuple of int, default=None
        Step from one window to the next; None is `pool_size`. Windows may overlap.
    padding : {"valid", "same"}, int or tuple, default="valid"
        As for :class:`Conv2D`, with minus infinity in place of zero. It must be smaller than
        `pool_size`.

    Examples
    --------
    >>> from sklearn_convnet.layers import MaxPool1D
    >>> MaxPool1D(2).output_shape((9, 8))
    (4, 8)
    """

    n_axes = 1


class MaxPool2D(_Pool):
    """Max pooling of images: the largest value of each window, map by map.

    The gradient goes to the place of the maximum, of equal ones to the first, and adds up
    where windows overlap. NaN counts as the largest value.

    Parameters
    ----------
    pool_size : int or tuple of int
        Size of the windows along each axis.
    stride : int or tuple of int, default=None
        Step from one window to the next; None is `pool_size`. Windows may overlap.
    padding : {"valid", "same"}, int or tuple, default="valid"
        As for :class:`Conv2D`, with minus infinity in place of zero. It must be smaller than
        `pool_size`.

    Examples
    --------
    >>> from sklearn_convnet.layers import MaxPool2D
    >>> MaxPool2D(3, stride=2).output_shape((55, 55, 96))
    (27, 27, 96)
    """

    n_axes = 2


class MaxPool3D(_Pool):
    """Max pooling of volumes ``(depth, height, width, channels)``: see :class:`MaxPool2D`.

    Parameters
    ----------
    pool_size : int or tuple of int
        Size of the windows along each axis.
    stride : int or tuple of int, default=None
        Step from one window to the next; None is `pool_size`. Windows may overlap.
    padding : {"valid", "same"}, int or tuple, default="valid"
        As for :class:`Conv2D`, with minus infinity in place of zero. It must be smaller than
        `pool_size`.

    Examples
    --------
    >>> from sklearn_convnet.layers import MaxPool3D
    >>> MaxPool3D((1, 2, 2)).output_shape((5, 8, 8, 4))
    (5, 4, 4, 4)
    """

    n_axes = 3


class AvgPool1D(_Pool):
    """Mean pooling of signals ``(length, channels)``: see :class:`AvgPool2D`.

    Parameters
    ----------
    pool_size : int or tuple of int
        Size of the windows along each axis.
    stride : int or tuple of int, default=None
        Step from one window to the next; None is `pool_size`. Windows may overlap.
    padding : {"valid", "same"}, int or tuple, default="valid"
        As for :class:`Conv2D`. It must be smaller than `pool_size`.

    Examples
    --------
    >>> from sklearn_convnet.layers import AvgPool1D
    >>> AvgPool1D(4).output_shape((100, 8))
    (25, 8)
    """

    n_axes = 1


class AvgPool2D(_Pool):
    """Mean pooling of images: the mean of each window, map by map.

    The mean is over the pixels of the map in a window: padding does not count.

    Parameters
    ----------
    pool_size : int or tuple of int
        Size of the windows along each axis.
    stride : int or tuple of int, default=None
        Step from one window to the next; None is `pool_size`. Windows may overlap.
    padding : {"valid", "same"}, int or tuple, default="valid"
        As for :class:`Conv2D`. It must be smaller than `pool_size`.

    Examples
    --------
    >>> from sklearn_convnet.layers import AvgPool2D
    >>> AvgPool2D(2).output_shape((28, 28, 6))
    (14, 14, 6)
    """

    n_axes = 2


class AvgPool3D(_Pool):
    """Mean pooling of volumes ``(depth, height, width, channels)``: see :class:`AvgPool2D`.

    Parameters
    ----------
    pool_size : int or tuple of int
        Size of the windows along each axis.
    stride : int or tuple of int, default=None
        Step from one window to the next; None is `pool_size`. Windows may overlap.
    padding : {"valid", "same"}, int or tuple, default="valid"
        As for :class:`Conv2D`. It must be smaller than `pool_size`.

    Examples
    --------
    >>> from sklearn_convnet.layers import AvgPool3D
    >>> AvgPool3D(2).output_shape((4, 8, 8, 4))
    (2, 4, 4, 4)
    """

    n_axes = 3


class _GlobalPool(Layer):
    def _output_shape(self, input_shape):
        if len(input_shape) < 2:
            raise ValueError(
                f"{type(self).__name__} needs maps, got the flat shape {input_shape}: "
                "put it before Flatten and Dense"
            )
        check_positions(input_shape[:-1])
        return (input_shape[-1],)


class GlobalMaxPool(_GlobalPool):
    """Global max pooling: the largest value of each map, over all its positions.

    Of equal maxima the first receives the gradient.

    Examples
    --------
    >>> from sklearn_convnet.layers import GlobalMaxPool
    >>> GlobalMaxPool().output_shape((7, 7, 512))
    (512,)
    """


class GlobalAvgPool(_GlobalPool):
    """Global mean pooling: the mean of each map, over all its positions (Lin, Chen and Yan, 2014).

    Examples
    --------
    >>> from sklearn_convnet.layers import GlobalAvgPool
    >>> GlobalAvgPool().output_shape((7, 7, 512))
    (512,)
    """


class _LpPool(_Pool):
    """The base of Lp pools, which have no padding."""

    _parameter_constraints = {
        "pool_size": "no_validation",
        "stride": "no_validation",
        "p": [Interval(Real, 1, np.inf, closed="left")],
    }

    padding = "valid"

    def __init__(self, pool_size: PerAxis, stride: PerAxis | None = None, p: float = 2) -> None:
        self.pool_size = pool_size
        self.stride = stride
        self.p = p


class LpPool1D(_LpPool):
    """Lp pooling of signals ``(length, channels)``: see :class:`LpPool2D`.

    Parameters
    ----------
    pool_size : int or tuple of int
        Size of the windows along each axis.
    stride : int or tuple of int, default=None
        Step from one window to the next; None is `pool_size`. Windows may overlap.
    p : float, default=2
        Exponent, at least 1.

    Examples
    --------
    >>> from sklearn_convnet.layers import LpPool1D
    >>> LpPool1D(4).output_shape((100, 8))
    (25, 8)
    """

    n_axes = 1


class LpPool2D(_LpPool):
    """Lp pooling of images: ``(sum |x|^p)^(1/p)`` over each window, map by map.

    Parameters
    ----------
    pool_size : int or tuple of int
        Size of the windows along each axis.
    stride : int or tuple of int, default=None
        Step from one window to the next; None is `pool_size`. Windows may overlap.
    p : float, default=2
        Exponent, at least 1.

    Notes
    -----
    The derivative at 0 is 0.

    Examples
    --------
    >>> from sklearn_convnet.layers import LpPool2D
    >>> LpPool2D(2).output_shape((28, 28, 6))
    (14, 14, 6)
    """

    n_axes = 2


class LpPool3D(_LpPool):
    """Lp pooling of volumes ``(depth, height, width, channels)``: see :class:`LpPool2D`.

    Parameters
    ----------
    pool_size : int or tuple of int
        Size of the windows along each axis.
    stride : int or tuple of int, default=None
        Step from one window to the next; None is `pool_size`. Windows may overlap.
    p : float, default=2
        Exponent, at least 1.

    Examples
    --------
    >>> from sklearn_convnet.layers import LpPool3D
    >>> LpPool3D(2).output_shape((4, 8, 8, 4))
    (2, 4, 4, 4)
    """

    n_axes = 3


class HeterogeneousMaxPool(Layer):
    """Max pooling with a window size of its own for each group of maps.

    All groups share the centres of their windows and so the size of the output, ``ceil(size /
    stride)``: along each axis the window of output `o` begins at ``o * stride + (stride - size) //
    2``, rounded down, and is clipped to the map. Where nothing of a small window is left, because
    the stride exceeds its size, the nearest pixel of the map takes its place. For spectrograms,
    whose maps tolerate shifts in frequency by different amounts: Deng, Abdel-Hamid and Yu, 2013.

    Parameters
    ----------
    pool_sizes : list of int or of tuple of int, or array
        Size of the windows of each group, for all axes or along each; the channels are cut into as
        many groups, in order and of equal size.
    stride : int or tuple of int, default=1
        Step from one window to the next.

    Notes
    -----
    Maps may be signals, images or volumes. Tuples of sizes say which, like 1D, 2D or 3D in the
    names of other layers.

    Examples
    --------
    >>> from sklearn_convnet.layers import HeterogeneousMaxPool
    >>> HeterogeneousMaxPool([(2, 1), (4, 1), (6, 1)], stride=(2, 1)).output_shape(
    ...     (40, 100, 12))
    (20, 100, 12)
    >>> HeterogeneousMaxPool([2, 4, 6], stride=2).output_shape((100, 12))
    (50, 12)
    """

    _parameter_constraints = {"pool_sizes": [list, tuple, np.ndarray], "stride": "no_validation"}

    def __init__(self, pool_sizes: Sequence[PerAxis] | NDArray[Any], stride: PerAxis = 1) -> None:
        self.pool_sizes = pool_sizes
        self.stride = stride

    @property
    def n_axes(self) -> int | None:  # type: ignore[override]  # in the place of a number
        """Number of axes of the sizes that are tuples, None if all are integers."""
        listed = plain(self.pool_sizes)
        sizes = [*listed, self.stride] if isinstance(listed, (list, tuple)) else [self.stride]
        lengths = [len(size) for size in map(plain, sizes) if isinstance(size, (list, tuple))]
        return lengths[0] if lengths else None

    def geometry(self, input_shape: tuple[int, ...]) -> tuple[NDArray[Any], tuple[int, ...]]:
        """Geometry of the windows.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        (ndarray of shape (n_groups, n_axes), tuple of int)
            Sizes of the windows, and strides.
        """
        n_axes = len(input_shape) - 1
        if n_axes not in AXIS_NAMES:
            raise ValueError(
                f"{type(self).__name__} needs maps of one to three axes and channels, got shape "
                f"{tuple(input_shape)}"
            )
        listed = plain(self.pool_sizes)
        if not isinstance(listed, (list, tuple)) or not listed:
            raise ValueError(f"pool_sizes must be a list of sizes, got {self.pool_sizes!r}")
        sizes = [per_axis(size, n_axes, "pool_sizes") for size in listed]
        return np.array(sizes, np.int64), per_axis(self.stride, n_axes, "stride")

    def _output_shape(self, input_shape):
        sizes, stride = self.geometry(input_shape)
        *shape, channels = input_shape
        if channels % len(sizes):
            raise ValueError(
                f"{len(sizes)} pool_sizes must divide the {channels} channels of its input"
            )
        check_positions(shape)
        out = [-(-size // step) for size, step in zip(shape, stride, strict=True)]
        return (*out, channels)

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        # Those of all groups: the smaller ones lie in the largest. Of one that would lie beyond the
        # map the pixel that is nearest stands for it.
        sizes, strides = self.geometry(input_shape)
        return tuple(
            Window(size, stride, (stride - size) // 2, clamped=True)
            for size, stride in zip(sizes.max(axis=0).tolist(), strides, strict=True)
        )
