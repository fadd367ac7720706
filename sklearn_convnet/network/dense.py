"""Dense layers and flattening."""

from math import prod

from ..layers.dense import Dense, Flatten
from .activation import ActivationNode
from .node import Node, Weight, executes
from .norm import folded_weights


@executes(Flatten)
class FlattenNode(Node):
    takes_wide = True
    one_size = True

    @classmethod
    def build(cls, layer, path, input_shape):
        return [cls(path, input_shape, layer.output_shape(input_shape))]

    def forward(self, X, run):
        return X.reshape(len(X), *self.output_shape)

    def backward(self, dY, need_input, run):
        return dY.reshape(len(dY), *self.input_shape) if need_input else None


@executes(Dense)
class DenseNode(Node):
    """Y = f(X W + b) of the flattened X; see ConvNode for `activation`."""

    one_size = True

    @classmethod
    def build(cls, layer, path, input_shape):
        node = cls(layer, path, input_shape)
        return [node, *ActivationNode.after(layer.activation, path, node.output_shape)]

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.n_inputs = prod(self.input_shape)
        self.weights["weight"] = Weight(
            layer.weight_shape(input_shape),
            layer.kernel_initializer,
            fan_in=self.n_inputs,
            fan_out=layer.units,
            activation=layer.activation,
            decayed=True,
            trainable=layer.trainable,
        )
        if layer.use_bias:
            self.weights["bias"] = Weight((layer.units,), trainable=layer.trainable)
        self.multiply_adds = layer.multiply_adds(input_shape)
        self.activation, self.alpha = "identity", 0.0
        self.folded = None  # the moments of a batch norm in its weights

    def forward(self, X, run):
        X = X.reshape(len(X), self.n_inputs)
        Y = run.empty((len(X), *self.output_shape), X.dtype)
        arrays = (X, *folded_weights(self, run), Y)
        run.kernels.dense_forward(*arrays, self.activation, self.alpha, run.n_threads)
        run.save(self, X, Y)
        return Y

    def backward(self, dY, need_input, run):
        X, Y = run.recall(self)
        dX = run.empty(X.shape, X.dtype) if need_input else None
        run.kernels.dense_backward(
            X,
            self.params["weight"],
            Y,
            dY,
            dX,
            self.gradient("weight"),
            self.gradient("bias"),
            self.activation,
            self.alpha,
            run.n_threads,
        )
        return dX.reshape(len(X), *self.input_shape) if need_input else None
