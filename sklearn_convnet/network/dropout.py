"""Dropout nodes."""

from zlib import crc32

from ..layers.dropout import Dropout
from .node import Node, executes


@executes(Dropout)
class DropoutNode(Node):
    """The mask is a function of the pass's seed, the node and the element."""

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.rate = float(layer.rate)

    def _drop(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        seed = run.seed_for(crc32(self.path.encode()) << 32)
        run.kernels.dropout(X.reshape(-1), Y.reshape(-1), self.rate, seed, run.n_threads)
        return Y

    def forward(self, X, run):
        return self._drop(X, run) if run.training and not run.inference else X

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        return dY if run.inference else self._drop(dY, run)
