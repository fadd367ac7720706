"""Nodes that scale and shift: with fixed numbers, or with statistics of the data."""

from math import prod

import numpy as np

from ..kernels import loader
from ..layers.norm import BatchNorm, LocalResponseNorm, Rescale, Standardize
from ..moments import RunningMoments
from .node import Node, Weight, executes


class _AffineNode(Node):
    """Y = X scale + shift, one scale and shift a column of X seen as a matrix.

    At the begin of a network it may see X in float64, if the network's dtype does not hold what is
    in X; see `Network.input_dtype`.
    """

    takes_wide = True

    def __init__(self, layer, path, input_shape, n_columns):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.n_columns = n_columns

    def affine(self):
        """Scale and shift."""
        raise NotImplementedError(type(self))

    def centred(self):
        """Centre, scale and shift, for (X - centre) scale + shift."""
        raise NotImplementedError(type(self))

    def forward(self, X, run):
        if X.dtype != self.dtype:
            return self._forward_wide(X, run)
        Y = run.empty(self, "Y", X.shape, X.dtype)
        self._apply(X, Y, *self.affine(), run)
        return Y

    def _forward_wide(self, X, run):
        """The same for X in float64, cast at the end unless another node of the kind follows."""
        Y = run.empty(self, "Y", X.shape, X.dtype if self.keeps_wide else self.dtype)
        rows = (-1, self.n_columns)
        kernels = loader.kernels(X.dtype) if self.keeps_wide else run.kernels
        kernels.centred_affine(X.reshape(rows), *self.centred(), Y.reshape(rows), run.n_threads)
        return Y

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        dX = run.empty(self, "dX", dY.shape, dY.dtype)
        self._apply(dY, dX, self.affine()[0], None, run)
        return dX

    def _apply(self, X, Y, scale, shift, run):
        rows = (-1, self.n_columns)
        scale = np.asarray(scale, X.dtype)
        shift = None if shift is None else np.asarray(shift, X.dtype)
        run.kernels.channel_affine(X.reshape(rows), scale, shift, Y.reshape(rows), run.n_threads)


@executes(Rescale)
class RescaleNode(_AffineNode):
    @classmethod
    def build(cls, layer, path, input_shape):
        return [cls(layer, path, input_shape)]

    def __init__(self, layer, path, input_shape):
        super().__init__(layer, path, input_shape, input_shape[-1])
        self._scale = np.full(self.n_columns, layer.scale, dtype=np.float64)
        self._shift = np.full(self.n_columns, layer.offset, dtype=np.float64)

    def affine(self):
        return self._scale, self._shift

    def centred(self):
        return np.zeros(self.n_columns), self._scale, self._shift


@executes(Standardize)
class StandardizeNode(_AffineNode):
    """Y = (X - mean) / deviation; `fit_statistics` fills the buffers."""

    @classmethod
    def build(cls, layer, path, input_shape):
        return [cls(layer, path, input_shape)]

    def __init__(self, layer, path, input_shape):
        columns = input_shape[-1] if layer.per == "channel" else np.prod(input_shape)
        super().__init__(layer, path, input_shape, int(columns))
        self.buffers["mean"] = np.zeros(self.n_columns)
        self.buffers["deviation"] = np.ones(self.n_columns)

    def affine(self):
        scale = 1 / self.state["deviation"]
        return scale, -self.state["mean"] * scale

    def centred(self):
        return self.state["mean"], 1 / self.state["deviation"], np.zeros(self.n_columns)

    def fit_statistics(self, batches):
        """Mean and deviation of `(X, weight)` batches."""
        moments = RunningMoments()
        for X, weight in batches:
            rows = X.reshape(-1, self.n_columns)
            moments.add(rows, np.repeat(weight, len(rows) // len(X)))
        mean, deviation = moments.mean, np.sqrt(moments.variance)
        if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
            raise ValueError(
                f"layer {self.path!r}: the mean or deviation of what it sees is not finite: its "
                "numbers are too large to be squared, scale X"
            )
        self.state["mean"][:] = mean
        self.state["deviation"][:] = np.where(deviation == 0, 1.0, deviation)


@executes(BatchNorm)
class BatchNormNode(Node):
    """Y = f(scale (X - mean) / deviation + offset); `activation` is put here by a pass.

    `folded` says that the node before does all of it at a prediction, and `user` is the
    convolution after it that in training normalises what it reads, and gives back the gradient
    before the activation, with its sums. A frozen node takes its running statistics in training
    too, and leaves them alone; so does one that sees a single value of each channel, if the pass
    allows it.
    """

    @classmethod
    def build(cls, layer, path, input_shape):
        return [cls(layer, path, input_shape)]

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        channels = input_shape[-1]
        self.momentum, self.epsilon = float(layer.momentum), float(layer.epsilon)
        self.frozen = not layer.trainable
        self.weights["scale"] = Weight((channels,), "ones", trainable=layer.trainable)
        self.weights["offset"] = Weight((channels,), trainable=layer.trainable)
        self.buffers["mean"] = np.zeros(channels)
        self.buffers["variance"] = np.ones(channels)
        self.activation, self.alpha = "identity", 0.0
        self.folded = False
        self.user = None
        self.positions = prod(self.input_shape[:-1])
        if self.positions == 1 and not self.frozen:
            self.smallest_batch = 2

    def affine(self):
        """Scale and shift of a prediction."""
        scale = self.params["scale"] / np.sqrt(self.state["variance"] + self.epsilon)
        return scale, self.params["offset"] - self.state["mean"] * scale

    def forward(self, X, run, addend=None, after=None):
        """The output; in training, `addend` is the other part of a residual sum and `after` the
        activation."""
        if not run.training:
            return X if self.folded else self._predict(X, run)
        if self.frozen:
            Y = self._predict(X, run)
            run.save(self, Y)
            return Y
        moments = run.notes.pop(self.path, None)
        if self._has_one_value(X, run):
            mean, variance, affine = self._running(X, run)
        else:
            mean, variance, affine = self._measured(X, moments, run)
        run.save(self, X, mean, variance, affine)
        return X if self.user is not None else self._apply(X, affine, run, addend, after)

    def _measured(self, X, moments, run):
        """Statistics of a batch, which the running ones take in, and the map that they make."""
        mean, variance = np.empty((2, X.shape[-1]))
        affine = np.empty((3, X.shape[-1]), X.dtype)
        run.kernels.batchnorm_statistics(
            self._rows(X),
            run.weight,
            self.params["scale"],
            self.params["offset"],
            moments,
            mean,
            variance,
            affine,
            self.epsilon,
            run.n_threads,
        )
        if not run.recompute:
            tiny = np.finfo(self.dtype).tiny
            for name, value in (("mean", mean), ("variance", variance)):
                running = self.state[name]
                running *= self.momentum
                running += (1 - self.momentum) * value
                running[np.abs(running) < tiny] = 0  # what fades away would become denormal
        return mean, variance, affine

    def _has_one_value(self, X, run):
        """Whether there is a single value of each channel, which has no variance."""
        if self.positions > 1:
            return False
        return (len(X) if run.weight is None else np.count_nonzero(run.weight)) == 1

    def _running(self, X, run):
        """Running statistics in the place of those of a batch."""
        mean, variance = self.state["mean"].copy(), self.state["variance"].copy()
        is_new = not mean.any() and (variance == 1).all()
        if is_new or not run.use_running:
            raise ValueError(
                f"layer {self.path!r}: Expected more than 1 value per channel when training, but "
                "of one sample it gets just 1, which has no variance: train with batches of two "
                "samples or more (batch_size), or set trainable=False"
            )
        scale = self.params["scale"] / np.sqrt(variance + self.epsilon)
        return mean, variance, np.array((mean, scale, self.params["offset"]), X.dtype)

    def _apply(self, X, affine, run, addend=None, after=None):
        Y = run.empty(self, "Y", X.shape, X.dtype)
        run.kernels.batchnorm_forward(
            self._rows(X),
            affine,
            self._rows(Y),
            None if addend is None else self._rows(addend),
            *(after or (self.activation, self.alpha)),
            run.n_threads,
        )
        return Y

    def _predict(self, X, run):
        scale, _ = self.affine()
        rows = (self.state["mean"], scale, self.params["offset"])
        return self._apply(X, np.array(rows, X.dtype), run)

    def lend_affine(self, run):
        """The map of this pass, for its user."""
        return run.saved[self.path][-1]

    def lend_input(self, run):
        """The input of this pass and its centre, for what sums gradients."""
        X, *_, affine = run.saved[self.path]
        return X, affine[0]

    def _frozen_backward(self, dY, run):
        """dX = scale / deviation f'(z) dY"""
        (Y,) = run.recall(self)
        dX = run.empty(self, "dX", dY.shape, dY.dtype)
        flat = (Y.reshape(-1), dY.reshape(-1), dX.reshape(-1))
        run.kernels.activation_backward(*flat, self.activation, self.alpha, run.n_threads)
        scale = self.affine()[0].astype(dX.dtype)
        run.kernels.channel_affine(self._rows(dX), scale, None, self._rows(dX), run.n_threads)
        return dX

    def _running_backward(self, X, mean, variance, affine, dY, run):
        """The same where scale and offset are trained: dz is f'(z) dY, and so are their gradients
        sums of xh dz and dz. What has summed dY already has taken it through f."""
        dX = run.empty(self, "dX", X.shape, X.dtype)
        if run.notes.pop(self.path, None) is None:
            Y = self._apply(X, affine, run)
            flat = (Y.reshape(-1), dY.reshape(-1), dX.reshape(-1))
            run.kernels.activation_backward(*flat, self.activation, self.alpha, run.n_threads)
        else:
            np.copyto(dX, dY)
        inverse = 1 / np.sqrt(variance + self.epsilon)
        dz = self._rows(dX).astype(np.float64)
        self.gradient("scale")[:] = (dz * ((self._rows(X) - mean) * inverse)).sum(axis=0)
        self.gradient("offset")[:] = dz.sum(axis=0)
        scale = (self.params["scale"] * inverse).astype(dX.dtype)
        run.kernels.channel_affine(self._rows(dX), scale, None, self._rows(dX), run.n_threads)
        return dX

    def backward(self, dY, need_input, run):
        if self.frozen:
            return self._frozen_backward(dY, run) if need_input else None
        X, mean, variance, affine = run.recall(self)
        if self._has_one_value(X, run):
            return self._running_backward(X, mean, variance, affine, dY, run)
        dX = run.empty(self, "dX", X.shape, X.dtype)
        run.kernels.batchnorm_backward(
            self._rows(X),
            run.weight,
            self.params["scale"],
            mean,
            variance,
            affine,
            self._rows(dY),
            run.notes.pop(self.path, None),
            self._rows(dX),
            self.gradient("scale"),
            self.gradient("offset"),
            self.epsilon,
            self.activation,
            self.alpha,
            run.n_threads,
        )
        return dX if need_input else None

    def _rows(self, X):
        return X.reshape(-1, X.shape[-1])


def folded(node, run):
    """Weight, bias, activation and alpha of a convolution or dense node.

    At a prediction those that include the batch norm after it, made anew for each call.
    """
    weight, bias = node.params["weight"], node.params.get("bias")
    if node.fold is None or run.training:
        return weight, bias, node.activation, node.alpha
    scale, shift = node.fold.affine()
    if bias is not None:
        shift = shift + bias * scale
    weight = (weight * scale).astype(weight.dtype, copy=False)
    shift = shift.astype(weight.dtype, copy=False)
    return weight, shift, node.fold.activation, node.fold.alpha


@executes(LocalResponseNorm)
class LocalResponseNormNode(Node):
    """Y = X / (bias + alpha / size sum X^2)^beta over neighbouring channels."""

    @classmethod
    def build(cls, layer, path, input_shape):
        return [cls(layer, path, input_shape)]

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.constants = (
            int(layer.size),
            float(layer.alpha),
            float(layer.beta),
            float(layer.bias),
        )

    def repeats(self, training):
        return True

    def forward(self, X, run):
        Y = run.empty(self, "Y", X.shape, X.dtype)
        rows = (-1, X.shape[-1])
        run.kernels.response_norm_forward(
            X.reshape(rows), Y.reshape(rows), *self.constants, run.n_threads
        )
        run.save(self, X)
        return Y

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        (X,) = run.recall(self)
        dX = run.empty(self, "dX", X.shape, X.dtype)
        rows = (-1, X.shape[-1])
        run.kernels.response_norm_backward(
            X.reshape(rows),
            dY.reshape(rows),
            dX.reshape(rows),
            *self.constants,
            run.n_threads,
        )
        return dX
