"""What every node is, and what one pass through a network carries along.

# Design:
# * A node owns no arrays but views: `Network` binds weights, gradients and buffers to it.
# * What a backward pass needs of its forward pass lies on the pass, under the node; a
#   forward pass that does not train keeps nothing, so it may run from several threads.
# * Which node makes a layer executable is one table, filled by `executes`.
"""

from dataclasses import dataclass, field

import numpy as np

_NODES = {}


def executes(*layer_types):
    """Class decorator: the node class builds the nodes of these layers."""

    def register(node_type):
        _NODES.update(dict.fromkeys(layer_types, node_type))
        return node_type

    return register


def build_nodes(layer, path, input_shape):
    """The nodes that make one layer executable."""
    for kind in type(layer).__mro__:
        if kind in _NODES:
            return _NODES[kind].build(layer, path, input_shape)
    raise TypeError(f"layer {path!r}: no node is known for {type(layer).__name__}")


@dataclass
class Weight:
    """One trained array of a node: where its first values come from."""

    shape: tuple
    initializer: str = "zeros"
    fan_in: int = 1
    fan_out: int = 1
    activation: str | None = None
    decayed: bool = False
    trainable: bool = True


@dataclass
class Pass:
    """One way through a network: forward, or forward and back."""

    kernels: object
    n_threads: int
    training: bool = False
    seed: int = 0
    workspace: object = None
    saved: dict = field(default_factory=dict)

    def empty(self, node, role, shape, dtype):
        """An array to fill: from the workspace in training, new otherwise."""
        if self.workspace is None:
            return np.empty(shape, dtype)
        return self.workspace.take((node.path, role), shape, dtype)

    def save(self, node, *arrays):
        if self.training:
            self.saved[node.path] = arrays


class Node:
    """An executable step.

    Attributes
    ----------
    path : str
        Path of its layer, such as "block1/conv1".
    weights : dict of str to Weight
        What it trains; `bind` sets an attribute of each name to a view.
    buffers : dict of str to ndarray
        Its statistics at the start.
    """

    multiply_adds = 0

    def __init__(self, path, input_shape, output_shape):
        self.path = path
        self.input_shape = tuple(input_shape)
        self.output_shape = tuple(output_shape)
        self.weights = {}
        self.buffers = {}
        self.params = {}
        self.grads = {}
        self.state = {}

    @classmethod
    def build(cls, layer, path, input_shape):
        """The nodes of a layer, most often one."""
        raise NotImplementedError(cls)

    def gradient(self, name):
        """Where to put the gradient of a weight; None if it is frozen or absent."""
        weight = self.weights.get(name)
        return self.grads[name] if weight is not None and weight.trainable else None

    def forward(self, X, run):
        """The output for a batch X of shape (n, *input_shape)."""
        raise NotImplementedError(type(self))

    def backward(self, dY, need_input, run):
        """The gradient at the input, None unless needed; fills those of the weights."""
        raise NotImplementedError(type(self))
