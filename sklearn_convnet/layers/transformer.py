"""The block of a transformer, made of other layers."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from ..constraints import Interval, StrOptions
from ..initializers import INITIALIZERS
from .activation import ACTIVATION_CONSTRAINT
from .attention import SelfAttention, check_positions
from .base import Chain, Layer
from .blocks import Residual
from .conv import CONV
from .dropout import Dropout, StochasticDepth
from .group_norm import LayerNorm
from .shapes import AXIS_NAMES


class TransformerBlock(Layer):
    """Attention among all positions, then an MLP at each of them, both added to their input.

    ``Z = X + attention(norm(X))``, ``Y = Z + mlp(norm(Z))``, each norm a :class:`LayerNorm`: the
    encoder of Vaswani et al., "Attention is all you need", 2017, with the norms before the layers
    (Xiong et al., "On layer normalization in the transformer architecture", 2020), as in the vision
    transformer of Dosovitskiy et al. (2021). The last block of a network should be followed by
    another :class:`LayerNorm`; before the first, positions need a :class:`PositionEmbedding`, or
    `relative_position`.

    Parameters
    ----------
    n_heads : int, default=1
        Number of heads, a divisor of the number of channels.
    mlp_units : int or None, default=None
        Number of hidden units of the MLP; None is four times the number of channels.
    activation : str or None, default="gelu"
        Of the hidden units: see :class:`Activation`.
    dropout : float, default=0.0
        Rate of the :class:`Dropout` after the attention, after the hidden units and after the
        MLP. The weights of the attention are not dropped.
    stochastic_depth : float, default=0.0
        Rate of the :class:`StochasticDepth` of both sums.
    relative_position : bool, default=False
        See :class:`SelfAttention`.
    kernel_initializer : str, default="auto"
        See :class:`Conv2D`.
    trainable : bool, default=True
        Whether training changes the weights.

    Notes
    -----
    The weights are those of ``attention/norm``, ``attention/attention``, ``mlp/norm``,
    ``mlp/dense1`` and ``mlp/dense2``, the last two as pointwise convolutions. With `C` channels and
    `M` hidden units they are ``4 C^2 + 2 C M + 9 C + M`` numbers. Memory grows with the square of
    the number of positions.

    Examples
    --------
    >>> from sklearn_convnet.layers import TransformerBlock
    >>> TransformerBlock(n_heads=4).output_shape((8, 8, 64))
    (8, 8, 64)
    """

    _parameter_constraints = {
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "mlp_units": [Interval(Integral, 1, None, closed="left"), None],
        "activation": ACTIVATION_CONSTRAINT,
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "stochastic_depth": [Interval(Real, 0, 1, closed="left")],
        "relative_position": ["boolean"],
        "kernel_initializer": [StrOptions(INITIALIZERS)],
        "trainable": ["boolean"],
    }

    def __init__(
        self,
        n_heads: int = 1,
        mlp_units: int | None = None,
        activation: str | None = "gelu",
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
        relative_position: bool = False,
        kernel_initializer: str = "auto",
        trainable: bool = True,
    ) -> None:
        self.n_heads = n_heads
        self.mlp_units = mlp_units
        self.activation = activation
        self.dropout = dropout
        self.stochastic_depth = stochastic_depth
        self.relative_position = relative_position
        self.kernel_initializer = kernel_initializer
        self.trainable = trainable

    def stages(self, input_shape: tuple[int, ...]) -> list[tuple[str, Layer]]:
        """Its two residual blocks, with their names.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        list of (str, Layer)
        """
        common: dict[str, Any] = {
            "kernel_initializer": self.kernel_initializer,
            "trainable": self.trainable,
        }
        conv = CONV[len(input_shape) - 1]
        channels = input_shape[-1]
        units = 4 * channels if self.mlp_units is None else self.mlp_units
        attention = SelfAttention(
            self.n_heads, relative_position=self.relative_position, residual=False, **common
        )
        hidden = [
            ("dense1", conv(units, 1, activation=self.activation, **common)),
            *self._dropped("dropout1"),
            ("dense2", conv(channels, 1, activation=None, **common)),
        ]
        return [
            ("attention", self._residual([("attention", attention), *self._dropped("dropout")])),
            ("mlp", self._residual([*hidden, *self._dropped("dropout2")])),
        ]

    def _dropped(self, name):
        return [(name, Dropout(self.dropout))] if self.dropout else []

    def _residual(self, layers):
        """X + layers(norm(X)), for some samples X alone."""
        last = [("depth", StochasticDepth(self.stochastic_depth))] if self.stochastic_depth else []
        norm = ("norm", LayerNorm(trainable=self.trainable))
        return Residual([norm, *layers, *last], shortcut="identity")

    def _output_shape(self, input_shape):
        check_positions("TransformerBlock", input_shape)
        n_axes = len(input_shape) - 1
        if n_axes not in AXIS_NAMES:
            raise ValueError(f"TransformerBlock needs 1 to 3 axes of positions, got {n_axes}")
        for _, stage in self.stages(input_shape):
            stage.output_shape(input_shape)
        return input_shape

    def chains(self, input_shape: tuple[int, ...]) -> list[Chain]:
        return [Chain(self.stages(input_shape), input_shape)]
