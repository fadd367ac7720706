"""Activations as nodes of their own, where no convolution or dense layer takes them over."""

from ..layers.activation import ACTIVATIONS, ALPHA, Activation
from .node import Node, executes

#: Activations of single numbers whose derivative does not follow from the output.
OF_INPUT = frozenset({"gelu", "silu", "hard_swish"})
#: Activations that a convolution, dense or sum kernel applies to its own output: all others.
EPILOGUES = frozenset(ACTIVATIONS) - OF_INPUT - {"softmax"}


def times_derivative(dY, S, node, run):
    """dY f'(z) for the activation of a node, given its output, or its input for those
    of `OF_INPUT`."""
    dZ = run.empty(dY.shape, dY.dtype)
    flat = (array.reshape(-1) for array in (S, dY, dZ))
    run.kernels.activation_backward(*flat, node.activation, node.alpha, run.n_threads)
    return dZ


@executes(Activation)
class ActivationNode(Node):
    """Y = f(X) for each number, or over the channels for softmax."""

    @classmethod
    def build(cls, layer, path, input_shape):
        layer.output_shape(input_shape)
        return cls.after(layer.activation, path, input_shape, layer.alpha, suffix="")

    @classmethod
    def after(cls, activation, path, shape, alpha=None, suffix="/activation"):
        """The nodes that apply an activation: one, or none for the identity."""
        if activation in (None, "identity"):
            return []
        if alpha is None:
            alpha = ALPHA.get(activation, 0.0)
        return [cls(activation, float(alpha), path + suffix, shape)]

    def __init__(self, activation, alpha, path, shape):
        super().__init__(path, shape, shape)
        self.activation, self.alpha = activation, alpha

    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        if self.activation == "softmax":
            rows = (-1, X.shape[-1])
            run.kernels.softmax_forward(X.reshape(rows), Y.reshape(rows), run.n_threads)
        else:
            run.kernels.activation_forward(
                X.reshape(-1), Y.reshape(-1), self.activation, self.alpha, run.n_threads
            )
        run.save(self, X if self.activation in OF_INPUT else Y)
        return Y

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        (S,) = run.recall(self)
        if self.activation != "softmax":
            return times_derivative(dY, S, self, run)
        dX = run.empty(dY.shape, dY.dtype)
        rows = (-1, dY.shape[-1])
        flat = (array.reshape(rows) for array in (S, dY, dX))
        run.kernels.softmax_backward(*flat, run.n_threads)
        return dX
