"""From layers to nodes, and the passes that merge nodes.

# Design:
# * A pass takes the list of nodes and returns a shorter one that computes the same.
#   `compile_network(..., passes=())` leaves all of them out; tests compare the two.
"""

from itertools import pairwise

from ..layers.composition import hint_of_divisor, with_channels

# Each of these modules says which layers its nodes execute.
from . import attention, conv_transpose, dropout, pool, upsample  # noqa: F401
from .activation import EPILOGUES, ActivationNode
from .blocks import ResidualNode, fuse_derivatives, fuse_sums
from .conv import ConvNode, fuse_norms, fuse_pools, use_winograd
from .dense import DenseNode
from .depthwise import DepthwiseNode
from .node import IdentityNode, build_chain, walk
from .norm import BatchNormNode
from .transform_conv import TransformConvNode


def drop_identities(nodes):
    """What computes nothing need not stand between two others."""
    return [node for node in nodes if not isinstance(node, IdentityNode)]


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
    drop_identities,
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


def compile_nodes(layers, input_shape, dtype, passes, frozen=False):
    """The nodes of a network and a `(path, layer, input shape, output shape)` table.

    With `frozen`, none of them learns anything in training.
    """
    shape = with_channels(layers, input_shape)
    with hint_of_divisor(layers, shape):
        nodes, table = build_chain(layers, shape)
    for node in walk(nodes):
        node.dtype = dtype
        node.frozen = node.frozen or frozen
    return apply_passes(nodes, passes), table


def apply_passes(nodes, passes):
    """Each pass over the nodes, those inside blocks first."""
    for node in nodes:
        node.chains = [apply_passes(chain, passes) for chain in node.chains]
    for fuse in passes:
        nodes = fuse(nodes)
    return nodes
