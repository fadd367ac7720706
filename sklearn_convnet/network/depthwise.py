"""Depth-wise and separable convolutions."""

from math import prod

from ..layers.depthwise import DepthwiseConv2D, SeparableConv2D
from .activation import ActivationNode
from .node import Node, Weight, build_nodes, executes


@executes(DepthwiseConv2D)
class DepthwiseNode(Node):
    """Y = f(depthwise(X, W) + b); see ConvNode for `activation`."""

    @classmethod
    def build(cls, layer, path, input_shape):
        node = cls(layer, path, input_shape)
        return [node, *ActivationNode.after(layer.activation, path, node.output_shape)]

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        kernel, stride, pads, dilation = layer.geometry(input_shape)
        self.geometry = ((1, *stride), ((0, 0), *pads), (1, *dilation))
        filters = self.output_shape[-1]
        self.weight_3d = (1, *kernel, 1, filters)
        self.weights["weight"] = Weight(
            layer.weight_shape(input_shape),
            layer.kernel_initializer,
            fan_in=prod(kernel),
            fan_out=prod(kernel) * layer.multiplier,
            activation=layer.activation,
            decayed=True,
            trainable=layer.trainable,
        )
        if layer.use_bias:
            self.weights["bias"] = Weight((filters,), trainable=layer.trainable)
        self.multiply_adds = layer.multiply_adds(input_shape)
        self.activation, self.alpha = "identity", 0.0

    def forward(self, X, run):
        Y = run.empty((len(X), *self.output_shape), X.dtype)
        run.kernels.depthwise_forward(
            X[:, None],
            self.params["weight"].reshape(self.weight_3d),
            self.params.get("bias"),
            Y[:, None],
            *self.geometry,
            self.activation,
            self.alpha,
            run.n_threads,
        )
        run.save(self, X, Y)
        return Y

    def backward(self, dY, need_input, run):
        X, Y = run.recall(self)
        dX = run.empty(X.shape, X.dtype) if need_input else None
        dW = self.gradient("weight")
        run.kernels.depthwise_backward(
            X[:, None],
            self.params["weight"].reshape(self.weight_3d),
            Y[:, None],
            dY[:, None],
            None if dX is None else dX[:, None],
            None if dW is None else dW.reshape(self.weight_3d),
            self.gradient("bias"),
            *self.geometry,
            self.activation,
            self.alpha,
            run.n_threads,
        )
        return dX


@executes(SeparableConv2D)
class SeparableNode:
    """Two nodes: depth-wise, and then a convolution of single pixels."""

    @classmethod
    def build(cls, layer, path, input_shape):
        nodes = []
        for name, stage in layer.stages():
            nodes += build_nodes(stage, f"{path}/{name}", input_shape)
            input_shape = stage.output_shape(input_shape)
        return nodes
