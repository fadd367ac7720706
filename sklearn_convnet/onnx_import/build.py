"""Layers and their weights from terms."""

import numpy as np

from ..layers.activation import Activation
from ..layers.blocks import DenseBlock, Parallel, Residual
from ..layers.composition import Sequential
from ..layers.dense import Dense
from ..layers.gate import Gate, SqueezeExcite
from ..layers.layer_scale import LayerScale
from ..layers.norm import BatchNorm, Rescale, Standardize
from ..layers.pool import GlobalAvgPool
from ..layers.position import PositionEmbedding
from ..layers.tree import parts_of_network, walk_parts
from .attention import attention_layer
from .model import UnreadableError
from .rules import with_bias

_OWN_WORDS = {
    "add": "a sum",
    "mul": "a product",
    "mean": "a mean over some axes",
    "centre": "a mean over channels that is taken away",
    "over": "a division by a deviation",
    "edge": "a border of the outermost pixels",
    "max": "the largest of several values",
    "scores": "a product of queries and keys",
    "attend": "a product of scores and values",
    "position": "a number that is added to scores",
}


class Built:
    """Layers, and the weights of each.

    Attributes
    ----------
    weights : dict of int to dict
        By the identity of a layer: its arrays by their names inside of it.
    """

    def __init__(self):
        self.weights = {}

    def layers(self, terms):
        """The layers of a chain of terms."""
        found = []
        for term in terms:
            made = self._made(term)
            if made is None:
                continue
            if found and self._joined(found, made):
                continue
            found.append(made)
        return found

    def _keep(self, layer, weights):
        self.weights[id(layer)] = weights
        return layer

    def _made(self, term):
        if term.kind == "layer":
            return self._keep(term.layer, term.weights)
        if term.kind == "affine":
            return self._affine(term)
        if term.kind == "attention":
            layer, weights = attention_layer(term, residual=False)
            return self._keep(layer, weights)
        if term.kind == "function" and term.data == ("power", 2.0):
            return Gate([])
        if term.chains and hasattr(self, f"_{term.kind}"):
            return getattr(self, f"_{term.kind}")(term, [self.layers(c) for c in term.chains])
        what = _OWN_WORDS.get(term.kind, f"the function {term.data}")
        raise UnreadableError(term.operator, f"{what} is a part of no layer that is known here")

    # --- neighbours ----------------------------------------------------------------------

    def _joined(self, found, layer):
        """True if a layer could be put into the one before it."""
        last = found[-1]
        free = getattr(last, "activation", "none") is None and hasattr(last, "use_bias")
        if isinstance(layer, Activation):
            if free and layer.alpha is None and layer.activation != "softmax":
                last.activation = layer.activation
                return True
        elif isinstance(layer, Parallel) and isinstance(last, (Parallel, DenseBlock)):
            if _grows(layer) and (isinstance(last, DenseBlock) or _grows(last)):
                before = last.layers if isinstance(last, DenseBlock) else [last.branches[1]]
                found[-1] = DenseBlock([*map(_as_layer, before), _as_layer(layer.branches[1])])
                return True
        return False

    # --- affine maps ---------------------------------------------------------------------

    def _affine(self, term):
        scale, shift = term.data
        if scale.ndim == shift.ndim == 0:
            return Rescale(float(scale), float(shift))
        if max(scale.ndim, shift.ndim) == 1:
            return self._per_channel(term, scale, shift)
        if (scale == 1).all():
            table = np.broadcast_to(shift, term.shape)
            return self._keep(PositionEmbedding(), {"position": table})
        if (scale <= 0).any():
            raise UnreadableError(term.operator, "its factors of single values are not above 0")
        scale, shift = (np.broadcast_to(a, term.shape).ravel() for a in (scale, shift))
        return self._keep(
            Standardize(per="value"), {"mean": -shift / scale, "deviation": 1 / scale}
        )

    def _per_channel(self, term, scale, shift):
        scale, shift = (np.broadcast_to(a, term.shape[-1:]) for a in (scale, shift))
        if (shift == 0).all():
            return self._keep(LayerScale(), {"scale": scale})
        if (scale > 0).all():
            return self._keep(Standardize(), {"mean": -shift / scale, "deviation": 1 / scale})
        layer = BatchNorm(trainable=False)
        variance = np.full(scale.shape, 1 - layer.epsilon)
        arrays = {"scale": scale, "offset": shift, "mean": np.zeros_like(scale)}
        return self._keep(layer, {**arrays, "variance": variance})

    # --- blocks --------------------------------------------------------------------------

    def _add(self, term, chains):
        body, shortcut = chains
        if not shortcut:
            return Residual(body, shortcut="identity")
        return Residual(body, shortcut=_as_layer(shortcut))

    def _mul(self, term, chains):
        gate, rest = chains
        if rest:
            raise UnreadableError(
                term.operator,
                "a product must have what both of its inputs are made of as one of them",
            )
        return self._squeeze_excite(term, gate) or Gate(gate)

    def _squeeze_excite(self, term, gate):
        """The layer that is these, or None."""
        kinds = [type(layer) for layer in gate]
        if kinds != [GlobalAvgPool, Dense, Dense] or gate[1].use_bias != gate[2].use_bias:
            return None
        _, reduce, expand = gate
        if expand.units != term.shape[-1]:
            return None
        layer = SqueezeExcite(
            squeeze_channels=reduce.units,
            activation=reduce.activation,
            scale_activation=expand.activation,
            use_bias=reduce.use_bias,
        )
        weights = {}
        for name, inside in (("reduce", reduce), ("expand", expand)):
            weights.update({f"{name}/{k}": a for k, a in self.weights.pop(id(inside)).items()})
        return self._keep(layer, weights)

    def _concat(self, term, chains):
        return Parallel(["passthrough" if not chain else _as_branch(chain) for chain in chains])

    # --- paths ---------------------------------------------------------------------------

    def by_path(self, layers, input_shape):
        """The weights by the paths that they have in a network of these layers."""
        found = {}
        for part in walk_parts(parts_of_network(layers, input_shape)):
            for name, array in self.weights.get(id(part.layer), {}).items():
                found[f"{part.path}/{name}"] = array
        return found


def _as_branch(layers):
    return layers[0] if len(layers) == 1 else layers


def _as_layer(layers):
    if not isinstance(layers, (list, tuple)):
        return layers
    return layers[0] if len(layers) == 1 else Sequential(layers)


def _grows(layer):
    """True if a block puts what one branch makes behind its input."""
    branches = layer.branches
    return len(branches) == 2 and branches[0] == "passthrough" and branches[1] != "passthrough"


def with_biases(terms):
    """Terms where what is added to all channels behind a layer without bias is its bias."""
    found = []
    for term in terms:
        term.chains = [with_biases(chain) for chain in term.chains]
        if not (found and with_bias(found[-1], term)):
            found.append(term)
    return found
