"""Where a position lies, as numbers added to its channels."""

from __future__ import annotations

from typing import Literal

from ..constraints import StrOptions
from .base import Layer
from .fields import Window, pointwise


class PositionEmbedding(Layer):
    """Adds to the channels of each position a vector that encodes the position.

    Attention sees positions as a set; what comes before it has to tell them apart.

    Parameters
    ----------
    kind : {"learned", "sinusoidal"}, default="learned"
        "learned": a trained vector for each position (Dosovitskiy et al., "An image is worth
        16x16 words", 2021). Samples of another size have other positions: they are refused.

        "sinusoidal": sines and cosines of the position, without weights, for maps of any size
        (Vaswani et al., "Attention is all you need", 2017). Of `k` axes, each has ``channels /
        k`` neighbouring channels, in the order of the axes, as in 2-D in MoCo v3 (Chen, Xie and
        He, 2021): at place `p` of its axis, ``sin(p w_i)`` for each frequency and then ``cos(p
        w_i)``, with ``w_i = 10000^(-i / n)`` for `i` from 0 to ``n = channels / (2 k)``.
    trainable : bool, default=True
        Whether training changes the weights of "learned".

    Notes
    -----
    The weights of "learned" are ``position``, of the shape of a sample; their initial values are
    normal with a standard deviation of 0.02.

    Examples
    --------
    >>> from sklearn_convnet.layers import PositionEmbedding
    >>> PositionEmbedding("sinusoidal").output_shape((8, 8, 64))
    (8, 8, 64)
    """

    _parameter_constraints = {
        "kind": [StrOptions({"learned", "sinusoidal"})],
        "trainable": ["boolean"],
    }

    def __init__(
        self, kind: Literal["learned", "sinusoidal"] = "learned", trainable: bool = True
    ) -> None:
        self.kind = kind
        self.trainable = trainable

    def _output_shape(self, input_shape):
        n_axes, channels = len(input_shape) - 1, input_shape[-1]
        if n_axes == 0:
            raise ValueError(
                f"PositionEmbedding needs positions, got the flat shape {input_shape}: "
                "put it before Flatten and Dense"
            )
        if self.kind == "sinusoidal" and channels % (2 * n_axes):
            raise ValueError(
                f"kind='sinusoidal' needs a multiple of {2 * n_axes} channels, a sine and a cosine "
                f"for each axis, got {channels}: use kind='learned', or other channels"
            )
        return input_shape

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return pointwise(input_shape)
