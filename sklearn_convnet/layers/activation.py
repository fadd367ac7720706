"""Activations."""

from __future__ import annotations

from numbers import Real

from ..constraints import Interval, StrOptions
from .base import Layer
from .fields import Window, pointwise

#: Names of activations whose parameter `alpha` is used, with its default.
ALPHA = {"leaky_relu": 0.01, "elu": 1.0}

ACTIVATIONS = (
    "identity",
    "relu",
    "leaky_relu",
    "tanh",
    "logistic",
    "elu",
    "gelu",
    "softplus",
    "relu6",
    "silu",
    "hard_swish",
    "hard_logistic",
    "softsign",
    "softmax",
)

ACTIVATION_CONSTRAINT = [StrOptions(set(ACTIVATIONS)), None]


class Activation(Layer):
    """Applies a function to each number, or to the channels of each position.

    Parameters
    ----------
    activation : str or None
        With ``z`` the input:

        - "identity" (or None): ``z``
        - "relu": ``max(z, 0)``, with derivative 0 at 0
        - "leaky_relu": ``z`` if ``z > 0``, else ``alpha z``
        - "tanh": the hyperbolic tangent
        - "logistic": ``1 / (1 + exp(-z))``
        - "elu": ``z`` if ``z > 0``, else ``alpha (exp(z) - 1)`` (Clevert et al., 2016)
        - "gelu": ``z Phi(z)`` with the normal distribution function, not an approximation
          of it (Hendrycks and Gimpel, 2016)
        - "softplus": ``log(1 + exp(z))``
        - "relu6": ``min(max(z, 0), 6)``, with derivative 0 at 0 and 6 (Sandler et al., 2018)
        - "silu": ``z / (1 + exp(-z))``, also called swish (Elfwing et al., 2018)
        - "hard_swish": ``z hard_logistic(z)`` (Howard et al., 2019)
        - "hard_logistic": ``max(0, min(1, z / 6 + 1 / 2))``, also called hard sigmoid
        - "softsign": ``z / (1 + |z|)`` (Bergstra et al., 2009)
        - "softmax": ``exp(z_c) / sum_c' exp(z_c')`` over the channels of a position
    alpha : float, default=None
        The slope of "leaky_relu" (None is 0.01) or the scale of "elu" (None is 1.0), not negative;
        ignored by the others.

    Examples
    --------
    >>> from sklearn_convnet.layers import Activation
    >>> Activation("leaky_relu", alpha=0.2).output_shape((8, 8, 3))
    (8, 8, 3)
    """

    _parameter_constraints = {
        "activation": ACTIVATION_CONSTRAINT,
        "alpha": [Interval(Real, 0, None, closed="left"), None],
    }

    def __init__(self, activation: str | None, alpha: float | None = None) -> None:
        self.activation = activation
        self.alpha = alpha

    def _output_shape(self, input_shape):
        if self.alpha is not None and self.activation not in ALPHA:
            raise ValueError(
                f"alpha={self.alpha} has no meaning for activation={self.activation!r}, "
                f"only for {' and '.join(map(repr, ALPHA))}"
            )
        return input_shape

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...] | None:
        return pointwise(input_shape)
