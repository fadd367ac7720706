"""Transposed convolution: the expanding layer."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal

from .._typing import Borders, PerAxis
from ..constraints import Interval, StrOptions
from ..initializers import INITIALIZERS
from .activation import ACTIVATION_CONSTRAINT
from .base import Layer
from .fields import Window
from .shapes import AXIS_NAMES, check_groups, check_padded, per_axis, split_shape, window_padding


def _extents(kernel, dilation):
    """How far filters reach along each axis."""
    return [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]


class _ConvTranspose(Layer):
    """The base of transposed convolutions of any number of axes."""

    n_axes: int

    _parameter_constraints = {
        "filters": [Interval(Integral, 1, None, closed="left")],
        "kernel_size": "no_validation",
        "stride": "no_validation",
        "padding": "no_validation",
        "output_padding": "no_validation",
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
        output_padding: PerAxis = 0,
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
        self.output_padding = output_padding
        self.dilation = dilation
        self.groups = groups
        self.activation = activation
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.trainable = trainable

    def geometry(self, input_shape: tuple[int, ...]) -> tuple[tuple[Any, ...], ...]:
        """Geometry of the filters, one entry an axis.

        "same" leaves ``size * stride``: it takes away what the filter reaches beyond that,
        the odd row at the end. A filter smaller than its stride reaches less far.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        tuple of tuple
            Kernel size, stride, padding pairs and dilation.
        """
        kernel = per_axis(self.kernel_size, self.n_axes, "kernel_size")
        stride = per_axis(self.stride, self.n_axes, "stride")
        dilation = per_axis(self.dilation, self.n_axes, "dilation")
        extents = _extents(kernel, dilation)
        if isinstance(self.padding, str) and self.padding == "same":
            total = [max(e - s, 0) for e, s in zip(extents, stride, strict=True)]
            pads = tuple((t // 2, t - t // 2) for t in total)
        else:
            pads = window_padding(self.padding, (0,) * self.n_axes, extents, stride)
        return kernel, stride, pads, dilation

    def weight_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the filters: ``(*kernel_size, in_channels, filters / groups)``.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        tuple of int
        """
        kernel = per_axis(self.kernel_size, self.n_axes, "kernel_size")
        return (*kernel, input_shape[-1], self.filters // self.groups)

    def _output_shape(self, input_shape):
        sizes, channels = split_shape(input_shape, self.n_axes, type(self).__name__)
        kernel, stride, pads, dilation = self.geometry(input_shape)
        check_groups(self.groups, channels, self.filters)
        extra = per_axis(self.output_padding, self.n_axes, "output_padding", minimum=0)
        out = []
        for name, size, extent, s, pad, more in zip(
            AXIS_NAMES[self.n_axes],
            sizes,
            _extents(kernel, dilation),
            stride,
            pads,
            extra,
            strict=True,
        ):
            if more >= s:
                raise ValueError(
                    f"output_padding={more} must be smaller than the stride of {s} along the {name}"
                )
            length = (size - 1) * s + extent - sum(pad) + more
            if length < 1:
                raise ValueError(
                    f"padding {pad} leaves nothing of the {(size - 1) * s + extent + more} rows "
                    f"along the {name}: use less padding"
                )
            out.append(length)
        check_padded(out, pads, self.filters, "its output with padding")
        return (*out, self.filters)

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        # Position i of the input adds to i s - before + j d for j = 0, ..., k - 1.
        return tuple(
            Window(k, start=before - d * (k - 1), dilation=d, divisor=s)
            for k, s, (before, _), d in zip(*self.geometry(input_shape), strict=True)
        )


class ConvTranspose1D(_ConvTranspose):
    """Transposed convolution of signals ``(length, channels)``: see :class:`ConvTranspose2D`.

    Parameters
    ----------
    filters : int
        Number of output maps.
    kernel_size : int or tuple of int
        Size of the filters along each axis.
    stride : int or tuple of int, default=1
        Step in the output between neighbouring input pixels.
    padding : {"valid", "same"}, int or tuple, default="valid"
        Rows cropped from the output. "valid" crops none; "same" leaves ``size * stride`` rows. Or,
        for each axis, an int or a ``(before, after)`` pair.
    output_padding : int or tuple of int, default=0
        Rows added at the end of the output, less than `stride`.
    dilation : int or tuple of int, default=1
        Distance between neighbouring taps of the filter.
    groups : int, default=1
        The channels are cut into this many groups, each with its share of the filters.
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
    >>> from sklearn_convnet.layers import ConvTranspose1D
    >>> ConvTranspose1D(4, 5, stride=2).output_shape((10, 8))
    (23, 4)
    """

    n_axes = 1


class ConvTranspose2D(_ConvTranspose):
    """Transposed convolution: each input pixel adds its multiple of the filters to the output.

    ``z(j, x b + x', y b + y') += w(j, i, x', y') Y(i, x, y)``: the adjoint of a convolution
    with stride `b`, which is why it undoes its change of size (Zeiler et al., 2010).

    Parameters
    ----------
    filters : int
        Number of output maps.
    kernel_size : int or tuple of int
        Size of the filters along each axis.
    stride : int or tuple of int, default=1
        Step in the output between neighbouring input pixels.
    padding : {"valid", "same"}, int or tuple, default="valid"
        Rows cropped from the output. "valid" crops none; "same" leaves ``size * stride`` rows. Or,
        for each axis, an int or a ``(before, after)`` pair.
    output_padding : int or tuple of int, default=0
        Rows added at the end of the output, less than `stride`.
    dilation : int or tuple of int, default=1
        Distance between neighbouring taps of the filter.
    groups : int, default=1
        The channels are cut into this many groups, each with its share of the filters.
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
    Weights have the shape ``(*kernel_size, in_channels, filters / groups)``. The output has
    ``(size - 1) * stride + dilation * (kernel_size - 1) + 1 - padding + output_padding`` rows; the
    padding counts on both sides.

    Examples
    --------
    >>> from sklearn_convnet.layers import ConvTranspose2D
    >>> ConvTranspose2D(16, 2, stride=2).output_shape((7, 7, 32))
    (14, 14, 16)
    """

    n_axes = 2


class ConvTranspose3D(_ConvTranspose):
    """Transposed convolution of volumes: see :class:`ConvTranspose2D`.

    Parameters
    ----------
    filters : int
        Number of output maps.
    kernel_size : int or tuple of int
        Size of the filters along each axis.
    stride : int or tuple of int, default=1
        Step in the output between neighbouring input pixels.
    padding : {"valid", "same"}, int or tuple, default="valid"
        Rows cropped from the output. "valid" crops none; "same" leaves ``size * stride`` rows. Or,
        for each axis, an int or a ``(before, after)`` pair.
    output_padding : int or tuple of int, default=0
        Rows added at the end of the output, less than `stride`.
    dilation : int or tuple of int, default=1
        Distance between neighbouring taps of the filter.
    groups : int, default=1
        The channels are cut into this many groups, each with its share of the filters.
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
    >>> from sklearn_convnet.layers import ConvTranspose3D
    >>> ConvTranspose3D(4, 3, stride=2, padding="same").output_shape((4, 4, 4, 8))
    (8, 8, 8, 4)
    """

    n_axes = 3
