"""Enlarging maps without weights."""

from __future__ import annotations

from typing import Literal

from .._typing import PerAxis
from ..constraints import StrOptions
from .base import Layer
from .fields import Window
from .shapes import per_axis, split_shape


class _Upsample(Layer):
    """The base of layers that enlarge maps by whole factors."""

    _parameter_constraints = {
        "size": "no_validation",
        "interpolation": [StrOptions({"nearest", "linear"})],
    }

    def __init__(
        self, size: PerAxis = 2, interpolation: Literal["nearest", "linear", "bilinear"] = "nearest"
    ) -> None:
        self.size = size
        self.interpolation = interpolation

    def _output_shape(self, input_shape):
        sizes, channels = split_shape(input_shape, self.n_axes, type(self).__name__)
        factors = per_axis(self.size, self.n_axes, "size")
        return (*(s * f for s, f in zip(sizes, factors, strict=True)), channels)

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        factors = per_axis(self.size, self.n_axes, "size")
        if self.interpolation == "nearest":
            return tuple(Window(k, start=1 - k, divisor=k) for k in factors)
        # The two positions beside (2 o + 1 - k) / (2 k), or that itself.
        return tuple(Window(4 * k - 1, 2, 2 - 3 * k, divisor=2 * k) for k in factors)


class Upsample1D(_Upsample):
    """Enlarges signals ``(length, channels)`` by a whole factor: see :class:`Upsample2D`.

    Parameters
    ----------
    size : int, default=2
        The factor.
    interpolation : {"nearest", "linear"}, default="nearest"
        Whether steps are repeated, or interpolated linearly between their centres.

    Examples
    --------
    >>> from sklearn_convnet.layers import Upsample1D
    >>> Upsample1D(4, interpolation="linear").output_shape((25, 8))
    (100, 8)
    """

    n_axes = 1


class Upsample2D(_Upsample):
    """Enlarges images by a whole factor.

    Parameters
    ----------
    size : int or tuple of int, default=2
        The factor along each axis.
    interpolation : {"nearest", "bilinear"}, default="nearest"
        Whether pixels are repeated, or interpolated linearly between pixel centres.

    Examples
    --------
    >>> from sklearn_convnet.layers import Upsample2D
    >>> Upsample2D((2, 3)).output_shape((4, 4, 8))
    (8, 12, 8)
    """

    n_axes = 2

    _parameter_constraints = {
        **_Upsample._parameter_constraints,
        "interpolation": [StrOptions({"nearest", "bilinear"})],
    }


class Upsample3D(_Upsample):
    """Enlarges volumes ``(depth, height, width, channels)``: see :class:`Upsample2D`.

    Parameters
    ----------
    size : int or tuple of int, default=2
        The factor along each axis.
    interpolation : {"nearest", "linear"}, default="nearest"
        Whether voxels are repeated, or interpolated linearly between their centres, along all three
        axes.

    Examples
    --------
    >>> from sklearn_convnet.layers import Upsample3D
    >>> Upsample3D((1, 2, 2)).output_shape((4, 8, 8, 2))
    (4, 16, 16, 2)
    """

    n_axes = 3
