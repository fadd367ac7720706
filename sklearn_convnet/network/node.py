"""What every node is, and what one pass through a network carries along.

# Design:
# * A node owns no arrays but views: `Network` binds weights, gradients and buffers to it.
# * What a backward pass needs of its forward pass lies on the pass, under the node; a
#   forward pass that does not train keeps nothing, so it may run from several threads.
# * Which node makes a layer executable is one table, filled by `executes`.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..layers.blocks import Outputs
from ..layers.composition import Sequential, check_layers, shape_at

_NODES = {}


class LayerMemoryError(MemoryError):
    """Memory that the system does not give, with the path of the layer that asks for it."""

    def __init__(self, path, problem):
        super().__init__(f"layer {path!r}: {problem}")
        self.path, self.problem = path, str(problem)

    def __reduce__(self):
        return type(self), (self.path, self.problem)


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


def build_chain(layers, input_shape, prefix=""):
    """The nodes of layers one after the other, those inside a Sequential in its place.

    Parameters
    ----------
    layers : list or tuple
        Layers or `(name, layer)` pairs.
    input_shape : tuple of int
        Shape of a sample.
    prefix : str, default=""
        Put before the names.

    Returns
    -------
    nodes : list of Node
    table : list of (path, layer, input shape, output shape)
    """
    nodes, table = [], []
    shape = tuple(input_shape)
    for name, layer in check_layers(layers, prefix.rstrip("/") or "layers"):
        path = prefix + name
        if isinstance(layer, Sequential):
            inner_nodes, inner_table = build_chain(layer.layers, shape, f"{path}/")
            nodes += inner_nodes
            table += inner_table
            shape = inner_table[-1][3] if inner_table else shape
            continue
        out = shape_at(path, layer, shape)
        if isinstance(layer, Outputs):
            table += [(n, inner, shape, inner.output_shape(shape)) for n, inner in layer.branches]
        else:
            table.append((path, layer, shape, out))
        try:
            nodes += build_nodes(layer, path, shape)
        except LayerMemoryError:
            raise  # of a layer inside
        except MemoryError as error:
            raise LayerMemoryError(path, error) from error
        shape = out
    return nodes, table


def walk(nodes):
    """All nodes, those inside blocks after the block."""
    for node in nodes:
        yield node
        for chain in node.chains:
            yield from walk(chain)


def chain_forward(nodes, X, run):
    """The output of nodes one after the other."""
    for node in nodes:
        try:
            X = node.forward(X, run)
        except LayerMemoryError:
            raise
        except MemoryError as error:
            raise LayerMemoryError(node.path, error) from error
    return X


def chain_backward(nodes, dY, need_input, run):
    """The gradient at the input of the first node, None unless needed."""
    needed = [need_input]
    for node in nodes[:-1]:
        needed.append(needed[-1] or node.has_weights)
    for node, wanted in zip(reversed(nodes), reversed(needed), strict=False):
        if not wanted and not node.has_weights:
            return None
        try:
            dY = node.backward(dY, wanted, run)
        except LayerMemoryError:
            raise
        except MemoryError as error:
            raise LayerMemoryError(node.path, error) from error
    return dY if need_input else None


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


@dataclass(slots=True)
class Pass:
    """One way through a network: forward, or forward and back."""

    kernels: object
    n_threads: int
    training: bool = False
    seed: int = 0
    weight: object = None  # of the samples, or None
    use_running: bool = False  # where a batch norm has a single value of each channel
    recompute: bool = False  # a forward that was done before: statistics stay
    memory: object = None  # where arrays come from; None makes new ones
    given: dict | None = None  # the arrays from outside, if another pass may repeat this one
    output_shape: tuple = ()
    saved: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)  # what one node has found out for another

    def empty(self, node, role, shape, dtype):
        """An array to fill."""
        if self.memory is None:
            return np.empty(shape, dtype)
        return self.memory.take(node.path, role, shape, dtype)

    def save(self, node, *arrays):
        """Keep arrays for the node's backward."""
        if self.training:
            self.saved[node.path] = arrays

    def recall(self, node):
        """What the node saved, once: its memory is free when backward is through with it."""
        return self.saved.pop(node.path)


class Node:
    """An executable step.

    Attributes
    ----------
    path : str
        Path of its layer, such as "block1/conv1".
    dtype : dtype
        What its network computes in.
    weights : dict of str to Weight
        What it trains; `bind` sets an attribute of each name to a view.
    buffers : dict of str to ndarray
        Its statistics at the start.
    chains : list of list of Node
        The nodes inside a block.
    takes_wide : bool
        Whether it may see X in float64 before that is cast to the network's dtype.
    keeps_wide : bool
        Whether it then leaves the cast to a node after it.
    """

    multiply_adds = 0
    smallest_batch = 1  # samples that a training step needs
    takes_wide = False
    keeps_wide = False

    def __init__(self, path, input_shape, output_shape):
        self.path = path
        self.input_shape = tuple(input_shape)
        self.output_shape = tuple(output_shape)
        self.chains = []
        self.weights = {}
        self.buffers = {}
        self.params = {}
        self.grads = {}
        self.state = {}

    @classmethod
    def build(cls, layer, path, input_shape):
        """The nodes of a layer, most often one."""
        raise NotImplementedError(cls)

    @cached_property
    def has_weights(self):
        """Whether it, or a node inside it, has weights."""
        return bool(self.weights) or any(n.has_weights for c in self.chains for n in c)

    def repeats(self, training):
        """Whether passes over the same arrays are the same kernel calls, and nothing else."""
        return False

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
