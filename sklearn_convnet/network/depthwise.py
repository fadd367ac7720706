"""Depth-wise and separable convolutions."""

from math import prod

from ..layers.depthwise import (
    DepthwiseConv1D,
    DepthwiseConv2D,
    DepthwiseConv3D,
    SeparableConv1D,
    SeparableConv2D,
    SeparableConv3D,
)
from .activation import ActivationNode
from .node import Node, Weight, build_nodes, executes
from .norm import scale_and_bias

#: Bytes of a map that is better not in memory as a whole: beside what else is, it leaves the cache.
LARGE_MAP = 2**19


@executes(DepthwiseConv1D, DepthwiseConv2D, DepthwiseConv3D)
class DepthwiseNode(Node):
    """Y = f(depthwise(X, W) + b); see ConvNode for `activation`."""

    @classmethod
    def build(cls, layer, path, input_shape):
        node = cls(layer, path, input_shape)
        return [node, *ActivationNode.after(layer.activation, path, node.output_shape)]

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        kernel, stride, pads, dilation = layer.geometry(input_shape)
        lead = 3 - len(kernel)
        ones, none = (1,) * lead, ((0, 0),) * lead
        self.geometry = (ones + stride, none + pads, ones + dilation)
        self.maps_in = (*ones, *self.input_shape)
        self.maps_out = (*ones, *self.output_shape)
        filters = self.output_shape[-1]
        self.weight_3d = (*ones, *kernel, 1, filters)
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
        self.folded = None  # the moments of a batch norm in its weights
        self.pointwise = None  # the convolution of pixels whose maps it makes as it reads them

    def take_pointwise(self, node):
        """Takes over a convolution before it, at a prediction, if it is worth it; says whether."""
        if not node.is_pointwise or prod(node.maps_out) * self.dtype.itemsize < LARGE_MAP:
            return False
        self.pointwise = node
        self.multiply_adds += node.multiply_adds
        return True

    def forward(self, X, run):
        n = len(X)
        if self.pointwise is not None:
            return self._forward_of_pixels(X, run)
        X = X.reshape(n, *self.maps_in)
        Y = run.empty((n, *self.maps_out), X.dtype)
        run.kernels.depthwise_forward(
            X,
            self.params["weight"].reshape(self.weight_3d),
            *scale_and_bias(self, run),
            Y,
            *self.geometry,
            self.activation,
            self.alpha,
            run.n_threads,
        )
        run.save(self, X, Y)
        return Y.reshape(n, *self.output_shape)

    def _forward_of_pixels(self, X, run):
        before, n = self.pointwise, len(X)
        Y = run.empty((n, *self.maps_out), X.dtype)
        filters = (
            array
            for node in (before, self)
            for array in (node.params["weight"].reshape(node.weight_3d), *scale_and_bias(node, run))
        )
        activations = (before.activation, before.alpha, self.activation, self.alpha)
        run.kernels.pointwise_depthwise_forward(
            X.reshape(n, *before.maps_in), *filters, Y, *self.geometry, *activations,
            run.n_threads,
        )  # fmt: skip
        return Y.reshape(n, *self.output_shape)

    def backward(self, dY, need_input, run):
        X, Y = run.recall(self)
        dX = run.empty(X.shape, X.dtype) if need_input else None
        dW = self.gradient("weight")
        run.kernels.depthwise_backward(
            X,
            self.params["weight"].reshape(self.weight_3d),
            Y,
            dY.reshape(Y.shape),
            dX,
            None if dW is None else dW.reshape(self.weight_3d),
            self.gradient("bias"),
            *self.geometry,
            self.activation,
            self.alpha,
            run.n_threads,
        )
        return None if dX is None else dX.reshape(len(X), *self.input_shape)


@executes(SeparableConv1D, SeparableConv2D, SeparableConv3D)
class SeparableNode:
    """Two nodes: depth-wise, and then a convolution of single pixels."""

    @classmethod
    def build(cls, layer, path, input_shape):
        nodes = []
        for name, stage in layer.stages():
            nodes += build_nodes(stage, f"{path}/{name}", input_shape)
            input_shape = stage.output_shape(input_shape)
        return nodes
