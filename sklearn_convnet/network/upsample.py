"""Enlarging nodes."""

from ..layers.upsample import Upsample1D, Upsample2D, Upsample3D
from .node import Node, executes


@executes(Upsample1D, Upsample2D, Upsample3D)
class UpsampleNode(Node):
    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        ones = (1,) * (3 - layer.n_axes)
        self.maps_in = (*ones, *self.input_shape)
        self.maps_out = (*ones, *self.output_shape)
        self.linear = layer.interpolation != "nearest"

    def forward(self, X, run):
        n = len(X)
        Y = run.empty((n, *self.maps_out), X.dtype)
        run.kernels.upsample_forward(X.reshape(n, *self.maps_in), Y, self.linear, run.n_threads)
        return Y.reshape(n, *self.output_shape)

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        n = len(dY)
        dX = run.empty((n, *self.maps_in), dY.dtype)
        run.kernels.upsample_backward(dY.reshape(n, *self.maps_out), dX, self.linear, run.n_threads)
        return dX.reshape(n, *self.input_shape)
