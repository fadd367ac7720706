"""Blocks: chains of nodes side by side."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from ..layers.blocks import DenseBlock, Outputs, Parallel, Residual
from ..layers.composition import PASSTHROUGH
from .activation import times_derivative
from .conv import ConvNode
from .node import IdentityNode, Node, build_chain, chain_backward, chain_forward, executes
from .norm import BatchNormNode


def sum_of(A, B, run, activation="identity", alpha=0.0):
    """f(A + B) in a new array."""
    Y = run.empty(A.shape, A.dtype)
    flat = (array.reshape(-1) for array in (A, B, Y))
    run.kernels.add(*flat, activation, alpha, run.n_threads)
    return Y


def copy_channels(X, Y, x_start, y_start, width, run, accumulate=False):
    """Channels of X into channels of Y, for all positions."""
    run.kernels.copy_channels(
        X.reshape(-1, X.shape[-1]),
        Y.reshape(-1, Y.shape[-1]),
        x_start,
        y_start,
        width,
        accumulate,
        run.n_threads,
    )


def fuse_sums(nodes):
    """What computes the last part of a residual sum adds the other: forward the convolution or, in
    training, the batch norm at the end of the block, backward the convolution at its begin."""
    for node in nodes:
        if isinstance(node, ResidualNode):
            node.find_ends()
    return nodes


def fuse_derivatives(nodes):
    """A convolution in Winograd's form takes its input gradient through the activation before it,
    and sums it for the norm at the end of a residual block."""
    for before, node in pairwise(nodes):
        first = node.first if isinstance(node, ResidualNode) else node
        if not isinstance(first, ConvNode):
            continue
        if isinstance(before, ResidualNode):
            first.take_derivative(before, before.last_norm)
        elif isinstance(before, ConvNode):
            first.take_derivative(before)
    return nodes


@executes(Residual)
class ResidualNode(Node):
    """Y = f(F(X) + S(X)); the chain of S is empty for the identity, and so is f, unless a pass
    puts the activation after the block here."""

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        body, _ = build_chain(layer.layers, input_shape, f"{path}/")
        pairs = layer.shortcut_layers(self.input_shape)
        single = len(pairs) == 1
        prefix = f"{path}/" if single else f"{path}/shortcut/"
        shortcut, _ = build_chain(pairs, input_shape, prefix)
        self.chains = [body, shortcut]
        self.activation, self.alpha = "identity", 0.0
        # What may do a sum, put here by a pass: at a prediction, in training, and backward.
        self.last = self.last_norm = self.first = None
        self.derived = False  # whether the node after it takes gradients through the activation

    def find_ends(self):
        """Notes the convolution that F ends with, its batch norm folded into it, that batch norm,
        and the convolution that F begins with, as far as there are such."""
        body = self.chains[0]
        unfolded = [node for node in body if not getattr(node, "folded", False)]
        last = unfolded[-1] if unfolded else None
        if isinstance(last, ConvNode) and not last.pools:
            activations = {last.activation, getattr(last.fold, "activation", "identity")}
            self.last = last if activations == {"identity"} else None
        if body and isinstance(body[-1], BatchNormNode) and not body[-1].frozen:
            self.last_norm = body[-1] if body[-1].activation == "identity" else None
        if body and isinstance(body[0], ConvNode):
            self.first = body[0]

    def forward(self, X, run):
        body, shortcut = self.chains
        after = (self.activation, self.alpha)
        if run.training:
            last = self.last_norm
        else:
            last = self.last if self.last is not None and self.last.tile else None
        if last is not None:
            S = chain_forward(shortcut, X, run)
            F = chain_forward(body[: body.index(last)], X, run)
            with run.within(last):
                Y = last.forward(F, run, S, after)
        else:
            F, S = chain_forward(body, X, run), chain_forward(shortcut, X, run)
            Y = sum_of(F, S, run, *after)
        if self.activation != "identity" and not self.derived:
            run.save(self, Y)
        return Y

    def backward(self, dY, need_input, run):
        body, shortcut = self.chains
        if self.activation != "identity" and not self.derived:
            (Y,) = run.recall(self)
            dY = times_derivative(dY, Y, self, run)
        dS = chain_backward(shortcut, dY, need_input, run)
        first = self.first
        if need_input and first is not None and first.gradient_tile:
            dF = chain_backward(body[1:], dY, True, run)
            with run.within(first):
                return first.backward(dF, True, run, dS)
        dF = chain_backward(body, dY, need_input, run)
        return sum_of(dF, dS, run) if need_input else None


@executes(Parallel)
class ParallelNode(Node):
    """The outputs of all branches, concatenated."""

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.widths = []
        prefix = self.prefix(path)
        for name, branch in layer.branch_layers():
            layers = [] if branch == PASSTHROUGH else [(name, branch)]
            nodes, table = build_chain(layers, input_shape, prefix)
            self.chains.append(nodes or [IdentityNode(prefix + name, input_shape, input_shape)])
            self.widths.append(table[-1][3][-1] if table else input_shape[-1])

    @staticmethod
    def prefix(path):
        """What the paths of the branches begin with."""
        return f"{path}/"

    def forward(self, X, run):
        Y = run.empty((len(X), *self.output_shape), X.dtype)
        start = 0
        for chain, width in zip(self.chains, self.widths, strict=True):
            copy_channels(chain_forward(chain, X, run), Y, 0, start, width, run)
            start += width
        return Y

    def backward(self, dY, need_input, run):
        total, start = None, 0
        for chain, width in zip(self.chains, self.widths, strict=True):
            part = run.empty((*dY.shape[:-1], width), dY.dtype)
            copy_channels(dY, part, start, 0, width, run)
            dX = chain_backward(chain, part, need_input, run)
            start += width
            if need_input:
                total = dX if total is None else sum_of(total, dX, run)
        return total


@executes(Outputs)
class OutputsNode(ParallelNode):
    """Output layers side by side; their paths are those of layers without a block."""

    def __init__(self, layer, path, input_shape):
        super().__init__(layer, path, input_shape)
        # Not the path of the output layer that is called as the block is.
        self.path = f"{path}/outputs"

    @staticmethod
    def prefix(path):
        return ""


@executes(DenseBlock)
class DenseBlockNode(Node):
    """All maps in one array; what a layer sees is copied out of it.

    Backward runs each layer's forward again, so that what the layers keep for it needs the
    memory of one layer only.
    """

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.stops = []  # channels that each layer sees
        for name, inner, shape, _ in layer.layer_shapes(self.input_shape):
            nodes, _ = build_chain([(name, inner)], shape, f"{path}/")
            self.chains.append(nodes)
            self.stops.append(shape[-1])

    def _seen(self, maps, channels, run):
        """The first channels of all maps."""
        X = run.empty((*maps.shape[:-1], channels), maps.dtype)
        copy_channels(maps, X, 0, 0, channels, run)
        return X

    def _inner(self, run, recompute):
        return replace(run, saved={}, recompute=recompute)

    def forward(self, X, run):
        maps = run.empty((len(X), *self.output_shape), X.dtype)
        copy_channels(X, maps, 0, 0, X.shape[-1], run)
        for chain, stop in zip(self.chains, self.stops, strict=True):
            new = chain_forward(chain, self._seen(maps, stop, run), self._inner(run, run.recompute))
            copy_channels(new, maps, 0, stop, new.shape[-1], run)
        run.save(self, maps)
        return maps

    def backward(self, dY, need_input, run):
        (maps,) = run.recall(self)
        grads = run.empty(dY.shape, dY.dtype)
        run.call(np.copyto, grads, dY)
        for chain, stop in zip(reversed(self.chains), reversed(self.stops), strict=True):
            inner = self._inner(run, recompute=True)
            new = chain_forward(chain, self._seen(maps, stop, run), inner)
            d_new = run.empty(new.shape, new.dtype)
            copy_channels(grads, d_new, stop, 0, new.shape[-1], run)
            d_seen = chain_backward(chain, d_new, True, inner)
            copy_channels(d_seen, grads, 0, 0, stop, run, accumulate=True)
        if not need_input:
            return None
        dX = run.empty((len(dY), *self.input_shape), dY.dtype)
        copy_channels(grads, dX, 0, 0, self.input_shape[-1], run)
        return dX
