"""Gates as nodes."""

from math import prod

from ..layers.gate import Gate, SqueezeExcite
from .blocks import sum_of
from .node import Node, build_chain, chain_backward, chain_forward, executes


def pixels(maps):
    """(n, pixels, channels)"""
    return maps.reshape(len(maps), prod(maps.shape[1:-1]), maps.shape[-1])


@executes(Gate, SqueezeExcite)
class GateNode(Node):
    """Y = X G(X), G being a chain whose output has as many positions and channels, or one."""

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        nodes, _ = build_chain(layer.gate_layers(self.input_shape), input_shape, f"{path}/")
        self.chains = [nodes]

    def forward(self, X, run):
        G = chain_forward(self.chains[0], X, run)
        Y = run.empty(X.shape, X.dtype)
        run.kernels.gate_forward(pixels(X), pixels(G), pixels(Y), run.n_threads)
        run.save(self, X, G)
        return Y

    def backward(self, dY, need_input, run):
        X, G = run.recall(self)
        dX = run.empty(X.shape, X.dtype) if need_input else None
        dG = run.empty(G.shape, G.dtype)
        arrays = [None if a is None else pixels(a) for a in (X, G, dY, dX, dG)]
        run.kernels.gate_backward(*arrays, run.n_threads)
        d_chain = chain_backward(self.chains[0], dG, need_input, run)
        return sum_of(dX, d_chain, run) if need_input else None
