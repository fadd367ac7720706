"""Dropout."""

from numbers import Real

from ..constraints import Interval
from .base import Layer
from .fields import pointwise


class Dropout(Layer):
    """Sets a random share of the numbers to zero in training, and does nothing else.

    The others are divided by ``1 - rate``, so that the expectation stays: Srivastava et
    al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.

    Parameters
    ----------
    rate : float, default=0.5
        Probability of a number to be dropped, at least 0 and below 1.

    Examples
    --------
    >>> from sklearn_convnet.layers import Dropout
    >>> Dropout(0.2).output_shape((120,))
    (120,)
    """

    _parameter_constraints = {"rate": [Interval(Real, 0, 1, closed="left")]}

    def __init__(self, rate=0.5):
        self.rate = rate

    def windows(self, input_shape):
        return pointwise(input_shape)
