"""Transposed convolutions: the kernels of a convolution, with input and output exchanged.

A transposed convolution is the adjoint of a convolution from its output to its input. So
its forward is that convolution's input gradient, shifted by the bias, its input gradient that
one's forward, and its weight gradient that one's weight gradient.
"""

from math import prod

import numpy as np

from ..layers.conv_transpose import ConvTranspose1D, ConvTranspose2D, ConvTranspose3D
from .activation import ActivationNode
from .node import Node, Weight, executes


def exchange_maps(weight, exchanged, run):
    """The same weights with the last two axes exchanged, those of input and output maps."""
    taps_first = [array.reshape(-1, *array.shape[-2:]) for array in (weight, exchanged)]
    run.kernels.exchange_maps(*taps_first, run.n_threads)


@executes(ConvTranspose1D, ConvTranspose2D, ConvTranspose3D)
class ConvTransposeNode(Node):
    @classmethod
    def build(cls, layer, path, input_shape):
        node = cls(layer, path, input_shape)
        return [node, *ActivationNode.after(layer.activation, path, node.output_shape)]

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        kernel, stride, pads, dilation = layer.geometry(input_shape)
        lead = 3 - len(kernel)
        ones = (1,) * lead
        pads = ((0, 0),) * lead + pads
        groups = layer.groups
        self.adjoint = (
            ones + stride, pads, ones + dilation, groups, "identity", 0.0, (1, 1, 1),
        )  # fmt: skip
        self.maps_in = (*ones, *self.input_shape)
        self.maps_out = (*ones, *self.output_shape)
        shape = layer.weight_shape(input_shape)
        self.adjoint_weight = (*ones, *shape[:-2], shape[-1], shape[-2])
        positions = prod(kernel)
        self.weights["weight"] = Weight(
            shape,
            layer.kernel_initializer,
            # Each output sees every stride-th tap of the filter.
            fan_in=max(1, positions // prod(stride)) * shape[-2] // groups,
            fan_out=positions * shape[-1],
            activation=layer.activation,
            decayed=True,
            trainable=layer.trainable,
        )
        if layer.use_bias:
            self.weights["bias"] = Weight((layer.filters,), trainable=layer.trainable)
        self.multiply_adds = prod(input_shape[:-1]) * prod(shape)

    def _adjoint_weight(self, run):
        """The weights as the convolution from output to input has them."""
        weight = self.params["weight"]
        adjoint = run.empty(self.adjoint_weight, weight.dtype)
        exchange_maps(weight, adjoint, run)
        return adjoint

    def forward(self, X, run):
        n = len(X)
        Y = run.empty((n, *self.maps_out), X.dtype)
        maps = X.reshape(n, *self.maps_in)
        run.kernels.conv_backward(
            Y, self._adjoint_weight(run), maps, None, maps, self.params.get("bias"), Y, None,
            None, *self.adjoint, run.n_threads,
        )  # fmt: skip
        run.save(self, maps)
        return Y.reshape(n, *self.output_shape)

    def backward(self, dY, need_input, run):
        (maps,) = run.recall(self)
        n = len(maps)
        dY = dY.reshape(n, *self.maps_out)
        weight = self._adjoint_weight(run)
        dX = None
        if need_input:
            dX = run.empty(maps.shape, maps.dtype)
            arrays = (dY, weight, None, None, dX, None, None)
            run.kernels.conv_forward(*arrays, *self.adjoint, run.n_threads)
            dX = dX.reshape(n, *self.input_shape)
        dW = self.gradient("weight")
        if dW is not None:
            adjoint_dW = run.empty(weight.shape, weight.dtype)
            run.kernels.conv_backward(
                dY, weight, maps, None, maps, None, None, adjoint_dW, None, *self.adjoint,
                run.n_threads,
            )  # fmt: skip
            exchange_maps(adjoint_dW, dW, run)
        db = self.gradient("bias")
        if db is not None:
            # The mean over all positions is a sum in a fixed order.
            rows = dY.reshape(1, -1, dY.shape[-1])
            run.kernels.globalavg_forward(rows, db[None], run.n_threads)
            run.call(np.multiply, db, db.dtype.type(rows.shape[1]), db)
        return dX
