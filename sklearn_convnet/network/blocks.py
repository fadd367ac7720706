"""Blocks: chains of nodes side by side."""

from dataclasses import replace

import numpy as np

from ..layers.blocks import DenseBlock, Outputs, Parallel, Residual
from ..layers.composition import PASSTHROUGH
from .activation import times_derivative
from .maps import Activated, Gradient, plain
from .node import IdentityNode, Node, build_chain, chain_backward, chain_forward, executes
from .norm import ScaleNode


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
        # Put here by a pass: whether the last node of the body adds the shortcut to its output, and
        # the first adds the gradient of the shortcut to its own.
        self.last_adds = self.first_adds = False

    def fuse_sums(self):
        """Lets the ends of the body do the sums that they can."""
        body, _ = self.chains
        self.last_adds = bool(body) and getattr(body[-1], "takes_addend", False)
        self.first_adds = bool(body) and getattr(body[0], "takes_gradient", False)

    @property
    def takes_gradient(self):
        """True if its backward takes the gradient through what the input has been through."""
        return self.first_adds

    def take_derivative(self):
        """Reads `Activated` maps from now on, as the first of its body does."""
        self.takes_derivative = True
        self.chains[0][0].take_derivative()

    def forward(self, X, run):
        body, shortcut = self.chains
        after, normed = (self.activation, self.alpha), None
        if self.last_adds:
            S = chain_forward(shortcut, plain(X), run)
            F = chain_forward(body[:-1], X, run)
            if isinstance(body[-1], ScaleNode) and F.of_batch:  # what it reads is a part of the sum
                normed = F
            with run.within(body[-1]):
                Y = body[-1].forward(F, run, S, after)
        else:
            F, S = chain_forward(body, X, run), chain_forward(shortcut, plain(X), run)
            Y = sum_of(F, S, run, *after)
        if not run.training or (self.activation == "identity" and normed is None):
            return Y
        if self.activation != "identity":
            run.save(self, Y)
        return Activated(Y, *after, normed)

    def backward(self, dY, need_input, run):
        body, shortcut = self.chains
        Y = run.recall(self)[0] if self.activation != "identity" else None
        dZ = dF = dY
        if isinstance(dY, Gradient):
            dZ, dF = dY.maps, dY if self.last_adds else dY.maps
        elif Y is not None:
            dZ = dF = times_derivative(dY, Y, self, run)
        dS = chain_backward(shortcut, dZ, need_input, run)
        if self.first_adds and need_input:
            dF = chain_backward(body[1:], dF, True, run)
            with run.within(body[0]):
                return body[0].backward(dF, True, run, dS)
        dF = chain_backward(body, dF, need_input, run)
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
        """The first part of the paths of the branches."""
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
    """All maps in one array; what a layer sees is copied out of it, unless it takes the first.

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

    def _seen(self, maps, channels, chain, run):
        """The first channels of all maps, for a chain."""
        if chain and chain[0].takes_first and not run.training:
            return maps
        X = run.empty((*maps.shape[:-1], channels), maps.dtype)
        copy_channels(maps, X, 0, 0, channels, run)
        return X

    def _inner(self, run, recompute):
        return replace(run, saved={}, recompute=recompute)

    def forward(self, X, run):
        maps = run.empty((len(X), *self.output_shape), X.dtype)
        copy_channels(X, maps, 0, 0, X.shape[-1], run)
        for chain, stop in zip(self.chains, self.stops, strict=True):
            inner = self._inner(run, run.recompute)
            new = chain_forward(chain, self._seen(maps, stop, chain, run), inner)
            copy_channels(new, maps, 0, stop, new.shape[-1], run)
        run.save(self, maps)
        return maps

    def backward(self, dY, need_input, run):
        (maps,) = run.recall(self)
        grads = run.empty(dY.shape, dY.dtype)
        run.call(np.copyto, grads, dY)
        for chain, stop in zip(reversed(self.chains), reversed(self.stops), strict=True):
            inner = self._inner(run, recompute=True)
            new = chain_forward(chain, self._seen(maps, stop, chain, run), inner)
            d_new = run.empty(new.shape, new.dtype)
            copy_channels(grads, d_new, stop, 0, new.shape[-1], run)
            d_seen = chain_backward(chain, d_new, True, inner)
            copy_channels(d_seen, grads, 0, 0, stop, run, accumulate=True)
        if not need_input:
            return None
        dX = run.empty((len(dY), *self.input_shape), dY.dtype)
        copy_channels(grads, dX, 0, 0, self.input_shape[-1], run)
        return dX
