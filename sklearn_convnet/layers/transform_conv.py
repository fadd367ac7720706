"""Convolution with filters in every transform of a set.

# Design:
# * An unpooled layer has a map for each transform and filter, the transforms side by side. A layer
#   knows shapes, not what is before it, so `group_input` says that its input is such maps.
# * With `group_input` a filter reaches over the transforms of its input as it does over positions,
#   and a transform moves both. So maps turn with the input at any depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from numbers import Integral
from typing import Any, Literal

from numpy.typing import ArrayLike, NDArray

from .._typing import Borders, PerAxis
from ..constraints import Interval, StrOptions
from ..initializers import INITIALIZERS
from .activation import ACTIVATION_CONSTRAINT
from .base import Layer
from .conv import CONV, _Conv
from .fields import Window, pointwise
from .shapes import check_values
from .transforms import GROUP_NAMES, check_transforms, group_order, transform_matrices


class _TransformConv(Layer):
    """The base of transform convolutions of any number of axes."""

    n_axes: int

    _parameter_constraints = {
        "filters": [Interval(Integral, 1, None, closed="left")],
        "kernel_size": "no_validation",
        "transforms": [StrOptions({"auto", *GROUP_NAMES}), "array-like"],
        "pool": [StrOptions({"max", "mean"}), None],
        "group_input": ["boolean"],
        "stride": "no_validation",
        "padding": "no_validation",
        "activation": ACTIVATION_CONSTRAINT,
        "use_bias": ["boolean"],
        "kernel_initializer": [StrOptions(INITIALIZERS)],
        "trainable": ["boolean"],
    }

    def __init__(
        self,
        filters: int,
        kernel_size: PerAxis,
        transforms: Literal["auto", "pm", "p4", "p4m", "O", "Oh"] | Sequence[ArrayLike] = "auto",
        pool: Literal["max", "mean"] | None = None,
        group_input: bool = False,
        stride: PerAxis = 1,
        padding: Literal["valid", "same"] | Borders = "valid",
        activation: str | None = "relu",
        use_bias: bool = True,
        kernel_initializer: str = "auto",
        trainable: bool = True,
    ) -> None:
        self.filters = filters
        self.kernel_size = kernel_size
        self.transforms = transforms
        self.pool = pool
        self.group_input = group_input
        self.stride = stride
        self.padding = padding
        self.activation = activation
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.trainable = trainable

    def matrices(self) -> list[NDArray[Any]]:
        """The transforms, as matrices.

        Returns
        -------
        list of ndarray of shape (n_axes, n_axes)
        """
        return transform_matrices(self.transforms, self.n_axes)

    def as_conv(self) -> _Conv:
        """The convolution with all transformed filters.

        Returns
        -------
        Conv1D, Conv2D or Conv3D
        """
        return CONV[self.n_axes](
            self.filters * len(self.matrices()),
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
        )

    def input_order(self) -> NDArray[Any] | list[list[int]]:
        """Where the maps of its input lie in a filter.

        Returns
        -------
        array-like of shape (n_transforms, n_input_transforms)
            For each of its own transforms the numbers of those of the input.
        """
        matrices = self.matrices()
        return group_order(matrices) if self.group_input else [[0]] * len(matrices)

    def weight_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the filters: ``(*kernel_size, channels, filters)``.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        tuple of int
        """
        return (*self.as_conv().weight_shape(input_shape)[:-1], self.filters)

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
        conv = self.as_conv()
        return prod(conv._output_shape(input_shape)[:-1]) * prod(conv.weight_shape(input_shape))

    def _output_shape(self, input_shape):
        out = self.as_conv()._output_shape(input_shape)
        check_values(out, "its maps in all transforms")
        if self.group_input:
            check_transforms(len(self.input_order()), input_shape[-1], "group_input=True")
        return out if self.pool is None else (*out[:-1], self.filters)

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return self.as_conv().windows(input_shape)


class TransformConv1D(_TransformConv):
    """Convolution of signals whose filters are applied in every transform of a set.

    Maps have the shape ``(length, channels)``; otherwise as :class:`TransformConv2D`.

    Parameters
    ----------
    filters : int
        Number of filters.
    kernel_size : int or tuple of int
        Size of the filters along each axis.
    transforms : {"auto", "pm"} or list of array-like of shape (1, 1), default="auto"
        The signal as it is and backward in time ("pm", which "auto" is), or any factors of time,
        such as ``scaling(1.5, n_axes=1)``.
    pool : {"max", "mean"} or None, default=None
        How to combine the maps of one filter over the transforms, after the activation. None keeps
        them all: map ``t * filters + j`` is that of filter `j` in transform `t`.
    group_input : bool, default=False
        Whether the input has a map for each of the same transforms, in this order, as an unpooled
        layer makes them. A filter then reaches over the transforms of its input too, and in
        transform `t` it is ``w(t^-1 s, t^-1 p)`` for the maps of transform `s` at position `p`. The
        transforms must be a group: the product of two of them is one of them. If False, the maps of
        an unpooled layer are treated as plain channels, and the equivariance is lost.
    stride : int or tuple of int, default=1
        Step from one position of the filter to the next.
    padding : {"valid", "same"}, int or tuple, default="valid"
        Zeros around the maps. "valid" adds none; "same" adds as many as give ``ceil(size /
        stride)`` positions, an odd row or column at the end. Or, for each axis, an int or a
        ``(before, after)`` pair.
    activation : str or None, default="relu"
        See :class:`Activation`. None is "identity".
    use_bias : bool, default=True
        Whether each filter adds a bias. All transforms of a filter share it.
    kernel_initializer : str, default="auto"
        Distribution of the initial weights: "auto" takes "he_normal" before ReLU and its relatives
        and "glorot_uniform" otherwise; see `sklearn_convnet.initializers`.
    trainable : bool, default=True
        Whether training changes the weights.

    Examples
    --------
    >>> from sklearn_convnet.layers import TransformConv1D, scaling
    >>> TransformConv1D(8, 5).output_shape((100, 3))
    (96, 16)
    >>> paces = [scaling(factor, n_axes=1) for factor in (1, 1.25, 1.5)]
    >>> TransformConv1D(8, 9, transforms=paces, pool="max").output_shape((100, 3))
    (92, 8)
    """

    n_axes = 1


class TransformConv2D(_TransformConv):
    """Convolution whose filters are applied in every transform of a set.

    For each filter `w` and transform `T`, ``z_T = shift(T(w))`` over the input. With ``pool="max"``
    the values of a map do not depend on which of the transforms the input has undergone; only their
    places do. Without a pool, maps turn with the input and change places among the transforms;
    layers with ``group_input=True`` keep this at any depth: Cohen and Welling, "Group equivariant
    convolutional networks", 2016.

    Parameters
    ----------
    filters : int
        Number of filters.
    kernel_size : int or tuple of int
        Size of the filters along each axis.
    transforms : {"auto", "p4", "p4m"} or list of array-like of shape (2, 2), default="auto"
        The four rotations by right angles ("p4", which "auto" is); these and their reflections; or
        any invertible matrices acting on ``(x, y)``, such as products of `rotation`, `reflection`
        and `scaling`.
    pool : {"max", "mean"} or None, default=None
        How to combine the maps of one filter over the transforms, after the activation. None keeps
        them all: map ``t * filters + j`` is that of filter `j` in transform `t`.
    group_input : bool, default=False
        Whether the input has a map for each of the same transforms, in this order, as an unpooled
        layer makes them. A filter then reaches over the transforms of its input too, and in
        transform `t` it is ``w(t^-1 s, t^-1 p)`` for the maps of transform `s` at position `p`. The
        transforms must be a group: the product of two of them is one of them. If False, the maps of
        an unpooled layer are treated as plain channels, and the equivariance is lost.
    stride : int or tuple of int, default=1
        Step from one position of the filter to the next.
    padding : {"valid", "same"}, int or tuple, default="valid"
        Zeros around the maps. "valid" adds none; "same" adds as many as give ``ceil(size /
        stride)`` positions, an odd row or column at the end. Or, for each axis, an int or a
        ``(before, after)`` pair.
    activation : str or None, default="relu"
        See :class:`Activation`. None is "identity".
    use_bias : bool, default=True
        Whether each filter adds a bias. All transforms of a filter share it.
    kernel_initializer : str, default="auto"
        Distribution of the initial weights: "auto" takes "he_normal" before ReLU and its relatives
        and "glorot_uniform" otherwise; see `sklearn_convnet.initializers`.
    trainable : bool, default=True
        Whether training changes the weights.

    See Also
    --------
    TransformPool : The maximum or mean over the transforms, as a layer of its own.
    BatchNorm : With its `n_transforms`, maps of all transforms share statistics.

    Notes
    -----
    Weights have the shape ``(*kernel_size, channels, filters)``.

    Maps turn exactly with the input for right angles and reflections, square filters, and windows
    that lie alike from all sides: stride 1, or windows that end where the padded map does, with as
    much padding before as after.

    Examples
    --------
    >>> from sklearn_convnet.layers import TransformConv2D
    >>> TransformConv2D(8, 5).output_shape((28, 28, 1))
    (24, 24, 32)
    >>> TransformConv2D(8, 5, transforms="p4m", pool="max").output_shape((28, 28, 1))
    (24, 24, 8)
    >>> TransformConv2D(6, 3, group_input=True).output_shape((24, 24, 32))
    (22, 22, 24)
    """

    n_axes = 2


class TransformConv3D(_TransformConv):
    """Convolution of volumes whose filters are applied in every transform of a set.

    Maps have the shape ``(depth, height, width, channels)``; otherwise as
    :class:`TransformConv2D`. For the rotations of the cube see Worrall and Brostow, "CubeNet:
    equivariance to 3D rotation and translation", 2018.

    Parameters
    ----------
    filters : int
        Number of filters.
    kernel_size : int or tuple of int
        Size of the filters along each axis.
    transforms : {"auto", "O", "Oh"} or list of array-like of shape (3, 3), default="auto"
        The 24 rotations of the cube ("O", which "auto" is); these and their reflections, 48 in all;
        or any invertible matrices acting on ``(x, y, z)``, such as ``rotation(90, axis="z")``.
    pool : {"max", "mean"} or None, default=None
        How to combine the maps of one filter over the transforms, after the activation. None keeps
        them all: map ``t * filters + j`` is that of filter `j` in transform `t`.
    group_input : bool, default=False
        Whether the input has a map for each of the same transforms, in this order, as an unpooled
        layer makes them. A filter then reaches over the transforms of its input too, and in
        transform `t` it is ``w(t^-1 s, t^-1 p)`` for the maps of transform `s` at position `p`. The
        transforms must be a group: the product of two of them is one of them. If False, the maps of
        an unpooled layer are treated as plain channels, and the equivariance is lost.
    stride : int or tuple of int, default=1
        Step from one position of the filter to the next.
    padding : {"valid", "same"}, int or tuple, default="valid"
        Zeros around the maps. "valid" adds none; "same" adds as many as give ``ceil(size /
        stride)`` positions, an odd row or column at the end. Or, for each axis, an int or a
        ``(before, after)`` pair.
    activation : str or None, default="relu"
        See :class:`Activation`. None is "identity".
    use_bias : bool, default=True
        Whether each filter adds a bias. All transforms of a filter share it.
    kernel_initializer : str, default="auto"
        Distribution of the initial weights: "auto" takes "he_normal" before ReLU and its relatives
        and "glorot_uniform" otherwise; see `sklearn_convnet.initializers`.
    trainable : bool, default=True
        Whether training changes the weights.

    Examples
    --------
    >>> from sklearn_convnet.layers import TransformConv3D, rotation
    >>> TransformConv3D(2, 3).output_shape((8, 8, 8, 1))
    (6, 6, 6, 48)
    >>> about_z = [rotation(90 * k, axis="z") for k in range(4)]
    >>> TransformConv3D(2, (1, 3, 3), transforms=about_z).output_shape((5, 8, 8, 1))
    (5, 6, 6, 8)
    """

    n_axes = 3


class TransformPool(Layer):
    """The maximum or mean over the transforms of each filter, position by position.

    It ends a chain of transform convolutions, the first without and the others with
    ``group_input=True``; ``pool`` of the last of them does the same.

    Parameters
    ----------
    n_transforms : int
        Number of transforms of the layers before: 4 of "p4", 8 of "p4m".
    pool : {"max", "mean"}, default="max"
        How to combine the maps of one filter. Of equal maxima the first receives the gradient.

    Examples
    --------
    >>> from sklearn_convnet.layers import TransformPool
    >>> TransformPool(4).output_shape((22, 22, 24))
    (22, 22, 6)
    """

    _parameter_constraints = {
        "n_transforms": [Interval(Integral, 1, None, closed="left")],
        "pool": [StrOptions({"max", "mean"})],
    }

    def __init__(self, n_transforms: int, pool: Literal["max", "mean"] = "max") -> None:
        self.n_transforms = n_transforms
        self.pool = pool

    def _output_shape(self, input_shape):
        *sizes, channels = input_shape
        check_transforms(self.n_transforms, channels, type(self).__name__)
        return (*sizes, channels // self.n_transforms)

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return pointwise(input_shape)
