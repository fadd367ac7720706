"""Dropout, of numbers and of samples."""

from __future__ import annotations

from numbers import Real

from ..constraints import Interval
from .base import Layer
from .fields import Window, pointwise


class Dropout(Layer):
    """Sets a random share of the numbers to zero in training; predictions pass unchanged.

    The others are divided by ``1 - rate``, so that the expectation stays the same: Srivastava et
    al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.

    Parameters
    ----------
    rate : float, default=0.5
        Probability that a number is dropped, at least 0 and below 1.

    Examples
    --------
    >>> from sklearn_convnet.layers import Dropout
    >>> Dropout(0.2).output_shape((120,))
    (120,)
    """

    _parameter_constraints = {"rate": [Interval(Real, 0, 1, closed="left")]}

    def __init__(self, rate: float = 0.5) -> None:
        self.rate = rate

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return pointwise(input_shape)


class StochasticDepth(Layer):
    """Sets a random share of the samples to zero in training; predictions pass unchanged.

    Placed at the end of a :class:`Residual` block, it skips the other layers of the block for these
    samples: Huang et al., "Deep networks with stochastic depth", 2016. The numbers of the other
    samples are divided by ``1 - rate``, so that the expectation stays the same.

    Parameters
    ----------
    rate : float, default=0.5
        Probability that a sample is dropped, at least 0 and below 1.

    Examples
    --------
    >>> from sklearn_convnet.layers import Conv2D, Residual, StochasticDepth
    >>> block = Residual([Conv2D(16, 3, padding="same"), StochasticDepth(0.1)])
    >>> block.output_shape((8, 8, 16))
    (8, 8, 16)
    """

    _parameter_constraints = {"rate": [Interval(Real, 0, 1, closed="left")]}

    def __init__(self, rate: float = 0.5) -> None:
        self.rate = rate

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return pointwise(input_shape)
