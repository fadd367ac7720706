"""Bringing each sample to a common scale by itself."""

from __future__ import annotations

from numbers import Integral, Real

from ..constraints import Interval
from .base import Layer
from .fields import Window, pointwise


class LayerNorm(Layer):
    """Standardises the channels of each position, then scales and shifts each of them.

    ``Y = scale (X - mean) / sqrt(variance + epsilon) + offset``, with the mean and (biased)
    variance over the channels of a position: Ba, Kiros and Hinton, "Layer normalization",
    2016. Nothing depends on other samples, so training and predictions are the same.

    Parameters
    ----------
    epsilon : float, default=1e-5
        Added to the variance.
    trainable : bool, default=True
        Whether training changes `scale` and `offset`, one number each a channel, which begin
        as 1 and 0.

    See Also
    --------
    GroupNorm : Over all positions, and groups of the channels.

    Examples
    --------
    >>> from sklearn_convnet.layers import LayerNorm
    >>> LayerNorm().output_shape((8, 8, 64))
    (8, 8, 64)
    """

    _parameter_constraints = {
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "trainable": ["boolean"],
    }

    def __init__(self, epsilon: float = 1e-5, trainable: bool = True) -> None:
        self.epsilon = epsilon
        self.trainable = trainable

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return pointwise(input_shape)


class GroupNorm(Layer):
    """Standardises groups of the channels of each sample, then scales and shifts each channel.

    ``Y = scale (X - mean) / sqrt(variance + epsilon) + offset``, with the mean and (biased)
    variance over all positions and the neighbouring channels of a group: Wu and He, "Group
    normalization", 2018. Nothing depends on other samples, so small batches do no harm, and
    training and predictions are the same.

    Parameters
    ----------
    n_groups : int, default=32
        Number of groups; it divides the number of channels. With as many as there are channels
        it is instance normalisation (Ulyanov, Vedaldi and Lempitsky, 2016).
    epsilon : float, default=1e-5
        Added to the variance.
    trainable : bool, default=True
        Whether training changes `scale` and `offset`, one number each a channel, which begin
        as 1 and 0.

    See Also
    --------
    LayerNorm : Over the channels of each position by itself.

    Examples
    --------
    >>> from sklearn_convnet.layers import GroupNorm
    >>> GroupNorm(n_groups=8).output_shape((16, 16, 64))
    (16, 16, 64)
    """

    _parameter_constraints = {
        "n_groups": [Interval(Integral, 1, None, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "trainable": ["boolean"],
    }

    def __init__(self, n_groups: int = 32, epsilon: float = 1e-5, trainable: bool = True) -> None:
        self.n_groups = n_groups
        self.epsilon = epsilon
        self.trainable = trainable

    def _output_shape(self, input_shape):
        if input_shape[-1] % self.n_groups:
            raise ValueError(
                f"n_groups={self.n_groups} must divide the {input_shape[-1]} channels of its input"
            )
        return input_shape
