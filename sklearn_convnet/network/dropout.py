"""Dropout nodes."""

from zlib import crc32

import numpy as np

from ..layers.dropout import Dropout, StochasticDepth
from .node import Node, executes


@executes(Dropout)
class DropoutNode(Node):
    """The mask is a function of the pass's seed, the node and the element; in a draw all samples
    have the same."""

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.rate = float(layer.rate)
        self.is_random = self.rate > 0
        self.mask_shape = self.input_shape  # of a sample

    def _masked(self, X, Y, run):
        """Y = X mask / (1 - rate), for arrays of one axis."""
        seed = run.seed_for(crc32(self.path.encode()) << 32)
        run.kernels.dropout(X, Y, self.rate, seed, run.n_threads)

    def _drop(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        self._masked(X.reshape(-1), Y.reshape(-1), run)
        return Y

    def _drop_alike(self, X, run):
        ones, factors = (run.empty(self.mask_shape, X.dtype) for _ in range(2))
        run.call(np.copyto, ones, 1.0)
        self._masked(ones.reshape(-1), factors.reshape(-1), run)
        Y = run.empty(X.shape, X.dtype)
        run.call(np.multiply, X, factors, Y)
        return Y

    def forward(self, X, run):
        if run.drawing:
            return self._drop_alike(X, run)
        return self._drop(X, run) if run.training and not self.frozen else X

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        return dY if self.frozen else self._drop(dY, run)


@executes(StochasticDepth)
class StochasticDepthNode(DropoutNode):
    """One number of the mask for each sample."""

    def __init__(self, layer, path, input_shape):
        super().__init__(layer, path, input_shape)
        self.mask_shape = (1,)

    def _drop(self, X, run):
        ones, factors = (run.empty((len(X),), X.dtype) for _ in range(2))
        run.call(np.copyto, ones, 1.0)
        self._masked(ones, factors, run)
        Y = run.empty(X.shape, X.dtype)
        run.call(np.multiply, X, factors.reshape(len(X), *[1] * len(self.input_shape)), Y)
        return Y
