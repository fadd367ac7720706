"""From layers to a network: names and shapes, nodes, and passes that merge nodes.

# Design:
# * A pass takes the list of nodes and returns a shorter one that computes the same.
#   `compile_network(..., passes=())` leaves all of them out; tests compare the two.
"""

from itertools import pairwise

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from ..layers.composition import (
    LayerComposition,
    check_layers,
    hint_of_divisor,
    named_layers,
)

# Each of these modules says which layers its nodes execute.
from . import attention, conv_transpose, dropout, pool, upsample  # noqa: F401
from .activation import EPILOGUES, ActivationNode
from .blocks import ResidualNode, fuse_derivatives, fuse_sums
from .conv import ConvNode, fuse_norms, fuse_pools, use_winograd
from .dense import DenseNode
from .depthwise import DepthwiseNode
from .network import Network
from .node import build_chain, walk
from .norm import BatchNormNode
from .transform_conv import TransformConvNode


def with_channels(layers, input_shape):
    """The shape of a sample with its channel axis: a missing one means one channel.

    The first layer that has a number of axes decides.
    """
    n_axes = first_n_axes(layers)
    if n_axes is not None and len(input_shape) == n_axes:
        return (*input_shape, 1)
    return tuple(input_shape)


def first_n_axes(layers):
    """The number of axes that the first layer which has one works on, or None."""
    for _, layer in named_layers(layers):
        n_axes = getattr(layer, "n_axes", None)
        if isinstance(layer, LayerComposition):
            n_axes = first_n_axes(layer.named_children())
        if n_axes is not None:
            return n_axes
    return None


def fuse_activations(nodes):
    """What computes the numbers before an activation applies it, while they are in cache."""
    fused = []
    for node in nodes:
        before = fused[-1] if fused else None
        if (
            isinstance(node, ActivationNode)
            and node.activation in EPILOGUES
            and isinstance(before, TAKES_ACTIVATION)
            and before.activation == "identity"
        ):
            before.activation, before.alpha = node.activation, node.alpha
        else:
            fused.append(node)
    return fused


def fold_batch_norms(nodes):
    """At a prediction, a convolution or dense layer does the work of a batch norm after it."""
    for before, node in pairwise(nodes):
        if (
            isinstance(node, BatchNormNode)
            and isinstance(before, (ConvNode, DenseNode))
            and before.activation == "identity"
        ):
            before.fold, node.folded = node, True
    return nodes


PASSES = (
    fuse_activations,
    fold_batch_norms,
    use_winograd,
    fuse_pools,
    fuse_norms,
    fuse_sums,
    fuse_derivatives,
)
_PASS_OF_NAME = {fuse.__name__: fuse for fuse in PASSES}


def pass_names(passes):
    """What a pickle holds of passes: names, and None for the usual ones. It should load where
    these functions have moved, and name nothing that somebody must trust."""
    if passes == PASSES:
        return None
    return tuple(fuse.__name__ if fuse in PASSES else fuse for fuse in passes)


def named_passes(names):
    """The passes again."""
    return PASSES if names is None else tuple(_PASS_OF_NAME.get(name, name) for name in names)


TAKES_ACTIVATION = (
    ConvNode,
    DenseNode,
    DepthwiseNode,
    BatchNormNode,
    TransformConvNode,
    ResidualNode,
)


def compile_network(layers, input_shape, *, dtype="float32", random_state=None, passes=PASSES):
    """Make layers executable.

    Parameters
    ----------
    layers : list or tuple
        Layers or `(name, layer)` pairs. They are copied; no output layer is added.
    input_shape : tuple of int
        Shape of one sample, channels last; a missing channel axis means one channel.
    dtype : {"float32", "float64"}, default="float32"
        What the network computes in.
    random_state : int, RandomState or None, default=None
        Where the first weights and the dropout masks come from.
    passes : tuple of callables, default=PASSES
        Each takes the list of nodes and returns one that computes the same faster.

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


def compile_nodes(layers, input_shape, dtype, passes):
    """The nodes of a network and a `(path, layer, input shape, output shape)` table."""
    shape = with_channels(layers, input_shape)
    with hint_of_divisor(layers, shape):
        nodes, table = build_chain(layers, shape)
    for node in walk(nodes):
        node.dtype = dtype
    return apply_passes(nodes, passes), table


def apply_passes(nodes, passes):
    """Each pass over the nodes, those inside blocks first."""
    for node in nodes:
        node.chains = [apply_passes(chain, passes) for chain in node.chains]
    for fuse in passes:
        nodes = fuse(nodes)
    return nodes
