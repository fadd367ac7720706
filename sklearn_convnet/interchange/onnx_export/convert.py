"""From nodes of a network to nodes of a graph: one table says what writes which.

# Design:
# * What is converted are the nodes as the layers say, `Network.nodes`, which own weights and
#   statistics: that of an activation or a batch norm stands behind that of its convolution.
# * A converter is a function of a node, its input and the graph, which returns its output. It is
#   entered by `converts_to_onnx`; a node whose class has none is an error that names its layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...layers.composition import ShapeError
from ...layers.shapes import AXIS_NAMES
from ...layers.tree import parts_of_network, walk_parts
from ...network.conv import ConvNode
from ...network.node import Node, ViewNode, walk
from ...network.position import PositionNode
from ..by_class import ByClass
from ..folding import fold_batch_norms
from .graph import Graph

_CONVERTERS = ByClass()


def converts_to_onnx(*node_types: type[Node]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Function decorator: it writes nodes of these classes to a graph of `to_onnx`.

    The function takes the node, its input and the graph, and returns its output. Input and output
    are values with a `name` in the graph, a `shape` (of a sample, channels last) and an `axis`,
    where the channels are in the graph. The graph has these methods:

    - ``apply(op, x, *names, shape=None, **attributes)`` writes an operator with the inputs x and
      others, given by name, and returns its output, a value like x; `shape` is its shape if it
      differs;
    - ``node(op, *names, **attributes)`` does so with names alone, and returns a name;
    - ``number(value)`` returns the name of a constant, ``per_channel(array, x)`` that of one with a
      number for each channel of x;
    - ``channels_first(x)`` and ``channels_last(x)`` return x with its channels there. A function
      that calls neither has to work for both.

    Parameters
    ----------
    *node_types : type
        Subclasses of `Node`. Their own subclasses are converted alike, unless they have a function
        of their own.

    Returns
    -------
    callable
        It returns the function as it is.

    Examples
    --------
    A layer that takes the square of each number, and its form in ONNX:

    >>> import numpy as np
    >>> from sklearn_convnet.interchange import converts_to_onnx, to_onnx
    >>> from sklearn_convnet.layers import Layer
    >>> from sklearn_convnet.network import Node, compile_network, executes
    >>> class Square(Layer):
    ...     "Y = X X"
    >>> @executes(Square)
    ... class SquareNode(Node):
    ...     def __init__(self, layer, path, input_shape):
    ...         super().__init__(path, input_shape, layer.output_shape(input_shape))
    ...     def forward(self, X, run):
    ...         Y = run.empty(X.shape, X.dtype)
    ...         run.call(np.multiply, X, X, Y)
    ...         return Y
    >>> @converts_to_onnx(SquareNode)
    ... def square(node, x, graph):
    ...     return graph.apply("Mul", x, x.name)
    >>> model = to_onnx(compile_network([Square()], (4, 3)))
    >>> [node.op_type for node in model.graph.node]
    ['Mul']
    """

    return _CONVERTERS.enters(*node_types)


def converter_of(node):
    """The function that writes a node.

    Raises
    ------
    NotImplementedError
        If there is none; the message names the layer.
    """
    converter, kind = _CONVERTERS.of(node), type(node).__name__
    if converter is None:
        raise NotImplementedError(
            f"layer {node.path!r}: {kind} has no form in ONNX here: decorate a function that "
            f"writes one with @converts_to_onnx({kind})"
        )
    return converter


def to_chain(nodes, x, graph):
    """The output of nodes one after the other."""
    for node in nodes:
        if node in graph.absorbed:
            continue
        with graph.within(node.path):
            x = converter_of(node)(node, x, graph)
    return x


# --- whole networks ------------------------------------------------------------------------------


def takes_any_size(network):
    """True if the layers can do with samples of another size, and these are signals, images or
    volumes."""
    if len(network.input_shape) - 1 not in AXIS_NAMES:
        return False
    if any(isinstance(node, ONE_SIZE) for node in walk(network.nodes)):
        return False
    *sizes, channels = network.input_shape
    try:
        other = network.resized((*(2 * size for size in sizes), channels))
    except ShapeError:
        return False
    return _strides(network) == _strides(other) and _has_rules(network)


def _strides(network):
    """Those of all convolutions: a shortcut that leads from one size to another may have others for
    other sizes."""
    return [node.geometry[0] for node in walk(network.nodes) if isinstance(node, ConvNode)]


#: Nodes that are written for maps of one size, whatever the layers can do with.
ONE_SIZE = (PositionNode, ViewNode)


def follows_size(layer, input_shape):
    """True if the padding of a layer depends on the size of its maps: that of windows which are
    more than a position, and more than a position apart."""
    if getattr(layer, "padding", None) != "same" or layer.chains(input_shape):
        return False
    return any(w.size > 1 and w.stride > 1 for w in layer.windows(input_shape))


def _has_rules(network):
    """True if padding that depends on sizes can be left to the rule of ONNX. Where windows are
    further apart than they are wide, onnxruntime takes it for less than none."""
    for part in walk_parts(parts_of_network(network.layers, network.input_shape)):
        if follows_size(part.layer, part.input_shape):
            windows = part.layer.windows(part.input_shape)
            if any(w.dilation * (w.size - 1) + 1 < w.stride for w in windows):
                return False
    return True


def graph_of(network, dtype, opset, free, fold):
    """An empty graph for a network, and what its converters need."""
    parts = walk_parts(parts_of_network(network.layers, network.input_shape))
    graph = Graph(dtype, opset, free, {part.path: part.layer for part in parts})
    if fold:
        graph.fold(fold_batch_norms(network.nodes))
    return graph
