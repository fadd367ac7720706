"""The initial weights of a network.

All are drawn in float64 and then rounded, so that networks of both precisions start alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["INITIALIZERS", "initial_weights"]

# name: (distribution, which fan, gain), with variance gain / fan
_VARIANCES = {
    "he_normal": ("normal", "in", 2.0),  # He et al., 2015
    "he_uniform": ("uniform", "in", 2.0),
    "glorot_normal": ("normal", "mean", 1.0),  # Glorot and Bengio, 2010
    "glorot_uniform": ("uniform", "mean", 1.0),
    "lecun_normal": ("normal", "in", 1.0),  # LeCun et al., 1998
    "lecun_uniform": ("uniform", "in", 1.0),
}

INITIALIZERS = {"auto", "zeros", *_VARIANCES}  # what a user may name

#: Activations that let about half of the variance through.
_RECTIFIERS = {"relu", "leaky_relu", "elu", "gelu", "softplus", "relu6", "silu", "hard_swish"}


def initial_weights(
    name: str | float,
    shape: tuple[int, ...],
    fan_in: int,
    fan_out: int,
    activation: str | None,
    random_state: np.random.RandomState,
) -> NDArray[Any]:
    """Draw the initial weights of a layer.

    Parameters
    ----------
    name : str or float
        One of `INITIALIZERS`, or "ones"; "auto" takes "he_normal" before a rectifier and
        "glorot_uniform" before anything else. A number is that of all weights.
    shape : tuple of int
        Shape of the weights.
    fan_in, fan_out : int
        Number of inputs of an output, and of outputs of an input.
    activation : str or None
        What follows.
    random_state : RandomState
        Where the numbers come from.

    Returns
    -------
    ndarray of float64

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.initializers import initial_weights
    >>> rng = np.random.RandomState(0)
    >>> W = initial_weights("auto", (5, 5, 1, 6), 25, 150, "relu", rng)
    >>> W.shape
    (5, 5, 1, 6)
    """
    if name in ("zeros", "ones"):
        return np.full(shape, float(name == "ones"))
    if isinstance(name, float):
        return np.full(shape, name)
    if name == "auto":
        name = "he_normal" if activation in _RECTIFIERS else "glorot_uniform"
    distribution, which, gain = _VARIANCES[name]
    fan = fan_in if which == "in" else (fan_in + fan_out) / 2
    deviation = np.sqrt(gain / fan)
    if distribution == "normal":
        return random_state.normal(0.0, deviation, shape)
    limit = np.sqrt(3.0) * deviation
    return random_state.uniform(-limit, limit, shape)
