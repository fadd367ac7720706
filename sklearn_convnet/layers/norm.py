"""Bringing numbers to a common scale."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..constraints import Interval, StrOptions
from .base import Layer
from .fields import Window, pointwise
from .shapes import MAX_SIZE
from .transforms import check_transforms


class _Pointwise(Layer):
    """Base of the layers that mix no positions, at a prediction."""

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return pointwise(input_shape)


class Rescale(_Pointwise):
    """``Y = X scale + offset``, with fixed numbers.

    Parameters
    ----------
    scale : float or array-like of shape (n_channels,)
        The factor, for example ``1 / 255`` for images of bytes; or one for each channel.
    offset : float or array-like of shape (n_channels,), default=0.0
        Added after scaling.

    Examples
    --------
    >>> from sklearn_convnet.layers import Rescale
    >>> Rescale(1 / 127.5, offset=-1.0).output_shape((28, 28, 1))
    (28, 28, 1)

    Known means and deviations of the channels, for images of bytes:

    >>> import numpy as np
    >>> mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    >>> Rescale(1 / (255 * deviation), offset=-mean / deviation).output_shape((28, 28, 3))
    (28, 28, 3)
    """

    _parameter_constraints = {
        "scale": [Interval(Real, None, None, closed="neither"), "array-like"],
        "offset": [Interval(Real, None, None, closed="neither"), "array-like"],
    }

    def __init__(self, scale: float | ArrayLike, offset: float | ArrayLike = 0.0) -> None:
        self.scale = scale
        self.offset = offset

    @property
    def is_per_channel(self) -> bool:
        """True if channels have numbers of their own."""
        return np.ndim(self.scale) > 0 or np.ndim(self.offset) > 0

    def _output_shape(self, input_shape):
        for name in ("scale", "offset"):
            _check_per_channel(name, getattr(self, name), input_shape[-1])
        return input_shape


def _check_per_channel(name, value, n_channels):
    """Raises ValueError unless it is a finite number or one for each channel."""
    numbers = np.asarray(value)
    if numbers.ndim and numbers.shape != (n_channels,):
        raise ValueError(
            f"{name} must be a number or {n_channels} of them, one for each channel, got an array "
            f"of shape {numbers.shape}"
        )
    if numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all():
        raise ValueError(f"{name} must hold finite numbers, got {name}={value!r}")


class Standardize(_Pointwise):
    """``Y = (X - mean) / deviation``, with the statistics of the training data.

    `fit` computes the statistics once, before training, with sample weights where they are
    given; `partial_fit` computes them from the first data that it sees. What is constant
    in the training data is only shifted.

    Parameters
    ----------
    per : {"channel", "value"}, default="channel"
        Whether there is one mean and deviation for each channel, over all positions, or one
        for each value of a sample, as for the columns of a table.

    Examples
    --------
    >>> from sklearn_convnet.layers import Standardize
    >>> Standardize().output_shape((28, 28, 3))
    (28, 28, 3)
    """

    _parameter_constraints = {"per": [StrOptions({"channel", "value"})]}

    def __init__(self, per: Literal["channel", "value"] = "channel") -> None:
        self.per = per


class BatchNorm(_Pointwise):
    """Standardises each channel with the statistics of the batch, then scales and shifts.

    ``Y = scale (X - mean) / sqrt(variance + epsilon) + offset``: Ioffe and Szegedy, "Batch
    normalization", 2015. In training, mean and (biased) variance are those of the batch, over
    samples and positions, with sample weights where they are given; a prediction uses their running
    averages, which are folded into a convolution or dense layer before it.

    Parameters
    ----------
    momentum : float, default=0.9
        Share of the running statistics that a step keeps.
    epsilon : float, default=1e-5
        Added to the variance.
    trainable : bool, default=True
        Whether training changes `scale` and `offset`. If not, training uses the running statistics,
        as a prediction does, and does not change them.
    n_transforms : int, default=1
        After an unpooled transform convolution, such as :class:`TransformConv2D`: its number of
        transforms, 4 of "p4". The maps of a filter in all transforms are then one channel, with one
        mean, variance, scale and offset; with one for each map, maps would no longer turn with the
        input.

    Examples
    --------
    >>> from sklearn_convnet.layers import BatchNorm
    >>> BatchNorm(momentum=0.99).output_shape((8, 8, 16))
    (8, 8, 16)
    """

    _parameter_constraints = {
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "trainable": ["boolean"],
        "n_transforms": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        trainable: bool = True,
        n_transforms: int = 1,
    ) -> None:
        self.momentum = momentum
        self.epsilon = epsilon
        self.trainable = trainable
        self.n_transforms = n_transforms

    def _output_shape(self, input_shape):
        check_transforms(self.n_transforms, input_shape[-1], f"n_transforms={self.n_transforms}")
        return input_shape


class LocalResponseNorm(_Pointwise):
    """Divides each map by a function of the neighbouring maps at the same position.

    ``y_c = x_c / (bias + alpha / size * sum x_j^2)^beta``, the sum over the `size` maps
    around `c`: Krizhevsky, Sutskever and Hinton, "ImageNet classification", 2012.

    Parameters
    ----------
    size : int, default=5
        Number of maps in the sum; of an even number the larger half lies before `c`.
    alpha : float, default=1e-4
        Weight of the sum.
    beta : float, default=0.75
        Exponent.
    bias : float, default=1.0
        Added to the sum.

    Examples
    --------
    >>> from sklearn_convnet.layers import LocalResponseNorm
    >>> LocalResponseNorm().output_shape((27, 27, 96))
    (27, 27, 96)
    """

    _parameter_constraints = {
        "size": [Interval(Integral, 1, MAX_SIZE, closed="both")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "bias": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
    ) -> None:
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.bias = bias
