"""Self-attention over positions."""

from math import prod
from numbers import Integral

from ..constraints import Interval, StrOptions
from ..initializers import INITIALIZERS
from .base import Layer
from .shapes import check_values


class SelfAttention(Layer):
    """Each position looks at all positions and adds what it finds there.

    With queries ``Q = X W_q + b_q``, keys K and values V alike, for each head
    ``softmax(Q K' / sqrt(d)) V``; the heads side by side are multiplied by a last matrix
    and added to the input: Vaswani et al., "Attention is all you need", 2017.

    Parameters
    ----------
    n_heads : int, default=1
        Number of heads; it divides the number of channels.
    relative_position : bool, default=False
        Whether each head adds a trained number to the score for each offset between two
        positions (Shaw et al., 2018, in the form of a bias).
    residual : bool, default=True
        Whether the input is added.
    kernel_initializer : str, default="auto"
        See :class:`Conv2D`.
    trainable : bool, default=True
        Whether training changes the weights.

    Notes
    -----
    The weights are ``query``, ``key``, ``value`` and ``output``, each of shape
    ``(channels, channels)``, a bias for each of them, and ``position`` of shape
    ``(n_offsets, n_heads)``. Memory grows with the square of the number of positions.

    Examples
    --------
    >>> from sklearn_convnet.layers import SelfAttention
    >>> SelfAttention(n_heads=4).output_shape((7, 7, 64))
    (7, 7, 64)
    """

    _parameter_constraints = {
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "relative_position": ["boolean"],
        "residual": ["boolean"],
        "kernel_initializer": [StrOptions(INITIALIZERS)],
        "trainable": ["boolean"],
    }

    def __init__(
        self,
        n_heads=1,
        relative_position=False,
        residual=True,
        kernel_initializer="auto",
        trainable=True,
    ):
        self.n_heads = n_heads
        self.relative_position = relative_position
        self.residual = residual
        self.kernel_initializer = kernel_initializer
        self.trainable = trainable

    def multiply_adds(self, input_shape):
        """Multiplications with additions that one sample takes."""
        positions, channels = prod(input_shape[:-1]), input_shape[-1]
        return 4 * positions * channels**2 + 2 * positions**2 * channels

    def _output_shape(self, input_shape):
        if len(input_shape) < 2:
            raise ValueError(
                f"SelfAttention needs positions, got the flat shape {input_shape}: "
                "put it before Flatten and Dense"
            )
        if input_shape[-1] % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} must divide the {input_shape[-1]} channels of its input"
            )
        positions = prod(input_shape[:-1])
        check_values((self.n_heads, positions, positions), "its scores")
        return input_shape
