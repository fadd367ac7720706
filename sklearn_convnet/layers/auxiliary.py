"""Heads that take part in training only."""

from __future__ import annotations

from numbers import Real
from typing import Any

from ..constraints import Interval
from .base import Chain, Layer, Layers
from .blocks import chain_shape
from .composition import LayerComposition, Sequential, check_layers
from .fields import Window, pointwise


class AuxiliaryHead(LayerComposition, Layer):
    """A second output in the middle of a network, used in training only.

    Its input passes through unchanged. In training, its layers also predict y from it, with an
    output layer like the network's, which the estimator adds under the name ``output``. `weight`
    times their loss is added to that of the network, so gradients have a short path to the early
    layers of a deep network. In predictions nothing of the head is computed: Szegedy et al., "Going
    deeper with convolutions", 2015.

    It may stand between the layers of a network or of a `Sequential`, not in other blocks. The
    output must be flat: classes, labels, values, or a class with a box, not maps.

    Parameters
    ----------
    layers : list or tuple
        Layers or `(name, layer)` pairs, without the output layer.
    weight : float, default=0.3
        Factor on the loss of the head.

    Examples
    --------
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.layers import (
    ...     AuxiliaryHead, AvgPool2D, Conv2D, Dense, GlobalAvgPool, MaxPool2D)
    >>> head = AuxiliaryHead([AvgPool2D(3), Conv2D(8, 1), Dense(32)])
    >>> head.output_shape((12, 12, 16))
    (12, 12, 16)
    >>> clf = ConvNetClassifier([
    ...     Conv2D(16, 3), ("aux", head), MaxPool2D(2), Conv2D(32, 3), GlobalAvgPool()])
    >>> clf.set_params(aux__weight=0.2).get_params()["aux__dense1__units"]
    32
    """

    _parameter_constraints = {
        "layers": "no_validation",
        "weight": [Interval(Real, 0, None, closed="neither")],
    }

    passes_on = True

    def __init__(self, layers: Layers, weight: float = 0.3) -> None:
        self.layers = layers
        self.weight = weight

    def outline(self) -> list[list[tuple[str, Any]]]:
        return [self.named_children(), []]

    def _output_shape(self, input_shape):
        chain_shape(self.layers, input_shape)
        return input_shape

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return pointwise(input_shape)

    def chains(self, input_shape: tuple[int, ...]) -> list[Chain]:
        return [Chain(check_layers(self.layers), input_shape), Chain([], input_shape)]


def has_heads(layers):
    """True if an auxiliary head stands between some layers."""
    pairs = check_layers(layers)
    return any(
        isinstance(layer, AuxiliaryHead)
        or (isinstance(layer, Sequential) and has_heads(layer.layers))
        for _, layer in pairs
    )


def without_heads(layers):
    """`(name, layer)` pairs of the layers that a prediction needs."""
    return [
        (name, Sequential(without_heads(layer.layers)) if isinstance(layer, Sequential) else layer)
        for name, layer in check_layers(layers)
        if not isinstance(layer, AuxiliaryHead)
    ]


def with_outputs(layers, input_shape, complete):
    """`(name, layer)` pairs with other heads.

    Parameters
    ----------
    layers : list or tuple
        They fit.
    input_shape : tuple of int
        Shape of a sample, with channels.
    complete : callable
        ``complete(path, head, input_shape)`` returns what takes the place of a head.
    """
    return _with_outputs(layers, tuple(input_shape), complete, "")


def _with_outputs(layers, shape, complete, prefix):
    pairs = []
    for name, layer in check_layers(layers):
        path, new = prefix + name, layer
        if isinstance(layer, AuxiliaryHead):
            new = complete(path, layer, shape)
        elif isinstance(layer, Sequential):
            new = Sequential(_with_outputs(layer.layers, shape, complete, f"{path}/"))
        pairs.append((name, new))
        shape = layer.output_shape(shape)
    return pairs
