"""Pooling: the maximum or the mean of windows, map by map."""

from .base import Layer
from .shapes import per_axis, split_shape, window_outputs, window_padding


class _Pool(Layer):
    """What pools with windows have in common."""

    _parameter_constraints = {
        "pool_size": "no_validation",
        "stride": "no_validation",
        "padding": "no_validation",
    }

    def __init__(self, pool_size, stride=None, padding="valid"):
        self.pool_size = pool_size
        self.stride = stride
        self.padding = padding

    def geometry(self, input_shape):
        """Window, stride and padding pairs, one entry an axis."""
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
        return (*window_outputs(sizes, window, stride, pads, "pool_size"), channels)


class MaxPool1D(_Pool):
    """Max pooling of signals ``(length, channels)``: see :class:`MaxPool2D`.

    Parameters
    ----------
    pool_size, stride, padding
        See :class:`MaxPool2D`.

    Examples
    --------
    >>> from sklearn_convnet.layers import MaxPool1D
    >>> MaxPool1D(2).output_shape((9, 8))
    (4, 8)
    """

    n_axes = 1


class MaxPool2D(_Pool):
    """The largest value of each window, map by map.

    The gradient goes to the place of the maximum, of equal ones to the first, and adds up
    where windows overlap. NaN counts as the largest value.

    Parameters
    ----------
    pool_size : int or tuple of int
        Size of the windows along each axis.
    stride : int or tuple of int, default=None
        Step from one window to the next; None is `pool_size`. Windows may overlap.
    padding : {"valid", "same"}, int or tuple, default="valid"
        As for :class:`Conv2D`, with minus infinity for zero. Smaller than `pool_size`.

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
    pool_size, stride, padding
        See :class:`MaxPool2D`.

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
    pool_size, stride, padding
        See :class:`AvgPool2D`.

    Examples
    --------
    >>> from sklearn_convnet.layers import AvgPool1D
    >>> AvgPool1D(4).output_shape((100, 8))
    (25, 8)
    """

    n_axes = 1


class AvgPool2D(_Pool):
    """The mean of each window, map by map.

    The mean is over the true pixels of a window: padding does not count.

    Parameters
    ----------
    pool_size : int or tuple of int
        Size of the windows along each axis.
    stride : int or tuple of int, default=None
        Step from one window to the next; None is `pool_size`. Windows may overlap.
    padding : {"valid", "same"}, int or tuple, default="valid"
        As for :class:`Conv2D`. Smaller than `pool_size`.

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
    pool_size, stride, padding
        See :class:`AvgPool2D`.

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
        return (input_shape[-1],)


class GlobalMaxPool(_GlobalPool):
    """The largest value of each map, over all its positions.

    Of equal maxima the first receives the gradient.

    Examples
    --------
    >>> from sklearn_convnet.layers import GlobalMaxPool
    >>> GlobalMaxPool().output_shape((7, 7, 512))
    (512,)
    """


class GlobalAvgPool(_GlobalPool):
    """The mean of each map, over all its positions (Lin, Chen and Yan, 2014).

    Examples
    --------
    >>> from sklearn_convnet.layers import GlobalAvgPool
    >>> GlobalAvgPool().output_shape((7, 7, 512))
    (512,)
    """
