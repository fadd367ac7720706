"""Dropout nodes."""

from zlib import crc32

import numpy as np

from ..layers.dropout import Dropout
from .node import Node, executes


@executes(Dropout)
class DropoutNode(Node):
    """The mask is a function of the pass's seed, the node and the element; in a draw it is that of
    the first sample for all samples."""

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.rate = float(layer.rate)
        self.is_random = self.rate > 0

    def _seed(self, run):
        return run.seed_for(crc32(self.path.encode()) << 32)

    def _drop(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        seed = self._seed(run)
        run.kernels.dropout(X.reshape(-1), Y.reshape(-1), self.rate, seed, run.n_threads)
        return Y

    def _drop_alike(self, X, run):
        ones = np.ones(self.input_shape, X.dtype)
        mask = run.empty(self.input_shape, X.dtype)
        flat = ones.reshape(-1), mask.reshape(-1)
        run.kernels.dropout(*flat, self.rate, self._seed(run), run.n_threads)
        Y = run.empty(X.shape, X.dtype)
        run.call(np.multiply, X, mask, Y)
        return Y

    def forward(self, X, run):
        if run.drawing:
            return self._drop_alike(X, run)
        return self._drop(X, run) if run.training and not self.frozen else X

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        return dY if self.frozen else self._drop(dY, run)
