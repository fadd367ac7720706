"""Convolutions that treat each map on its own."""

from __future__ import annotations

from math import prod
from numbers import Integral
from typing import Any, Literal

from .._typing import Borders, PerAxis
from ..constraints import Interval, StrOptions
from ..initializers import INITIALIZERS
from .activation import ACTIVATION_CONSTRAINT
from .base import Chain, Layer
from .conv import CONV, _Conv
from .fields import Window
from .shapes import check_values, split_shape


class _DepthwiseConv(Layer):
    """The base of depth-wise convolutions of any number of axes."""

    n_axes: int

    _parameter_constraints = {
        "kernel_size": "no_validation",
        "stride": "no_validation",
        "padding": "no_validation",
        "multiplier": [Interval(Integral, 1, None, closed="left")],
        "dilation": "no_validation",
        "activation": ACTIVATION_CONSTRAINT,
        "use_bias": ["boolean"],
        "kernel_initializer": [StrOptions(INITIALIZERS)],
        "trainable": ["boolean"],
    }

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: Literal["valid", "same"] | Borders = "valid",
        multiplier: int = 1,
        dilation: PerAxis = 1,
        activation: str | None = "relu",
        use_bias: bool = True,
        kernel_initializer: str = "auto",
        trainable: bool = True,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.multiplier = multiplier
        self.dilation = dilation
        self.activation = activation
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.trainable = trainable

    def as_conv(self, input_shape: tuple[int, ...]) -> _Conv:
        """The same as a convolution with a group for each map.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        Conv1D, Conv2D or Conv3D
        """
        _, channels = split_shape(input_shape, self.n_axes, type(self).__name__)
        return CONV[self.n_axes](
            channels * self.multiplier,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=channels,
        )

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
        return self.as_conv(input_shape).geometry(input_shape)

    def weight_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the filters: ``(*kernel_size, channels, multiplier)``.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        tuple of int
        """
        kernel = self.geometry(input_shape)[0]
        return (*kernel, input_shape[-1], self.multiplier)

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
        return self.as_conv(input_shape)._output_shape(input_shape)

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return self.as_conv(input_shape).windows(input_shape)


class DepthwiseConv1D(_DepthwiseConv):
    """Depth-wise convolution of signals ``(length, channels)``: see :class:`DepthwiseConv2D`.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Size of the filters along each axis.
    stride : int or tuple of int, default=1
        Step from one position of the filter to the next.
    padding : {"valid", "same"}, int or tuple, default="valid"
        See :class:`Conv2D`.
    multiplier : int, default=1
        Number of filters for each map; the output maps of one input map are next to each other.
    dilation : int or tuple of int, default=1
        Distance between neighbouring taps of the filter.
    activation : str or None, default="relu"
        See :class:`Activation`. None is "identity".
    use_bias : bool, default=True
        Whether each filter adds a bias.
    kernel_initializer : str, default="auto"
        See :class:`Conv2D`.
    trainable : bool, default=True
        Whether training changes the weights.

    Examples
    --------
    >>> from sklearn_convnet.layers import DepthwiseConv1D
    >>> DepthwiseConv1D(5, stride=2).output_shape((100, 8))
    (48, 8)
    """

    n_axes = 1


class DepthwiseConv2D(_DepthwiseConv):
    """Depth-wise convolution: each map has filters of its own, and maps are not mixed.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Size of the filters along each axis.
    stride : int or tuple of int, default=1
        Step from one position of the filter to the next.
    padding : {"valid", "same"}, int or tuple, default="valid"
        See :class:`Conv2D`.
    multiplier : int, default=1
        Number of filters for each map; the output maps of one input map are next to each other.
    dilation : int or tuple of int, default=1
        Distance between neighbouring taps of the filter.
    activation : str or None, default="relu"
        See :class:`Activation`. None is "identity".
    use_bias : bool, default=True
        Whether each filter adds a bias.
    kernel_initializer : str, default="auto"
        See :class:`Conv2D`.
    trainable : bool, default=True
        Whether training changes the weights.

    Notes
    -----
    Weights have the shape ``(*kernel_size, channels, multiplier)``: ``M K^2`` of them for M
    maps, where a convolution with N filters has ``N M K^2``.

    Examples
    --------
    >>> from sklearn_convnet.layers import DepthwiseConv2D
    >>> DepthwiseConv2D(3, multiplier=2).output_shape((8, 8, 16))
    (6, 6, 32)
    """

    n_axes = 2


class DepthwiseConv3D(_DepthwiseConv):
    """Depth-wise convolution of volumes: see :class:`DepthwiseConv2D`.

    Maps have the shape ``(depth, height, width, channels)``.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Size of the filters along each axis.
    stride : int or tuple of int, default=1
        Step from one position of the filter to the next.
    padding : {"valid", "same"}, int or tuple, default="valid"
        See :class:`Conv2D`.
    multiplier : int, default=1
        Number of filters for each map; the output maps of one input map are next to each other.
    dilation : int or tuple of int, default=1
        Distance between neighbouring taps of the filter.
    activation : str or None, default="relu"
        See :class:`Activation`. None is "identity".
    use_bias : bool, default=True
        Whether each filter adds a bias.
    kernel_initializer : str, default="auto"
        See :class:`Conv2D`.
    trainable : bool, default=True
        Whether training changes the weights.

    Examples
    --------
    >>> from sklearn_convnet.layers import DepthwiseConv3D
    >>> DepthwiseConv3D((1, 3, 3)).output_shape((4, 8, 8, 2))
    (4, 6, 6, 2)
    """

    n_axes = 3


#: By the number of axes.
DEPTHWISE = {1: DepthwiseConv1D, 2: DepthwiseConv2D, 3: DepthwiseConv3D}


class _SeparableConv(Layer):
    """The base of separable convolutions of any number of axes."""

    n_axes: int

    _parameter_constraints = {
        "filters": [Interval(Integral, 1, None, closed="left")],
        **_DepthwiseConv._parameter_constraints,
    }

    def __init__(
        self,
        filters: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: Literal["valid", "same"] | Borders = "valid",
        dilation: PerAxis = 1,
        multiplier: int = 1,
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
        self.multiplier = multiplier
        self.activation = activation
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.trainable = trainable

    def stages(self) -> list[tuple[str, Layer]]:
        """Its two stages, with their names.

        Returns
        -------
        list of (str, Layer)
        """
        depthwise = DEPTHWISE[self.n_axes](
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            multiplier=self.multiplier,
            dilation=self.dilation,
            activation=None,
            use_bias=False,
            kernel_initializer=self.kernel_initializer,
            trainable=self.trainable,
        )
        pointwise = CONV[self.n_axes](
            self.filters,
            1,
            activation=self.activation,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer,
            trainable=self.trainable,
        )
        return [("depthwise", depthwise), ("pointwise", pointwise)]

    def _output_shape(self, input_shape):
        split_shape(input_shape, self.n_axes, type(self).__name__)
        for _, stage in self.stages():
            input_shape = stage._output_shape(input_shape)
            check_values(input_shape, "the output of a stage")
        return input_shape

    def chains(self, input_shape: tuple[int, ...]) -> list[Chain]:
        return [Chain(self.stages(), input_shape)]


class SeparableConv1D(_SeparableConv):
    """Separable convolution of signals ``(length, channels)``: see :class:`SeparableConv2D`.

    Parameters
    ----------
    filters : int
        Number of output maps.
    kernel_size : int or tuple of int
        Size of the depth-wise filters.
    stride : int or tuple of int, default=1
        Of the depth-wise stage: see :class:`Conv2D`.
    padding : {"valid", "same"}, int or tuple, default="valid"
        Of the depth-wise stage: see :class:`Conv2D`.
    dilation : int or tuple of int, default=1
        Of the depth-wise stage: see :class:`Conv2D`.
    multiplier : int, default=1
        See :class:`DepthwiseConv2D`.
    activation : str or None, default="relu"
        Of the second stage: see :class:`Conv2D`. The first has none.
    use_bias : bool, default=True
        Of the second stage: see :class:`Conv2D`. The first has none.
    kernel_initializer : str, default="auto"
        Of both stages: see :class:`Conv2D`.
    trainable : bool, default=True
        Of both stages: see :class:`Conv2D`.

    Examples
    --------
    >>> from sklearn_convnet.layers import SeparableConv1D
    >>> SeparableConv1D(32, 5, padding="same").output_shape((100, 16))
    (100, 32)
    """

    n_axes = 1


class SeparableConv2D(_SeparableConv):
    """A depth-wise convolution, then a pointwise (1 x 1) convolution that mixes the maps.

    ``M K^2 + N M`` weights for M maps and N filters: Chollet, "Xception", 2017. There is nothing
    between the two.

    Parameters
    ----------
    filters : int
        Number of output maps.
    kernel_size : int or tuple of int
        Size of the depth-wise filters.
    stride : int or tuple of int, default=1
        Of the depth-wise stage: see :class:`Conv2D`.
    padding : {"valid", "same"}, int or tuple, default="valid"
        Of the depth-wise stage: see :class:`Conv2D`.
    dilation : int or tuple of int, default=1
        Of the depth-wise stage: see :class:`Conv2D`.
    multiplier : int, default=1
        See :class:`DepthwiseConv2D`.
    activation : str or None, default="relu"
        Of the second stage: see :class:`Conv2D`. The first has none.
    use_bias : bool, default=True
        Of the second stage: see :class:`Conv2D`. The first has none.
    kernel_initializer : str, default="auto"
        Of both stages: see :class:`Conv2D`.
    trainable : bool, default=True
        Of both stages: see :class:`Conv2D`.

    Notes
    -----
    The weights are ``depthwise/weight``, ``pointwise/weight`` and ``pointwise/bias``.

    Examples
    --------
    >>> from sklearn_convnet.layers import SeparableConv2D
    >>> SeparableConv2D(32, 3, padding="same").output_shape((8, 8, 16))
    (8, 8, 32)
    """

    n_axes = 2


class SeparableConv3D(_SeparableConv):
    """Separable convolution of volumes: see :class:`SeparableConv2D`.

    Maps have the shape ``(depth, height, width, channels)``.

    Parameters
    ----------
    filters : int
        Number of output maps.
    kernel_size : int or tuple of int
        Size of the depth-wise filters.
    stride : int or tuple of int, default=1
        Of the depth-wise stage: see :class:`Conv2D`.
    padding : {"valid", "same"}, int or tuple, default="valid"
        Of the depth-wise stage: see :class:`Conv2D`.
    dilation : int or tuple of int, default=1
        Of the depth-wise stage: see :class:`Conv2D`.
    multiplier : int, default=1
        See :class:`DepthwiseConv2D`.
    activation : str or None, default="relu"
        Of the second stage: see :class:`Conv2D`. The first has none.
    use_bias : bool, default=True
        Of the second stage: see :class:`Conv2D`. The first has none.
    kernel_initializer : str, default="auto"
        Of both stages: see :class:`Conv2D`.
    trainable : bool, default=True
        Of both stages: see :class:`Conv2D`.

    Examples
    --------
    >>> from sklearn_convnet.layers import SeparableConv3D
    >>> SeparableConv3D(32, 3, padding="same").output_shape((4, 8, 8, 16))
    (4, 8, 8, 32)
    """

    n_axes = 3
