"""Enlarging nodes."""

from ..layers.upsample import Upsample2D
from .node import Node, executes


@executes(Upsample2D)
class UpsampleNode(Node):
    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.bilinear = layer.interpolation == "bilinear"

    def forward(self, X, run):
        Y = run.empty((len(X), *self.output_shape), X.dtype)
        run.kernels.upsample_forward(X, Y, self.bilinear, run.n_threads)
        return Y

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        dX = run.empty((len(dY), *self.input_shape), dY.dtype)
        run.kernels.upsample_backward(dY, dX, self.bilinear, run.n_threads)
        return dX
