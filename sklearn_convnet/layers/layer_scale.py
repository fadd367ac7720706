"""A learnt factor for each channel."""

from __future__ import annotations

from numbers import Real

from ..constraints import Interval
from .base import Layer
from .fields import Window, pointwise


class LayerScale(Layer):
    """``Y = X scale``, with a learnt factor for each channel that starts small.

    Placed at the end of a residual branch, it lets the block start close to the identity, however
    deep the network: Touvron et al., "Going deeper with image transformers", 2021.

    Parameters
    ----------
    initial_value : float, default=1e-6
        Initial value of all factors.
    trainable : bool, default=True
        Whether training changes the factors.

    Notes
    -----
    The weights are ``scale``, of shape ``(channels,)``.

    Examples
    --------
    >>> from sklearn_convnet.layers import Conv2D, LayerScale, Residual
    >>> block = Residual([Conv2D(16, 3, padding="same"), LayerScale(1e-4)])
    >>> block.output_shape((8, 8, 16))
    (8, 8, 16)
    """

    _parameter_constraints = {
        "initial_value": [Interval(Real, None, None, closed="neither")],
        "trainable": ["boolean"],
    }

    def __init__(self, initial_value: float = 1e-6, trainable: bool = True) -> None:
        self.initial_value = initial_value
        self.trainable = trainable

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return pointwise(input_shape)
