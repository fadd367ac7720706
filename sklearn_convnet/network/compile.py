"""From layers to a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from .._typing import RandomState
from ..layers.base import Layers
from ..layers.composition import check_layers
from .network import Network
from .passes import PASSES


def compile_network(
    layers: Layers,
    input_shape: tuple[int, ...],
    *,
    dtype: Literal["float32", "float64"] = "float32",
    random_state: RandomState = None,
    passes: Sequence[Callable[..., Any]] = PASSES,
) -> Network:
    """Compile layers into a network.

    Parameters
    ----------
    layers : list or tuple
        Layers or `(name, layer)` pairs. They are copied; no output layer is added.
    input_shape : tuple of int
        Shape of one sample, channels last; a missing channel axis means one channel.
    dtype : {"float32", "float64"}, default="float32"
        Precision of the network.
    random_state : int, RandomState or None, default=None
        Source of the initial weights and the dropout masks.
    passes : tuple of callables, default=PASSES
        Each takes a list of nodes, and whether it is for training, and returns a list of nodes
        that computes the same faster.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        If a parameter is invalid or a shape does not fit; the message names the layer.

    Examples
    --------
    >>> from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D
    >>> from sklearn_convnet.network import compile_network
    >>> layers = [("conv", Conv2D(6, 5)), MaxPool2D(2), ("out", Dense(10))]
    >>> network = compile_network(layers, (28, 28), random_state=0)
    >>> network.output_shape
    (10,)
    >>> {path: array.shape for path, array in network.parameters().items()}
    {'conv/weight': (5, 5, 1, 6), 'conv/bias': (6,), \
'out/weight': (864, 10), 'out/bias': (10,)}
    """
    named = clone(check_layers(layers), safe=False)
    network = Network(named, tuple(int(size) for size in input_shape), np.dtype(dtype), passes)
    network.initialize(check_random_state(random_state))
    return network
