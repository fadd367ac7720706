"""Convolution over one, two or three axes."""

from __future__ import annotations

from math import prod
from numbers import Integral
from typing import Any, Literal

from .._typing import Borders, PerAxis
from ..constraints import Interval, StrOptions
from ..initializers import INITIALIZERS
from .activation import ACTIVATION_CONSTRAINT
from .base import Layer
from .fields import Window
from .shapes import (
    check_groups,
    check_padded,
    per_axis,
    split_shape,
    window_outputs,
    window_padding,
)


class _Conv(Layer):
    """The base of convolutions of any number of axes."""

    n_axes: int

    # Sizes are checked by `geometry`, which knows the number of axes.
    _parameter_constraints = {
        "filters": [Interval(Integral, 1, None, closed="left")],
        "kernel_size": "no_validation",
        "stride": "no_validation",
        "padding": "no_validation",
        "dilation": "no_validation",
        "groups": [Interval(Integral, 1, None, closed="left")],
        "activation": ACTIVATION_CONSTRAINT,
        "use_bias": ["boolean"],
        "kernel_initializer": [StrOptions(INITIALIZERS)],
        "trainable": ["boolean"],
    }

    def __init__(
        self,
        filters: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: Literal["valid", "same"] | Borders = "valid",
        dilation: PerAxis = 1,
        groups: int = 1,
        activation: str | None = "relu",
        use_bias: bool = True,
        kernel_initializer: str = "auto",
        trainable: bool = True,
    ) -> None:
        self.filters = filters
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
        self.activation = activation
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.trainable = trainable

    def geometry(self, input_shape: tuple[int, ...]) -> tuple[tuple[Any, ...], ...]:
        """Geometry of the filters, one entry an axis.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        tuple of tuple
            Kernel size, stride, padding pairs and dilation.
        """
        sizes, _ = split_shape(input_shape, self.n_axes, type(self).__name__)
        kernel = per_axis(self.kernel_size, self.n_axes, "kernel_size")
        stride = per_axis(self.stride, self.n_axes, "stride")
        dilation = per_axis(self.dilation, self.n_axes, "dilation")
        extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        return kernel, stride, window_padding(self.padding, sizes, extents, stride), dilation

    def weight_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the filters: ``(*kernel_size, in_channels / groups, filters)``.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        tuple of int
        """
        kernel = per_axis(self.kernel_size, self.n_axes, "kernel_size")
        return (*kernel, input_shape[-1] // self.groups, self.filters)

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        """Number of multiply-adds for one sample.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        int
        """
        positions = prod(self._output_shape(input_shape)[:-1])
        return positions * prod(self.weight_shape(input_shape))

    def _output_shape(self, input_shape):
        sizes, channels = split_shape(input_shape, self.n_axes, type(self).__name__)
        kernel, stride, pads, dilation = self.geometry(input_shape)
        check_groups(self.groups, channels, self.filters)
        check_padded(sizes, pads, channels)
        extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        out = window_outputs(sizes, extents, stride, pads, "kernel_size")
        return (*out, self.filters)

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return tuple(
            Window(k, s, -before, d)
            for k, s, (before, _), d in zip(*self.geometry(input_shape), strict=True)
        )


class Conv1D(_Conv):
    """Convolution of signals: a scan along time.

    Maps have the shape ``(length, channels)``; otherwise as :class:`Conv2D`. Scanned along
    time with a small network after it, this is the time-delay network of Waibel et al.
    (1989).

    Parameters
    ----------
    filters : int
        Number of filters, and so of output maps.
    kernel_size : int or tuple of int
        Size of the filters along each axis.
    stride : int or tuple of int, default=1
        Step from one position of the filter to the next.
    padding : {"valid", "same"}, int or tuple, default="valid"
        Zeros around the maps. "valid" adds none; "same" adds as many as give ``ceil(size /
        stride)`` positions, an odd row or column at the end. Or, for each axis, an int or a
        ``(before, after)`` pair.
    dilation : int or tuple of int, default=1
        Distance between neighbouring taps of the filter.
    groups : int, default=1
        The channels are cut into this many groups, each with its share of the filters.
    activation : str or None, default="relu"
        See :class:`Activation`. None is "identity".
    use_bias : bool, default=True
        Whether each filter adds a bias.
    kernel_initializer : str, default="auto"
        Distribution of the initial weights: "auto" takes "he_normal" before ReLU and its relatives
        and "glorot_uniform" otherwise; see `sklearn_convnet.initializers`.
    trainable : bool, default=True
        Whether training changes the weights.

    Examples
    --------
    >>> from sklearn_convnet.layers import Conv1D
    >>> Conv1D(8, 5, stride=2).output_shape((100, 3))
    (48, 8)
    """

    n_axes = 1


class Conv2D(_Conv):
    """Convolution of images.

    ``z(j, x, y) = bias(j) + sum_i sum_x',y' w(j, i, x', y') Y(i, x b + x', y b + y')`` for
    filter `j`, input map `i` and stride `b`, and then an activation: LeCun et al.,
    "Gradient-based learning applied to document recognition", 1998.

    Parameters
    ----------
    filters : int
        Number of filters, and so of output maps.
    kernel_size : int or tuple of int
        Size of the filters along each axis.
    stride : int or tuple of int, default=1
        Step from one position of the filter to the next.
    padding : {"valid", "same"}, int or tuple, default="valid"
        Zeros around the maps. "valid" adds none; "same" adds as many as give ``ceil(size /
        stride)`` positions, an odd row or column at the end. Or, for each axis, an int or a
        ``(before, after)`` pair.
    dilation : int or tuple of int, default=1
        Distance between neighbouring taps of the filter.
    groups : int, default=1
        The channels are cut into this many groups, each with its share of the filters.
    activation : str or None, default="relu"
        See :class:`Activation`. None is "identity".
    use_bias : bool, default=True
        Whether each filter adds a bias.
    kernel_initializer : str, default="auto"
        Distribution of the initial weights: "auto" takes "he_normal" before ReLU and its relatives
        and "glorot_uniform" otherwise; see `sklearn_convnet.initializers`.
    trainable : bool, default=True
        Whether training changes the weights.

    Notes
    -----
    Weights have the shape ``(*kernel_size, channels / groups, filters)``.

    Examples
    --------
    >>> from sklearn_convnet.layers import Conv2D
    >>> Conv2D(6, 5).output_shape((28, 28, 1))
    (24, 24, 6)
    >>> Conv2D(6, 5, stride=2, padding="same").output_shape((28, 28, 1))
    (14, 14, 6)
    """

    n_axes = 2


class Conv3D(_Conv):
    """Convolution of volumes.

    Maps have the shape ``(depth, height, width, channels)``; otherwise as :class:`Conv2D`.

    Parameters
    ----------
    filters : int
        Number of filters, and so of output maps.
    kernel_size : int or tuple of int
        Size of the filters along each axis.
    stride : int or tuple of int, default=1
        Step from one position of the filter to the next.
    padding : {"valid", "same"}, int or tuple, default="valid"
        Zeros around the maps. "valid" adds none; "same" adds as many as give ``ceil(size /
        stride)`` positions, an odd row or column at the end. Or, for each axis, an int or a
        ``(before, after)`` pair.
    dilation : int or tuple of int, default=1
        Distance between neighbouring taps of the filter.
    groups : int, default=1
        The channels are cut into this many groups, each with its share of the filters.
    activation : str or None, default="relu"
        See :class:`Activation`. None is "identity".
    use_bias : bool, default=True
        Whether each filter adds a bias.
    kernel_initializer : str, default="auto"
        Distribution of the initial weights: "auto" takes "he_normal" before ReLU and its relatives
        and "glorot_uniform" otherwise; see `sklearn_convnet.initializers`.
    trainable : bool, default=True
        Whether training changes the weights.

    Examples
    --------
    >>> from sklearn_convnet.layers import Conv3D
    >>> Conv3D(4, (1, 3, 3)).output_shape((10, 16, 16, 2))
    (10, 14, 14, 4)
    """

    n_axes = 3


#: By the number of axes.
CONV = {1: Conv1D, 2: Conv2D, 3: Conv3D}
