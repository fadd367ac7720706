"""Maxout nodes."""

import numpy as np

from ..layers.maxout import Maxout
from .node import Node, executes


@executes(Maxout)
class MaxoutNode(Node):
    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.n_pieces = int(layer.n_pieces)

    def forward(self, X, run):
        Y = run.empty((len(X), *self.output_shape), X.dtype)
        index = run.empty((Y.size,), np.int32) if run.training else None
        run.kernels.maxout_forward(
            X.reshape(-1, self.n_pieces), Y.reshape(-1), index, run.n_threads
        )
        run.save(self, index)
        return Y

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        (index,) = run.recall(self)
        dX = run.empty((len(dY), *self.input_shape), dY.dtype)
        run.kernels.maxout_backward(
            dY.reshape(-1), index, dX.reshape(-1, self.n_pieces), run.n_threads
        )
        return dX
