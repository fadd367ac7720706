"""Auxiliary heads: outputs beside that of the network, in training.

# Design:
# * A head leaves its output on the run, and finds its gradient there. The last node of training
#   puts all outputs side by side, and takes the gradient there apart: so for a program, and for who
#   calls it, there is one output and one gradient.
# * Their weights lie after all others: a network without heads has those that it needs at the
#   same places, and begins with the same ones.
"""

from ..layers.auxiliary import AuxiliaryHead
from .blocks import copy_channels, sum_of
from .node import Node, build_chain, chain_backward, chain_forward, executes, walk


@executes(AuxiliaryHead)
class AuxiliaryHeadNode(Node):
    """Passes its input on, and puts what its layers make of it on the run."""

    is_auxiliary = True

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        chain, table = build_chain(layer.layers, input_shape, f"{path}/")
        self.chains = [chain]
        self.head_shape = tuple(table[-1][3] if table else input_shape)
        self.weight = float(layer.weight)

    def forward(self, X, run):
        run.heads[self.path] = chain_forward(self.chains[0], X, run)
        return X

    def backward(self, dY, need_input, run):
        dX = chain_backward(self.chains[0], run.heads.pop(self.path), need_input, run)
        return sum_of(dY, dX, run) if need_input else None


class SideBySideNode(Node):
    """The output of the network and those of its heads, in the order in which they stand."""

    def __init__(self, heads, shape):
        self.paths = [head.path for head in heads]
        self.widths = [shape[-1], *(head.head_shape[-1] for head in heads)]
        super().__init__("outputs", shape, (*shape[:-1], sum(self.widths)))

    def forward(self, X, run):
        Y, start = run.empty((len(X), *self.output_shape), X.dtype), 0
        parts = [X, *(run.heads[path] for path in self.paths)]
        for part, width in zip(parts, self.widths, strict=True):
            copy_channels(part, Y, 0, start, width, run)
            start += width
        return Y

    def backward(self, dY, need_input, run):
        parts, start = [], 0
        for width in self.widths:
            part = run.empty((*dY.shape[:-1], width), dY.dtype)
            copy_channels(dY, part, start, 0, width, run)
            parts.append(part)
            start += width
        run.heads.update(zip(self.paths, parts[1:], strict=True))
        return parts[0]


def heads_of(nodes, output_shape):
    """The heads in a chain of nodes, in order.

    Raises
    ------
    ValueError
        If one is inside a block, or its output is not of the shape of the network's.
    """
    heads = [node for node in nodes if node.is_auxiliary]
    for node in walk(nodes):
        if node.is_auxiliary and node not in heads:
            raise ValueError(
                f"layer {node.path!r}: an AuxiliaryHead inside a block has an output for a part of "
                "the maps only: put it before or after the block"
            )
    for head in heads:
        flat = len(head.head_shape) == len(output_shape) == 1
        if not flat:
            raise ValueError(
                f"layer {head.path!r}: its output has the shape {head.head_shape} and that of the "
                f"network {output_shape}, but an AuxiliaryHead is for flat outputs: leave it out"
            )
    return heads


def walk_heads_last(nodes):
    """All nodes, those of auxiliary heads after all others."""
    yield from walk([node for node in nodes if not node.is_auxiliary])
    yield from walk([node for node in nodes if node.is_auxiliary])
