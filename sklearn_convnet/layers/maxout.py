"""Maxout: an activation that is the maximum over several linear functions."""

from __future__ import annotations

from numbers import Integral

from ..constraints import Interval
from .base import Layer
from .fields import Window, pointwise


class Maxout(Layer):
    """The largest of each `n_pieces` neighbouring channels, at each position.

    ``Y(..., j) = max over p of X(..., j n_pieces + p)``: Goodfellow et al., "Maxout networks",
    2013. After a dense layer or a convolution without activation, each unit is the maximum of
    `n_pieces` affine functions, a convex function that is learnt. Of equal numbers the first
    receives the gradient, and NaN counts as the largest, as in a max pool.

    Parameters
    ----------
    n_pieces : int, default=2
        How many channels become one. It must divide their number.

    Examples
    --------
    Sixty-four maxout units of three pieces each, and sixteen maps of two:

    >>> from sklearn_convnet.layers import Conv2D, Dense, Maxout, Sequential
    >>> Sequential([Dense(64 * 3, activation=None), Maxout(3)]).output_shape((10,))
    (64,)
    >>> maps = Sequential([Conv2D(16 * 2, 3, activation=None), Maxout(2)])
    >>> maps.output_shape((28, 28, 1))
    (26, 26, 16)
    """

    _parameter_constraints = {"n_pieces": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, n_pieces: int = 2) -> None:
        self.n_pieces = n_pieces

    def _output_shape(self, input_shape):
        *sizes, channels = input_shape
        n_units, rest = divmod(channels, self.n_pieces)
        if rest:
            raise ValueError(
                f"n_pieces={self.n_pieces} does not divide its {channels} channels: give the layer "
                f"before it a multiple, such as {(n_units + 1) * self.n_pieces}"
            )
        return (*sizes, n_units)

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return pointwise(input_shape)
