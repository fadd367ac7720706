"""The base class of nodes, and the run through a network that they are given.

# Design:
# * A node owns no arrays but views: `Network` binds weights, gradients and buffers to it.
# * What a backward pass needs of its forward pass lies on the pass, under the node; a
#   forward pass that does not train keeps nothing, so it may run from several threads.
# * Nodes are run to be traced, with handles in the place of arrays: see program.py. With arrays
#   they compute at once, which is what programs are tested against.
# * Which node makes a layer executable is one table, filled by `executes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..layers.base import Layer
from ..layers.blocks import Outputs
from ..layers.composition import Sequential, check_layers, shape_at
from .maps import plain
from .program import LayerMemoryError, Seed

_NODES: dict[type[Layer], type] = {}

NodeType = TypeVar("NodeType", bound=type)


def executes(*layer_types: type[Layer]) -> Callable[[NodeType], NodeType]:
    """Class decorator: the node class builds the nodes of these layers.

    Parameters
    ----------
    *layer_types : type
        Subclasses of `Layer`. Theirs have the same nodes, unless they are given others.

    Returns
    -------
    callable
        It returns the class as it is.
    """

    def register(node_type: NodeType) -> NodeType:
        _NODES.update(dict.fromkeys(layer_types, node_type))
        return node_type

    return register


def build_nodes(layer, path, input_shape):
    """The nodes that make one layer executable."""
    for kind in type(layer).__mro__:
        if kind in _NODES:
            return _NODES[kind].build(layer, path, input_shape)
    name = type(layer).__name__
    raise TypeError(
        f"layer {path!r}: no node is known for {name}: decorate the class of its node with "
        f"@executes({name}), in a module that is imported"
    )


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
            nodes += inner_nodes or [IdentityNode(path, shape, shape)]
            table += inner_table
            shape = inner_table[-1][3] if inner_table else shape
            continue
        out = shape_at(path, layer, shape)
        if isinstance(layer, Outputs):
            table += [(n, inner, shape, inner.output_shape(shape)) for n, inner in layer.branches]
        else:
            table.append((path, layer, shape, out))
        try:
            nodes += build_nodes(layer, path, shape) or [IdentityNode(path, shape, shape)]
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
        with run.within(node):
            X = run.forward(node, X if node.takes_derivative else plain(X))
    return plain(X)


def chain_backward(nodes, dY, need_input, run):
    """The gradient at the input of the first node, None unless needed."""
    needed = [need_input]
    for node in nodes[:-1]:
        needed.append(needed[-1] or node.learns)
    for node, wanted in zip(reversed(nodes), reversed(needed), strict=False):
        if not wanted and not node.learns:
            return None
        with run.within(node):
            dY = run.backward(node, dY, wanted)
    return dY if need_input else None


@dataclass
class Weight:
    """One trained array of a node: where its first values come from.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    initializer : str or float, default="zeros"
        "zeros", "ones", what a layer's `kernel_initializer` may be, or a number that all begin as.
    fan_in, fan_out : int, default=1
        Number of inputs of an output, and of outputs of an input, for a random initializer.
    activation : str or None, default=None
        What follows, for "auto".
    decayed : bool, default=False
        Whether weight decay is for it, even if that is not for all.
    trainable : bool, default=True
        Whether it is trained; if not, `Node.gradient` is None.
    """

    shape: tuple
    initializer: str | float = "zeros"
    fan_in: int = 1
    fan_out: int = 1
    activation: str | None = None
    decayed: bool = False
    trainable: bool = True


@dataclass(slots=True)
class Run:
    """One way through a network: forward, or forward and back.

    With a `tracer` nothing is computed: arrays are handles, and calls are written down.
    """

    kernels: object
    n_threads: object
    training: bool = False
    seed: int = 0
    weight: object = None  # of the samples, or None
    one_sample: bool = False  # whether a single one counts
    use_running: bool = False  # where a batch norm has a single value of each channel
    recompute: bool = False  # a forward that was done before: statistics stay
    drawing: bool = False  # a prediction with dropout
    features: object = None  # numbers beside the samples, or None
    heads: dict = field(default_factory=dict)  # outputs of auxiliary heads, or gradients there
    tracer: object = None
    saved: dict = field(default_factory=dict)

    def forward(self, node, X):
        """The output of a node of a chain."""
        return node.forward(X, self)

    def backward(self, node, dY, need_input):
        """The gradient at its input, None unless needed."""
        return node.backward(dY, need_input, self)

    def empty(self, shape, dtype):
        """An array to fill."""
        return np.empty(shape, dtype) if self.tracer is None else self.tracer.empty(shape, dtype)

    def call(self, function, *args):
        """Let a function fill arrays, of what is in others; it returns nothing."""
        if self.tracer is None:
            function(*args)
        else:
            self.tracer.add(function, args)

    def seed_for(self, number):
        """The seed of this pass, mixed with a number of the node's."""
        seed = Seed(number)
        return seed.of(self.seed) if self.tracer is None else seed

    def save(self, node, *arrays):
        """Keep arrays for the node's backward."""
        if self.training:
            self.saved[node.path] = arrays

    def recall(self, node):
        """The arrays that the node saved, once: their memory is free when backward has read it."""
        return self.saved.pop(node.path)

    @contextmanager
    def within(self, node):
        """Steps inside are the node's; so is the memory that there is not."""
        before = None if self.tracer is None else self.tracer.enter(node.path)
        try:
            yield
        except LayerMemoryError:
            raise
        except MemoryError as error:
            raise LayerMemoryError(node.path, error) from error
        finally:
            if self.tracer is not None:
                self.tracer.enter(before)


@dataclass(slots=True)
class EagerRun:
    """A training forward, node by node, that waits for its backward."""

    nodes: Sequence[Node]
    run: Run
    output_shape: tuple[int, ...]

    def backward(self, dY, need_input, n_threads):
        self.run.n_threads = n_threads
        return chain_backward(self.nodes, dY, need_input, self.run)


class Node:
    """An executable step: base class of the nodes.

    A subclass calls ``super().__init__(path, input_shape, output_shape)``, enters its weights in
    `weights`, and defines `forward` and `backward`; `executes` says for which layers.

    Parameters
    ----------
    path : str
        Path of its layer.
    input_shape, output_shape : tuple of int
        Shapes of a sample.

    Attributes
    ----------
    path : str
        Path of its layer, such as "block1/conv1".
    dtype : dtype
        What its network computes in.
    input_shape, output_shape : tuple of int
        Shapes of a sample.
    weights : dict of str to Weight
        What it trains.
    params, grads : dict of str to ndarray
        The weights' arrays, and their gradients in training. The network puts them here; copies of
        a node share them.
    buffers : dict of str to ndarray
        Its statistics at the start. Made by `np.broadcast_to` they take no memory, as nothing of a
        node should before it runs: a file is compared with the nodes before it is believed.
    state : dict of str to ndarray
        Its statistics. The network puts them here.
    chains : list of list of Node
        The nodes inside a block.
    is_auxiliary : bool
        Whether it takes part in training alone, and passes its input on at a prediction.
    is_random : bool
        Whether what it computes in training, and in a draw, is random.
    frozen : bool
        Whether it learns nothing: in training too it computes what a prediction does, with running
        statistics and without dropout, and no weight has a gradient.
    takes_wide : bool
        Whether it may see X in float64 before that is cast to the network's dtype.
    keeps_wide : bool
        Whether it then leaves the cast to a node after it.
    takes_derivative : bool
        Whether it reads `Activated` maps, to take their gradient through the activation.
    takes_first : bool
        Whether at a prediction it may be given more channels, of which it reads the first.
    one_size : bool
        Whether its input always has the same size: it puts positions in a row, or has numbers for
        each of them.
    """

    multiply_adds = 0
    smallest_batch = 1  # samples that a training step needs
    is_auxiliary = False
    is_random = False
    frozen = False
    takes_wide = False
    keeps_wide = False
    takes_derivative = False
    takes_first = False
    one_size = False

    def __init__(
        self, path: str, input_shape: tuple[int, ...], output_shape: tuple[int, ...]
    ) -> None:
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
    def build(cls, layer: Any, path: str, input_shape: tuple[int, ...]) -> list[Node]:
        """The nodes of a layer, most often one.

        Parameters
        ----------
        layer : Layer
            What is made executable.
        path : str
            Its path.
        input_shape : tuple of int
            Shape of one sample.

        Returns
        -------
        list of Node
        """
        # A subclass, which is made of a layer.
        return [cls(layer, path, input_shape)]  # type: ignore[arg-type]

    @property
    def learns(self) -> bool:
        """True if it, or a node inside it, has weights that are not frozen."""
        inside = (node for chain in self.chains for node in chain)
        return any(map(self._is_learnt, self.weights)) or any(node.learns for node in inside)

    def _is_learnt(self, name):
        return self.weights[name].trainable and not self.frozen

    def gradient(self, name: str) -> NDArray[Any] | None:
        """Where to put the gradient of a weight.

        Parameters
        ----------
        name : str
            That of the weight in `weights`.

        Returns
        -------
        ndarray or None
            None if it is frozen or absent.
        """
        return self.grads[name] if name in self.weights and self._is_learnt(name) else None

    def forward(self, X: Any, run: Run) -> Any:
        """The output for a batch.

        Arrays may have no numbers yet: a node asks for shapes and dtypes alone.

        Parameters
        ----------
        X : array of shape (n, *input_shape)
            A batch.
        run : Run
            It makes arrays (``run.empty(shape, dtype)``), calls what fills them
            (``run.call(function, *arrays)``) and keeps some for backward
            (``run.save(self, *arrays)``).

        Returns
        -------
        array of shape (n, *output_shape)
        """
        raise NotImplementedError(type(self))

    def backward(self, dY: Any, need_input: bool, run: Run) -> Any:
        """The gradient at the input; fills those of the weights.

        Parameters
        ----------
        dY : array of shape (n, *output_shape)
            Gradient at the output.
        need_input : bool
            Whether the gradient at the input is needed.
        run : Run
            ``run.recall(self)`` returns what forward has saved, once.

        Returns
        -------
        array of shape (n, *input_shape) or None
        """
        raise NotImplementedError(type(self))


class ViewNode(Node):
    """The same numbers in another shape."""

    def forward(self, X, run):
        return X.reshape(len(X), *self.output_shape)

    def backward(self, dY, need_input, run):
        return dY.reshape(len(dY), *self.input_shape) if need_input else None


class IdentityNode(Node):
    """Stands where a layer computes nothing, so that each layer has an output of its own."""

    takes_wide = True

    def forward(self, X, run):
        return X

    def backward(self, dY, need_input, run):
        return dY if need_input else None
