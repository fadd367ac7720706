"""Dense layers, and flattening before them."""

from __future__ import annotations

from math import prod
from numbers import Integral

from ..constraints import Interval, StrOptions
from ..initializers import INITIALIZERS
from .activation import ACTIVATION_CONSTRAINT
from .base import Layer


class Flatten(Layer):
    """Flattens maps into a vector, with the channels of a position next to each other.

    `Dense` does this by itself; this layer makes it explicit.

    Examples
    --------
    >>> from sklearn_convnet.layers import Flatten
    >>> Flatten().output_shape((5, 5, 16))
    (400,)
    """

    def _output_shape(self, input_shape):
        return (prod(input_shape),)


class Dense(Layer):
    """A fully connected layer: ``Y = f(X W + b)``.

    Maps are flattened first.

    Parameters
    ----------
    units : int
        Number of units.
    activation : str or None, default="relu"
        See :class:`Activation`. None is "identity".
    use_bias : bool, default=True
        Whether each unit adds a bias.
    kernel_initializer : str, default="auto"
        See :class:`Conv2D`.
    trainable : bool, default=True
        Whether training changes the weights.

    Notes
    -----
    Weights have the shape ``(inputs, units)``.

    Examples
    --------
    >>> from sklearn_convnet.layers import Dense
    >>> Dense(120).output_shape((5, 5, 16))
    (120,)
    """

    _parameter_constraints = {
        "units": [Interval(Integral, 1, None, closed="left")],
        "activation": ACTIVATION_CONSTRAINT,
        "use_bias": ["boolean"],
        "kernel_initializer": [StrOptions(INITIALIZERS)],
        "trainable": ["boolean"],
    }

    def __init__(
        self,
        units: int,
        activation: str | None = "relu",
        use_bias: bool = True,
        kernel_initializer: str = "auto",
        trainable: bool = True,
    ) -> None:
        self.units = units
        self.activation = activation
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.trainable = trainable

    def weight_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the weights: ``(inputs, units)``.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        tuple of int
        """
        return prod(input_shape), self.units

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        """Number of multiply-adds for one sample.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        int
        """
        return prod(self.weight_shape(input_shape))

    def _output_shape(self, input_shape):
        return (self.units,)
