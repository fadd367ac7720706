"""Bringing numbers to a common scale."""

from numbers import Real

from sklearn.utils._param_validation import Interval, StrOptions

from .base import Layer


class Rescale(Layer):
    """``Y = X scale + offset``, with fixed numbers.

    Parameters
    ----------
    scale : float
        The factor, for example ``1 / 255`` for images of bytes.
    offset : float, default=0.0
        Added after scaling.

    Examples
    --------
    >>> from sklearn_convnet.layers import Rescale
    >>> Rescale(1 / 127.5, offset=-1.0).output_shape((28, 28, 1))
    (28, 28, 1)
    """

    _parameter_constraints = {
        "scale": [Interval(Real, None, None, closed="neither")],
        "offset": [Interval(Real, None, None, closed="neither")],
    }

    def __init__(self, scale, offset=0.0):
        self.scale = scale
        self.offset = offset


class Standardize(Layer):
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

    def __init__(self, per="channel"):
        self.per = per
