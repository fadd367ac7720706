"""A learnt factor for each channel: a depth-wise convolution of single pixels."""

from math import prod

from ..layers.layer_scale import LayerScale
from .node import Node, Weight, executes

#: Stride, padding and dilation, and what follows: nothing.
GEOMETRY = ((1,) * 3, ((0, 0),) * 3, (1,) * 3, "identity", 0.0)


@executes(LayerScale)
class LayerScaleNode(Node):
    """Y = X scale."""

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.weights["scale"] = Weight(
            self.input_shape[-1:], float(layer.initial_value), trainable=layer.trainable
        )

    def _maps(self, X):
        return X.reshape(len(X), 1, 1, prod(self.input_shape[:-1]), self.input_shape[-1])

    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        scale = self.params["scale"].reshape(1, 1, 1, 1, -1)
        run.kernels.depthwise_forward(
            self._maps(X), scale, None, None, self._maps(Y), *GEOMETRY, run.n_threads
        )
        run.save(self, X)
        return Y

    def backward(self, dY, need_input, run):
        (X,) = run.recall(self)
        scale, d_scale = (
            None if a is None else a.reshape(1, 1, 1, 1, -1)
            for a in (self.params["scale"], self.gradient("scale"))
        )
        dX = run.empty(X.shape, X.dtype) if need_input else None
        d_maps = self._maps(dY)
        run.kernels.depthwise_backward(
            self._maps(X), scale, d_maps, d_maps, None if dX is None else self._maps(dX), d_scale,
            None, *GEOMETRY, run.n_threads,
        )  # fmt: skip
        return dX
