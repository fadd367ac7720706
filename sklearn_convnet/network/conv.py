"""Convolutions: one node for any number of axes; signals and images have axes of length 1."""

from math import prod

from ..layers.conv import Conv1D, Conv2D, Conv3D
from .activation import ActivationNode
from .node import Node, Weight, executes
from .norm import folded


@executes(Conv1D, Conv2D, Conv3D)
class ConvNode(Node):
    """Y = f(conv(X, W) + b); `activation` other than identity is put here by a pass."""

    @classmethod
    def build(cls, layer, path, input_shape):
        node = cls(layer, path, input_shape)
        return [node, *ActivationNode.after(layer.activation, path, node.output_shape)]

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        kernel, stride, pads, dilation = layer.geometry(input_shape)
        lead = 3 - len(kernel)
        ones, none = (1,) * lead, ((0, 0),) * lead
        self.geometry = (ones + stride, none + pads, ones + dilation, layer.groups)
        self.maps_in = (*ones, *self.input_shape)
        self.maps_out = (*ones, *self.output_shape)
        shape = layer.weight_shape(input_shape)
        self.weight_3d = (*ones, *shape)
        positions = prod(kernel)
        self.weights["weight"] = Weight(
            shape,
            layer.kernel_initializer,
            fan_in=positions * shape[-2],
            fan_out=positions * shape[-1] // layer.groups,
            activation=layer.activation,
            decayed=True,
            trainable=layer.trainable,
        )
        if layer.use_bias:
            self.weights["bias"] = Weight(shape[-1:], trainable=layer.trainable)
        self.multiply_adds = layer.multiply_adds(input_shape)
        self.activation, self.alpha = "identity", 0.0
        self.fold = None  # a batch norm to take over at a prediction

    def forward(self, X, run):
        n = len(X)
        Y = run.empty(self, "Y", (n, *self.output_shape), X.dtype)
        weight, bias, *activation = folded(self, run)
        run.kernels.conv_forward(
            X.reshape(n, *self.maps_in),
            weight.reshape(self.weight_3d),
            bias,
            Y.reshape(n, *self.maps_out),
            *self.geometry,
            *activation,
            run.n_threads,
        )
        run.save(self, X, Y)
        return Y

    def backward(self, dY, need_input, run):
        X, Y = run.saved[self.path]
        n = len(X)
        dX = run.empty(self, "dX", X.shape, X.dtype) if need_input else None
        dW = self.gradient("weight")
        run.kernels.conv_backward(
            X.reshape(n, *self.maps_in),
            self.params["weight"].reshape(self.weight_3d),
            Y.reshape(n, *self.maps_out),
            dY.reshape(n, *self.maps_out),
            None if dX is None else dX.reshape(n, *self.maps_in),
            None if dW is None else dW.reshape(self.weight_3d),
            self.gradient("bias"),
            *self.geometry,
            self.activation,
            self.alpha,
            run.n_threads,
        )
        return dX
