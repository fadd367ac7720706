"""Batch norms in the weights of the layers before them, for programs that only predict."""

from itertools import pairwise

import numpy as np

from ..network.conv import ConvNode
from ..network.dense import DenseNode
from ..network.depthwise import DepthwiseNode
from ..network.node import Run
from ..network.norm import MomentsNode

#: Nodes that take their weights from `weights_of`: a batch norm may lie in them.
FOLDABLE = (ConvNode, DenseNode, DepthwiseNode)

#: A pass with arrays, for what nodes make of their weights.
ARRAYS = Run(kernels=None, n_threads=1)


def affine_of(moments):
    """Scale and shift of a batch norm at a prediction, in float64: scale X + shift."""
    mean, variance = moments.running
    scale = moments.params["scale"] / np.sqrt(variance + moments.epsilon)
    return scale, moments.params["offset"] - mean * scale


def weights_of(node, graph):
    """Weight, with the filters on its last axis, and bias or None; with the batch norm that lies in
    them. The graph, or whatever is written, has a `dtype`, and `folded`, the batch norms."""
    weight, bias = node.params["weight"], node.params.get("bias")
    if isinstance(node, DepthwiseNode):
        weight = weight.reshape(*weight.shape[:-2], 1, -1)
    moments = graph.folded.get(node)
    if moments is not None:
        scale, shift = affine_of(moments)
        weight = weight * scale
        bias = shift if bias is None else shift + bias * scale
    weight = np.asarray(weight, graph.dtype)
    return weight, None if bias is None else np.asarray(bias, graph.dtype)


def fold_batch_norms(nodes):
    """The batch norms that can lie in the weights of the node before them: moments node by node."""
    folded = {}
    for chain in _chains(nodes):
        for node, moments in pairwise(chain):
            if isinstance(moments, MomentsNode) and isinstance(node, FOLDABLE):
                folded[node] = moments
    return folded


def _chains(nodes):
    yield nodes
    for node in nodes:
        for chain in node.chains:
            yield from _chains(chain)
