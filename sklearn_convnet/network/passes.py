"""From layers to nodes, and the passes that merge nodes.

# Design:
# * A pass takes a list of nodes, and whether it is for training, and returns a shorter one that
#   computes the same. `compile_network(..., passes=())` leaves all of them out; tests compare the
#   two.
# * The nodes that own weights and statistics stay as they were built. Passes get copies of them,
#   which share these arrays, and may change them: one list for predictions, one for training.
"""

import copy
from itertools import pairwise

from ..layers.composition import hint_of_divisor, with_channels

# Each of these modules says which layers its nodes execute.
from . import (  # noqa: F401
    attention,
    conv_transpose,
    dropout,
    features,
    gate,
    group_norm,
    layer_scale,
    maxout,
    padding,
    pool,
    position,
    transformer,
    upsample,
)
from .activation import EPILOGUES, ActivationNode
from .blocks import ResidualNode
from .conv import ConvNode
from .dense import DenseNode
from .depthwise import DepthwiseNode
from .node import IdentityNode, build_chain, walk
from .norm import MomentsNode, ScaleNode
from .pool import MaxPoolNode
from .transform_conv import TransformConvNode


def merged(nodes, merge):
    """The nodes without those that the node before them has taken over: `merge(before, node)` does
    it and says so."""
    left = []
    for node in nodes:
        if not (left and merge(left[-1], node)):
            left.append(node)
    return left


def drop_identities(nodes, training):
    """Nodes that compute nothing need not stand between two others."""
    return [node for node in nodes if not isinstance(node, IdentityNode)]


def fuse_activations(nodes, training):
    """An activation is the epilogue of what computes the numbers, while they are in cache."""

    def merge(before, node):
        fits = isinstance(node, ActivationNode) and isinstance(before, TAKES_ACTIVATION)
        if not fits or node.activation not in EPILOGUES or before.activation != "identity":
            return False
        before.activation, before.alpha = node.activation, node.alpha
        return True

    return merged(nodes, merge)


def fold_batch_norms(nodes, training):
    """At a prediction a batch norm lies in the weights of what is before it."""
    if training:
        return nodes

    def merge(before, node):
        if isinstance(node, MomentsNode) and _can_fold(before):
            before.folded = node
            return True
        if isinstance(node, ScaleNode) and getattr(before, "folded", None) is not None:
            before.activation, before.alpha = node.activation, node.alpha
            return True
        return False

    return merged(nodes, merge)


def _can_fold(node):
    fits = isinstance(node, (ConvNode, DenseNode, DepthwiseNode)) and node.folded is None
    return fits and node.activation == "identity" and not getattr(node, "pools", False)


def fuse_pointwise(nodes, training):
    """At a prediction, a depth-wise convolution makes large maps itself that one of single pixels
    would have made for it, row by row while they are in cache."""
    left = []
    for node in nodes:
        fits = left and isinstance(node, DepthwiseNode) and isinstance(left[-1], ConvNode)
        if not training and fits and node.take_pointwise(left[-1]):
            left.pop()
        left.append(node)
    return left


def use_winograd(nodes, training):
    """Convolutions take Winograd's form where it is faster, in float32."""
    for node in nodes:
        if isinstance(node, ConvNode):
            node.choose_form()
    return nodes


def fuse_pools(nodes, training):
    """A max pool is the epilogue of a convolution, while its output is in cache."""

    def merge(before, node):
        fits = isinstance(node, MaxPoolNode) and isinstance(before, ConvNode)
        return fits and not before.pools and before.moments is None and before.take_pool(node)

    return merged(nodes, merge)


def fuse_moments(nodes, training):
    """In training, moments of a batch are the epilogue of a convolution in Winograd's form."""

    def merge(before, node):
        fits = isinstance(node, MomentsNode) and isinstance(before, ConvNode)
        if not (training and fits and before.tile and not node.frozen):
            return False
        if before.pools or before.is_dilated:
            return False
        before.moments = node
        return True

    return merged(nodes, merge)


def fuse_scales(nodes, training):
    """In training, the scale of a batch norm and its activation are the prologue of a convolution
    in Winograd's form: its output is never stored."""
    left = []
    for node in nodes:
        takes = isinstance(node, ConvNode) and node.tile and node.gradient_tile
        fits = left and isinstance(left[-1], ScaleNode) and left[-1].keeps_shape
        if training and takes and fits:
            node.prologue = left.pop()
        left.append(node)
    return left


def fuse_sums(nodes, training):
    """The ends of a residual block do its sums: the last node forward, the first one backward."""
    for node in nodes:
        if isinstance(node, ResidualNode):
            node.fuse_sums()
    return nodes


def fuse_derivatives(nodes, training):
    """A convolution in Winograd's form takes its input gradient through the activation before it,
    and sums it for the batch norm before that or at the end of a residual block."""
    for before, node in pairwise(nodes):
        hands_on = training and isinstance(before, (ConvNode, ResidualNode, ScaleNode))
        if hands_on and getattr(node, "takes_gradient", False):
            node.take_derivative()
    return nodes


PASSES = (
    drop_identities,
    fold_batch_norms,
    fuse_activations,
    fuse_pointwise,
    use_winograd,
    fuse_pools,
    fuse_moments,
    fuse_scales,
    fuse_sums,
    fuse_derivatives,
)
_PASS_OF_NAME = {one.__name__: one for one in PASSES}


def pass_names(passes):
    """Names of passes for a pickle, None for the usual ones. It should load where
    these functions have moved, and name nothing that somebody must trust."""
    if passes == PASSES:
        return None
    return tuple(one.__name__ if one in PASSES else one for one in passes)


def named_passes(names):
    """The passes again."""
    return PASSES if names is None else tuple(_PASS_OF_NAME.get(name, name) for name in names)


TAKES_ACTIVATION = (
    ConvNode,
    DenseNode,
    DepthwiseNode,
    ScaleNode,
    TransformConvNode,
    ResidualNode,
)


def make_nodes(layers, input_shape, dtype):
    """The nodes of a network and a `(path, layer, input shape, output shape)` table."""
    shape = with_channels(layers, input_shape)
    with hint_of_divisor(layers, shape):
        nodes, table = build_chain(layers, shape)
    for node in walk(nodes):
        node.dtype = dtype
    return nodes, table


def _at_prediction(node):
    if not node.is_auxiliary:
        return node
    return IdentityNode(node.path, node.input_shape, node.output_shape)


def fuse(nodes, passes, training, frozen=False):
    """Copies of the nodes after each pass, those inside blocks first; frozen copies learn nothing
    in training. Where nothing is learnt, auxiliary heads are identities."""
    learns = training and not frozen
    nodes = [copy.copy(node if learns else _at_prediction(node)) for node in nodes]
    for node in nodes:
        node.frozen = node.frozen or frozen
        node.chains = [fuse(chain, passes, training, frozen) for chain in node.chains]
    for one_pass in passes:
        nodes = one_pass(nodes, training)
    return tuple(nodes)
